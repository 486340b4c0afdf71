//! server: the supervisor's side of the control socket, for a mio loop. Never blocks, never reads a clock, never
//! knows what a request means.
//!
//! The loop hands events in and takes what clients want out, as long as there is any:
//!
//! ```ignore
//! if server.owns(event.token()) { server.event(event, now); }
//! server.tick(now);                                  // every turn, at the latest at server.deadline()
//! while let Some(incoming) = server.poll() {
//!     match incoming {
//!         Incoming::Call { client, request, .. } => server.reply(client, answer(request), now),
//!         Incoming::Gone(client) => forget(client),  // it had a call in flight
//!     }
//! }
//! ```
//!
//! A client has one call in flight; what it sends meanwhile waits in the kernel. Everything a client can make the
//! server keep is bounded by [`Limits`]. In one turn a client gets one call served and no more, so that none can keep
//! the loop from the others however fast it asks.
mod conn;
pub mod listen;

use super::protocol::wire;
use super::protocol::{Fault, FaultKind, Reply, Request};
use conn::{Conn, Turn};
use mio::net::UnixListener;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use units::values::Tick;

/// A connection; never reused for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    slot: usize,
    generation: u64,
}

/// Who is at the other end, as the kernel vouches (SO_PEERCRED, at the time it connected).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Process; may be gone.
    pub pid: i32,
}

/// What the daemon gets.
#[derive(Debug)]
pub enum Incoming {
    /// A call; it is in flight until `Reply::Done` or `Reply::Failed` is handed in.
    Call {
        /// Whom to answer.
        client: ClientId,
        /// Who asks, for decisions and the audit trail.
        peer: Peer,
        /// What is asked.
        request: Request,
        /// Whether the client takes `Reply::More`; the server drops those that are not wanted.
        more: bool,
        /// Descriptors that came with the call, in order; closed when dropped.
        fds: Vec<OwnedFd>,
    },
    /// This client left while its call was in flight. Replies to it are dropped.
    Gone(ClientId),
}

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. When all are taken, the one idle for longest makes room.
    pub clients: usize,
    /// Connections at once of one user other than root.
    pub clients_per_user: usize,
    /// Bytes of one inbound message.
    pub message: usize,
    /// Bytes that may wait to be read by a client; one that lets more wait is dropped.
    pub backlog: usize,
    /// How long a connection may have no call in flight (a half message counts as none).
    pub idle: Duration,
    /// How long a client may read nothing of what waits for it.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            clients: 256,
            clients_per_user: 64,
            message: super::codec::MESSAGE_LIMIT,
            backlog: 4 * 1024 * 1024,
            idle: Duration::from_secs(300),
            stall: Duration::from_secs(30),
        }
    }
}

/// The listening socket and its clients.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    registry: Registry,
    first: Token,
    limits: Limits,
    slots: Vec<Option<Conn>>,
    generations: u64,
    ready: VecDeque<Incoming>,
    /// Given up for a moment when there are no descriptors left, so that a client can be told so.
    spare: Option<OwnedFd>,
    /// Connections wait that could not be accepted for want of memory; tried again at this tick.
    accept_again: Option<Tick>,
    /// Clients that may have more to say; they go on in the next turn.
    again: VecDeque<ClientId>,
}

