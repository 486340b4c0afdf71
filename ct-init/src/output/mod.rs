//! output: keeps what services say, in rotated files or in memory. Never blocks, never fails: it counts what it drops.
//!
//! Files are `/var/log/ct/UNIT.log` and `UNIT.log.1`, at most 1 MiB each; a line in them is
//! `2026-11-23T18:40:03.123456Z text`. Where the directory can't be written, the last lines stay in memory, and go to
//! their files once it can.
pub mod history;
pub mod lines;
pub mod pipe;
pub mod rotate;

use crate::proto::Line;
use rotate::Rotating;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

/// Where the files are, below the root.
pub const DIRECTORY: &str = "/var/log/ct";
/// So many bytes of lines stay in memory where there is no directory for them.
const RING_BYTES: usize = 256 * 1024;
/// After a failure the directory is tried again this many microseconds later.
const TRY_AGAIN: u64 = 5_000_000;

/// All output of a container.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    files: HashMap<String, Rotating>,
    ring: VecDeque<Line>,
    ring_bytes: usize,
    /// Why the last lines are in no file, and how many memory did not hold either.
    dropped: Option<(u64, String)>,
    retry_at: u64,
    /// Someone follows: copies of new lines go to `fresh`.
    pub followed: bool,
    fresh: Vec<Line>,
}

impl Store {
    /// Keeps files in `directory`, which need not exist yet.
    pub fn new(directory: &Path) -> Store {
        Store {
            directory: directory.to_owned(),
            files: HashMap::new(),
            ring: VecDeque::new(),
            ring_bytes: 0,
            dropped: None,
            retry_at: 0,
            followed: false,
            fresh: Vec::new(),
        }
    }

    /// Lets go of all files: their file system is about to go. Later lines stay in memory.
    pub fn close_all(&mut self) {
        self.files.clear();
        self.retry_at = u64::MAX;
    }

