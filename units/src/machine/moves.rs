//! machine: carries the moves of the table out, from a start to being up. The way down is in `ladder`.
use super::life::{Machine, Run, Turn, Wait};
use super::table::Move;
use super::{Cause, Exit, Intent, Outcome, ReadyRule, ReloadStep, State, StopStep, Then};
use crate::schema::ExecPhase;
use crate::values::Tick;
use std::time::Duration;

/// Who starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Its owner: the back-off begins anew.
    Owner,
    /// The restart policy.
    Policy,
    /// The guest that asked for a reboot.
    Guest,
}

impl Machine {
    pub(super) fn carry_out(&mut self, step: Move, turn: &mut Turn) {
        match step {
            Move::Stay(_) => {}
            Move::Begin => self.begin(By::Owner, matches!(self.state, State::Waiting { .. }), turn),
            Move::GoDown(then) => self.go_down(then, turn),
            Move::TurnTo(then) => self.turn_to(then, turn),
            Move::KillNow => self.kill_now(turn),
            Move::TryAgain(then) => self.try_again(then, turn),
            Move::GiveUpWaiting => self.give_up_waiting(turn),
            Move::BeginReload => self.begin_reload(turn),
            Move::RefuseReload => turn.say(Intent::Announce(Outcome::Reloaded(false))),
            Move::Forget => {
                self.counts = Default::default();
                self.last = None;
                self.state = State::Down(None);
            }
            Move::ForgetCounts => self.counts = Default::default(),
            Move::RestAs(cause) => {
                let held = matches!(self.state, State::Waiting { .. });
                self.rest(Some(cause), held, turn);
            }
            Move::GiveUpStart(cause) if !self.run.touched => self.rest(Some(cause), true, turn),
            Move::GiveUpStart(cause) => self.descend(StopStep::Term, Some(cause), Then::Rest, turn),
            Move::Launched(phase) => self.launched(phase, ReadyRule::Forked, turn),
            Move::Executed(phase) => self.launched(phase, ReadyRule::Executed, turn),
            Move::LateMain => self.set_main(self.has_daemon()),
            Move::PhaseDone(phase, exit) => self.phase_done(phase, exit, turn),
            Move::PhaseFailed(phase) => {
                if phase == ExecPhase::Start {
                    self.set_main(false);
                }
                self.descend(StopStep::Term, Some(Cause::Setup(phase)), Then::Policy, turn);
            }
            Move::MainNotSetUp => self.main_gone(Cause::Setup(ExecPhase::Start), turn),
            Move::ReloadDone(exit) => self.reload_done(exit, turn),
            Move::RungDone(phase, exit) => self.rung_done(phase, exit, turn),
            Move::MainEnded(exit, oom) => self.main_ended(exit, oom, turn),
            Move::Ready => self.ready(turn),
            Move::SaysReloading => self.says_reloading(turn),
            Move::GoesDown(cause) => self.goes_down(cause, turn),
            Move::MainFound => self.main_found(turn),
            Move::MainMissing => self.main_missing(turn),
            Move::Alive => self.waits.watchdog = self.policy.watchdog.map(|w| turn.now.after(w)),
            Move::Unwell => self.unwell(turn),
            Move::Unhealthy => self.unhealthy(turn),
            Move::Extend(more) => self.extend(more, turn),
            Move::Emptied => self.emptied(turn),
            Move::Due => self.due(turn),
        }
    }

    /// Starts it, if the start limit allows. `held`: what the run before had is kept for this one.
    pub(super) fn begin(&mut self, by: By, held: bool, turn: &mut Turn) {
        if by == By::Owner {
            self.counts.tries = 0;
        }
        if !self.counts.admit(&self.policy, turn.now) {
            self.rest(Some(Cause::StartLimit), held, turn);
            return turn.say(Intent::LimitAction);
        }
        match by {
            By::Owner => {}
            By::Policy => {
                self.counts.tries = self.counts.tries.saturating_add(1);
                self.counts.restarts = self.counts.restarts.saturating_add(1);
            }
            By::Guest => self.counts.restarts = self.counts.restarts.saturating_add(1),
        }
        self.run = Run::default();
        self.enter_phase(Some(ExecPhase::Condition), turn.now, false, turn);
    }

