//! machine: the way down, rung by rung, and what follows it. Every rung ends: by an answer or by its deadline.
use super::life::{Machine, Turn};
use super::moves::By;
use super::{Cause, Exit, Intent, Outcome, ReadyRule, ReloadStep, State, StopStep, Then};
use crate::schema::{ExecPhase, KillMode};
use std::time::Duration;

/// What could not be set up is not tried again before this, whatever its policy says.
const NOT_BEGUN: Duration = Duration::from_millis(100);

impl Machine {
    /// Where a unit that was up and has not failed begins its way down.
    pub(super) fn first_rung(&self) -> StopStep {
        if self.policy.has_stop { StopStep::Command } else { StopStep::Term }
    }

    /// Leaves whatever it does for this rung of the ladder.
    pub(super) fn descend(&mut self, step: StopStep, cause: Option<Cause>, then: Then, turn: &mut Turn) {
        if self.run.up.is_some_and(|up| turn.now.since(up) >= self.policy.healthy(self.counts.tries)) {
            self.counts.tries = 0;
        }
        self.waits = Default::default();
        self.state = State::Stopping { step, cause, main: self.main(), then };
        if self.policy.is_passive() {
            return self.finish(turn);
        }
        self.enter_rung(step, turn);
    }

    fn enter_rung(&mut self, to: StopStep, turn: &mut Turn) {
        let State::Stopping { step, .. } = &mut self.state else { return };
        *step = to;
        self.waits.step = self.time_of(to).deadline(turn.now);
        match to {
            StopStep::Own => {}
            StopStep::Command => turn.say(Intent::Run(ExecPhase::Stop)),
            StopStep::Post => turn.say(Intent::Run(ExecPhase::StopPost)),
            StopStep::Term | StopStep::FinalTerm => turn.say(Intent::Term),
            StopStep::Abort => turn.say(Intent::Abort),
            StopStep::Kill | StopStep::FinalKill => turn.say(Intent::Kill),
        }
    }

    /// Its owner wants it down.
    pub(super) fn go_down(&mut self, then: Then, turn: &mut Turn) {
        self.leave_reload(turn);
        let starts = matches!(self.state, State::Starting { .. });
        // ExecStop= is for what has come up.
        let step = if starts { StopStep::Term } else { self.first_rung() };
        self.descend(step, None, then, turn);
    }

    /// A reload that will not end any more is answered.
    pub(super) fn leave_reload(&mut self, turn: &mut Turn) {
        let State::Reloading { step, .. } = self.state else { return };
        if step != ReloadStep::Ready {
            turn.say(Intent::KillControl);
        }
        turn.say(Intent::Announce(Outcome::Reloaded(false)));
    }

    /// Its owner has a word on what follows.
    pub(super) fn turn_to(&mut self, to: Then, turn: &mut Turn) {
        let State::Stopping { then, step, .. } = &mut self.state else { return };
        *then = to;
        // Nothing was sent yet: it need not be waited for any longer.
        if *step == StopStep::Own {
            self.enter_rung(StopStep::Term, turn);
        }
    }

    /// Its owner wants it down without the polite part.
    pub(super) fn kill_now(&mut self, turn: &mut Turn) {
        if let State::Stuck { then, .. } = &mut self.state {
            *then = Then::Rest;
            turn.say(Intent::Kill);
            return turn.say(Intent::Announce(Outcome::Failed(Cause::StopTimeout)));
        }
        let State::Stopping { step, then, .. } = &mut self.state else {
            self.leave_reload(turn);
            return self.descend(StopStep::Kill, None, Then::Rest, turn);
        };
        *then = Then::Rest;
        match *step {
            StopStep::Own | StopStep::Command | StopStep::Term | StopStep::Abort => {
                self.enter_rung(StopStep::Kill, turn);
            }
            StopStep::Post | StopStep::FinalTerm => self.enter_rung(StopStep::FinalKill, turn),
            // Its deadline runs already.
            StopStep::Kill | StopStep::FinalKill => {}
        }
    }

