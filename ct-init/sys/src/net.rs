//! net: the little of rtnetlink's work that an ioctl still does.
use crate::{Errno, check};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Brings a network interface of this namespace up.
///
/// # Errors
/// ENODEV if it does not exist, EPERM without CAP_NET_ADMIN, EINVAL for a name of more than 15 bytes.
pub fn if_up(name: &str) -> Result<(), Errno> {
    // SAFETY: makes a descriptor that is owned at once.
    let socket = unsafe {
        let fd = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0).into())?;
        OwnedFd::from_raw_fd(fd as i32)
    };
    // SAFETY: ifreq is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::EINVAL);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: both requests read the name and read or write ifru_flags of a struct that lives here.
    unsafe {
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request).into())?;
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request).into())?;
    }
    Ok(())
}
