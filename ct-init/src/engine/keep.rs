//! keep: the engine as plain data, for this program executed anew, and the way back. Does nothing to any process.
use super::generators::Running;
use super::sockets::Listening;
use super::timers::Waiting;
use super::unit::{Id, Nascent, PhaseRun, Run, Script, Slot, Waiter};
use super::vigil::KeptVigil;
use super::vitals::Vital;
use super::{Engine, Owner, Want};
use crate::cgroup::Tree;
use crate::environment::Monitor;
use crate::output::pipe::{KeptPipe, Pipe};
use crate::proto::Leave;
use crate::resume::fds::{Arrived, Fd, Kept};
use ct_sys::proc::{Which, wait};
use serde::{Deserialize, Serialize};
use slog::warn;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use units::UnitName;
use units::graph::{Absent, Scheduler};
use units::machine::{Exit, Frozen, Machine, Policy, State, seed};
use units::schema::{Body, KillMode, Unit};
use units::values::Tick;

/// All of an engine but what the unit files say.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptEngine {
    tree: Option<(PathBuf, Vec<String>)>,
    slots: Vec<KeptSlot>,
    ids: Vec<(UnitName, Id)>,
    absent: Vec<(UnitName, Absent)>,
    scheduler: Scheduler,
    owners: Vec<(i32, Owner)>,
    nascent: Vec<(i32, Fd, u32)>,
    generating: Running,
    begun_at: Tick,
    vigil: KeptVigil,
    vitals: BTreeMap<Id, Vital>,
    begun: bool,
    no_default: Option<String>,
    booted: bool,
    leaving: Option<Leave>,
}

/// A unit.
#[derive(Debug, Serialize, Deserialize)]
struct KeptSlot {
    name: UnitName,
    machine: Frozen,
    since: Tick,
    note: String,
    waiters: Vec<Waiter>,
    monitor: Option<Monitor>,
    run: KeptRun,
}

/// What it has in the kernel.
#[derive(Debug, Serialize, Deserialize)]
struct KeptRun {
    /// Whether there is a group, and whether it was killed at once.
    group: Option<bool>,
    pipe: Option<KeptPipe>,
    main: Option<i32>,
    main_ignores_failure: bool,
    control: Option<i32>,
    phase: Option<PhaseRun>,
    sessions: Vec<i32>,
    invocation: String,
    fresh: bool,
    oom_before: u64,
    private_tmp: Option<String>,
    sockets: Vec<Fd>,
    triggers: (Tick, u32),
    waiting: Option<Waiting>,
    pid_file: Option<(Tick, u32)>,
    idle_until: Option<Tick>,
}

impl KeptEngine {
    /// The units there are, in order.
    pub fn names(&self) -> Vec<UnitName> {
        self.slots.iter().map(|s| s.name.clone()).collect()
    }
}

impl Engine {
    /// As it is now. Events that wait are not part of it: there are none between two turns.
    pub fn keep(&self, fds: &mut Kept) -> KeptEngine {
        KeptEngine {
            tree: self.tree.as_ref().map(Tree::keep),
            slots: self.slots.iter().map(|s| keep_slot(s, fds)).collect(),
            ids: self.ids.iter().map(|(name, id)| (name.clone(), *id)).collect(),
            absent: self.absent.iter().map(|(name, why)| (name.clone(), why.clone())).collect(),
            scheduler: self.scheduler.clone(),
            owners: self.owners.iter().map(|(pid, owner)| (*pid, *owner)).collect(),
            nascent: self.nascent.values().map(|n| (n.pid, fds.add(&n.errors), n.script.len())).collect(),
            generating: self.generating.clone(),
            begun_at: self.begun_at,
            vigil: self.vigil.keep(fds),
            vitals: self.vitals.clone(),
            begun: self.begun,
            no_default: self.no_default.clone(),
            booted: self.booted,
            leaving: self.leaving,
        }
    }

    /// What the unit files say, as it was read.
    pub fn units(&self) -> Vec<&Unit> {
        self.slots.iter().map(|s| s.unit.as_ref()).collect()
    }

    /// Takes up what was kept. Asks the loop to listen to all of it.
    pub fn take_up(&mut self, kept: KeptEngine, units: Vec<Unit>, fds: &mut Arrived) {
        self.tree = kept.tree.map(|(top, controllers)| Tree::again(top, controllers));
        self.slots.clear();
        for (slot, unit) in kept.slots.into_iter().zip(units) {
            let id = Id(self.slots.len());
            let slot = self.take_up_slot(slot, unit, fds);
            self.slots.push(slot);
            self.wants.extend([Want::Output(id), Want::Group(id)]);
        }
        let count = self.slots.len();
        self.ids = kept.ids.into_iter().filter(|(_, id)| id.0 < count).collect();
        self.absent = kept.absent.into_iter().collect();
        self.scheduler = kept.scheduler;
        self.owners = kept.owners.into_iter().collect();
        for (pid, errors, ops) in kept.nascent {
            if let Some(errors) = fds.take(errors) {
                self.nascent.insert(pid, Nascent { pid, errors, script: Script::Unknown(ops) });
                self.wants.push_back(Want::Errors(pid));
            }
        }
        self.generating = kept.generating;
        self.begun_at = kept.begun_at;
        self.begun = kept.begun;
        self.no_default = kept.no_default;
        self.booted = kept.booted;
        self.leaving = kept.leaving;
        self.vitals = kept.vitals;
        self.take_up_vigil(kept.vigil, fds);
        self.watch_sockets();
    }

