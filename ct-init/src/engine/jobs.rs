//! jobs: what is to be started and stopped, in which order, and who waits for it. Never starts out of order.
use super::unit::{Aim, Id, Run, Slot, Waiter, bounded};
use super::{Engine, Want};
use crate::host::Level;
use crate::proto::{Leave, Report, Verb};
use slog::{error, info, warn};
use std::collections::BTreeSet;
use std::rc::Rc;
use units::UnitName;
use units::graph::{Absent, Ended, Graph, Job, Scheduler, Transaction};
use units::machine::{Cause, Event, Machine, State};
use units::schema::{Body, ExecPhase};

/// No notice is longer, in bytes.
const MAX_NOTICE: usize = 4096;
/// So many names of failed units fit in a packet, however long they are.
const MAX_FAILED: usize = 200;

impl Engine {
    /// Loads units with all that they pull in, and makes the graph of everything again.
    pub fn load(&mut self, names: &[UnitName]) {
        let known: BTreeSet<UnitName> = self.ids.keys().cloned().collect();
        if names.iter().all(|n| known.contains(n)) {
            return;
        }
        let haul = self.loader.load(names, &known);
        for notice in haul.notices {
            info!(self.log, "unit file"; "notice" => &notice);
            self.wants.push_back(Want::TellAll(Report::Notice(bounded(&notice, MAX_NOTICE))));
        }
        if !haul.foreign.is_empty() {
            let names = haul.foreign.iter().map(UnitName::as_str).collect::<Vec<_>>().join(" ");
            info!(self.log, "goes without units that have no place here"; "units" => names);
        }
        for unit in haul.units {
            let id = Id(self.slots.len());
            let policy = super::keep::policy_of(&unit, &self.handover.name);
            self.unwritten = true;
            self.ids.insert(unit.name.clone(), id);
            self.slots.push(Slot {
                unit: Rc::new(unit),
                machine: Machine::new(policy),
                since: crate::clock::now(),
                note: String::new(),
                run: Run::default(),
                waiters: Vec::new(),
                monitor: None,
                reported: None,
            });
        }
        for (alias, name) in haul.aliases {
            if let Some(id) = self.find(&name) {
                self.ids.insert(alias, id);
            }
        }
        self.absent.extend(haul.absent);
        // A name that was missing the last time may have got its file since.
        self.absent.retain(|name, _| !self.ids.contains_key(name));
        self.graph = None;
    }

    pub(super) fn make_graph(&self) -> Graph {
        let mut graph = Graph::build(self.slots.iter().map(|s| s.unit.as_ref()), []);
        for (name, why) in &self.absent {
            graph.set_absent(name.clone(), why.clone());
        }
        graph
    }

    /// The name a unit has in the graph.
    fn real_name(&self, name: &UnitName) -> UnitName {
        self.find(name).and_then(|id| self.slot(id)).map_or_else(|| name.clone(), |s| s.unit.name.clone())
    }

    /// Queues what it takes to start these. The answer is about the asked-for units only.
    pub fn start(&mut self, names: &[UnitName]) -> Result<(), String> {
        if self.leaving.is_some() {
            return Err("the container is stopping".to_owned());
        }
        self.load(names);
        let names: Vec<UnitName> = names.iter().map(|n| self.real_name(n)).collect();
        let up = self.up();
        let transaction = self.ask(|graph| graph.transaction(&names, &up));
        for warning in &transaction.warnings {
            warn!(self.log, "start"; "what" => %warning);
        }
        self.schedule(&transaction);
        match transaction.refused.first() {
            Some((name, why)) => Err(format!("{name}: {why}")),
            None => Ok(()),
        }
    }

    /// Units that are up, or on their way there.
    fn up(&self) -> BTreeSet<UnitName> {
        let is_up = |s: &&Slot| match s.machine.state() {
            State::Starting { .. } | State::Up { .. } | State::Exited { .. } | State::Reloading { .. } => {
                true
            }
            State::Down(_)
            | State::Failed(_)
            | State::Waiting { .. }
            | State::Stopping { .. }
            | State::Stuck { .. } => false,
        };
        self.slots.iter().filter(is_up).map(|s| s.unit.name.clone()).collect()
    }

