//! survive: what one supervisor leaves to the next: lives are written down at each change, and taken up again.
use super::fleet::{Container, Missing, Run};
use super::{Daemon, Source, now};
use crate::apply::{self, Cause, Host, RealHost, Undo};
use crate::control::protocol::{ExitRow, words};
use crate::ledger::{self, LedgerError, Life, Process, Running};
use crate::load::unit_name;
use crate::plan::{self, Group, Plan, Step, Tree};
use crate::spec::{Init, Spec};
use crate::{observe, paths::Paths};
use slog::{info, warn};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use units::machine::{Event, Exit, Intent, Machine, Policy, State, Wanted};
use units::schema::ExecPhase;
use units::values::Tick;

/// What could not be written is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// Containers whose state the disk or `/run` had no room for.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    names: BTreeSet<String>,
    pub(crate) next: Option<Tick>,
}

/// Writes down who is let go before it is: whatever runs is known by its pid.
struct Witness<'a> {
    host: &'a mut RealHost,
    path: std::path::PathBuf,
    life: Life,
    failed: Option<LedgerError>,
}

impl Host for Witness<'_> {
    fn apply(&mut self, step: &Step) -> Result<Undo, Cause> {
        if let (Step::Go, Some(pid), Some(run)) = (step, self.host.cloned(), &mut self.life.run) {
            let start_time = observe::start_time(pid).unwrap_or(0);
            run.process = Some(Process { pid, start_time, executed: false });
            self.failed = ledger::write_in_memory(&self.path, &self.life).err();
        }
        self.host.apply(step)
    }
    fn undo(&mut self, undo: Undo) {
        self.host.undo(undo);
    }
}

impl Daemon {
    /// Runs a start plan: its intent is written down before its first step, its child before that is let go.
    pub(super) fn carry_out_start(
        &mut self,
        name: &str,
        spec: &Spec,
        plan: &Plan,
    ) -> Result<Running, String> {
        self.end_strays(name, &spec.group);
        let running = Running {
            process: None,
            started: ct_init::clock::wall(),
            spec: spec.clone(),
            oom_before: observe::oom_kills(&self.facts.cgroups, spec),
        };
        let boot_id = self.facts.boot_id.clone();
        let c = self.fleet.get_mut(name).ok_or_else(|| format!("there is no container {name}"))?;
        c.intended = Some(running);
        let life = life(c, boot_id);
        self.keep(name);
        let path = self.paths.life_of(name);
        let mut witness = Witness { host: &mut self.host, path, life, failed: None };
        let done = apply::run(plan, &mut witness).map_err(|e| e.to_string());
        let (run, failed) = (witness.life.run, witness.failed);
        if let Some(e) = failed {
            self.complain("could not write the state down, going on in memory", &e);
        }
        if let Some(c) = self.fleet.get_mut(name) {
            c.intended = None;
        }
        done.and_then(|()| run.ok_or_else(|| "the start was not written down".to_owned()))
    }

    /// Writes down what has to outlive this process, where it has changed.
    pub(super) fn keep(&mut self, name: &str) {
        let boot_id = self.facts.boot_id.clone();
        let Some(c) = self.fleet.get_mut(name) else { return };
        let wanted_up = c.machine.wanted() == units::machine::Wanted::Up;
        // A shutdown is not what the container's owner wants of it: Autostart=last brings it back.
        let changed = c.durable.wanted_up != wanted_up && !self.leaving;
        if changed {
            c.durable.wanted_up = wanted_up;
            self.keep_durable(name);
        }
        let Some(c) = self.fleet.get_mut(name) else { return };
        let mark = (c.machine.keep(), c.process(), c.queued);
        let same_run = c.intended.is_none();
        if !same_run || c.written.as_ref() != Some(&mark) {
            let written = ledger::write_in_memory(&self.paths.life_of(name), &life(c, boot_id));
            c.written = written.is_ok().then_some(mark);
            if let Err(e) = written {
                self.unwritten(name, &e);
            }
        }
    }

    /// Writes down what it keeps over boots.
    pub(super) fn keep_durable(&mut self, name: &str) {
        let Some(c) = self.fleet.get(name) else { return };
        let path = self.paths.var_of(name).join("state.json");
        if path.parent().is_some_and(std::path::Path::is_dir)
            && let Err(e) = ledger::write(&path, &c.durable)
        {
            self.unwritten(name, &e);
        }
    }

