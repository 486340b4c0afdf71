//! socket: the datagram sockets that services know by path: sd_notify's and syslog's. Never blocks, never answers.
use crate::root::Root;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags,
    SocketAddrUnix, SocketFlags, SocketType,
};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// Where sd_notify(3) finds it.
pub const NOTIFY: &str = "/run/systemd/notify";
/// The container's own, for `ReadyWhen=notify`: any process may say READY=1 there.
pub const CONTAINER: &str = "/run/ct/notify";
/// Where syslog(3) finds it, through a link.
pub const SYSLOG: &str = "/run/systemd/journal/dev-log";

/// A datagram and who sent it.
#[derive(Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The sender's pid, by the kernel's word.
    pub pid: i32,
    /// What it said.
    pub bytes: Vec<u8>,
}

/// Makes a socket that everybody may send to; replaces what was at the path.
pub fn bind(root: &Root, path: &str) -> Result<OwnedFd, Errno> {
    let at = root.join(path);
    match rustix::fs::unlink(&at) {
        Ok(()) | Err(Errno::NOENT) => (),
        Err(e) => return Err(e),
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    set_socket_passcred(&fd, true)?;
    rustix::net::bind(&fd, &SocketAddrUnix::new(&at)?)?;
    rustix::fs::chmod(&at, rustix::fs::Mode::from_raw_mode(0o666))?;
    Ok(fd)
}

/// The next datagram that is whole and says who sent it; others are dropped. Descriptors in it are closed, which is
/// the answer that `BARRIER=1` waits for. An error other than "none left" means: stop listening.
pub fn receive(fd: &OwnedFd, limit: usize) -> Result<Option<Datagram>, Errno> {
    loop {
        let mut bytes = vec![0u8; limit];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64), ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let got = match rustix::net::recvmsg(fd, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
            Ok(got) => got,
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut pid = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmCredentials(who) = message {
                pid = Some(who.pid.as_raw_nonzero().get());
            }
        }
        if let Some(pid) = pid
            && !got.flags.contains(ReturnFlags::TRUNC)
        {
            bytes.truncate(got.bytes);
            return Ok(Some(Datagram { pid, bytes }));
        }
    }
}

/// Where a syslog daemon of the container takes what ct-init has taken from /dev/log.
pub const FORWARD: &str = "/run/systemd/journal/syslog";

/// Hands a datagram on to a syslog daemon, if there is one that takes it at once.
pub fn forward(fd: &OwnedFd, root: &Root, datagram: &Datagram) {
    if let Ok(to) = SocketAddrUnix::new(root.join(FORWARD)) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // The line is kept in any case.
        let _nobody = rustix::net::sendto(fd, &datagram.bytes, flags, &to);
    }
}

/// A syslog(3) datagram as a log line: without priority and date, `tag[pid]: text` kept.
pub fn syslog_line(datagram: &[u8]) -> String {
    let text = String::from_utf8_lossy(datagram);
    let text = text.trim_end_matches(['\n', '\0']);
    let text = match text.strip_prefix('<').and_then(|t| t.split_once('>')) {
        Some((priority, rest)) if priority.bytes().all(|b| b.is_ascii_digit()) && priority.len() <= 3 => rest,
        Some(_) | None => text,
    };
    // `Nov 23 18:40:03 `: fifteen characters and a space.
    let dated = text.as_bytes().get(..16).is_some_and(|d| {
        d.is_ascii()
            && d.get(3) == Some(&b' ')
            && d.get(9) == Some(&b':')
            && d.get(12) == Some(&b':')
            && d.get(15) == Some(&b' ')
    });
    if dated { text.get(16..).unwrap_or("").to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_say_who_sent_them_and_long_ones_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let socket = bind(&root, "/notify").unwrap();
        let again = bind(&root, "/notify").unwrap();
        drop(socket);
        let sender = rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None).unwrap();
        rustix::net::connect(&sender, &SocketAddrUnix::new(dir.path().join("notify")).unwrap()).unwrap();
        for text in [&b"READY=1"[..], &[b'x'; 100], b""] {
            rustix::net::send(&sender, text, SendFlags::empty()).unwrap();
        }
        let pid = std::process::id().cast_signed();
        assert_eq!(receive(&again, 50), Ok(Some(Datagram { pid, bytes: b"READY=1".to_vec() })));
        assert_eq!(receive(&again, 50), Ok(Some(Datagram { pid, bytes: Vec::new() })));
        assert_eq!(receive(&again, 50), Ok(None));
    }

    #[test]
    fn syslog_lines() {
        for (datagram, line) in [
            ("<30>Nov 23 18:40:03 cron[12]: hello\n", "cron[12]: hello"),
            ("<13>no date", "no date"),
            ("<x>odd", "<x>odd"),
            ("plain\0", "plain"),
            ("", ""),
        ] {
            assert_eq!(syslog_line(datagram.as_bytes()), line);
        }
    }
}
