//! farewell: a host's units are being stopped: says what holds that up, and when it has taken too long. Stops nothing.
use super::finish::describe;
use crate::engine::Engine;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use units::machine::State;
use units::values::{Span, Tick};

/// After this time it is worth a word, and again so often.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Farewell {
    next: Tick,
    deadline: Option<Tick>,
}

impl Farewell {
    /// Begins now; all units together have this time.
    pub fn begin(now: Tick, time: Span) -> Farewell {
        let deadline = match time {
            Span::Finite(time) => Some(now.after(time)),
            Span::Infinite => None,
        };
        Farewell { next: now.after(PATIENCE), deadline }
    }

    /// When there is something to say or to end.
    pub fn due(&self) -> Tick {
        self.deadline.map_or(self.next, |deadline| deadline.min(self.next))
    }

    /// Whether the time is over.
    pub fn is_late(&self, now: Tick) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// What holds it up, if it is time to say so.
    pub fn words(&mut self, now: Tick, engine: &Engine) -> Vec<String> {
        if self.next > now {
            return Vec::new();
        }
        self.next = now.after(PATIENCE);
        held_up_by(engine)
    }
}

/// Each unit that is being stopped, with its processes as the kernel sees them.
pub fn held_up_by(engine: &Engine) -> Vec<String> {
    let mut all = Vec::new();
    for slot in engine.all().filter(|s| is_stopping(s.machine.state())) {
        let pids = slot.run.group.as_ref().map(crate::cgroup::Group::processes).unwrap_or_default();
        let status = slot.status(crate::clock::now());
        let some: Vec<String> =
            pids.iter().take(5).filter_map(|pid| u32::try_from(*pid).ok()).map(describe).collect();
        let of = match some.as_slice() {
            [] => String::new(),
            some => format!(": process {}", some.join("; ")),
        };
        all.push(format!("{} ({}){of}", status.name, status.sub));
    }
    all
}

/// Those that only wait for their turn hold up nothing.
fn is_stopping(state: &State) -> bool {
    match state {
        State::Stopping { .. } | State::Stuck { .. } => true,
        State::Down(_)
        | State::Failed(_)
        | State::Starting { .. }
        | State::Up { .. }
        | State::Exited { .. }
        | State::Reloading { .. }
        | State::Waiting { .. } => false,
    }
}