impl Server {
    /// Serves a listening socket. Uses the tokens from `first` on, [`Server::tokens`] of them.
    pub fn new(
        listener: std::os::unix::net::UnixListener,
        registry: &Registry,
        first: Token,
        limits: Limits,
    ) -> io::Result<Server> {
        listener.set_nonblocking(true)?;
        let mut listener = UnixListener::from_std(listener);
        let registry = registry.try_clone()?;
        registry.register(&mut listener, first, Interest::READABLE)?;
        let mut slots = Vec::new();
        slots.resize_with(limits.clients, || None);
        let spare = open_spare();
        Ok(Server {
            listener,
            registry,
            first,
            limits,
            slots,
            generations: 0,
            ready: VecDeque::new(),
            spare,
            accept_again: None,
            again: VecDeque::new(),
        })
    }
    /// How many tokens it uses.
    pub fn tokens(&self) -> usize {
        self.limits.clients + 1
    }
    /// Whether an event with this token is for [`Server::event`].
    pub fn owns(&self, token: Token) -> bool {
        (self.first.0..self.first.0 + self.tokens()).contains(&token.0)
    }
    /// How many clients are connected.
    pub fn clients(&self) -> usize {
        self.slots.iter().flatten().count()
    }
    /// Takes one readiness event in.
    pub fn event(&mut self, event: &mio::event::Event, now: Tick) {
        match event.token().0.checked_sub(self.first.0) {
            None => {}
            Some(0) => self.accept(now),
            Some(n) => {
                let slot = n - 1;
                if let Some(Some(conn)) = self.slots.get_mut(slot) {
                    conn.readiness(event);
                    self.advance(slot, now);
                }
            }
        }
    }
    /// What a client wants next; none: wait for events.
    pub fn poll(&mut self) -> Option<Incoming> {
        self.ready.pop_front()
    }
    /// Hands a reply to a client. One for a client that is gone is dropped.
    pub fn reply(&mut self, client: ClientId, reply: Reply, now: Tick) {
        let Some(Some(conn)) = self.slots.get_mut(client.slot) else { return };
        if conn.generation != client.generation {
            return;
        }
        conn.answer(reply, now);
        match conn.flush(&self.limits, now) {
            Ok(()) if conn.is_busy() => {}
            Ok(()) => self.again.push_back(client),
            Err(_) => self.drop_client(client.slot),
        }
    }
    /// Lets clients go on that have said more than one turn allows, and drops those whose time is up.
    pub fn tick(&mut self, now: Tick) {
        for client in std::mem::take(&mut self.again) {
            if self
                .slots
                .get(client.slot)
                .is_some_and(|c| c.as_ref().is_some_and(|c| c.generation == client.generation))
            {
                self.advance(client.slot, now);
            }
        }
        if self.accept_again.is_some_and(|at| at <= now) {
            self.accept_again = None;
            self.accept(now);
        }
        for slot in 0..self.slots.len() {
            if let Some(Some(conn)) = self.slots.get(slot)
                && conn.deadline(&self.limits).is_some_and(|at| at <= now)
            {
                self.drop_client(slot);
            }
        }
    }
    /// When [`Server::tick`] has something to do; none: not before the next event.
    pub fn deadline(&self) -> Option<Tick> {
        let clients = self.slots.iter().flatten().filter_map(|c| c.deadline(&self.limits));
        let at_once = (!self.again.is_empty()).then_some(Tick(0));
        clients.chain(self.accept_again).chain(at_once).min()
    }

    /// Lets a client's connection go on as far as it can.
    fn advance(&mut self, slot: usize, now: Tick) {
        let Some(Some(conn)) = self.slots.get_mut(slot) else { return };
        let client = ClientId { slot, generation: conn.generation };
        match conn.advance(&self.limits, now) {
            Turn::Waits => {}
            Turn::Again => self.again.push_back(client),
            Turn::Over => self.drop_client(slot),
            Turn::Call { request, more, fds } => {
                let peer = conn.peer;
                self.ready.push_back(Incoming::Call { client, peer, request, more, fds });
            }
        }
    }
    fn drop_client(&mut self, slot: usize) {
        let Some(mut conn) = self.slots.get_mut(slot).and_then(Option::take) else { return };
        // Closing the descriptor would do; a failure to say so first changes nothing.
        let _ = self.registry.deregister(&mut conn.stream);
        if conn.is_busy() {
            let client = ClientId { slot, generation: conn.generation };
            let before = self.ready.len();
            self.ready.retain(|i| !matches!(i, Incoming::Call { client: c, .. } if *c == client));
            if self.ready.len() == before {
                self.ready.push_back(Incoming::Gone(client));
            }
        }
    }

