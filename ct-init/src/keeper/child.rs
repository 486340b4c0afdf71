//! child: when the supervisor is started, started again, and given up. Never reads a clock, starts nothing.
use std::time::Duration;
use units::machine::Exit;
use units::values::Tick;

/// The first start again comes at once, the next ones after this, doubled each time …
const FIRST: Duration = Duration::from_millis(100);
/// … up to this.
const LONGEST: Duration = Duration::from_secs(5);
/// Whoever lived that long is not what fails at each start: earlier failures are forgotten.
const STEADY: Duration = Duration::from_secs(1);

/// What is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Started again at this time.
    Waiting(Tick),
    /// It runs, or is on its way to exec.
    Running {
        /// Its pid.
        pid: u32,
        /// Since when.
        since: Tick,
    },
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its time may have come.
    Timer,
    /// It was cloned.
    Spawned(u32),
    /// It could not be cloned.
    NotSpawned,
    /// It could not be executed and has ended therefore.
    NotExecuted,
    /// It ended.
    Ended(Exit),
    /// The keeper was asked for this.
    Asked(Wish),
}

/// What a keeper can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To leave; containers run on.
    Leave,
    /// To shut all containers down, then to leave: the host loses its power.
    ShutDown,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing; there is nothing to do but wait.
    Wait,
    /// Start it.
    Spawn,
    /// Pass it on.
    Tell(Wish),
    /// Leave with this exit code.
    Exit(u8),
}

/// The supervisor's life as its keeper sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    state: State,
    /// Short lives in a row.
    tries: u32,
    /// It was never started before.
    first: bool,
    /// What the keeper was asked for last.
    wish: Option<Wish>,
}

impl Child {
    /// Due at once.
    pub fn new(now: Tick) -> Child {
        Child { state: State::Waiting(now), tries: 0, first: true, wish: None }
    }
    /// What is.
    pub fn state(&self) -> State {
        self.state
    }
    /// Its pid while it runs.
    pub fn pid(&self) -> Option<u32> {
        match self.state {
            State::Running { pid, .. } => Some(pid),
            State::Waiting(_) => None,
        }
    }
    /// Whether it has to shut all containers down as soon as it has begun.
    pub fn shuts_down(&self) -> bool {
        self.wish == Some(Wish::ShutDown)
    }
    fn leaving(&self) -> bool {
        self.wish == Some(Wish::Leave)
    }
    /// When [`Event::Timer`] is to be said.
    pub fn deadline(&self) -> Option<Tick> {
        match self.state {
            State::Waiting(at) => Some(at),
            State::Running { .. } => None,
        }
    }

    /// Something happened at `now`.
    pub fn step(&mut self, event: Event, now: Tick) -> Act {
        match (event, self.state) {
            (Event::Timer, State::Waiting(at)) if at <= now => Act::Spawn,
            (Event::Timer, State::Waiting(_) | State::Running { .. }) => Act::Wait,
            (Event::Spawned(pid), State::Waiting(_)) => {
                self.state = State::Running { pid, since: now };
                Act::Wait
            }
            (Event::NotSpawned, State::Waiting(_)) => self.back_off(now),
            (Event::NotExecuted, State::Running { .. }) if self.leaving() => Act::Exit(0),
            (Event::NotExecuted, State::Running { .. }) => self.back_off(now),
            (Event::Ended(exit), State::Running { since, .. }) => self.ended(exit, now.since(since), now),
            (Event::Asked(Wish::Leave), State::Waiting(_)) => Act::Exit(0),
            (Event::Asked(Wish::ShutDown), State::Waiting(_)) => {
                // Somebody has to do it.
                self.wish = Some(Wish::ShutDown);
                Act::Spawn
            }
            (Event::Asked(wish), State::Running { .. }) => {
                self.wish = Some(wish);
                Act::Tell(wish)
            }
            // Said twice, or of an earlier one.
            (Event::Spawned(_) | Event::NotSpawned, State::Running { .. }) => Act::Wait,
            (Event::NotExecuted | Event::Ended(_), State::Waiting(_)) => Act::Wait,
        }
    }

    fn ended(&mut self, exit: Exit, lived: Duration, now: Tick) -> Act {
        let first = std::mem::replace(&mut self.first, false);
        match exit {
            // It was asked to leave, by us or by its client.
            Exit::Code(0) => Act::Exit(0),
            Exit::Code(super::AGAIN) if self.leaving() => Act::Exit(0),
            // Its successor is the program that is on disk now, and has done nothing wrong yet.
            Exit::Code(super::AGAIN) => {
                self.tries = 0;
                self.back_off(now)
            }
            // What it could not start with, it has said; a second try would say the same.
            Exit::Code(code) if self.leaving() || (first && lived < STEADY) => Act::Exit(code),
            // Asked to leave before it could listen.
            Exit::Signal(_) if self.leaving() => Act::Exit(0),
            Exit::Dumped(_) | Exit::Unknown if self.leaving() => Act::Exit(1),
            Exit::Code(_) | Exit::Signal(_) | Exit::Dumped(_) | Exit::Unknown => {
                if lived >= STEADY {
                    self.tries = 0;
                }
                self.back_off(now)
            }
        }
    }

