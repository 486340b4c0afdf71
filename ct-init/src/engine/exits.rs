//! exits: what the end of a process means for its unit, and which process is the main one. Only looks and tells.
use super::kill::stat;
use super::unit::{Id, service};
use super::{Engine, Owner, Want};
use crate::effect::directories::removal;
use slog::{info, warn};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;
use units::machine::{Event, Exit, State};
use units::schema::service::{ExecPhase, ServiceType};
use units::values::Tick;

/// A PIDFile that is not there yet is looked for again after this time, longer each time.
const PID_FILE_FIRST: Duration = Duration::from_millis(10);
const PID_FILE_LAST: Duration = Duration::from_millis(500);

impl Engine {
    /// A child is a zombie: keeps its last words before anybody is told of its end.
    pub fn before_reap(&mut self, pid: i32) {
        self.exec_result(pid);
        let Some(Owner::Main(id) | Owner::Control(id) | Owner::Other(id)) = self.owners.get(&pid).copied()
        else {
            return;
        };
        let at = crate::clock::wall();
        if let Some(slot) = self.slots.get_mut(id.0)
            && let Some(pipe) = &mut slot.run.pipe
        {
            pipe.finish(slot.unit.name.as_str(), &mut self.store, at);
        }
    }

    /// A child has been reaped.
    pub fn exited(&mut self, pid: i32, how: Exit) {
        let owner = self.owners.remove(&pid);
        match owner {
            Some(Owner::Main(id)) => self.main_exited(id, how),
            Some(Owner::Control(id)) => self.control_exited(id, how),
            Some(Owner::Session(link)) => {
                self.wants.push_back(Want::Session(link, crate::session::Progress::Ended(how)));
            }
            Some(Owner::Generator) => self.generator_ended(pid),
            Some(Owner::Check(why)) => self.check_ended(why, how),
            Some(Owner::Other(_)) | None => (),
        }
        match owner {
            Some(Owner::Main(id) | Owner::Control(id) | Owner::Other(id)) => self.check_empty(id),
            // Without cgroups, nobody else tells that a unit's last process has ended.
            Some(Owner::Session(_) | Owner::Generator | Owner::Check(_)) | None => {
                for id in self.every_id() {
                    if self.slot(id).is_some_and(|s| s.run.group.is_none() && !s.run.sessions.is_empty()) {
                        self.check_empty(id);
                    }
                }
            }
        }
    }

    fn main_exited(&mut self, id: Id, how: Exit) {
        let Some(slot) = self.slot_mut(id) else { return };
        slot.run.main = None;
        let oom = slot.run.group.as_ref().map_or(0, crate::cgroup::Group::oom_kills) > slot.run.oom_before;
        let counted = if slot.run.main_ignores_failure { Exit::Code(0) } else { how };
        self.push(id, Event::MainExited(counted, oom));
    }

    fn control_exited(&mut self, id: Id, how: Exit) {
        let Some(slot) = self.slot_mut(id) else { return };
        slot.run.control = None;
        // The phase was given up meanwhile: nobody waits for it.
        let Some(run) = slot.run.phase else { return };
        let unit = Rc::clone(&slot.unit);
        let Some(service) = service(&unit) else { return };
        let ignored = service.exec.of(run.phase).get(run.line).is_some_and(|c| c.ignore_failure);
        if !ignored && !slot.machine.policy().clean_command(how) {
            slot.run.phase = None;
            self.push(id, Event::Done(run.phase, how));
            return;
        }
        if let Some(run) = &mut slot.run.phase {
            run.line += 1;
        }
        let forked = run.phase == ExecPhase::Start && service.kind == ServiceType::Forking;
        self.next_line(id);
        if forked {
            self.look_for_main(id, crate::clock::now());
        }
    }

    /// Forking: the parent has ended well; which process is the main one now?
    pub(super) fn look_for_main(&mut self, id: Id, now: Tick) {
        let Some(slot) = self.slot_mut(id) else { return };
        let tries = slot.run.pid_file.take().map_or(0, |(_, tries)| tries);
        let unit = Rc::clone(&slot.unit);
        let Some(service) = service(&unit) else { return };
        if slot.run.main.is_some() {
            self.push(id, Event::MainFound);
            return;
        }
        let found = match &service.pid_file {
            Some(path) => match self.read_pid_file(id, path) {
                Ok(pid) => Some(pid),
                Err(why) => {
                    if tries == 0 {
                        info!(self.log, "waits for a usable PIDFile="; "unit" => %unit.name, "why" => &why);
                    }
                    self.note(id, why);
                    let wait = PID_FILE_FIRST.saturating_mul(1 << tries.min(10)).min(PID_FILE_LAST);
                    if let Some(slot) = self.slot_mut(id) {
                        slot.run.pid_file = Some((now.after(wait), tries + 1));
                    }
                    return;
                }
            },
            None if service.guess_main_pid => self.only_child(id),
            None => None,
        };
        match found {
            Some(pid) => {
                self.set_main(id, pid);
                self.note(id, String::new());
                self.push(id, Event::MainFound);
            }
            None => self.push(id, Event::MainMissing),
        }
    }

