//! machine: the life cycle of a unit, the same for a service in a container and a container on a host.
//!
//! Never reads a clock, never starts anything: `step` takes a state, an event and the time and returns intents.
//! The level below carries them out: for a service, `Run` executes command lines; for a container, `Run(Start)`
//! applies its start plan and `Release` undoes it.
//!
//! # States
//!
//! ```text
//!            Start                     ready                MainExited, Stop, Watchdog …
//!   Down ──────────▶ Starting ───────────────────▶ Up ──────────────────────────────▶ Stopping
//!    ▲                condition                    │ ▲                                 own
//!    │                start-pre        Reload      ▼ │                                 command
//!    │                start                     Reloading                              term, abort
//!    │                start-post                                                       kill
//!    │                    │ fails, Stop                                                post
//!    │                    └─────────────────────────────────────────────────────────▶  final-term
//!    │                                                                                 final-kill
//!    │   Release(false)                                                                   │    │
//!    ├────────────────────────────────────────────────────────────────────────────────────┤    │ never Empty
//!    │   it failed: Failed(cause)                                                         │    ▼
//!    │                          Timer                          Release(true)              │  Stuck
//!    └── Waiting ◀────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! **Down** and **Failed** are at rest: nothing runs, no timer is armed. They differ in how the last run ended.
//! **Starting** walks the phases that have command lines: condition, start-pre, start, start-post. What ends the
//! start phase is the unit's [`ReadyRule`]. Each phase has TimeoutStartSec=. A condition that exits with 1…254 skips
//! the unit: it goes down the ladder (so ExecStopPost= runs) and rests in `Down(Some(Skipped))`; never a restart.
//! **Up** has the watchdog and RuntimeMaxSec= running. **Exited** is Up without a process (RemainAfterExit=, targets).
//! **Reloading** is Up, with a reload under way; a reload that fails or times out leaves the unit Up.
//! **Stopping** is the ladder; it is entered at `Command` only by a unit that was up and has not failed, and each step
//! has a deadline of its own. What comes after the last step is in the state ([`Then`]): the owner's word (`Rest`,
//! `Again`), the guest's (`Reboot`), or else the restart policy's.
//! **Stuck** is where the ladder ends when not even SIGKILL empties the cgroup (a process in D state), or when
//! SendSIGKILL=no forbids it. It is at rest, dependents are told `Failed(StopTimeout)`, nothing is retried by itself
//! and `Release` is not said, because something is still there. When `Empty` comes at last, the ladder goes on from
//! the step it had stopped at. An owner's Stop or Start sends one more SIGKILL and is answered `Failed(StopTimeout)`.
//! **Waiting** is the back-off before an automatic restart. Stop ends it at once, and so does Start.
//!
//! # Contract with the level below
//!
//! - `Run(phase)` executes that phase's lines in order and reports `Done(phase, exit)` with the first failure, or the
//!   last line's end. A line that is set up badly is `SetupFailed(phase)` instead. For the main process of ExecStart=
//!   it reports `Forked(Start)`, `Executed(Start)` and at its end `MainExited`; `Done(Start)` is said for oneshot (all
//!   lines ended) and forking (the parent ended; `MainFound` or `MainMissing` follow).
//! - Conditions and asserts of the unit file are looked at on the first `Run` of a start; `Skip` or `Refuse` is the
//!   answer where they do not hold, and nothing is run.
//! - `Term`, `Abort` and `Kill` end whatever phase runs: no further line of it starts, no `Done` of it is reported.
//!   Each of them is answered by `Empty` once nothing is left that KillMode= reaches, at once if nothing is.
//! - `MainExited` comes before the `Empty` that it leads to (an `Empty` while the main process is thought alive is taken
//!   for an old one), and an `Empty` is true when it is told: once something new was run, it is not told any more.
//! - `Release(true)` may be followed by `Release(false)` if the restart does not happen after all.
//!
//! # Differences from systemd, on purpose
//!
//! A forking unit whose main process is not known and whose last process ends is `Exited(Unknown)`, a failure: nobody
//! saw how it ended. With KillMode=control-group the term step waits for all processes, not for the main one alone.
//! ExecStop= also runs when a stop comes during a reload. The count for RestartSteps= starts again after a healthy run
//! ([`Policy::healthy`]).
mod ladder;
mod life;
mod moves;
mod policy;
mod table;
#[cfg(test)]
mod tests;

pub use life::{Frozen, Kept, Machine};
pub use policy::seed;