    /// What the unit files say now, for a program that did not write what is kept. One whose file is gone, or can't be
    /// used any more, runs on without anything that a file says, and is stopped with SIGTERM and SIGKILL.
    pub fn read_units(&mut self, names: &[UnitName]) -> Vec<Unit> {
        let mut found: BTreeMap<UnitName, Unit> = self
            .loader
            .load(names, &BTreeSet::new())
            .units
            .into_iter()
            .map(|u| (u.name.clone(), u))
            .collect();
        let bare = |name: &UnitName| {
            warn!(self.log, "its file is gone or has mistakes"; "unit" => %name);
            crate::load::bare(name)
        };
        names.iter().map(|name| found.remove(name).unwrap_or_else(|| bare(name))).collect()
    }

    /// After all is taken up: what is gone although nobody saw it, and what is empty.
    pub fn look_again(&mut self) {
        let gone = |pid: &i32| {
            let is_child = u32::try_from(*pid).is_ok_and(|p| wait(Which::Pid(p), false).is_ok());
            !is_child && super::kill::stat(*pid).is_none()
        };
        let gone: Vec<i32> = self.owners.keys().copied().filter(gone).collect();
        for pid in gone {
            self.exited(pid, Exit::Unknown);
            self.settle();
        }
        for id in self.every_id() {
            if self.slot(id).is_some_and(|s| s.run.group.is_some() || !s.run.sessions.is_empty()) {
                self.check_empty(id);
            }
        }
        self.settle();
    }

    /// What a turn that was cut off has left where nothing is to be: a process that not even the diary knows.
    pub fn end_leftovers(&self) {
        let Some(tree) = &self.tree else { return };
        for slot in &self.slots {
            let rests =
                matches!(slot.machine.state(), State::Down(_) | State::Failed(_) | State::Waiting { .. });
            let ends_all = slot
                .service()
                .is_some_and(|s| matches!(s.kill_mode, KillMode::ControlGroup | KillMode::Mixed));
            if rests && ends_all {
                let left = tree.processes_of(slot.unit.name.as_str());
                left.into_iter().for_each(|pid| crate::reap::send(pid, 9));
            }
        }
    }

    /// A child of a turn that was cut off, with all of its session: what made it comes again.
    pub fn end_stray(&mut self, pid: i32) {
        if !self.owners.contains_key(&pid) {
            warn!(self.log, "ends a process that was begun before the crash"; "pid" => pid);
            super::kill::of_sessions(&[pid]).into_iter().for_each(|pid| crate::reap::send(pid, 9));
            crate::reap::send(pid, 9);
        }
    }

    fn take_up_slot(&self, kept: KeptSlot, unit: Unit, fds: &mut Arrived) -> Slot {
        let run = kept.run;
        let group = run.group.and_then(|spent| {
            let group = self.tree.as_ref()?.unit(unit.name.as_str()).ok()?;
            group.set_spent(spent);
            Some(group)
        });
        Slot {
            machine: Machine::thaw(policy_of(&unit, &self.handover.name), kept.machine),
            unit: Rc::new(unit),
            since: kept.since,
            note: kept.note,
            run: Run {
                group,
                pipe: run.pipe.and_then(|pipe| Pipe::again(pipe, fds)),
                main: run.main,
                main_ignores_failure: run.main_ignores_failure,
                control: run.control,
                phase: run.phase,
                sessions: run.sessions,
                invocation: run.invocation,
                fresh: run.fresh,
                oom_before: run.oom_before,
                private_tmp: run.private_tmp,
                // Looked up again where it is needed.
                identity: None,
                listening: Listening {
                    sockets: run.sockets.into_iter().filter_map(|fd| fds.take(fd)).collect(),
                    triggers: run.triggers,
                },
                waiting: run.waiting,
                pid_file: run.pid_file,
                idle_until: run.idle_until,
            },
            waiters: kept.waiters,
            monitor: kept.monitor,
            reported: None,
        }
    }
}

