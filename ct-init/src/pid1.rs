//! pid1: the one loop. Takes what is ready, in the order that loses nothing, and tells the engine. Never blocks
//! anywhere but in poll.
use crate::boot::Start;
use crate::cgroup::Tree;
use crate::control::{Link, Then};
use crate::effect::powers::Powers;
use crate::engine::unit::Id;
use crate::engine::vigil::Ear;
use crate::engine::{Engine, Want};
use crate::halt::{Asked, Signals};
use crate::host::Level;
use crate::log::{NAME, Waiting};
use crate::output::Store;
use crate::output::pipe::Drained;
use crate::proto::{Leave, Report};
use crate::ready::notify::MAX_DATAGRAM;
use crate::ready::socket::{self, NOTIFY, SYSLOG};
use crate::resume::snapshot::Entry;
use crate::root::Root;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slog::{Logger, error, info, warn};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use units::values::Tick;

mod again;
mod host;
mod links;

pub use host::KeptWork;

/// So many ended children are reaped before others get their turn.
const REAPS_A_TURN: usize = 128;
/// So many datagrams are read before others get their turn.
const DATAGRAMS_A_TURN: usize = 256;

/// What can be ready. Each has a token that says which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Notify,
    Signals,
    Listener,
    Syslog,
    Link(usize),
    Output(usize),
    Group(usize),
    Errors(usize),
    Socket(usize),
    Ear(usize),
    Console,
    Clock,
}

impl Source {
    fn token(self) -> Token {
        let (kind, number) = match self {
            Source::Notify => (0, 0),
            Source::Signals => (1, 0),
            Source::Listener => (2, 0),
            Source::Syslog => (3, 0),
            Source::Link(n) => (4, n),
            Source::Output(n) => (5, n),
            Source::Group(n) => (6, n),
            Source::Errors(n) => (7, n),
            Source::Socket(n) => (8, n),
            Source::Ear(n) => (9, n),
            Source::Console => (11, 0),
            Source::Clock => (10, 0),
        };
        Token(number << 4 | kind)
    }
    fn of(token: Token) -> Source {
        let number = token.0 >> 4;
        match token.0 & 15 {
            0 => Source::Notify,
            1 => Source::Signals,
            2 => Source::Listener,
            3 => Source::Syslog,
            4 => Source::Link(number),
            5 => Source::Output(number),
            6 => Source::Group(number),
            7 => Source::Errors(number),
            8 => Source::Socket(number),
            9 => Source::Ear(number),
            10 => Source::Clock,
            _ => Source::Console,
        }
    }
}

/// PID 1.
pub struct Pid1 {
    engine: Engine,
    poll: Poll,
    signals: Signals,
    listener: Option<OwnedFd>,
    notify: Option<OwnedFd>,
    syslog: Option<OwnedFd>,
    /// Says when the wall clock is set.
    clock: Option<OwnedFd>,
    links: BTreeMap<usize, Link>,
    next_link: usize,
    /// Sources that had more than one turn's worth.
    again: BTreeSet<Source>,
    /// Commands of sessions whose person has gone, and when they are killed.
    doomed: Vec<(Tick, i32)>,
    /// What only a host's PID 1 has to do.
    host: Option<host::Work>,
    anew: again::Anew,
    waiting: Waiting,
    log: Logger,
}

impl Pid1 {
    /// Boots: everything up to the first start job.
    pub fn new(start: Start, log: Logger, waiting: Waiting) -> io::Result<Pid1> {
        let signals = Signals::catch(start.level)?;
        let poll = Poll::new()?;
        let root = Root::new("/");
        let store = Store::new(Path::new(crate::output::DIRECTORY));
        let mut engine = Engine::new(root.clone(), start.level, log.clone(), start.handover, store);
        engine.tree = take_tree(&engine, &log);
        engine.powers = Powers::of(start.level);
        engine.own = own_file(&log);
        let notify = bind(&root, NOTIFY, &log);
        let syslog = bind(&root, SYSLOG, &log);
        link_syslog(&root, &log);
        let mut pid1 = Pid1 {
            engine,
            poll,
            signals,
            listener: start.listener,
            notify,
            syslog,
            clock: watch_clock(&log),
            links: BTreeMap::new(),
            next_link: 0,
            again: BTreeSet::new(),
            doomed: Vec::new(),
            host: None,
            anew: again::Anew::default(),
            waiting,
            log,
        };
        if pid1.engine.level == Level::Host {
            pid1.host = Some(host::Work::begin(&pid1.engine));
            pid1.stay();
        }
        pid1.open_book();
        pid1.listen_to_all();
        Ok(pid1)
    }

