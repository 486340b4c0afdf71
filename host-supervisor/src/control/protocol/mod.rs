//! protocol: what can be asked of the supervisor and what it answers, as types. Never does I/O.
//!
//! The wire is varlink: JSON objects that end in a NUL, interface [`idl::INTERFACE`]. A [`Request`] is one method
//! call; [`Reply`] is what the daemon hands to the server for it: any number of `Reply::More`, then exactly one
//! `Reply::Done` or `Reply::Failed`. `wire` turns both into bytes and back.
pub mod idl;
pub mod model;
pub mod wire;
pub mod words;

use super::target::{ContainerName, Target};
pub use model::*;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;

/// A method call. The variant's name is the method's name, its fields are the parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", content = "parameters", deny_unknown_fields)]
pub enum Request {
    /// All containers. Answered by [`Body::List`].
    List {},
    /// Everything about one container or unit. Answered by [`Body::Status`].
    Status {
        /// Which; with a unit, only this unit's row and log lines are wanted.
        target: Target,
        /// How many of the last log lines; none: 10.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lines: Option<u32>,
    },
    /// Bring up. Answered by [`Body::Outcomes`], see [`Reply::outcomes`].
    Start {
        /// Which; the order of their start comes from their units.
        targets: Vec<Target>,
        /// Answer when all have finished; else as soon as it is queued.
        #[serde(default = "yes")]
        wait: bool,
    },
    /// Bring down. Answered by [`Body::Outcomes`].
    Stop {
        /// Which.
        targets: Vec<Target>,
        /// Answer when all are down.
        #[serde(default = "yes")]
        wait: bool,
        /// Skip the polite part.
        #[serde(default)]
        now: bool,
    },
    /// Down and up again. Answered by [`Body::Outcomes`].
    Restart {
        /// Which.
        targets: Vec<Target>,
        /// Answer when all have finished.
        #[serde(default = "yes")]
        wait: bool,
        /// Skip the polite part of the way down.
        #[serde(default)]
        now: bool,
    },
    /// Units: run their reload commands. Containers: read the unit file again. Answered by [`Body::Outcomes`].
    Reload {
        /// Which.
        targets: Vec<Target>,
        /// Answer when all have finished.
        #[serde(default = "yes")]
        wait: bool,
    },
    /// A signal to a container's PID 1, or to all of a unit's processes. Answered by [`Body::Outcomes`].
    Kill {
        /// Which.
        targets: Vec<Target>,
        /// Linux signal number, 1 to 64.
        signal: u8,
    },
    /// Write the unit and make the file system. Answered by [`Body::Outcomes`].
    Create {
        /// The new container.
        name: ContainerName,
        /// Made from this template.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template: Option<String>,
        /// Further keys of the unit file.
        #[serde(default)]
        settings: Vec<Setting>,
    },
    /// Remove unit and file system. Answered by [`Body::Outcomes`].
    Destroy {
        /// Which.
        names: Vec<ContainerName>,
    },
    /// The resolved spec. Answered by [`Body::Show`].
    Show {
        /// Whose.
        name: ContainerName,
        /// Only this key; none: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// Every mistake in the units of the supervisor's own folders. Answered by [`Body::Check`].
    Check {},
    /// The steps that something would take. Answered by [`Body::Plan`].
    Plan {
        /// What would be done.
        action: Action,
        /// To which; none for boot.
        #[serde(default)]
        targets: Vec<Target>,
        /// For `set`.
        #[serde(default)]
        settings: Vec<Setting>,
    },
    /// A socket to the container's ct-init for one exec session. Answered by [`Body::Socket`].
    Exec {
        /// Where.
        name: ContainerName,
    },
    /// Log lines. Answered by [`Body::Socket`] where the container runs, else by [`Body::Line`]s from its files and an
    /// empty [`Body::Line`] at the end.
    Logs {
        /// Of which container or unit.
        target: Target,
        /// At most so many of the last lines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lines: Option<u32>,
        /// None older than this, microseconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<u64>,
    },
    /// Freeze. Answered by [`Body::Outcomes`].
    Pause {
        /// Which.
        targets: Vec<Target>,
    },
    /// Thaw. Answered by [`Body::Outcomes`].
    Resume {
        /// Which.
        targets: Vec<Target>,
    },
    /// Change limits at once. Answered by [`Body::Set`].
    Set {
        /// Of which.
        name: ContainerName,
        /// Keys of the unit file.
        settings: Vec<Setting>,
        /// Keep them in a drop-in.
        #[serde(default)]
        save: bool,
    },
    /// Start at boot from now on. Answered by [`Body::Outcomes`].
    Enable {
        /// Which.
        targets: Vec<Target>,
    },
    /// No longer start at boot. Answered by [`Body::Outcomes`].
    Disable {
        /// Which.
        targets: Vec<Target>,
    },
    /// Answer once all of them are there. Answered by [`Body::Outcomes`].
    Wait {
        /// Which.
        targets: Vec<Target>,
        /// Where.
        condition: Condition,
        /// Give up with `TimedOut` after so many milliseconds; none: never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
    /// All templates. Answered by [`Body::Templates`].
    TemplateList {},
    /// Make a template of a tar archive or an OCI layout. Answered by [`Body::Template`].
    TemplateImport {
        /// The new template.
        name: String,
        /// Which of the descriptors that came with the call is the archive, from 0.
        file: u32,
    },
    /// Make a template as a recipe says. Answered by [`Body::Template`].
    TemplateBuild {
        /// The new template.
        name: String,
        /// Which of the descriptors is the recipe, from 0; none: the settings say it all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<u32>,
        /// `Suite=bookworm` …
        #[serde(default)]
        settings: Vec<Setting>,
    },
    /// Remove templates. Answered by [`Body::Outcomes`].
    TemplateRemove {
        /// Which.
        names: Vec<String>,
    },
    /// Start what is to run at boot. Answered by [`Body::Outcomes`].
    Boot {},
    /// How the last boot went. Answered by [`Body::Blame`].
    Blame {},
    /// Stop all containers in reverse order, then the supervisor. Answered by [`Body::Outcomes`].
    Shutdown {},
    /// Which program answers. Answered by [`Body::Version`].
    Version {},
    /// Replace the supervisor by the program on disk; containers run on. Answered by [`Body::Version`] of the one that
    /// leaves, once the other has been found fit.
    Upgrade {
        /// Also where it does not understand the state on disk: it sets that aside.
        #[serde(default)]
        force: bool,
    },
    /// What happened lately. Answered by [`Body::Event`]s and, at the end, an empty [`Body::Event`].
    Events {
        /// Go on with what happens.
        #[serde(default)]
        follow: bool,
    },
}

fn yes() -> bool {
    true
}

/// `KEY=VALUE` of a unit file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Setting {
    pub key: String,
    pub value: String,
}

/// What a plan is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Action {
    Start,
    Stop,
    Set,
    Boot,
}

