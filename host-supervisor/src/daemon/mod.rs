//! daemon: the one loop. Waits for readiness, hands each event to the fleet, answers clients; never blocks.
mod act;
mod action;
mod answer;
mod boot;
mod create;
mod fleet;
mod heart;
mod keeper;
mod life;
mod link;
mod lock;
mod pace;
mod read;
mod set;
mod stuck;
mod survive;
mod upgrade;
mod waiters;
mod workers;

pub use lock::{KeeperLock, keeper_lock};
pub use upgrade::{NOT_UNDERSTOOD, check};
pub use workers::{REMOVE, TEMPLATE};

use crate::apply::RealHost;
use crate::control::protocol::Reply;
use crate::control::server::{ClientId, Incoming, Limits, Server};
use crate::facts::{HostFacts, probe};
use crate::paths::Paths;
use crate::plan::{Group, Plan, Step, Tree};
use crate::report::events::Events;
use crate::report::log;
use crate::resolve::host::HostConf;
use fleet::Fleet;
use link::Link;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Registry, Token};
use nix::libc;
use slog::{Logger, error, info, warn};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use units::UnitName;
use units::graph::{Job, Scheduler};
use units::schema::unit::Action;
use units::values::Tick;
use waiters::Waiters;
use workers::Workers;

/// What it is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--root`.
    pub root: PathBuf,
    /// `--cgroup-parent`; none: from the root.
    pub cgroup_parent: Option<String>,
    /// The ct-init program.
    pub init: PathBuf,
    /// The descriptor on which the keeper tells who has ended; none: there is no keeper.
    pub keeper: Option<i32>,
    /// Shut all containers down once they are taken up; start none.
    pub shut_down: bool,
}

/// How it has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It was asked to.
    Asked,
    /// It makes room for the program that is on disk now.
    MakesRoom,
}

/// Why it could not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A directory, a socket, the loop.
    #[error("{0}")]
    Io(String, #[source] io::Error),
    /// Another one serves this root.
    #[error(
        "another supervisor (pid {pid}) already serves {root} (stop it, or give this one another --root)"
    )]
    Taken {
        /// Its pid.
        pid: String,
        /// The root.
        root: PathBuf,
    },
    /// The control socket.
    #[error("{0}")]
    Listen(#[from] crate::control::server::listen::ListenError),
    /// ct-init is missing.
    #[error("open ct-init at {0}: {1} (install it, or name it with --init)")]
    NoInit(PathBuf, crate::apply::Cause),
}

/// What a readiness event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// PID 1 of a container has ended.
    Ended(String),
    /// The error pipe of a container's launch.
    Launch(String),
    /// A container's ct-init says something.
    Link(String),
    /// A worker writes.
    Worker(u64),
    /// A worker has ended.
    WorkerEnded(u64),
    /// A PID 1 that was left behind has ended.
    LeftBehind(u64),
}

const SIGNALS: Token = Token(0);
const SERVER: Token = Token(1);
/// Above all of the server's.
const FIRST_SOURCE: usize = 1 << 20;
/// The keeper's line; between the server's and the sources'.
const KEEPER: Token = Token(FIRST_SOURCE - 1);

/// Registered descriptors and what they mean.
#[derive(Debug)]
pub(crate) struct Sources {
    registry: Registry,
    next: usize,
    by_token: BTreeMap<usize, Source>,
}

impl Sources {
    /// Registers a descriptor; events name `source`.
    pub(crate) fn add(&mut self, fd: &impl AsRawFd, source: Source) -> io::Result<Token> {
        let token = Token(self.next);
        let interest = Interest::READABLE | Interest::WRITABLE;
        // A pidfd and a pipe's reading end never become writable; asking does no harm.
        self.registry.register(&mut SourceFd(&fd.as_raw_fd()), token, interest)?;
        self.next += 1;
        self.by_token.insert(token.0, source);
        Ok(token)
    }
    /// Takes it out again, before the descriptor is closed.
    pub(crate) fn remove(&mut self, fd: &impl AsRawFd, token: Token) {
        if self.by_token.remove(&token.0).is_some() {
            let _ = self.registry.deregister(&mut SourceFd(&fd.as_raw_fd()));
        }
    }
}