    fn listen_to_all(&self) {
        self.listen(Source::Signals, Some(self.signals.wake.as_fd()), Interest::READABLE);
        self.listen(Source::Listener, self.listener.as_ref().map(AsFd::as_fd), Interest::READABLE);
        self.listen(Source::Notify, self.notify.as_ref().map(AsFd::as_fd), Interest::READABLE);
        self.listen(Source::Syslog, self.syslog.as_ref().map(AsFd::as_fd), Interest::READABLE);
        crate::log::listen(|fd| self.listen(Source::Console, Some(fd), Interest::WRITABLE));
        self.listen(Source::Clock, self.clock.as_ref().map(AsFd::as_fd), Interest::READABLE);
    }

    fn listen(&self, source: Source, fd: Option<BorrowedFd<'_>>, interest: Interest) {
        let Some(fd) = fd.map(|fd| fd.as_raw_fd()) else { return };
        let mut fd = SourceFd(&fd);
        if let Err(e) = self.poll.registry().register(&mut fd, source.token(), interest)
            && e.kind() != io::ErrorKind::AlreadyExists
        {
            error!(self.log, "can't listen"; "to" => ?source, "why" => %e);
        }
    }

    /// Runs until told to leave.
    pub fn run(mut self) -> ! {
        self.engine.boot();
        self.after_turn();
        self.go_on()
    }