/// What `ct wait` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// `running` or `degraded`; a unit: active.
    Ready,
    /// `stopped` or `failed`; a unit: inactive or failed.
    Stopped,
}

impl Request {
    /// Whether it changes nothing, on the host or in a container.
    pub fn reads_only(&self) -> bool {
        use Request as R;
        match self {
            R::List {} | R::Blame {} | R::Status { .. } | R::Show { .. } | R::Check {} | R::Plan { .. } => {
                true
            }
            R::Logs { .. } | R::Wait { .. } | R::TemplateList {} | R::Events { .. } | R::Version {} => true,
            R::Start { .. } | R::Stop { .. } | R::Restart { .. } | R::Reload { .. } | R::Kill { .. } => false,
            R::Create { .. } | R::Destroy { .. } | R::Exec { .. } | R::Pause { .. } | R::Resume { .. } => {
                false
            }
            R::Set { .. } | R::Enable { .. } | R::Disable { .. } | R::Shutdown {} | R::Boot {} => false,
            R::TemplateImport { .. } | R::TemplateBuild { .. } | R::TemplateRemove { .. } => false,
            R::Upgrade { .. } => false,
        }
    }
    /// Whether its answer is a stream, so that it makes no sense without `more`.
    pub fn streams(&self) -> bool {
        matches!(self, Request::Events { .. } | Request::Logs { .. })
    }
}

/// The parameters of a reply: which methods answer with it stands at each [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Body {
    List {
        containers: Vec<ContainerRow>,
    },
    Status {
        status: Box<ContainerStatus>,
    },
    Outcomes {
        outcomes: Vec<Outcome>,
    },
    /// How a long operation goes on; only ever as `Reply::More`.
    Progress {
        progress: Progress,
    },
    Show {
        spec: Vec<SpecEntry>,
    },
    Check {
        mistakes: Vec<Mistake>,
    },
    /// `refused` says what this host can't do; empty: all of it would be done.
    Plan {
        steps: Vec<String>,
        refused: Vec<String>,
    },
    /// One descriptor comes with it: a fresh SOCK_SEQPACKET connection to the container's ct-init, on which nothing
    /// has been said. The client says Hello, reads the answer, and goes on with Exec or Logs.
    Socket {
        socket: u32,
    },
    Line {
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<LogLine>,
    },
    Set(SetResult),
    Templates {
        templates: Vec<Template>,
    },
    Template {
        template: Template,
    },
    Blame {
        boot: Vec<BlameRow>,
    },
    Version(Version),
    Event {
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<EventRow>,
    },
}

