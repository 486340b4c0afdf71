//! keeper: starts the supervisor, starts it again when it dies, and holds what would be lost meanwhile. Knows nothing
//! of containers, reads no configuration, writes no file.
//!
//! It is the supervisor's parent and a child subreaper: when the supervisor dies, its containers' first processes
//! become the keeper's children. The keeper reaps them and keeps a [`Record`] of each end (pid, start time, status)
//! until a supervisor has taken it. One keeper does this for all containers of a host.
//!
//! The two talk over a SOCK_SEQPACKET pair, whose other end the supervisor finds as descriptor [`FD`]. Keeper to
//! supervisor: a packet for each [`Record`], those that are kept first. Supervisor to keeper: a number of eight bytes,
//! little endian; all records up to it are taken. Nothing else. Nobody waits for the other: what the socket does not
//! take stays in the ring.
//!
//! After its start the heap does not grow. It waits in one place only, its poll.
mod channel;
pub mod child;
pub mod ring;
pub mod stat;

pub use channel::{Heard, Line};
pub use ring::Record;

use crate::clock;
use channel::{Channel, Said};
use child::{Act, Child, Event, Wish};
use ct_sys::Spawned;
use ct_sys::script::{Op, Script};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use ring::Ring;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use units::machine::Exit;

/// The supervisor's end of the talk is its descriptor with this number.
pub const FD: i32 = 3;
/// A supervisor that ends with this code is followed at once by the program that is on disk then.
pub const AGAIN: u8 = 75;
/// The word that has a supervisor shut all containers down once it has begun.
pub const SHUT_DOWN: &str = "--shut-down";
/// So many children are reaped before anything else gets its turn.
const REAPS_A_TURN: usize = 256;
/// The program that runs now, even if its file was removed.
const OWN: &std::ffi::CStr = c"/proc/self/exe";
/// Where a process says how soon it is killed for memory.
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// What is kept up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its program file. After an upgrade the new file is executed; where that fails, the keeper's own program.
    pub program: PathBuf,
    /// Its words, the program's name first.
    pub argv: Vec<CString>,
    /// Its environment, `KEY=value`.
    pub env: Vec<CString>,
}

