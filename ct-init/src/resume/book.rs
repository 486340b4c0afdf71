//! book: a memory file that outlives the program: its state as of the last turn, and what has happened since. A write
//! that was cut off is told by its checksum, and the one before counts.
//!
//! ```text
//!      0  head: magic, format, the program's own file, the highest descriptor in use, flags; the same in every format
//!     64  the crash, noted by the handler (ct_sys::again)
//!    128  when it crashed before; at 256 the state that the last crash fell back to
//!    512  the words of a panic
//!   4096  the diary: entries since the last state, one behind the other
//!  1 MiB  two places for the state, written in turn; then two for the units
//! ```
use ct_sys::again::{CRASH_AT, Crash, MAX_WORDS, WORDS_AT};
use rustix::fs::MemfdFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use units::values::Tick;

/// Raised whenever a state is written differently: a program that reads another format gives the process back to the
/// file that it came from. A test in `snapshot` knows the bytes.
pub const FORMAT: u32 = 1;
const MAGIC: u64 = u64::from_le_bytes(*b"ct-init\x01");

/// Where the format is.
pub const FORMAT_AT: u64 = 8;
/// Where the flags are.
pub const FLAGS_AT: u64 = 20;
const CRASHES_AT: u64 = 128;
const FELL_BACK_AT: u64 = 256;
/// So many crashes are remembered.
const CRASHES: usize = 16;
const DIARY_AT: u64 = 4096;
const DIARY_END: u64 = 1 << 20;
const PLACES_AT: u64 = 1 << 20;
const PLACE: u64 = 64 << 20;
const HEAD: usize = 24;

/// It must never end: a host's PID 1.
pub const STAYS: u32 = 1;
/// Another file was executed, could not read the state and gave the process back.
pub const GIVEN_BACK: u32 = 2;

/// What is kept in two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All that changes.
    State,
    /// What the unit files say.
    Units,
}

/// The book, open.
#[derive(Debug)]
pub struct Book {
    file: File,
    /// Of the last state written.
    generation: u64,
    /// Of the last units written.
    units: u64,
    /// Where the next entry of the diary goes.
    diary: u64,
}

impl Book {
    /// A fresh one; `own` is the file that this program was executed from.
    pub fn new(own: BorrowedFd<'_>) -> io::Result<Book> {
        let file = File::from(rustix::fs::memfd_create("ct-init-book", MemfdFlags::CLOEXEC)?);
        let book = Book { file, generation: 0, units: 0, diary: DIARY_AT };
        book.sign(own)?;
        Ok(book)
    }

    /// The one that this program was handed; none if it is not one. Also the format it is in.
    pub fn handed(fd: OwnedFd) -> Option<(Book, u32)> {
        let file = File::from(fd);
        let mut head = [0u8; 12];
        file.read_exact_at(&mut head, 0).ok()?;
        let (magic, format) = head.split_at(8);
        if u64::from_le_bytes(magic.try_into().ok()?) != MAGIC {
            return None;
        }
        let mut book = Book { file, generation: 0, units: 0, diary: DIARY_AT };
        book.generation = book.newest(Part::State).map_or(0, |(g, _)| g);
        book.units = book.newest(Part::Units).map_or(0, |(g, _)| g);
        Some((book, u32::from_le_bytes(format.try_into().ok()?)))
    }

    /// Says whose it is from now on.
    pub fn sign(&self, own: BorrowedFd<'_>) -> io::Result<()> {
        let mut head = Vec::with_capacity(16);
        head.extend_from_slice(&MAGIC.to_le_bytes());
        head.extend_from_slice(&FORMAT.to_le_bytes());
        head.extend_from_slice(&own.as_raw_fd().to_le_bytes());
        self.file.write_all_at(&head, 0)
    }

    /// The file of the program that has signed it, and the highest descriptor in use.
    pub fn signed(&self) -> (RawFd, RawFd) {
        let mut bytes = [0u8; 8];
        let _short = self.file.read_exact_at(&mut bytes, 12);
        let [a, b, c, d, e, f, g, h] = bytes;
        (RawFd::from_le_bytes([a, b, c, d]), RawFd::from_le_bytes([e, f, g, h]))
    }

    /// What is known without reading the state.
    pub fn flags(&self) -> u32 {
        let mut bytes = [0u8; 4];
        let _none = self.file.read_exact_at(&mut bytes, FLAGS_AT);
        u32::from_le_bytes(bytes)
    }

    /// Says it.
    pub fn set_flags(&self, flags: u32) {
        let _kept = self.file.write_all_at(&flags.to_le_bytes(), FLAGS_AT);
    }

    /// After a crash: whether the one before fell back to the same state, so that no turn was finished in between.
    pub fn falls_back_again(&self) -> bool {
        let mut bytes = [0u8; 8];
        let _none = self.file.read_exact_at(&mut bytes, FELL_BACK_AT);
        let _kept = self.file.write_all_at(&self.generation.to_le_bytes(), FELL_BACK_AT);
        u64::from_le_bytes(bytes) == self.generation
    }

