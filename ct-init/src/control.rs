//! control: the host's connections and what each of them is: commands, one exec session, or a log stream. Hostile
//! input: bounded, versioned, and what does not decode ends the connection.
use crate::engine::Engine;
use crate::output::history::History;
use crate::proto::{Control, Line, Logs, Report, Request, Session as Message, UnitStatus, VERSION};
use crate::resume::fds::{Arrived, Fd, Kept};
use crate::resume::snapshot::Entry;
use crate::session::{self, Progress, Refusal, Session};
use crate::wire::{KeptWire, Packet, Wire, WireError, decode};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use units::values::Tick;

/// One turn sends at most so many log lines to one reader.
const LINES_A_TURN: usize = 256;
/// New lines that wait behind old ones; a follower that is further behind is dropped.
const MAX_PENDING: usize = 4096;
/// So many connections at once.
pub const MAX_LINKS: usize = 64;

/// One connection.
#[derive(Debug)]
pub struct Link {
    wire: Wire,
    kind: Kind,
    /// Being asked nothing more, it closes when all is sent.
    closing: bool,
}

#[derive(Debug)]
enum Kind {
    Greeting,
    Commands { watch: bool },
    Exec(Session),
    Logs(Box<Stream>),
}

/// A connection as plain data.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptLink {
    wire: KeptWire,
    kind: KeptKind,
    closing: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum KeptKind {
    Greeting,
    Commands { watch: bool },
    Exec { pid: i32, master: Option<Fd> },
    Logs { unit: Option<String>, unused: u64, pending: Vec<Line> },
}

/// Old lines, then new ones.
#[derive(Debug)]
struct Stream {
    history: Option<History>,
    unit: Option<String>,
    follow: bool,
    /// So many of the next new lines are old ones already.
    known: usize,
    pending: VecDeque<Line>,
}

/// What the loop has to do for a connection.
#[derive(Debug)]
pub enum Then {
    /// Keep it.
    Keep,
    /// Keep it, and ask for more in the next turn.
    Again,
    /// The host asks to stop everything.
    Shutdown,
    /// Somebody asks that this program is executed anew, from this file or its own. The tag is for the answer.
    Reexec(u32, Option<OwnedFd>),
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

impl Link {
    /// A connection that has just been accepted.
    pub fn new(wire: Wire) -> Link {
        Link { wire, kind: Kind::Greeting, closing: false }
    }

    /// All of it, for this program executed anew; none of a log stream that has not come to the new lines yet.
    pub fn keep(&self, fds: &mut Kept) -> Option<KeptLink> {
        let kind = match &self.kind {
            Kind::Greeting => KeptKind::Greeting,
            Kind::Commands { watch } => KeptKind::Commands { watch: *watch },
            Kind::Exec(session) => {
                KeptKind::Exec { pid: session.pid, master: fds.maybe(session.master.as_ref()) }
            }
            Kind::Logs(stream) if stream.history.is_none() && stream.follow => KeptKind::Logs {
                unit: stream.unit.clone(),
                unused: 0,
                pending: stream.pending.iter().cloned().collect(),
            },
            Kind::Logs(_) => return None,
        };
        Some(KeptLink { wire: self.wire.keep(fds), kind, closing: self.closing })
    }

    /// Goes on where [`Link::keep`] was called; none if the connection is gone.
    pub fn again(kept: KeptLink, fds: &mut Arrived) -> Option<Link> {
        let kind = match kept.kind {
            KeptKind::Greeting => Kind::Greeting,
            KeptKind::Commands { watch } => Kind::Commands { watch },
            KeptKind::Exec { pid, master } => {
                Kind::Exec(Session { pid, master: master.and_then(|fd| fds.take(fd)) })
            }
            KeptKind::Logs { unit, unused: _, pending } => Kind::Logs(Box::new(Stream {
                history: None,
                unit,
                follow: true,
                known: 0,
                pending: pending.into(),
            })),
        };
        Some(Link { wire: Wire::again(kept.wire, fds)?, kind, closing: kept.closing })
    }

    /// Reads what has come and does it. An error ends the connection.
    pub fn serve(&mut self, number: usize, engine: &mut Engine) -> Result<Then, WireError> {
        self.wire.flush()?;
        // A few packets a turn: one peer must not keep PID 1 from the others.
        for _ in 0..16 {
            let Some(mut packet) = self.wire.receive()? else { return self.go_on() };
            engine.jot(&Entry::Asks(number));
            match self.packet(number, engine, &mut packet)? {
                Then::Keep | Then::Again => (),
                then @ (Then::Shutdown | Then::Reexec(..)) => return Ok(then),
            }
        }
        self.go_on()?;
        Ok(Then::Again)
    }

    fn packet(&mut self, number: usize, engine: &mut Engine, packet: &mut Packet) -> Result<Then, WireError> {
        match &self.kind {
            Kind::Exec(session) => {
                session.control(decode::<Control>(&packet.bytes)?);
                Ok(Then::Keep)
            }
            Kind::Logs(_) => Err(WireError::TooLarge),
            Kind::Greeting | Kind::Commands { .. } => {
                let request = decode::<Request>(&packet.bytes)?;
                self.request(number, engine, request, packet)
            }
        }
    }