    fn back_off(&mut self, now: Tick) -> Act {
        let delay = match self.tries {
            0 => Duration::ZERO,
            n => FIRST.saturating_mul(1 << (n - 1).min(10)).min(LONGEST),
        };
        self.tries = self.tries.saturating_add(1);
        self.state = State::Waiting(now.after(delay));
        Act::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::values::Signal;

    const SECOND: u64 = 1_000_000;
    const KILLED: Exit = Exit::Signal(Signal(9));

    /// A child that is started at 0 and ends like this.
    fn after(first: bool, leaving: bool, exit: Exit, lived: u64) -> (Act, Option<Tick>) {
        let mut child = Child::new(Tick(0));
        child.first = first;
        assert_eq!(child.step(Event::Timer, Tick(0)), Act::Spawn);
        child.step(Event::Spawned(7), Tick(0));
        if leaving {
            assert_eq!(child.step(Event::Asked(Wish::Leave), Tick(0)), Act::Tell(Wish::Leave));
        }
        (child.step(Event::Ended(exit), Tick(lived)), child.deadline())
    }

    #[test]
    fn each_end_has_its_answer() {
        let gone = |first, leaving, exit, lived, code| {
            assert_eq!(
                after(first, leaving, exit, lived).0,
                Act::Exit(code),
                "{first} {leaving} {exit:?} {lived}"
            );
        };
        let again = |first, exit, lived| {
            assert_eq!(after(first, false, exit, lived), (Act::Wait, Some(Tick(lived))), "{first} {exit:?}");
        };
        gone(true, false, Exit::Code(0), 1, 0);
        gone(false, false, Exit::Code(0), 9 * SECOND, 0);
        gone(true, false, Exit::Code(1), SECOND - 1, 1);
        gone(true, false, Exit::Code(2), 1, 2);
        gone(false, true, Exit::Code(3), 1, 3);
        gone(false, true, Exit::Signal(Signal(15)), 1, 0);
        gone(false, true, Exit::Dumped(Signal(11)), 1, 1);
        again(true, Exit::Code(1), SECOND);
        again(false, Exit::Code(1), 1);
        again(true, KILLED, 1);
        again(true, Exit::Dumped(Signal(11)), 1);
        again(false, Exit::Unknown, 1);
        again(true, Exit::Code(super::super::AGAIN), 1);
        again(false, Exit::Code(super::super::AGAIN), 9 * SECOND);
        gone(false, true, Exit::Code(super::super::AGAIN), 1, 0);
    }

    #[test]
    fn whoever_dies_over_a_shutdown_is_followed_by_one_that_does_it() {
        let asked = |wish| Event::Asked(wish);
        let mut child = Child::new(Tick(0));
        child.step(Event::Timer, Tick(0));
        child.step(Event::Spawned(7), Tick(0));
        assert_eq!(child.step(asked(Wish::ShutDown), Tick(1)), Act::Tell(Wish::ShutDown));
        // It could not take the signal yet.
        assert_eq!(child.step(Event::Ended(Exit::Signal(Signal(30))), Tick(2)), Act::Wait);
        assert_eq!((child.deadline(), child.shuts_down()), (Some(Tick(2)), true));
        child.step(Event::Spawned(8), Tick(2));
        assert_eq!(child.step(Event::Ended(Exit::Code(0)), Tick(3)), Act::Exit(0));
        // Asked while there is none: one is started for it.
        let mut child = Child::new(Tick(0));
        child.step(Event::Timer, Tick(0));
        child.step(Event::Spawned(7), Tick(0));
        child.step(Event::Ended(KILLED), Tick(0));
        child.step(Event::Spawned(8), Tick(0));
        child.step(Event::Ended(KILLED), Tick(0));
        assert_eq!(child.step(asked(Wish::ShutDown), Tick(1)), Act::Spawn);
        assert!(child.shuts_down());
        // The last word counts.
        child.step(Event::Spawned(9), Tick(1));
        assert_eq!(child.step(asked(Wish::Leave), Tick(2)), Act::Tell(Wish::Leave));
        assert_eq!(child.step(Event::Ended(Exit::Signal(Signal(15))), Tick(3)), Act::Exit(0));
    }

    #[test]
    fn a_supervisor_that_dies_at_each_start_is_tried_again_slowly_for_ever() {
        let mut child = Child::new(Tick(0));
        let mut now = Tick(0);
        let mut waits = Vec::new();
        for _ in 0..60 {
            assert_eq!(child.step(Event::Timer, now), Act::Spawn);
            child.step(Event::Spawned(7), now);
            child.step(Event::Ended(KILLED), now);
            let next = child.deadline().unwrap();
            waits.push(next.since(now).as_millis());
            now = next;
        }
        assert_eq!(waits[..9], [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!(waits[9..].iter().all(|w| *w == 5000));
        // One that lives is forgiven.
        child.step(Event::Spawned(8), now);
        now = now.after(STEADY);
        child.step(Event::Ended(KILLED), now);
        assert_eq!(child.deadline(), Some(now));
    }

    #[test]
    fn what_can_not_be_started_is_tried_again() {
        let mut child = Child::new(Tick(0));
        for event in [Event::NotSpawned, Event::NotExecuted] {
            assert_eq!(child.step(Event::Timer, Tick(u64::MAX / 2)), Act::Spawn);
            if event == Event::NotExecuted {
                child.step(Event::Spawned(7), Tick(0));
            }
            assert_eq!(child.step(event, Tick(0)), Act::Wait);
            assert!(child.deadline().is_some());
        }
        assert_eq!(
            child.step(Event::Asked(Wish::Leave), Tick(0)),
            Act::Exit(0),
            "nothing has to be waited for"
        );
    }
}
