//! prefix: what is shipped, installed below a directory of a test's own, with the programs as they are built.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tests::programs;

/// The directory of the workspace.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// An installation.
#[derive(Debug)]
pub struct Prefix {
    dir: TempDir,
}

impl Prefix {
    /// Runs make install-shipped with this as PREFIX.
    pub fn install() -> Prefix {
        let dir = TempDir::with_prefix("ct-prefix-").expect("a temporary directory");
        let mut make = Command::new("make");
        make.current_dir(project()).args(["-s", "install-shipped"]);
        make.arg(format!("PREFIX={}", dir.path().display()));
        // This may run below another make.
        make.env_remove("MAKEFLAGS").env_remove("MFLAGS").env_remove("MAKELEVEL").env_remove("DESTDIR");
        let made = make.output().expect("run make");
        assert!(made.status.success(), "{made:?}");
        for (at, name) in [("sbin", "host-supervisor"), ("sbin", "ct-init"), ("bin", "ct")] {
            let built = programs::path(name).unwrap_or_else(|| panic!("{name} is not built (make programs)"));
            fs::create_dir_all(dir.path().join(at)).expect("a directory");
            symlink(built, dir.path().join(at).join(name)).expect("link a program");
        }
        Prefix { dir }
    }

    /// A path below it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Everything below one of its directories that is a file.
    pub fn files(&self, path: &str) -> Vec<PathBuf> {
        let (mut found, mut dirs) = (Vec::new(), vec![self.at(path)]);
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).expect("list a directory") {
                let path = entry.expect("list a directory").path();
                if path.is_dir() { dirs.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }
}
