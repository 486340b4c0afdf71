//! announce: what the news of one unit means for others: dependents, waiting people, OnFailure=. Never for itself.
use super::unit::{Aim, Id, reason, result_word};
use super::{Engine, Want};
use crate::environment::Monitor;
use crate::host::Level;
use crate::proto::{Leave, Report};
use slog::{info, warn};
use units::graph::Ended;
use units::machine::{Cause, Event, Outcome, State, Wanted};
use units::schema::unit::{Action, Force};

impl Engine {
    pub(super) fn announce(&mut self, id: Id, outcome: Outcome) {
        let Some(slot) = self.slot(id) else { return };
        let name = slot.unit.name.clone();
        let at_rest = slot.machine.is_at_rest();
        match outcome {
            Outcome::Up => {
                info!(self.log, "up"; "unit" => %name);
                if name.suffix() == "mount" || name.as_str() == crate::host::fstab::ROOT {
                    self.store.try_again();
                }
            }
            Outcome::Skipped => (),
            Outcome::Reloaded(true) => info!(self.log, "reloaded"; "unit" => %name),
            Outcome::Reloaded(false) => warn!(self.log, "could not be reloaded"; "unit" => %name),
            Outcome::Down => info!(self.log, "down"; "unit" => %name),
            Outcome::Failed(cause) => {
                warn!(self.log, "failed"; "unit" => %name, "why" => reason(slot, cause));
            }
        }
        match outcome {
            Outcome::Up | Outcome::Skipped | Outcome::Down => self.scheduler.ended(&name, Ended::Done),
            Outcome::Failed(_) => self.scheduler.ended(&name, Ended::Failed),
            Outcome::Reloaded(_) => (),
        }
        self.answer(id, outcome);
        let now = crate::clock::now();
        if outcome == Outcome::Up {
            self.begin_timer(id, now);
            self.timers_of(&name, true, now);
        }
        if at_rest {
            self.end_timer(id);
            self.timers_of(&name, false, now);
            self.close_sockets(id);
            self.listen_again(id);
        }
        if at_rest && matches!(outcome, Outcome::Down | Outcome::Failed(_)) && self.leaving.is_none() {
            self.take_along(id);
            self.follow_up(id, outcome);
            self.end_action(id);
        }
    }

    /// Units bound to one that went down by itself go down too.
    fn take_along(&mut self, id: Id) {
        let Some(slot) = self.slot(id) else { return };
        let name = slot.unit.name.clone();
        // Most units have nobody bound to them: the graph is not made for nothing.
        if !self.slots.iter().any(|s| s.unit.unit.binds_to.contains(&name)) {
            return;
        }
        for name in self.ask(|graph| graph.bound_to(&name)) {
            if let Some(other) =
                self.find(&name).filter(|o| self.slot(*o).is_some_and(|s| !s.machine.is_at_rest()))
            {
                self.push(other, Event::Stop);
            }
        }
    }

    /// OnFailure= and OnSuccess=.
    fn follow_up(&mut self, id: Id, outcome: Outcome) {
        let Some(slot) = self.slot(id) else { return };
        let names = match slot.machine.state() {
            State::Failed(_) => slot.unit.unit.on_failure.clone(),
            State::Down(_) if outcome == Outcome::Down => slot.unit.unit.on_success.clone(),
            State::Down(_)
            | State::Starting { .. }
            | State::Up { .. }
            | State::Exited { .. }
            | State::Reloading { .. }
            | State::Stopping { .. }
            | State::Stuck { .. }
            | State::Waiting { .. } => return,
        };
        if names.is_empty() {
            return;
        }
        let monitor = Monitor {
            unit: slot.unit.name.to_string(),
            invocation: slot.run.invocation.clone(),
            result: result_word(slot.machine.cause()).to_owned(),
            ended: slot.machine.last_exit(),
        };
        for name in names {
            self.load(std::slice::from_ref(&name));
            if let Some(slot) = self.find(&name).and_then(|other| self.slot_mut(other)) {
                slot.monitor = Some(monitor.clone());
            }
            // These two are gone to: beside half a boot a shell on the console would be of no use.
            if self.level == Level::Host && ["emergency.target", "rescue.target"].contains(&name.as_str()) {
                self.wants.push_back(Want::Go(name));
                continue;
            }
            if let Err(why) = self.start(std::slice::from_ref(&name)) {
                warn!(self.log, "can't start what should follow"; "unit" => %name, "why" => why);
            }
        }
    }

