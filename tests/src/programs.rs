//! programs: where the project's own programs are. Builds nothing.
use std::path::{Path, PathBuf};

/// Where cargo has built what belongs to the tests.
pub fn built() -> Option<PathBuf> {
    // target/debug/deps/root-1234 → target/debug, as for target/debug/lab
    let dir = std::env::current_exe().ok()?.parent()?.to_path_buf();
    if dir.ends_with("deps") { dir.parent().map(PathBuf::from) } else { Some(dir) }
}

/// A program of this project: from the directory `CT_BIN_DIR` if that is set, else from where cargo builds.
pub fn path(name: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("CT_BIN_DIR").map(PathBuf::from).or_else(built)?;
    Some(dir.join(name)).filter(|p: &PathBuf| p.is_file())
}

/// A program of the tests themselves.
pub fn own(name: &str) -> Option<PathBuf> {
    Some(built()?.join(name)).filter(|p: &PathBuf| Path::is_file(p))
}