    /// It goes by itself; `cause` is what the guest said.
    pub(super) fn goes_down(&mut self, cause: Option<Cause>, turn: &mut Turn) {
        self.leave_reload(turn);
        let reboot = cause == Some(Cause::GuestReboot);
        self.descend(StopStep::Own, cause, if reboot { Then::Reboot } else { Then::Policy }, turn);
    }

    /// The watchdog bit.
    pub(super) fn unwell(&mut self, turn: &mut Turn) {
        self.leave_reload(turn);
        let step = if self.main() { StopStep::Abort } else { StopStep::Term };
        self.descend(step, Some(Cause::Watchdog), Then::Policy, turn);
    }

    /// Its health check failed too often. It still hears, so it is asked to stop.
    pub(super) fn unhealthy(&mut self, turn: &mut Turn) {
        self.leave_reload(turn);
        self.descend(StopStep::Term, Some(Cause::Unhealthy), Then::Policy, turn);
    }

    pub(super) fn main_ended(&mut self, exit: Exit, oom: bool, turn: &mut Turn) {
        if !self.main() && !matches!(self.state, State::Starting { .. }) {
            // Not the one it has: an earlier main process of the same run.
            return;
        }
        self.run.exit = Some(exit);
        let clean = self.policy.clean_main(exit);
        self.main_gone(if oom && !clean { Cause::OomKill(exit) } else { Cause::Exited(exit) }, turn);
    }

    /// There is no main process any more, because of this.
    pub(super) fn main_gone(&mut self, cause: Cause, turn: &mut Turn) {
        self.set_main(false);
        match self.state {
            State::Starting { phase, .. } => self.main_gone_early(phase, cause, turn),
            State::Up { .. } | State::Reloading { .. } => {
                self.leave_reload(turn);
                self.gone_while_up(cause, turn);
            }
            State::Stopping { step, .. } => self.main_gone_late(step, cause, turn),
            // The way down goes on when the rest is gone too.
            State::Stuck { .. } => {}
            State::Down(_) | State::Exited { .. } | State::Waiting { .. } | State::Failed(_) => {}
        }
    }

    fn gone_while_up(&mut self, cause: Cause, turn: &mut Turn) {
        if self.policy.is_failure(cause) {
            self.descend(StopStep::Term, Some(cause), Then::Policy, turn);
        } else {
            self.ended_well(cause, turn);
        }
    }

    fn main_gone_early(&mut self, phase: ExecPhase, cause: Cause, turn: &mut Turn) {
        match (phase, self.policy.ready) {
            (ExecPhase::Start, ReadyRule::Told) => {
                let cause = match cause {
                    Cause::Exited(_) => Cause::NeverReady,
                    told_better => told_better,
                };
                self.descend(StopStep::Term, Some(cause), Then::Policy, turn);
            }
            // It ended before its beginning was reported; ended well, it has begun.
            (ExecPhase::Start, ReadyRule::Forked | ReadyRule::Executed) if !self.policy.is_failure(cause) => {
                self.run.ended = Some(cause);
                self.next_phase(turn);
            }
            (ExecPhase::Start, ReadyRule::Forked | ReadyRule::Executed) => {
                self.descend(StopStep::Term, Some(cause), Then::Policy, turn);
            }
            // `Done` ends the phase.
            (ExecPhase::Start, ReadyRule::Finished | ReadyRule::Daemonized) => self.run.ended = Some(cause),
            (
                ExecPhase::StartPost,
                ReadyRule::Forked
                | ReadyRule::Executed
                | ReadyRule::Daemonized
                | ReadyRule::Finished
                | ReadyRule::Told,
            ) => self.run.ended = Some(cause),
            // There was none yet, or these are no phases of a start.
            (
                ExecPhase::Condition
                | ExecPhase::StartPre
                | ExecPhase::Reload
                | ExecPhase::Stop
                | ExecPhase::StopPost,
                ReadyRule::Forked
                | ReadyRule::Executed
                | ReadyRule::Daemonized
                | ReadyRule::Finished
                | ReadyRule::Told,
            ) => {}
        }
    }

