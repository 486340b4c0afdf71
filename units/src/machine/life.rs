//! machine: one unit's life: what is wanted, what is, and the one timer. Never reads a clock.
use super::{Cause, Event, Exit, Intent, Policy, State, Wanted};
use crate::values::Tick;
use serde::{Deserialize, Serialize};

/// The life of one unit. Everything that happens to it goes through [`Machine::step`].
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    policy: Policy,
    wanted: Wanted,
    state: State,
    restarts: u32,
    exit: Option<Exit>,
    armed: Option<Tick>,
}

/// What outlives the program that runs the machine: written to a file, read again by [`Machine::restore`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What its owner wants.
    pub wanted: Wanted,
    /// What was; the reader may have to correct it by what it observes.
    pub state: State,
    /// Automatic restarts since the last reset.
    pub restarts: u32,
    /// Automatic restarts in a row, for the back-off.
    pub tries: u32,
    /// How the main process last ended.
    pub exit: Option<Exit>,
    /// The window of the start limit: its begin and the starts in it.
    pub window: Option<(Tick, u32)>,
}

impl Machine {
    /// A unit that was never started: `Down(None)`, wanted down.
    pub fn new(policy: Policy) -> Machine {
        Machine {
            policy,
            wanted: Wanted::Down,
            state: State::Down(None),
            restarts: 0,
            exit: None,
            armed: None,
        }
    }

    /// Takes up a life where another program left it. The intents (at most an `Arm`) have to be carried out; waits
    /// whose begin is not in the state begin anew `now`.
    pub fn restore(policy: Policy, kept: Kept, now: Tick) -> (Machine, Vec<Intent>) {
        let _ = (kept, now);
        (Machine::new(policy), Vec::new())
    }

    /// What to write down so that [`Machine::restore`] can take it up.
    pub fn keep(&self) -> Kept {
        Kept {
            wanted: self.wanted,
            state: self.state.clone(),
            restarts: self.restarts,
            tries: 0,
            exit: self.exit,
            window: None,
        }
    }

    /// Something happened at `now`: changes the state and says what to do, in order. An event that means nothing in
    /// this state changes nothing; [`Machine::ignores`] says why.
    pub fn step(&mut self, event: Event, now: Tick) -> Vec<Intent> {
        let _ = (event, now);
        Vec::new()
    }

    /// Why this event would change nothing now: the sentence for "already so" and "refused". None: it does something.
    pub fn ignores(&self, event: Event) -> Option<&'static str> {
        let _ = event;
        None
    }

    /// What it lives by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
    /// Its unit file was read again. Deadlines that run stay; new ones follow the new policy.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }
    /// What is.
    pub fn state(&self) -> &State {
        &self.state
    }
    /// What its owner last asked for; a failure does not change it.
    pub fn wanted(&self) -> Wanted {
        self.wanted
    }
    /// Automatic restarts since it was made or `ResetFailed`.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }
    /// The tick the one timer is armed for.
    pub fn timer(&self) -> Option<Tick> {
        self.armed
    }
    /// How the main process last ended, if it did.
    pub fn last_exit(&self) -> Option<Exit> {
        self.exit
    }
    /// Why the last run ended or the present one is ending, if so.
    pub fn cause(&self) -> Option<Cause> {
        None
    }
    /// Ready: Up, Exited or Reloading.
    pub fn is_up(&self) -> bool {
        false
    }
    /// Nothing runs and nothing is to come by itself: Down or Failed.
    pub fn is_at_rest(&self) -> bool {
        false
    }
    /// Stopping in order to start again (for RestartKillSignal=).
    pub fn restart_follows(&self) -> bool {
        false
    }
}
