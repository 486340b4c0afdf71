//! action: what a container asks of the host: StartLimitAction=, FailureAction=, SuccessAction=. Never waits for it.
use super::Daemon;
use super::workers::Whom;
use slog::{info, warn};
use std::process::{Command, ExitStatus, Stdio};
use units::machine::{Cause, Outcome, State, Wanted};
use units::schema::unit::{Action, Force};
use units::schema::{Unit, UnitSection};

impl Daemon {
    /// Its start limit is hit.
    pub(super) fn limit_action(&mut self, name: &str) {
        warn!(self.log, "started too often, left down"; "ct" => name);
        self.ask_host(name, "StartLimitAction=", |unit| unit.start_limit_action);
    }

    /// It is at rest: failed for good, or ended well by itself.
    pub(super) fn end_action(&mut self, name: &str, outcome: Outcome) {
        let Some(c) = self.fleet.get(name) else { return };
        let by_itself = c.machine.wanted() == Wanted::Up;
        match (outcome, c.machine.state()) {
            // It did not run, so it can't have failed in what it does.
            (Outcome::Failed(Cause::Dependency | Cause::Assert), _) => {}
            (Outcome::Failed(_), State::Failed(_)) => {
                self.ask_host(name, "FailureAction=", |unit| unit.failure_action);
            }
            (Outcome::Down, State::Down(_)) if by_itself => {
                self.ask_host(name, "SuccessAction=", |unit| unit.success_action);
            }
            // A restart follows, it is stuck, or its owner wanted it down.
            (Outcome::Failed(_) | Outcome::Down, _) => {}
            (Outcome::Up | Outcome::Skipped | Outcome::Reloaded(_), _) => {}
        }
    }

    /// By a program of the host's init, as a worker: whatever comes of it, the loop goes on.
    fn ask_host(&mut self, name: &str, key: &str, of: fn(&UnitSection) -> Action) {
        let unit: Option<&Unit> = self.fleet.get(name).and_then(|c| c.unit.as_ref());
        let action = unit.map_or(Action::None, |u| of(&u.unit));
        let (words, force) = match action {
            Action::None => return,
            Action::Reboot(force) => (&self.conf.reboot_command, force),
            Action::PowerOff(force) => (&self.conf.poweroff_command, force),
        };
        let asked = format!("{action} of the host ({key})");
        if self.leaving || self.asked_of_host >= action {
            info!(self.log, "not asked again"; "ct" => name, "for" => &asked);
            return;
        }
        let Some((program, words)) = words.split_first() else { return };
        let mut command = Command::new(program);
        command.args(words).args(flags(force)).stdin(Stdio::null());
        self.asked_of_host = action;
        warn!(self.log, "asks the host's init"; "ct" => name, "for" => &asked);
        self.event(name, None, "action", &format!("asks for {asked}"));
        if let Some(c) = self.fleet.get_mut(name) {
            c.asked = format!("asked for {asked}");
        }
        self.launch_worker(command, Whom::Host(name.to_owned(), asked));
    }

    /// The program has ended. Well: now it is the init's turn, and what it stops will be stopped.
    pub(super) fn host_was_asked(&mut self, name: &str, asked: &str, how: std::io::Result<ExitStatus>) {
        let why = match how {
            Ok(status) if status.success() => {
                return info!(self.log, "the host's init was asked"; "for" => asked);
            }
            Ok(status) => status.to_string(),
            Err(e) => e.to_string(),
        };
        // The next one may have more luck.
        self.asked_of_host = Action::None;
        self.warn("the host's init could not be asked", name, &format!("{asked}: {why}"));
        self.event(name, None, "action", &format!("could not ask for {asked}: {why}"));
        if let Some(c) = self.fleet.get_mut(name) {
            c.asked = format!("could not ask for {asked}: {why}");
        }
    }
}

/// As the programs of all inits take them.
fn flags(force: Force) -> &'static [&'static str] {
    match force {
        Force::Orderly => &[],
        Force::Forced => &["-f"],
        Force::Immediate => &["-f", "-f"],
    }
}