    /// The loop.
    pub fn go_on(mut self) -> ! {
        let mut events = Events::with_capacity(256);
        loop {
            if let Err(e) = self.poll.poll(&mut events, self.timeout())
                && e.kind() != io::ErrorKind::Interrupted
            {
                error!(self.log, "poll"; "why" => %e);
            }
            // Sorted: notifications before exits, exits before all else.
            let mut batch = std::mem::take(&mut self.again);
            batch.extend(events.iter().map(|e| Source::of(e.token())));
            for source in batch {
                self.turn(source);
            }
            let now = crate::clock::now();
            if self.engine.deadline().is_some_and(|t| t <= now) {
                self.engine.timers(now);
                self.anew.changed = true;
            }
            self.kill_doomed(now);
            self.after_turn();
            self.execute_anew();
            let late = self.work(now);
            if let Some(why) = self.engine.has_stopped().or(late) {
                self.end(why);
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let own = self.host.iter().flat_map(host::Work::deadlines);
        let doomed = self.doomed.iter().map(|(t, _)| *t);
        let next = self.engine.deadline().into_iter().chain(doomed).chain(own).min()?;
        // A microsecond more, so that what is due is due when poll returns.
        Some(next.since(crate::clock::now()) + Duration::from_micros(1))
    }

    fn turn(&mut self, source: Source) {
        self.anew.changed |= match source {
            // What they bring is in no state.
            Source::Output(_) | Source::Syslog | Source::Console => false,
            Source::Notify
            | Source::Signals
            | Source::Listener
            | Source::Link(_)
            | Source::Group(_)
            | Source::Errors(_)
            | Source::Socket(_)
            | Source::Ear(_)
            | Source::Clock => true,
        };
        match source {
            Source::Notify => self.hear(),
            Source::Signals => self.signalled(),
            Source::Listener => self.accept(),
            Source::Syslog => self.hear_syslog(),
            Source::Link(number) => self.serve(number),
            Source::Output(id) => {
                let within = self.engine.is_within_a_line(Id(id));
                if self.engine.drain(Id(id)) == Drained::More {
                    self.again.insert(source);
                }
                self.anew.changed |= within || self.engine.is_within_a_line(Id(id));
            }
            Source::Group(id) => {
                // Its processes may have ended a moment ago: their ends come first.
                self.reap();
                self.engine.group_changed(Id(id));
                self.engine.settle();
            }
            Source::Socket(id) => self.engine.called(Id(id)),
            Source::Console => crate::log::flush(),
            Source::Clock => self.clock_was_set(),
            Source::Ear(ear) => {
                if self.engine.hear(Ear::of(ear)) == Drained::More {
                    self.again.insert(source);
                }
            }
            Source::Errors(pid) => {
                self.engine.exec_result(i32::try_from(pid).unwrap_or(0));
                self.engine.settle();
            }
        }
    }

    fn hear(&mut self) {
        for _ in 0..DATAGRAMS_A_TURN {
            let Some(fd) = &self.notify else { return };
            match socket::receive(fd, MAX_DATAGRAM) {
                Ok(Some(datagram)) => {
                    self.engine.jot(&Entry::Said(datagram.pid, datagram.bytes.clone()));
                    self.engine.notified(&datagram);
                }
                Ok(None) => {
                    self.engine.settle();
                    return;
                }
                Err(e) => {
                    error!(self.log, "stops listening to notifications"; "why" => %e);
                    self.notify = None;
                }
            }
        }
        self.again.insert(Source::Notify);
        self.engine.settle();
    }

    fn clock_was_set(&mut self) {
        if let Some(Err(e)) = self.clock.as_ref().map(crate::clock::watch_again) {
            error!(self.log, "stops listening to the clock"; "why" => %e);
            self.clock = None;
        }
        self.engine.clock_was_set(crate::clock::now());
    }

    fn hear_syslog(&mut self) {
        for _ in 0..DATAGRAMS_A_TURN {
            let Some(fd) = &self.syslog else { return };
            match socket::receive(fd, 8192) {
                Ok(Some(datagram)) => {
                    socket::forward(fd, &self.engine.root, &datagram);
                    self.engine.keep_syslog(&datagram);
                }
                Ok(None) => return,
                Err(e) => {
                    error!(self.log, "stops listening to syslog"; "why" => %e);
                    self.syslog = None;
                }
            }
        }
        self.again.insert(Source::Syslog);
    }

    fn signalled(&mut self) {
        for asked in self.signals.take() {
            self.act(asked);
        }
    }

    fn act(&mut self, asked: Asked) {
        match asked {
            Asked::Reap => return self.reap(),
            Asked::Reexec => return self.reexec(None),
            Asked::Reload | Asked::Leave(_) | Asked::Go(_) => self.engine.jot(&Entry::Asked(asked)),
        }
        match asked {
            Asked::Reap | Asked::Reexec => (),
            Asked::Reload => self.engine.read_again(None, None),
            Asked::Leave(why) => self.leave(why),
            // Who leaves a shell has mended something.
            Asked::Go(goal) => self.engine.read_again(Some(goal.unit()), None),
        }
    }

    /// Every ended child: first what it has said, then its output, then its end.
    fn reap(&mut self) {
        for _ in 0..REAPS_A_TURN {
            let Some(ended) = crate::reap::peek() else { return };
            self.hear();
            self.engine.before_reap(ended.pid);
            self.engine.jot(&Entry::Ended(ended.pid, ended.how));
            crate::reap::reap(ended.pid);
            self.engine.exited(ended.pid, ended.how);
            self.engine.settle();
            self.doomed.retain(|(_, pid)| *pid != ended.pid);
        }
        self.again.insert(Source::Signals);
        self.reap_later();
    }

    /// More children have ended than one turn takes; SIGCHLD won't come again for them.
    fn reap_later(&mut self) {
        self.signals.ask(Asked::Reap);
    }

    fn after_turn(&mut self) {
        self.pass_on();
        self.write_book();
    }

    /// What the engine wants, ct-init's own lines, and lines for followers.
    fn pass_on(&mut self) {
        while let Some(want) = self.engine.wants.pop_front() {
            self.fulfil(want);
        }
        self.keep_own_lines();
        self.engine.store.followed = self.links.values().any(Link::follows);
        let fresh = self.engine.store.fresh();
        if fresh.is_empty() {
            return;
        }
        let numbers: Vec<usize> = self.links.keys().copied().collect();
        for number in numbers {
            let Some(link) = self.links.get_mut(&number) else { continue };
            match link.follow(&fresh).and_then(|()| link.go_on()) {
                Ok(Then::Keep | Then::Shutdown | Then::Reexec(..)) => (),
                Ok(Then::Again) => {
                    self.again.insert(Source::Link(number));
                }
                Err(e) => self.drop_link(number, &e),
            }
        }
    }

    fn keep_own_lines(&mut self) {
        let own = self.waiting.take();
        self.engine.store.keep(NAME, crate::clock::wall(), own.iter().map(String::as_bytes));
    }

    fn fulfil(&mut self, want: Want) {
        match want {
            Want::Output(id) => {
                self.listen(Source::Output(id.0), self.engine.output_fd(id), Interest::READABLE);
            }
            Want::Group(id) => self.listen(Source::Group(id.0), self.engine.group_fd(id), Interest::PRIORITY),
            Want::Ear(ear) => {
                self.listen(Source::Ear(ear as usize), self.engine.ear(ear), Interest::READABLE)
            }
            Want::Sockets(id) => {
                for fd in self.engine.socket_fds(id) {
                    self.listen(Source::Socket(id.0), Some(fd), Interest::READABLE);
                }
            }
            Want::NoSockets(id) => {
                for fd in self.engine.socket_fds(id) {
                    // One that is not listened to already is what was wanted.
                    let _not_there = self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd()));
                }
            }
            Want::Errors(pid) => {
                let number = usize::try_from(pid).unwrap_or(0);
                self.listen(Source::Errors(number), self.engine.errors_fd(pid), Interest::READABLE);
            }
            Want::Session(number, progress) => {
                let Some(link) = self.links.get_mut(&number) else { return };
                if let Err(e) = link.progress(progress) {
                    self.drop_link(number, &e);
                }
            }
            Want::Tell(number, report) => {
                let Some(link) = self.links.get_mut(&number) else { return };
                if let Err(e) = link.tell(&report) {
                    self.drop_link(number, &e);
                }
            }
            Want::TellAll(report) => self.tell_all(&report),
            Want::Go(unit) => self.engine.isolate(unit.as_str()),
            Want::Leave(why) => self.leave(why),
            Want::End(why) => self.end(why),
        }
    }