    fn request(
        &mut self,
        number: usize,
        engine: &mut Engine,
        request: Request,
        packet: &mut Packet,
    ) -> Result<Then, WireError> {
        if let (Kind::Greeting, false) = (&self.kind, matches!(request, Request::Hello { .. })) {
            return Err(WireError::Closed);
        }
        match request {
            Request::Hello { version: _ } => {
                self.kind = Kind::Commands { watch: false };
                self.wire.send(&Report::Hello { version: VERSION, ready: engine.is_ready() }, None)?;
            }
            Request::Watch => {
                self.kind = Kind::Commands { watch: true };
                if engine.is_ready() {
                    self.wire.send(&Report::Ready { failed: engine.failed() }, None)?;
                }
                if let Some(report) = engine.standing() {
                    self.wire.send(&report, None)?;
                }
            }
            Request::Unit { tag, unit, verb } => engine.request(number, tag, &unit, verb),
            Request::List { tag } => self.list(tag, engine)?,
            Request::Shutdown => return Ok(Then::Shutdown),
            Request::Exec(exec) => match session::start(engine, number, &exec, &packet.fds) {
                Ok(session) => self.kind = Kind::Exec(session),
                Err(refusal) => self.refuse(refusal)?,
            },
            Request::Logs(logs) => self.logs(engine, logs),
            Request::Reexec { tag } => return Ok(Then::Reexec(tag, packet.fds.pop())),
        }
        Ok(Then::Keep)
    }

    fn list(&mut self, tag: u32, engine: &Engine) -> Result<(), WireError> {
        let now = crate::clock::now();
        let mut all: Vec<UnitStatus> = engine.all().map(|s| s.status(now)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        // A status has at most a name, a description and a note of 1 KiB each: twenty of them fit in any packet.
        let count = all.len().div_ceil(20).max(1);
        let mut chunks = all.chunks(20);
        for i in 1..=count {
            let units = chunks.next().unwrap_or(&[]).to_vec();
            self.wire.send(&Report::Units { tag, units, last: i == count }, None)?;
        }
        Ok(())
    }

    fn logs(&mut self, engine: &mut Engine, wanted: Logs) {
        // At once: a line of this very turn is neither old nor to be missed.
        engine.store.followed |= wanted.follow;
        let history = engine.store.history(&wanted);
        self.kind = Kind::Logs(Box::new(Stream {
            history: Some(history),
            unit: wanted.unit,
            follow: wanted.follow,
            known: engine.store.fresh_so_far(),
            pending: VecDeque::new(),
        }));
    }

    /// Sends log lines as far as the peer takes them.
    pub fn go_on(&mut self) -> Result<Then, WireError> {
        self.wire.flush()?;
        if self.closing && self.wire.is_idle() {
            return Err(WireError::Closed);
        }
        let Kind::Logs(stream) = &mut self.kind else { return Ok(Then::Keep) };
        for _ in 0..LINES_A_TURN {
            if !self.wire.is_idle() {
                return Ok(Then::Keep);
            }
            match stream.next() {
                Some(line) => self.wire.send(&Message::Line(line), None)?,
                None if stream.follow => return Ok(Then::Keep),
                None => {
                    self.closing = true;
                    return if self.wire.is_idle() { Err(WireError::Closed) } else { Ok(Then::Keep) };
                }
            }
        }
        Ok(Then::Again)
    }

    /// New lines, for those that follow.
    pub fn follow(&mut self, lines: &[Line]) -> Result<(), WireError> {
        let Kind::Logs(stream) = &mut self.kind else { return Ok(()) };
        if !stream.follow {
            return Ok(());
        }
        let known = std::mem::take(&mut stream.known);
        let wanted = |l: &&Line| stream.unit.as_ref().is_none_or(|u| *u == l.unit);
        stream.pending.extend(lines.iter().skip(known).filter(wanted).cloned());
        if stream.pending.len() > MAX_PENDING {
            return Err(WireError::TooSlow);
        }
        Ok(())
    }

    /// Whether it wants new log lines.
    pub fn follows(&self) -> bool {
        matches!(&self.kind, Kind::Logs(stream) if stream.follow)
    }

    /// Whether it gets reports unasked.
    pub fn watches(&self) -> bool {
        matches!(self.kind, Kind::Commands { watch: true })
    }

    /// Sends a report.
    pub fn tell(&mut self, report: &Report) -> Result<(), WireError> {
        match self.kind {
            Kind::Commands { .. } => self.wire.send(report, None),
            Kind::Greeting | Kind::Exec(_) | Kind::Logs(_) => Ok(()),
        }
    }

    /// Its session has got further.
    pub fn progress(&mut self, progress: Progress) -> Result<(), WireError> {
        let Kind::Exec(session) = &mut self.kind else { return Ok(()) };
        match progress {
            Progress::Executed => {
                let pid = u32::try_from(session.pid).unwrap_or(0);
                // The copy that stays here sets the size; it goes with the connection.
                let master = session.master.as_ref().and_then(|m| m.try_clone().ok());
                self.wire.send(&Message::Started { pid }, master)
            }
            Progress::Refused(refusal) => {
                session.pid = 0;
                self.refuse(refusal)
            }
            Progress::Ended(how) => {
                session.pid = 0;
                self.closing = true;
                self.wire.send(&Message::Ended(how), None)?;
                if self.wire.is_idle() { Err(WireError::Closed) } else { Ok(()) }
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Result<(), WireError> {
        self.closing = true;
        self.wire.send(&Message::Refused { code: refusal.code, why: refusal.why }, None)?;
        if self.wire.is_idle() { Err(WireError::Closed) } else { Ok(()) }
    }

    /// It is over: a command that still runs is hung up, and killed if that does not end it until the tick returned.
    pub fn hang_up(self) -> Option<(Tick, i32)> {
        let Kind::Exec(session) = &self.kind else { return None };
        if session.pid == 0 {
            return None;
        }
        session.signal(1);
        session.signal(18);
        Some((crate::clock::now().after(std::time::Duration::from_secs(5)), session.pid))
    }
}

impl Stream {
    fn next(&mut self) -> Option<Line> {
        if let Some(history) = &mut self.history {
            if let Some(line) = history.next() {
                return Some(line);
            }
            self.history = None;
        }
        self.pending.pop_front()
    }
}
