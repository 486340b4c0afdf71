//! catalog: finds a unit's fragments among the search directories, by systemd's rules. Reads only through [`Files`].
//!
//! Masks, aliases, drop-ins (`name.d/`, `name@.d/`, `foo-.service.d/`, `service.d/`), `.wants/`, `.requires/`,
//! templates. The caller supplies the file system; tests use a map.

/// What a path in a search directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A regular file (or a link that leads to one outside the search path), with its bytes.
    File(Vec<u8>),
    /// A symbolic link and where it points, as written.
    Link(String),
    /// A directory with its entries' names.
    Directory(Vec<String>),
    /// Nothing there.
    Missing,
    /// There, but not readable as a unit; the text says why (`is a device`, `12 MB, at most 1 MB`).
    Unusable(String),
}

/// A read-only view of a file system, rooted wherever the caller likes.
pub trait Files {
    /// What is at `path` (absolute, `/`-separated), not following a link at its end.
    fn look(&self, path: &str) -> Found;
    /// What `path` leads to, links followed inside the root.
    fn read(&self, path: &str) -> Found;
}
