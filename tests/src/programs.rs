//! programs: where the project's own programs are. Builds nothing.
use std::path::{Path, PathBuf};

/// A program of this project: from the directory `CT_BIN_DIR` if that is set, else from where cargo builds.
pub fn path(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    // target/debug/deps/root-1234 → target/debug
    let built = own.ancestors().nth(2).map(Path::to_path_buf);
    let dir = std::env::var_os("CT_BIN_DIR").map(PathBuf::from).or(built)?;
    Some(dir.join(name)).filter(|p| p.is_file())
}