use crate::schema::{ExecPhase, KillMode, Restart, StatusSet};
use crate::values::{Percent, Signal, Span, Tick};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a process (or a whole container) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// exit(2) with this code.
    Code(u8),
    /// Ended by this signal.
    Signal(Signal),
    /// By this signal, with a core dump.
    Dumped(Signal),
    /// It ended, but nobody saw how. Never counts as success.
    Unknown,
}

/// Why a run ended: the class that restart policy looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The main process ended by itself.
    Exited(Exit),
    /// The kernel killed it for memory.
    OomKill(Exit),
    /// No keep-alive in time.
    Watchdog,
    /// Containers: the health check failed too often in a row.
    Unhealthy,
    /// Not ready in time.
    StartTimeout,
    /// Did not stop in time.
    StopTimeout,
    /// A command of this phase failed.
    Command(ExecPhase, Exit),
    /// It could not be set up or executed; the level below keeps the sentence.
    Setup(ExecPhase),
    /// A notify service ended, or all of its processes did, before it was ready.
    NeverReady,
    /// `PIDFile=` named nothing usable.
    Protocol,
    /// Ran longer than `RuntimeMaxSec=`.
    RuntimeMax,
    /// Containers: the guest asked for a reboot.
    GuestReboot,
    /// Containers: the guest halted or powered off.
    GuestHalt,
    /// Started too often.
    StartLimit,
    /// An `AssertX=` was not met.
    Assert,
    /// A unit it requires did not come up.
    Dependency,
    /// Not a failure: a condition was not met, so it was not started.
    Skipped,
}

/// When the unit counts as up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyRule {
    /// Once it is forked (simple, idle).
    Forked,
    /// Once exec succeeded (exec, dbus).
    Executed,
    /// Once the started process has exited with success and a main process is known (forking).
    Daemonized,
    /// Once all its commands have ended (oneshot).
    Finished,
    /// When it says so (notify; every container).
    Told,
}

/// What the machine has to know of a unit; made once from its schema.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Policy {
    pub ready: ReadyRule,
    pub restart: Restart,
    pub restart_sec: Duration,
    pub restart_steps: u32,
    pub restart_max_delay: Span,
    /// Each wait is longer by up to this share of it …
    pub restart_jitter: Percent,
    /// … by which one is drawn from this number and the count of tries; see [`seed`].
    pub seed: u64,
    pub success_status: StatusSet,
    pub restart_prevent: StatusSet,
    pub restart_force: StatusSet,
    pub remain_after_exit: bool,
    pub timeout_start: Span,
    pub timeout_stop: Span,
    pub timeout_abort: Span,
    pub runtime_max: Span,
    pub watchdog: Option<Duration>,
    /// At most `limit_burst` starts in this time; `Infinite` or a zero: no limit.
    pub limit_interval: Span,
    pub limit_burst: u32,
    pub send_sigkill: bool,
    /// With `Mixed`, what the main process leaves behind gets SIGKILL at once.
    pub kill_mode: KillMode,
    /// Forking: whether a main process has to be found (`PIDFile=`), or its absence is accepted.
    pub needs_main: bool,
    /// Whether a reload is over only when it says READY=1 (`Type=notify-reload`).
    pub reload_told: bool,
    /// Which phases have command lines at all.
    pub has_condition: bool,
    pub has_start_pre: bool,
    pub has_start: bool,
    pub has_start_post: bool,
    pub has_reload: bool,
    pub has_stop: bool,
    pub has_stop_post: bool,
}

/// What its owner wants, apart from what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Wanted {
    Up,
    Down,
}

/// What is. Each state carries its own data; nothing else does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing runs. The cause of the last end, if there was a run.
    Down(Option<Cause>),
    /// On its way up, in this phase. `main` is whether a main process is alive.
    Starting {
        /// Condition, StartPre, Start or StartPost.
        phase: ExecPhase,
        /// When this start began.
        since: Tick,
        /// Whether the main process is alive.
        main: bool,
    },
    /// Ready.
    Up {
        /// Since when.
        since: Tick,
        /// Whether a main process is known and alive (not so for a forking unit where none was found).
        main: bool,
    },
    /// Ready, and nothing has to run for it (RemainAfterExit).
    Exited {
        /// Since when.
        since: Tick,
    },
    /// Ready, and its reload commands run (or it said RELOADING=1).
    Reloading {
        /// Ready since when.
        since: Tick,
        /// Whether a main process is known and alive.
        main: bool,
        /// What the reload waits for.
        step: ReloadStep,
    },
    /// On its way down, in this step.
    Stopping {
        /// Which step of the ladder.
        step: StopStep,
        /// What ended it, the first failure before all; none: asked to.
        cause: Option<Cause>,
        /// Whether the main process is alive.
        main: bool,
        /// What comes when it is down.
        then: Then,
    },
    /// The deadline of this step passed and nothing is left to try: processes remain. Waits for `Empty`.
    Stuck {
        /// Where the ladder goes on.
        step: StopStep,
        /// What ended it.
        cause: Cause,
        /// Whether the main process is alive.
        main: bool,
        /// What comes when it is down.
        then: Then,
    },
    /// Waits out its back-off, then starts again.
    Waiting {
        /// When.
        until: Tick,
        /// Why it ended.
        cause: Cause,
    },
    /// It ended badly and stays down.
    Failed(Cause),
}

