//! kill: ends processes of a unit as KillMode= says, and finds out whether any is left. Never waits for an end.
use super::Engine;
use super::unit::{Id, Slot};
use std::collections::BTreeSet;
use units::machine::State;
use units::schema::service::KillMode;
use units::values::Signal;

const SIGHUP: u8 = 1;
const SIGKILL: u8 = 9;
const SIGCONT: u8 = 18;

impl Engine {
    pub(super) fn term(&mut self, id: Id) {
        let Some(slot) = self.slot_mut(id) else { return };
        slot.run.phase = None;
        slot.run.pid_file = None;
        slot.run.idle_until = None;
        let Some(service) = slot.service() else { return };
        let signal =
            if slot.machine.restart_follows() { service.restart_kill_signal } else { service.kill_signal };
        let hangup = service.send_sighup;
        let to: BTreeSet<i32> = match service.kill_mode {
            KillMode::None => BTreeSet::new(),
            KillMode::Process | KillMode::Mixed => own(slot),
            KillMode::ControlGroup => everything(slot),
        };
        for pid in to {
            crate::reap::send(pid, signal.0);
            // A stopped process can't act on it before it goes on.
            crate::reap::send(pid, SIGCONT);
            if hangup {
                crate::reap::send(pid, SIGHUP);
            }
        }
        self.check_empty(id);
    }

    pub(super) fn abort(&mut self, id: Id) {
        let Some(slot) = self.slot_mut(id) else { return };
        slot.run.phase = None;
        let signal = slot.service().map_or(Signal(6), |s| s.watchdog_signal);
        for pid in own(slot) {
            crate::reap::send(pid, signal.0);
        }
        self.check_empty(id);
    }

    pub(super) fn kill(&mut self, id: Id) {
        let Some(slot) = self.slot_mut(id) else { return };
        slot.run.phase = None;
        slot.run.pid_file = None;
        slot.run.idle_until = None;
        let Some(service) = slot.service() else { return };
        let signal = service.final_kill_signal;
        match (service.kill_mode, &slot.run.group) {
            (KillMode::None, _) => (),
            (KillMode::Mixed | KillMode::ControlGroup, Some(group)) if signal.0 == SIGKILL => group.kill(),
            (KillMode::Mixed | KillMode::ControlGroup, _) => {
                everything(slot).into_iter().for_each(|pid| crate::reap::send(pid, signal.0));
            }
            (KillMode::Process, _) => {
                own(slot).into_iter().for_each(|pid| crate::reap::send(pid, signal.0));
            }
        }
        self.check_empty(id);
    }

    pub(super) fn kill_control(&mut self, id: Id) {
        if let Some(slot) = self.slot_mut(id) {
            slot.run.phase = None;
            if let Some(pid) = slot.run.control {
                crate::reap::send(pid, SIGKILL);
            }
        }
    }

    pub(super) fn signal_main(&mut self, id: Id, signal: u8) {
        if let Some(pid) = self.slot(id).and_then(|s| s.run.main) {
            crate::reap::send(pid, signal);
        }
    }

    /// This signal to all of a unit, at a person's request.
    pub fn signal_all(&mut self, id: Id, signal: u8) {
        let Some(slot) = self.slot(id) else { return };
        everything(slot).into_iter().for_each(|pid| crate::reap::send(pid, signal));
    }

    /// Whether nothing is left that KillMode= reaches. A unit at rest has nothing to be asked about.
    pub(super) fn is_empty(&self, id: Id) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        if matches!(slot.machine.state(), State::Down(_) | State::Failed(_) | State::Waiting { .. }) {
            return false;
        }
        // Ended ones count until they are reaped: their end has to be told first.
        if slot.run.main.is_some() || slot.run.control.is_some() || slot.run.idle_until.is_some() {
            return false;
        }
        match slot.service().map(|s| s.kill_mode) {
            Some(KillMode::Process | KillMode::None) => true,
            Some(KillMode::Mixed | KillMode::ControlGroup) | None => match &slot.run.group {
                Some(group) => !group.is_populated(),
                None => of_sessions(&slot.run.sessions).is_empty(),
            },
        }
    }
}

/// The main process and the command that runs.
fn own(slot: &Slot) -> BTreeSet<i32> {
    slot.run.main.into_iter().chain(slot.run.control).collect()
}

fn everything(slot: &Slot) -> BTreeSet<i32> {
    let mut all = own(slot);
    match &slot.run.group {
        Some(group) => all.extend(group.processes()),
        None => all.extend(of_sessions(&slot.run.sessions)),
    }
    all
}

/// Live processes of these sessions, from /proc: what stands in for a cgroup.
pub(crate) fn of_sessions(sessions: &[i32]) -> Vec<i32> {
    if sessions.is_empty() {
        return Vec::new();
    }
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        stat(*pid).is_some_and(|s| s.state != 'Z' && s.state != 'X' && sessions.contains(&s.session))
    })
    .collect()
}

/// A few fields of /proc/PID/stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) parent: i32,
    pub(super) session: i32,
}

pub(super) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in parentheses may hold anything, so the fields begin behind the last of them.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let _group = fields.next()?;
    let session = fields.next()?.parse().ok()?;
    Some(Stat { state, parent, session })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_can_not_forge_its_fields() {
        let check = |text: &str, expect: Option<(char, i32, i32)>| {
            assert_eq!(parse_stat(text).map(|s| (s.state, s.parent, s.session)), expect, "{text}");
        };
        check("12 (sh) S 1 12 12 0", Some(('S', 1, 12)));
        check("12 (x) Z 9 9 9) S 1 12 7 0", Some(('S', 1, 7)));
        check("12 (sh) S", None);
        check("", None);
    }

    #[test]
    fn no_session_has_no_process() {
        assert!(of_sessions(&[]).is_empty());
        assert!(of_sessions(&[i32::MAX]).is_empty());
    }
}