    fn main_gone_late(&mut self, step: StopStep, cause: Cause, turn: &mut Turn) {
        match step {
            // What it left is told to end.
            StopStep::Own => {
                self.blame(cause);
                self.enter_rung(StopStep::Term, turn);
            }
            StopStep::Term | StopStep::Abort => {
                self.blame(cause);
                if self.policy.kill_mode == KillMode::Mixed && self.policy.send_sigkill {
                    self.enter_rung(StopStep::Kill, turn);
                }
            }
            StopStep::Command | StopStep::Post | StopStep::FinalTerm => self.blame(cause),
            // Our own doing.
            StopStep::Kill | StopStep::FinalKill => {}
        }
    }

    /// The first failure stays the cause; what the guest said, and a skip, are not overruled by how it then ended.
    fn blame(&mut self, new: Cause) {
        let State::Stopping { cause, .. } = &mut self.state else { return };
        match *cause {
            None => *cause = Some(new),
            Some(Cause::GuestReboot | Cause::GuestHalt | Cause::Skipped) => {}
            Some(old) if !self.policy.is_failure(old) && self.policy.is_failure(new) => *cause = Some(new),
            Some(_first) => {}
        }
    }

    /// ExecStop= or ExecStopPost= has ended, or (none) could not be carried out.
    pub(super) fn rung_done(&mut self, phase: ExecPhase, exit: Option<Exit>, turn: &mut Turn) {
        match exit {
            Some(exit) if self.policy.clean_command(exit) => {}
            Some(exit) => self.blame(Cause::Command(phase, exit)),
            None => self.blame(Cause::Setup(phase)),
        }
        let post = phase == ExecPhase::StopPost;
        self.enter_rung(if post { StopStep::FinalTerm } else { StopStep::Term }, turn);
    }

    /// The deadline of this rung has passed.
    pub(super) fn rung_due(&mut self, step: StopStep, turn: &mut Turn) {
        self.blame(Cause::StopTimeout);
        let kill = self.policy.send_sigkill;
        match step {
            StopStep::Own | StopStep::Command => self.enter_rung(StopStep::Term, turn),
            StopStep::Term | StopStep::Abort if kill => self.enter_rung(StopStep::Kill, turn),
            // SendSIGKILL=no: what is left is left alone, but what comes after it still comes.
            StopStep::Term | StopStep::Abort if self.policy.has_stop_post => {
                self.enter_rung(StopStep::Post, turn);
            }
            StopStep::Post => self.enter_rung(StopStep::FinalTerm, turn),
            StopStep::FinalTerm if kill => self.enter_rung(StopStep::FinalKill, turn),
            StopStep::Term | StopStep::Abort | StopStep::Kill | StopStep::FinalTerm | StopStep::FinalKill => {
                self.get_stuck(turn)
            }
        }
    }

    fn get_stuck(&mut self, turn: &mut Turn) {
        let State::Stopping { step, cause, main, then } = self.state else { return };
        let cause = cause.unwrap_or(Cause::StopTimeout);
        self.waits = Default::default();
        self.state = State::Stuck { step, cause, main, then };
        turn.say(Intent::Announce(Outcome::Failed(Cause::StopTimeout)));
    }

    /// Stuck, and its owner asks for something: one more try, and the answer is the same until that helps.
    pub(super) fn try_again(&mut self, to: Then, turn: &mut Turn) {
        let State::Stuck { then, .. } = &mut self.state else { return };
        *then = to;
        turn.say(if self.policy.send_sigkill { Intent::Kill } else { Intent::Term });
        if to == Then::Again && self.policy.leaves_behind {
            self.last = Some(Cause::StopTimeout);
            turn.say(Intent::Release(true));
            return self.begin(By::Owner, true, turn);
        }
        turn.say(Intent::Announce(Outcome::Failed(Cause::StopTimeout)));
    }

