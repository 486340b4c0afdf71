//! command: runs the command lines of a phase, one after the other. Never waits for any of them.
use super::unit::{Id, Nascent, PhaseRun, Script, directive, result_word, service};
use super::{Engine, Owner, Want};
use crate::boot::new_id;
use crate::effect::stdio::Stdio;
use crate::effect::{Identity, Launch, SetupError, directories, script};
use crate::environment::Facts;
use crate::load::check;
use crate::output::pipe::Pipe;
use crate::ready::socket::NOTIFY;
use crate::resume::snapshot::Entry;
use slog::{info, warn};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use units::UnitName;
use units::machine::{Cause, Event, Exit};
use units::name::escape_path;
use units::schema::service::{Command, ExecPhase, NotifyAccess, Service, ServiceType};

/// Type=idle waits at most so long for other jobs.
const IDLE: Duration = Duration::from_secs(5);

impl Engine {
    pub(super) fn run_phase(&mut self, id: Id, phase: ExecPhase) {
        let Some(slot) = self.slot_mut(id) else { return };
        if std::mem::take(&mut slot.run.fresh) {
            if let Some(refused) = self.unmet(id) {
                self.push(id, refused);
                return;
            }
            if let Err(e) = self.begin(id) {
                self.setup_failed(id, phase, &crate::chain(&e));
                return;
            }
        }
        let Some(slot) = self.slot_mut(id) else { return };
        slot.run.phase = Some(PhaseRun { phase, line: 0 });
        let is_idle = slot.service().is_some_and(|s| s.kind == ServiceType::Idle);
        if phase == ExecPhase::Start && is_idle && self.others_start(id) {
            let until = crate::clock::now().after(IDLE);
            if let Some(slot) = self.slot_mut(id) {
                slot.run.idle_until = Some(until);
            }
            return;
        }
        self.next_line(id);
    }

    /// Those that wait for others to start go once none does. Whether there was one.
    pub(super) fn end_idles(&mut self) -> bool {
        let waits = |id: &Id| self.slot(*id).is_some_and(|s| s.run.idle_until.is_some());
        let over = self.every_id().find(|id| waits(id) && !self.others_start(*id));
        over.is_some_and(|id| {
            self.end_idle(id);
            true
        })
    }

    /// Its wait for other jobs is over.
    pub(super) fn end_idle(&mut self, id: Id) {
        if let Some(slot) = self.slot_mut(id) {
            slot.run.idle_until = None;
        }
        self.next_line(id);
    }

    /// Why it must not start, as an event. Says why in its note.
    pub(super) fn unmet(&mut self, id: Id) -> Option<Event> {
        let unit = Rc::clone(&self.slot(id)?.unit);
        let condition = check::unmet(&unit.unit.conditions, &self.root, "Condition", self.level);
        let assert = check::unmet(&unit.unit.asserts, &self.root, "Assert", self.level);
        let (event, what) = match (condition, assert) {
            (Some(what), _) => (Event::Skip, what),
            (None, Some(what)) => (Event::Refuse(Cause::Assert), what),
            (None, None) => return None,
        };
        info!(self.log, "not started"; "unit" => %unit.name, "unmet" => &what);
        self.note(id, format!("{what} is not met"));
        Some(event)
    }

    /// Makes what all processes of one start share.
    fn begin(&mut self, id: Id) -> Result<(), SetupError> {
        let Some(unit) = self.slot(id).map(|s| Rc::clone(&s.unit)) else { return Ok(()) };
        let Some(service) = service(&unit) else { return Ok(()) };
        let invocation = new_id();
        let identity = Identity::find(&self.root, &service.context)?;
        self.ensure_pipe(id)?;
        self.ensure_group(id, service);
        directories::make(&self.root, &service.context, &identity)?;
        let has_tmp = self.slot(id).is_some_and(|s| s.run.private_tmp.is_some());
        if service.context.private_tmp && !self.powers.mounts {
            info!(self.log, "PrivateTmp= is not applied: no mount namespaces here"; "unit" => %unit.name);
        } else if service.context.private_tmp && !has_tmp {
            let made = directories::make_private_tmp(&self.root, unit.name.as_str(), &invocation)?;
            if let Some(slot) = self.slot_mut(id) {
                slot.run.private_tmp = Some(made);
            }
        }
        if let Some(slot) = self.slot_mut(id) {
            slot.run.oom_before = slot.run.group.as_ref().map_or(0, crate::cgroup::Group::oom_kills);
            slot.run.invocation = invocation;
            slot.run.identity = Some(identity);
            slot.run.sessions.clear();
        }
        Ok(())
    }

    fn ensure_pipe(&mut self, id: Id) -> Result<(), SetupError> {
        let Some(slot) = self.slot_mut(id) else { return Ok(()) };
        if slot.run.pipe.is_none() {
            let pipe = Pipe::new().map_err(|e| SetupError::Prepare("the output pipe", e.into()))?;
            slot.run.pipe = Some(pipe);
            self.wants.push_back(Want::Output(id));
        }
        Ok(())
    }