/// Why it could not begin.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The program's path can't be handed to the kernel.
    #[error("the path {0} holds a NUL byte")]
    Path(PathBuf),
    /// Orphans would go elsewhere.
    #[error("become the parent of orphans")]
    Subreaper(#[source] Errno),
    /// Nobody could ask it to leave.
    #[error("catch signals")]
    Signals(#[source] Errno),
}

struct Keeper {
    child: Child,
    running: Option<Spawned>,
    script: Script,
    program: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
    /// Its file could not be executed: the keeper's own program from now on.
    fallback: bool,
    /// As it was before the keeper's own was lowered; none: it could not be lowered.
    oom_score: Option<CString>,
    ring: Ring,
    channel: Option<Channel>,
    signals: SignalFd,
    /// More children have ended than one turn took.
    again: bool,
}

/// Keeps the supervisor up until it, or the keeper, is asked to leave. Returns the exit code to leave with.
///
/// # Errors
/// What kept it from beginning; nothing was started then.
pub fn run(options: Options) -> Result<u8, KeeperError> {
    let mut keeper = Keeper::new(options)?;
    let mut act = keeper.child.step(Event::Timer, clock::now());
    loop {
        match act {
            Act::Exit(code) => return Ok(code),
            Act::Spawn => keeper.spawn(),
            Act::Tell(wish) => keeper.tell(wish),
            Act::Wait => {}
        }
        act = keeper.turn();
    }
}

impl Keeper {
    fn new(options: Options) -> Result<Keeper, KeeperError> {
        let program = CString::new(options.program.as_os_str().as_encoded_bytes())
            .map_err(|_| KeeperError::Path(options.program.clone()))?;
        prctl::set_child_subreaper(true).map_err(KeeperError::Subreaper)?;
        // A name is for people who look at a list of processes; without it all is well, too.
        let _unnamed = prctl::set_name(c"ct-keeper");
        let mask: SigSet = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPWR]
            .into_iter()
            .collect();
        mask.thread_block().map_err(KeeperError::Signals)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Keeper {
            child: Child::new(clock::now()),
            running: None,
            script: Script::new(),
            program,
            argv: options.argv,
            env: options.env,
            fallback: false,
            oom_score: lower_oom_score(),
            ring: Ring::default(),
            channel: None,
            signals: SignalFd::with_flags(&mask, flags).map_err(KeeperError::Signals)?,
            again: false,
        })
    }

    /// Waits until something is ready, and takes it in.
    fn turn(&mut self) -> Act {
        self.wait();
        let mut asked = None;
        let mut reap = std::mem::take(&mut self.again);
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGCHLD)) => reap = true,
                Ok(Ok(Signal::SIGPWR)) => asked = Some(Wish::ShutDown),
                Ok(Ok(_) | Err(_)) | Err(_) => asked = Some(Wish::Leave),
            }
        }
        self.hear();
        // The supervisor's end before the wish to leave: there is nobody to be told then.
        let ended = if reap { self.reap() } else { None };
        if let Some(channel) = &self.channel {
            channel.send(&mut self.ring);
        }
        let now = clock::now();
        let mut act = ended.map_or(Act::Wait, |event| self.child.step(event, now));
        if let (Some(wish), false) = (asked, matches!(act, Act::Exit(_))) {
            act = self.child.step(Event::Asked(wish), now);
        }
        match act {
            Act::Wait => self.child.step(Event::Timer, now),
            Act::Spawn | Act::Tell(_) | Act::Exit(_) => act,
        }
    }

    fn wait(&self) {
        let mut fds = [PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
        let mut count = 1;
        if let (Some(channel), [_, slot]) = (&self.channel, &mut fds) {
            let full = if self.ring.unsent().is_some() { PollFlags::OUT } else { PollFlags::empty() };
            *slot = PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::IN | full);
            count = 2;
        }
        let deadline = if self.again { Some(clock::now()) } else { self.child.deadline() };
        let left = deadline.map(|at| at.since(clock::now()));
        let left = left.map(|d| Timespec {
            tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: d.subsec_nanos().into(),
        });
        // Interrupted or not: the turn looks at everything.
        let _ready = poll(fds.get_mut(..count).unwrap_or_default(), left.as_ref());
    }

    /// Reaps what has ended; orphans are recorded first. What the supervisor's own end means, if it was among them.
    fn reap(&mut self) -> Option<Event> {
        let mut event = None;
        for _ in 0..REAPS_A_TURN {
            let Some(ended) = crate::reap::peek() else { return event };
            let pid = u32::try_from(ended.pid).unwrap_or(0);
            if self.child.pid() == Some(pid) {
                event = Some(self.supervisor_ended(ended.how));
            } else {
                // A zombie's pid is not given away before it is reaped: this is the start time of that one.
                self.ring.push(pid, stat::start_time(pid).unwrap_or(0), ended.how, clock::wall());
            }
            crate::reap::reap(ended.pid);
        }
        self.again = true;
        event
    }

    /// What the supervisor has taken.
    fn hear(&mut self) {
        // More than it can say: each packet is about a record that it was sent.
        for _ in 0..ring::KEEP {
            match self.channel.as_ref().map_or(Said::Nothing, Channel::receive) {
                Said::Nothing => return,
                Said::Taken(number) => self.ring.taken(number),
                Said::Gone => self.channel = None,
            }
        }
    }

    fn supervisor_ended(&mut self, how: Exit) -> Event {
        // What it has said before its end still counts.
        self.hear();
        self.channel = None;
        let failure = self.running.take().and_then(|s| {
            let mut report = [0u8; 64];
            let length = rustix::io::read(&s.errors, &mut report).unwrap_or(0);
            self.script.explain(report.get(..length)?)
        });
        match failure {
            Some(failure) => {
                if !self.fallback {
                    say(&format!("{failure}; trying {} instead", OWN.to_string_lossy()));
                }
                self.fallback = true;
                Event::NotExecuted
            }
            None if how == Exit::Code(AGAIN) => {
                say("the supervisor makes room for the program that is on disk now");
                self.fallback = false;
                Event::Ended(how)
            }
            None => {
                if how != Exit::Code(0) {
                    say(&format!("the supervisor ended: {}", words(how)));
                }
                Event::Ended(how)
            }
        }
    }

    fn spawn(&mut self) {
        let event = match self.try_spawn() {
            Ok(spawned) => {
                let pid = spawned.pid;
                self.running = Some(spawned);
                Event::Spawned(pid)
            }
            Err(e) => {
                self.channel = None;
                say(&format!("start the supervisor: {}", e.desc()));
                Event::NotSpawned
            }
        };
        self.child.step(event, clock::now());
    }

    fn try_spawn(&mut self) -> Result<Spawned, Errno> {
        let (channel, theirs) = Channel::pair()?;
        self.script = self.script_for(&theirs);
        let spawned = ct_sys::spawn(&self.script, 0, None)?;
        self.ring.rewind();
        channel.send(&mut self.ring);
        self.channel = Some(channel);
        Ok(spawned)
    }

    fn script_for(&self, theirs: &OwnedFd) -> Script {
        let mut script = Script::new();
        // One that hangs would never see that its keeper has gone, and keep the next one out. It may be killed at any time.
        script.push(Op::DieWithParent);
        if let Some(score) = &self.oom_score {
            script.push(Op::OomScore(score.clone()));
        }
        script.push(Op::Signals { ignore_pipe: false });
        script.push(Op::Dup { from: theirs.as_raw_fd(), to: FD });
        script.push(Op::CloseFrom(FD + 1));
        let path = if self.fallback { OWN.to_owned() } else { self.program.clone() };
        let mut argv = self.argv.clone();
        if self.child.shuts_down() {
            // Behind the program's name: what comes last may be a work's own words.
            argv.insert(argv.len().min(1), CString::new(SHUT_DOWN).unwrap_or_default());
        }
        script.push(Op::Exec { path, argv, env: self.env.clone() });
        script
    }

    /// SIGTERM: the supervisor leaves, its containers run on. SIGPWR: it shuts them down first.
    fn tell(&self, wish: Wish) {
        let signal = match wish {
            Wish::Leave => Signal::SIGTERM,
            Wish::ShutDown => Signal::SIGPWR,
        };
        if let Some(running) = &self.running {
            // ESRCH: it has ended already, which the next turn will see.
            let _gone = ct_sys::proc::pidfd_send_signal(running.pidfd.as_fd(), signal as i32);
        }
    }
}

/// The last one to be killed for memory, where that is allowed. Returns what it was before.
fn lower_oom_score() -> Option<CString> {
    let before = fs::read_to_string(OOM_SCORE).ok()?;
    fs::write(OOM_SCORE, "-1000").ok()?;
    CString::new(before.trim()).ok()
}

fn words(how: Exit) -> String {
    match how {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(s) => format!("signal {}", s.0),
        Exit::Dumped(s) => format!("signal {}, core dumped", s.0),
        Exit::Unknown => "nobody saw how".into(),
    }
}

fn say(line: &str) {
    crate::log::say(&format!("keeper: {line}\n"));
}