/// What comes when a unit that stops is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// The restart policy looks at the cause.
    Policy,
    /// It stays down: its owner asked for that, or it was skipped.
    Rest,
    /// It starts again at once: its owner asked for that. No automatic restart.
    Again,
    /// It starts again at once: the guest asked for that.
    Reboot,
}

/// What a reload waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReloadStep {
    /// The end of its commands.
    Command,
    /// The end of its commands, and READY=1.
    CommandAndReady,
    /// READY=1.
    Ready,
}

/// The ladder down. Each step has a deadline; the last one is the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopStep {
    /// It goes by itself: it said STOPPING=1, or the guest asked for a reboot or a halt. Nothing was sent.
    Own,
    /// ExecStop= runs.
    Command,
    /// KillSignal was sent.
    Term,
    /// WatchdogSignal was sent.
    Abort,
    /// SIGKILL was sent to all of it.
    Kill,
    /// ExecStopPost= runs.
    Post,
    /// What ExecStopPost= left got KillSignal.
    FinalTerm,
    /// What that left got SIGKILL.
    FinalKill,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its owner wants it up.
    Start,
    /// Its owner wants it down.
    Stop,
    /// Its owner wants it down without the polite part: SIGKILL at once.
    StopNow,
    /// Down and up again.
    Restart,
    /// Reload its configuration.
    Reload,
    /// Forget failure and start counters.
    ResetFailed,
    /// A condition of the unit file was not met: skip, it is not a failure.
    Skip,
    /// An assert was not met, or what it requires failed.
    Refuse(Cause),
    /// The process of this phase exists (forked).
    Forked(ExecPhase),
    /// Its exec succeeded.
    Executed(ExecPhase),
    /// It could not be forked, set up or executed.
    SetupFailed(ExecPhase),
    /// All command lines of this phase have ended; the last one so (`-` already counted as 0).
    Done(ExecPhase, Exit),
    /// The main process ended (`-` already counted as 0); `true` where the kernel killed in its cgroup for memory.
    MainExited(Exit, bool),
    /// READY=1, or the container's readiness rule is met.
    Ready,
    /// RELOADING=1.
    Reloading,
    /// STOPPING=1.
    StoppingSelf,
    /// Forking: a main process was found (PIDFile or guess).
    MainFound,
    /// Forking: none was found although the parent has exited.
    MainMissing,
    /// WATCHDOG=1.
    Alive,
    /// WATCHDOG=trigger.
    Unwell,
    /// Containers: the health check has failed too often in a row.
    Unhealthy,
    /// EXTEND_TIMEOUT_USEC=.
    Extend(Duration),
    /// No process is left in its cgroup (with KillMode=process or none: none of those it ends).
    Empty,
    /// Containers: the guest asked for a reboot or a halt before its PID 1 ended.
    Guest(Cause),
    /// The armed timer fired.
    Timer,
}

/// What to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Run the command lines of this phase one after the other and report `Forked`, `Executed`, `Done`…
    Run(ExecPhase),
    /// Send KillSignal (or, if [`Machine::restart_follows`], RestartKillSignal) as KillMode= says.
    Term,
    /// Send WatchdogSignal to the main process.
    Abort,
    /// SIGKILL everything in the cgroup (thawed first).
    Kill,
    /// SIGKILL the command of a reload that still runs and forget its remaining lines; no `Done` comes of it.
    KillControl,
    /// Arm the one timer for this tick; replaces what was armed.
    Arm(Tick),
    /// Disarm it.
    Disarm,
    /// It is up: dependents may start.
    Announce(Outcome),
    /// Nothing of it runs any more: remove what it had (runtime directories, cgroup). `true` if a restart follows.
    Release(bool),
    /// Its start limit is hit: carry out StartLimitAction=.
    LimitAction,
}

/// What dependents and waiting commands are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Ready.
    Up,
    /// A reload has ended so.
    Reloaded(bool),
    /// Skipped: a condition was not met.
    Skipped,
    /// Down, as wanted or by a clean end.
    Down,
    /// Failed; a restart may follow.
    Failed(Cause),
}
