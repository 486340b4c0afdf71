//! graph: what it takes to start some units. Touches nothing.
//!
//! First everything is pulled in that requirement lines lead to. Then, one after the other, units drop out that can't
//! be started: they are not there, what they require has dropped out, or they conflict with one that has the better
//! right. A unit that was asked for beats one that is required, and that one beats a wanted one. What is left is
//! ordered.
use super::{Directive, Edge, Graph, Refusal, Transaction, Warning};
use crate::name::UnitName;
use std::collections::{BTreeMap, BTreeSet};

/// By what right a unit is in a transaction; a better right is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    Wanted,
    Required,
    Asked,
}

type Pulled = BTreeMap<UnitName, Right>;
type Dropped = BTreeMap<UnitName, Refusal>;

impl Graph {
    /// What it takes to start these. `up` are the units that are up (or on their way) already: they get no start job,
    /// satisfy Requisite=, and are stopped where they conflict. What they pull in is not looked at again, unless they
    /// are asked for by name.
    pub fn transaction(&self, start: &[UnitName], up: &BTreeSet<UnitName>) -> Transaction {
        let mut dropped = Dropped::new();
        let pulled = loop {
            let pulled = self.pull(start, up, &dropped);
            match self.drop_one(&pulled, up, &dropped) {
                Some((unit, why)) => dropped.insert(unit, why),
                None => break pulled,
            };
        };
        let jobs: BTreeSet<UnitName> = pulled.keys().filter(|u| !up.contains(u)).cloned().collect();
        let stops = self.stops(&jobs, up);
        let order = self.order(&jobs);
        let mut warnings = self.left_out(&pulled, &dropped);
        warnings.extend(self.selfs.iter().filter(|e| jobs.contains(&e.from)).cloned().map(Warning::Itself));
        warnings.extend(order.cycles.iter().cloned().map(Warning::Cycle));
        let mut pairs = order.pairs;
        let start_order = self.sorted(&jobs, &pairs);
        let stop = self.stop_order(&stops);
        pairs.extend(self.stop_pairs(&stops));
        pairs.extend(self.after_stops(&jobs, &stops));
        Transaction {
            start: start_order,
            stop,
            order: pairs,
            refused: start
                .iter()
                .filter_map(|u| dropped.get(u).map(|why| (u.clone(), why.clone())))
                .collect(),
            warnings,
        }
    }

    /// All that requirement lines lead to, each with its best right.
    fn pull(&self, start: &[UnitName], up: &BTreeSet<UnitName>, dropped: &Dropped) -> Pulled {
        let mut pulled = Pulled::new();
        let mut todo: Vec<(UnitName, Right)> = start.iter().map(|u| (u.clone(), Right::Asked)).collect();
        while let Some((unit, right)) = todo.pop() {
            let better = pulled.get(&unit).is_none_or(|had| *had < right);
            if dropped.contains_key(&unit) || !better {
                continue;
            }
            pulled.insert(unit.clone(), right);
            if up.contains(&unit) && right != Right::Asked {
                continue;
            }
            for line in self.lines_of(&unit) {
                match line.directive {
                    Directive::Requires | Directive::BindsTo | Directive::DefaultRequires => {
                        todo.push((line.to.clone(), right.min(Right::Required)));
                    }
                    Directive::Wants => todo.push((line.to.clone(), Right::Wanted)),
                    // Requisite= never pulls in; the others say nothing about a start.
                    Directive::Requisite
                    | Directive::PartOf
                    | Directive::Conflicts
                    | Directive::After
                    | Directive::Before
                    | Directive::OnFailure
                    | Directive::OnSuccess
                    | Directive::PropagatesReloadTo
                    | Directive::ReloadPropagatedFrom
                    | Directive::DefaultAfter
                    | Directive::DefaultConflicts => {}
                }
            }
        }
        pulled
    }

