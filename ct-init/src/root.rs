//! root: the directory that all paths start from, `/` for PID 1. Never follows a link out of it.
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use units::catalog::{Files, Found};

/// No configuration file is larger.
pub const MAX_FILE: u64 = 1024 * 1024;

/// A directory that stands for `/`.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

/// Why a file below the root can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The kernel refused.
    #[error("open {0}")]
    Open(String, #[source] std::io::Error),
    /// Reading failed.
    #[error("read {0}")]
    Read(String, #[source] std::io::Error),
    /// A device, a pipe, a directory.
    #[error("{0} is not a regular file")]
    NotAFile(String),
    /// More than [`MAX_FILE`].
    #[error("{0} has more than 1 MiB")]
    TooLarge(String),
}

impl RootError {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        match self {
            RootError::Open(_, e) | RootError::Read(_, e) => {
                matches!(e.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::NOENT | Errno::NOTDIR))
            }
            RootError::NotAFile(_) | RootError::TooLarge(_) => false,
        }
    }
}

impl Root {
    /// Any directory; `/` for PID 1, a temporary one in tests.
    pub fn new(path: impl Into<PathBuf>) -> Root {
        Root(path.into())
    }

    /// Whether this is the real `/`.
    pub fn is_real(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// `path` (absolute inside) as a path of this process. Links are not looked at.
    pub fn join(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// Opens `path`; links, also absolute ones, stay inside. Never waits for a pipe's other end.
    pub fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        // openat2 refuses what O_PATH would ignore.
        let quiet =
            if flags.contains(OFlags::PATH) { OFlags::empty() } else { OFlags::NONBLOCK | OFlags::NOCTTY };
        let flags = flags | OFlags::CLOEXEC | quiet;
        if self.is_real() {
            return rustix::fs::openat(CWD, path, flags, Mode::empty());
        }
        let top = rustix::fs::openat(CWD, &self.0, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let inside = path.trim_start_matches('/');
        let inside = if inside.is_empty() { "." } else { inside };
        rustix::fs::openat2(&top, inside, flags, Mode::empty(), ResolveFlags::IN_ROOT)
    }

    /// The bytes of a regular file of at most [`MAX_FILE`].
    pub fn read(&self, path: &str) -> Result<Vec<u8>, RootError> {
        let fd = self.open(path, OFlags::RDONLY).map_err(|e| RootError::Open(path.into(), e.into()))?;
        let file = File::from(fd);
        let meta = file.metadata().map_err(|e| RootError::Read(path.into(), e))?;
        if !meta.is_file() {
            return Err(RootError::NotAFile(path.into()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len().min(MAX_FILE)).unwrap_or(0));
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| RootError::Read(path.into(), e))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(RootError::TooLarge(path.into()));
        }
        Ok(bytes)
    }

    /// Whether something is at `path`, links followed.
    pub fn exists(&self, path: &str) -> bool {
        self.open(path, OFlags::PATH).is_ok()
    }

    /// What `path` leads to, links followed; none if nothing is there.
    pub fn stat(&self, path: &str) -> Option<rustix::fs::Stat> {
        rustix::fs::fstat(self.open(path, OFlags::PATH).ok()?).ok()
    }

    /// The names in a directory, sorted.
    pub fn list(&self, path: &str) -> Result<Vec<String>, Errno> {
        let fd = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(fd)? {
            if let Ok(name) = entry?.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn found(&self, path: &str, extra: OFlags) -> Found {
        let fd = match self.open(path, OFlags::PATH | extra) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => return Found::Missing,
            Err(e) => return Found::Unusable(std::io::Error::from(e).to_string()),
        };
        let kind = match rustix::fs::fstat(&fd) {
            Ok(stat) => rustix::fs::FileType::from_raw_mode(stat.st_mode),
            Err(e) => return Found::Unusable(std::io::Error::from(e).to_string()),
        };
        match kind {
            rustix::fs::FileType::Symlink => match rustix::fs::readlinkat(&fd, "", Vec::new()) {
                Ok(to) => Found::Link(to.to_string_lossy().into_owned()),
                Err(e) => Found::Unusable(std::io::Error::from(e).to_string()),
            },
            rustix::fs::FileType::Directory => match self.list(path) {
                Ok(names) => Found::Directory(names),
                Err(e) => Found::Unusable(std::io::Error::from(e).to_string()),
            },
            rustix::fs::FileType::RegularFile => match self.read(path) {
                Ok(bytes) => Found::File(bytes),
                Err(e) => Found::Unusable(crate::chain(&e)),
            },
            rustix::fs::FileType::CharacterDevice => Found::Unusable("is a device".into()),
            rustix::fs::FileType::BlockDevice => Found::Unusable("is a device".into()),
            rustix::fs::FileType::Fifo => Found::Unusable("is a pipe".into()),
            rustix::fs::FileType::Socket => Found::Unusable("is a socket".into()),
            rustix::fs::FileType::Unknown => Found::Unusable("is of an unknown kind".into()),
        }
    }
}

impl Files for Root {
    fn look(&self, path: &str) -> Found {
        self.found(path, OFlags::NOFOLLOW)
    }
    fn read(&self, path: &str) -> Found {
        self.found(path, OFlags::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside_and_odd_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        std::fs::create_dir(at("etc")).unwrap();
        std::fs::write(at("etc/real"), "x").unwrap();
        symlink("/etc/real", at("etc/absolute")).unwrap();
        symlink("../../../etc/real", at("etc/climbing")).unwrap();
        symlink("/nowhere", at("etc/dangling")).unwrap();
        std::fs::write(at("etc/huge"), vec![b'#'; MAX_FILE as usize + 1]).unwrap();
        rustix::fs::mkfifoat(CWD, at("etc/pipe"), Mode::RWXU).unwrap();
        let root = Root::new(dir.path());
        assert_eq!(Files::read(&root, "/etc/absolute"), Found::File(b"x".to_vec()));
        assert_eq!(Files::read(&root, "/etc/climbing"), Found::File(b"x".to_vec()));
        assert_eq!(root.look("/etc/absolute"), Found::Link("/etc/real".into()));
        assert_eq!(Files::read(&root, "/etc/dangling"), Found::Missing);
        assert_eq!(root.look("/etc/real/below"), Found::Missing);
        assert_eq!(root.look("/etc/pipe"), Found::Unusable("is a pipe".into()));
        assert!(matches!(root.look("/etc/huge"), Found::Unusable(_)));
        assert!(matches!(root.look("/"), Found::Directory(names) if names == ["etc"]));
        assert_eq!(root.read("/etc/real").unwrap(), b"x");
        assert!(root.read("/etc/none").unwrap_err().is_missing());
    }
}
