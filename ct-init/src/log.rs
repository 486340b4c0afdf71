//! log: ct-init's own words, to the store under the name `ct-init` and to the console. Never blocks on either.
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use slog::{Drain, KV, Key, Logger, Never, OwnedKVList, Record, Serializer};
use std::collections::VecDeque;
use std::fmt::{Arguments, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};

/// The name under which ct-init's own lines are kept.
pub const NAME: &str = "ct-init";
/// Lines that may wait for the store.
const MAX_WAITING: usize = 1024;

/// Lines on their way to the store.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Mutex<Vec<String>>>);

impl Waiting {
    /// Takes them.
    pub fn take(&self) -> Vec<String> {
        self.0.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default()
    }
}

/// A logger and where its lines wait. With `console`, they also go to stderr.
pub fn logger(console: bool) -> (Logger, Waiting) {
    let waiting = Waiting::default();
    let drain = Lines { waiting: waiting.clone(), console };
    (Logger::root(drain, slog::o!()), waiting)
}

struct Lines {
    waiting: Waiting,
    console: bool,
}

impl Drain for Lines {
    type Ok = ();
    type Err = Never;
    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if record.level() >= slog::Level::Debug {
            return Ok(());
        }
        let mut line = Fields(record.msg().to_string());
        // Writing to a string can't fail; a value that can't be shown is left out.
        let _shown =
            record.kv().serialize(record, &mut line).and_then(|()| values.serialize(record, &mut line));
        let line = match record.level() {
            slog::Level::Critical | slog::Level::Error => format!("error: {}", line.0),
            slog::Level::Warning => format!("warning: {}", line.0),
            slog::Level::Info | slog::Level::Debug | slog::Level::Trace => line.0,
        };
        if self.console {
            say(&format!("{NAME}: {line}\n"));
        }
        if let Ok(mut waiting) = self.waiting.0.lock()
            && waiting.len() < MAX_WAITING
        {
            waiting.push(line);
        }
        Ok(())
    }
}

/// The kernel's log takes lines of less than this, in bytes (PRINTKRB_RECORD_MAX of printk.c).
const KERNEL_LINE: usize = 976;

/// Bytes that the console has not taken yet; more than these are not kept for it.
const MAX_PENDING: usize = 64 * 1024;
static PENDING: Mutex<VecDeque<u8>> = Mutex::new(VecDeque::new());

/// To stderr as soon as it takes the line, behind those that wait: a serial line is slower than a boot.
pub(crate) fn say(line: &str) {
    let kernel = rustix::fs::makedev(1, 11);
    if rustix::fs::fstat(std::io::stderr()).is_ok_and(|s| s.st_rdev == kernel) {
        // A host without a console. It never waits, and poll knows nothing of it.
        let end = crate::engine::unit::bounded(line, KERNEL_LINE).len();
        let _lost = rustix::io::write(std::io::stderr(), line.as_bytes().get(..end).unwrap_or(&[]));
        return;
    }
    if let Ok(mut pending) = PENDING.lock()
        && pending.len() + line.len() <= MAX_PENDING
    {
        pending.extend(line.as_bytes());
    }
    flush();
}

/// Writes what waits, as far as stderr takes it at once.
pub(crate) fn flush() {
    let Ok(mut pending) = PENDING.lock() else { return };
    while !pending.is_empty() && takes(Timespec { tv_sec: 0, tv_nsec: 0 }) {
        let (first, _) = pending.as_slices();
        // A pipe that is ready takes 4096 bytes without waiting; a terminal is open without waiting.
        let end = first.len().min(4096);
        match rustix::io::write(std::io::stderr(), first.get(..end).unwrap_or(&[])) {
            Ok(n) => drop(pending.drain(..n)),
            Err(_) => break,
        }
    }
}

/// Hands stderr to whoever tells when it takes more; a file does at any time.
pub(crate) fn listen(to: impl FnOnce(BorrowedFd<'_>)) {
    let stderr = std::io::stderr();
    let waits = |s: rustix::fs::Stat| match FileType::from_raw_mode(s.st_mode) {
        FileType::Fifo | FileType::Socket => true,
        FileType::CharacterDevice => rustix::termios::isatty(&stderr),
        FileType::RegularFile
        | FileType::Directory
        | FileType::Symlink
        | FileType::BlockDevice
        | FileType::Unknown => false,
    };
    if rustix::fs::fstat(&stderr).is_ok_and(waits) {
        to(stderr.as_fd());
    }
}

/// The last words of a machine: gives stderr a moment to take what waits.
pub(crate) fn drain() {
    for _ in 0..20 {
        flush();
        let empty = PENDING.lock().is_ok_and(|p| p.is_empty());
        if empty || !takes(Timespec { tv_sec: 1, tv_nsec: 0 }) {
            return;
        }
    }
}

fn takes(limit: Timespec) -> bool {
    let stderr = std::io::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    poll(&mut fds, Some(&limit)).is_ok_and(|n| n > 0) && fds.iter().all(|f| f.revents() == PollFlags::OUT)
}

struct Fields(String);

impl Serializer for Fields {
    fn emit_arguments(&mut self, key: Key, value: &Arguments<'_>) -> slog::Result {
        write!(self.0, ", {key}: {value}").map_err(slog::Error::from)
    }
}
