//! machine: one unit's life: what is wanted, what is, its counters and its one timer. Never reads a clock.
use super::table::{Move, move_of};
use super::{Cause, Event, Exit, Intent, Policy, State, StopStep, Then, Wanted};
use crate::schema::ExecPhase;
use crate::values::{Span, Tick};
use serde::{Deserialize, Serialize};

/// The life of one unit. Everything that happens to it goes through [`Machine::step`].
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    pub(super) policy: Policy,
    pub(super) wanted: Wanted,
    pub(super) state: State,
    pub(super) counts: Counts,
    pub(super) run: Run,
    pub(super) waits: Waits,
    /// Why the last run ended, also while the next one is under way.
    pub(super) last: Option<Cause>,
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
    /// Why the last run ended.
    pub last: Option<Cause>,
    /// The window of the start limit: its begin and the starts in it.
    pub window: Option<(Tick, u32)>,
}

/// All of a machine but its policy, for the same program executed anew: its clock goes on, so that every deadline stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    wanted: Wanted,
    state: State,
    counts: Counts,
    run: Run,
    waits: Waits,
    last: Option<Cause>,
    armed: Option<Tick>,
}

/// What is counted over several runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) restarts: u32,
    pub(super) tries: u32,
    window: Option<(Tick, u32)>,
}

/// What this run has shown so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    /// How its main process ended.
    pub(super) exit: Option<Exit>,
    /// The cause that this is, where the end was seen during the start.
    pub(super) ended: Option<Cause>,
    /// Whether any process was made.
    pub(super) touched: bool,
    /// Forking: whether the parent has ended well.
    pub(super) daemonized: bool,
    /// When it came up.
    pub(super) up: Option<Tick>,
}

/// The deadlines that run; the one timer is armed for the earliest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Waits {
    /// Of the phase, rung, reload or back-off that the state is in.
    pub(super) step: Option<Tick>,
    /// For the next keep-alive.
    pub(super) watchdog: Option<Tick>,
    /// RuntimeMaxSec=.
    pub(super) runtime: Option<Tick>,
}

/// Which deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Step,
    Watchdog,
    Runtime,
}

/// One call of `step`: its time, and what it says to do.
pub(super) struct Turn {
    pub(super) now: Tick,
    pub(super) out: Vec<Intent>,
}

impl Turn {
    pub(super) fn say(&mut self, intent: Intent) {
        self.out.push(intent);
    }
}

impl Counts {
    /// Counts a start; whether the limit allows it. As systemd counts: in windows that begin with a start.
    pub(super) fn admit(&mut self, policy: &Policy, now: Tick) -> bool {
        let Span::Finite(interval) = policy.limit_interval else { return true };
        if interval.is_zero() || policy.limit_burst == 0 {
            return true;
        }
        match self.window {
            Some((begin, starts)) if now.since(begin) < interval => {
                self.window = Some((begin, starts.saturating_add(1)));
                starts < policy.limit_burst
            }
            Some(_) | None => {
                self.window = Some((now, 1));
                true
            }
        }
    }
}

impl Waits {
    fn earliest(&self) -> Option<Tick> {
        [self.step, self.watchdog, self.runtime].into_iter().flatten().min()
    }

    pub(super) fn due(&self, now: Tick) -> Option<Wait> {
        let passed = |at: Option<Tick>| at.is_some_and(|at| at <= now);
        if passed(self.step) {
            Some(Wait::Step)
        } else if passed(self.watchdog) {
            Some(Wait::Watchdog)
        } else if passed(self.runtime) {
            Some(Wait::Runtime)
        } else {
            None
        }
    }
}

impl Machine {
    /// A unit that was never started: `Down(None)`, wanted down.
    pub fn new(policy: Policy) -> Machine {
        Machine {
            policy,
            wanted: Wanted::Down,
            state: State::Down(None),
            counts: Counts::default(),
            run: Run::default(),
            waits: Waits::default(),
            last: None,
            armed: None,
        }
    }

    /// Takes up a life where another program left it. The intents (at most an `Arm`) have to be carried out; waits
    /// whose begin is not in the state begin anew `now`.
    pub fn restore(policy: Policy, kept: Kept, now: Tick) -> (Machine, Vec<Intent>) {
        let mut machine = Machine::new(policy);
        machine.wanted = kept.wanted;
        machine.counts = Counts { restarts: kept.restarts, tries: kept.tries, window: kept.window };
        machine.last = kept.last;
        machine.run = Run { exit: kept.exit, ended: None, touched: true, daemonized: true, up: None };
        machine.state = kept.state;
        machine.waits = machine.waits_of_state(now);
        if let State::Up { since, .. } | State::Exited { since } | State::Reloading { since, .. } =
            machine.state
        {
            machine.run.up = Some(since);
        }
        let mut turn = Turn { now, out: Vec::new() };
        machine.arm(&mut turn);
        (machine, turn.out)
    }

    fn waits_of_state(&self, now: Tick) -> Waits {
        let policy = &self.policy;
        let (step, up) = match self.state {
            State::Down(_) | State::Failed(_) | State::Exited { .. } | State::Stuck { .. } => (None, None),
            State::Starting { .. } => (policy.timeout_start.deadline(now), None),
            State::Up { since, .. } => (None, Some(since)),
            State::Reloading { since, .. } => (policy.timeout_start.deadline(now), Some(since)),
            State::Stopping { step, .. } => (self.time_of(step).deadline(now), None),
            State::Waiting { until, .. } => (Some(until), None),
        };
        Waits {
            step,
            watchdog: up.and(policy.watchdog).map(|w| now.after(w)),
            runtime: up.and_then(|since| policy.runtime_max.deadline(since)),
        }
    }

