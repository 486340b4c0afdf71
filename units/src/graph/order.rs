//! graph: the order of jobs, and where circles in it are cut. Touches nothing.
use super::{Cycle, Directive, Edge, Graph};
use crate::name::UnitName;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Who waits for whom among some jobs: `(a, b)` is "b waits for a", with the line that says so.
type Waits = BTreeMap<(UnitName, UnitName), Edge>;

/// Pairs without a circle, and the circles that were cut to get there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) pairs: BTreeSet<(UnitName, UnitName)>,
    pub(super) cycles: Vec<Cycle>,
}

impl Graph {
    /// The order in which `units` are started, if all of them are.
    pub(super) fn order(&self, units: &BTreeSet<UnitName>) -> Order {
        let mut waits = self.waits_among(units);
        let mut cycles = Vec::new();
        while let Some(path) = find_cycle(&waits) {
            let Some(cut) = path.iter().min_by_key(|pair| self.strength(pair, waits.get(*pair))).cloned()
            else {
                break;
            };
            let hops = path
                .into_iter()
                .filter_map(|pair| waits.get(&pair).cloned().map(|line| (pair.0, line)))
                .collect();
            waits.remove(&cut);
            cycles.push(Cycle { hops, cut });
        }
        Order { pairs: waits.into_keys().collect(), cycles }
    }

    /// `(a, b)`: b stops after a, because b is started before. The exact reverse of the order of a start.
    pub fn stop_pairs(&self, units: &BTreeSet<UnitName>) -> BTreeSet<(UnitName, UnitName)> {
        self.order(units).pairs.into_iter().map(|(first, second)| (second, first)).collect()
    }

    /// `units` in an order that respects `pairs`: of those that can go, higher StartPriority first, then by name.
    pub(super) fn sorted(
        &self,
        units: &BTreeSet<UnitName>,
        pairs: &BTreeSet<(UnitName, UnitName)>,
    ) -> Vec<UnitName> {
        let mut open: BTreeMap<&UnitName, usize> = units.iter().map(|u| (u, 0)).collect();
        let mut next: BTreeMap<&UnitName, Vec<&UnitName>> = BTreeMap::new();
        for (first, second) in pairs {
            if let Some(n) = open.get_mut(second) {
                *n += 1;
                next.entry(first).or_default().push(second);
            }
        }
        let key = |u: &UnitName| (Reverse(self.priority(u)), u.clone());
        let mut ready: BTreeSet<_> = open.iter().filter(|(_, n)| **n == 0).map(|(u, _)| key(u)).collect();
        let mut sorted = Vec::with_capacity(units.len());
        while let Some((_, unit)) = ready.pop_first() {
            for second in next.get(&unit).into_iter().flatten() {
                let Some(n) = open.get_mut(second) else { continue };
                *n -= 1;
                if *n == 0 {
                    ready.insert(key(second));
                }
            }
            sorted.push(unit);
        }
        sorted
    }

    fn waits_among(&self, units: &BTreeSet<UnitName>) -> Waits {
        let mut waits = Waits::new();
        for line in units.iter().flat_map(|u| self.lines_of(u)).filter(|e| units.contains(&e.to)) {
            let pair = match line.directive {
                Directive::After | Directive::DefaultAfter => (line.to.clone(), line.from.clone()),
                Directive::Before | Directive::DefaultConflicts => (line.from.clone(), line.to.clone()),
                Directive::Requires
                | Directive::Requisite
                | Directive::BindsTo
                | Directive::Wants
                | Directive::PartOf
                | Directive::Conflicts
                | Directive::OnFailure
                | Directive::OnSuccess
                | Directive::PropagatesReloadTo
                | Directive::ReloadPropagatedFrom
                | Directive::DefaultRequires => continue,
            };
            // A line of a file says more than a default; of two lines, the one in the first unit.
            match waits.get(&pair) {
                Some(old) if (old.directive.is_default(), old) <= (line.directive.is_default(), line) => {}
                Some(_) | None => {
                    waits.insert(pair, line.clone());
                }
            }
        }
        waits
    }

    /// How much it would hurt that `second` no longer waits for `first`; the least is cut. A default hurts less than a
    /// written line, a unit that is only wanted less than one that is required, and a wait for what the unit itself
    /// requires hurts most. It depends on the units alone, so that a stop is the reverse of the start.
    fn strength<'a>(
        &self,
        (first, second): &'a (UnitName, UnitName),
        line: Option<&Edge>,
    ) -> (bool, bool, bool, bool, &'a UnitName, &'a UnitName) {
        (
            self.lines_of(second).any(|e| e.to == *first && e.directive.is_hard()),
            line.is_some_and(|e| !e.directive.is_default()),
            self.lines_to(first).any(|e| e.directive.is_hard()),
            self.lines_to(second).any(|e| e.directive.is_hard()),
            second,
            first,
        )
    }
}

/// A circle as its pairs in order, beginning with its smallest name, if there is one.
fn find_cycle(waits: &Waits) -> Option<Vec<(UnitName, UnitName)>> {
    let next = ways_that_never_end(waits);
    let mut walk: Vec<&UnitName> = vec![next.keys().next().copied()?];
    let round = loop {
        let on = next.get(walk.last()?)?.first().copied()?;
        if let Some(at) = walk.iter().position(|u| *u == on) {
            break walk.split_off(at);
        }
        walk.push(on);
    };
    let smallest = round.iter().enumerate().min_by_key(|(_, u)| **u).map(|(i, _)| i)?;
    let turned = round.iter().cycle().skip(smallest).take(round.len() + 1).copied().cloned();
    let names: Vec<UnitName> = turned.collect();
    Some(names.iter().cloned().zip(names.iter().skip(1).cloned()).collect())
}

/// Who waits for each unit, without the units from which every way ends somewhere.
fn ways_that_never_end(waits: &Waits) -> BTreeMap<&UnitName, BTreeSet<&UnitName>> {
    let mut next: BTreeMap<&UnitName, BTreeSet<&UnitName>> = BTreeMap::new();
    let mut back: BTreeMap<&UnitName, Vec<&UnitName>> = BTreeMap::new();
    for (first, second) in waits.keys() {
        next.entry(first).or_default().insert(second);
        back.entry(second).or_default().push(first);
    }
    let mut ends: Vec<&UnitName> = back.keys().copied().filter(|u| !next.contains_key(u)).collect();
    while let Some(end) = ends.pop() {
        for first in back.get(end).into_iter().flatten().copied() {
            let Some(seconds) = next.get_mut(first) else { continue };
            seconds.remove(end);
            if seconds.is_empty() {
                next.remove(first);
                ends.push(first);
            }
        }
    }
    next
}