    fn accept(&mut self, now: Tick) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream, now),
                Err(e) => match Errno::from_io_error(&e) {
                    Some(Errno::AGAIN) => return,
                    Some(Errno::INTR | Errno::CONNABORTED) => {}
                    // This comes also where nobody waits: the kernel takes a descriptor before it looks.
                    Some(Errno::MFILE | Errno::NFILE) => match self.turn_away() {
                        TurnedAway::One => {}
                        TurnedAway::NobodyWaits => return,
                        TurnedAway::Failed => return self.accept_later(now),
                    },
                    Some(_) | None => return self.accept_later(now),
                },
            }
        }
    }
    fn accept_later(&mut self, now: Tick) {
        self.accept_again = Some(now.after(Duration::from_millis(200)));
    }
    /// There are no descriptors left: uses the spare one to tell a client so.
    fn turn_away(&mut self) -> TurnedAway {
        let had_one = self.spare.take().is_some();
        let result = match self.listener.accept() {
            Ok((stream, _)) => {
                refuse(&stream, "the supervisor has no file descriptors left".to_owned());
                TurnedAway::One
            }
            Err(e) if had_one && e.kind() == io::ErrorKind::WouldBlock => TurnedAway::NobodyWaits,
            Err(_) => TurnedAway::Failed,
        };
        self.spare = open_spare();
        result
    }
    fn admit(&mut self, mut stream: mio::net::UnixStream, now: Tick) {
        let Some(peer) = conn::peer_of(&stream) else { return };
        if let Err(why) = self.make_room(peer.uid) {
            return refuse(&stream, why);
        }
        let Some(slot) = self.slots.iter().position(Option::is_none) else { return };
        let token = Token(self.first.0 + 1 + slot);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(e) = self.registry.register(&mut stream, token, interest) {
            return refuse(&stream, format!("watch the connection: {e}"));
        }
        self.generations += 1;
        let conn = Conn::new(stream, peer, self.generations, &self.limits, now);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(conn);
        }
    }
    /// Sees to it that one more client of this user has a place; the one idle for longest leaves for it.
    fn make_room(&mut self, uid: u32) -> Result<(), String> {
        let of_user = |c: &Conn| c.peer.uid == uid;
        let users = self.slots.iter().flatten().filter(|c| of_user(c)).count();
        let (leaves, full) = if uid != 0 && users >= self.limits.clients_per_user {
            (self.idlest(of_user), format!("user {uid} has {users} calls running already"))
        } else if self.clients() >= self.limits.clients {
            (self.idlest(|_| true), format!("{} clients wait for an answer already", self.limits.clients))
        } else {
            return Ok(());
        };
        self.drop_client(leaves.ok_or(full)?);
        Ok(())
    }
    fn idlest(&self, which: impl Fn(&Conn) -> bool) -> Option<usize> {
        let idle = self.slots.iter().enumerate().filter_map(|(slot, c)| Some((slot, c.as_ref()?)));
        let idle = idle
            .filter(|(_, c)| which(c))
            .filter_map(|(slot, c)| Some((c.idle_since()?, c.generation, slot)));
        idle.min().map(|(_, _, slot)| slot)
    }
}

/// What came of telling a client that there are no descriptors left.
enum TurnedAway {
    /// It was told.
    One,
    /// There was none.
    NobodyWaits,
    /// Not even that was possible.
    Failed,
}

fn open_spare() -> Option<OwnedFd> {
    std::fs::File::open("/dev/null").ok().map(OwnedFd::from)
}

/// Tells a client that it can't be served, as far as its socket takes it at once.
fn refuse(stream: &mio::net::UnixStream, why: String) {
    let fault = Fault::new(FaultKind::Refused, why).hint("try again in a moment");
    let _ = super::pass::send(stream, &wire::write_reply(&Reply::Failed(fault)), &[]);
}

#[cfg(test)]
mod tests;
