//! graph: who pulls in whom, and who waits for whom. Touches nothing.
//!
//! Two kinds of lines make the graph. *Requirement* (`Requires=`, `Wants=`, `BindsTo=`, `Requisite=`, `PartOf=`,
//! `Conflicts=`) says which units go along with which; *order* (`After=`, `Before=`) says who waits for whom if both
//! have something to do. Neither implies the other. [`Graph::transaction`] answers what it takes to start some units,
//! [`Graph::stop_set`] what else has to stop; [`Scheduler`] then walks the jobs as they end.
//!
//! A wish that can't be met is never silent: an asked-for unit is refused with the reason, a merely wanted one is left
//! out with a warning, and an ordering cycle is named hop by hop and cut at its weakest line. Every answer depends on
//! the units alone, not on the order they were read in.
mod build;
mod closure;
mod order;
mod schedule;
#[cfg(test)]
mod tests;
mod transaction;

pub use schedule::{Ended, Job, Scheduler};

use crate::name::UnitName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

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
    /// `After=` that stands in no file but in `DefaultDependencies=yes`.
    DefaultAfter,
    /// The same for `Requires=`.
    DefaultRequires,
    /// The same for `Before=` and `Conflicts=shutdown.target`.
    DefaultConflicts,
}

impl Directive {
    /// Whether `from` can't be up without `to`.
    pub fn is_hard(self) -> bool {
        matches!(
            self,
            Directive::Requires | Directive::Requisite | Directive::BindsTo | Directive::DefaultRequires
        )
    }
    /// Whether it stands in no file.
    pub fn is_default(self) -> bool {
        matches!(self, Directive::DefaultAfter | Directive::DefaultRequires | Directive::DefaultConflicts)
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Directive::Requires => "Requires=",
            Directive::Requisite => "Requisite=",
            Directive::BindsTo => "BindsTo=",
            Directive::Wants => "Wants=",
            Directive::PartOf => "PartOf=",
            Directive::Conflicts => "Conflicts=",
            Directive::After => "After=",
            Directive::Before => "Before=",
            Directive::OnFailure => "OnFailure=",
            Directive::OnSuccess => "OnSuccess=",
            Directive::PropagatesReloadTo => "PropagatesReloadTo=",
            Directive::ReloadPropagatedFrom => "ReloadPropagatedFrom=",
            Directive::DefaultAfter | Directive::DefaultRequires | Directive::DefaultConflicts => {
                "DefaultDependencies="
            }
        })
    }
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

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.directive.is_default() {
            write!(f, "{} has {}yes", self.from, self.directive)
        } else {
            write!(f, "{} has {}{}", self.from, self.directive, self.to)
        }
    }
}

/// Why a unit that is named somewhere can't be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Absent {
    /// No file.
    Missing,
    /// Linked to /dev/null.
    Masked,
    /// Its file has mistakes; the sentence says which.
    Broken(String),
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Absent::Missing => f.write_str("has no unit file"),
            Absent::Masked => f.write_str("is masked"),
            Absent::Broken(why) => write!(f, "has a unit file that can't be used: {why}"),
        }
    }
}

/// All units that are known, and what their files say about each other.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// `StartPriority=` of each unit there is.
    units: BTreeMap<UnitName, i32>,
    /// What is known of units that are not there.
    absent: BTreeMap<UnitName, Absent>,
    /// The lines of each unit.
    out: BTreeMap<UnitName, BTreeSet<Edge>>,
    /// The lines that name each unit.
    into: BTreeMap<UnitName, BTreeSet<Edge>>,
    /// Lines by which a unit names itself; they have no effect.
    selfs: BTreeSet<Edge>,
}

/// What has to be done to start some units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// To start, in an order that respects `order`.
    pub start: Vec<UnitName>,
    /// To stop first, because they conflict; in order.
    pub stop: Vec<UnitName>,
    /// `(a, b)`: b waits for a, both among the jobs. No cycle is left in it.
    pub order: BTreeSet<(UnitName, UnitName)>,
    /// Asked-for units that can't be started, and why.
    pub refused: Vec<(UnitName, Refusal)>,
    /// What was left out or undone on the way; each prints as one line.
    pub warnings: Vec<Warning>,
}

/// Why a unit is not started; prints as what stands after its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not there.
    #[error("{0}")]
    Absent(Absent),
    /// This line names a unit that is not there or can't be started itself.
    #[error("{}{}, which {why}", line.directive, line.to)]
    Needs {
        /// The line.
        line: Edge,
        /// What is with the unit it names.
        #[source]
        why: Box<Refusal>,
    },
    /// `Requisite=` names a unit that is not up.
    #[error("is not up already")]
    NotUp,
    /// It conflicts with this one, which has the better right to run.
    #[error("conflicts with {0}, which is to run as well")]
    Conflict(UnitName),
}

/// What a person should know about a transaction; prints as one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A wanted unit is left out.
    #[error("{by} wants {unit}, which {why}; left out")]
    LeftOut {
        /// Who wants it.
        by: UnitName,
        /// What is left out.
        unit: UnitName,
        /// Why.
        why: Refusal,
    },
    /// Units wait for each other in a circle, which is cut.
    #[error("{0}")]
    Cycle(Cycle),
    /// A unit names itself.
    #[error("{0}, which is itself; the line has no effect")]
    Itself(Edge),
}

/// Units that wait for each other in a circle, and where it was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// Each unit, and the line that makes the next one wait for it; after the last comes the first again.
    pub hops: Vec<(UnitName, Edge)>,
    /// `(a, b)`: b does not wait for a any more.
    pub cut: (UnitName, UnitName),
}

impl fmt::Display for Cycle {
    /// `a.service → b.service → a.service wait for each other (b.service has After=a.service, …); …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, _) in &self.hops {
            write!(f, "{unit} → ")?;
        }
        if let Some((first, _)) = self.hops.first() {
            write!(f, "{first} wait for each other (")?;
        }
        for (i, (_, line)) in self.hops.iter().enumerate() {
            write!(f, "{}{line}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, "); {} is started without waiting for {}", self.cut.1, self.cut.0)
    }
}