/// The supervisor.
pub struct Daemon {
    pub(crate) log: Logger,
    pub(crate) paths: Paths,
    pub(crate) facts: HostFacts,
    pub(crate) conf: HostConf,
    pub(crate) cgroup_parent: String,
    pub(crate) host: RealHost,
    pub(crate) sources: Sources,
    pub(crate) fleet: Fleet,
    pub(crate) links: BTreeMap<String, Link>,
    /// Lost ones, and when they are made again.
    pub(crate) relinks: BTreeMap<String, Tick>,
    /// Which container may start or stop next, while several are on their way.
    pub(crate) jobs: Scheduler,
    /// Jobs that the graph lets go and the pace does not yet.
    pub(crate) held: VecDeque<Job>,
    /// Containers to start once the present events are dealt with.
    pub(crate) to_start: Vec<UnitName>,
    /// Events that are still to be stepped; a step may cause more.
    pub(crate) queue: VecDeque<(String, units::machine::Event)>,
    /// State that is not written down yet.
    pub(crate) unwritten: survive::Unwritten,
    /// How the last boot went.
    pub(crate) record: boot::Record,
    pub(crate) waiters: Waiters,
    pub(crate) workers: Workers,
    pub(crate) events: Events,
    pub(crate) followers: Vec<ClientId>,
    /// A shutdown was asked for; ends the loop once nothing runs.
    pub(crate) leaving: bool,
    /// When what still runs in a shutdown is killed.
    pub(crate) shutdown_deadline: Option<Tick>,
    /// What not even SIGKILL has ended, and what a start has gone on beside.
    pub(crate) left_behind: stuck::LeftBehind,
    /// The most that was asked of the host's init.
    pub(crate) asked_of_host: Action,
    /// Where the program is that an upgrade would execute.
    pub(crate) program: PathBuf,
    /// ct-init, as it was named.
    pub(crate) init: PathBuf,
    /// Leave now for that program.
    pub(crate) makes_room: bool,
    keeper: Option<keeper::Keeper>,
    heart: heart::Heart,
    server: Server,
    signals: Signals,
    poll: Poll,
    _lock: lock::Lock,
}

/// Runs until SIGTERM or an upgrade (containers run on), or SIGPWR or a shutdown (all stopped).
///
/// # Errors
/// What kept it from starting.
pub fn run(options: &Options) -> Result<Left, DaemonError> {
    let mut daemon = Daemon::new(options)?;
    if daemon.keeper.as_ref().is_some_and(|k| k.line.is_gone()) {
        // It died while we began: another one is about to start another supervisor.
        return Ok(Left::Asked);
    }
    daemon.adopt();
    match options.shut_down {
        true => daemon.shut_down(),
        false => drop(daemon.boot()),
    }
    daemon.say_ready();
    daemon.serve()
}

/// The monotonic clock that all of it lives by.
pub(crate) fn now() -> Tick {
    ct_init::clock::now()
}

