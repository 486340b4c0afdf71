//! schema: `[Service]`. Touches nothing.
use crate::schema::resources::Resources;
use crate::values::{Mode, Percent, Rlimit, Signal, Span};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[Service]`, with systemd's defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// `Type=`. Without `ExecStart=` and `Type=` it is oneshot, as in systemd.
    pub kind: ServiceType,
    /// The command lines of each phase, in order.
    pub exec: Exec,
    /// `Restart=`; default no.
    pub restart: Restart,
    /// `RestartSec=`; default 100 ms.
    pub restart_sec: Duration,
    /// `RestartSteps=`: so many steps from RestartSec to RestartMaxDelaySec; 0: none.
    pub restart_steps: u32,
    /// `RestartMaxDelaySec=`.
    pub restart_max_delay: Span,
    /// `RestartJitter=`: each wait is longer by up to this share of it; default 0%, as in systemd.
    pub restart_jitter: Percent,
    /// `SuccessExitStatus=`: these count as success besides 0, HUP, INT, TERM, PIPE.
    pub success_status: StatusSet,
    /// `RestartPreventExitStatus=`.
    pub restart_prevent: StatusSet,
    /// `RestartForceExitStatus=`.
    pub restart_force: StatusSet,
    /// `RemainAfterExit=`.
    pub remain_after_exit: bool,
    /// `TimeoutStartSec=`; default 90 s (oneshot: infinite).
    pub timeout_start: Span,
    /// `TimeoutStopSec=`; default 90 s.
    pub timeout_stop: Span,
    /// `TimeoutAbortSec=`; default TimeoutStopSec.
    pub timeout_abort: Span,
    /// `RuntimeMaxSec=`; default infinite.
    pub runtime_max: Span,
    /// `WatchdogSec=`; none: off.
    pub watchdog: Option<Duration>,
    /// `PIDFile=`, absolute (a relative one is below /run).
    pub pid_file: Option<String>,
    /// `GuessMainPID=`; default yes.
    pub guess_main_pid: bool,
    /// `NotifyAccess=`; default none, main for Type=notify.
    pub notify_access: NotifyAccess,
    /// `KillMode=`; default control-group.
    pub kill_mode: KillMode,
    /// `KillSignal=`; default TERM.
    pub kill_signal: Signal,
    /// `RestartKillSignal=`; default KillSignal.
    pub restart_kill_signal: Signal,
    /// `FinalKillSignal=`; default KILL.
    pub final_kill_signal: Signal,
    /// `WatchdogSignal=`; default ABRT.
    pub watchdog_signal: Signal,
    /// `SendSIGKILL=`; default yes.
    pub send_sigkill: bool,
    /// `SendSIGHUP=`; default no.
    pub send_sighup: bool,
    /// Who it runs as and with what.
    pub context: Context,
    /// The cgroup limits of a service.
    pub resources: Resources,
}

/// `Type=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ServiceType {
    Simple,
    Exec,
    Forking,
    Oneshot,
    Notify,
    NotifyReload,
    /// Run as `exec`: there is no bus here; `not_applied` says so.
    Dbus,
    Idle,
}

/// The phases that run commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ExecPhase {
    Condition,
    StartPre,
    Start,
    StartPost,
    Reload,
    Stop,
    StopPost,
}

/// Command lines by phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Exec {
    pub condition: Vec<Command>,
    pub start_pre: Vec<Command>,
    pub start: Vec<Command>,
    pub start_post: Vec<Command>,
    pub reload: Vec<Command>,
    pub stop: Vec<Command>,
    pub stop_post: Vec<Command>,
}

impl Exec {
    /// The lines of one phase.
    pub fn of(&self, phase: ExecPhase) -> &[Command] {
        match phase {
            ExecPhase::Condition => &self.condition,
            ExecPhase::StartPre => &self.start_pre,
            ExecPhase::Start => &self.start,
            ExecPhase::StartPost => &self.start_post,
            ExecPhase::Reload => &self.reload,
            ExecPhase::Stop => &self.stop,
            ExecPhase::StopPost => &self.stop_post,
        }
    }
}

/// One command line, split and unquoted; `$VARS` are still in it (see [`crate::parse::command`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What is executed; a name without `/` is looked for in the usual directories.
    pub program: String,
    /// argv, argv\[0\] first (with `@` it differs from `program`).
    pub argv: Vec<String>,
    /// `-`: a failure counts as success.
    pub ignore_failure: bool,
    /// `:`: no `$VAR` expansion.
    pub no_expand: bool,
    /// `+`: with full privileges, outside the sandbox.
    pub full_privileges: bool,
    /// `!` or `!!`: no change of user; the rest of the sandbox stays.
    pub keep_user: bool,
}

/// `Restart=`, at both levels; `unless-stopped` is for containers and means always here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Restart {
    No,
    OnSuccess,
    OnFailure,
    OnAbnormal,
    OnAbort,
    OnWatchdog,
    Always,
    UnlessStopped,
}

/// Exit codes and signals, for `SuccessExitStatus=` and its kin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusSet {
    /// Exit codes.
    pub codes: Vec<u8>,
    /// Terminating signals.
    pub signals: Vec<Signal>,
}

