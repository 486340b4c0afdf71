//! template: makes, lists and removes the directories that containers' roots begin as. Never starts a container, and
//! never follows a link that a template holds.
//!
//! Slow: the daemon runs it as a process of its own (see [`worker`]). Ids in a template are those seen inside, from 0;
//! idmapped mounts shift them. So the directory of all templates is for root alone: a set-user-id file in a template is
//! one on the host as well.
mod archive;
mod build;
mod host;
mod import;
mod sources;
mod store;
mod tree;
mod worker;

pub use build::{BuildOptions, build};
pub use host::{host_template, host_template_of};
pub use import::{Imported, import};
pub use worker::worker;

use crate::paths::Paths;
use crate::resolve::HOST_TEMPLATE;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

/// A fresh system's /etc/hosts.
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";

/// What `ct template list` shows of one template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateInfo {
    /// Its name; a directory of this name is in the templates' directory.
    pub name: String,
    /// Where it came from.
    pub kind: Kind,
    /// Bytes of its files when it was made.
    pub size: u64,
    /// When it was made, in microseconds since 1970; none: somebody put it there by hand.
    pub created: Option<u64>,
    /// What its os-release calls it; may be empty.
    pub description: String,
}

/// Where a template came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An archive.
    Imported,
    /// A distribution's packages.
    Built,
    /// The running system.
    Host,
    /// Somebody's hands.
    Placed,
}