impl Daemon {
    fn new(options: &Options) -> Result<Daemon, DaemonError> {
        let failed = |what: String| move |e: io::Error| DaemonError::Io(what, e);
        let log = log::logger();
        let root = std::fs::canonicalize(&options.root)
            .map_err(failed(format!("open the root {}", options.root.display())))?;
        let paths = Paths::new(root);
        let run = paths.run();
        for dir in [run.join("containers"), paths.lives()] {
            std::fs::create_dir_all(&dir).map_err(failed(format!("make {}", dir.display())))?;
        }
        for dir in [paths.containers(), paths.templates()] {
            let made = std::fs::create_dir_all(&dir)
                .and_then(|()| std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)));
            match made.map_err(|e| (e.kind(), e)) {
                Ok(()) => {}
                // What runs is to be looked after all the same.
                Err((io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull, e)) => {
                    warn!(log, "goes on without a place for its files"; "dir" => %dir.display(), "why" => %e);
                }
                Err((_, e)) => return Err(failed(format!("make {}", dir.display()))(e)),
            }
        }
        let lock = lock::take_over(&paths, options.keeper.is_some())?;
        let facts = probe();
        if let Err(e) = more_files() {
            warn!(log, "could not raise the limit of open files"; "why" => %e);
        }
        let (conf, mistakes) = crate::load::load_host_conf(&paths);
        for mistake in &mistakes.0 {
            warn!(log, "host.conf"; "mistake" => %mistake);
        }
        let host = RealHost::new(facts.cgroups.clone(), &options.init)
            .map_err(|e| DaemonError::NoInit(options.init.clone(), e))?;
        let poll = Poll::new().map_err(failed("make the event loop".into()))?;
        let registry =
            |poll: &Poll| poll.registry().try_clone().map_err(failed("make the event loop".into()));
        let signals = signals(&poll).map_err(failed("catch signals".into()))?;
        let keeper = keeper(&poll, options.keeper).map_err(failed("listen to the keeper".into()))?;
        let listener = control_socket(&paths)?;
        let server = Server::new(listener, &registry(&poll)?, SERVER, Limits::default())
            .map_err(failed("serve clients".into()))?;
        let sources = Sources { registry: registry(&poll)?, next: FIRST_SOURCE, by_token: BTreeMap::new() };
        let cgroup_parent = options.cgroup_parent.clone().unwrap_or_else(|| paths.cgroup_parent());
        info!(log, "supervisor started"; "root" => %paths.root().display(), "cgroup" => &cgroup_parent);
        Ok(Daemon {
            log,
            paths,
            facts,
            conf,
            cgroup_parent,
            host,
            sources,
            fleet: Fleet::default(),
            links: BTreeMap::new(),
            relinks: BTreeMap::new(),
            jobs: Scheduler::default(),
            held: VecDeque::new(),
            to_start: Vec::new(),
            queue: VecDeque::new(),
            unwritten: survive::Unwritten::default(),
            record: boot::Record::default(),
            waiters: Waiters::default(),
            workers: Workers::default(),
            events: Events::default(),
            followers: Vec::new(),
            leaving: false,
            shutdown_deadline: None,
            left_behind: stuck::LeftBehind::default(),
            asked_of_host: Action::None,
            program: upgrade::own_program(),
            init: options.init.clone(),
            makes_room: false,
            keeper,
            heart: heart::Heart::find(),
            server,
            signals,
            poll,
            _lock: lock,
        })
    }

    fn serve(&mut self) -> Result<Left, DaemonError> {
        let mut events = mio::Events::with_capacity(256);
        loop {
            if self.leaving && self.fleet.is_quiet() && self.workers.is_idle() {
                info!(self.log, "all containers are down, leaving");
                self.remove_parent_groups();
                self.forget_all();
                self.remove_run_files();
                return Ok(Left::Asked);
            }
            if self.makes_room {
                self.remove_run_files();
                return Ok(Left::MakesRoom);
            }
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(DaemonError::Io("wait for events".into(), e)),
                Ok(()) => {}
            }
            for event in &events {
                if self.turn(event) {
                    info!(self.log, "leaving, containers run on");
                    self.remove_run_files();
                    return Ok(Left::Asked);
                }
            }
            self.timers();
            self.requests();
            self.beat();
        }
    }

    /// After a shutdown nothing of ours is left below any hierarchy.
    fn remove_parent_groups(&mut self) {
        let trees = self.facts.cgroups.v1.keys().map(|c| Tree::V1(*c)).chain([Tree::Unified]);
        let steps = trees.map(|tree| Step::RemoveGroup(Group { tree, path: self.cgroup_parent.clone() }));
        for step in steps.collect::<Vec<_>>() {
            let plan = Plan { title: "leave".into(), steps: vec![step] };
            // Whoever is still in there keeps it; the next supervisor takes it over.
            let _ = crate::apply::run(&plan, &mut self.host);
        }
    }

    /// A socket that nobody answers and a pid that is nobody's would only mislead.
    fn remove_run_files(&self) {
        let _ = std::fs::remove_file(self.paths.socket());
        let _ = std::fs::remove_file(self.paths.run().join("supervisor.pid"));
    }

    /// One event. True: leave now.
    fn turn(&mut self, event: &mio::event::Event) -> bool {
        if event.token() == SIGNALS {
            return self.signalled();
        }
        if event.token() == KEEPER {
            return self.hear_keeper();
        }
        if self.server.owns(event.token()) {
            self.server.event(event, now());
            return false;
        }
        match self.sources.by_token.get(&event.token().0).cloned() {
            None => {} // Removed earlier in this turn.
            Some(Source::Launch(name)) => self.launched(&name),
            Some(Source::Ended(name)) => self.ended(&name),
            Some(Source::Link(name)) => self.heard(&name),
            Some(Source::Worker(id)) => self.worker_wrote(id),
            Some(Source::WorkerEnded(id)) => self.worker_ended(id),
            Some(Source::LeftBehind(id)) => self.ended_at_last(id),
        }
        false
    }

    fn signalled(&mut self) -> bool {
        use std::io::Read;
        let mut bytes = [0u8; 64];
        while matches!(self.signals.wake.read(&mut bytes), Ok(1..)) {}
        if self.signals.power.swap(false, Ordering::SeqCst) {
            info!(self.log, "the power fails: shuts all containers down");
            self.shut_down();
        }
        // Who asks for both wants it to be quick.
        self.signals.leave.swap(false, Ordering::SeqCst)
    }

    fn timeout(&self) -> Option<Duration> {
        let own = self
            .fleet
            .deadline()
            .into_iter()
            .chain(self.server.deadline())
            .chain(self.waiters.deadline())
            .chain(self.fleet.next_unknown())
            .chain(self.heart.next())
            .chain(self.relinks.values().copied().min())
            .chain(self.unwritten.next)
            .chain(self.shutdown_deadline);
        own.min().map(|at| at.since(now()) + Duration::from_millis(1))
    }

    fn timers(&mut self) {
        let now = now();
        self.server.tick(now);
        for name in self.fleet.due(now) {
            if self.fleet.get(&name).and_then(|c| c.run.as_ref()).is_some_and(|r| r.frozen) {
                // A frozen ct-init can't send its keep-alive.
                self.step(&name, units::machine::Event::Alive);
            }
            self.step(&name, units::machine::Event::Timer);
        }
        self.give_up_on_exits(now);
        self.relink(now);
        self.write_again(now);
        if self.shutdown_deadline.is_some_and(|at| at <= now) {
            self.shutdown_deadline = None;
            self.kill_the_rest();
        }
        let replies = self.waiters.expire(now);
        self.send(replies);
    }

    fn requests(&mut self) {
        while let Some(incoming) = self.server.poll() {
            match incoming {
                Incoming::Call { client, peer, request, fds, .. } => self.call(client, &peer, request, fds),
                Incoming::Gone(client) => {
                    self.waiters.forget(client);
                    self.followers.retain(|c| *c != client);
                }
            }
        }
    }

    /// Hands replies out.
    pub(crate) fn send(&mut self, replies: Vec<(ClientId, Reply)>) {
        for (client, reply) in replies {
            self.server.reply(client, reply, now());
        }
    }

    pub(crate) fn reply(&mut self, client: ClientId, reply: Reply) {
        self.server.reply(client, reply, now());
    }

    pub(crate) fn complain(&self, what: &str, error: &dyn std::error::Error) {
        error!(self.log, "{}", what; "error" => %error);
    }

    pub(crate) fn warn(&self, what: &str, name: &str, why: &dyn std::fmt::Display) {
        warn!(self.log, "{}", what; "ct" => name, "why" => %why);
    }
}

