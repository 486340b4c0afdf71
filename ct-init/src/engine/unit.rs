//! unit: one unit as ct-init holds it: its file, its life, and what it has in the kernel. Decides nothing.
use super::sockets::Listening;
use super::timers::Waiting;
use crate::cgroup::Group;
use crate::effect::Identity;
use crate::environment::Monitor;
use crate::output::pipe::Pipe;
use crate::proto::UnitStatus;
use ct_sys::script::Failure;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use units::machine::{Cause, Exit, Machine, ReloadStep, State, StopStep};
use units::schema::service::{ExecPhase, Service};
use units::schema::{Body, Unit};
use units::values::{Signal, Tick};

/// A unit's place in the engine; never given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id(pub usize);

/// A unit.
#[derive(Debug)]
pub struct Slot {
    /// As its file says.
    pub unit: Rc<Unit>,
    /// Its life.
    pub machine: Machine,
    /// In this state since.
    pub since: Tick,
    /// A sentence for people: the failed stage, the unmet condition, STATUS=.
    pub note: String,
    /// What it has in the kernel.
    pub run: Run,
    /// Commands of the host that wait for it.
    pub waiters: Vec<Waiter>,
    /// Why it was started, if another unit's end did that.
    pub monitor: Option<Monitor>,
    /// What was last reported, so that nothing is said twice.
    pub reported: Option<(String, u32)>,
}

/// What a unit has in the kernel.
#[derive(Debug, Default)]
pub struct Run {
    /// Its cgroup, where there are any.
    pub group: Option<Group>,
    /// Its output.
    pub pipe: Option<Pipe>,
    /// The main process, if alive.
    pub main: Option<i32>,
    /// `-` before the main process's line.
    pub main_ignores_failure: bool,
    /// The process of a command line that is not the main one.
    pub control: Option<i32>,
    /// The phase whose lines are being run.
    pub phase: Option<PhaseRun>,
    /// Sessions of its processes, to find them without a cgroup.
    pub sessions: Vec<i32>,
    /// This start's id.
    pub invocation: String,
    /// The next phase to run is the first of a start.
    pub fresh: bool,
    /// OOM kills in its group before the main process began.
    pub oom_before: u64,
    /// The parent of its private /tmp.
    pub private_tmp: Option<String>,
    /// Who it runs as.
    pub identity: Option<Identity>,
    /// What a socket unit listens on.
    pub listening: Listening,
    /// What a timer unit waits for.
    pub waiting: Option<Waiting>,
    /// When to look for a PIDFile again, and how often it was looked for.
    pub pid_file: Option<(Tick, u32)>,
    /// Type=idle: when it may go although jobs are left.
    pub idle_until: Option<Tick>,
}

/// Where a phase has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseRun {
    /// Which.
    pub phase: ExecPhase,
    /// The line that runs, from 0.
    pub line: usize,
}

/// A process that has not exec'd yet, and the script it runs.
#[derive(Debug)]
pub struct Nascent {
    /// Whose.
    pub pid: i32,
    /// Where it says that it failed.
    pub errors: OwnedFd,
    /// To understand what it says.
    pub script: Script,
}

/// What a process runs before its exec.
#[derive(Debug)]
pub enum Script {
    /// Made by this program.
    Known(ct_sys::script::Script),
    /// By the one before it; it has so many operations, the exec is the last.
    Unknown(u32),
}

impl Script {
    /// How many operations it has.
    pub fn len(&self) -> u32 {
        match self {
            Script::Known(script) => u32::try_from(script.ops().len()).unwrap_or(u32::MAX),
            Script::Unknown(count) => *count,
        }
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a report of its failure means.
    pub fn explain(&self, report: &[u8]) -> Option<Failure> {
        match self {
            Script::Known(script) => script.explain(report),
            Script::Unknown(count) => {
                let (op, errno) = ct_sys::script::parse_report(report)?;
                let exec = op + 1 == *count;
                let tried = if exec { "execute it" } else { "prepare it" }.to_owned();
                Some(Failure { tried, errno, exec })
            }
        }
    }
}

/// A request that is answered when the unit gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// The connection that asked.
    pub link: usize,
    /// Its tag.
    pub tag: u32,
    /// What for.
    pub aim: Aim,
}

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Aim {
    Start,
    Stop,
    Restart,
    Reload,
}

