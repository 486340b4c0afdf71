//! pipe: the pipe that all processes of a unit write to. Its read end never blocks, its write end is theirs.
use super::Store;
use super::lines::{Lines, without_priority};
use crate::resume::fds::{Arrived, Fd, Kept};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// One drain reads at most so many pieces of 16 KiB before others get their turn.
const PIECES: usize = 8;

/// A unit's output pipe.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    lines: Lines,
}

/// A pipe as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPipe {
    read: Fd,
    write: Fd,
    /// The unfinished line.
    rest: Vec<u8>,
}

/// Whether a drain found the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing is left for now.
    Empty,
    /// There may be more; ask again.
    More,
}

impl Pipe {
    /// A new pipe. The write end blocks its writers, as they expect.
    pub fn new() -> Result<Pipe, Errno> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&read, true)?;
        Ok(Pipe { read, write, lines: Lines::default() })
    }

    /// All of it, for this program executed anew.
    pub fn keep(&self, fds: &mut Kept) -> KeptPipe {
        let (read, write) = (fds.add(&self.read), fds.add(&self.write));
        KeptPipe { read, write, rest: self.lines.begun().to_vec() }
    }

    /// Goes on where [`Pipe::keep`] was called; none if an end is gone.
    pub fn again(kept: KeptPipe, fds: &mut Arrived) -> Option<Pipe> {
        let (read, write) = (fds.take(kept.read), fds.take(kept.write));
        Some(Pipe { read: read?, write: write?, lines: Lines::again(kept.rest) })
    }

    /// Whether a line has begun and not ended.
    pub fn is_within_a_line(&self) -> bool {
        !self.lines.begun().is_empty()
    }

    /// For the child's stdout and stderr.
    pub fn write_end(&self) -> RawFd {
        self.write.as_raw_fd()
    }

    /// For the loop.
    pub fn read_end(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// Moves what is there into the store.
    pub fn drain(&mut self, unit: &str, store: &mut Store, at: u64) -> Drained {
        let mut buffer = [0u8; 16 * 1024];
        for _ in 0..PIECES {
            match rustix::io::read(&self.read, &mut buffer) {
                Ok(0) => return Drained::Empty,
                Ok(n) => {
                    let mut whole: Vec<Vec<u8>> = Vec::new();
                    self.lines
                        .push(buffer.get(..n).unwrap_or(&[]), |l| whole.push(without_priority(l).to_vec()));
                    store.keep(unit, at, whole.iter().map(Vec::as_slice));
                }
                Err(Errno::INTR) => (),
                Err(_) => return Drained::Empty,
            }
        }
        Drained::More
    }

    /// Everything there is, to the end, and the unfinished last line: its writers are gone.
    /// Bounded too, should a stranger hold the write end and go on.
    pub fn finish(&mut self, unit: &str, store: &mut Store, at: u64) {
        for _ in 0..16 {
            if self.drain(unit, store, at) == Drained::Empty {
                break;
            }
        }
        if let Some(rest) = self.lines.rest() {
            store.keep(unit, at, std::iter::once(without_priority(&rest)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_kept_to_the_last_byte() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(dir.path());
        let mut pipe = Pipe::new().unwrap();
        rustix::io::write(&pipe.write, b"<4>one\ntwo\nthr").unwrap();
        assert_eq!(pipe.drain("a.service", &mut store, 0), Drained::Empty);
        rustix::io::write(&pipe.write, b"ee").unwrap();
        pipe.finish("a.service", &mut store, 0);
        let text = std::fs::read_to_string(dir.path().join("a.service.log")).unwrap();
        let lines: Vec<_> = text.lines().filter_map(|l| l.split_once(' ')).map(|(_, t)| t).collect();
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn a_busy_writer_does_not_keep_the_loop() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(dir.path());
        let mut pipe = Pipe::new().unwrap();
        rustix::pipe::fcntl_setpipe_size(&pipe.write, 1024 * 1024).unwrap();
        let bulk = vec![b'\n'; PIECES * 16 * 1024 + 1];
        rustix::io::write(&pipe.write, &bulk).unwrap();
        assert_eq!(pipe.drain("a.service", &mut store, 0), Drained::More);
        assert_eq!(pipe.drain("a.service", &mut store, 0), Drained::Empty);
    }
}