    /// Enters this phase, or the next one that has command lines; after the last one it is up.
    fn enter_phase(&mut self, phase: Option<ExecPhase>, since: Tick, main: bool, turn: &mut Turn) {
        let mut next = phase;
        while let Some(phase) = next {
            if self.policy.has(phase) {
                self.state = State::Starting { phase, since, main };
                self.waits.step = self.policy.timeout_start.deadline(turn.now);
                return turn.say(Intent::Run(phase));
            }
            next = after(phase);
        }
        self.come_up(main, turn);
    }

    /// The phase it is in is over.
    pub(super) fn next_phase(&mut self, turn: &mut Turn) {
        if let State::Starting { phase, since, main } = self.state {
            self.enter_phase(after(phase), since, main, turn);
        }
    }

    /// All phases are over. It is up, unless its main process has ended meanwhile.
    fn come_up(&mut self, main: bool, turn: &mut Turn) {
        let ended = match self.policy.ready {
            ReadyRule::Finished => Some(self.run.ended.unwrap_or(Cause::Exited(Exit::Code(0)))),
            ReadyRule::Forked | ReadyRule::Executed | ReadyRule::Daemonized | ReadyRule::Told => {
                self.run.ended
            }
        };
        if let Some(cause) = ended.filter(|&cause| self.policy.is_failure(cause)) {
            return self.descend(StopStep::Term, Some(cause), Then::Policy, turn);
        }
        self.waits.step = None;
        self.run.up = Some(turn.now);
        turn.say(Intent::Announce(Outcome::Up));
        match ended {
            None => {
                self.state = State::Up { since: turn.now, main };
                self.waits.watchdog = self.policy.watchdog.map(|w| turn.now.after(w));
                self.waits.runtime = self.policy.runtime_max.deadline(turn.now);
            }
            Some(cause) => self.ended_well(cause, turn),
        }
    }

    /// It was up and nothing of it has to run any more: RemainAfterExit= decides.
    pub(super) fn ended_well(&mut self, cause: Cause, turn: &mut Turn) {
        if self.policy.remain_after_exit {
            self.waits = Default::default();
            self.state = State::Exited { since: self.run.up.unwrap_or(turn.now) };
        } else {
            self.descend(self.first_rung(), Some(cause), Then::Policy, turn);
        }
    }

    /// Whether what ExecStart= starts stays as the main process.
    fn has_daemon(&self) -> bool {
        match self.policy.ready {
            ReadyRule::Forked | ReadyRule::Executed | ReadyRule::Told => true,
            ReadyRule::Daemonized | ReadyRule::Finished => false,
        }
    }

    fn launched(&mut self, phase: ExecPhase, how: ReadyRule, turn: &mut Turn) {
        self.run.touched = true;
        if phase != ExecPhase::Start || !self.has_daemon() {
            return;
        }
        self.set_main(true);
        if self.policy.ready == how {
            self.next_phase(turn);
        }
    }

    fn phase_done(&mut self, phase: ExecPhase, exit: Exit, turn: &mut Turn) {
        self.run.touched = true;
        match phase {
            ExecPhase::Start => self.start_done(exit, turn),
            ExecPhase::Condition | ExecPhase::StartPre | ExecPhase::StartPost
                if self.policy.clean_command(exit) =>
            {
                self.next_phase(turn);
            }
            ExecPhase::Condition if matches!(exit, Exit::Code(1..=254)) => {
                self.descend(StopStep::Term, Some(Cause::Skipped), Then::Rest, turn);
            }
            ExecPhase::Condition | ExecPhase::StartPre | ExecPhase::StartPost => {
                self.descend(StopStep::Term, Some(Cause::Command(phase, exit)), Then::Policy, turn);
            }
            // These are no phases of a start.
            ExecPhase::Reload | ExecPhase::Stop | ExecPhase::StopPost => {}
        }
    }

