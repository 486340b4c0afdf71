//! proc: pidfds, descriptors, process attributes. Never waits.
use crate::{Errno, check};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A pidfd for a process that exists now.
///
/// # Errors
/// ESRCH if there is none.
pub fn pidfd_open(pid: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: integers only; the result is a fresh descriptor.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: just made, ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Sends a signal to exactly this process; 0 only checks.
///
/// # Errors
/// ESRCH once it has been reaped.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null siginfo means kill(2)'s own.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0) })
        .map(|_| ())
}

/// Duplicates a descriptor of another process.
///
/// # Errors
/// EPERM without ptrace access, EBADF where it has none with that number.
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, target: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: integers only; the result is a fresh descriptor.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), target, 0) })?;
    // SAFETY: just made, ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Which child [`wait`] looks at.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// Any one.
    Any,
    /// This one.
    Pid(u32),
    /// The one behind this pidfd.
    Pidfd(BorrowedFd<'a>),
}

/// A child that has ended, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its pid.
    pub pid: u32,
    /// How.
    pub how: How,
}

/// How a process ended. Signals are plain numbers: real-time ones have no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum How {
    Exited(u8),
    Signaled(u8),
    Dumped(u8),
}

impl How {
    /// From the status of wait(2); none for a process that was merely stopped.
    pub fn of_status(status: i32) -> Option<How> {
        let signal = status & 0x7f;
        match (signal, status & 0x80) {
            (0, _) => Some(How::Exited((status >> 8) as u8)),
            (0x7f, _) => None,
            (s, 0) => Some(How::Signaled(s as u8)),
            (s, _) => Some(How::Dumped(s as u8)),
        }
    }
}

/// A child that has ended, if there is one; with `reap` it is gone then, else it stays a zombie. Does not wait.
///
/// # Errors
/// ECHILD where there is no such child.
pub fn wait(which: Which<'_>, reap: bool) -> Result<Option<Ended>, Errno> {
    let (kind, id) = match which {
        Which::Any => (libc::P_ALL, 0),
        Which::Pid(pid) => (libc::P_PID, pid),
        Which::Pidfd(fd) => (libc::P_PIDFD, fd.as_raw_fd() as u32),
    };
    let flags = libc::WEXITED | libc::WNOHANG | if reap { 0 } else { libc::WNOWAIT };
    // SAFETY: siginfo_t is plain data; with WNOHANG and nobody there the kernel leaves it zero.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: integers and a struct that lives here.
        match check(unsafe { libc::waitid(kind, id, &raw mut info, flags) }.into()) {
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
            Ok(_) => break,
        }
    }
    // SAFETY: for SIGCHLD (or all zero) these fields are the valid ones.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    let how = match info.si_code {
        libc::CLD_EXITED => How::Exited(status as u8),
        libc::CLD_KILLED => How::Signaled(status as u8),
        libc::CLD_DUMPED => How::Dumped(status as u8),
        _ => return Ok(None),
    };
    Ok((pid > 0).then_some(Ended { pid: pid as u32, how }))
}

/// The raw wait status of a process that has ended and was reaped by whoever its parent was; none while it runs, is a
/// zombie, or where the kernel does not tell (before Linux 6.15). The pidfd must have been opened before the reaping.
pub fn pidfd_exit_status(pidfd: BorrowedFd<'_>) -> Option<i32> {
    const INFO_EXIT: u64 = 1 << 3;
    /// `struct pidfd_info` as of its first version; later ones only grow.
    #[repr(C)]
    struct Info {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    // _IOWR(0xff, 11, struct pidfd_info)
    const GET_INFO: u64 = 3 << 30 | (size_of::<Info>() as u64) << 16 | 0xff << 8 | 11;
    let mut info = Info { mask: INFO_EXIT, cgroup: 0, ids: [0; 11], exit_code: 0 };
    // SAFETY: the request carries the size of the struct that lives here; the kernel writes no more than that.
    let r = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO as _, &raw mut info) };
    (r == 0 && info.mask & INFO_EXIT != 0).then_some(info.exit_code)
}

/// Takes ownership of an inherited descriptor, once; none if it is not open. Marks it close-on-exec.
pub fn inherited(fd: i32) -> Option<OwnedFd> {
    // SAFETY: fcntl on a number; EBADF if it is not open.
    let r = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: it is open, and by convention of the caller nobody else owns it.
    (r == 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Device and inode of what is open under a number; none if nothing is.
pub fn identity(fd: i32) -> Option<(u64, u64)> {
    // SAFETY: stat is plain data, filled by a call on a number; EBADF if it is not open.
    let (r, stat) = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        (libc::fstat(fd, &raw mut stat), stat)
    };
    (r == 0).then_some((stat.st_dev, stat.st_ino))
}

/// Marks every descriptor from `first` on close-on-exec.
///
/// # Errors
/// ENOSYS before Linux 5.11.
pub fn cloexec_from(first: u32) -> Result<(), Errno> {
    const CLOEXEC: u32 = 4;
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOEXEC) }).map(|_| ())
}

