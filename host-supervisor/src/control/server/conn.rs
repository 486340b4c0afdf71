//! conn: one client's connection: what it sent, what waits for it, whether a call is in flight. Never blocks.
use super::{Limits, Peer};
use crate::control::codec::Decoder;
use crate::control::pass;
use crate::control::protocol::wire::{self, Ask, CallError};
use crate::control::protocol::{Fault, FaultKind, Reply, Request};
use mio::net::UnixStream;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use units::values::Tick;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// Messages or chunks that one client gets served in a turn.
const STEPS: usize = 16;

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) stream: UnixStream,
    pub(super) peer: Peer,
    pub(super) generation: u64,
    decoder: Decoder,
    /// Descriptors that came, with the number of the message that they came with.
    fds: Vec<(u64, OwnedFd)>,
    phase: Phase,
    out: VecDeque<Outbound>,
    out_bytes: usize,
    /// Something waits for the client since then without any of it being read.
    stalled: Option<Tick>,
    /// The kernel may have bytes; cleared by EAGAIN.
    readable: bool,
    /// The client won't send any more; it may still listen.
    ended: bool,
    /// The client neither sends nor listens.
    hung_up: bool,
}

/// What the connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No call is in flight, since then.
    Idle { since: Tick },
    /// The daemon has a call.
    Busy { more: bool, oneway: bool },
    /// It can't go on: closed once what waits is written.
    Closing { since: Tick },
}

#[derive(Debug)]
struct Outbound {
    bytes: Vec<u8>,
    written: usize,
    fds: Vec<OwnedFd>,
}

/// How far a connection got.
pub(super) enum Turn {
    /// It waits for the client or for the daemon.
    Waits,
    /// It has had its turn, and may have more to say.
    Again,
    /// The daemon has to answer this.
    Call { request: Request, more: bool, fds: Vec<OwnedFd> },
    /// It is over.
    Over,
}

pub(super) fn peer_of(stream: &UnixStream) -> Option<Peer> {
    let cred = nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::PeerCredentials).ok()?;
    Some(Peer { uid: cred.uid(), gid: cred.gid(), pid: cred.pid() })
}