impl Slot {
    /// Its `[Service]`, if it is one.
    pub fn service(&self) -> Option<&Service> {
        service(&self.unit)
    }

    /// As `ct status` shows it.
    pub fn status(&self, now: Tick) -> UnitStatus {
        let (active, sub) = words(self.machine.state(), self.service().is_some());
        UnitStatus {
            name: self.unit.name.to_string(),
            description: bounded(self.unit.unit.description.as_deref().unwrap_or_default(), MAX_TEXT),
            active: active.to_owned(),
            sub: sub.to_owned(),
            pid: self.run.main.and_then(|p| u32::try_from(p).ok()).unwrap_or(0),
            for_secs: now.since(self.since).as_secs(),
            restarts: self.machine.restarts(),
            cause: self.machine.cause(),
            note: bounded(&self.note, MAX_TEXT),
        }
    }
}

/// No text of a status is longer, in bytes.
const MAX_TEXT: usize = 1024;

/// At most so many bytes of a text.
pub fn bounded(text: &str, limit: usize) -> String {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// A unit's `[Service]`, if it is one.
pub fn service(unit: &Unit) -> Option<&Service> {
    match &unit.body {
        Body::Service(service) => Some(service),
        Body::Target | Body::Socket(_) | Body::Timer(_) | Body::Container(_) | Body::Passive => None,
    }
}

/// systemd's two words for a state.
pub fn words(state: &State, service: bool) -> (&'static str, &'static str) {
    match state {
        State::Down(Some(Cause::Skipped)) => ("skipped", "dead"),
        State::Down(_) => ("inactive", "dead"),
        State::Failed(_) => ("failed", "failed"),
        State::Starting { phase, .. } => ("activating", phase_word(*phase)),
        State::Up { .. } if service => ("active", "running"),
        State::Exited { .. } if service => ("active", "exited"),
        State::Up { .. } | State::Exited { .. } => ("active", "active"),
        State::Reloading { step, .. } => match step {
            ReloadStep::Command | ReloadStep::CommandAndReady => ("reloading", "reload"),
            ReloadStep::Ready => ("reloading", "reload-notify"),
        },
        State::Stopping { step, .. } => ("deactivating", stop_word(*step)),
        State::Stuck { .. } => ("deactivating", "stuck"),
        State::Waiting { .. } => ("activating", "auto-restart"),
    }
}

fn phase_word(phase: ExecPhase) -> &'static str {
    match phase {
        ExecPhase::Condition => "condition",
        ExecPhase::StartPre => "start-pre",
        ExecPhase::Start => "start",
        ExecPhase::StartPost => "start-post",
        ExecPhase::Reload => "reload",
        ExecPhase::Stop => "stop",
        ExecPhase::StopPost => "stop-post",
    }
}

fn stop_word(step: StopStep) -> &'static str {
    match step {
        StopStep::Own | StopStep::Command => "stop",
        StopStep::Term => "stop-sigterm",
        StopStep::Abort => "stop-watchdog",
        StopStep::Kill => "stop-sigkill",
        StopStep::Post => "stop-post",
        StopStep::FinalTerm => "final-sigterm",
        StopStep::FinalKill => "final-sigkill",
    }
}

/// Why a unit has failed, with all that is known.
pub fn reason(slot: &Slot, cause: Cause) -> String {
    let exit = match (cause, slot.machine.last_exit()) {
        (Cause::NeverReady, Some(how)) => format!(": it {}", ended(how)),
        (_, _) => String::new(),
    };
    match slot.note.as_str() {
        "" => format!("{}{exit}", sentence(cause)),
        note => format!("{}{exit} ({note})", sentence(cause)),
    }
}

