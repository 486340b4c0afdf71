//! fleet: the containers that are known, each with its life and, while it runs, its process. Does no I/O.
use super::{Source, now};
use crate::apply::Launch;
use crate::control::protocol::{ContainerState, ExitRow, FaultKind, words};
use crate::ledger::{Durable, Process, Running};
use crate::spec::Spec;
use crate::state;
use ct_init::proto::{Leave, UnitStatus};
use ct_sys::script::Script;
use mio::Token;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use units::machine::{Cause, Kept, Machine, State, Wanted};
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
    /// What it has asked of the host, as a sentence; empty: nothing.
    pub(crate) asked: String,
    /// Which kind of failure that was, for whoever asked for the start.
    pub(crate) kind: FaultKind,
    /// How often a group of it could not be removed; its next ones have this number in their name.
    pub(crate) generation: u32,
    /// Starts in a row that met processes in its groups.
    pub(crate) blocked: u32,
    /// Its PID 1 has ended as another's child, and it is not known yet how.
    pub(crate) missing: Option<Missing>,
    /// What a start is about to make; written down before anything of it is there.
    pub(crate) intended: Option<Running>,
    /// A start or stop that was asked for and waits for its turn.
    pub(crate) queued: Option<Wanted>,
    /// What was written down last.
    pub(crate) written: Option<Mark>,
    /// Its life of this boot was read: it is not started merely because the supervisor is.
    pub(crate) resumed: bool,
}

/// By what it is seen that a life has to be written down again.
pub(crate) type Mark = (Kept, Option<Process>, Option<Wanted>);

/// An end that somebody else saw, or nobody.
#[derive(Debug)]
pub(crate) struct Missing {
    /// Then it counts as unknown.
    pub(crate) until: Tick,
    /// It ended before this supervisor came, so there is no [`Run`]; and whether the kernel killed for memory.
    pub(crate) gone: Option<(Running, bool)>,
}

/// What is there while a container runs.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) spec: Spec,
    pub(crate) pid: u32,
    pub(crate) start_time: u64,
    /// Whether it is known to have come to its exec.
    pub(crate) executed: bool,
    pub(crate) pidfd: OwnedFd,
    pub(crate) ended: Token,
    /// Until exec has succeeded.
    pub(crate) launch: Option<Launching>,
    pub(crate) started: Tick,
    /// Microseconds since 1970.
    pub(crate) started_wall: u64,
    /// What keeps it from being ready, in ct-init's words.
    pub(crate) waits: Option<String>,
    /// What PID 1 has said on stdout and stderr; none for one that was taken up.
    pub(crate) words: Option<OwnedFd>,
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
    ) -> std::io::Result<(Launching, OwnedFd, OwnedFd)> {
        let token = sources.add(&launch.spawned.errors, Source::Launch(name.to_owned()))?;
        let errors = launch.spawned.errors;
        let launching = Launching { errors, token, script: launch.script, _go: launch.go };
        Ok((launching, launch.spawned.pidfd, launch.words))
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
            asked: String::new(),
            kind: FaultKind::Failed,
            generation: 0,
            blocked: 0,
            missing: None,
            intended: None,
            queued: None,
            written: None,
            resumed: false,
        }
    }
    /// What of it is, or may be, on this machine.
    pub(crate) fn running(&self) -> Option<Running> {
        let run = self.run.as_ref().map(|r| Running {
            process: Some(Process { pid: r.pid, start_time: r.start_time, executed: r.executed }),
            started: r.started_wall,
            spec: r.spec.clone(),
            oom_before: r.oom_before,
        });
        run.or_else(|| self.gone().cloned()).or_else(|| self.intended.clone())
    }
    fn gone(&self) -> Option<&Running> {
        self.missing.as_ref()?.gone.as_ref().map(|(running, _)| running)
    }
    /// Its PID 1, if there is one or was one whose end is still to come out.
    pub(crate) fn process(&self) -> Option<Process> {
        let run = self.run.as_ref();
        let run = run.map(|r| Process { pid: r.pid, start_time: r.start_time, executed: r.executed });
        run.or_else(|| self.gone()?.process).or_else(|| self.intended.as_ref()?.process)
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
    /// Whether the end of this run is remembered already.
    pub(crate) fn remembers(&self, run: &Running) -> bool {
        self.durable.exits.first().is_some_and(|row| row.at >= run.started)
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
    /// Whose PID 1 this is or was.
    pub(crate) fn by_process(&self, pid: u32, start_time: u64) -> Option<String> {
        let own = |c: &Container| c.process().is_some_and(|p| p.pid == pid && p.start_time == start_time);
        self.all.iter().find(|(_, c)| own(c)).map(|(n, _)| n.clone())
    }
    /// When the first end that is missing counts as unknown.
    pub(crate) fn next_unknown(&self) -> Option<Tick> {
        self.all.values().filter_map(|c| c.missing.as_ref()).map(|m| m.until).min()
    }
    /// Whose timers are due.
    pub(crate) fn due(&self, now: Tick) -> Vec<String> {
        let due = self.all.iter().filter(|(_, c)| c.machine.timer().is_some_and(|t| t <= now));
        due.map(|(n, _)| n.clone()).collect()
    }
    /// Nothing runs and nothing is on its way.
    pub(crate) fn is_quiet(&self) -> bool {
        // What is stuck can't be waited for.
        let over = |c: &Container| c.machine.is_at_rest() || matches!(c.machine.state(), State::Stuck { .. });
        self.all.values().all(over)
    }
}