    fn read_pid_file(&self, id: Id, path: &str) -> Result<i32, String> {
        let bytes = self.root.read(path).map_err(|e| crate::chain(&e))?;
        let text = String::from_utf8_lossy(&bytes);
        let pid: i32 = text.trim().parse().map_err(|_| format!("{path} holds no process id"))?;
        let own = std::process::id().cast_signed();
        if pid <= 1 || pid == own {
            return Err(format!("{path} names process {pid}"));
        }
        if stat(pid).is_none_or(|s| s.state == 'Z') {
            return Err(format!("{path} names process {pid}, which is gone"));
        }
        let is_ours = self.belongs(id, pid);
        let by_root = self.root.stat(path).is_some_and(|s| s.st_uid == 0);
        if is_ours || by_root {
            Ok(pid)
        } else {
            Err(format!("{path} names process {pid}, which is not of this unit"))
        }
    }

    /// Whether a process is one of the unit's.
    pub(super) fn belongs(&self, id: Id, pid: i32) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        match &slot.run.group {
            Some(group) => group.holds(pid),
            None => stat(pid).is_some_and(|s| slot.run.sessions.contains(&s.session)),
        }
    }

    /// The one direct child of PID 1 among the unit's processes; more than one is no answer.
    fn only_child(&self, id: Id) -> Option<i32> {
        let slot = self.slot(id)?;
        let all = match &slot.run.group {
            Some(group) => group.processes(),
            None => super::kill::of_sessions(&slot.run.sessions),
        };
        let own = std::process::id().cast_signed();
        let mut children =
            all.into_iter().filter(|pid| stat(*pid).is_some_and(|s| s.parent == own && s.state != 'Z'));
        children.next().filter(|_| children.next().is_none())
    }

    /// From now on this is the main process.
    pub(super) fn set_main(&mut self, id: Id, pid: i32) {
        let Some(slot) = self.slot_mut(id) else { return };
        if let Some(before) = slot.run.main.replace(pid)
            && before != pid
        {
            self.owners.insert(before, Owner::Other(id));
        }
        let Some(slot) = self.slot_mut(id) else { return };
        slot.run.main_ignores_failure = false;
        self.owners.insert(pid, Owner::Main(id));
    }

    /// Nothing of it runs any more: removes what it had.
    pub(super) fn release(&mut self, id: Id, restart_follows: bool) {
        let at = crate::clock::wall();
        let Some(slot) = self.slots.get_mut(id.0) else { return };
        if let Some(pipe) = &mut slot.run.pipe {
            pipe.finish(slot.unit.name.as_str(), &mut self.store, at);
        }
        let unit = Rc::clone(&slot.unit);
        if let Some(service) = service(&unit) {
            crate::effect::directories::remove_runtime(&self.root, &service.context, restart_follows);
        }
        slot.run.identity = None;
        slot.run.pid_file = None;
        slot.run.idle_until = None;
        // A restart begins with a fresh /tmp, too.
        let tmp = slot.run.private_tmp.take();
        if let Some(tmp) = tmp {
            self.remove_later(&tmp);
        }
        if restart_follows {
            return;
        }
        let Some(slot) = self.slot_mut(id) else { return };
        if let Some(Err(e)) = slot.run.group.take().map(crate::cgroup::Group::remove) {
            warn!(self.log, "its cgroup stays"; "unit" => %unit.name, "why" => crate::chain(&e));
        }
        self.store.close(unit.name.as_str());
    }

    /// A child of its own removes a tree; nobody waits for it.
    fn remove_later(&mut self, path: &str) {
        let Some(own) = &self.own else { return };
        let child = removal(own.as_raw_fd(), path)
            .map_err(|e| e.to_string())
            .and_then(|script| ct_sys::spawn(&script, 0, None).map(|_| ()).map_err(|e| e.desc().to_owned()));
        if let Err(why) = child {
            warn!(self.log, "can't remove"; "path" => path, "why" => why);
        }
    }

    /// Whether another unit is on its way up (Type=idle waits for that).
    pub(super) fn others_start(&self, id: Id) -> bool {
        self.every_id().filter(|other| *other != id).any(|other| {
            self.slot(other).is_some_and(|s| {
                matches!(s.machine.state(), State::Starting { .. }) && s.run.idle_until.is_none()
            })
        })
    }
}