/// What became of `ct set`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetResult {
    /// Keys in force now.
    pub applied: Vec<String>,
    /// Keys that wait for the next start.
    pub waiting: Vec<String>,
    /// The drop-in they are kept in; none: they last until the container stops.
    pub saved: Option<String>,
}

/// A supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Of its program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Of the state that it writes.
    pub format: u32,
}

/// What became of one target of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Container, `container/unit` or template.
    pub target: String,
    /// `already running`, `queued`; none: simply done.
    pub note: Option<String>,
    /// Why not; none: it was done.
    pub error: Option<Fault>,
}

/// How a long operation goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Whose; empty: the whole call's.
    pub target: String,
    /// One line for people, or `progress DONE TOTAL` in bytes.
    pub line: String,
}

/// Which error, and with it the exit code of `ct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// It was tried and failed.
    Failed,
    /// The call makes no sense.
    Usage,
    /// No such container, unit or template.
    NotFound,
    /// Refused by policy, or not possible on this host, or not in this state.
    Refused,
    /// Not in time.
    TimedOut,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 5] =
        [FaultKind::Failed, FaultKind::Usage, FaultKind::NotFound, FaultKind::Refused, FaultKind::TimedOut];
    /// What `ct` exits with.
    pub fn exit_code(self) -> u8 {
        match self {
            FaultKind::Failed => 1,
            FaultKind::Usage => 2,
            FaultKind::NotFound => 3,
            FaultKind::Refused => 5,
            FaultKind::TimedOut => 124,
        }
    }
    /// The last part of the varlink error's name.
    pub fn word(self) -> &'static str {
        match self {
            FaultKind::Failed => "Failed",
            FaultKind::Usage => "Usage",
            FaultKind::NotFound => "NotFound",
            FaultKind::Refused => "Refused",
            FaultKind::TimedOut => "TimedOut",
        }
    }
}

/// An error as the caller gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Which.
    pub kind: FaultKind,
    /// What was tried on what and why it failed; the whole chain of causes, joined by `: `.
    pub message: String,
    /// What to do about it, where something can be done.
    pub hint: Option<String>,
}

impl Fault {
    /// Without a hint.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Fault {
        Fault { kind, message: message.into(), hint: None }
    }
    /// An error with its chain of causes.
    pub fn of(kind: FaultKind, error: &dyn std::error::Error) -> Fault {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(e) = cause {
            message.push_str(": ");
            message.push_str(&e.to_string());
            cause = e.source();
        }
        Fault::new(kind, message)
    }
    /// With this hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }
    /// `no container web`.
    pub fn no_container(name: &ContainerName) -> Fault {
        Fault::new(FaultKind::NotFound, format!("there is no container {name}")).hint("ct list shows them")
    }
}

impl Outcome {
    /// Done.
    pub fn done(target: impl ToString) -> Outcome {
        Outcome { target: target.to_string(), note: None, error: None }
    }
    /// Done, or nothing to do, with a word about it: `already running`.
    pub fn noted(target: impl ToString, note: impl Into<String>) -> Outcome {
        Outcome { target: target.to_string(), note: Some(note.into()), error: None }
    }
    /// Not done.
    pub fn failed(target: impl ToString, error: Fault) -> Outcome {
        Outcome { target: target.to_string(), note: None, error: Some(error) }
    }
}

/// One reply of the daemon to a call.
#[derive(Debug)]
pub enum Reply {
    /// More will follow. Not sent to a caller that did not ask for `more`.
    More(Body),
    /// The last one, with descriptors that go with it.
    Done(Body, Vec<OwnedFd>),
    /// The call failed; also the last one.
    Failed(Fault),
}

impl Reply {
    /// The last one, without descriptors.
    pub fn done(body: Body) -> Reply {
        Reply::Done(body, Vec::new())
    }
    /// How an operation goes on.
    pub fn progress(target: impl ToString, line: impl Into<String>) -> Reply {
        Reply::More(Body::Progress { progress: Progress { target: target.to_string(), line: line.into() } })
    }
    /// The last reply of a call on targets. Where one single target was named, its failure is the call's.
    pub fn outcomes(mut outcomes: Vec<Outcome>) -> Reply {
        if let [Outcome { error: error @ Some(_), .. }] = outcomes.as_mut_slice()
            && let Some(fault) = error.take()
        {
            return Reply::Failed(fault);
        }
        Reply::done(Body::Outcomes { outcomes })
    }
    /// A fresh connection to a ct-init.
    pub fn socket(fd: OwnedFd) -> Reply {
        Reply::Done(Body::Socket { socket: 0 }, vec![fd])
    }
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Reply {
        Reply::Failed(fault)
    }
}

#[cfg(test)]
pub(crate) mod tests;