/// What was tried on which template.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // Each says itself what it means.
pub enum TemplateError {
    #[error(
        "{0:?} is no name for a template (letters, digits, '.', '_' and '-', at most 64, beginning with a letter or digit)"
    )]
    Name(String),
    #[error("the template {0:?} is made from this host when it is needed (choose another name)")]
    BuiltIn(String),
    #[error("there is a template {0:?} already (remove it first: ct template remove {0})")]
    Exists(String),
    #[error("there is no template {0:?} (see ct template list)")]
    Missing(String),
    #[error("the template {name:?} is used by {} (destroy or change these first)", .users.join(", "))]
    InUse { name: String, users: Vec<String> },
    #[error("{what} {}", .path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("read the archive {}", .0.display())]
    Archive(PathBuf, #[source] io::Error),
    #[error("{} is not a tar archive, plain or packed with gzip, zstd or xz", .0.display())]
    NotAnArchive(PathBuf),
    #[error("{} is packed with {what}, which is not read (pack it with gzip, zstd or xz)", .path.display())]
    Packing { path: PathBuf, what: &'static str },
    #[error("the archive {} ends too early (copy or download it again)", .0.display())]
    Truncated(PathBuf),
    #[error("the archive {} is empty", .0.display())]
    Empty(PathBuf),
    #[error("archive entry {entry:?} {why}")]
    Entry { entry: String, why: Why },
    #[error("archive entry {entry:?}: {what}")]
    Unpack {
        entry: String,
        what: &'static str,
        #[source]
        cause: io::Error,
    },
    #[error("{} has room for {free} bytes, archive entry {entry:?} brings it over that", .path.display())]
    NoRoom { path: PathBuf, entry: String, free: u64 },
    #[error("{key}={value}: {why}")]
    Option { key: String, value: String, why: &'static str },
    #[error("{0:?} templates can't be built (there is a recipe for debian)")]
    Recipe(String),
    #[error("neither mmdebstrap nor debootstrap is here (install the package mmdebstrap)")]
    NoTool,
    #[error("no source of this machine's apt has the suite {0:?} (name a mirror: Mirror=URL)")]
    NoSource(String),
    #[error("no package mirror can be reached: {tool} says: {last}")]
    NoMirror { tool: &'static str, last: String },
    #[error("{tool} failed ({status}): {last}")]
    Tool { tool: &'static str, status: String, last: String },
    #[error("this host's /{0} is no link into /usr: the template \"host\" needs a system with merged /usr")]
    NotMerged(String),
}

/// Why an archive entry is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Why {
    #[error("has an absolute path")]
    Absolute,
    #[error("leaves the archive by \"..\"")]
    Climbs,
    #[error("has a path with a zero byte")]
    Zero,
    #[error("leads through a symbolic link")]
    ThroughLink,
    #[error("is a hard link to something that is not in the archive")]
    LinkOut,
    #[error("is a file where a directory was before")]
    OverDirectory,
    #[error("belongs to an id above 4294967294")]
    Id,
    #[error("has a header of more than 2 MiB")]
    Header,
    #[error("is one of more than four million")]
    TooMany,
    #[error("is a sparse file in the pax format (pack it again without --sparse)")]
    PaxSparse,
}

/// The names of all templates, `host` among them. Cheap: one directory is read.
pub fn names(paths: &Paths) -> BTreeSet<String> {
    let mut names = store::names(paths);
    names.insert(HOST_TEMPLATE.to_owned());
    names
}

/// All templates, by name.
///
/// # Errors
/// The templates' directory can't be read; that there is none yet is no error.
pub fn list(paths: &Paths) -> Result<Vec<TemplateInfo>, TemplateError> {
    Ok(names(paths).into_iter().map(|name| store::info(paths, name)).collect())
}

/// Removes a template that no container uses; `users` are those that do.
///
/// # Errors
/// It is in use, built in, or not there.
pub fn remove(paths: &Paths, name: &str, users: &[String]) -> Result<(), TemplateError> {
    check_name(name)?;
    if !users.is_empty() {
        return Err(TemplateError::InUse { name: name.to_owned(), users: users.to_vec() });
    }
    store::remove(paths, name)
}

/// A name that can be a directory here, and is not the host's.
pub(crate) fn check_name(name: &str) -> Result<(), TemplateError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name == HOST_TEMPLATE {
        return Err(TemplateError::BuiltIn(name.to_owned()));
    }
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    match begins && name.len() <= 64 && name.chars().all(good) {
        true => Ok(()),
        false => Err(TemplateError::Name(name.to_owned())),
    }
}

pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>, cause: impl Into<io::Error>) -> TemplateError {
    TemplateError::Io { what, path: path.into(), cause: cause.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for (name, good) in [
            ("debian-12", true),
            ("Web_2.0", true),
            ("", false),
            (".hidden", false),
            ("..", false),
            ("a/b", false),
            ("a b", false),
            ("host", false),
            ("é", false),
            (&"x".repeat(65), false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name:?}");
        }
    }

    #[test]
    fn the_host_is_always_a_template_and_others_are_listed_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        assert_eq!(names(&paths).into_iter().collect::<Vec<_>>(), ["host"]);
        std::fs::create_dir_all(paths.templates().join("placed/etc")).unwrap();
        std::fs::write(paths.templates().join("placed/etc/os-release"), "PRETTY_NAME=\"Thing 1\"\n").unwrap();
        std::fs::create_dir_all(paths.templates().join(".new-half-1")).unwrap();
        let all = list(&paths).unwrap();
        let short: Vec<_> = all.iter().map(|t| (t.name.as_str(), t.kind, t.description.as_str())).collect();
        assert_eq!(short, [("host", Kind::Host, ""), ("placed", Kind::Placed, "Thing 1")]);
        assert!(all[1].size > 0);
    }

    #[test]
    fn a_template_in_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        std::fs::create_dir_all(paths.templates().join("t/usr")).unwrap();
        let refused = remove(&paths, "t", &["web".into(), "db".into()]).unwrap_err().to_string();
        assert_eq!(refused, "the template \"t\" is used by web, db (destroy or change these first)");
        assert!(matches!(remove(&paths, "host", &[]), Err(TemplateError::BuiltIn(_))));
        assert!(matches!(remove(&paths, "u", &[]), Err(TemplateError::Missing(_))));
        remove(&paths, "t", &[]).unwrap();
        let left = std::fs::read_dir(paths.templates()).unwrap().map(|e| e.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), [".meta"]);
    }
}
