//! pace: which of the jobs that the graph lets go begin now: as many at once as the machine takes.
use super::Daemon;
use crate::control::protocol::FaultKind;
use crate::observe;
use units::UnitName;
use units::graph::{Ended, Job};
use units::machine::{Cause, Event, Outcome, State};

/// Above this share of time in which tasks waited for memory or disk (PSI "some", the last ten seconds), starts are
/// paced. CPU pressure alone is no reason: starting is work.
const BUSY_PERCENT: f32 = 40.0;

impl Daemon {
    /// Starts and stops whatever the graph lets go now, starts only as many at once as the machine takes.
    pub(crate) fn pump(&mut self) {
        self.held.extend(self.jobs.ready());
        while let Some(i) = self.next_job() {
            let Some(job) = self.held.remove(i) else { return };
            {
                let (unit, event) = match job {
                    Job::Start(unit) => (unit, Event::Start),
                    Job::Stop(unit) => (unit, Event::Stop),
                    Job::Refuse(unit, on) => {
                        self.note(unit.stem(), format!("{} did not come up", on.stem()));
                        (unit, Event::Refuse(Cause::Dependency))
                    }
                };
                self.begin(&unit, event);
            }
            self.held.extend(self.jobs.ready());
        }
    }

    /// The first job that may begin: a stop always, a start while there is room.
    fn next_job(&self) -> Option<usize> {
        let starting =
            self.fleet.all.values().filter(|c| matches!(c.machine.state(), State::Starting { .. })).count();
        let room = starting < self.room();
        self.held.iter().position(|j| room || !matches!(j, Job::Start(_)))
    }

    /// How many may be on their way up at once: many while the machine has time for them, few while it has not.
    fn room(&self) -> usize {
        let cpus = self.facts.cpus.len();
        match (self.conf.start_parallel, observe::pressure()) {
            (Some(n), _) => usize::try_from(n).unwrap_or(usize::MAX),
            (None, Some(p)) if p > BUSY_PERCENT => cpus.max(2),
            (None, _) => 8 * cpus.max(2),
        }
    }

    /// One job; a container that is where the job wants it ends the job at once.
    fn begin(&mut self, unit: &UnitName, event: Event) {
        let already = match self.fleet.get(unit.stem()) {
            None => Some(Ended::Failed),
            Some(c) if event == Event::Start && c.machine.is_up() => Some(Ended::Done),
            Some(c) if event == Event::Stop && c.machine.is_at_rest() => Some(Ended::Done),
            Some(_) => None,
        };
        match already {
            Some(how) => {
                self.jobs.ended(unit, how);
                if self.fleet.get_mut(unit.stem()).is_some_and(|c| c.queued.take().is_some()) {
                    self.keep(unit.stem());
                }
                if event == Event::Stop {
                    // Whoever waits for a start that had not begun hears that nothing comes of it.
                    let (kind, outcome) = (FaultKind::Failed, Outcome::Down);
                    let replies = self.waiters.announced(unit.stem(), outcome, kind, "");
                    self.send(replies);
                }
            }
            None => {
                if event == Event::Start {
                    self.boot_began(unit.stem());
                }
                self.step(unit.stem(), event);
            }
        }
    }
}
