//! snapshot: PID 1 as plain data: all that this program executed anew has to know. Postcard, so the order of every
//! field counts: who changes what is written raises [`super::book::FORMAT`].
use super::fds::Fd;
use crate::control::KeptLink;
use crate::engine::keep::KeptEngine;
use crate::halt::Asked;
use crate::host::Level;
use crate::pid1::KeptWork;
use crate::proto::{Handover, Line};
use serde::{Deserialize, Serialize};
use units::machine::Exit;
use units::values::Tick;

/// All of PID 1 but what the unit files say.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// Every descriptor that goes over.
    pub fds: Vec<Fd>,
    /// Whose PID 1 it is.
    pub level: Level,
    /// What only a host's has.
    pub host: Option<KeptWork>,
    /// From the host.
    pub handover: Handover,
    /// The host's listening socket.
    pub listener: Option<Fd>,
    /// sd_notify's.
    pub notify: Option<Fd>,
    /// syslog's.
    pub syslog: Option<Fd>,
    /// All units and their processes.
    pub engine: KeptEngine,
    /// Connections that go on.
    pub links: Vec<(usize, KeptLink)>,
    /// The next connection's number.
    pub next_link: usize,
    /// Commands that are killed at a time.
    pub doomed: Vec<(Tick, i32)>,
    /// Signals that nobody has acted on yet.
    pub asked: Vec<Asked>,
    /// Who has asked for the exec, and with which tag.
    pub asker: Option<(usize, u32)>,
    /// Log lines that only memory holds.
    pub lines: Vec<Line>,
    /// The program that wrote this: another one reads the unit files itself.
    pub program: Program,
}

/// What tells one build of this program from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    device: u64,
    inode: u64,
    size: i64,
    changed: (i64, u64),
}

impl Program {
    /// Of an open file.
    pub fn of(file: impl std::os::fd::AsFd) -> Option<Program> {
        let stat = rustix::fs::fstat(file).ok()?;
        Some(Program {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            changed: (stat.st_mtime, stat.st_mtime_nsec),
        })
    }
}

/// What has happened since the last state. It is written down before it counts, so that it happens once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A child has ended so and is about to be reaped.
    Ended(i32, Exit),
    /// A child was made. A state that does not know it has it made again: this one is killed.
    Born(i32),
    /// This process has said this to the notify socket.
    Said(i32, Vec<u8>),
    /// This connection asks for something. Nobody knows how far that has come: it is closed, which its peer sees.
    Asks(usize),
    /// A signal is about to be acted on.
    Asked(Asked),
}

impl Entry {
    /// Whose request it is.
    pub fn asks(&self) -> Option<usize> {
        match self {
            Entry::Asks(number) => Some(*number),
            Entry::Ended(..) | Entry::Born(_) | Entry::Said(..) | Entry::Asked(_) => None,
        }
    }

    /// Whose end it is about.
    pub fn ended(&self) -> Option<i32> {
        match self {
            Entry::Ended(pid, _) => Some(*pid),
            Entry::Born(_) | Entry::Said(..) | Entry::Asks(_) | Entry::Asked(_) => None,
        }
    }
}