    fn answer(&mut self, id: Id, outcome: Outcome) {
        let Some(slot) = self.slots.get_mut(id.0) else { return };
        let name = slot.unit.name.clone();
        let at_rest = slot.machine.is_at_rest();
        let why = match outcome {
            Outcome::Failed(cause) => reason(slot, cause),
            Outcome::Up | Outcome::Reloaded(_) | Outcome::Skipped | Outcome::Down => String::new(),
        };
        let mut waiting = std::mem::take(&mut slot.waiters);
        waiting.retain(|waiter| {
            let result = match (waiter.aim, outcome) {
                (Aim::Start | Aim::Restart, Outcome::Up | Outcome::Skipped) => Ok(()),
                (Aim::Start | Aim::Restart, Outcome::Failed(_)) => Err(format!("{name}: {why}")),
                (Aim::Start, Outcome::Down) => Ok(()),
                (Aim::Restart, Outcome::Down) if !at_rest => return true,
                (Aim::Restart, Outcome::Down) => Err(format!("{name} was stopped meanwhile")),
                (Aim::Stop, Outcome::Failed(_)) if !at_rest => Err(format!("{name}: {why}")),
                (Aim::Stop, Outcome::Down | Outcome::Failed(_) | Outcome::Skipped) => Ok(()),
                (Aim::Stop, Outcome::Up) => Err(format!("{name} was started meanwhile")),
                (Aim::Reload, Outcome::Reloaded(true)) => Ok(()),
                (Aim::Reload, Outcome::Reloaded(false)) => Err(format!("{name} could not reload")),
                (Aim::Reload, Outcome::Down | Outcome::Failed(_)) => Err(format!("{name} has ended")),
                (Aim::Reload, Outcome::Up | Outcome::Skipped) => return true,
                (Aim::Start | Aim::Stop | Aim::Restart, Outcome::Reloaded(_)) => return true,
            };
            let report = Report::Done { tag: waiter.tag, result };
            self.wants.push_back(Want::Tell(waiter.link, report));
            false
        });
        if let Some(slot) = self.slots.get_mut(id.0) {
            slot.waiters = waiting;
        }
    }

    /// All jobs are over: who still waits for a unit that rests is told so. Its job was dropped (a cycle was cut, or it
    /// runs nothing and was skipped), so that no news of it came.
    pub(super) fn answer_forgotten(&mut self) {
        if !self.scheduler.is_done() {
            return;
        }
        for id in self.every_id() {
            let Some(slot) = self.slots.get_mut(id.0).filter(|s| !s.waiters.is_empty()) else { continue };
            if !slot.machine.is_at_rest() {
                continue;
            }
            let skipped = matches!(slot.machine.state(), State::Down(Some(Cause::Skipped)));
            let result = if skipped { Ok(()) } else { Err(format!("{} was not started", slot.unit.name)) };
            for waiter in std::mem::take(&mut slot.waiters) {
                let result = if waiter.aim == Aim::Stop { Ok(()) } else { result.clone() };
                let report = Report::Done { tag: waiter.tag, result };
                self.wants.push_back(Want::Tell(waiter.link, report));
            }
        }
    }

    pub(super) fn limit_action(&mut self, id: Id) {
        let Some(slot) = self.slot(id) else { return };
        warn!(self.log, "its start limit is hit"; "unit" => %slot.unit.name);
        self.ask_of_container(id, "StartLimitAction=", slot.unit.unit.start_limit_action);
    }

    /// FailureAction=, and SuccessAction= of what ended by itself.
    fn end_action(&mut self, id: Id) {
        let Some(slot) = self.slot(id) else { return };
        let by_itself = slot.machine.wanted() == Wanted::Up;
        match slot.machine.state() {
            // It did not run, so it can't have failed in what it does.
            State::Failed(Cause::Dependency | Cause::Assert) => (),
            State::Failed(_) => self.ask_of_container(id, "FailureAction=", slot.unit.unit.failure_action),
            State::Down(_) if by_itself => {
                self.ask_of_container(id, "SuccessAction=", slot.unit.unit.success_action);
            }
            State::Down(_)
            | State::Starting { .. }
            | State::Up { .. }
            | State::Exited { .. }
            | State::Reloading { .. }
            | State::Stopping { .. }
            | State::Stuck { .. }
            | State::Waiting { .. } => (),
        }
    }

    /// From within the queue: the loop does it when it is through.
    fn ask_of_container(&mut self, id: Id, key: &str, action: Action) {
        let (why, force) = match action {
            Action::None => return,
            Action::Reboot(force) => (Leave::Reboot, force),
            Action::PowerOff(force) => (Leave::PowerOff, force),
        };
        let Some(slot) = self.slot(id) else { return };
        warn!(self.log, "ends the container"; "unit" => %slot.unit.name, "key" => key, "how" => %action);
        let notice = format!("{} ends the container: {key}{action}", slot.unit.name);
        self.wants.push_back(Want::TellAll(Report::Notice(notice)));
        self.wants.push_back(match force {
            Force::Orderly => Want::Leave(why),
            Force::Forced | Force::Immediate => Want::End(why),
        });
    }
}