    /// What to write down so that [`Machine::restore`] can take it up.
    pub fn keep(&self) -> Kept {
        Kept {
            wanted: self.wanted,
            state: self.state.clone(),
            restarts: self.counts.restarts,
            tries: self.counts.tries,
            exit: self.run.exit,
            last: self.last,
            window: self.counts.window,
        }
    }

    /// The whole life, for [`Machine::thaw`].
    pub fn freeze(&self) -> Frozen {
        Frozen {
            wanted: self.wanted,
            state: self.state.clone(),
            counts: self.counts.clone(),
            run: self.run.clone(),
            waits: self.waits.clone(),
            last: self.last,
            armed: self.armed,
        }
    }

    /// Goes on exactly where [`Machine::freeze`] was called. What was armed is armed: [`Machine::timer`] says for when.
    pub fn thaw(policy: Policy, frozen: Frozen) -> Machine {
        let Frozen { wanted, state, counts, run, waits, last, armed } = frozen;
        Machine { policy, wanted, state, counts, run, waits, last, armed }
    }

    /// Something happened at `now`: changes the state and says what to do, in order. An event that means nothing in
    /// this state changes nothing; [`Machine::ignores`] says why.
    pub fn step(&mut self, event: Event, now: Tick) -> Vec<Intent> {
        let mut turn = Turn { now, out: Vec::new() };
        if matches!(event, Event::Start | Event::Restart) {
            self.wanted = Wanted::Up;
        } else if matches!(event, Event::Stop | Event::StopNow) {
            self.wanted = Wanted::Down;
        } else if event == Event::Timer && self.armed.is_some_and(|at| at <= now) {
            self.armed = None;
        }
        let step = move_of(event, &self.state);
        self.carry_out(step, &mut turn);
        self.arm(&mut turn);
        turn.out
    }

    /// Arms the timer for the earliest deadline, if it is not so already.
    fn arm(&mut self, turn: &mut Turn) {
        let earliest = self.waits.earliest();
        match earliest {
            Some(at) if self.armed != Some(at) => turn.say(Intent::Arm(at)),
            None if self.armed.is_some() => turn.say(Intent::Disarm),
            Some(_) | None => {}
        }
        self.armed = earliest;
    }

    /// Why this event would change nothing now: the sentence for "already so" and "refused". None: it does something.
    pub fn ignores(&self, event: Event) -> Option<&'static str> {
        let step = move_of(event, &self.state);
        if let Move::Stay(why) = step {
            Some(why)
        } else if step == Move::RefuseReload {
            Some("it is not up, so there is nothing to reload")
        } else if step == Move::BeginReload && !self.policy.has_reload {
            Some("it has no ExecReload=")
        } else {
            None
        }
    }

    /// The time a rung of the ladder may take.
    pub(super) fn time_of(&self, step: StopStep) -> Span {
        match step {
            StopStep::Own
            | StopStep::Command
            | StopStep::Term
            | StopStep::Kill
            | StopStep::Post
            | StopStep::FinalTerm
            | StopStep::FinalKill => self.policy.timeout_stop,
            StopStep::Abort => self.policy.timeout_abort,
        }
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
        self.counts.restarts
    }
    /// Automatic restarts in a row: by them the back-off grows.
    pub fn tries(&self) -> u32 {
        self.counts.tries
    }
    /// Starts that the start limit has counted in the window that `now` is in.
    pub fn starts(&self, now: Tick) -> u32 {
        match (self.counts.window, self.policy.limit_interval) {
            (Some((begin, starts)), Span::Finite(interval)) if now.since(begin) < interval => starts,
            (Some(_) | None, _) => 0,
        }
    }
    /// The tick the one timer is armed for.
    pub fn timer(&self) -> Option<Tick> {
        self.armed
    }
    /// How the main process of this run ended, or of the last run where none is under way.
    pub fn last_exit(&self) -> Option<Exit> {
        self.run.exit
    }
    /// Why the present run is ending, or else why the last one ended.
    pub fn cause(&self) -> Option<Cause> {
        match self.state {
            State::Stopping { cause: Some(cause), .. } => Some(cause),
            State::Stuck { cause, .. } | State::Waiting { cause, .. } | State::Failed(cause) => Some(cause),
            State::Down(cause) => cause,
            State::Starting { .. }
            | State::Up { .. }
            | State::Exited { .. }
            | State::Reloading { .. }
            | State::Stopping { cause: None, .. } => self.last,
        }
    }
    /// Ready: Up, Exited or Reloading.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. } | State::Exited { .. } | State::Reloading { .. })
    }
    /// Nothing runs and nothing is to come by itself: Down or Failed.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.state, State::Down(_) | State::Failed(_))
    }
    /// Stopping in order to start again (for RestartKillSignal=).
    pub fn restart_follows(&self) -> bool {
        matches!(self.state, State::Stopping { then: Then::Again | Then::Reboot, .. })
    }
    /// The phase whose commands run now, if any do.
    pub fn phase(&self) -> Option<ExecPhase> {
        match self.state {
            State::Starting { phase, .. } => Some(phase),
            State::Reloading { .. } => Some(ExecPhase::Reload),
            State::Stopping { step: StopStep::Command, .. } => Some(ExecPhase::Stop),
            State::Stopping { step: StopStep::Post, .. } => Some(ExecPhase::StopPost),
            State::Down(_)
            | State::Up { .. }
            | State::Exited { .. }
            | State::Stopping { .. }
            | State::Stuck { .. }
            | State::Waiting { .. }
            | State::Failed(_) => None,
        }
    }
}
