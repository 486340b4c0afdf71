//! graph: what goes along when a unit stops, restarts, reloads, fails or ends well. Touches nothing.
use super::{Directive, Edge, Graph};
use crate::name::UnitName;
use std::collections::BTreeSet;

impl Graph {
    /// All that has to stop when `units` are stopped by request, themselves included, in the order to stop them: the
    /// exact reverse of the start order. Units that are not up may be in it.
    pub fn stop_set(&self, units: &[UnitName]) -> Vec<UnitName> {
        let follows = |e: &Edge| e.directive.is_hard() || e.directive == Directive::PartOf;
        let all =
            self.spread(units, |unit| self.lines_to(unit).filter(|e| follows(e)).map(|e| &e.from).collect());
        self.stop_order(&all)
    }

    /// The order to stop these in: the exact reverse of the order to start them in.
    pub fn stop_order(&self, units: &BTreeSet<UnitName>) -> Vec<UnitName> {
        let mut sorted = self.start_order(units);
        sorted.reverse();
        sorted
    }

    /// The order to start these in, circles cut.
    pub fn start_order(&self, units: &BTreeSet<UnitName>) -> Vec<UnitName> {
        self.sorted(units, &self.order(units).pairs)
    }

    /// What has to stop when `unit` went down by itself: those that are bound to it (BindsTo=) and what goes along
    /// with these, in the order to stop them.
    pub fn bound_to(&self, unit: &UnitName) -> Vec<UnitName> {
        let bound: Vec<UnitName> = self
            .lines_to(unit)
            .filter(|e| e.directive == Directive::BindsTo)
            .map(|e| e.from.clone())
            .collect();
        self.stop_set(&bound).into_iter().filter(|u| u != unit).collect()
    }

    /// What a restart of `unit` restarts too, itself included: stop in this order, then start again what was up of it.
    pub fn restart_set(&self, unit: &UnitName) -> Vec<UnitName> {
        self.stop_set(std::slice::from_ref(unit))
    }

    /// What a reload of `unit` reloads too, itself included, in start order.
    pub fn reload_set(&self, unit: &UnitName) -> Vec<UnitName> {
        let all = self.spread(std::slice::from_ref(unit), |unit| {
            let told = self.lines_of(unit).filter(|e| e.directive == Directive::PropagatesReloadTo);
            let asks = self.lines_to(unit).filter(|e| e.directive == Directive::ReloadPropagatedFrom);
            told.map(|e| &e.to).chain(asks.map(|e| &e.from)).collect()
        });
        self.start_order(&all)
    }

    /// What to start when `unit` has failed.
    pub fn on_failure(&self, unit: &UnitName) -> Vec<UnitName> {
        self.named(unit, Directive::OnFailure)
    }

    /// What to start when `unit` has ended well.
    pub fn on_success(&self, unit: &UnitName) -> Vec<UnitName> {
        self.named(unit, Directive::OnSuccess)
    }

    fn named(&self, unit: &UnitName, directive: Directive) -> Vec<UnitName> {
        self.lines_of(unit).filter(|e| e.directive == directive).map(|e| e.to.clone()).collect()
    }

    /// `units`, and all that `next` leads to from them.
    fn spread<'a>(
        &'a self,
        units: &[UnitName],
        next: impl Fn(&UnitName) -> Vec<&'a UnitName>,
    ) -> BTreeSet<UnitName> {
        let mut all: BTreeSet<UnitName> = units.iter().cloned().collect();
        let mut todo: Vec<UnitName> = units.to_vec();
        while let Some(unit) = todo.pop() {
            for other in next(&unit) {
                if all.insert(other.clone()) {
                    todo.push(other.clone());
                }
            }
        }
        all
    }
}
