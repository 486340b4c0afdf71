//! history: reads kept lines back, all units in order of time, one line a call. Never holds more than one line a file.
use super::Store;
use super::rotate::older;
use crate::proto::{Line, Logs};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};

/// How much of a file is looked at backwards at a time.
const BLOCK: u64 = 32 * 1024;

/// An iterator over old lines.
#[derive(Debug)]
pub struct History {
    sources: Vec<Source>,
    ring: VecDeque<Line>,
    since: u64,
    skip: usize,
}

#[derive(Debug)]
struct Source {
    unit: String,
    /// Each only as long as it was in the beginning: what comes later is new.
    files: VecDeque<BufReader<Take<File>>>,
    next: Option<Line>,
}

impl Store {
    /// The lines that `wanted` asks for.
    pub fn history(&self, wanted: &Logs) -> History {
        let limit = wanted.lines.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let since = wanted.since.unwrap_or(0);
        let named = |unit: &str| wanted.unit.as_ref().is_none_or(|w| w == unit);
        let mut ring: VecDeque<Line> =
            self.ring().filter(|l| named(&l.unit) && l.at >= since).cloned().collect();
        if let Some(limit) = limit {
            ring.drain(..ring.len().saturating_sub(limit));
        }
        let mut sources = Vec::new();
        let mut total = ring.len();
        for (unit, path) in files(self.directory()).filter(|(unit, _)| named(unit)) {
            let mut source = Source { unit, files: VecDeque::new(), next: None };
            total += source.open(&path, limit.unwrap_or(usize::MAX));
            source.advance(since);
            sources.push(source);
        }
        History { sources, ring, since, skip: limit.map_or(0, |limit| total.saturating_sub(limit)) }
    }
}

fn files(directory: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut all: Vec<_> = entries
        .filter_map(|e| Some((e.file_name().to_str()?.strip_suffix(".log")?.to_owned(), e.path())))
        .collect();
    all.sort_unstable();
    all.into_iter()
}

impl Source {
    /// Opens both generations so that at most `limit` lines are ahead; how many are.
    fn open(&mut self, path: &Path, limit: usize) -> usize {
        let mut ahead = 0;
        for path in [path.to_owned(), older(path)] {
            let Ok(mut file) = File::open(path) else { continue };
            if !file.metadata().is_ok_and(|m| m.is_file()) || ahead >= limit {
                continue;
            }
            let Ok(lines) = seek_tail(&mut file, limit - ahead) else { continue };
            let (end, at) = (file.metadata().map_or(0, |m| m.len()), file.stream_position().unwrap_or(0));
            ahead += lines;
            self.files.push_front(BufReader::new(file.take(end.saturating_sub(at))));
        }
        ahead
    }

    fn advance(&mut self, since: u64) {
        self.next = None;
        while let Some(file) = self.files.front_mut() {
            let mut bytes = Vec::new();
            let limit = super::lines::MAX_LINE as u64 * 4;
            match file.by_ref().take(limit).read_until(b'\n', &mut bytes) {
                Ok(n) if n > 0 => {
                    if let Some((at, text)) = read_line(&bytes)
                        && at >= since
                    {
                        self.next = Some(Line { at, unit: self.unit.clone(), text });
                        return;
                    }
                }
                Ok(_) | Err(_) => {
                    self.files.pop_front();
                }
            }
        }
    }
}

fn read_line(bytes: &[u8]) -> Option<(u64, String)> {
    let text = String::from_utf8_lossy(bytes.strip_suffix(b"\n")?);
    let (stamp, text) = text.split_once(' ')?;
    Some((crate::clock::unstamp(stamp)?, text.to_owned()))
}

