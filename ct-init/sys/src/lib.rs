//! ct-sys: what nix and rustix lack, as small safe functions. The only unsafe code of the workspace.
//!
//! Holds no policy: it starts what a [`script::Script`] says, returns owned descriptors and errno.
pub mod again;
pub mod early;
pub mod fs;
pub mod mount;
pub mod net;
pub mod proc;
pub mod script;
mod spawn;

pub use nix::errno::Errno;
pub use spawn::{FIRST_FREE_FD, Spawned, spawn};

/// Flags of clone3 and unshare, as the kernel has them (64 bits wide: CLONE_INTO_CGROUP does not fit in 32).
#[allow(missing_docs)]
pub mod flags {
    pub const NEWTIME: u64 = 0x0000_0080;
    pub const NEWNS: u64 = 0x0002_0000;
    pub const NEWCGROUP: u64 = 0x0200_0000;
    pub const NEWUTS: u64 = 0x0400_0000;
    pub const NEWIPC: u64 = 0x0800_0000;
    pub const NEWUSER: u64 = 0x1000_0000;
    pub const NEWPID: u64 = 0x2000_0000;
    pub const NEWNET: u64 = 0x4000_0000;
    pub(crate) const PIDFD: u64 = 0x0000_1000;
    pub(crate) const CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    pub(crate) const INTO_CGROUP: u64 = 0x2_0000_0000;
}

/// Turns a raw return value into a result.
pub(crate) fn check(r: libc::c_long) -> Result<libc::c_long, Errno> {
    if r < 0 { Err(Errno::last()) } else { Ok(r) }
}
