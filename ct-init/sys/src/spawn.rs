//! spawn: clone3, then the child runs a script. Makes no choice of its own; never waits.
use crate::script::Script;
use crate::{Errno, check, flags};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Scripts may give the new program any descriptor below this one; the ones they give it from lie here or above.
pub const FIRST_FREE_FD: i32 = 32;

/// A child that has been cloned and is on its way to exec.
#[derive(Debug)]
pub struct Spawned {
    /// Its pid as the caller sees it.
    pub pid: u32,
    /// Readable once it has ended; never means another process.
    pub pidfd: OwnedFd,
    /// Non-blocking. End of file: exec succeeded (or the child was killed). Else the bytes of a
    /// failure, for [`Script::explain`].
    pub errors: OwnedFd,
}

/// Clones a child that carries out `script`, which must end in an exec.
///
/// `namespaces` is any of [`flags`]; `cgroup` a directory descriptor of a cgroup v2 group that the child is
/// born in. The child starts with default signal handlers and all signals blocked until the script says otherwise.
///
/// # Errors
/// What pipe2(2) and clone3(2) say. The script's own failures arrive on `errors`.
pub fn spawn(script: &Script, namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Spawned, Errno> {
    let ready = script.prepare();
    let mut ends = [0i32; 2];
    // SAFETY: pipe2 writes two descriptors into the array.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }.into())?;
    // SAFETY: both were just made and belong to nobody else.
    let (errors, report) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    // SAFETY: plain fcntl on a descriptor we own.
    check(unsafe { libc::fcntl(errors.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }.into())?;
    let report = above_stdio(report)?;

    let mut pidfd: libc::c_int = -1;
    let mut args: libc::clone_args = zeroed_args();
    args.flags = namespaces | flags::PIDFD | flags::CLEAR_SIGHAND;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(fd) = cgroup {
        args.flags |= flags::INTO_CGROUP;
        args.cgroup = fd.as_raw_fd() as u64;
    }
    // All signals stay blocked over the clone, so that no handler of ours ever runs in the child.
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut old = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises `all`; pthread_sigmask initialises `old`.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
    }
    // SAFETY: without CLONE_VM the child gets a copy of this address space, like fork; it runs nothing but
    // `Ready::run`, which allocates nothing, takes no lock and never returns.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    if pid == 0 {
        ready.run(report.as_raw_fd());
    }
    let failure = Errno::last();
    // SAFETY: `old` was initialised above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), std::ptr::null_mut()) };
    if pid < 0 {
        return Err(failure);
    }
    // SAFETY: the kernel has put a fresh descriptor there.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Spawned { pid: pid as u32, pidfd, errors })
}

/// The report pipe must not lie where the script puts the descriptors of the new program.
fn above_stdio(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    // SAFETY: a descriptor we own; the copy is fresh.
    let copy = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST_FREE_FD) }.into());
    // A limit of open files below the number asked for is EINVAL here, and EMFILE everywhere else.
    let copy = copy.map_err(|e| if e == Errno::EINVAL { Errno::EMFILE } else { e })?;
    // SAFETY: just made, ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(copy as i32) })
}

fn zeroed_args() -> libc::clone_args {
    // SAFETY: all fields are integers; zero is what the kernel wants for "not given".
    unsafe { std::mem::zeroed() }
}
