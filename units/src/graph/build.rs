//! graph: from units to lines, with what DefaultDependencies= adds. Touches nothing.
use super::{Absent, Directive, Edge, Graph};
use crate::name::UnitName;
use crate::schema::{Body, Unit, UnitSection};
use std::collections::BTreeSet;

impl Graph {
    /// Of these units, with `extra` lines that stand in no file (`.wants/` and `.requires/` links).
    pub fn build<'a>(
        units: impl IntoIterator<Item = &'a Unit>,
        extra: impl IntoIterator<Item = Edge>,
    ) -> Graph {
        let mut graph = Graph::default();
        let units: Vec<&Unit> = units.into_iter().collect();
        for unit in &units {
            graph.units.insert(unit.name.clone(), unit.unit.start_priority);
            for (directive, names) in lines(&unit.unit) {
                for to in names {
                    graph.add(&unit.name, directive, to);
                }
            }
        }
        for edge in extra {
            graph.add(&edge.from, edge.directive, &edge.to);
        }
        graph.add_defaults(&units);
        graph
    }

    fn add(&mut self, from: &UnitName, directive: Directive, to: &UnitName) {
        let edge = Edge { from: from.clone(), directive, to: to.clone() };
        if from == to {
            self.selfs.insert(edge);
            return;
        }
        self.into.entry(to.clone()).or_default().insert(edge.clone());
        self.out.entry(from.clone()).or_default().insert(edge);
    }

    /// What systemd.service(5) and systemd.target(5) call implicit and default dependencies, towards units that exist.
    fn add_defaults(&mut self, units: &[&Unit]) {
        let with: BTreeSet<&UnitName> =
            units.iter().filter(|u| u.unit.default_dependencies).map(|u| &u.name).collect();
        for unit in units.iter().filter(|u| u.unit.default_dependencies) {
            let name = &unit.name;
            match unit.body {
                Body::Service(_) if ["mount", "swap"].contains(&name.suffix()) => {
                    let target = if name.suffix() == "swap" { "swap.target" } else { "local-fs.target" };
                    self.add_default_before(name, target);
                    self.add_default(name, Directive::DefaultConflicts, "umount.target");
                }
                Body::Service(_) => {
                    self.add_default(name, Directive::DefaultRequires, "sysinit.target");
                    self.add_default(name, Directive::DefaultAfter, "sysinit.target");
                    self.add_default(name, Directive::DefaultAfter, "basic.target");
                    self.add_default(name, Directive::DefaultConflicts, "shutdown.target");
                }
                Body::Target => {
                    self.add_default(name, Directive::DefaultConflicts, "shutdown.target");
                    self.wait_for_members(name, &with);
                }
                Body::Passive | Body::Socket(_) | Body::Timer(_)
                    if ["socket", "timer", "path"].contains(&name.suffix()) =>
                {
                    self.add_default(name, Directive::DefaultRequires, "sysinit.target");
                    self.add_default(name, Directive::DefaultAfter, "sysinit.target");
                    self.add_default(name, Directive::DefaultConflicts, "shutdown.target");
                }
                Body::Passive | Body::Socket(_) | Body::Timer(_) | Body::Container(_) => {}
            }
        }
    }

    fn add_default(&mut self, from: &UnitName, directive: Directive, to: &str) {
        let Ok(to) = UnitName::parse(to) else { return };
        if self.units.contains_key(&to) && *from != to {
            self.add(from, directive, &to);
        }
    }

    /// The target waits for it, as systemd.mount(5) says.
    fn add_default_before(&mut self, first: &UnitName, second: &str) {
        let Ok(second) = UnitName::parse(second) else { return };
        if self.units.contains_key(&second) && !self.waits(first, &second) {
            self.add(&second, Directive::DefaultAfter, first);
        }
    }

    /// A target is reached when what it pulls in is up, unless that waits for the target by a line of its own.
    fn wait_for_members(&mut self, target: &UnitName, with_defaults: &BTreeSet<&UnitName>) {
        let members: Vec<UnitName> = self
            .lines_of(target)
            .filter(|e| e.directive.is_hard() || e.directive == Directive::Wants)
            .map(|e| e.to.clone())
            .filter(|to| with_defaults.contains(to))
            .collect();
        for member in members {
            if !self.waits(&member, target) {
                self.add(target, Directive::DefaultAfter, &member);
            }
        }
    }

    /// Whether a line says that `second` waits for `first`.
    fn waits(&self, second: &UnitName, first: &UnitName) -> bool {
        self.lines_of(second).any(|e| e.to == *first && e.directive == Directive::After)
            || self.lines_of(first).any(|e| e.to == *second && e.directive == Directive::Before)
    }

    /// The lines of this unit.
    pub(super) fn lines_of(&self, unit: &UnitName) -> impl Iterator<Item = &Edge> {
        self.out.get(unit).into_iter().flatten()
    }

    /// The lines that name this unit.
    pub(super) fn lines_to(&self, unit: &UnitName) -> impl Iterator<Item = &Edge> {
        self.into.get(unit).into_iter().flatten()
    }

    /// Whether there is such a unit and nothing speaks against starting it.
    pub fn contains(&self, unit: &UnitName) -> bool {
        self.absence(unit).is_none()
    }

    /// Why it can't be started by itself, if so.
    pub(super) fn absence(&self, unit: &UnitName) -> Option<Absent> {
        match self.absent.get(unit) {
            Some(why) => Some(why.clone()),
            None if self.units.contains_key(unit) => None,
            None => Some(Absent::Missing),
        }
    }

    /// Notes why a unit can't be started (masked, broken); without a note an unknown unit is `Missing`.
    pub fn set_absent(&mut self, unit: UnitName, why: Absent) {
        self.absent.insert(unit, why);
    }

    /// The lines that pull in units that are not there, in order of who has them.
    pub fn missing(&self) -> Vec<Edge> {
        let pulls = |e: &&Edge| e.directive.is_hard() || e.directive == Directive::Wants;
        self.out.values().flatten().filter(pulls).filter(|e| !self.contains(&e.to)).cloned().collect()
    }

    /// `StartPriority=`; 0 for a unit that is not there.
    pub(super) fn priority(&self, unit: &UnitName) -> i32 {
        self.units.get(unit).copied().unwrap_or(0)
    }
}

/// The lines of a `[Unit]` section that name other units.
fn lines(section: &UnitSection) -> [(Directive, &[UnitName]); 12] {
    [
        (Directive::Requires, &section.requires),
        (Directive::Requisite, &section.requisite),
        (Directive::BindsTo, &section.binds_to),
        (Directive::Wants, &section.wants),
        (Directive::PartOf, &section.part_of),
        (Directive::Conflicts, &section.conflicts),
        (Directive::After, &section.after),
        (Directive::Before, &section.before),
        (Directive::OnFailure, &section.on_failure),
        (Directive::OnSuccess, &section.on_success),
        (Directive::PropagatesReloadTo, &section.propagates_reload_to),
        (Directive::ReloadPropagatedFrom, &section.reload_propagated_from),
    ]
}
