//! rotate: one log file and its older half, `x.log` and `x.log.1`. Never more than twice its size on the disk.
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that is renamed to `….1` once it has this many bytes.
pub const MAX_SIZE: u64 = 1024 * 1024;

/// A log file, open for appending.
#[derive(Debug)]
pub struct Rotating {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Rotating {
    /// Opens or creates it; never follows a link at its end, never opens anything but a regular file.
    pub fn open(path: &Path) -> io::Result<Rotating> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(Rotating { path: path.to_owned(), file, size: meta.len() })
    }

    /// Appends whole lines; rotates first if they would make the file too large.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + lines.len() as u64 > MAX_SIZE {
            std::fs::rename(&self.path, older(&self.path))?;
            *self = Rotating::open(&self.path)?;
        }
        let before = self.size;
        match self.file.write_all(lines) {
            Ok(()) => {
                self.size += lines.len() as u64;
                Ok(())
            }
            Err(e) => {
                // Half a line would run into the next one.
                self.size = match self.file.set_len(before) {
                    Ok(()) => before,
                    Err(_) => self.file.metadata().map_or(before, |m| m.len()),
                };
                Err(e)
            }
        }
    }
}

/// Where `x.log` goes when it is full: `x.log.1`.
pub fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_becomes_the_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let mut log = Rotating::open(&path).unwrap();
        let half = vec![b'a'; (MAX_SIZE / 2) as usize];
        for letter in [b'a', b'b', b'c', b'd', b'e'] {
            let mut chunk = half.clone();
            chunk.fill(letter);
            log.append(&chunk).unwrap();
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), MAX_SIZE / 2);
        assert_eq!(std::fs::read(&path).unwrap()[0], b'e');
        assert_eq!(std::fs::read(older(&path)).unwrap()[0], b'c');
        assert_eq!(std::fs::metadata(older(&path)).unwrap().len(), MAX_SIZE);
        drop(log);
        assert_eq!(Rotating::open(&path).unwrap().size, MAX_SIZE / 2);
    }

    #[test]
    fn a_link_or_a_device_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link.log")).unwrap();
        assert!(Rotating::open(&dir.path().join("link.log")).is_err());
        assert!(Rotating::open(Path::new("/dev/null")).is_err());
    }
}
