//! waiters: clients that wait for something to be done. Pure bookkeeping; replies are handed back.
use super::fleet::Fleet;
use crate::control::protocol::{Condition, ContainerState, Fault, FaultKind, Outcome, Reply, words};
use crate::control::server::ClientId;
use crate::control::target::Target;
use std::collections::BTreeMap;
use units::machine;
use units::values::Tick;

/// What one target of a call waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The container's start has ended, well or not.
    Started,
    /// The container is at rest.
    Stopped,
    /// ct-init's answer with this tag.
    Answer(u32),
    /// `ct wait`.
    State(Condition),
}

/// One target of a call.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) target: Target,
    /// What it waits for, or what became of it.
    pub(crate) state: Result<Outcome, Goal>,
}

#[derive(Debug)]
struct Waiter {
    items: Vec<Item>,
    deadline: Option<Tick>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    all: BTreeMap<ClientId, Waiter>,
}

type Replies = Vec<(ClientId, Reply)>;

impl Waiters {
    /// A call with several targets; answered at once if none of them has to wait.
    pub(crate) fn add(&mut self, client: ClientId, items: Vec<Item>, deadline: Option<Tick>) -> Replies {
        self.all.insert(client, Waiter { items, deadline });
        self.finish()
    }

    /// The client has left.
    pub(crate) fn forget(&mut self, client: ClientId) {
        self.all.remove(&client);
    }

    pub(crate) fn deadline(&self) -> Option<Tick> {
        self.all.values().filter_map(|w| w.deadline).min()
    }

    /// Whoever is out of time is told so.
    pub(crate) fn expire(&mut self, now: Tick) -> Replies {
        for waiter in self.all.values_mut().filter(|w| w.deadline.is_some_and(|d| d <= now)) {
            for item in &mut waiter.items {
                if item.state.is_err() {
                    let fault =
                        Fault::new(FaultKind::TimedOut, format!("{}: not there in time", item.target));
                    item.state = Ok(Outcome::failed(&item.target, fault));
                }
            }
        }
        self.finish()
    }

    /// A container's life cycle has announced something.
    ///
    /// `kind` and `note` are of a failure, where more is known than its cause.
    pub(crate) fn announced(
        &mut self,
        name: &str,
        outcome: machine::Outcome,
        kind: FaultKind,
        note: &str,
    ) -> Replies {
        let failed = |t: &Target, cause| {
            let why = if note.is_empty() { words::cause(cause) } else { note.to_owned() };
            Outcome::failed(t, Fault::new(kind, format!("{t}: {why}")).hint(format!("ct status {t}")))
        };
        self.resolve(name, |target, goal| match (goal, outcome) {
            (Goal::Started, machine::Outcome::Up) => Some(Outcome::done(target)),
            (Goal::Started, machine::Outcome::Skipped) => {
                Some(Outcome::noted(target, "skipped: a condition is not met"))
            }
            (Goal::Started, machine::Outcome::Failed(cause)) => Some(failed(target, cause)),
            (Goal::Started, machine::Outcome::Down) => {
                let fault =
                    Fault::new(FaultKind::Failed, format!("{target}: it was stopped before it was ready"));
                Some(Outcome::failed(target, fault))
            }
            (Goal::Stopped, machine::Outcome::Down | machine::Outcome::Failed(_)) => {
                Some(Outcome::done(target))
            }
            (Goal::Started | Goal::Stopped, machine::Outcome::Reloaded(_))
            | (Goal::Stopped, machine::Outcome::Up | machine::Outcome::Skipped)
            | (Goal::Answer(_) | Goal::State(_), _) => None,
        })
    }

    /// A container does not end, whatever is done.
    pub(crate) fn stuck(&mut self, name: &str, note: &str) -> Replies {
        self.resolve(name, |target, goal| match goal {
            Goal::Stopped => {
                let fault = Fault::new(FaultKind::Failed, format!("{target}: {note}"));
                Some(Outcome::failed(target, fault.hint(format!("ct start {target} goes on beside it"))))
            }
            Goal::Started | Goal::Answer(_) | Goal::State(_) => None,
        })
    }

