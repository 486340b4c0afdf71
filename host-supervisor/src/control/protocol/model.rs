//! model: the tables and records that replies carry. Plain data; never formats it (that is `render`).
use crate::control::target::ContainerName;
pub use crate::state::ContainerState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One row of `ct list`; its JSON has exactly these keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRow {
    /// Its name.
    pub name: ContainerName,
    /// Its state.
    pub state: ContainerState,
    /// Its PID 1 as the host sees it; none where nothing runs.
    pub pid: Option<u32>,
    /// Seconds since it was started; none where nothing runs.
    pub uptime: Option<u64>,
    /// Automatic restarts since it was last started by hand.
    pub restarts: u32,
    /// CPU time used since it was started, microseconds; none where unknown.
    pub cpu: Option<u64>,
    /// Memory held, bytes; none where unknown.
    pub mem: Option<u64>,
    /// Disk space held, bytes; none where unknown.
    pub disk: Option<u64>,
    /// Its addresses, with a comma between them; empty where it has none.
    pub address: String,
}

/// Everything `ct status NAME` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Its name.
    pub name: ContainerName,
    /// `Description=`.
    pub description: String,
    /// Its state.
    pub state: ContainerState,
    /// Why it is in this state, one sentence without full stop; what it waits for, what ended it.
    pub why: String,
    /// Seconds in this state.
    pub for_secs: u64,
    /// PID 1 as the host sees it.
    pub pid: Option<u32>,
    /// Seconds since its start.
    pub uptime: Option<u64>,
    /// Automatic restarts since it was last started by hand.
    pub restarts: u32,
    /// Whether it starts at boot: `yes`, `no`, `last`.
    pub autostart: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The files its spec was read from, the unit first, then drop-ins.
    pub files: Vec<String>,
    /// Units inside; empty where nothing runs.
    pub units: Vec<UnitRow>,
    /// Limits with what is held.
    pub limits: Vec<LimitRow>,
    /// Settings that this host can't enforce and that the unit allows to ignore.
    pub not_in_force: Vec<NotInForce>,
    /// The last ends, the newest first.
    pub exits: Vec<ExitRow>,
    /// The last log lines, the oldest first.
    pub log: Vec<LogLine>,
}

/// A unit inside a container; see [`ct_init::proto::UnitStatus`], which this is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRow {
    /// Full name.
    pub name: String,
    /// `Description=`.
    pub description: String,
    /// `active`, `failed` …, systemd's words.
    pub active: String,
    /// The finer state.
    pub sub: String,
    /// Main process as the container sees it; none where there is none.
    pub pid: Option<u32>,
    /// Seconds in this state.
    pub for_secs: u64,
    /// Automatic restarts so far.
    pub restarts: u32,
    /// Why it last ended, a sentence; none: it never did.
    pub cause: Option<String>,
    /// More to say: the failed stage, the unmet condition, STATUS=.
    pub note: String,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Bytes.
    Bytes,
    /// Things: tasks, inodes, files.
    Count,
    /// Microseconds of CPU time.
    Microseconds,
    /// Bytes a second.
    Rate,
    /// A share against others; nothing is held.
    Weight,
}

/// One limit: what is held, the most that was, what is allowed, how often that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRow {
    /// The unit file's key, `MemoryMax`.
    pub name: String,
    /// What the numbers count.
    pub measure: Measure,
    /// Held now; none: this kernel does not tell.
    pub held: Option<u64>,
    /// The most that was held since start.
    pub max: Option<u64>,
    /// The limit; none: there is none.
    pub limit: Option<u64>,
    /// How often it was hit since start.
    pub failures: Option<u64>,
}

/// A setting that is written in the unit and not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotInForce {
    /// The key.
    pub key: String,
    /// Why, and what would make it work.
    pub why: String,
}

/// One end of a container or unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRow {
    /// Microseconds since 1970.
    pub at: u64,
    /// The class and its detail as a sentence: `exited with code 1`, `killed for memory`.
    pub cause: String,
    /// How long it had run, seconds.
    pub lasted: u64,
    /// What was done about it: `restarted after 2s`, `stays down: start limit hit`; may be empty.
    pub then: String,
}

/// One container's part of the last boot. Times are milliseconds since that boot began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlameRow {
    /// Which.
    pub name: String,
    /// When its start began; none: it is still held.
    pub began: Option<u64>,
    /// When it was ready, or its start had ended otherwise.
    pub ready: Option<u64>,
    /// Whom it had waited for last, of those that it is ordered after; none: nobody.
    pub last: Option<String>,
    /// `ready`, `skipped`, why it failed, or `on its way`.
    pub outcome: String,
}

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Microseconds since 1970.
    pub at: u64,
    /// Whose; `ct-init` for PID 1's own.
    pub unit: String,
    /// The line.
    pub text: String,
}

/// One entry of a resolved spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecEntry {
    /// `Resources`.
    pub section: String,
    /// `MemoryMax`.
    pub key: String,
    /// As it would stand in a file.
    pub value: String,
    /// `path:line` where it was set; none: the default.
    pub origin: Option<String>,
}

/// A mistake in a unit file; see [`units::Diagnostic`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// The file.
    pub path: String,
    /// From 1; 0: the whole file.
    pub line: u32,
    /// From 1; 0: the whole line.
    pub column: u32,
    /// `warning` or `error`.
    pub severity: Severity,
    /// What is wrong and what to do.
    pub message: String,
}

/// How bad a [`Mistake`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Severity {
    Warning,
    Error,
}

/// A template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// Bytes on disk.
    pub size: u64,
    /// When it was made, microseconds since 1970; none: unknown.
    pub created: Option<u64>,
    /// Containers made from it.
    pub containers: Vec<ContainerName>,
    /// What it is: `Debian 12`, an image's label; may be empty.
    pub description: String,
}

/// Something that happened; `ct events` prints one a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// Microseconds since 1970.
    pub at: u64,
    /// Which kind, a word that programs can rely on: `state`, `unit`, `exit`, `limit`, `startlimit`, `action`.
    pub event: String,
    /// The container, if it is about one.
    pub container: Option<ContainerName>,
    /// The unit, if it is about one.
    pub unit: Option<String>,
    /// A sentence.
    pub message: String,
    /// Details.
    pub fields: BTreeMap<String, String>,
}

impl From<&ct_init::proto::UnitStatus> for UnitRow {
    fn from(u: &ct_init::proto::UnitStatus) -> UnitRow {
        UnitRow {
            name: u.name.clone(),
            description: u.description.clone(),
            active: u.active.clone(),
            sub: u.sub.clone(),
            pid: (u.pid != 0).then_some(u.pid),
            for_secs: u.for_secs,
            restarts: u.restarts,
            cause: u.cause.map(super::words::cause),
            note: u.note.clone(),
        }
    }
}
impl From<&ct_init::proto::Line> for LogLine {
    fn from(l: &ct_init::proto::Line) -> LogLine {
        LogLine { at: l.at, unit: l.unit.clone(), text: l.text.clone() }
    }
}
impl From<&units::Diagnostic> for Mistake {
    fn from(d: &units::Diagnostic) -> Mistake {
        let severity = match d.severity {
            units::Severity::Warning => Severity::Warning,
            units::Severity::Error => Severity::Error,
        };
        Mistake { path: d.path.clone(), line: d.line, column: d.column, severity, message: d.message.clone() }
    }
}