/// A cause as a sentence.
pub fn sentence(cause: Cause) -> String {
    match cause {
        Cause::Exited(how) => ended(how),
        Cause::OomKill(_) => "killed by the kernel: out of memory".to_owned(),
        Cause::Watchdog => "no keep-alive in time".to_owned(),
        Cause::Unhealthy => "its health check failed too often".to_owned(),
        Cause::StartTimeout => "not ready in time".to_owned(),
        Cause::StopTimeout => "did not stop in time".to_owned(),
        Cause::Command(phase, how) => format!("{} {}", directive(phase), ended(how)),
        Cause::Setup(phase) => format!("{} could not be executed", directive(phase)),
        Cause::NeverReady => "ended before it was ready".to_owned(),
        Cause::Protocol => "PIDFile= names no process of it".to_owned(),
        Cause::RuntimeMax => "ran longer than RuntimeMaxSec=".to_owned(),
        Cause::GuestReboot => "asked for a reboot".to_owned(),
        Cause::GuestHalt => "asked for a halt".to_owned(),
        Cause::StartLimit => "started too often".to_owned(),
        Cause::Assert => "an assert is not met".to_owned(),
        Cause::Dependency => "a unit it requires did not come up".to_owned(),
        Cause::Skipped => "skipped".to_owned(),
    }
}

/// The key of a phase's command lines.
pub fn directive(phase: ExecPhase) -> &'static str {
    match phase {
        ExecPhase::Condition => "ExecCondition=",
        ExecPhase::StartPre => "ExecStartPre=",
        ExecPhase::Start => "ExecStart=",
        ExecPhase::StartPost => "ExecStartPost=",
        ExecPhase::Reload => "ExecReload=",
        ExecPhase::Stop => "ExecStop=",
        ExecPhase::StopPost => "ExecStopPost=",
    }
}

fn ended(how: Exit) -> String {
    match how {
        Exit::Code(code) => format!("exited with {code}"),
        Exit::Signal(s) => format!("killed by SIG{}", crate::environment::signal_name(s.0)),
        Exit::Dumped(s) => format!("killed by SIG{}, with a core dump", crate::environment::signal_name(s.0)),
        Exit::Unknown => "ended, nobody saw how".to_owned(),
    }
}

/// systemd's word for SERVICE_RESULT.
pub fn result_word(cause: Option<Cause>) -> &'static str {
    match cause {
        None | Some(Cause::GuestReboot | Cause::GuestHalt | Cause::Skipped) => "success",
        Some(Cause::Exited(how) | Cause::Command(_, how)) => match how {
            Exit::Code(0) => "success",
            Exit::Code(_) | Exit::Unknown => "exit-code",
            // HUP, INT, PIPE, TERM: how a daemon ends that was told to.
            Exit::Signal(Signal(1 | 2 | 13 | 15)) => "success",
            Exit::Signal(_) => "signal",
            Exit::Dumped(_) => "core-dump",
        },
        Some(Cause::OomKill(_)) => "oom-kill",
        Some(Cause::Watchdog | Cause::Unhealthy) => "watchdog",
        Some(Cause::StartTimeout | Cause::StopTimeout | Cause::RuntimeMax) => "timeout",
        Some(Cause::Setup(_)) => "exit-code",
        Some(Cause::NeverReady | Cause::Protocol) => "protocol",
        Some(Cause::StartLimit) => "start-limit-hit",
        Some(Cause::Assert | Cause::Dependency) => "resources",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, limit, expect) in [("abc", 2, "ab"), ("aü", 2, "a"), ("aü", 3, "aü"), ("", 0, "")] {
            assert_eq!(bounded(text, limit), expect);
        }
    }
}