    /// The next unit that can't be started. What is not there comes before what conflicts.
    fn drop_one(
        &self,
        pulled: &Pulled,
        up: &BTreeSet<UnitName>,
        dropped: &Dropped,
    ) -> Option<(UnitName, Refusal)> {
        let jobs = || pulled.keys().filter(|u| !up.contains(*u));
        let absent = jobs().find_map(|u| self.absence(u).map(|why| (u.clone(), Refusal::Absent(why))));
        let needs = || jobs().find_map(|u| self.unmet(u, pulled, up, dropped).map(|why| (u.clone(), why)));
        absent.or_else(needs).or_else(|| self.conflict(pulled, up))
    }

    /// The first line of this unit that requires what is not to be had.
    fn unmet(
        &self,
        unit: &UnitName,
        pulled: &Pulled,
        up: &BTreeSet<UnitName>,
        dropped: &Dropped,
    ) -> Option<Refusal> {
        self.lines_of(unit).filter(|e| e.directive.is_hard()).find_map(|line| {
            let why = match dropped.get(&line.to) {
                Some(why) => why.clone(),
                None if up.contains(&line.to) || pulled.contains_key(&line.to) => return None,
                None => Refusal::NotUp,
            };
            Some(Refusal::Needs { line: line.clone(), why: Box::new(why) })
        })
    }

    /// Who has to give way to whom, where two of these can't be up together and at least one is yet to start.
    fn conflict(&self, pulled: &Pulled, up: &BTreeSet<UnitName>) -> Option<(UnitName, Refusal)> {
        pulled.keys().flat_map(|a| self.lines_of(a)).find_map(|line| {
            let conflicts = matches!(line.directive, Directive::Conflicts | Directive::DefaultConflicts);
            let (a, b) = (pulled.get(&line.from)?, pulled.get(&line.to)?);
            if !conflicts || (up.contains(&line.from) && up.contains(&line.to)) {
                return None;
            }
            let from_stays = (a, &line.to) > (b, &line.from);
            let (stays, goes) = if from_stays { (&line.from, &line.to) } else { (&line.to, &line.from) };
            Some((goes.clone(), Refusal::Conflict(stays.clone())))
        })
    }

    /// Units that are up and have to stop because of these jobs, and what has to stop with them.
    fn stops(&self, jobs: &BTreeSet<UnitName>, up: &BTreeSet<UnitName>) -> BTreeSet<UnitName> {
        let direct: Vec<UnitName> =
            jobs.iter().flat_map(|u| self.conflicts_of(u)).filter(|u| up.contains(u)).collect();
        self.stop_set(&direct).into_iter().filter(|u| up.contains(u)).collect()
    }

    /// The units that can't be up together with this one.
    pub(super) fn conflicts_of(&self, unit: &UnitName) -> BTreeSet<UnitName> {
        let conflicts = |e: &&Edge| matches!(e.directive, Directive::Conflicts | Directive::DefaultConflicts);
        let own = self.lines_of(unit).filter(conflicts).map(|e| e.to.clone());
        own.chain(self.lines_to(unit).filter(conflicts).map(|e| e.from.clone())).collect()
    }

    /// A start waits for the stop of what it conflicts with.
    pub(super) fn after_stops(
        &self,
        starts: &BTreeSet<UnitName>,
        stops: &BTreeSet<UnitName>,
    ) -> BTreeSet<(UnitName, UnitName)> {
        let pairs = |start: &UnitName| {
            let start = start.clone();
            self.conflicts_of(&start)
                .into_iter()
                .filter(|stop| stops.contains(stop))
                .map(move |stop| (stop, start.clone()))
        };
        starts.iter().flat_map(pairs).collect()
    }

    /// A line for each wish that is not met.
    fn left_out(&self, pulled: &Pulled, dropped: &Dropped) -> Vec<Warning> {
        let wishes = pulled.keys().flat_map(|u| self.lines_of(u)).filter(|e| e.directive == Directive::Wants);
        wishes
            .filter_map(|e| {
                let why = dropped.get(&e.to)?.clone();
                Some(Warning::LeftOut { by: e.from.clone(), unit: e.to.clone(), why })
            })
            .collect()
    }
}