fn keep_slot(slot: &Slot, fds: &mut Kept) -> KeptSlot {
    let run = &slot.run;
    KeptSlot {
        name: slot.unit.name.clone(),
        machine: slot.machine.freeze(),
        since: slot.since,
        note: slot.note.clone(),
        waiters: slot.waiters.clone(),
        monitor: slot.monitor.clone(),
        run: KeptRun {
            group: run.group.as_ref().map(crate::cgroup::Group::is_spent),
            pipe: run.pipe.as_ref().map(|p| p.keep(fds)),
            main: run.main,
            main_ignores_failure: run.main_ignores_failure,
            control: run.control,
            phase: run.phase,
            sessions: run.sessions.clone(),
            invocation: run.invocation.clone(),
            fresh: run.fresh,
            oom_before: run.oom_before,
            private_tmp: run.private_tmp.clone(),
            sockets: run.listening.sockets.iter().map(|fd| fds.add(fd)).collect(),
            triggers: run.listening.triggers,
            waiting: run.waiting,
            pid_file: run.pid_file,
            idle_until: run.idle_until,
        },
    }
}

/// What a unit's machine lives by.
pub(super) fn policy_of(unit: &Unit, container: &str) -> Policy {
    match &unit.body {
        Body::Service(service) => {
            Policy { seed: seed(&[container, unit.name.as_str()]), ..Policy::of_service(service, &unit.unit) }
        }
        Body::Target | Body::Socket(_) | Body::Timer(_) | Body::Container(_) | Body::Passive => {
            Policy::passive()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Level;
    use crate::output::Store;
    use crate::proto::Handover;
    use crate::resume::book::{FORMAT, checksum};
    use crate::root::Root;
    use units::machine::Event;

    fn engine(dir: &std::path::Path) -> Engine {
        let units = dir.join("etc/systemd/system");
        std::fs::create_dir_all(&units).unwrap();
        let service = "[Service]\nType=notify\nExecStart=/bin/true\nRestart=always\nWatchdogSec=9s\n";
        std::fs::write(units.join("a.service"), service).unwrap();
        std::fs::write(units.join("t.timer"), "[Timer]\nOnBootSec=5s\nOnCalendar=daily\n").unwrap();
        let log = slog::Logger::root(slog::Discard, slog::o!());
        let mut engine =
            Engine::new(Root::new(dir), Level::Container, log, Handover::default(), Store::new(dir));
        let names = ["a.service", "t.timer"].map(|n| UnitName::parse(n).unwrap());
        engine.load(&names);
        engine.start(&names).unwrap();
        engine.begun_at = Tick(7);
        for (i, slot) in engine.slots.iter_mut().enumerate() {
            slot.since = Tick(i as u64 + 300);
            slot.note = format!("note {i}");
            slot.run.main = Some(i as i32 + 70);
            slot.run.sessions = vec![70, 80, 90];
            slot.run.phase = Some(PhaseRun { phase: units::schema::ExecPhase::Reload, line: 2 });
            slot.run.pid_file = Some((Tick(1), 2));
            slot.run.waiting = Some(Waiting::default());
            slot.machine.step(Event::Start, Tick(1_000));
            slot.machine.step(Event::Executed(units::schema::ExecPhase::Start), Tick(2_000));
            slot.machine.step(Event::MainExited(Exit::Code(9), false), Tick(3_000));
            engine.owners.insert(70, Owner::Main(Id(0)));
        }
        engine
    }

    #[test]
    fn an_engine_is_the_same_after_it_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let before = engine(dir.path());
        let bytes = postcard::to_stdvec(&before.keep(&mut Kept::default())).unwrap();
        let units = postcard::to_stdvec(&before.units()).unwrap();
        let mut after = Engine::new(
            before.root.clone(),
            Level::Container,
            before.log.clone(),
            before.handover.clone(),
            Store::new(dir.path()),
        );
        let units = postcard::from_bytes(&units).unwrap();
        after.take_up(postcard::from_bytes(&bytes).unwrap(), units, &mut Arrived::default());
        assert_eq!(before.units(), after.units());
        assert!(before.slots.iter().zip(&after.slots).all(|(b, a)| b.machine == a.machine));
        assert_eq!(postcard::to_stdvec(&after.keep(&mut Kept::default())).unwrap(), bytes);
        // As another program does that did not write them.
        let name = UnitName::parse("a.service").unwrap();
        let kept = before.find(&name).and_then(|id| before.slot(id)).unwrap();
        assert_eq!(after.read_units(&[name]), [(*kept.unit).clone()]);
    }

    /// A program of another build must know by its number that it can't read this.
    #[test]
    fn the_form_of_what_is_kept_has_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path());
        let bytes = postcard::to_stdvec(&engine.keep(&mut Kept::default())).unwrap();
        let known = (1, 7_234_052_375_823_204_401);
        assert_eq!((FORMAT, checksum(0, &bytes)), known, "raise FORMAT, and put what is left here");
    }
}