    /// Said once for each container, and tried again until it can be written.
    fn unwritten(&mut self, name: &str, error: &LedgerError) {
        if self.unwritten.names.insert(name.to_owned()) {
            self.complain("could not write the state down, going on in memory", error);
        }
        self.unwritten.next = Some(now().after(AGAIN));
    }

    /// The next try, if it is time for one.
    pub(super) fn write_again(&mut self, now: Tick) {
        if self.unwritten.next.is_none_or(|at| at > now) {
            return;
        }
        self.unwritten.next = None;
        for name in self.unwritten.names.clone() {
            self.keep(&name);
            self.keep_durable(&name);
        }
        if self.unwritten.next.is_none() {
            info!(self.log, "the state is written down again"; "containers" => self.unwritten.names.len());
            self.unwritten.names.clear();
        }
    }

    /// A container is no more, and so is what was known of it.
    pub(super) fn forget(&self, name: &str) {
        let _ = std::fs::remove_file(self.paths.life_of(name));
    }

    /// After a shutdown the next supervisor begins as after a boot.
    pub(super) fn forget_all(&self) {
        lives(&self.paths).iter().for_each(|name| self.forget(name));
    }

    /// Takes up the lives that an earlier supervisor has left.
    pub(crate) fn adopt(&mut self) {
        self.refresh();
        for name in lives(&self.paths) {
            match ledger::read::<Life>(&self.paths.life_of(&name)) {
                Ok(Some(life)) => self.resume(&name, life),
                Ok(None) => {}
                Err(e) => {
                    self.complain("could not read a container's life", &e);
                    self.begin_anew(&name);
                }
            }
        }
        self.queue_again();
        // What the earlier supervisor of this boot had no room for. Of an earlier boot, what is durable is all there is.
        let differs = |c: &Container| c.resumed && c.durable.wanted_up != (c.machine.wanted() == Wanted::Up);
        let names: Vec<String> =
            self.fleet.all.iter().filter(|(_, c)| differs(c)).map(|(n, _)| n.clone()).collect();
        names.iter().for_each(|name| self.keep(name));
    }

    /// What was asked of the earlier supervisor and had not had its turn.
    fn queue_again(&mut self) {
        let of = |wanted| {
            let all = self.fleet.all.iter().filter(move |(_, c)| c.queued == Some(wanted));
            all.map(|(n, _)| unit_name(n)).collect::<Vec<_>>()
        };
        let (starts, stops) = (of(Wanted::Up), of(Wanted::Down));
        let refused = if starts.is_empty() { Vec::new() } else { self.start_all(&starts) };
        refused.iter().for_each(|(unit, why)| self.warn("not started", unit.stem(), why));
        if !stops.is_empty() {
            self.stop_all(&stops);
        }
    }

    /// Its life can't be read: what may run of it is nobody's, and it starts again where that was wanted.
    fn begin_anew(&mut self, name: &str) {
        let group = format!("{}/{name}", self.cgroup_parent);
        self.end_strays(name, &group);
        self.know(name);
        if self.fleet.get(name).is_some_and(|c| c.durable.wanted_up) {
            let refused = self.start_all(&[unit_name(name)]);
            refused.iter().for_each(|(_, why)| self.warn("not started again", name, why));
        }
    }

    /// Ends what runs in the group of a container of which nothing is known to run: it is never there twice.
    fn end_strays(&mut self, name: &str, group: &str) {
        if !observe::populated(&self.facts.cgroups, group) {
            return;
        }
        warn!(self.log, "something of an unknown life still ran, ended it"; "ct" => name);
        let group = Group { tree: Tree::Unified, path: group.to_owned() };
        let failed = apply::kill_each(&self.facts.cgroups, &group);
        failed.iter().for_each(|e| self.warn("could not end what still ran", name, e));
    }

    fn resume(&mut self, name: &str, life: Life) {
        if life.run.is_none() && self.fleet.get(name).is_none() {
            return self.forget(name);
        }
        self.know(name);
        let mut policy = self.policy_of(name);
        if let Some(run) = &life.run {
            policy = Policy { watchdog: run.spec.watchdog, ..policy };
        }
        let Some(c) = self.fleet.get_mut(name) else { return };
        if life.boot_id != self.facts.boot_id {
            return self.past(name, life.run);
        }
        let last = |exits: &[ExitRow]| exits.first().map(|row| row.at);
        if last(&life.exits) > last(&c.durable.exits) {
            c.durable.exits = life.exits;
        }
        let (machine, intents) = Machine::restore(policy, life.machine, now());
        c.machine = machine;
        c.resumed = true;
        c.queued = life.queued;
        intents.into_iter().for_each(|i| self.carry_out(name, i));
        match life.run.map(|run| (run.process, run)) {
            None => {}
            Some((None, run)) => {
                self.remove_leftovers(name, &run.spec);
                self.start_over(name);
            }
            Some((Some(process), run)) => match alive(process) {
                Some(pidfd) => self.take_up(name, process, pidfd, run),
                None => self.ended_meanwhile(name, run),
            },
        }
    }

