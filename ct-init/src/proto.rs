//! proto: what host and ct-init say to each other over a SOCK_SEQPACKET socket. Never does I/O itself.
//!
//! The host makes a listening socket, keeps its path to itself and hands the descriptor in (fd [`LISTEN_FD`]). Every
//! packet is one postcard message of at most [`MAX_PACKET`] bytes. Each side treats the other's bytes as hostile:
//! bounded, versioned, a packet that does not decode closes the connection. The first packet of a connection is
//! [`Request::Hello`]; what it asks for decides what the connection is: a control connection, one exec session or
//! one log stream.
use serde::{Deserialize, Serialize};
use std::time::Duration;
use units::machine::Cause;
use units::schema::{Health, ReadyWhen};

/// The listening socket's descriptor in a fresh ct-init.
pub const LISTEN_FD: i32 = 3;
/// The descriptor of a memfd that holds a [`Handover`].
pub const HANDOVER_FD: i32 = 4;
/// Larger packets are refused.
pub const MAX_PACKET: usize = 64 * 1024;
/// Raised when a message changes its meaning; each side states its own and both use the lower.
pub const VERSION: u16 = 1;

/// What ct-init has to know from the host before it can do anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The container's name, for log lines.
    pub name: String,
    /// Hostname to set (uts namespace).
    pub hostname: String,
    /// The unit to bring up, `default.target`.
    pub unit: String,
    /// For ct-init and every service.
    pub environment: Vec<(String, String)>,
    /// Where the container's own cgroup v2 tree is mounted (`/sys/fs/cgroup`), if it is.
    pub cgroup: Option<String>,
    /// Controllers that services may have limits of, as `cgroup.controllers` shows them inside.
    pub controllers: Vec<String>,
    /// Warnings about the container that belong in its log, said once at start.
    pub notices: Vec<String>,
    /// When it counts as ready, once its default target is reached.
    pub ready: ReadyWhen,
    /// What to run from time to time once it is ready.
    pub health: Option<Health>,
    /// Send [`Report::Alive`] so often.
    pub keep_alive: Option<Duration>,
}

/// From the host (or a `ct` that the host introduced) to ct-init.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// First on each connection.
    Hello {
        /// The speaker's [`VERSION`].
        version: u16,
    },
    /// From now on this is a control connection: ct-init sends [`Report`]s unasked.
    Watch,
    /// Start, stop … a unit; answered by `Report::Done` with the same `tag` when it has finished.
    Unit {
        /// Chosen by the asker, returned in the answer.
        tag: u32,
        /// Full unit name.
        unit: String,
        /// What to do with it.
        verb: Verb,
    },
    /// Answered by `Report::Units`, split over as many packets as it takes.
    List {
        /// Returned in the answer.
        tag: u32,
    },
    /// Stop all units in reverse order, then leave. The host closes the matter with cgroup.kill at its deadline.
    Shutdown,
    /// Turns the connection into an exec session. The packet carries the stdio descriptors (SCM_RIGHTS: stdin,
    /// stdout, stderr), or none with `tty`. Answered by [`Session`] messages.
    Exec(Exec),
    /// Turns the connection into a log stream: [`Session::Line`] packets, then end of file (or more, with `follow`).
    Logs(Logs),
    /// Execute the program anew and go on with everything: the file that the packet carries (SCM_RIGHTS), or else its
    /// own. Answered by `Report::Done` by the new program, on the same connection.
    Reexec {
        /// Returned in the answer.
        tag: u32,
    },
}

/// What can be done with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Verb {
    Start,
    Stop,
    Restart,
    Reload,
    /// This signal to all of its processes.
    Kill(u8),
    ResetFailed,
    Enable,
    Disable,
    /// Read all unit files again.
    DaemonReload,
}