/// Moves to where at most `limit` lines are left; how many are.
fn seek_tail(file: &mut File, limit: usize) -> std::io::Result<usize> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut lines = 0;
    let mut block = Vec::new();
    let whole = end;
    while end > 0 && limit != usize::MAX {
        let from = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(from))?;
        block.clear();
        file.by_ref().take(end - from).read_to_end(&mut block)?;
        for (i, _) in block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            let after = from + i as u64 + 1;
            if lines == limit {
                file.seek(SeekFrom::Start(after))?;
                return Ok(lines);
            }
            // The newline at the very end closes the last line; every other one closes the line before it.
            lines += 1;
            debug_assert!(after <= whole);
        }
        end = from;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(lines)
}

impl Iterator for History {
    type Item = Line;
    fn next(&mut self) -> Option<Line> {
        loop {
            let line = self.pop()?;
            if self.skip == 0 {
                return Some(line);
            }
            self.skip -= 1;
        }
    }
}

impl History {
    fn pop(&mut self) -> Option<Line> {
        let oldest = self
            .sources
            .iter_mut()
            .filter(|s| s.next.is_some())
            .min_by_key(|s| s.next.as_ref().map(|l| l.at));
        let in_file = oldest.as_ref().and_then(|s| s.next.as_ref()).map(|l| l.at);
        match (oldest, in_file, self.ring.front().map(|l| l.at)) {
            (Some(source), Some(at), ring) if ring.is_none_or(|r| at <= r) => {
                let line = source.next.take();
                source.advance(self.since);
                line
            }
            (_, _, _) => self.ring.pop_front(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(dir.path());
        for at in 0..100u64 {
            let unit = if at % 2 == 0 { "even.service" } else { "odd.service" };
            store.keep(unit, at * 1_000_000, std::iter::once(format!("line {at}").as_bytes()));
        }
        (dir, store)
    }

    #[test]
    fn lines_come_back_in_order_of_time() {
        let (_dir, store) = store();
        let check = |wanted: Logs, first: Option<u64>, count: usize| {
            let got: Vec<Line> = store.history(&wanted).collect();
            assert_eq!((got.first().map(|l| l.at / 1_000_000), got.len()), (first, count), "{wanted:?}");
            assert!(got.is_sorted_by_key(|l| l.at), "{wanted:?}");
        };
        let all = Logs::default();
        let unit = |u: &str| Some(u.to_owned());
        check(all.clone(), Some(0), 100);
        check(Logs { lines: Some(7), ..all.clone() }, Some(93), 7);
        check(Logs { lines: Some(0), ..all.clone() }, None, 0);
        check(Logs { lines: Some(1000), ..all.clone() }, Some(0), 100);
        check(Logs { unit: unit("odd.service"), ..all.clone() }, Some(1), 50);
        check(Logs { unit: unit("odd.service"), lines: Some(3), ..all.clone() }, Some(95), 3);
        check(Logs { unit: unit("none.service"), ..all.clone() }, None, 0);
        check(Logs { since: Some(90_000_000), ..all.clone() }, Some(90), 10);
    }

    #[test]
    fn both_generations_and_memory_are_read() {
        let (dir, mut store) = store();
        let path = dir.path().join("even.service.log");
        std::fs::rename(&path, older(&path)).unwrap();
        store.close("even.service");
        store.keep("even.service", 100_000_000, std::iter::once(&b"newest file"[..]));
        store.ring.push_back(Line { at: 101_000_000, unit: "even.service".into(), text: "memory".into() });
        let wanted = Logs { unit: Some("even.service".into()), lines: Some(4), ..Logs::default() };
        let got: Vec<String> = store.history(&wanted).map(|l| l.text).collect();
        assert_eq!(got, ["line 96", "line 98", "newest file", "memory"]);
    }

    #[test]
    fn a_damaged_file_loses_only_its_damage() {
        let (dir, store) = store();
        std::fs::write(
            dir.path().join("bad.service.log"),
            b"\xff\xfe\nno stamp here\n1970-01-01T00:00:00Z kept\ntorn",
        )
        .unwrap();
        let wanted = Logs { unit: Some("bad.service".into()), ..Logs::default() };
        assert_eq!(store.history(&wanted).map(|l| l.text).collect::<Vec<_>>(), ["kept"]);
    }
}