    /// Nothing of it runs.
    pub(super) fn emptied(&mut self, turn: &mut Turn) {
        if self.main() {
            // Of an earlier moment: the end of the main process comes first.
            return;
        }
        match self.state {
            State::Up { .. } | State::Reloading { .. } => {
                self.leave_reload(turn);
                self.gone_while_up(Cause::Exited(Exit::Unknown), turn);
            }
            State::Starting { phase: ExecPhase::Start, .. } if self.run.daemonized => {
                self.descend(StopStep::Term, Some(Cause::Protocol), Then::Policy, turn);
            }
            State::Stopping { step, .. } => self.emptied_at(step, turn),
            State::Stuck { step, cause, main, then } => {
                self.state = State::Stopping { step, cause: Some(cause), main, then };
                self.emptied_at(step, turn);
            }
            // Between two commands of a start; or there is nothing to wait for.
            State::Starting { .. }
            | State::Down(_)
            | State::Exited { .. }
            | State::Waiting { .. }
            | State::Failed(_) => {}
        }
    }

    fn emptied_at(&mut self, step: StopStep, turn: &mut Turn) {
        match step {
            StopStep::Own | StopStep::Term | StopStep::Abort | StopStep::Kill
                if self.policy.has_stop_post =>
            {
                self.enter_rung(StopStep::Post, turn);
            }
            StopStep::Own | StopStep::Term | StopStep::Abort | StopStep::Kill => self.finish(turn),
            StopStep::FinalTerm | StopStep::FinalKill => self.finish(turn),
            // Between two commands; `Done` ends these.
            StopStep::Command | StopStep::Post => {}
        }
    }

    /// The last rung: it is down. Now what follows.
    fn finish(&mut self, turn: &mut Turn) {
        let State::Stopping { cause, then, .. } = self.state else { return };
        self.last = cause;
        match then {
            Then::Again => {
                turn.say(Intent::Release(true));
                self.begin(By::Owner, true, turn);
            }
            Then::Reboot => {
                turn.say(Intent::Release(true));
                self.begin(By::Guest, true, turn);
            }
            Then::Rest => self.rest(cause, true, turn),
            Then::Policy => {
                let cause = cause.unwrap_or(Cause::Exited(Exit::Unknown));
                if self.policy.restarts_after(cause, self.run.exit) {
                    self.wait(cause, turn);
                } else {
                    self.rest(Some(cause), true, turn);
                }
            }
        }
    }

    /// An automatic restart follows, now or after its delay.
    fn wait(&mut self, cause: Cause, turn: &mut Turn) {
        let failed = self.policy.is_failure(cause);
        turn.say(Intent::Release(true));
        turn.say(Intent::Announce(if failed { Outcome::Failed(cause) } else { Outcome::Down }));
        self.last = Some(cause);
        let delay = self.policy.wait(self.counts.tries);
        // What could not even begin fails again within the same turn of the loop, which would never end.
        let delay = if matches!(cause, Cause::Setup(_)) { delay.max(NOT_BEGUN) } else { delay };
        if delay.is_zero() {
            return self.begin(By::Policy, true, turn);
        }
        let until = turn.now.after(delay);
        self.state = State::Waiting { until, cause };
        self.waits.step = Some(until);
    }

    pub(super) fn give_up_waiting(&mut self, turn: &mut Turn) {
        let State::Waiting { cause, .. } = self.state else { return };
        self.waits = Default::default();
        self.state = State::Down(Some(cause));
        turn.say(Intent::Release(false));
        turn.say(Intent::Announce(Outcome::Down));
    }

    /// At rest, well or not. `held`: it has something to give back.
    pub(super) fn rest(&mut self, cause: Option<Cause>, held: bool, turn: &mut Turn) {
        self.waits = Default::default();
        self.last = cause;
        let (state, outcome) = match cause {
            Some(Cause::Skipped) => (State::Down(cause), Outcome::Skipped),
            Some(cause) if self.policy.is_failure(cause) => (State::Failed(cause), Outcome::Failed(cause)),
            Some(_) | None => (State::Down(cause), Outcome::Down),
        };
        self.state = state;
        if held {
            turn.say(Intent::Release(false));
        }
        turn.say(Intent::Announce(outcome));
    }
}
