//! engine: carries every unit from event to intent to effect. One queue, in order; time is read once an event.
pub mod announce;
pub mod command;
pub mod exits;
pub mod generators;
pub mod jobs;
pub mod keep;
pub(crate) mod kill;
pub mod notify;
pub mod sockets;
pub mod sources;
pub mod timers;
pub mod unit;
pub mod vigil;
pub mod vitals;

use crate::cgroup::Tree;
use crate::effect::powers::Powers;
use crate::host::Level;
use crate::load::Loader;
use crate::output::Store;
use crate::proto::{Handover, Leave, Report};
use crate::resume::book::Book;
use crate::resume::snapshot::Entry;
use crate::root::Root;
use serde::{Deserialize, Serialize};
use slog::Logger;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::fd::OwnedFd;
use unit::{Id, Nascent, Slot};
use units::UnitName;
use units::graph::{Absent, Graph, Scheduler, Transaction};
use units::machine::{Event, Intent, State};
use units::values::Tick;

/// Whose a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owner {
    /// A unit's main process.
    Main(Id),
    /// A command line of a unit that is not its main process.
    Control(Id),
    /// A unit's, and nothing waits for its end.
    Other(Id),
    /// A generator.
    Generator,
    /// An exec session's command; the number is its connection.
    Session(usize),
    /// A check of the container as a whole.
    Check(crate::check::For),
}

/// Something to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Something happened to a unit.
    Event(Id, Event),
    /// Look whether anything of it is left.
    CheckEmpty(Id),
}

/// What the loop has to be told.
#[derive(Debug)]
pub enum Want {
    /// Listen to this unit's output.
    Output(Id),
    /// Listen to this unit's cgroup.
    Group(Id),
    /// Listen for how this process's exec went.
    Errors(i32),
    /// Listen for callers of this socket unit.
    Sockets(Id),
    /// Its service does that from now on.
    NoSockets(Id),
    /// Listen to this for the watch over the container as a whole.
    Ear(vigil::Ear),
    /// A connection's exec session has got this far.
    Session(usize, crate::session::Progress),
    /// Say this to one connection.
    Tell(usize, Report),
    /// Say this to all that watch.
    TellAll(Report),
    /// Go to this unit and stop everything else.
    Go(UnitName),
    /// Stop everything and leave.
    Leave(Leave),
    /// Leave at once; what runs is killed.
    End(Leave),
}

/// All units and their processes.
pub struct Engine {
    /// `/`, or a directory in tests.
    pub root: Root,
    /// In a container, or a host's own.
    pub level: Level,
    /// ct-init's own words.
    pub log: Logger,
    /// What the host said.
    pub handover: Handover,
    /// All output.
    pub store: Store,
    /// What the loop has to be told, in order.
    pub wants: VecDeque<Want>,
    /// Where units are found.
    pub loader: Loader,
    /// The container's cgroups, where there are any.
    pub tree: Option<Tree>,
    /// ct-init's own file, for children that begin with it.
    pub own: Option<OwnedFd>,
    /// What may be done to its services' processes.
    pub powers: Powers,
    /// What this program executed anew is told, once there is something to tell.
    pub book: Option<Book>,
    /// What the unit files say is not in the book yet.
    pub(crate) unwritten: bool,
    slots: Vec<Slot>,
    ids: BTreeMap<UnitName, Id>,
    absent: BTreeMap<UnitName, Absent>,
    /// Made when it is asked for, and dropped when all is quiet: it is larger than the units.
    graph: Option<Graph>,
    scheduler: Scheduler,
    work: VecDeque<Work>,
    owners: HashMap<i32, Owner>,
    nascent: HashMap<i32, Nascent>,
    generating: generators::Running,
    /// When the boot began.
    begun_at: Tick,
    vigil: vigil::Vigil,
    vitals: BTreeMap<Id, vitals::Vital>,
    /// The first transaction has begun.
    begun: bool,
    /// The unit that the host has named, if it can't be started.
    no_default: Option<String>,
    /// The first transaction is over.
    booted: bool,
    /// It is on its way out.
    leaving: Option<Leave>,
}

impl Engine {
    /// With no unit loaded yet.
    pub fn new(root: Root, level: Level, log: Logger, handover: Handover, store: Store) -> Engine {
        Engine {
            loader: Loader::new(&root, level),
            root,
            level,
            log,
            handover,
            store,
            wants: VecDeque::new(),
            tree: None,
            own: None,
            powers: Powers::default(),
            book: None,
            unwritten: true,
            slots: Vec::new(),
            ids: BTreeMap::new(),
            absent: BTreeMap::new(),
            graph: None,
            scheduler: Scheduler::default(),
            work: VecDeque::new(),
            owners: HashMap::new(),
            nascent: HashMap::new(),
            generating: generators::Running::default(),
            begun_at: crate::clock::now(),
            vigil: vigil::Vigil::default(),
            vitals: BTreeMap::new(),
            begun: false,
            no_default: None,
            booted: false,
            leaving: None,
        }
    }

