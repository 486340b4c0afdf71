//! life: commands that bring containers and units up and down, and wait for them. Never prints more than outcomes.
use super::CliError;
use super::context::{Containers, Context, complain};
use super::names::{Known, Targets};
use crate::control::client::ClientError;
use crate::control::protocol::{Condition, Fault, FaultKind, Request, Version};
use crate::control::render::quantity::{read_duration, read_signal};
use crate::control::target::ContainerName;
use crate::paths::Paths;
use clap::{Args, Subcommand, ValueEnum};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// So long another supervisor may take to answer.
const SUCCESSION: Duration = Duration::from_secs(60);
/// Between two looks for it, at most.
const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

#[derive(Debug, Subcommand)]
pub(super) enum Life {
    /// Bring containers or units up
    Start {
        #[command(flatten)]
        targets: Targets,
        #[command(flatten)]
        wait: Wait,
    },
    /// Bring them down
    Stop {
        #[command(flatten)]
        targets: Targets,
        #[command(flatten)]
        wait: Wait,
        /// Skip the polite part: kill at once
        #[arg(long)]
        now: bool,
    },
    /// Bring them down and up again
    Restart {
        #[command(flatten)]
        targets: Targets,
        #[command(flatten)]
        wait: Wait,
        /// Skip the polite part of the way down
        #[arg(long)]
        now: bool,
    },
    /// Reload a unit's configuration; read a container's unit file again
    Reload {
        #[command(flatten)]
        targets: Targets,
        #[command(flatten)]
        wait: Wait,
    },
    /// Send a signal to a container's PID 1 or to a unit's processes
    Kill {
        #[command(flatten)]
        targets: Targets,
        /// TERM, SIGKILL, 15, RTMIN+3
        #[arg(short, long, default_value = "TERM", value_parser = read_signal)]
        signal: u8,
    },
    /// Freeze
    Pause {
        #[command(flatten)]
        targets: Targets,
    },
    /// Thaw
    Resume {
        #[command(flatten)]
        targets: Targets,
    },
    /// Start at boot from now on
    Enable {
        #[command(flatten)]
        targets: Targets,
    },
    /// No longer start at boot
    Disable {
        #[command(flatten)]
        targets: Targets,
    },
    /// Wait until containers or units are ready or stopped
    Wait {
        #[command(flatten)]
        targets: Targets,
        /// What to wait for
        #[arg(long = "for", value_enum, default_value = "ready", value_name = "STATE")]
        condition: For,
        /// Give up after this time, with exit code 124
        #[arg(long, value_parser = read_duration, value_name = "TIME")]
        timeout: Option<Duration>,
    },
    /// Start what is to run at boot, in the order of its dependencies
    Boot,
    /// Stop every container in reverse order, then the supervisor
    Shutdown,
    /// Replace the supervisor by the program on disk; containers run on
    Upgrade {
        /// Also where the program on disk does not understand the state of some containers; those are begun anew
        #[arg(long)]
        force: bool,
    },
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Wait {
    /// Return as soon as it is queued
    #[arg(long)]
    no_wait: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum For {
    Ready,
    Stopped,
}

impl Life {
    pub(super) fn run(&self, context: &mut Context) -> Result<u8, CliError> {
        let request = self.request(&mut || context.names())?;
        match self {
            Life::Upgrade { .. } => upgrade(context, &request),
            Life::Start { .. }
            | Life::Stop { .. }
            | Life::Restart { .. }
            | Life::Reload { .. }
            | Life::Kill { .. }
            | Life::Pause { .. }
            | Life::Resume { .. }
            | Life::Enable { .. }
            | Life::Disable { .. }
            | Life::Wait { .. }
            | Life::Boot
            | Life::Shutdown => context.act(&request),
        }
    }
    /// What it asks of the supervisor.
    pub(super) fn request(&self, known: Known<'_>) -> Result<Request, CliError> {
        Ok(match self {
            Life::Start { targets, wait } => {
                Request::Start { targets: targets.resolve(known)?, wait: !wait.no_wait }
            }
            Life::Stop { targets, wait, now } => {
                Request::Stop { targets: targets.resolve(known)?, wait: !wait.no_wait, now: *now }
            }
            Life::Restart { targets, wait, now } => {
                Request::Restart { targets: targets.resolve(known)?, wait: !wait.no_wait, now: *now }
            }
            Life::Reload { targets, wait } => {
                Request::Reload { targets: targets.resolve(known)?, wait: !wait.no_wait }
            }
            Life::Kill { targets, signal } => {
                Request::Kill { targets: targets.resolve(known)?, signal: *signal }
            }
            Life::Pause { targets } => Request::Pause { targets: targets.resolve(known)? },
            Life::Resume { targets } => Request::Resume { targets: targets.resolve(known)? },
            Life::Enable { targets } => Request::Enable { targets: targets.resolve(known)? },
            Life::Disable { targets } => Request::Disable { targets: targets.resolve(known)? },
            Life::Wait { targets, condition, timeout } => Request::Wait {
                targets: targets.resolve(known)?,
                condition: match condition {
                    For::Ready => Condition::Ready,
                    For::Stopped => Condition::Stopped,
                },
                timeout_ms: timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
            },
            Life::Boot => Request::Boot {},
            Life::Shutdown => Request::Shutdown {},
            Life::Upgrade { force } => Request::Upgrade { force: *force },
        })
    }
}

/// Tells when files appear beside the supervisor's socket.
fn appears(root: &Path) -> Option<OwnedFd> {
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).ok()?;
    inotify::add_watch(&fd, Paths::new(root).run(), inotify::WatchFlags::CREATE).ok()?;
    Some(fd)
}

/// Until then, or for a moment: a socket is there before it is listened on.
fn wait(sockets: Option<&OwnedFd>) {
    let mut fds: Vec<PollFd<'_>> = sockets.into_iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let _woken = poll(&mut fds, Some(&MOMENT));
    let mut bytes = [0u8; 4096];
    while sockets.is_some_and(|fd| rustix::io::read(fd, &mut bytes).is_ok_and(|n| n > 0)) {}
}

/// Asks for it, waits until another supervisor answers, and looks whether all containers are who they were.
fn upgrade(context: &mut Context, request: &Request) -> Result<u8, CliError> {
    let pids = |context: &mut Context| -> Result<Vec<(ContainerName, u32)>, CliError> {
        let Containers { containers } = context.call(&Request::List {})?;
        Ok(containers.into_iter().filter_map(|c| Some((c.name, c.pid?))).collect())
    };
    let before = pids(context)?;
    // Set before it is asked, so that nothing is missed; without it time alone wakes us.
    let sockets = appears(&context.root);
    let old: Version = context.call(request)?;
    let until = Instant::now() + SUCCESSION;
    let new = loop {
        context.hang_up();
        match context.call::<Version>(&Request::Version {}) {
            Ok(new) if new.pid != old.pid => break new,
            // It is on its way out, or nobody is there.
            Ok(_) | Err(_) if Instant::now() < until => wait(sockets.as_ref()),
            Ok(_) | Err(_) => {
                let why = format!(
                    "no other supervisor has answered for {} s: its log tells why",
                    SUCCESSION.as_secs()
                );
                return Err(ClientError::Fault(Fault::new(FaultKind::TimedOut, why)).into());
            }
        }
    };
    let after = pids(context)?;
    let lost: Vec<&ContainerName> =
        before.iter().filter(|b| !after.contains(b)).map(|(name, _)| name).collect();
    let kept = before.len() - lost.len();
    context.inform(&format!(
        "{} (pid {}) → {} (pid {}), {kept} containers run on",
        old.version, old.pid, new.version, new.pid
    ))?;
    for name in &lost {
        complain(&format!("{name} does not run as it did (ct status {name})"));
    }
    Ok(u8::from(!lost.is_empty()))
}