    fn active(&self) -> Vec<UnitName> {
        let active = self.slots.iter().filter(|s| !s.machine.is_at_rest());
        active.map(|s| s.unit.name.clone()).collect()
    }

    /// Queues the stop of these and of all that can't be without them, in reverse order.
    fn stop(&mut self, names: &[UnitName]) {
        let active: BTreeSet<UnitName> = self.active().into_iter().collect();
        let stop: Vec<UnitName> =
            self.ask(|graph| graph.stop_set(names)).into_iter().filter(|n| active.contains(n)).collect();
        let order = self.ask(|graph| graph.stop_pairs(&stop.iter().cloned().collect()));
        let transaction = Transaction { stop, order, ..Transaction::default() };
        self.schedule(&transaction);
    }

    /// Begins what may begin. Whether there was anything.
    pub(super) fn pump(&mut self) -> bool {
        let jobs = self.scheduler.ready();
        let any = !jobs.is_empty();
        for job in jobs {
            match job {
                Job::Start(name) => self.start_job(&name),
                Job::Stop(name) => match self.find(&name) {
                    Some(id) if self.slot(id).is_some_and(|s| !s.machine.is_at_rest()) => {
                        self.push(id, Event::Stop);
                    }
                    Some(_) | None => self.scheduler.ended(&name, Ended::Done),
                },
                Job::Refuse(name, because) => {
                    warn!(self.log, "not started"; "unit" => %name, "because of" => %because);
                    if let Some(id) = self.find(&name) {
                        self.push(id, Event::Refuse(Cause::Dependency));
                        self.note(id, format!("{because} did not come up"));
                    }
                }
            }
        }
        any
    }

    fn start_job(&mut self, name: &UnitName) {
        let Some(id) = self.find(name) else {
            self.scheduler.ended(name, Ended::Failed);
            return;
        };
        let Some(slot) = self.slot(id) else { return };
        if slot.machine.ignores(Event::Start).is_some() && slot.machine.is_up() {
            self.scheduler.ended(name, Ended::Done);
            return;
        }
        // A unit that runs nothing has no first phase at which its conditions are looked at.
        if slot.machine.policy().is_passive()
            && let Some(unmet) = self.unmet(id)
        {
            self.push(id, unmet);
            self.scheduler.ended(name, if unmet == Event::Skip { Ended::Done } else { Ended::Failed });
            return;
        }
        if let Err(why) = self.open_sockets(id) {
            warn!(self.log, "can't listen"; "unit" => %name, "why" => &why);
            self.push(id, Event::Refuse(Cause::Setup(ExecPhase::Start)));
            self.note(id, why);
            self.scheduler.ended(name, Ended::Failed);
            return;
        }
        self.push(id, Event::Start);
    }

    /// The first transaction is over: the default target is reached, as far as it can be.
    pub(super) fn notice_boot(&mut self) {
        if !self.begun || self.booted || self.leaving.is_some() || !self.scheduler.is_done() {
            return;
        }
        self.booted = true;
        self.target_reached();
    }

    /// The names of units that have failed; of very many, the first.
    pub fn failed(&self) -> Vec<String> {
        let failed = self.slots.iter().filter(|s| matches!(s.machine.state(), State::Failed(_)));
        let names = failed.map(|s| s.unit.name.to_string());
        self.no_default.iter().cloned().chain(names).take(MAX_FAILED).collect()
    }

    /// Brings up the unit that the host has named, once the generators have ended.
    pub fn boot(&mut self) {
        self.begin_vigil();
        if !self.generate() {
            self.boot_units();
        }
    }