/// A command to run inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// argv; argv\[0\] is looked up in PATH. Empty: the user's login shell.
    pub argv: Vec<String>,
    /// Added to the container's environment.
    pub environment: Vec<(String, String)>,
    /// `name`, `uid`, `name:group`; none: root.
    pub user: Option<String>,
    /// Working directory; none: the user's home for a login shell, else `/`.
    pub directory: Option<String>,
    /// On a terminal made inside; its master comes back with [`Session::Started`].
    pub tty: bool,
    /// TERM's size at first: rows, columns.
    pub size: Option<(u16, u16)>,
}

/// Which log lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// One unit, or all.
    pub unit: Option<String>,
    /// At most so many of the last lines.
    pub lines: Option<u32>,
    /// None older than this, microseconds since 1970.
    pub since: Option<u64>,
    /// Go on with new ones.
    pub follow: bool,
}

/// From a `ct` to ct-init within an exec session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// Send this signal to the command.
    Signal(u8),
    /// The terminal has this size now: rows, columns.
    Size(u16, u16),
}

/// From ct-init within a session or log stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Session {
    /// It runs, with this pid as the container sees it. With `tty`, the packet carries the master (SCM_RIGHTS).
    Started {
        /// Inside.
        pid: u32,
    },
    /// It could not be started; `code` is 126 or 127 as a shell would say, or 125.
    Refused {
        /// For `exit`.
        code: u8,
        /// `exec /bin/foo: no such file`.
        why: String,
    },
    /// It has ended.
    Ended(units::machine::Exit),
    /// One log line.
    Line(Line),
}

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Microseconds since 1970.
    pub at: u64,
    /// Whose; `ct-init` for PID 1's own.
    pub unit: String,
    /// Without its newline, cut at 4 KiB; bytes that are not UTF-8 replaced.
    pub text: String,
}

/// From ct-init on a control connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The answer to Hello.
    Hello {
        /// ct-init's [`VERSION`].
        version: u16,
        /// Whether it is ready as its unit says.
        ready: bool,
    },
    /// The default target is reached and `ReadyWhen=` holds (or did; sent again on `Watch`). `failed` lists the units
    /// that have failed.
    Ready {
        /// Their names.
        failed: Vec<String>,
    },
    /// A unit changed its state.
    Unit(UnitStatus),
    /// The answer to `Request::Unit`.
    Done {
        /// As asked.
        tag: u32,
        /// What became of it.
        result: Result<(), String>,
    },
    /// Part of the answer to `Request::List`; `last` ends it.
    Units {
        /// As asked.
        tag: u32,
        /// Some of them, in order of their names.
        units: Vec<UnitStatus>,
        /// No more follow.
        last: bool,
    },
    /// ct-init is about to end, because of this.
    Leaving(Leave),
    /// A warning about a unit file: not applied directives, mistakes.
    Notice(String),
    /// The default target is reached, `ReadyWhen=` does not hold yet: what it waits for. Sent again on `Watch`.
    Waits(String),
    /// The loop turns; every `keep_alive`.
    Alive,
    /// The health check has failed too often in a row, and how it failed last. Sent again on `Watch`, while it is so.
    Unhealthy(String),
}

/// Why ct-init ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Leave {
    /// The host asked.
    Shutdown,
    /// Something inside asked (`halt`, `poweroff`).
    Halt,
    /// Something inside asked (`reboot`).
    Reboot,
    /// The machine is to be switched off: of a host's PID 1.
    PowerOff,
    /// The loaded kernel is to be started: of a host's PID 1.
    Kexec,
}

/// A unit as `ct status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStatus {
    /// Full name.
    pub name: String,
    /// `Description=`.
    pub description: String,
    /// `inactive activating active reloading deactivating failed skipped`, systemd's words.
    pub active: String,
    /// The finer state: `running exited start-pre stop-term auto-restart dead` …
    pub sub: String,
    /// Main process as the container sees it; 0: none.
    pub pid: u32,
    /// Seconds in this state.
    pub for_secs: u64,
    /// Automatic restarts so far.
    pub restarts: u32,
    /// Why it last ended, if it did.
    pub cause: Option<Cause>,
    /// A sentence where there is more to say: the failed stage, the unmet condition, STATUS=.
    pub note: String,
}
