//! fds: descriptors as numbers, on their way through an exec. Each is taken once, and only if it is still the same.
use rustix::fs::fstat;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// A descriptor that goes over: its number, and what it is, should that number be another's by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fd {
    number: RawFd,
    device: u64,
    inode: u64,
}

/// All that go over.
#[derive(Debug, Default)]
pub struct Kept(BTreeSet<Fd>);

impl Kept {
    /// This one, too.
    pub fn add(&mut self, fd: impl AsFd) -> Fd {
        let number = fd.as_fd().as_raw_fd();
        let (device, inode) = fstat(fd).map_or((0, 0), |s| (s.st_dev, s.st_ino));
        let kept = Fd { number, device, inode };
        self.0.insert(kept);
        kept
    }

    /// This one, too, if there is one.
    pub fn maybe(&mut self, fd: Option<impl AsFd>) -> Option<Fd> {
        fd.map(|fd| self.add(fd))
    }

    /// In order of their numbers.
    pub fn all(&self) -> Vec<Fd> {
        self.0.iter().copied().collect()
    }

    /// The highest number.
    pub fn highest(&self) -> RawFd {
        self.0.last().map_or(2, |fd| fd.number)
    }
}

/// All that have come over, to be taken.
#[derive(Debug, Default)]
pub struct Arrived(BTreeSet<Fd>);

impl Arrived {
    /// Those of this list that are still what they were; every other descriptor from 3 on is closed, but `also`.
    pub fn only(list: &[Fd], also: &[RawFd]) -> Arrived {
        let same: BTreeSet<Fd> = list.iter().copied().filter(|fd| fd.is_same()).collect();
        let numbers: BTreeSet<RawFd> = same.iter().map(|fd| fd.number).chain(also.iter().copied()).collect();
        // Before Linux 5.9 what is not known stays open, and is marked close-on-exec by the caller.
        let _older = ct_sys::again::close_except(&numbers);
        Arrived(same)
    }

    /// Takes it, once.
    pub fn take(&mut self, fd: Fd) -> Option<OwnedFd> {
        if self.0.remove(&fd) { ct_sys::proc::inherited(fd.number) } else { None }
    }

    /// Closes what nobody has taken.
    pub fn finish(mut self) {
        while let Some(fd) = self.0.pop_first() {
            drop(ct_sys::proc::inherited(fd.number));
        }
    }
}

impl Fd {
    fn is_same(&self) -> bool {
        ct_sys::proc::identity(self.number) == Some((self.device, self.inode))
    }
}