/// Makes a terminal this session's controlling one, away from whichever session has it. The caller leads a session.
///
/// # Errors
/// ENOTTY if it is none, EPERM without CAP_SYS_ADMIN where another session has it.
pub fn take_terminal(terminal: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: a descriptor and an integer: 1 takes it by force.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 1) }.into()).map(|_| ())
}

/// Sets a hardware watchdog's time in seconds; what it has really taken comes back.
///
/// # Errors
/// EINVAL for a time it doesn't know, ENOTTY or EOPNOTSUPP where the device is none or has a fixed time.
pub fn watchdog_timeout(device: BorrowedFd<'_>, seconds: i32) -> Result<i32, Errno> {
    // _IOWR('W', 6, int)
    const SET_TIMEOUT: u64 = 3 << 30 | 4 << 16 | 0x57 << 8 | 6;
    let mut seconds = seconds;
    // SAFETY: the request reads and writes one integer that lives here.
    check(unsafe { libc::ioctl(device.as_raw_fd(), SET_TIMEOUT as _, &raw mut seconds) }.into())?;
    Ok(seconds)
}

/// Gives memory that was freed back to the kernel, as far as the allocator can.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointer goes in or out; only pages that hold no live allocation are released.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Forgets the mappings of the program's own code and constants; those still needed are mapped again from the page
/// cache as they are used. A program that has done its start-up so holds no more of itself than it uses at rest.
///
/// Only pages that this process can't have changed are touched: the mappings of its own file up to its code (what lies
/// behind holds relocated pointers).
pub fn forget_code() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    // The heap may lie below; a static program maps no other file.
    for line in maps.lines().skip_while(|l| !l.contains(" /")) {
        let mut fields = line.split_whitespace();
        let (Some(range), Some(mode), file) = (fields.next(), fields.next(), fields.nth(3)) else { return };
        if !file.is_some_and(|f| f.starts_with('/')) || mode.contains('w') {
            return;
        }
        let bounds = range.split_once('-').and_then(|(a, b)| {
            Some((usize::from_str_radix(a, 16).ok()?, usize::from_str_radix(b, 16).ok()?))
        });
        let Some((start, end)) = bounds else { return };
        // SAFETY: the range is a read-only private mapping of the executable's file, taken from the kernel's own list.
        // Dropping clean pages of it changes no contents: the next access maps the same page of the file again.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
        }
        // What comes after the code is read-only only since its pointers were relocated.
        if mode.contains('x') {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::process::Command;

    #[test]
    fn a_child_that_a_real_time_signal_ended_is_seen_and_reaped() {
        let check = |line: &str, how: How, status: i32| {
            let mut child = Command::new("/bin/sh").args(["-c", line]).spawn().unwrap();
            let pidfd = pidfd_open(child.id()).unwrap();
            let mut fds = [nix::poll::PollFd::new(pidfd.as_fd(), nix::poll::PollFlags::POLLIN)];
            nix::poll::poll(&mut fds, nix::poll::PollTimeout::NONE).unwrap();
            let seen = Ok(Some(Ended { pid: child.id(), how }));
            assert_eq!(wait(Which::Pidfd(pidfd.as_fd()), false), seen, "{line}");
            assert_eq!(wait(Which::Pid(child.id()), true), seen, "{line}");
            assert_eq!(wait(Which::Pidfd(pidfd.as_fd()), true), Err(Errno::ECHILD), "{line}");
            assert!(child.wait().is_err(), "{line}: it was reaped");
            assert_eq!(How::of_status(status), Some(how), "{line}");
        };
        check("exit 0", How::Exited(0), 0);
        check("exit 255", How::Exited(255), 0xff00);
        check("kill -15 $$", How::Signaled(15), 15);
        check("kill -40 $$", How::Signaled(40), 40);
        assert_eq!(How::of_status(0x8b), Some(How::Dumped(11)));
        assert_eq!(How::of_status(0x137f), None);
    }

    #[test]
    fn the_status_of_a_reaped_process_is_told_once_it_is_reaped() {
        let check = |line: &str, expect: i32| {
            let mut child = Command::new("/bin/sh").args(["-c", line]).spawn().unwrap();
            let pidfd = pidfd_open(child.id()).unwrap();
            assert_eq!(pidfd_exit_status(pidfd.as_fd()), None, "{line}: not reaped yet");
            child.wait().unwrap();
            // Kernels before 6.15 say nothing; what is said has to be right.
            assert!(pidfd_exit_status(pidfd.as_fd()).is_none_or(|s| s == expect), "{line}");
        };
        check("exit 0", 0);
        check("exit 7", 7 << 8);
        check("kill -9 $$", 9);
    }
}