    /// A container is in another state.
    pub(crate) fn changed(&mut self, name: &str, fleet: &Fleet) -> Replies {
        self.resolve(name, |target, goal| match goal {
            Goal::State(condition) => met(target, *condition, fleet).then(|| Outcome::done(target)),
            Goal::Stopped => met(target, Condition::Stopped, fleet).then(|| Outcome::done(target)),
            Goal::Started | Goal::Answer(_) => None,
        })
    }

    /// A start or restart takes the place of a stop that is on its way: nothing will be at rest.
    pub(crate) fn restarted(&mut self, name: &str) -> Replies {
        self.resolve(name, |target, goal| match goal {
            Goal::Stopped if target.unit.is_none() => {
                let why = format!("{target}: it was asked to start again before it had stopped");
                Some(Outcome::failed(target, Fault::new(FaultKind::Failed, why)))
            }
            Goal::Stopped | Goal::Started | Goal::Answer(_) | Goal::State(_) => None,
        })
    }

    /// Units inside are in other states.
    pub(crate) fn units_changed(&mut self, name: &str, fleet: &Fleet) -> Replies {
        self.changed(name, fleet)
    }

    /// ct-init has answered.
    pub(crate) fn unit_done(&mut self, name: &str, tag: u32, result: Result<(), String>) -> Replies {
        self.resolve(name, |target, goal| match goal {
            Goal::Answer(t) if *t == tag => Some(match &result {
                Ok(()) => Outcome::done(target),
                Err(why) => {
                    Outcome::failed(target, Fault::new(FaultKind::Failed, format!("{target}: {why}")))
                }
            }),
            Goal::Answer(_) | Goal::Started | Goal::Stopped | Goal::State(_) => None,
        })
    }

    /// ct-init answers nothing any more.
    pub(crate) fn link_lost(&mut self, name: &str) -> Replies {
        self.resolve(name, |target, goal| match goal {
            Goal::Answer(_) => {
                let why = format!("{target}: its container has ended, or ct-init does not answer");
                Some(Outcome::failed(target, Fault::new(FaultKind::Failed, why)))
            }
            Goal::Started | Goal::Stopped | Goal::State(_) => None,
        })
    }

    fn resolve(&mut self, name: &str, mut decide: impl FnMut(&Target, &Goal) -> Option<Outcome>) -> Replies {
        for item in self.all.values_mut().flat_map(|w| &mut w.items) {
            if item.target.container.as_str() == name
                && let Err(goal) = &item.state
                && let Some(outcome) = decide(&item.target, goal)
            {
                item.state = Ok(outcome);
            }
        }
        self.finish()
    }

    /// Answers those that wait for nothing more.
    fn finish(&mut self) -> Replies {
        let done: Vec<ClientId> = self
            .all
            .iter()
            .filter(|(_, w)| w.items.iter().all(|i| i.state.is_ok()))
            .map(|(client, _)| *client)
            .collect();
        done.into_iter()
            .filter_map(|client| {
                let waiter = self.all.remove(&client)?;
                let outcomes = waiter.items.into_iter().filter_map(|i| i.state.ok()).collect();
                Some((client, Reply::outcomes(outcomes)))
            })
            .collect()
    }
}

/// Whether a target is where a condition wants it.
pub(crate) fn met(target: &Target, condition: Condition, fleet: &Fleet) -> bool {
    let Some(c) = fleet.get(target.container.as_str()) else { return false };
    let unit = target.unit.as_ref().map(|unit| {
        let units = c.run.as_ref().map(|r| &r.units);
        units.and_then(|u| u.get(unit.as_str())).map_or("inactive", |(u, _)| u.active.as_str())
    });
    match (condition, unit) {
        (Condition::Ready, Some(active)) => active == "active" || active == "reloading",
        (Condition::Stopped, Some(active)) => matches!(active, "inactive" | "failed" | "skipped"),
        (Condition::Ready, None) => matches!(c.state(), ContainerState::Running | ContainerState::Degraded),
        (Condition::Stopped, None) => matches!(c.state(), ContainerState::Stopped | ContainerState::Failed),
    }
}