    fn end(&mut self, why: Leave) -> ! {
        info!(self.log, "leaves"; "why" => ?why);
        self.engine.wants.clear();
        self.tell_all(&Report::Leaving(why));
        self.after_turn();
        self.finish(why)
    }
}

fn take_tree(engine: &Engine, log: &Logger) -> Option<Tree> {
    let top = engine.handover.cgroup.as_deref().unwrap_or("/sys/fs/cgroup");
    match Tree::take(Path::new(top), &engine.handover.controllers) {
        Ok((tree, notices)) => {
            for notice in notices {
                warn!(log, "cgroups"; "what" => notice);
            }
            Some(tree)
        }
        Err(e) => {
            warn!(log, "no cgroups: services are tracked by their sessions"; "why" => crate::chain(&e));
            None
        }
    }
}

fn watch_clock(log: &Logger) -> Option<OwnedFd> {
    let watched = crate::clock::watch_wall();
    watched.inspect_err(|e| warn!(log, "a clock that is set is noticed late"; "why" => %e)).ok()
}

fn own_file(log: &Logger) -> Option<OwnedFd> {
    match crate::resume::own_file() {
        Ok(fd) => Some(fd),
        Err(e) => {
            error!(log, "can't open its own file: no sockets are handed over"; "why" => %e);
            None
        }
    }
}

fn bind(root: &Root, path: &str, log: &Logger) -> Option<OwnedFd> {
    match socket::bind(root, path) {
        Ok(fd) => Some(fd),
        Err(e) => {
            error!(log, "can't make a socket"; "path" => path, "why" => %e);
            None
        }
    }
}

/// A /dev/log that a syslog daemon has made is left alone.
fn link_syslog(root: &Root, log: &Logger) {
    match rustix::fs::symlink(SYSLOG, root.join("/dev/log")) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => (),
        Err(e) => warn!(log, "can't link /dev/log"; "why" => %e),
    }
}