    pub(super) fn boot_units(&mut self) {
        self.begun = true;
        let wanted = self.handover.unit.clone();
        let started = match UnitName::parse_short(&wanted, "target") {
            Ok(name) => self.start(&[name]),
            Err(e) => Err(format!("{wanted}: {e}")),
        };
        if let Err(why) = started {
            error!(self.log, "can't start the default unit"; "why" => why);
            self.no_default = Some(wanted);
            if self.level == Level::Host {
                return self.isolate("emergency.target");
            }
        }
        self.settle();
    }

    /// Stops everything, to leave afterwards.
    pub fn leave(&mut self, why: Leave) {
        if self.leaving.is_some() {
            return;
        }
        info!(self.log, "stops all units"; "why" => ?why);
        self.leaving = Some(why);
        self.end_vigil();
        self.scheduler = Scheduler::default();
        // Starts that still wait are over; whoever waits for them is told when the unit is down.
        let all = self.active();
        self.stop(&all);
        self.settle();
    }

    /// Brings up this unit with all it needs, and stops everything else; what the early boot has done stays done.
    /// Whatever was about to start does not.
    pub fn isolate(&mut self, unit: &str) {
        if self.leaving.is_some() {
            return;
        }
        let Ok(name) = UnitName::parse(unit) else { return };
        info!(self.log, "goes to"; "unit" => unit);
        self.load(std::slice::from_ref(&name));
        let real = self.real_name(&name);
        let needed: BTreeSet<UnitName> =
            self.ask(|graph| graph.transaction(&[real], &BTreeSet::new())).start.into_iter().collect();
        let stays = |engine: &Engine, name: &UnitName| {
            let unit = engine.find(name).and_then(|id| engine.slot(id)).map(|s| &s.unit);
            needed.contains(name) || unit.is_some_and(|u| u.is_early_work())
        };
        let others: Vec<UnitName> = self.active().into_iter().filter(|n| !stays(self, n)).collect();
        self.scheduler = Scheduler::default();
        self.stop(&others);
        if let Err(why) = self.start(&[name]) {
            error!(self.log, "can't go there"; "unit" => unit, "why" => why);
        }
        self.settle();
    }

    /// Why it leaves, once nothing runs any more.
    pub fn has_stopped(&self) -> Option<Leave> {
        // What not even SIGKILL ends (or may end) is the kernel's to end, with PID 1.
        let over = |s: &Slot| s.machine.is_at_rest() || matches!(s.machine.state(), State::Stuck { .. });
        self.leaving.filter(|_| self.slots.iter().all(over))
    }

    /// Why it is on its way out, if it is.
    pub fn leaving(&self) -> Option<Leave> {
        self.leaving
    }

    /// A person's request. The answer comes now, or when the unit has got there.
    pub fn request(&mut self, link: usize, tag: u32, unit: &str, verb: Verb) {
        if verb == Verb::DaemonReload {
            self.read_again(None, Some((link, tag)));
            return self.settle();
        }
        let done = match UnitName::parse_short(unit, "service") {
            Ok(name) => self.act(link, tag, &name, verb),
            Err(e) => Some(Err(format!("{unit:?}: {e}"))),
        };
        if let Some(result) = done {
            self.wants.push_back(Want::Tell(link, Report::Done { tag, result }));
        }
        self.settle();
    }