    /// The lines of ExecStart= have ended (oneshot), or its parent process has (forking).
    fn start_done(&mut self, exit: Exit, turn: &mut Turn) {
        match (self.policy.ready, self.policy.clean_main(exit)) {
            (ReadyRule::Finished, clean) => {
                let seen = self.run.ended.filter(|&cause| !clean && self.policy.is_failure(cause));
                self.run.exit = Some(exit);
                self.run.ended = Some(seen.unwrap_or(Cause::Exited(exit)));
                if clean {
                    self.next_phase(turn);
                } else {
                    self.descend(StopStep::Term, self.run.ended, Then::Policy, turn);
                }
            }
            (ReadyRule::Daemonized, true) => {
                self.run.daemonized = true;
                if matches!(self.state, State::Starting { main: true, .. }) {
                    self.next_phase(turn);
                }
            }
            (ReadyRule::Daemonized, false) => {
                let cause = Cause::Command(ExecPhase::Start, exit);
                self.descend(StopStep::Term, Some(cause), Then::Policy, turn);
            }
            // Their main process tells, by its start, its word or its end.
            (ReadyRule::Forked | ReadyRule::Executed | ReadyRule::Told, true | false) => {}
        }
    }

    fn main_found(&mut self, turn: &mut Turn) {
        self.set_main(true);
        let waits = matches!(self.state, State::Starting { phase: ExecPhase::Start, .. });
        if waits && self.policy.ready == ReadyRule::Daemonized && self.run.daemonized {
            self.next_phase(turn);
        }
    }

    fn main_missing(&mut self, turn: &mut Turn) {
        let waits = matches!(self.state, State::Starting { phase: ExecPhase::Start, .. });
        if !(waits && self.policy.ready == ReadyRule::Daemonized && self.run.daemonized) {
            return;
        }
        if self.policy.needs_main {
            self.descend(StopStep::Term, Some(Cause::Protocol), Then::Policy, turn);
        } else {
            self.next_phase(turn);
        }
    }

    fn ready(&mut self, turn: &mut Turn) {
        match self.state {
            State::Starting { phase: ExecPhase::Start, .. } if self.policy.ready == ReadyRule::Told => {
                self.next_phase(turn);
            }
            State::Reloading { step: ReloadStep::Ready, .. } => self.end_reload(true, turn),
            State::Reloading { since, main, step: ReloadStep::CommandAndReady } => {
                self.state = State::Reloading { since, main, step: ReloadStep::Command };
            }
            // Said too early, too late, or by a unit whose word does not count.
            State::Starting { .. }
            | State::Reloading { step: ReloadStep::Command, .. }
            | State::Down(_)
            | State::Up { .. }
            | State::Exited { .. }
            | State::Stopping { .. }
            | State::Stuck { .. }
            | State::Waiting { .. }
            | State::Failed(_) => {}
        }
    }

    fn begin_reload(&mut self, turn: &mut Turn) {
        if !self.policy.has_reload {
            return turn.say(Intent::Announce(Outcome::Reloaded(false)));
        }
        let step = if self.policy.reload_told { ReloadStep::CommandAndReady } else { ReloadStep::Command };
        if self.enter_reload(step, turn) {
            turn.say(Intent::Run(ExecPhase::Reload));
        }
    }

    /// From Up or Exited; whether that is where it was.
    fn enter_reload(&mut self, step: ReloadStep, turn: &Turn) -> bool {
        let (since, main) = match self.state {
            State::Up { since, main } => (since, main),
            State::Exited { since } => (since, false),
            State::Down(_)
            | State::Starting { .. }
            | State::Reloading { .. }
            | State::Stopping { .. }
            | State::Stuck { .. }
            | State::Waiting { .. }
            | State::Failed(_) => return false,
        };
        self.state = State::Reloading { since, main, step };
        self.waits.step = self.policy.timeout_start.deadline(turn.now);
        true
    }

    fn says_reloading(&mut self, turn: &mut Turn) {
        if let State::Reloading { step, .. } = &mut self.state {
            *step = match *step {
                ReloadStep::Command | ReloadStep::CommandAndReady => ReloadStep::CommandAndReady,
                ReloadStep::Ready => ReloadStep::Ready,
            };
        } else {
            self.enter_reload(ReloadStep::Ready, turn);
        }
    }

