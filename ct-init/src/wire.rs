//! wire: one packet connection: bounded packets in, a bounded queue out, descriptors on the side. Never blocks.
use crate::proto::MAX_PACKET;
use crate::resume::fds::{Arrived, Fd, Kept};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A peer that lets more than this pile up is dropped.
const MAX_QUEUE: usize = 1024 * 1024;
/// A packet carries at most so many descriptors (stdin, stdout, stderr).
pub const MAX_FDS: usize = 3;

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The peer hung up.
    #[error("the other side has closed the connection")]
    Closed,
    /// Over [`MAX_PACKET`], or with too many descriptors.
    #[error("a packet is larger than it may be")]
    TooLarge,
    /// Not a message of this protocol.
    #[error("a packet is not a message of this protocol")]
    NotAMessage(#[source] postcard::Error),
    /// The peer doesn't read.
    #[error("the other side reads too slowly")]
    TooSlow,
    /// The kernel refused.
    #[error("use the connection")]
    Io(#[source] std::io::Error),
}

/// One message as bytes.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let bytes = postcard::to_stdvec(message).map_err(WireError::NotAMessage)?;
    if bytes.len() > MAX_PACKET { Err(WireError::TooLarge) } else { Ok(bytes) }
}

/// One message from a packet; bytes behind it are refused.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MAX_PACKET {
        return Err(WireError::TooLarge);
    }
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok((_, _)) => Err(WireError::NotAMessage(postcard::Error::DeserializeBadEncoding)),
        Err(e) => Err(WireError::NotAMessage(e)),
    }
}

/// A packet as it came.
#[derive(Debug)]
pub struct Packet {
    /// One message.
    pub bytes: Vec<u8>,
    /// What came along.
    pub fds: Vec<OwnedFd>,
}

/// A connected SOCK_SEQPACKET socket that doesn't block.
#[derive(Debug)]
pub struct Wire {
    fd: OwnedFd,
    queue: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    queued: usize,
}

/// A connection as plain data.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptWire {
    fd: Fd,
    queue: Vec<(Vec<u8>, Option<Fd>)>,
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Wire {
    /// Takes a connected socket.
    pub fn new(fd: OwnedFd) -> Result<Wire, WireError> {
        rustix::io::ioctl_fionbio(&fd, true).map_err(io)?;
        Ok(Wire { fd, queue: VecDeque::new(), queued: 0 })
    }

    /// All of it, for this program executed anew.
    pub fn keep(&self, fds: &mut Kept) -> KeptWire {
        let queue = self.queue.iter().map(|(bytes, fd)| (bytes.clone(), fds.maybe(fd.as_ref()))).collect();
        KeptWire { fd: fds.add(&self.fd), queue }
    }

    /// Goes on where [`Wire::keep`] was called; none if the connection is gone.
    pub fn again(kept: KeptWire, fds: &mut Arrived) -> Option<Wire> {
        let queue: VecDeque<(Vec<u8>, Option<OwnedFd>)> =
            kept.queue.into_iter().map(|(bytes, fd)| (bytes, fd.and_then(|fd| fds.take(fd)))).collect();
        let queued = queue.iter().map(|(bytes, _)| bytes.len()).sum();
        Some(Wire { fd: fds.take(kept.fd)?, queue, queued })
    }

    /// The next packet; none if there is none now.
    pub fn receive(&mut self) -> Result<Option<Packet>, WireError> {
        let mut bytes = vec![0u8; MAX_PACKET];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let got = loop {
            match rustix::net::recvmsg(&self.fd, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
                Ok(got) => break got,
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::CONNRESET) => return Err(WireError::Closed),
                Err(e) => return Err(io(e)),
            }
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(WireError::TooLarge);
        }
        if got.bytes == 0 {
            return Err(WireError::Closed);
        }
        bytes.truncate(got.bytes);
        bytes.shrink_to_fit();
        Ok(Some(Packet { bytes, fds }))
    }

    /// Sends a message, or queues it behind those that wait.
    pub fn send<T: Serialize>(&mut self, message: &T, fd: Option<OwnedFd>) -> Result<(), WireError> {
        let bytes = encode(message)?;
        if self.queued + bytes.len() > MAX_QUEUE {
            return Err(WireError::TooSlow);
        }
        self.queued += bytes.len();
        self.queue.push_back((bytes, fd));
        self.flush()
    }

    /// Sends what waits, as far as the peer takes it.
    pub fn flush(&mut self) -> Result<(), WireError> {
        while let Some((bytes, fd)) = self.queue.front() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fds: Vec<BorrowedFd<'_>> = fd.iter().map(AsFd::as_fd).collect();
            if !fds.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(&fds));
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::sendmsg(&self.fd, &[IoSlice::new(bytes)], &mut control, flags) {
                Ok(_) => {
                    self.queued -= bytes.len();
                    self.queue.pop_front();
                }
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(WireError::Closed),
                Err(e) => return Err(io(e)),
            }
        }
        Ok(())
    }

    /// Whether all that was sent is in the peer's hands.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }
}

fn io(e: Errno) -> WireError {
    WireError::Io(e.into())
}

/// A listening socket's next connection; none if there is none now.
pub fn accept(listener: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Errno> {
    loop {
        let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
        match rustix::net::accept_with(listener, flags) {
            Ok(fd) => return Ok(Some(fd)),
            Err(Errno::INTR | Errno::CONNABORTED) => (),
            Err(Errno::AGAIN) => return Ok(None),
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Handover, Report, Request, Verb};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (Wire, Wire) {
        let (a, b) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        (Wire::new(a).unwrap(), Wire::new(b).unwrap())
    }

    #[test]
    fn messages_and_descriptors_arrive() {
        let (mut a, mut b) = pair();
        let request = Request::Unit { tag: 7, unit: "a.service".into(), verb: Verb::Kill(9) };
        let (read, _write) = rustix::pipe::pipe().unwrap();
        a.send(&request, Some(read)).unwrap();
        let packet = b.receive().unwrap().unwrap();
        assert_eq!(decode::<Request>(&packet.bytes).unwrap(), request);
        assert_eq!(packet.fds.len(), 1);
        assert!(b.receive().unwrap().is_none());
        drop(a);
        assert!(matches!(b.receive(), Err(WireError::Closed)));
    }

    #[test]
    fn a_peer_that_does_not_read_is_dropped_and_nothing_blocks() {
        let (mut a, _b) = pair();
        let notice = Report::Notice("x".repeat(60_000));
        let sent = (0..1000).take_while(|_| a.send(&notice, None).is_ok()).count();
        assert!(sent > 0 && sent < 1000, "{sent}");
        assert!(!a.is_idle());
    }

    #[test]
    fn hostile_packets_are_refused() {
        let check = |bytes: &[u8]| assert!(decode::<Request>(bytes).is_err(), "{bytes:?}");
        check(b"");
        check(b"\xff");
        check(b"\x02\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        check(&[0; MAX_PACKET + 1]);
        let mut trailing = encode(&Request::Watch).unwrap();
        trailing.push(0);
        check(&trailing);
        assert!(matches!(encode(&Report::Notice("x".repeat(MAX_PACKET))), Err(WireError::TooLarge)));
        assert_eq!(decode::<Handover>(&encode(&Handover::default()).unwrap()).unwrap(), Handover::default());
    }

    #[test]
    fn an_oversized_packet_closes_the_connection() {
        let (a, mut b) = pair();
        rustix::net::send(&a, &vec![0; MAX_PACKET + 1], SendFlags::empty()).unwrap();
        assert!(matches!(b.receive(), Err(WireError::TooLarge)));
    }
}