/// `NotifyAccess=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum NotifyAccess {
    None,
    Main,
    Exec,
    All,
}

/// `KillMode=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum KillMode {
    ControlGroup,
    Mixed,
    Process,
    None,
}

/// `StandardOutput=` and `StandardError=`; `journal`, `syslog`, `kmsg` and the like mean [`Output::Log`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// ct-init's log, line by line. The default.
    Log,
    /// /dev/null
    Null,
    /// As stdout (for stderr), as stdin's file (for stdout).
    Inherit,
    /// The console.
    Tty,
    /// Opened for writing at its beginning.
    File(String),
    /// Appended to.
    Append(String),
    /// Emptied first.
    Truncate(String),
}

/// `StandardInput=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// /dev/null, the default.
    Null,
    /// The console.
    Tty,
    /// A file.
    File(String),
    /// `StandardInputText=` and `StandardInputData=`.
    Data(Vec<u8>),
}

/// What a service's processes run with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// `User=`: name or number, specifiers expanded.
    pub user: Option<String>,
    /// `Group=`.
    pub group: Option<String>,
    /// `SupplementaryGroups=`.
    pub supplementary_groups: Vec<String>,
    /// `WorkingDirectory=`.
    pub working_directory: Option<WorkDir>,
    /// `RootDirectory=`.
    pub root_directory: Option<String>,
    /// `UMask=`; default 0022.
    pub umask: Mode,
    /// `Environment=`, in order; later wins.
    pub environment: Vec<(String, String)>,
    /// `EnvironmentFile=`: path and whether it may be missing (`-`).
    pub environment_files: Vec<(String, bool)>,
    /// `PassEnvironment=`.
    pub pass_environment: Vec<String>,
    /// `UnsetEnvironment=`.
    pub unset_environment: Vec<String>,
    /// `StandardInput=`.
    pub stdin: Input,
    /// `StandardOutput=`.
    pub stdout: Output,
    /// `StandardError=`; default inherit.
    pub stderr: Output,
    /// `SyslogIdentifier=`.
    pub syslog_identifier: Option<String>,
    /// `Limit*=` by its name (`NOFILE`), in order.
    pub limits: Vec<(RlimitKind, Rlimit)>,
    /// `Nice=`, -20…19.
    pub nice: Option<i8>,
    /// `OOMScoreAdjust=`, -1000…1000.
    pub oom_score_adjust: Option<i16>,
    /// `IgnoreSIGPIPE=`; default yes.
    pub ignore_sigpipe: bool,
    /// `NoNewPrivileges=`.
    pub no_new_privileges: bool,
    /// `CapabilityBoundingSet=`: none where the key is absent; bits of the kernel's numbers.
    pub bounding: Option<u64>,
    /// `AmbientCapabilities=`, bits.
    pub ambient: u64,
    /// `PrivateTmp=`.
    pub private_tmp: bool,
    /// `RuntimeDirectory=` and its kin.
    pub directories: Vec<Directory>,
    /// `RuntimeDirectoryPreserve=`: kept over a restart, or always.
    pub runtime_preserve: Preserve,
    /// `PermissionsStartOnly=`: only ExecStart runs as User=.
    pub permissions_start_only: bool,
}

/// `WorkingDirectory=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkDir {
    /// Absolute, or `~` for the user's home.
    pub path: String,
    /// `-`: carry on in `/` where it is missing.
    pub optional: bool,
}

/// `RuntimeDirectoryPreserve=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Preserve {
    No,
    Restart,
    Yes,
}

/// One directory of `RuntimeDirectory=` …
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Which of the five.
    pub kind: DirectoryKind,
    /// Relative to its base (`/run`, `/var/lib`, …); no `..`.
    pub name: String,
    /// `…DirectoryMode=`; default 0755.
    pub mode: Mode,
}

/// The five kinds of directory a service can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum DirectoryKind {
    Runtime,
    State,
    Cache,
    Logs,
    Configuration,
}

impl DirectoryKind {
    /// Where directories of this kind live.
    pub fn base(self) -> &'static str {
        match self {
            DirectoryKind::Runtime => "/run",
            DirectoryKind::State => "/var/lib",
            DirectoryKind::Cache => "/var/cache",
            DirectoryKind::Logs => "/var/log",
            DirectoryKind::Configuration => "/etc",
        }
    }
    /// The environment variable that names it to the service.
    pub fn variable(self) -> &'static str {
        match self {
            DirectoryKind::Runtime => "RUNTIME_DIRECTORY",
            DirectoryKind::State => "STATE_DIRECTORY",
            DirectoryKind::Cache => "CACHE_DIRECTORY",
            DirectoryKind::Logs => "LOGS_DIRECTORY",
            DirectoryKind::Configuration => "CONFIGURATION_DIRECTORY",
        }
    }
}

/// `LimitX=`, with the kernel's number (asm-generic/resource.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum RlimitKind {
    Cpu = 0,
    Fsize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    Rss = 5,
    Nproc = 6,
    Nofile = 7,
    Memlock = 8,
    As = 9,
    Locks = 10,
    Sigpending = 11,
    Msgqueue = 12,
    Nice = 13,
    Rtprio = 14,
    Rttime = 15,
}