    /// Writes the state; what the diary says is part of it now.
    pub fn write(&mut self, state: &impl Serialize, highest: RawFd) -> io::Result<()> {
        let bytes = postcard::to_stdvec(state).map_err(io::Error::other)?;
        self.place(Part::State, self.generation + 1, &bytes)?;
        self.file.write_all_at(&highest.to_le_bytes(), 16)?;
        self.generation += 1;
        self.diary = DIARY_AT;
        Ok(())
    }

    /// Writes the units. The state that names new ones is written after them.
    pub fn write_units(&mut self, units: &impl Serialize) -> io::Result<()> {
        let bytes = postcard::to_stdvec(units).map_err(io::Error::other)?;
        self.place(Part::Units, self.units + 1, &bytes)?;
        self.units += 1;
        Ok(())
    }

    /// Reads the newest whole one of a part.
    pub fn read<T: DeserializeOwned>(&self, part: Part) -> Option<T> {
        let (_, bytes) = self.newest(part)?;
        postcard::from_bytes(&bytes).ok()
    }

    /// Adds an entry to the diary: it has happened, or is about to, and no state knows of it.
    pub fn note(&mut self, entry: &impl Serialize) {
        let Ok(bytes) = postcard::to_stdvec(entry) else { return };
        let mut all = Vec::with_capacity(bytes.len() + 12);
        all.extend_from_slice(&self.generation.to_le_bytes());
        all.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
        all.extend_from_slice(&bytes);
        // What follows is of an earlier state, but not of this one's number: the mark of the end.
        let end = self.diary + all.len() as u64;
        all.extend_from_slice(&[0; 8]);
        if end + 8 <= DIARY_END && self.file.write_all_at(&all, self.diary).is_ok() {
            self.diary = end;
        }
    }

    /// What the diary says that the newest state does not know.
    pub fn diary<T: DeserializeOwned>(&self) -> Vec<T> {
        let mut entries = Vec::new();
        let mut at = DIARY_AT;
        loop {
            let mut head = [0u8; 12];
            if self.file.read_exact_at(&mut head, at).is_err() || at >= DIARY_END {
                return entries;
            }
            let (generation, length) = head.split_at(8);
            let generation = generation.try_into().map_or(0, u64::from_le_bytes);
            let length = length.try_into().map_or(0, u32::from_le_bytes);
            if generation != self.generation || u64::from(length) > DIARY_END {
                return entries;
            }
            let mut bytes = vec![0u8; usize::try_from(length).unwrap_or(0)];
            if self.file.read_exact_at(&mut bytes, at + 12).is_err() {
                return entries;
            }
            let Ok(entry) = postcard::from_bytes(&bytes) else { return entries };
            entries.push(entry);
            at += 12 + u64::from(length);
        }
    }

    /// What the handler has noted, once; the words of the panic that led to it.
    pub fn take_crash(&self) -> Option<(Crash, String)> {
        let mut bytes = [0u8; Crash::LEN];
        self.file.read_exact_at(&mut bytes, CRASH_AT).ok()?;
        let crash = Crash::decode(&bytes)?;
        let mut length = [0u8; 4];
        let _none = self.file.read_exact_at(&mut length, WORDS_AT);
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(0).min(MAX_WORDS);
        let mut words = vec![0u8; length];
        let _none = self.file.read_exact_at(&mut words, WORDS_AT + 4);
        let _kept = self.file.write_all_at(&[0; Crash::LEN], CRASH_AT);
        let _kept = self.file.write_all_at(&[0; 4], WORDS_AT);
        Some((crash, String::from_utf8_lossy(&words).into_owned()))
    }

    /// When it has crashed before, the newest last.
    pub fn crashes(&self) -> Vec<Tick> {
        let mut bytes = [0u8; CRASHES * 8];
        let _none = self.file.read_exact_at(&mut bytes, CRASHES_AT);
        let times = bytes.chunks_exact(8).map(|c| c.try_into().map_or(0, u64::from_le_bytes));
        times.filter(|t| *t > 0).map(Tick).collect()
    }

    /// Remembers the newest of these.
    pub fn keep_crashes(&self, times: &[Tick]) {
        let newest = times.get(times.len().saturating_sub(CRASHES)..).unwrap_or_default();
        let mut bytes = [0u8; CRASHES * 8];
        for (to, from) in bytes.chunks_exact_mut(8).zip(newest) {
            to.copy_from_slice(&from.0.to_le_bytes());
        }
        let _kept = self.file.write_all_at(&bytes, CRASHES_AT);
    }