/// Several descriptors a container: the soft limit goes as far as the hard one lets it.
fn more_files() -> nix::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
}

/// The varlink socket, for the group `ct` where the host has one.
fn control_socket(paths: &Paths) -> Result<std::os::unix::net::UnixListener, DaemonError> {
    use crate::control::server::listen::{group_id, listen};
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    Ok(listen(&paths.socket(), group_id(&groups, "ct"))?)
}

/// The line that the keeper has handed down.
fn keeper(poll: &Poll, fd: Option<i32>) -> io::Result<Option<keeper::Keeper>> {
    let Some(fd) = fd else { return Ok(None) };
    let fd = ct_sys::proc::inherited(fd)
        .ok_or_else(|| io::Error::other(format!("descriptor {fd} is not open")))?;
    poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), KEEPER, Interest::READABLE)?;
    Ok(Some(keeper::Keeper::new(ct_init::keeper::Line::new(fd))))
}

/// What signals ask for. A byte on the socket for each; which one it was is in the flags.
struct Signals {
    wake: UnixStream,
    /// TERM, INT: containers run on.
    leave: Arc<AtomicBool>,
    /// PWR: all are shut down.
    power: Arc<AtomicBool>,
}

/// SIGPIPE is ignored: a client or reader that goes away is an error code.
fn signals(poll: &Poll) -> io::Result<Signals> {
    let (wake, writer) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    let signals = Signals { wake, leave: Arc::default(), power: Arc::default() };
    let all =
        [(libc::SIGTERM, &signals.leave), (libc::SIGINT, &signals.leave), (libc::SIGPWR, &signals.power)];
    for (signal, flag) in all {
        // The flag before the byte that has it looked at.
        signal_hook::flag::register(signal, Arc::clone(flag))?;
        signal_hook::low_level::pipe::register(signal, OwnedFd::from(writer.try_clone()?))?;
    }
    poll.registry().register(&mut SourceFd(&signals.wake.as_raw_fd()), SIGNALS, Interest::READABLE)?;
    Ok(signals)
}