    /// A unit that is loaded.
    pub fn slot(&self, id: Id) -> Option<&Slot> {
        self.slots.get(id.0)
    }
    pub(crate) fn slot_mut(&mut self, id: Id) -> Option<&mut Slot> {
        self.slots.get_mut(id.0)
    }
    /// By name, if it is loaded.
    pub fn find(&self, name: &UnitName) -> Option<Id> {
        self.ids.get(name).copied()
    }
    /// All loaded units in order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Slot> {
        self.ids.values().filter_map(|id| self.slot(*id))
    }
    fn every_id(&self) -> impl Iterator<Item = Id> + use<> {
        (0..self.slots.len()).map(Id)
    }

    /// Writes down what no state in the book knows yet.
    pub(crate) fn jot(&mut self, entry: &Entry) {
        if let Some(book) = &mut self.book {
            book.note(entry);
        }
    }

    /// Puts an event at the end of the queue.
    pub fn push(&mut self, id: Id, event: Event) {
        self.work.push_back(Work::Event(id, event));
    }
    pub(crate) fn check_empty(&mut self, id: Id) {
        self.work.push_back(Work::CheckEmpty(id));
    }

    /// Works until there is nothing left to do but wait.
    pub fn settle(&mut self) {
        loop {
            while let Some(work) = self.work.pop_front() {
                match work {
                    Work::Event(id, event) => self.step(id, event),
                    Work::CheckEmpty(id) if self.is_empty(id) => self.step(id, Event::Empty),
                    Work::CheckEmpty(_) => (),
                }
            }
            if !self.pump() && !self.end_idles() {
                break;
            }
        }
        self.notice_boot();
        self.answer_forgotten();
        if self.graph.is_some() && self.scheduler.is_done() {
            self.graph = None;
            self.scheduler = Scheduler::default();
            ct_sys::proc::trim_heap();
            ct_sys::proc::forget_code();
        }
    }

    /// Whether jobs are under way.
    pub fn is_busy(&self) -> bool {
        self.graph.is_some()
    }

    /// Asks the graph of all units.
    fn ask<T>(&mut self, question: impl FnOnce(&Graph) -> T) -> T {
        let graph = self.graph.take().unwrap_or_else(|| self.make_graph());
        let answer = question(&graph);
        self.graph = Some(graph);
        answer
    }

    /// Adds jobs to those that are under way.
    fn schedule(&mut self, transaction: &Transaction) {
        let graph = self.graph.take().unwrap_or_else(|| self.make_graph());
        self.scheduler.add(&graph, transaction);
        self.graph = Some(graph);
    }

    /// Fires what is due.
    pub fn timers(&mut self, now: Tick) {
        self.generators_late(now);
        self.vigil_timers(now);
        for id in self.every_id() {
            let Some(slot) = self.slot(id) else { continue };
            if slot.machine.timer().is_some_and(|t| t <= now) {
                self.push(id, Event::Timer);
            }
            if self.slot(id).and_then(|s| s.run.pid_file).is_some_and(|(t, _)| t <= now) {
                self.look_for_main(id, now);
            }
            if self.slot(id).and_then(|s| s.run.waiting).and_then(|w| w.deadline()).is_some_and(|t| t <= now)
            {
                self.look_at_timer(id, now);
            }
            if self.slot(id).and_then(|s| s.run.idle_until).is_some_and(|t| t <= now) {
                self.end_idle(id);
            }
        }
        self.settle();
    }

    /// When [`Engine::timers`] has something to do next.
    pub fn deadline(&self) -> Option<Tick> {
        let of = |slot: &Slot| {
            let pid_file = slot.run.pid_file.map(|(t, _)| t);
            slot.machine
                .timer()
                .into_iter()
                .chain(pid_file)
                .chain(slot.run.waiting.and_then(|w| w.deadline()))
                .chain(slot.run.idle_until)
                .min()
        };
        self.slots.iter().filter_map(of).chain(self.generating.deadline()).chain(self.vigil.deadline()).min()
    }

    fn step(&mut self, id: Id, event: Event) {
        let now = crate::clock::now();
        let Some(slot) = self.slots.get_mut(id.0) else { return };
        let was_starting = matches!(slot.machine.state(), State::Starting { .. });
        let before = unit::words(slot.machine.state(), true);
        let intents = slot.machine.step(event, now);
        if !was_starting && matches!(slot.machine.state(), State::Starting { .. }) {
            slot.run.fresh = true;
            slot.note.clear();
        }
        if unit::words(slot.machine.state(), true) != before {
            slot.since = now;
        }
        for intent in intents {
            self.carry_out(id, intent);
        }
        self.report(id, now);
    }

    fn carry_out(&mut self, id: Id, intent: Intent) {
        match intent {
            Intent::Run(phase) => self.run_phase(id, phase),
            Intent::Term => self.term(id),
            Intent::Abort => self.abort(id),
            Intent::Kill => self.kill(id),
            Intent::KillControl => self.kill_control(id),
            // The loop asks every machine for its timer.
            Intent::Arm(_) | Intent::Disarm => (),
            Intent::Announce(outcome) => self.announce(id, outcome),
            Intent::Release(restart_follows) => self.release(id, restart_follows),
            Intent::LimitAction => self.limit_action(id),
        }
    }

    fn report(&mut self, id: Id, now: Tick) {
        let Some(slot) = self.slots.get_mut(id.0) else { return };
        let status = slot.status(now);
        let key = (format!("{} {} {}", status.active, status.sub, status.note), status.pid);
        if slot.reported.as_ref() != Some(&key) {
            slot.reported = Some(key);
            self.wants.push_back(Want::TellAll(Report::Unit(status)));
        }
    }
}
