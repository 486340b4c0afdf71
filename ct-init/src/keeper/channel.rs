//! channel: the two ends of the talk between keeper and supervisor. Never waits.
use super::ring::{RECORD, Record, Ring};
use ct_sys::FIRST_FREE_FD;
use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The keeper's end.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

impl Channel {
    /// Both ends; the supervisor's above all the numbers that a script gives away.
    pub(super) fn pair() -> Result<(Channel, OwnedFd), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let errno = |e: rustix::io::Errno| Errno::from_raw(e.raw_os_error());
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(errno)?;
        let theirs = fcntl_dupfd_cloexec(&theirs, FIRST_FREE_FD).map_err(errno)?;
        Ok((Channel(ours), theirs))
    }
    /// Sends what was not sent yet, as far as the socket takes it.
    pub(super) fn send(&self, ring: &mut Ring) {
        while let Some(record) = ring.unsent() {
            if send(&self.0, &record.encode(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT).is_err() {
                return;
            }
            ring.sent(record.number);
        }
    }
    /// What the supervisor has said, if it has.
    pub(super) fn receive(&self) -> Said {
        let mut packet = [0u8; 8];
        match recv(&self.0, &mut packet[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
            Ok((8, 8)) => Said::Taken(u64::from_le_bytes(packet)),
            Err(rustix::io::Errno::AGAIN) => Said::Nothing,
            // Its end is closed, or it says what nobody understands.
            Ok(_) | Err(_) => Said::Gone,
        }
    }
}

/// What the supervisor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing new.
    Nothing,
    /// All records up to this number are taken.
    Taken(u64),
    /// It will say nothing any more.
    Gone,
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The supervisor's end.
#[derive(Debug)]
pub struct Line(OwnedFd);

/// What came over the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing more now.
    Nothing,
    /// A process that ended.
    Record(Record),
    /// The keeper has gone.
    Gone,
}

impl Line {
    /// Of a descriptor that the keeper has handed down.
    pub fn new(fd: OwnedFd) -> Line {
        Line(fd)
    }
    /// The next record, if one has come. What is no record is passed over.
    pub fn hear(&self) -> Heard {
        let mut packet = [0u8; RECORD + 1];
        loop {
            match recv(&self.0, &mut packet[..], RecvFlags::DONTWAIT) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Heard::Nothing,
                Err(_) | Ok((0, _)) => return Heard::Gone,
                Ok((length, _)) => {
                    if let Some(record) = packet.get(..length).and_then(Record::decode) {
                        return Heard::Record(record);
                    }
                }
            }
        }
    }
    /// Whether the keeper has gone. Takes nothing off the line.
    pub fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok() && fds.iter().any(|fd| fd.revents().contains(PollFlags::HUP))
    }
    /// All records up to this number are taken.
    ///
    /// # Errors
    /// Where the socket takes no more, or the keeper has gone: it will tell them again.
    pub fn take(&self, number: u64) -> io::Result<()> {
        send(&self.0, &number.to_le_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
        Ok(())
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::machine::Exit;

    #[test]
    fn a_full_socket_keeps_records_and_a_new_line_gets_them_again() {
        let mut ring = Ring::default();
        (1..=4000).for_each(|pid| ring.push(pid, 1, Exit::Code(1), 0));
        let (channel, theirs) = Channel::pair().unwrap();
        let line = Line::new(theirs);
        let mut got = Vec::new();
        channel.send(&mut ring);
        assert!(ring.unsent().is_some(), "4000 packets do not fit");
        loop {
            match line.hear() {
                Heard::Record(r) => got.push(r.number),
                Heard::Nothing if ring.unsent().is_some() => channel.send(&mut ring),
                Heard::Nothing => break,
                Heard::Gone => panic!("nobody has gone"),
            }
        }
        assert_eq!(got, (1..=4000).collect::<Vec<_>>());
        line.take(10).unwrap();
        line.take(3999).unwrap();
        assert_eq!(channel.receive(), Said::Taken(10));
        assert_eq!(channel.receive(), Said::Taken(3999));
        assert_eq!(channel.receive(), Said::Nothing);
        ring.taken(3999);
        assert_eq!(ring.len(), 1);

        assert!(!line.is_gone());
        drop(channel);
        assert!(line.is_gone());
        assert_eq!(line.hear(), Heard::Gone);
        let (channel, theirs) = Channel::pair().unwrap();
        ring.rewind();
        channel.send(&mut ring);
        let line = Line::new(theirs);
        let Heard::Record(last) = line.hear() else { panic!("it is told again") };
        assert_eq!((last.number, last.pid, last.exit), (4000, 4000, Exit::Code(1)));
        drop(line);
        assert_eq!(channel.receive(), Said::Gone);
    }
}