    fn act(&mut self, link: usize, tag: u32, name: &UnitName, verb: Verb) -> Option<Result<(), String>> {
        match verb {
            Verb::DaemonReload => return None,
            Verb::Enable | Verb::Disable => {
                return Some(crate::load::install::apply(&self.loader, name, verb == Verb::Enable));
            }
            Verb::Start | Verb::Stop | Verb::Restart | Verb::Reload | Verb::Kill(_) | Verb::ResetFailed => (),
        }
        self.load(std::slice::from_ref(name));
        let Some(id) = self.find(name) else {
            let why = self.absent.get(name).map_or("no such unit", absent_words);
            return Some(Err(format!("{name}: {why}")));
        };
        let wait = |engine: &mut Engine, aim| {
            if let Some(slot) = engine.slot_mut(id) {
                slot.waiters.push(Waiter { link, tag, aim });
            }
            None
        };
        let slot = self.slot(id)?;
        let (is_up, at_rest) = (slot.machine.is_up(), slot.machine.is_at_rest());
        match verb {
            Verb::Start if is_up => Some(Ok(())),
            Verb::Start => match self.start(std::slice::from_ref(name)) {
                Ok(()) => wait(self, Aim::Start),
                Err(why) => Some(Err(why)),
            },
            Verb::Stop if at_rest => Some(Ok(())),
            Verb::Stop => {
                let name = self.real_name(name);
                self.stop(&[name]);
                wait(self, Aim::Stop)
            }
            Verb::Restart if at_rest => match self.start(std::slice::from_ref(name)) {
                Ok(()) => wait(self, Aim::Start),
                Err(why) => Some(Err(why)),
            },
            Verb::Restart => {
                let name = self.real_name(name);
                for other in self.ask(|graph| graph.restart_set(&name)).iter().filter(|n| **n != name) {
                    if let Some(other) =
                        self.find(other).filter(|o| self.slot(*o).is_some_and(|s| s.machine.is_up()))
                    {
                        self.push(other, Event::Restart);
                    }
                }
                self.push(id, Event::Restart);
                wait(self, Aim::Restart)
            }
            Verb::Reload => self.reload(id, &self.real_name(name)).or_else(|| wait(self, Aim::Reload)),
            Verb::Kill(signal) => {
                self.signal_all(id, signal);
                Some(Ok(()))
            }
            Verb::ResetFailed => {
                self.push(id, Event::ResetFailed);
                Some(Ok(()))
            }
            Verb::Enable | Verb::Disable | Verb::DaemonReload => None,
        }
    }

    fn reload(&mut self, id: Id, name: &UnitName) -> Option<Result<(), String>> {
        let slot = self.slot(id)?;
        if !slot.machine.is_up() {
            return Some(Err(format!("{name} is not running")));
        }
        if !slot.machine.policy().has_reload {
            return Some(Err(format!("{name} has no ExecReload=")));
        }
        for other in self.ask(|graph| graph.reload_set(name)) {
            if let Some(other) = self.find(&other) {
                self.push(other, Event::Reload);
            }
        }
        None
    }

    /// Reads all unit files again. Units that run keep running; their lives follow the new files from now on.
    pub(super) fn daemon_reload(&mut self) -> Result<(), String> {
        self.absent.clear();
        self.unwritten = true;
        self.loader = crate::load::Loader::new(&self.root, self.level);
        let names: Vec<UnitName> = self.slots.iter().map(|s| s.unit.name.clone()).collect();
        let haul = self.loader.load(&names, &BTreeSet::new());
        for notice in haul.notices {
            self.wants.push_back(Want::TellAll(Report::Notice(bounded(&notice, MAX_NOTICE))));
        }
        for unit in haul.units {
            let policy = super::keep::policy_of(&unit, &self.handover.name);
            let Some(slot) = self.find(&unit.name).and_then(|id| self.slot_mut(id)) else { continue };
            if matches!(unit.body, Body::Service(_)) {
                slot.machine.set_policy(policy);
            }
            slot.unit = Rc::new(unit);
        }
        self.absent.extend(haul.absent);
        self.forget_unused();
        self.graph = None;
        info!(self.log, "has read all unit files again");
        Ok(())
    }

    /// Units at rest without a file any more are not shown or started again.
    fn forget_unused(&mut self) {
        let gone: Vec<UnitName> = self.absent.keys().filter(|n| self.ids.contains_key(*n)).cloned().collect();
        for name in gone {
            if self.find(&name).and_then(|id| self.slot(id)).is_some_and(|s| s.machine.is_at_rest()) {
                self.ids.remove(&name);
            }
        }
    }
}

fn absent_words(why: &Absent) -> &str {
    match why {
        Absent::Missing => "no such unit",
        Absent::Masked => "it is masked",
        Absent::Broken(why) => why,
    }
}
