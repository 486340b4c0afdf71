//! mount: detached mounts, idmapped mounts. Attaches nothing to the caller's tree unless told where.
use crate::{Errno, check};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `MOUNT_ATTR_*` of mount_setattr(2).
#[allow(missing_docs)]
pub mod attr {
    pub const RDONLY: u64 = 0x01;
    pub const NOSUID: u64 = 0x02;
    pub const NODEV: u64 = 0x04;
    pub const NOEXEC: u64 = 0x08;
    pub const NOATIME: u64 = 0x10;
    pub const IDMAP: u64 = 0x0010_0000;
}

const EMPTY_PATH: u32 = 0x1000;
const RECURSIVE: u32 = 0x8000;

fn owned(r: libc::c_long) -> Result<OwnedFd, Errno> {
    // SAFETY: callers pass the result of a syscall that returns a fresh descriptor.
    check(r).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A detached copy of what is at `path`, with what is mounted below if `recursive`.
///
/// # Errors
/// What open_tree(2) says.
pub fn clone_tree(dir: BorrowedFd<'_>, path: &CStr, recursive: bool) -> Result<OwnedFd, Errno> {
    let clone = 1 | libc::O_CLOEXEC as u32 | EMPTY_PATH;
    let flags = if recursive { clone | RECURSIVE } else { clone };
    // SAFETY: a C string and flags.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) })
}

/// Sets attributes of a mount; with a user namespace, maps its ids through it (only a detached mount can be).
///
/// # Errors
/// EINVAL where the file system can't be idmapped (overlay can't), EPERM without CAP_SYS_ADMIN.
pub fn set_attr(
    mount: BorrowedFd<'_>,
    set: u64,
    userns: Option<BorrowedFd<'_>>,
    recursive: bool,
) -> Result<(), Errno> {
    let flags = if recursive { EMPTY_PATH | RECURSIVE } else { EMPTY_PATH };
    let userns_fd = userns.map_or(0, |fd| fd.as_raw_fd() as u64);
    let idmap = if userns.is_some() { attr::IDMAP } else { 0 };
    let args = libc::mount_attr { attr_set: set | idmap, attr_clr: 0, propagation: 0, userns_fd };
    let (fd, size) = (mount.as_raw_fd(), size_of::<libc::mount_attr>());
    // SAFETY: an empty C string and a struct of the size we say.
    check(unsafe { libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), flags, &raw const args, size) })
        .map(|_| ())
}

/// A value for a file system option.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `key`
    Flag,
    /// `key=text`
    Text(&'a CStr),
    /// A descriptor, where the file system takes one (overlay's layers since Linux 6.13).
    Fd(BorrowedFd<'a>),
}

/// A new, detached mount of a new file system instance.
///
/// # Errors
/// What fsopen, fsconfig and fsmount say, with the file system's own words where it has left any.
pub fn new_fs(fstype: &CStr, options: &[(&CStr, Value<'_>)], attrs: u64) -> Result<OwnedFd, FsError> {
    // SAFETY: a C string and FSOPEN_CLOEXEC.
    let fs = owned(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), 1) }).map_err(FsError::bare)?;
    let raw = fs.as_raw_fd();
    let null: *const libc::c_char = std::ptr::null();
    for (key, value) in options {
        let key = key.as_ptr();
        // SAFETY: C strings or a descriptor, as each command wants.
        let r = unsafe {
            match value {
                Value::Flag => libc::syscall(libc::SYS_fsconfig, raw, 0, key, null, 0),
                Value::Text(text) => libc::syscall(libc::SYS_fsconfig, raw, 1, key, text.as_ptr(), 0),
                Value::Fd(fd) => libc::syscall(libc::SYS_fsconfig, raw, 5, key, null, fd.as_raw_fd()),
            }
        };
        check(r).map_err(|e| FsError::of(e, &fs))?;
    }
    // SAFETY: FSCONFIG_CMD_CREATE takes nothing else.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, raw, 6, null, null, 0) })
        .map_err(|e| FsError::of(e, &fs))?;
    // SAFETY: FSMOUNT_CLOEXEC and attributes.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, raw, 1, attrs) }).map_err(|e| FsError::of(e, &fs))
}

/// Attaches a detached mount at a path.
///
/// # Errors
/// What move_mount(2) says.
pub fn attach(mount: BorrowedFd<'_>, at: &CStr) -> Result<(), Errno> {
    let (fd, cwd) = (mount.as_raw_fd(), libc::AT_FDCWD);
    // SAFETY: C strings; MOVE_MOUNT_F_EMPTY_PATH.
    check(unsafe { libc::syscall(libc::SYS_move_mount, fd, c"".as_ptr(), cwd, at.as_ptr(), 4) }).map(|_| ())
}

/// Why a file system instance could not be made.
#[derive(Debug)]
pub struct FsError {
    /// The errno.
    pub errno: Errno,
    /// What the file system wrote to its context, without the leading letter; may be empty.
    pub words: String,
}

impl FsError {
    fn bare(errno: Errno) -> FsError {
        FsError { errno, words: String::new() }
    }
    fn of(errno: Errno, context: &OwnedFd) -> FsError {
        let mut words = Vec::new();
        let mut buffer = [0u8; 256];
        loop {
            // SAFETY: a buffer and its length. Each read returns one message, ENODATA ends them.
            let n = unsafe { libc::read(context.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
            let Ok(n @ 1..) = usize::try_from(n) else { break };
            let text = String::from_utf8_lossy(&buffer[..n.min(buffer.len())]).trim().to_owned();
            words.push(text.get(2..).unwrap_or("").to_owned());
        }
        FsError { errno, words: words.join("; ") }
    }
}

impl std::fmt::Display for FsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.words.as_str() {
            "" => f.write_str(self.errno.desc()),
            words => write!(f, "{} ({words})", self.errno.desc()),
        }
    }
}

impl std::error::Error for FsError {}