    /// Keeps lines of one unit, all of the moment `at` (microseconds since 1970).
    pub fn keep<'a>(&mut self, unit: &str, at: u64, lines: impl Iterator<Item = &'a [u8]>) {
        let stamp = crate::clock::stamp(at);
        let mut text = String::new();
        for line in lines {
            let line = String::from_utf8_lossy(line);
            let line = line.replace('\n', " ");
            text.push_str(&stamp);
            text.push(' ');
            text.push_str(&line);
            text.push('\n');
            if self.followed {
                self.fresh.push(Line { at, unit: unit.to_owned(), text: line });
            }
        }
        if !text.is_empty() {
            self.write(unit, at, &text);
        }
    }

    /// A file system has changed: the next lines go where the directory is now, however short ago it could not be
    /// written.
    pub fn try_again(&mut self) {
        if self.retry_at != u64::MAX {
            self.files.clear();
            self.retry_at = 0;
        }
    }

    fn write(&mut self, unit: &str, at: u64, text: &str) {
        // Further away than it was ever put: the clock was set back.
        let set_back = self.retry_at != u64::MAX && self.retry_at.saturating_sub(at) > TRY_AGAIN;
        if at >= self.retry_at || set_back {
            match self.save().and_then(|()| self.append(unit, at, text)) {
                Ok(()) => {
                    self.dropped = None;
                    return;
                }
                Err(e) => {
                    self.retry_at = at.saturating_add(TRY_AGAIN);
                    self.files.remove(unit);
                    let before = self.dropped.take().map_or(0, |(n, _)| n);
                    self.dropped = Some((before, e.to_string()));
                }
            }
        }
        self.remember(unit, at, text);
    }

    /// What only memory holds goes to its files, the oldest first.
    fn save(&mut self) -> io::Result<()> {
        while let Some(line) = self.ring.front().cloned() {
            let text = format!("{} {}\n", crate::clock::stamp(line.at), line.text);
            self.append(&line.unit, line.at, &text)?;
            self.ring_bytes -= line.text.len() + line.unit.len();
            self.ring.pop_front();
        }
        Ok(())
    }

    fn append(&mut self, unit: &str, at: u64, text: &str) -> io::Result<()> {
        if !self.files.contains_key(unit) {
            std::fs::create_dir_all(&self.directory)?;
            let file = Rotating::open(&self.directory.join(format!("{unit}.log")))?;
            self.files.insert(unit.to_owned(), file);
        }
        let Some(file) = self.files.get_mut(unit) else { return Ok(()) };
        if let Some((n, why)) = self.dropped.as_ref().filter(|(n, _)| *n > 0) {
            let stamp = crate::clock::stamp(at);
            file.append(format!("{stamp} [{n} lines were not kept: {why}]\n").as_bytes())?;
            self.dropped = None;
        }
        file.append(text.as_bytes())
    }

    fn remember(&mut self, unit: &str, at: u64, text: &str) {
        for line in text.lines() {
            let text = line.split_once(' ').map_or(line, |(_, t)| t).to_owned();
            self.ring_bytes += text.len() + unit.len();
            self.ring.push_back(Line { at, unit: unit.to_owned(), text });
        }
        while self.ring_bytes > RING_BYTES {
            let Some(old) = self.ring.pop_front() else { break };
            self.ring_bytes -= old.text.len() + old.unit.len();
            if let Some((lost, _)) = &mut self.dropped {
                *lost += 1;
            }
        }
    }

    /// Lines that only the memory of the program before this one held.
    pub fn remember_again(&mut self, lines: Vec<Line>) {
        self.ring_bytes = lines.iter().map(|l| l.text.len() + l.unit.len()).sum();
        self.ring = lines.into();
    }

    /// Closes a unit's file; it opens again with its next line.
    pub fn close(&mut self, unit: &str) {
        self.files.remove(unit);
    }

    /// How many lines the next call of [`Store::fresh`] has by now.
    pub fn fresh_so_far(&self) -> usize {
        self.fresh.len()
    }

    /// The lines since the last call, if `followed`.
    pub fn fresh(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.fresh)
    }

    /// Lines that only memory holds.
    pub fn ring(&self) -> impl Iterator<Item = &Line> {
        self.ring.iter()
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(store: &mut Store, unit: &str, at: u64, text: &str) {
        store.keep(unit, at, text.lines().map(str::as_bytes));
    }

    #[test]
    fn a_line_is_a_stamp_and_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(&dir.path().join("log"));
        keep(&mut store, "a.service", 1_000_000, "one\ntwo");
        let text = std::fs::read_to_string(dir.path().join("log/a.service.log")).unwrap();
        assert_eq!(text, "1970-01-01T00:00:01.000000Z one\n1970-01-01T00:00:01.000000Z two\n");
        assert_eq!(store.ring().count(), 0);
    }

    #[test]
    fn without_a_directory_memory_keeps_the_last_lines_until_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "in the way").unwrap();
        let mut store = Store::new(&log);
        keep(&mut store, "a.service", 1, "early\nalso early");
        assert_eq!(store.ring().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["early", "also early"]);
        std::fs::remove_file(&log).unwrap();
        keep(&mut store, "b.service", 2, "too soon");
        assert!(!log.exists());
        keep(&mut store, "a.service", TRY_AGAIN + 1, "back");
        let text = |unit: &str| {
            let text = std::fs::read_to_string(log.join(format!("{unit}.log"))).unwrap();
            text.lines().map(|l| l.split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(text("a.service"), ["early", "also early", "back"]);
        assert_eq!(text("b.service"), ["too soon"]);
        assert_eq!(store.ring().count(), 0);
    }

    #[test]
    fn what_memory_does_not_hold_either_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "in the way").unwrap();
        let mut store = Store::new(&log);
        for at in 0..200 {
            keep(&mut store, "a.service", at, &"x".repeat(lines::MAX_LINE));
        }
        let held = store.ring().count();
        std::fs::remove_file(&log).unwrap();
        store.try_again();
        keep(&mut store, "a.service", 300, "back");
        let text = std::fs::read_to_string(log.join("a.service.log")).unwrap();
        assert!(text.contains(&format!("[{} lines were not kept: ", 200 - held)), "{} held", held);
        assert!(text.ends_with(" back\n"));
    }

    #[test]
    fn memory_is_bounded() {
        let mut store = Store::new(Path::new("/dev/null/none"));
        for at in 0..200 {
            keep(&mut store, "a.service", at, &"x".repeat(lines::MAX_LINE));
        }
        assert!(store.ring_bytes <= RING_BYTES);
        assert_eq!(store.ring().last().map(|l| l.at), Some(199));
    }

    #[test]
    fn followers_get_copies() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(dir.path());
        keep(&mut store, "a.service", 1, "before");
        store.followed = true;
        keep(&mut store, "b.service", 2, "after");
        assert_eq!(store.fresh().iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["after"]);
        assert!(store.fresh().is_empty());
    }
}