    fn reload_done(&mut self, exit: Option<Exit>, turn: &mut Turn) {
        let State::Reloading { since, main, step } = self.state else { return };
        match (step, exit.is_some_and(|e| self.policy.clean_command(e))) {
            // Not of this reload: it told of itself.
            (ReloadStep::Ready, true | false) => {}
            (ReloadStep::Command, true) => self.end_reload(true, turn),
            (ReloadStep::CommandAndReady, true) => {
                self.state = State::Reloading { since, main, step: ReloadStep::Ready };
            }
            (ReloadStep::Command | ReloadStep::CommandAndReady, false) => self.end_reload(false, turn),
        }
    }

    /// Back to where the reload began.
    pub(super) fn end_reload(&mut self, well: bool, turn: &mut Turn) {
        let State::Reloading { since, main, .. } = self.state else { return };
        self.state = if !main && self.policy.remain_after_exit {
            State::Exited { since }
        } else {
            State::Up { since, main }
        };
        self.waits.step = None;
        turn.say(Intent::Announce(Outcome::Reloaded(well)));
    }

    fn extend(&mut self, more: Duration, turn: &Turn) {
        let until = turn.now.after(more);
        let up = matches!(self.state, State::Up { .. });
        let wait = if up { &mut self.waits.runtime } else { &mut self.waits.step };
        // What never ends needs no extension.
        *wait = wait.map(|at| at.max(until));
    }

    /// Something has passed its deadline, or the timer fired early and is armed again.
    fn due(&mut self, turn: &mut Turn) {
        match self.waits.due(turn.now) {
            None => {}
            Some(Wait::Step) => self.step_due(turn),
            Some(Wait::Watchdog) => self.unwell(turn),
            Some(Wait::Runtime) => {
                self.leave_reload(turn);
                self.descend(self.first_rung(), Some(Cause::RuntimeMax), Then::Policy, turn);
            }
        }
    }

    fn step_due(&mut self, turn: &mut Turn) {
        match self.state {
            State::Starting { .. } => {
                self.descend(StopStep::Term, Some(Cause::StartTimeout), Then::Policy, turn);
            }
            State::Reloading { step, .. } => {
                if step != ReloadStep::Ready {
                    turn.say(Intent::KillControl);
                }
                self.end_reload(false, turn);
            }
            State::Stopping { step, .. } => self.rung_due(step, turn),
            State::Waiting { .. } => self.begin(By::Policy, true, turn),
            // They have no deadline of their own.
            State::Down(_)
            | State::Up { .. }
            | State::Exited { .. }
            | State::Stuck { .. }
            | State::Failed(_) => {}
        }
    }

    /// Notes whether a main process is alive.
    pub(super) fn set_main(&mut self, alive: bool) {
        match &mut self.state {
            State::Starting { main, .. }
            | State::Up { main, .. }
            | State::Reloading { main, .. }
            | State::Stopping { main, .. }
            | State::Stuck { main, .. } => *main = alive,
            State::Down(_) | State::Exited { .. } | State::Waiting { .. } | State::Failed(_) => {}
        }
    }

    /// Whether a main process is alive.
    pub fn main(&self) -> bool {
        match self.state {
            State::Starting { main, .. }
            | State::Up { main, .. }
            | State::Reloading { main, .. }
            | State::Stopping { main, .. }
            | State::Stuck { main, .. } => main,
            State::Down(_) | State::Exited { .. } | State::Waiting { .. } | State::Failed(_) => false,
        }
    }
}

/// The order of a start.
fn after(phase: ExecPhase) -> Option<ExecPhase> {
    match phase {
        ExecPhase::Condition => Some(ExecPhase::StartPre),
        ExecPhase::StartPre => Some(ExecPhase::Start),
        ExecPhase::Start => Some(ExecPhase::StartPost),
        ExecPhase::StartPost | ExecPhase::Reload | ExecPhase::Stop | ExecPhase::StopPost => None,
    }
}
