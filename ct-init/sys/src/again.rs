//! again: executes this program anew in the same process, on request or out of a fatal signal. Keeps descriptors, and
//! judges nothing.
//!
//! The **book** is a memory file that the new image gets; this module knows two places in it: where a crash is noted
//! ([`Crash`]) and where the last words of a panic are. Everything that the handler needs is made before it is needed.
use crate::{Errno, check};
use libc::{c_char, c_int, c_void};
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

/// Where in the book a crash is noted.
pub const CRASH_AT: u64 = 64;
/// Where in the book the words of a panic are: their length (4 bytes, little endian), then they.
pub const WORDS_AT: u64 = 512;
/// So many bytes of them.
pub const MAX_WORDS: usize = 2048;
/// The exit code of one that can't go on.
pub const GIVES_UP: c_int = 70;

/// The signals that a bug ends in.
const FATAL: [c_int; 5] = [libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];
/// The handler has a stack of its own: what has crashed may have used up the other.
const STACK: usize = 64 * 1024;

/// What the handler has noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crash {
    /// Which signal; 0: none.
    pub signal: i32,
    /// Its si_code: 0 or less, where a process has sent it.
    pub code: i32,
    /// si_addr.
    pub address: u64,
}

impl Crash {
    /// Its length in the book.
    pub const LEN: usize = 16;

    /// As it is in the book.
    pub fn encode(self) -> [u8; Crash::LEN] {
        let mut bytes = [0u8; Crash::LEN];
        let parts = self.signal.to_le_bytes().into_iter().chain(self.code.to_le_bytes());
        let parts = parts.chain(self.address.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = from;
        }
        bytes
    }

    /// The reverse; none where no crash is noted.
    pub fn decode(bytes: &[u8; Crash::LEN]) -> Option<Crash> {
        let word = |at: usize| {
            let part = bytes.iter().skip(at).take(4);
            part.rev().fold(0u32, |all, b| all << 8 | u32::from(*b))
        };
        let crash = Crash {
            signal: word(0).cast_signed(),
            code: word(4).cast_signed(),
            address: u64::from(word(12)) << 32 | u64::from(word(8)),
        };
        (crash.signal != 0).then_some(crash)
    }
}

/// How the new image is executed.
struct Plan {
    file: RawFd,
    book: RawFd,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    /// Never ends, even where nothing can be executed.
    stays: bool,
}

static PLAN: AtomicPtr<Plan> = AtomicPtr::new(null_mut());
static HIGHEST: AtomicI32 = AtomicI32::new(2);

/// From now on a fatal signal executes `file`, which has to stay open, with `argv` and `env`, all descriptors up to [`keep_up_to`] open; the
/// crash is noted in `book`. Where even that fails, the process exits with [`GIVES_UP`], or, if it `stays`, reaps for
/// ever. Called again, it replaces the plan.
///
/// # Errors
/// What sigaltstack(2) and sigaction(2) say.
pub fn arm(
    file: BorrowedFd<'_>,
    book: BorrowedFd<'_>,
    argv: &[CString],
    env: &[CString],
    stays: bool,
) -> Result<(), Errno> {
    let pointers = |list: &[CString]| {
        // For good: the handler may come at any time.
        let all = list.iter().map(|s| s.clone().into_raw().cast_const());
        all.chain(std::iter::once(std::ptr::null())).collect::<Vec<_>>()
    };
    let first = PLAN.load(Ordering::Acquire).is_null();
    let plan = Plan {
        file: file.as_raw_fd(),
        book: book.as_raw_fd(),
        argv: pointers(argv),
        env: pointers(env),
        stays,
    };
    keep_up_to(plan.file.max(plan.book));
    PLAN.store(Box::into_raw(Box::new(plan)), Ordering::Release);
    if first { catch() } else { Ok(()) }
}