    /// A start without a cgroup of its own is better than none: it is said, and sessions track it.
    fn ensure_group(&mut self, id: Id, service: &Service) {
        let Some(slot) = self.slots.get_mut(id.0) else { return };
        let Some(tree) = self.tree.as_ref().filter(|_| slot.run.group.is_none()) else { return };
        match tree.unit(slot.unit.name.as_str()) {
            Ok(group) => {
                let memory = rustix::system::sysinfo().totalram;
                for notice in tree.limit(&group, &service.resources, memory) {
                    warn!(self.log, "a limit is not in force"; "unit" => %slot.unit.name, "what" => notice);
                }
                slot.run.group = Some(group);
                self.wants.push_back(Want::Group(id));
            }
            Err(e) => {
                warn!(self.log, "no cgroup"; "unit" => %slot.unit.name, "why" => crate::chain(&e));
            }
        }
    }

    /// A group that was killed takes no births: it is made anew, unless something of it is left.
    fn renew_group(&mut self, id: Id, service: &Service) {
        let Some(slot) = self.slot_mut(id) else { return };
        if slot.run.group.as_ref().is_some_and(|g| g.is_spent() && g.remove().is_ok()) {
            slot.run.group = None;
            slot.run.oom_before = 0;
            self.ensure_group(id, service);
        }
    }

    /// Starts the line that is due, or says that the phase is over.
    pub(super) fn next_line(&mut self, id: Id) {
        let Some(slot) = self.slot_mut(id) else { return };
        let Some(run) = slot.run.phase else { return };
        let unit = Rc::clone(&slot.unit);
        let Some(service) = service(&unit) else { return };
        let Some(command) = service.exec.of(run.phase).get(run.line) else {
            slot.run.phase = None;
            if run.phase == ExecPhase::Reload && service.kind == ServiceType::NotifyReload {
                self.signal_main(id, 1);
            }
            self.push(id, Event::Done(run.phase, Exit::Code(0)));
            return;
        };
        if run.phase == ExecPhase::Stop && self.leaving.is_some() && self.holds_logs(&unit.name) {
            self.store.close_all();
        }
        if let Err(e) = self.launch(id, service, run.phase, command) {
            self.line_failed(id, run.phase, command, &crate::chain(&e));
        }
    }

    /// Whether it is the mount that the logs are on, which open files would keep from being let go.
    fn holds_logs(&self, name: &UnitName) -> bool {
        let mounted = |at: &Path| format!("{}.mount", escape_path(&at.to_string_lossy())) == name.as_str();
        self.store.directory().ancestors().any(mounted)
    }

    fn launch(
        &mut self,
        id: Id,
        service: &Service,
        phase: ExecPhase,
        command: &Command,
    ) -> Result<(), SetupError> {
        self.ensure_pipe(id)?;
        self.renew_group(id, service);
        let Some(slot) = self.slots.get(id.0) else { return Ok(()) };
        let Some(pipe) = &slot.run.pipe else { return Ok(()) };
        let stdio = Stdio::open(&self.root, &service.context, pipe.write_end())?;
        let nobody;
        let identity = match &slot.run.identity {
            Some(identity) => identity,
            None => {
                nobody = Identity::find(&self.root, &service.context)?;
                &nobody
            }
        };
        let ending = matches!(phase, ExecPhase::Stop | ExecPhase::StopPost);
        let facts = Facts {
            container: &self.handover.environment,
            user: identity.user.as_ref(),
            invocation: &slot.run.invocation,
            main_pid: slot.run.main,
            notify_socket: (service.notify_access != NotifyAccess::None).then_some(NOTIFY),
            watchdog: service.watchdog.and_then(|w| u64::try_from(w.as_micros()).ok()),
            ended: slot.machine.last_exit().filter(|_| ending),
            result: ending.then(|| result_word(slot.machine.cause())),
            monitor: slot.monitor.as_ref(),
        };
        let private_tmp = slot.run.private_tmp.as_deref();
        let launch = Launch {
            root: &self.root,
            service,
            phase,
            identity,
            stdio: &stdio,
            facts: &facts,
            own: self.own.as_ref().map_or(-1, AsRawFd::as_raw_fd),
            powers: self.powers,
            private_tmp,
        };
        let is_start = phase == ExecPhase::Start;
        let handed = if is_start { self.handed(&slot.unit.name)? } else { Default::default() };
        let script = script(&launch, command, &handed)?;
        let group = slot.run.group.as_ref();
        let cgroup = group.filter(|g| !g.is_spent()).map(crate::cgroup::Group::directory);
        let spawned = ct_sys::spawn(&script, 0, cgroup)
            .map_err(|e| SetupError::Clone(std::io::Error::from_raw_os_error(e as i32)))?;
        let pid = i32::try_from(spawned.pid).unwrap_or(0);
        if let Some(book) = &mut self.book {
            book.note(&Entry::Born(pid));
        }
        if let Some(group) = group.filter(|g| g.is_spent())
            && let Err(e) = group.take_in(pid)
        {
            warn!(self.log, "not in its cgroup"; "unit" => %slot.unit.name, "why" => crate::chain(&e));
        }
        let script = Script::Known(script);
        self.nascent.insert(pid, Nascent { pid, errors: spawned.errors, script });
        self.wants.push_back(Want::Errors(pid));
        if !handed.0.is_empty() {
            let name = slot.unit.name.clone();
            self.leave_to(&name);
        }
        let is_main =
            phase == ExecPhase::Start && !matches!(service.kind, ServiceType::Oneshot | ServiceType::Forking);
        let Some(slot) = self.slot_mut(id) else { return Ok(()) };
        slot.run.sessions.push(pid);
        if is_main {
            slot.run.main = Some(pid);
            slot.run.main_ignores_failure = command.ignore_failure;
            slot.run.phase = None;
            self.owners.insert(pid, Owner::Main(id));
            self.push(id, Event::Forked(phase));
        } else {
            slot.run.control = Some(pid);
            self.owners.insert(pid, Owner::Control(id));
        }
        Ok(())
    }

