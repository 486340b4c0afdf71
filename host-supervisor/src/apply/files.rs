//! files: directories and sockets on the host. Undoes only what it made.
use super::{Cause, Undo};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Makes a directory and its parents; returns those made.
pub(super) fn make_dir(path: &Path, mode: u32) -> Result<Undo, Cause> {
    let missing: Vec<PathBuf> =
        path.ancestors().take_while(|p| !p.exists()).map(Path::to_path_buf).collect::<Vec<_>>();
    let made: Vec<PathBuf> = missing.into_iter().rev().collect();
    for dir in &made {
        if let Err(e) = fs::create_dir(dir) {
            made.iter().rev().for_each(|d| drop(fs::remove_dir(d)));
            return Err(e.into());
        }
    }
    if !path.is_dir() {
        return Err(Cause::Said("it is there and not a directory (move it away)".to_owned()));
    }
    if made.last().is_some_and(|p| p == path) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(Undo::RemoveDirs(made))
}

/// A listening SEQPACKET socket. Its path may be longer than sun_path's 108 bytes: it is bound by its directory.
pub(super) fn listen_at(path: &Path) -> Result<OwnedFd, Cause> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    remove_file(path)?;
    let dir = fs::File::open(dir)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    bind(fd.as_raw_fd(), &UnixAddr::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()).as_str())?)?;
    listen(&fd, Backlog::new(64)?)?;
    Ok(fd)
}

/// Connects to a socket made by [`listen_at`]; never waits: the backlog takes it, or it is refused.
///
/// # Errors
/// ECONNREFUSED when nobody listens any more, EAGAIN when the backlog is full.
pub fn connect_to(path: &Path) -> Result<OwnedFd, Cause> {
    let dir = fs::File::open(path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    let address = UnixAddr::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()).as_str())?;
    nix::sys::socket::connect(fd.as_raw_fd(), &address)?;
    Ok(fd)
}

pub(super) fn remove_file(path: &Path) -> Result<(), Cause> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

pub(super) fn remove_dir(path: &Path) -> Result<(), Cause> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}
