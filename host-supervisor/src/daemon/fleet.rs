//! fleet: the containers that are known, each with its life and, while it runs, its process. Does no I/O.
use super::{Source, now};
use crate::apply::Launch;
use crate::control::protocol::{ContainerState, ExitRow, words};
use crate::ledger::Durable;
use crate::spec::Spec;
use crate::state;
use ct_init::proto::{Leave, UnitStatus};
use ct_sys::script::Script;
use mio::Token;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use units::machine::{Cause, Machine, State};
use units::schema::Unit;
use units::values::Tick;

/// So many ends are remembered.
const KEEP_EXITS: usize = 10;

/// All containers by name.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) all: BTreeMap<String, Container>,
}

/// One container.
#[derive(Debug)]
pub(crate) struct Container {
    /// As its files say now; none while they are broken or gone.
    pub(crate) unit: Option<Unit>,
    /// The files it was read from.
    pub(crate) files: Vec<String>,
    /// Why it can't be started, if its files are broken.
    pub(crate) broken: Option<String>,
    /// What it keeps over boots.
    pub(crate) durable: Durable,
    pub(crate) machine: Machine,
    /// While something of it is there.
    pub(crate) run: Option<Run>,
    /// Since when it is in its state.
    pub(crate) since: Tick,
    /// A sentence about the last failure, from where it happened.
    pub(crate) note: String,
}

/// What is there while a container runs.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) spec: Spec,
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) ended: Token,
    /// Until exec has succeeded.
    pub(crate) launch: Option<Launching>,
    pub(crate) started: Tick,
    /// Microseconds since 1970.
    pub(crate) started_wall: u64,
    /// What keeps it from being ready, in ct-init's words.
    pub(crate) waits: Option<String>,
    /// What ct-init has said about its end.
    pub(crate) leave: Option<Leave>,
    pub(crate) frozen: bool,
    /// OOM kills in its group when it was started.
    pub(crate) oom_before: u64,
    /// Units inside as last told, with the tick of the telling.
    pub(crate) units: BTreeMap<String, (UnitStatus, Tick)>,
}

/// A launch that has not come to its exec.
#[derive(Debug)]
pub(crate) struct Launching {
    pub(crate) errors: OwnedFd,
    pub(crate) token: Token,
    pub(crate) script: Script,
    /// Held so that the child does not see its end before it was let go.
    pub(crate) _go: OwnedFd,
}

impl Launching {
    pub(crate) fn of(
        launch: Launch,
        sources: &mut super::Sources,
        name: &str,
    ) -> std::io::Result<(Launching, OwnedFd)> {
        let token = sources.add(&launch.spawned.errors, Source::Launch(name.to_owned()))?;
        let errors = launch.spawned.errors;
        Ok((Launching { errors, token, script: launch.script, _go: launch.go }, launch.spawned.pidfd))
    }
}

impl Container {
    pub(crate) fn new(durable: Durable, machine: Machine) -> Container {
        Container {
            unit: None,
            files: Vec::new(),
            broken: None,
            durable,
            machine,
            run: None,
            since: now(),
            note: String::new(),
        }
    }
    /// As `ct list` shows it.
    pub(crate) fn state(&self) -> ContainerState {
        let frozen = self.run.as_ref().is_some_and(|r| r.frozen);
        state::view(&self.machine, frozen, self.failed_units().len())
    }
    /// Units inside that have failed.
    pub(crate) fn failed_units(&self) -> Vec<&str> {
        let units = self.run.iter().flat_map(|r| r.units.values());
        units.filter(|(u, _)| u.active == "failed").map(|(u, _)| u.name.as_str()).collect()
    }
    /// Why it ended so: what was said where it happened, else the class.
    pub(crate) fn reason(&self, cause: Cause) -> String {
        if self.note.is_empty() { words::cause(cause) } else { self.note.clone() }
    }
    /// A start whose time is over leaves word of what it had waited for.
    pub(crate) fn note_late(&mut self) {
        let late = matches!(self.machine.state(), State::Stopping { cause: Some(Cause::StartTimeout), .. });
        if let Some(waits) = self.run.as_mut().filter(|_| late).and_then(|r| r.waits.take()) {
            self.note = format!("{}: {waits}", words::cause(Cause::StartTimeout));
        }
    }
    /// Remembers an end.
    pub(crate) fn push_exit(&mut self, row: ExitRow) {
        self.durable.exits.insert(0, row);
        self.durable.exits.truncate(KEEP_EXITS);
    }
}

impl Fleet {
    pub(crate) fn get(&self, name: &str) -> Option<&Container> {
        self.all.get(name)
    }
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Container> {
        self.all.get_mut(name)
    }
    /// The earliest timer of all.
    pub(crate) fn deadline(&self) -> Option<Tick> {
        self.all.values().filter_map(|c| c.machine.timer()).min()
    }
    /// Whose timers are due.
    pub(crate) fn due(&self, now: Tick) -> Vec<String> {
        let due = self.all.iter().filter(|(_, c)| c.machine.timer().is_some_and(|t| t <= now));
        due.map(|(n, _)| n.clone()).collect()
    }
    /// Nothing runs and nothing is on its way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.all.values().all(|c| c.machine.is_at_rest())
    }
}
