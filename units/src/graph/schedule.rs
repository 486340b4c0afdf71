//! graph: which jobs can go now, given which have ended. Touches nothing.
use super::{Graph, Transaction};
use crate::name::UnitName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One thing to do with a unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Job {
    /// Step its machine with `Start`.
    Start(UnitName),
    /// Step its machine with `Stop`.
    Stop(UnitName),
    /// Step its machine with `Refuse(Cause::Dependency)`: the second unit, which it requires, did not come up (or
    /// conflicts with it and did not go down). This job counts as ended at once.
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

/// Walks transactions: says which jobs can go, given which have ended.
///
/// A start waits until every unit it is ordered after has no job left, whether that ended well or not; it is refused
/// if one that it requires has failed. A stop waits for the units that are ordered after it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Scheduler {
    jobs: BTreeMap<UnitName, Entry>,
    refused: Vec<Job>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    kind: Kind,
    begun: bool,
    priority: i32,
    /// Jobs that have to end first.
    waits: BTreeSet<UnitName>,
    /// Jobs whose failure refuses this one.
    needs: BTreeSet<UnitName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Kind {
    Stop,
    Start,
}

impl Scheduler {
    /// At its beginning.
    pub fn new(graph: &Graph, transaction: &Transaction) -> Scheduler {
        let mut scheduler = Scheduler::default();
        scheduler.add(graph, transaction);
        scheduler
    }

    /// Adds another transaction's jobs. A job that is there already is not repeated; the opposite job of a unit is
    /// replaced, whether it has begun or not.
    pub fn add(&mut self, graph: &Graph, transaction: &Transaction) {
        let stops = transaction.stop.iter().map(|u| (u, Kind::Stop));
        self.take(graph, stops.chain(transaction.start.iter().map(|u| (u, Kind::Start))));
    }

    /// Adds stops, as [`Graph::stop_set`] and [`Graph::bound_to`] name them.
    pub fn add_stops(&mut self, graph: &Graph, units: &[UnitName]) {
        self.take(graph, units.iter().map(|u| (u, Kind::Stop)));
    }

    fn take<'a>(&mut self, graph: &Graph, jobs: impl Iterator<Item = (&'a UnitName, Kind)>) {
        for (unit, kind) in jobs {
            if self.jobs.get(unit).is_some_and(|e| e.kind == kind) {
                continue;
            }
            let priority = graph.priority(unit);
            let entry =
                Entry { kind, begun: false, priority, waits: BTreeSet::new(), needs: BTreeSet::new() };
            self.jobs.insert(unit.clone(), entry);
        }
        self.link(graph);
    }

    /// Says anew who waits for whom, over all jobs, so that no circle arises between two transactions.
    fn link(&mut self, graph: &Graph) {
        let of = |kind: Kind| {
            self.jobs.iter().filter(|(_, e)| e.kind == kind).map(|(u, _)| u.clone()).collect::<BTreeSet<_>>()
        };
        let (starts, stops) = (of(Kind::Start), of(Kind::Stop));
        let mut pairs = graph.order(&starts).pairs;
        pairs.extend(graph.order(&stops).pairs.into_iter().map(|(first, second)| (second, first)));
        let conflicts = graph.after_stops(&starts, &stops);
        for (unit, entry) in &mut self.jobs {
            entry.waits = BTreeSet::new();
            let hard = graph.lines_of(unit).filter(|e| e.directive.is_hard() && entry.kind == Kind::Start);
            entry.needs = hard.map(|e| e.to.clone()).filter(|to| starts.contains(to)).collect();
        }
        for (first, second) in &conflicts {
            if let Some(entry) = self.jobs.get_mut(second) {
                entry.needs.insert(first.clone());
            }
        }
        for (first, second) in pairs.into_iter().chain(conflicts) {
            if let Some(entry) = self.jobs.get_mut(&second) {
                entry.waits.insert(first);
            }
        }
    }

    /// Jobs that can begin now, each named once: refusals, then stops, then starts; among these higher StartPriority
    /// first, then by name.
    pub fn ready(&mut self) -> Vec<Job> {
        let mut jobs = std::mem::take(&mut self.refused);
        let mut free: Vec<(&UnitName, &mut Entry)> =
            self.jobs.iter_mut().filter(|(_, e)| !e.begun && e.waits.is_empty()).collect();
        free.sort_by_key(|(unit, e)| (e.kind, std::cmp::Reverse(e.priority), *unit));
        for (unit, entry) in free {
            entry.begun = true;
            jobs.push(match entry.kind {
                Kind::Start => Job::Start(unit.clone()),
                Kind::Stop => Job::Stop(unit.clone()),
            });
        }
        jobs
    }

    /// This unit's job has ended so; also to be said where its machine had nothing to do (`ignores`). A unit without a
    /// job changes nothing, nor does one whose job has not begun: that is the end of something else.
    pub fn ended(&mut self, unit: &UnitName, how: Ended) {
        let mut ends = vec![(unit.clone(), how)];
        while let Some((unit, how)) = ends.pop() {
            if !self.jobs.get(&unit).is_some_and(|e| e.begun) {
                continue;
            }
            self.jobs.remove(&unit);
            for (other, entry) in &mut self.jobs {
                entry.waits.remove(&unit);
                let needed = entry.needs.remove(&unit);
                if needed && how == Ended::Failed && !entry.begun {
                    self.refused.push(Job::Refuse(other.clone(), unit.clone()));
                    ends.push((other.clone(), Ended::Failed));
                    // Not to be refused a second time before its turn in `ends`.
                    entry.begun = true;
                }
            }
        }
    }

    /// Its owner wants it up after all, without a job: a stop of it is dropped, begun or not, and nobody waits for that.
    pub fn drop_stop(&mut self, unit: &UnitName) {
        if self.jobs.get(unit).is_some_and(|e| e.kind == Kind::Stop) {
            self.jobs.remove(unit);
            self.jobs.values_mut().for_each(|entry| {
                entry.waits.remove(unit);
                entry.needs.remove(unit);
            });
        }
    }

    /// The job of a unit that has not begun.
    pub fn waiting(&self, unit: &UnitName) -> Option<Job> {
        let entry = self.jobs.get(unit).filter(|e| !e.begun)?;
        Some(match entry.kind {
            Kind::Start => Job::Start(unit.clone()),
            Kind::Stop => Job::Stop(unit.clone()),
        })
    }

    /// What a job that has not begun waits for; empty if it has begun or there is none.
    pub fn waits_for(&self, unit: &UnitName) -> Vec<UnitName> {
        let entry = self.jobs.get(unit).filter(|e| !e.begun);
        entry.map(|e| e.waits.iter().cloned().collect()).unwrap_or_default()
    }

    /// No job is left and none has to be refused.
    pub fn is_done(&self) -> bool {
        self.jobs.is_empty() && self.refused.is_empty()
    }
}
