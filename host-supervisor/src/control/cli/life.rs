//! life: commands that bring containers and units up and down, and wait for them. Never prints more than outcomes.
use super::CliError;
use super::context::Context;
use super::names::{Known, Targets};
use crate::control::protocol::{Condition, Request};
use crate::control::render::quantity::{read_duration, read_signal};
use clap::{Args, Subcommand, ValueEnum};
use std::time::Duration;

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
        context.act(&request)
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
        })
    }
}
