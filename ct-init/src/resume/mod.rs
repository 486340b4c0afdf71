//! resume: this program executed anew takes up where it was: on request, or after a bug of its own.
//!
//! What it has to know is in a [`book::Book`]. Nothing here starts or stops a service.
pub mod book;
pub mod fds;
pub mod last;
pub mod snapshot;

use crate::pid1::Pid1;
use book::{Book, FORMAT, GIVEN_BACK, Part, STAYS};
use ct_sys::again::{Crash, GIVES_UP};
use fds::Arrived;
use slog::{Logger, crit, error};
use snapshot::{Program, Snapshot};
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::Duration;
use units::schema::Unit;

/// The word before the number of the book's descriptor.
const WORD: &str = "--resume";
/// More crashes than this in this time, and it gives up.
const MOST: usize = 5;
const WITHIN: Duration = Duration::from_secs(60);

/// The book's descriptor, where this program was executed anew.
pub fn handed() -> Option<RawFd> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.as_slice() {
        [word, fd] if word == WORD => fd.to_str()?.parse().ok(),
        _ => None,
    }
}

/// The file that this program was executed from, above the descriptors that services are handed sockets as.
pub fn own_file() -> std::io::Result<OwnedFd> {
    let own = crate::root::Root::new("/").open("/proc/self/exe", rustix::fs::OFlags::PATH)?;
    let first = 3 + i32::try_from(crate::engine::sockets::MAX_SOCKETS).unwrap_or(0);
    Ok(rustix::io::fcntl_dupfd_cloexec(own, first)?)
}

/// What is now at the path that this program was executed from: the new one after an upgrade. Only for a program that
/// was found by its path: a container's was not, and a path would be one of its own files.
pub fn usual_file() -> Option<OwnedFd> {
    let path = std::fs::read_link("/proc/self/exe").ok()?;
    let path = path.to_str()?;
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    crate::root::Root::new("/").open(path, rustix::fs::OFlags::PATH).ok()
}

/// From now on a bug has `own`, which stays open, executed anew. `stays` is for a PID 1 that must not end.
pub fn arm(book: &Book, own: &OwnedFd, stays: bool) -> Result<(), std::io::Error> {
    let number = book.as_fd().as_raw_fd().to_string();
    let argv = ["ct-init", WORD, &number].into_iter().filter_map(|w| CString::new(w).ok());
    let env = std::env::vars_os()
        .filter_map(|(key, value)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()).ok());
    let (argv, env): (Vec<CString>, Vec<CString>) = (argv.collect(), env.collect());
    Ok(ct_sys::again::arm(own.as_fd(), book.as_fd(), &argv, &env, stays)?)
}

/// A panic says what it is about, on the console and in the book, and ends in SIGABRT.
pub fn on_panic() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string().replace('\n', " ");
        ct_sys::again::last_words(&text);
        crate::log::say(&format!("{}: error: {text}\n", crate::log::NAME));
        std::process::abort()
    }));
}

/// Goes on where the book says.
pub fn main(fd: RawFd) -> ExitCode {
    let (log, waiting) = crate::log::logger(true);
    let (Some((book, format)), Ok(own)) = (ct_sys::proc::inherited(fd).and_then(Book::handed), own_file())
    else {
        crit!(log, "can't go on: there is no book at its descriptor"; "descriptor" => fd);
        return ExitCode::from(GIVES_UP as u8);
    };
    let (before, highest) = book.signed();
    ct_sys::again::keep_up_to(highest.max(before));
    let stays = book.flags() & STAYS != 0;
    if let Err(e) = arm(&book, &own, stays) {
        error!(log, "can't be executed anew after a bug"; "why" => %e);
    }
    // Who is given it back has written it, whatever it says.
    let given_back = book.flags() & GIVEN_BACK != 0;
    if format != FORMAT && !given_back {
        return give_back(&log, &book, before);
    }
    let crash = book.take_crash();
    let crashes = crash.as_ref().map_or(0, |_| count(&book));
    if crashes > MOST {
        return give_up(&log, stays, "has crashed too often in a row");
    }
    let Some(snapshot) = book.read::<Snapshot>(Part::State) else {
        return give_up(&log, stays, "has crashed, and its state can't be read");
    };
    let again = crash.is_some() && book.falls_back_again();
    let diary = book.diary();
    let arrived = Arrived::only(&snapshot.fds, &[book.as_fd().as_raw_fd(), own.as_raw_fd()]);
    book.set_flags(book.flags() & !GIVEN_BACK);
    if let Err(e) = book.sign(own.as_fd()) {
        error!(log, "can't sign its book"; "why" => %e);
    }
    let units = match Program::of(&own) == Some(snapshot.program) {
        true => book.read::<Vec<Unit>>(Part::Units),
        false => None,
    };
    let units = units.filter(|units| units.len() >= snapshot.engine.names().len());
    let found = Found { snapshot, units, arrived, book, diary, again, crash, crashes, given_back, stays };
    match Pid1::resume(found, own, log.clone(), waiting) {
        Ok(pid1) => pid1.go_on(),
        Err(e) => {
            crit!(log, "can't go on"; "why" => %e);
            give_up(&log, stays, "can't go on")
        }
    }
}

/// What a fresh image begins with.
pub struct Found {
    /// The last state.
    pub snapshot: Snapshot,
    /// What the unit files said, if this program wrote it.
    pub units: Option<Vec<Unit>>,
    /// The descriptors.
    pub arrived: Arrived,
    /// The book itself.
    pub book: Book,
    /// What has happened since.
    pub diary: Vec<snapshot::Entry>,
    /// The state was fallen back to before: no turn was finished since.
    pub again: bool,
    /// What ended the last image, if that was a bug, with the words of a panic.
    pub crash: Option<(Crash, String)>,
    /// Crashes within a minute, this one included.
    pub crashes: usize,
    /// Another file could not read the state.
    pub given_back: bool,
    /// It must never end.
    pub stays: bool,
}

/// This crash among those that count.
fn count(book: &Book) -> usize {
    let now = crate::clock::now();
    let mut times = book.crashes();
    times.push(now);
    book.keep_crashes(&times);
    times.iter().filter(|t| now.since(**t) < WITHIN).count()
}

/// The state is of another format: the program that wrote it goes on with it.
fn give_back(log: &Logger, book: &Book, before: RawFd) -> ExitCode {
    error!(log, "can't read the state of the program before it, and gives the process back");
    book.set_flags(book.flags() | GIVEN_BACK);
    let file = ct_sys::proc::inherited(before);
    let failure = ct_sys::again::execute(file.as_ref().map(AsFd::as_fd));
    crit!(log, "can't execute the program before it"; "why" => failure.desc());
    give_up(log, book.flags() & STAYS != 0, "can't go on")
}

fn give_up(log: &Logger, stays: bool, why: &str) -> ExitCode {
    crit!(log, "gives up"; "why" => why);
    if stays {
        last::resort()
    }
    ExitCode::from(GIVES_UP as u8)
}