fn catch() -> Result<(), Errno> {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // Pages of its own, that exist once they are used. SAFETY: a fresh mapping at an address of the kernel's choice.
    let memory = unsafe { libc::mmap(null_mut(), STACK, prot, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    let stack = libc::stack_t { ss_sp: memory, ss_flags: 0, ss_size: STACK };
    // SAFETY: the memory is never unmapped and used by nothing else.
    check(unsafe { libc::sigaltstack(&raw const stack, null_mut()) }.into())?;
    // SAFETY: sigaction is plain data; the handler has the signature that SA_SIGINFO asks for.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = crashed as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: fills a set that lives here. Nothing else is to come in between.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    for signal in FATAL {
        // SAFETY: a struct that lives here; see `crashed` for what the handler does.
        check(unsafe { libc::sigaction(signal, &raw const action, null_mut()) }.into())?;
    }
    Ok(())
}

/// Descriptors up to this one stay open in the new image, which closes those that it does not know.
pub fn keep_up_to(fd: RawFd) {
    HIGHEST.fetch_max(fd, Ordering::AcqRel);
}

/// Keeps the words of a panic in the book.
pub fn last_words(text: &str) {
    let plan = PLAN.load(Ordering::Acquire);
    if plan.is_null() {
        return;
    }
    let text = text.as_bytes().get(..text.len().min(MAX_WORDS)).unwrap_or_default();
    let length = (text.len() as u32).to_le_bytes();
    // SAFETY: a plan is never freed; both buffers live here and have the lengths given.
    unsafe {
        let book = (*plan).book;
        libc::pwrite(book, length.as_ptr().cast(), length.len(), WORDS_AT as libc::off_t);
        libc::pwrite(book, text.as_ptr().cast(), text.len(), WORDS_AT as libc::off_t + 4);
    }
}

/// Blocks every signal: what comes from now on is for the new image, or waits for [`unblock`].
pub fn block() {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set that pthread_sigmask reads.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), null_mut());
    }
}

/// Blocks no signal any more.
pub fn unblock() {
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set that pthread_sigmask reads.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), null_mut());
    }
}

/// Executes `file`, or where there is none the one of the plan, as [`arm`] has said. Returns only if that fails.
pub fn execute(file: Option<BorrowedFd<'_>>) -> Errno {
    let plan = PLAN.load(Ordering::Acquire);
    if plan.is_null() {
        return Errno::ENOSYS;
    }
    // SAFETY: a plan is never freed and never changed.
    let plan = unsafe { &*plan };
    open_all();
    let failure = replace(plan, file.map_or(plan.file, |f| f.as_raw_fd()));
    close_all();
    failure
}

/// Closes every descriptor from 3 on that is not in `keep`. For the begin of a new image, before anything holds one.
///
/// # Errors
/// ENOSYS before Linux 5.9.
pub fn close_except(keep: &std::collections::BTreeSet<RawFd>) -> Result<(), Errno> {
    let mut first: u32 = 3;
    for fd in keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd >= 3) {
        if fd > first {
            close_range(first, fd - 1, 0)?;
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX, 0)
}

fn close_range(first: u32, last: u32, flags: u32) -> Result<(), Errno> {
    // SAFETY: integers only; the caller of the public functions answers for who held them.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(|_| ())
}

fn open_all() {
    for fd in 3..=HIGHEST.load(Ordering::Acquire) {
        // SAFETY: a number; EBADF where it is not open.
        unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFD, 0) };
    }
}

fn close_all() {
    const CLOEXEC: u32 = 4;
    let _before_5_11 = close_range(3, u32::MAX, CLOEXEC);
}

fn replace(plan: &Plan, file: RawFd) -> Errno {
    let (argv, env) = (plan.argv.as_ptr(), plan.env.as_ptr());
    // SAFETY: an empty C string and two arrays of C strings that end in null; they are never freed.
    unsafe { libc::syscall(libc::SYS_execveat, file, c"".as_ptr(), argv, env, libc::AT_EMPTY_PATH) };
    Errno::last()
}

/// The handler. Only system calls and reads of what was made before; every signal is blocked meanwhile, so that a
/// fault in here ends the process.
extern "C" fn crashed(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    let plan = PLAN.load(Ordering::Acquire);
    if plan.is_null() {
        return;
    }
    // SAFETY: a plan is never freed; the kernel hands in a valid siginfo, whose address field is plain data in any case.
    let (plan, code, address) = unsafe { (&*plan, (*info).si_code, (*info).si_addr() as u64) };
    let crash = Crash { signal, code, address }.encode();
    // SAFETY: a buffer that lives here and its length.
    unsafe { libc::pwrite(plan.book, crash.as_ptr().cast(), crash.len(), CRASH_AT as libc::off_t) };
    open_all();
    let _failed = replace(plan, plan.file);
    if !plan.stays {
        // SAFETY: ends the process, runs nothing else.
        unsafe { libc::_exit(GIVES_UP) }
    }
    reap_for_ever()
}

/// The very last that a PID 1 can do which must not end.
fn reap_for_ever() -> ! {
    loop {
        // SAFETY: no status is asked for; the sleep is a poll of nothing.
        unsafe {
            while libc::waitpid(-1, null_mut(), libc::WNOHANG) > 0 {}
            libc::poll(null_mut(), 0, 1000);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_reads_back_and_zeroes_are_none() {
        let crash = Crash { signal: 11, code: -6, address: 0xdead_beef_0000_0001 };
        assert_eq!(Crash::decode(&crash.encode()), Some(crash));
        assert_eq!(Crash::decode(&[0; Crash::LEN]), None);
    }
}
