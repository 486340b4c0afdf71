//! schema: `[Container]`. Touches nothing.
use crate::name::UnitName;
use crate::schema::resources::Resources;
use crate::schema::service::Restart;
use crate::values::{Percent, Span};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// `[Container]` and `[Resources]`, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// `Template=` or `Rootfs=`; none is an error that the parser has reported.
    pub rootfs: Option<Rootfs>,
    /// `Ephemeral=`: changes are thrown away at stop.
    pub ephemeral: bool,
    /// `Hostname=`; default the container's name.
    pub hostname: Option<String>,
    /// `Init=`.
    pub init: InitProgram,
    /// `Unit=`; default default.target.
    pub unit: UnitName,
    /// `ReadyWhen=`; default target.
    pub ready_when: ReadyWhen,
    /// `HealthCheck=` and its kin; none without a command.
    pub health: Health,
    /// `Bind=` and `BindReadOnly=`, in order.
    pub binds: Vec<Bind>,
    /// `Tmpfs=PATH[:OPTIONS]`.
    pub tmpfs: Vec<(String, String)>,
    /// `Environment=` for ct-init and every service.
    pub environment: Vec<(String, String)>,
    /// `EnvironmentFile=`: path on the host and whether it may be missing.
    pub environment_files: Vec<(String, bool)>,
    /// `UserNamespace=`; default auto.
    pub user_namespace: UserNs,
    /// `CapabilityBoundingSet=`, line by line: whether it begins with `~`, and the bits it names. What `~` takes away
    /// from is the default set, which the resolver knows: it depends on the user namespace.
    pub bounding: Vec<(bool, u64)>,
    /// `NoNewPrivileges=`; default yes.
    pub no_new_privileges: bool,
    /// `SystemCallFilter=`: true and a name to refuse (`~name`), or false and one to allow again (`name`), in order.
    pub system_call_filter: Vec<(bool, String)>,
    /// `DeviceAllow=`: device node and its access letters.
    pub devices: Vec<(String, String)>,
    /// `Restart=`; default on-failure for containers.
    pub restart: Restart,
    /// `RestartSec=`; default 100 ms.
    pub restart_sec: Duration,
    /// `RestartSteps=`.
    pub restart_steps: u32,
    /// `RestartMaxDelaySec=`.
    pub restart_max_delay: Span,
    /// `RestartJitter=`: each wait is longer by up to this share of it; default 25%.
    pub restart_jitter: Percent,
    /// `TimeoutStartSec=`; default 90 s.
    pub timeout_start: Span,
    /// `TimeoutStopSec=`; default 90 s.
    pub timeout_stop: Span,
    /// `WatchdogSec=`.
    pub watchdog: Option<Duration>,
    /// `Timezone=`.
    pub timezone: Option<String>,
    /// `Locale=`.
    pub locale: Option<String>,
    /// `IgnoreUnsupported=`: start even if a limit cannot be enforced; status lists which.
    pub ignore_unsupported: bool,
    /// `Critical=`: where it has failed for good, the hardware watchdog is not fed any more; default no.
    pub critical: bool,
    /// `[Resources]`.
    pub resources: Resources,
}

/// Where the file system comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rootfs {
    /// `Template=NAME`: below the template directory, or the built-in `host`.
    Template(String),
    /// `Rootfs=DIR`, absolute.
    Directory(String),
}

/// `Init=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitProgram {
    /// The host's ct-init.
    CtInit,
    /// A program of the guest's own, by its path inside.
    Path(String),
}

/// `ReadyWhen=`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadyWhen {
    /// The default target is reached.
    #[default]
    Target,
    /// Something inside says READY=1 to the container's notify socket.
    Notify,
    /// A TCP port inside accepts.
    Tcp(u16),
    /// A path inside exists.
    File(String),
    /// A command inside ends with 0; argv, the program first.
    Exec(Vec<String>),
}

impl fmt::Display for ReadyWhen {
    /// As in a unit file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadyWhen::Target => f.write_str("target"),
            ReadyWhen::Notify => f.write_str("notify"),
            ReadyWhen::Tcp(port) => write!(f, "tcp:{port}"),
            ReadyWhen::File(path) => write!(f, "file:{path}"),
            ReadyWhen::Exec(argv) => write!(f, "exec:{}", argv.join(" ")),
        }
    }
}

/// `HealthCheck=` and its kin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `HealthCheck=`: argv, the program first; empty: none.
    pub command: Vec<String>,
    /// `HealthIntervalSec=`: from the end of one check to the start of the next; default 30 s.
    pub interval: Duration,
    /// `HealthTimeoutSec=`: a check that takes longer is killed and has failed; default 10 s.
    pub timeout: Duration,
    /// `HealthRetries=`: after so many failures in a row the container is unhealthy; default 3.
    pub retries: u32,
    /// `HealthStartPeriodSec=`: failures so soon after it became ready don't count; default 0.
    pub start_period: Duration,
}

impl Default for Health {
    /// No check.
    fn default() -> Health {
        Health {
            command: Vec::new(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            retries: 3,
            start_period: Duration::ZERO,
        }
    }
}

/// One bind mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// On the host, absolute.
    pub source: String,
    /// Inside, absolute; default the same.
    pub target: String,
    /// `BindReadOnly=`.
    pub read_only: bool,
    /// `-`: no error if the source is missing.
    pub optional: bool,
}

/// `UserNamespace=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserNs {
    /// A range of its own from the host's pool.
    Auto,
    /// None: ids inside are the host's.
    No,
    /// `BASE:SIZE`.
    Range {
        /// First host id.
        base: u32,
        /// How many.
        size: u32,
    },
}
