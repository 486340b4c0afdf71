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

/// Takes ownership of an inherited descriptor, once; none if it is not open. Marks it close-on-exec.
pub fn inherited(fd: i32) -> Option<OwnedFd> {
    // SAFETY: fcntl on a number; EBADF if it is not open.
    let r = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: it is open, and by convention of the caller nobody else owns it.
    (r == 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
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

/// Gives memory that was freed back to the kernel, as far as the allocator can.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointer goes in or out; only pages that hold no live allocation are released.
    unsafe {
        libc::malloc_trim(0);
    }
}