    /// What a child says about its way to exec. Bytes are a failure, the end of file is success.
    pub fn exec_result(&mut self, pid: i32) {
        let Some(nascent) = self.nascent.get(&pid) else { return };
        let mut report = [0u8; ct_sys::script::REPORT_LEN];
        let failure = match rustix::io::read(&nascent.errors, &mut report) {
            Ok(0) => None,
            Ok(n) => nascent.script.explain(report.get(..n).unwrap_or(&[])),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
            Err(_) => None,
        };
        self.nascent.remove(&pid);
        match (self.owners.get(&pid).copied(), failure) {
            (Some(Owner::Main(id)), None) => self.push(id, Event::Executed(ExecPhase::Start)),
            (Some(Owner::Control(id)), None) => {
                if let Some(run) = self.slot(id).and_then(|s| s.run.phase) {
                    self.push(id, Event::Executed(run.phase));
                }
            }
            (Some(Owner::Main(id)), Some(why)) => {
                self.owners.insert(pid, Owner::Other(id));
                let ignored = self.slot(id).is_some_and(|s| s.run.main_ignores_failure);
                if let Some(slot) = self.slot_mut(id) {
                    slot.run.main = None;
                }
                if ignored {
                    self.push(id, Event::MainExited(Exit::Code(0), false));
                } else {
                    self.setup_failed(id, ExecPhase::Start, &why.to_string());
                }
            }
            (Some(Owner::Control(id)), Some(why)) => {
                self.owners.insert(pid, Owner::Other(id));
                let Some(slot) = self.slot_mut(id) else { return };
                slot.run.control = None;
                let Some(run) = slot.run.phase else { return };
                let unit = Rc::clone(&slot.unit);
                if let Some(command) = service(&unit).and_then(|s| s.exec.of(run.phase).get(run.line)) {
                    self.line_failed(id, run.phase, command, &why.to_string());
                }
            }
            (Some(Owner::Session(link)), failure) => {
                let progress = match failure {
                    None => crate::session::Progress::Executed,
                    Some(why) => crate::session::Progress::refused(&why),
                };
                self.wants.push_back(Want::Session(link, progress));
            }
            (Some(Owner::Check(check)), Some(why)) => self.check_refused(check, &why.to_string()),
            (Some(Owner::Other(_) | Owner::Generator | Owner::Check(_)) | None, _) => (),
        }
    }

    /// A line that could not be executed: with `-` it counts as a success.
    fn line_failed(&mut self, id: Id, phase: ExecPhase, command: &Command, why: &str) {
        if !command.ignore_failure {
            self.setup_failed(id, phase, why);
            return;
        }
        let Some(slot) = self.slot_mut(id) else { return };
        let Some(run) = &mut slot.run.phase else { return };
        run.line += 1;
        let name = slot.unit.name.to_string();
        info!(self.log, "a command could not be executed, as its unit allows"; "unit" => name, "why" => why);
        self.next_line(id);
    }

    fn setup_failed(&mut self, id: Id, phase: ExecPhase, why: &str) {
        let Some(slot) = self.slot_mut(id) else { return };
        slot.run.phase = None;
        let name = slot.unit.name.to_string();
        warn!(self.log, "can't be executed"; "unit" => name, "what" => directive(phase), "why" => why);
        self.note(id, format!("{} {why}", directive(phase)));
        self.push(id, Event::SetupFailed(phase));
    }

    pub(super) fn note(&mut self, id: Id, note: String) {
        if let Some(slot) = self.slot_mut(id) {
            slot.note = note;
        }
    }
}