impl Conn {
    pub(super) fn new(stream: UnixStream, peer: Peer, generation: u64, limits: &Limits, now: Tick) -> Conn {
        Conn {
            stream,
            peer,
            generation,
            decoder: Decoder::new(limits.message),
            fds: Vec::new(),
            phase: Phase::Idle { since: now },
            out: VecDeque::new(),
            out_bytes: 0,
            stalled: None,
            readable: false,
            ended: false,
            hung_up: false,
        }
    }
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Busy { .. })
    }
    /// Since when it has no call in flight; none: it has one.
    pub(super) fn idle_since(&self) -> Option<Tick> {
        match self.phase {
            Phase::Idle { since } | Phase::Closing { since } => Some(since),
            Phase::Busy { .. } => None,
        }
    }
    /// When its time is up.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Tick> {
        let idle = match self.phase {
            Phase::Idle { since } => Some(since.after(limits.idle)),
            Phase::Closing { since } => Some(since.after(limits.stall)),
            Phase::Busy { .. } => None,
        };
        idle.into_iter().chain(self.stalled.map(|t| t.after(limits.stall))).min()
    }
    pub(super) fn readiness(&mut self, event: &mio::event::Event) {
        self.readable |= event.is_readable() || event.is_read_closed();
        self.hung_up |= event.is_write_closed() || event.is_error();
    }
    /// Queues the daemon's reply.
    pub(super) fn answer(&mut self, reply: Reply, now: Tick) {
        let Phase::Busy { more, oneway } = self.phase else { return };
        let wanted = match &reply {
            Reply::More(_) => more && !oneway,
            Reply::Done(..) | Reply::Failed(_) => !oneway,
        };
        if !matches!(reply, Reply::More(_)) {
            self.phase = Phase::Idle { since: now };
        }
        if wanted {
            let bytes = wire::write_reply(&reply);
            let fds = match reply {
                Reply::Done(_, fds) => fds,
                Reply::More(_) | Reply::Failed(_) => Vec::new(),
            };
            self.push(bytes, fds);
        }
    }
    fn push(&mut self, bytes: Vec<u8>, fds: Vec<OwnedFd>) {
        self.out_bytes += bytes.len();
        self.out.push_back(Outbound { bytes, written: 0, fds });
    }

    /// Writes, reads and decodes until it has to wait, a call has come, or its turn is over.
    pub(super) fn advance(&mut self, limits: &Limits, now: Tick) -> Turn {
        for _ in 0..STEPS {
            if self.flush(limits, now).is_err() {
                return Turn::Over;
            }
            match self.phase {
                // Nobody is left to hear the answer; a oneway call has none.
                Phase::Busy { oneway: false, .. } if self.hung_up => return Turn::Over,
                Phase::Busy { .. } => return Turn::Waits,
                Phase::Closing { .. } if self.out.is_empty() => return Turn::Over,
                Phase::Closing { .. } => return Turn::Waits,
                // One that does not read its answers gets no further ones.
                Phase::Idle { .. } if !self.out.is_empty() => return Turn::Waits,
                Phase::Idle { .. } => {}
            }
            if let Some(message) = self.decoder.next_message() {
                match message {
                    Ok((number, message)) => {
                        let fds = self.take_fds(number);
                        if let Some(call) = self.take_call(&message, fds, now) {
                            return call;
                        }
                    }
                    Err(e) => self.close_with(&Fault::new(FaultKind::Usage, e.to_string()), now),
                }
            } else if self.ended {
                return Turn::Over;
            } else if !self.readable {
                return Turn::Waits;
            } else if self.read(now).is_err() {
                return Turn::Over;
            }
        }
        Turn::Again
    }
    /// Answers what the server can answer by itself; what the daemon has to is returned.
    fn take_call(&mut self, message: &[u8], fds: Vec<OwnedFd>, now: Tick) -> Option<Turn> {
        let call = match wire::read_call(message) {
            Ok(call) => call,
            Err(error) => {
                self.push(wire::write_call_error(&error), Vec::new());
                self.phase = match error {
                    CallError::Garbage(_) => Phase::Closing { since: now },
                    CallError::Interface(_)
                    | CallError::Method(_)
                    | CallError::Parameter(_)
                    | CallError::ExpectedMore
                    | CallError::Upgrade => Phase::Idle { since: now },
                };
                return None;
            }
        };
        let own = match call.ask {
            Ask::Daemon(request) => {
                self.phase = Phase::Busy { more: call.more, oneway: call.oneway };
                return Some(Turn::Call { request, more: call.more, fds });
            }
            Ask::Info => wire::write_info(),
            Ask::Describe(name) => wire::write_description(&name),
        };
        self.phase = Phase::Idle { since: now };
        if !call.oneway {
            self.push(own, Vec::new());
        }
        None
    }
    fn close_with(&mut self, fault: &Fault, now: Tick) {
        self.push(wire::write_reply(&Reply::Failed(fault.clone())), Vec::new());
        self.phase = Phase::Closing { since: now };
    }
    fn take_fds(&mut self, number: u64) -> Vec<OwnedFd> {
        let (mine, later) = std::mem::take(&mut self.fds).into_iter().partition(|(n, _)| *n <= number);
        self.fds = later;
        let mine: Vec<(u64, OwnedFd)> = mine;
        mine.into_iter().map(|(_, fd)| fd).collect()
    }
    fn read(&mut self, now: Tick) -> io::Result<()> {
        let mut chunk = [0u8; CHUNK];
        let mut fds = Vec::new();
        match pass::receive(&self.stream, &mut chunk, &mut fds) {
            Ok(0) => self.ended = true,
            Ok(n) => {
                self.decoder.feed(chunk.get(..n).unwrap_or_default());
                let number = self.decoder.last_number();
                self.fds.extend(fds.into_iter().map(|fd| (number, fd)));
                if self.fds.len() > pass::MAX_FDS {
                    let why = format!("at most {} descriptors can come with a message", pass::MAX_FDS);
                    self.fds.clear();
                    self.close_with(&Fault::new(FaultKind::Usage, why), now);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.readable = false,
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                self.close_with(&Fault::new(FaultKind::Usage, e.to_string()), now);
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }
    /// Writes what the socket takes. An error: the client is gone, or too slow.
    pub(super) fn flush(&mut self, limits: &Limits, now: Tick) -> io::Result<()> {
        while let Some(first) = self.out.front_mut() {
            let rest = first.bytes.get(first.written..).unwrap_or_default();
            let fds: Vec<_> = first.fds.iter().map(AsFd::as_fd).collect();
            match pass::send(&self.stream, rest, &fds) {
                Ok(n) => {
                    first.fds.clear();
                    first.written += n;
                    self.out_bytes -= n;
                    self.stalled = None;
                    if first.written >= first.bytes.len() {
                        self.out.pop_front();
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.stalled.get_or_insert(now);
                    return self.check_backlog(limits);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
    /// A single large reply may exceed the backlog; a queue of them may not.
    fn check_backlog(&self, limits: &Limits) -> io::Result<()> {
        if self.out.len() > 1 && self.out_bytes > limits.backlog {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly"));
        }
        Ok(())
    }
}
