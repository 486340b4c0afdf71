//! fs: sealed and plain memory files, and opening inside a root that is not trusted.
use crate::{Errno, check};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Opens a path as if `root` were `/`: links stay inside, magic links are refused.
///
/// # Errors
/// What openat2(2) says; EXDEV or ELOOP for an attempt to leave.
pub fn open_in_root(root: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32) -> Result<OwnedFd, Errno> {
    open_how(root, path, flags, mode, 0x10 | 0x02)
}

/// Opens a path below `dir`, refusing every symbolic link.
///
/// # Errors
/// ELOOP where a component is a link.
pub fn open_no_links(dir: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32) -> Result<OwnedFd, Errno> {
    open_how(dir, path, flags, mode, 0x08 | 0x04 | 0x02)
}

fn open_how(dir: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32, resolve: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: open_how is three integers.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.mode = u64::from(mode);
    how.resolve = resolve;
    let size = size_of::<libc::open_how>();
    let (dir, path) = (dir.as_raw_fd(), path.as_ptr());
    // SAFETY: a C string and a struct of the size we say; the result is a fresh descriptor.
    let fd = check(unsafe { libc::syscall(libc::SYS_openat2, dir, path, &raw const how, size) })?;
    // SAFETY: just made, ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Switches a swap space on; the flags are those of swapon(2).
///
/// # Errors
/// EBUSY if it is on already, EINVAL if it is none, ENOENT, EPERM.
pub fn swap_on(path: &str, flags: i32) -> Result<(), Errno> {
    let path = std::ffi::CString::new(path).map_err(|_| Errno::EINVAL)?;
    // SAFETY: a C string and an integer.
    check(unsafe { libc::swapon(path.as_ptr(), flags) }.into()).map(|_| ())
}

/// Switches it off, which takes as long as reading it in again takes.
///
/// # Errors
/// EINVAL if it is not on, ENOENT, ENOMEM, EPERM.
pub fn swap_off(path: &str) -> Result<(), Errno> {
    let path = std::ffi::CString::new(path).map_err(|_| Errno::EINVAL)?;
    // SAFETY: a C string.
    check(unsafe { libc::swapoff(path.as_ptr()) }.into()).map(|_| ())
}