    /// Of another boot: it went down with the host, which is a fact, and never a success.
    fn past(&mut self, name: &str, run: Option<Running>) {
        let Some(run) = run else { return self.forget(name) };
        self.remove_leftovers(name, &run.spec);
        if let Some(c) = self.fleet.get_mut(name) {
            let (at, cause) = (ct_init::clock::wall(), words::exit(Exit::Unknown));
            c.push_exit(ExitRow { at, cause, lasted: 0, then: "the host went down".into() });
        }
        self.keep_durable(name);
        // Not kept as a life of this boot: it is down now, and that is not what its owner wants of it.
        self.forget(name);
    }

    /// It runs.
    fn take_up(&mut self, name: &str, process: Process, pidfd: std::os::fd::OwnedFd, running: Running) {
        let Ok(ended) = self.sources.add(&pidfd, Source::Ended(name.to_owned())) else { return };
        let Some(c) = self.fleet.get_mut(name) else { return };
        let ct_init = running.spec.init == Init::CtInit;
        let ago = ct_init::clock::wall().saturating_sub(running.started);
        c.run = Some(Run {
            oom_before: running.oom_before,
            frozen: observe::frozen(&self.facts.cgroups, &running.spec),
            spec: running.spec,
            pid: process.pid,
            start_time: process.start_time,
            executed: process.executed,
            pidfd,
            ended,
            launch: None,
            started: Tick(now().0.saturating_sub(ago)),
            started_wall: running.started,
            waits: None,
            words: None,
            leave: None,
            units: BTreeMap::new(),
        });
        let state = c.machine.state().clone();
        info!(self.log, "adopted"; "ct" => name, "pid" => process.pid);
        if matches!(state, State::Starting { main: false, .. }) {
            self.step(name, Event::Forked(ExecPhase::Start));
        }
        if ct_init {
            // What it says of itself tells how far it is.
            if let Err(e) = self.connect(name) {
                self.warn("adopted without its ct-init", name, &e);
            }
        } else if matches!(state, State::Starting { .. }) {
            self.step(name, Event::Executed(ExecPhase::Start));
            self.step(name, Event::Ready);
        }
    }

    /// It ended while no supervisor was there to see.
    fn ended_meanwhile(&mut self, name: &str, run: Running) {
        let oom = observe::oom_kills(&self.facts.cgroups, &run.spec) > run.oom_before;
        self.remove_leftovers(name, &run.spec);
        let Some(c) = self.fleet.get_mut(name) else { return };
        if c.remembers(&run) && !c.machine.main() && !matches!(c.machine.state(), State::Starting { .. }) {
            // How it ended was written down before; what follows from it is left to do.
            return self.step(name, Event::Empty);
        }
        c.missing = Some(Missing { until: now(), gone: Some((run, oom)) });
        self.await_exit(name);
    }

    /// A start that was cut off goes on from its beginning: it has not happened, so nothing counts it.
    pub(super) fn start_over(&mut self, name: &str) {
        self.release(name);
        self.carry_out(name, Intent::Run(ExecPhase::Start));
        self.drain();
    }

    pub(super) fn remove_leftovers(&mut self, name: &str, spec: &Spec) {
        self.carry_steps(name, plan::release(spec, &self.facts.cgroups, &self.paths));
    }
}

fn alive(process: Process) -> Option<std::os::fd::OwnedFd> {
    let pidfd = ct_sys::proc::pidfd_open(process.pid).ok()?;
    // Asked while we hold it: this is the one that the pidfd is about.
    (observe::start_time(process.pid) == Some(process.start_time)).then_some(pidfd)
}

fn life(c: &Container, boot_id: String) -> Life {
    let (machine, exits, queued) = (c.machine.keep(), c.durable.exits.clone(), c.queued);
    Life { boot_id, machine, exits, queued, run: c.running() }
}

/// Whose lives are written down.
fn lives(paths: &Paths) -> Vec<String> {
    let entries = std::fs::read_dir(paths.lives()).into_iter().flatten().flatten();
    let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
    names.filter_map(|n| n.strip_suffix(".json").map(str::to_owned)).collect()
}