    fn place(&self, part: Part, generation: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > PLACE - HEAD as u64 {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let at = start(part, generation % 2);
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(&generation.to_le_bytes());
        head.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        head.extend_from_slice(&checksum(generation, bytes).to_le_bytes());
        self.file.write_all_at(bytes, at + HEAD as u64)?;
        self.file.write_all_at(&head, at)
    }

    fn newest(&self, part: Part) -> Option<(u64, Vec<u8>)> {
        (0..2).filter_map(|n| self.whole(start(part, n))).max_by_key(|(generation, _)| *generation)
    }

    fn whole(&self, at: u64) -> Option<(u64, Vec<u8>)> {
        let mut head = [0u8; HEAD];
        self.file.read_exact_at(&mut head, at).ok()?;
        let mut words = head.chunks_exact(8).map(|c| c.try_into().map_or(0, u64::from_le_bytes));
        let (generation, length, sum) = (words.next()?, words.next()?, words.next()?);
        if generation == 0 || length > PLACE {
            return None;
        }
        let mut bytes = vec![0u8; usize::try_from(length).ok()?];
        self.file.read_exact_at(&mut bytes, at + HEAD as u64).ok()?;
        (checksum(generation, &bytes) == sum).then_some((generation, bytes))
    }
}

impl AsFd for Book {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn start(part: Part, place: u64) -> u64 {
    let first = match part {
        Part::State => 0,
        Part::Units => 2,
    };
    PLACES_AT + (first + place) * PLACE
}

/// FNV-1a over words of eight bytes.
pub(crate) fn checksum(generation: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut sum = 0xcbf2_9ce4_8422_2325 ^ generation;
    let mut add = |word: u64| sum = (sum ^ word).wrapping_mul(PRIME).rotate_left(29);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        add(word.try_into().map_or(0, u64::from_le_bytes));
    }
    words.remainder().iter().for_each(|b| add(u64::from(*b)));
    add(bytes.len() as u64);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Book {
        Book::new(File::open("/dev/null").unwrap().as_fd()).unwrap()
    }
    fn again(book: &Book) -> Book {
        Book::handed(book.file.try_clone().unwrap().into()).unwrap().0
    }

    #[test]
    fn the_newest_state_that_is_whole_counts() {
        let mut book = book();
        assert_eq!(book.read::<String>(Part::State), None);
        for text in ["one", "two", "three"] {
            book.write(&text, 9).unwrap();
            assert_eq!(again(&book).read::<String>(Part::State).as_deref(), Some(text));
        }
        assert_eq!(again(&book).signed().1, 9);
        // The third is in the place of the first; one byte of it is wrong, as after a write that was cut off.
        book.file.write_all_at(b"x", start(Part::State, 1) + HEAD as u64 + 2).unwrap();
        assert_eq!(again(&book).read::<String>(Part::State).as_deref(), Some("two"));
        book.file.write_all_at(b"x", start(Part::State, 0) + HEAD as u64 + 2).unwrap();
        assert_eq!(again(&book).read::<String>(Part::State), None);
        assert_eq!(again(&book).read::<String>(Part::Units), None);
    }

    #[test]
    fn the_diary_is_about_the_last_state_only() {
        let mut book = book();
        book.write(&1, 0).unwrap();
        for text in ["a", "bb", ""] {
            book.note(&text);
        }
        assert_eq!(again(&book).diary::<String>(), ["a", "bb", ""]);
        book.write(&2, 0).unwrap();
        assert!(again(&book).diary::<String>().is_empty());
        book.note(&"c");
        assert_eq!(again(&book).diary::<String>(), ["c"]);
        book.write(&3, 0).unwrap();
        book.write(&4, 0).unwrap();
        assert!(again(&book).diary::<String>().is_empty());
    }

    #[test]
    fn a_full_diary_takes_no_more() {
        let mut book = book();
        book.write(&1, 0).unwrap();
        let long = "x".repeat(60_000);
        (0..40).for_each(|_| book.note(&long));
        let kept = again(&book).diary::<String>();
        assert!((10..40).contains(&kept.len()), "{}", kept.len());
    }

    #[test]
    fn crashes_are_remembered_and_told_once() {
        let book = book();
        assert_eq!(book.take_crash(), None);
        let crash = Crash { signal: 11, code: 1, address: 2 };
        book.file.write_all_at(&crash.encode(), CRASH_AT).unwrap();
        book.file.write_all_at(b"\x03\0\0\0why", WORDS_AT).unwrap();
        assert_eq!(book.take_crash(), Some((crash, "why".to_owned())));
        assert_eq!(book.take_crash(), None);
        let times: Vec<Tick> = (1..=20).map(Tick).collect();
        book.keep_crashes(&times);
        assert_eq!(book.crashes(), times[4..]);
    }

    #[test]
    fn a_second_fall_to_the_same_state_is_seen() {
        let mut book = book();
        book.write(&1, 0).unwrap();
        assert!(!book.falls_back_again());
        assert!(again(&book).falls_back_again());
        book.write(&2, 0).unwrap();
        assert!(!again(&book).falls_back_again());
    }

    #[test]
    fn what_is_no_book_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 4096], 0).unwrap();
        assert!(Book::handed(file.into()).is_none());
    }
}
