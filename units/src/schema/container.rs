//! schema: `[Container]`. Touches nothing.
use crate::name::UnitName;
use crate::schema::resources::Resources;
use crate::schema::service::Restart;
use crate::values::Span;
use std::time::Duration;

/// `[Container]` and `[Resources]`, with defaults filled in.
#[derive(Clone, Debug, PartialEq)]
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
    /// `[Resources]`.
    pub resources: Resources,
}

/// Where the file system comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rootfs {
    /// `Template=NAME`: below the template directory, or the built-in `host`.
    Template(String),
    /// `Rootfs=DIR`, absolute.
    Directory(String),
}

/// `Init=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitProgram {
    /// The host's ct-init.
    CtInit,
    /// A program of the guest's own, by its path inside.
    Path(String),
}

/// `ReadyWhen=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadyWhen {
    /// The default target is reached.
    Target,
    /// Something inside says READY=1 to the container's notify socket.
    Notify,
    /// A TCP port inside accepts.
    Tcp(u16),
    /// A path inside exists.
    File(String),
    /// A command inside ends with 0.
    Exec(String),
}

/// One bind mount.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
