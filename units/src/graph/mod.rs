//! graph: who pulls in whom, and who waits for whom. Touches nothing.
use crate::name::UnitName;
use crate::schema::Unit;
use std::collections::BTreeSet;

/// What a line of a unit file says about another unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Directive {
    Requires,
    Requisite,
    BindsTo,
    Wants,
    PartOf,
    Conflicts,
    After,
    Before,
    OnFailure,
    OnSuccess,
    PropagatesReloadTo,
    ReloadPropagatedFrom,
    /// Not written in a file: what DefaultDependencies=yes stands for.
    Default,
}

/// One line: `from` has `directive=to`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The unit whose file (or `.wants/` directory) has the line.
    pub from: UnitName,
    /// Which directive.
    pub directive: Directive,
    /// The unit it names.
    pub to: UnitName,
}

/// Why a unit that is named somewhere can't be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// No file.
    Missing,
    /// Linked to /dev/null.
    Masked,
    /// Its file has mistakes; the sentence says which.
    Broken(String),
}

/// All units that are known, and what their files say about each other.
#[derive(Clone, Debug, Default)]
pub struct Graph {}

/// What has to be done to start some units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// To start, in an order that respects `order`.
    pub start: Vec<UnitName>,
    /// To stop first, because they conflict; in order.
    pub stop: Vec<UnitName>,
    /// `(a, b)`: b waits for a, both among the jobs.
    pub order: BTreeSet<(UnitName, UnitName)>,
    /// Asked-for units that can't be started, and why.
    pub refused: Vec<(UnitName, Refusal)>,
    /// What was left out or undone on the way; each prints as one line.
    pub warnings: Vec<Warning>,
}

/// Why a unit is not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// placeholder
    #[error("missing")]
    Missing,
}

/// What a person should know about a transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// placeholder
    #[error("missing")]
    Missing,
}

impl Graph {
    /// Of these units, with `extra` lines that stand in no file (`.wants/` and `.requires/` links).
    pub fn build<'a>(
        units: impl IntoIterator<Item = &'a Unit>,
        extra: impl IntoIterator<Item = Edge>,
    ) -> Graph {
        let _ = (units.into_iter().count(), extra.into_iter().count());
        Graph {}
    }
    /// Notes why a unit can't be started (masked, broken); without a note an unknown unit is `Missing`.
    pub fn set_absent(&mut self, unit: UnitName, why: Absent) {
        let _ = (unit, why);
    }
    /// Units that others name and that are not there, with the line that names each.
    pub fn missing(&self) -> Vec<Edge> {
        Vec::new()
    }
    /// What it takes to start these. `up` are the units that are up (or on their way) already: they get no start job,
    /// satisfy Requisite=, and are stopped where they conflict.
    pub fn transaction(&self, start: &[UnitName], up: &BTreeSet<UnitName>) -> Transaction {
        let _ = (start, up);
        Transaction::default()
    }
    /// All that has to stop when `units` are stopped by request (they first among equals), in the order to stop them:
    /// the exact reverse of the start order. Units that are not up may be in it.
    pub fn stop_set(&self, units: &[UnitName]) -> Vec<UnitName> {
        let _ = units;
        Vec::new()
    }
    /// What has to stop when `unit` went down by itself: those that are bound to it (BindsTo=), in order.
    pub fn bound_to(&self, unit: &UnitName) -> Vec<UnitName> {
        let _ = unit;
        Vec::new()
    }
    /// What a restart of `unit` restarts too (Requires=, BindsTo=, PartOf= reversed): stop in this order, start what
    /// was up of it again.
    pub fn restart_set(&self, unit: &UnitName) -> Vec<UnitName> {
        let _ = unit;
        Vec::new()
    }
    /// What a reload of `unit` reloads too, itself first.
    pub fn reload_set(&self, unit: &UnitName) -> Vec<UnitName> {
        let _ = unit;
        Vec::new()
    }
    /// What to start when `unit` has failed.
    pub fn on_failure(&self, unit: &UnitName) -> Vec<UnitName> {
        let _ = unit;
        Vec::new()
    }
    /// What to start when `unit` has ended well.
    pub fn on_success(&self, unit: &UnitName) -> Vec<UnitName> {
        let _ = unit;
        Vec::new()
    }
}

/// One thing to do with a unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Step its machine with `Start`.
    Start(UnitName),
    /// Step its machine with `Stop`.
    Stop(UnitName),
    /// Step its machine with `Refuse(Cause::Dependency)`: the named unit, which it requires, did not come up.
    Refuse(UnitName, UnitName),
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As wanted; a skipped start counts as that.
    Done,
    /// Not.
    Failed,
}

/// Walks a transaction: says which jobs can go, given which have ended.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {}

impl Scheduler {
    /// At its beginning.
    pub fn new(graph: &Graph, transaction: &Transaction) -> Scheduler {
        let _ = (graph, transaction);
        Scheduler {}
    }
    /// Jobs that can begin now, each named once; higher StartPriority first, then by name. Stops go before starts.
    pub fn ready(&mut self) -> Vec<Job> {
        Vec::new()
    }
    /// This unit's job has ended so. A unit that is not in the transaction changes nothing.
    pub fn ended(&mut self, unit: &UnitName, how: Ended) {
        let _ = (unit, how);
    }
    /// What a job that has not begun waits for; empty if it has begun or is unknown.
    pub fn waits_for(&self, unit: &UnitName) -> Vec<UnitName> {
        let _ = unit;
        Vec::new()
    }
    /// Adds another transaction's jobs to this one; a job that is there already is not repeated.
    pub fn add(&mut self, graph: &Graph, transaction: &Transaction) {
        let _ = (graph, transaction);
    }
    /// Nothing is left.
    pub fn is_done(&self) -> bool {
        true
    }
}
