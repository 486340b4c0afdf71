//! life: carries out what a container's life cycle asks for, and feeds back what came of it.
use super::fleet::{Launching, Run};
use super::{Daemon, Source, now};
use crate::apply;
use crate::control::protocol::{EventRow, ExitRow};
use crate::control::protocol::{Fault, FaultKind, words};
use crate::control::target::ContainerName;
use crate::load::unit_name;
use crate::plan::{self, Group, Step, Tree};
use crate::spec::{Init, Spec};
use crate::{observe, state};
use ct_init::host::Level;
use ct_init::load::check::unmet;
use ct_init::proto::Request;
use nix::libc;
use slog::{info, warn};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use units::UnitName;
use units::graph::Ended;
use units::machine::{Cause, Event, Exit, Intent, Outcome, State};
use units::schema::ExecPhase;
use units::values::Signal;

/// How a child ends that did not come to its exec: nobody let it go, or an operation before it failed.
const NEVER_EXECUTED: Exit = Exit::Code(127);

impl Daemon {
    /// One event for one container, and all that follows from it.
    pub(crate) fn step(&mut self, name: &str, event: Event) {
        let first = self.queue.is_empty();
        self.queue.push_back((name.to_owned(), event));
        if first {
            self.drain();
        } // Else somebody up the stack is at it.
    }

    /// Steps what is queued, and then what it lets go.
    pub(crate) fn drain(&mut self) {
        while let Some((name, event)) = self.queue.front().cloned() {
            self.step_one(&name, event);
            self.queue.pop_front();
        }
        let next = std::mem::take(&mut self.to_start);
        if next.is_empty() || self.leaving {
            self.pump();
        } else {
            self.start_all(&next);
        }
    }

    fn step_one(&mut self, name: &str, event: Event) {
        let Some(c) = self.fleet.get_mut(name) else { return };
        let before = c.state();
        let intents = c.machine.step(event, now());
        if matches!(event, Event::Start | Event::Stop | Event::StopNow | Event::Restart | Event::Refuse(_)) {
            // Its turn has come.
            c.queued = None;
        }
        c.note_late();
        // Nobody is told what is not written down.
        let (told, done): (Vec<_>, Vec<_>) =
            intents.into_iter().partition(|i| matches!(i, Intent::Announce(_)));
        done.into_iter().for_each(|i| self.carry_out(name, i));
        let Some(c) = self.fleet.get_mut(name) else { return };
        let after = c.state();
        let at_rest = c.machine.is_at_rest();
        if before != after {
            c.since = now();
            if at_rest {
                self.forget_settings(name);
            }
        }
        self.keep(name);
        told.into_iter().for_each(|i| self.carry_out(name, i));
        if before != after {
            self.event(name, None, "state", after.word());
            let replies = self.waiters.changed(name, &self.fleet);
            self.send(replies);
        }
    }

    pub(crate) fn carry_out(&mut self, name: &str, intent: Intent) {
        match intent {
            Intent::Run(ExecPhase::Start) => self.launch(name),
            // A container has command lines in no other phase: its policy says so.
            Intent::Run(
                phase @ (ExecPhase::Condition
                | ExecPhase::StartPre
                | ExecPhase::StartPost
                | ExecPhase::Reload
                | ExecPhase::Stop
                | ExecPhase::StopPost),
            ) => self.queue.push_back((name.to_owned(), Event::Done(phase, units::machine::Exit::Code(0)))),
            Intent::Term => self.ask_to_stop(name),
            // PID 1 of a pid namespace takes no SIGABRT from outside, and one that hangs would not act on it.
            Intent::Abort => self.kill(name),
            Intent::Kill => self.kill(name),
            Intent::KillControl => {}
            // The loop asks each machine for its timer; there is nothing to arm.
            Intent::Arm(_) | Intent::Disarm => {}
            Intent::Announce(outcome) => self.announce(name, outcome),
            Intent::Release(_) => self.release(name),
            Intent::LimitAction => self.limit_action(name),
        }
    }

    /// Looks at conditions, reads the unit, makes the plan, runs it.
    fn launch(&mut self, name: &str) {
        self.note(name, String::new());
        self.kind(name, FaultKind::Failed);
        if let Some(c) = self.fleet.get_mut(name) {
            c.asked.clear();
        }
        if let Some((line, event)) = self.unmet(name) {
            self.note(name, format!("{line} is not met"));
            return self.queue.push_back((name.to_owned(), event));
        }
        // What can't be resolved now can't be in a moment either: it is refused, not tried again.
        let spec = match self.spec_of(name) {
            Ok(spec) => spec,
            Err(fault) => {
                self.could_not(name, fault);
                let refused = Event::Refuse(Cause::Setup(ExecPhase::Start));
                return self.queue.push_back((name.to_owned(), refused));
            }
        };
        let group = spec.group.clone();
        if let Err(why) = self.try_launch(name, spec) {
            let there = observe::populated(&self.facts.cgroups, &group);
            if let Some(c) = self.fleet.get_mut(name) {
                c.blocked = if there { c.blocked + 1 } else { 0 };
                // What was killed a moment ago needs a moment to end. What is there at the next try, too, is of an
                // earlier supervisor's time and does not end: the one after that goes on beside it.
                c.generation += u32::from(c.blocked > 1);
            }
            self.could_not(name, Fault::new(FaultKind::Failed, why));
            self.queue.push_back((name.to_owned(), Event::SetupFailed(ExecPhase::Start)));
        }
    }

    /// The first condition or assert of a unit that does not hold on this host.
    fn unmet(&self, name: &str) -> Option<(String, Event)> {
        let unit = &self.fleet.get(name)?.unit.as_ref()?.unit;
        let host = ct_init::root::Root::new("/");
        let condition =
            unmet(&unit.conditions, &host, "Condition", Level::Host).map(|line| (line, Event::Skip));
        let refused = Event::Refuse(Cause::Assert);
        condition.or_else(|| unmet(&unit.asserts, &host, "Assert", Level::Host).map(|line| (line, refused)))
    }

    fn could_not(&mut self, name: &str, fault: Fault) {
        warn!(self.log, "could not be started"; "ct" => name, "why" => &fault.message);
        if let Some(c) = self.fleet.get_mut(name) {
            c.note = fault.message;
            c.kind = fault.kind;
        }
    }

    fn try_launch(&mut self, name: &str, spec: Spec) -> Result<(), String> {
        let plan = plan::start(&spec, &self.facts.cgroups, &self.paths);
        self.prepare_root(&spec)?;
        let process = self.carry_out_start(name, &spec, &plan)?;
        let started = self.host.take().ok_or("the start plan has cloned nothing")?;
        let pid = started.launch.spawned.pid;
        let failed = |e: std::io::Error| format!("watch it: {e}");
        let (launching, pidfd, words_fd) =
            Launching::of(started.launch, &mut self.sources, name).map_err(failed)?;
        let ended = self.sources.add(&pidfd, Source::Ended(name.to_owned())).map_err(failed)?;
        let ct_init = spec.init == Init::CtInit;
        let run = Run {
            oom_before: process.oom_before,
            spec,
            pid,
            start_time: process.process.map_or(0, |p| p.start_time),
            executed: false,
            pidfd,
            ended,
            launch: Some(launching),
            started: now(),
            started_wall: process.started,
            waits: None,
            words: Some(words_fd),
            leave: None,
            frozen: false,
            units: BTreeMap::new(),
        };
        if let Some(c) = self.fleet.get_mut(name) {
            c.run = Some(run);
        }
        let policy = self.policy_of(name);
        if let Some(c) = self.fleet.get_mut(name) {
            c.machine.set_policy(policy);
        }
        info!(self.log, "started"; "ct" => name, "pid" => pid);
        self.queue.push_back((name.to_owned(), Event::Forked(ExecPhase::Start)));
        if ct_init {
            // Its socket listens already; what is said now waits for it. One that refuses has ended by now: how, its
            // pidfd tells.
            match self.connect(name) {
                Err(e) if !self.refuses(name) => return Err(e.to_string()),
                Err(_) => info!(self.log, "ended before anything could be said"; "ct" => name),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// The error pipe of a launch: its end means that exec has succeeded.
    pub(crate) fn launched(&mut self, name: &str) {
        let Some(run) = self.fleet.get_mut(name).and_then(|c| c.run.as_mut()) else { return };
        let Some(launch) = run.launch.as_ref() else { return };
        let mut report = [0u8; 64];
        let read = nix::unistd::read(&launch.errors, &mut report);
        let failure = match read {
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return,
            Err(_) | Ok(0) => None,
            Ok(n) => launch.script.explain(report.get(..n).unwrap_or_default()),
        };
        let guest = matches!(run.spec.init, Init::Guest(_));
        let gone = failure.is_none() && run.launch.is_some() && has_ended(run);
        if let Some(launch) = run.launch.take() {
            self.sources.remove(&launch.errors.as_raw_fd(), launch.token);
        }
        match failure {
            Some(failure) => {
                warn!(self.log, "could not be started"; "ct" => name, "why" => %failure);
                self.note(name, failure.to_string());
                self.step(name, Event::SetupFailed(ExecPhase::Start));
            }
            // Killed before exec: the pipe ends as well, and the exit tells the rest.
            None if gone => run_executed(&mut self.fleet, name),
            None => {
                run_executed(&mut self.fleet, name);
                self.step(name, Event::Executed(ExecPhase::Start));
                if guest {
                    self.step(name, Event::Ready);
                }
            }
        }
    }

    /// PID 1's pidfd is readable: it has ended, here or as another's child.
    pub(crate) fn ended(&mut self, name: &str) {
        let Some(run) = self.fleet.get(name).and_then(|c| c.run.as_ref()) else { return };
        match observe::end(run.pidfd.as_fd()) {
            observe::Seen::Runs => self.launched(name),
            observe::Seen::Ended(exit) => self.finished(name, exit),
            observe::Seen::Elsewhere => self.await_exit(name),
        }
    }

    /// PID 1 has ended like this: what it said last, what that means, and what follows from it. Its end is written down
    /// before it is reaped: should we be killed between the two, the next supervisor is told again, and knows already.
    pub(crate) fn finished(&mut self, name: &str, exit: Exit) {
        self.launched(name);
        self.heard(name);
        let Some(c) = self.fleet.get_mut(name) else { return };
        let Some(running) = c.running() else { return };
        let gone_oom = c.missing.as_ref().and_then(|m| m.gone.as_ref()).map(|(_, oom)| *oom);
        let executed = running.process.is_some_and(|p| p.executed);
        if !executed && exit == NEVER_EXECUTED && matches!(c.machine.state(), State::Starting { .. }) {
            c.missing = None;
            return self.start_over(name);
        }
        let leave = c.run.as_ref().and_then(|r| r.leave);
        let begun = matches!(c.machine.state(), State::Starting { .. }) && matches!(exit, Exit::Code(_));
        if begun && matches!(running.spec.init, Init::Guest(_)) {
            // What has an exit code has been executed, and that is all that a guest has to do to be ready.
            [Event::Forked(ExecPhase::Start), Event::Executed(ExecPhase::Start), Event::Ready]
                .into_iter()
                .for_each(|e| self.step(name, e));
        }
        let Some(c) = self.fleet.get_mut(name) else { return };
        let oom = gone_oom
            .unwrap_or_else(|| observe::oom_kills(&self.facts.cgroups, &running.spec) > running.oom_before);
        info!(self.log, "ended"; "ct" => name, "how" => words::exit(exit));
        // One that never came to be ready may have said why.
        if matches!(c.machine.state(), State::Starting { .. })
            && let Some(said) = c.run.as_ref().and_then(|r| apply::last_words(r.words.as_ref()?))
        {
            c.note = format!("{}; its last words: {said}", words::exit(exit));
        }
        if let Some(run) = &c.run {
            self.sources.remove(&run.pidfd.as_raw_fd(), run.ended);
        }
        // Else an earlier supervisor got so far, and only what follows is left to do.
        let news = !c.remembers(&running);
        let (empty, before): (Vec<_>, Vec<_>) =
            state::ended(exit, leave, oom).into_iter().partition(|e| *e == Event::Empty);
        before.into_iter().for_each(|e| self.step(name, e));
        let Some(c) = self.fleet.get_mut(name) else { return };
        let cause = cause_of_row(c, exit);
        if news {
            let at = ct_init::clock::wall().max(running.started);
            let lasted = (at - running.started) / 1_000_000;
            c.push_exit(ExitRow { at, cause: cause.clone(), lasted, then: String::new() });
            self.keep_durable(name);
        }
        if let Some(run) = self.fleet.get(name).and_then(|c| c.run.as_ref()) {
            observe::reap(run.pidfd.as_fd());
        }
        if let Some(c) = self.fleet.get_mut(name) {
            c.missing = None;
        }
        empty.into_iter().for_each(|e| self.step(name, e));
        let Some(c) = self.fleet.get_mut(name) else { return };
        let then = c.state().word().to_owned();
        if let Some(row) = c.durable.exits.first_mut().filter(|_| news) {
            row.then = then;
            self.keep_durable(name);
        }
        self.event(name, None, "exit", &cause);
    }

    /// The polite way: ct-init stops its units; a guest's own init gets the signal that systemd documents.
    fn ask_to_stop(&mut self, name: &str) {
        let Some(run) = self.fleet.get(name).and_then(|c| c.run.as_ref()) else {
            return self.nothing_runs(name);
        };
        let guest = matches!(run.spec.init, Init::Guest(_));
        self.lift(name);
        if guest || self.tell(name, &Request::Shutdown).is_err() {
            // SIGRTMIN+3 halts systemd; ct-init takes it as well when its link is gone.
            self.signal(name, libc::SIGRTMIN() + 3);
        }
    }

    /// A container that is frozen, or at its limits of CPU or disk, would take all the longer to stop.
    fn lift(&mut self, name: &str) {
        let Some(run) = self.fleet.get_mut(name).and_then(|c| c.run.as_mut()) else { return };
        let frozen = std::mem::take(&mut run.frozen);
        let plan = plan::lift(&run.spec, &self.facts.cgroups);
        self.carry_steps(name, plan);
        if frozen {
            // It could not say so while it was frozen.
            self.queue.push_back((name.to_owned(), Event::Alive));
        }
    }

    fn kill(&mut self, name: &str) {
        self.lift(name);
        let Some(run) = self.fleet.get(name).and_then(|c| c.run.as_ref()) else {
            return self.nothing_runs(name);
        };
        let group = Group { tree: Tree::Unified, path: run.spec.group.clone() };
        if self.facts.cgroups.unified.is_some() {
            let steps = vec![Step::Thaw(group.clone()), Step::Kill(group)];
            let plan = plan::Plan { title: format!("kill {name}"), steps };
            if let Err(e) = apply::run(&plan, &mut self.host) {
                self.warn("could not kill the whole group, killing PID 1", name, &e);
            }
        }
        self.signal(name, libc::SIGKILL);
    }

    /// There is nothing to end; but where PID 1 is missing, its end is told first.
    fn nothing_runs(&mut self, name: &str) {
        if self.fleet.get(name).is_some_and(|c| c.missing.is_none()) {
            self.queue.push_back((name.to_owned(), Event::Empty));
        }
    }

    /// A signal to PID 1, if it is there.
    pub(crate) fn signal(&mut self, name: &str, signal: i32) {
        if let Some(run) = self.fleet.get(name).and_then(|c| c.run.as_ref()) {
            let _ = ct_sys::proc::pidfd_send_signal(run.pidfd.as_fd(), signal);
        }
    }

    /// Freezes or thaws the container's v2 group.
    pub(crate) fn freeze(&mut self, name: &str, freeze: bool) {
        let Some(run) = self.fleet.get_mut(name).and_then(|c| c.run.as_mut()) else { return };
        let group = Group { tree: Tree::Unified, path: run.spec.group.clone() };
        let step = match freeze {
            true => Step::Write { group, file: "cgroup.freeze".into(), value: "1".into() },
            false => Step::Thaw(group),
        };
        let plan = plan::Plan { title: format!("freeze {name}"), steps: vec![step] };
        match apply::run(&plan, &mut self.host) {
            Ok(()) => {
                run.frozen = freeze;
                // It could not say so while it was frozen.
                self.step(name, Event::Alive);
            }
            Err(e) => self.warn("could not change its freezer", name, &e),
        }
    }

    /// Nothing of it runs any more: what it had is removed.
    pub(crate) fn release(&mut self, name: &str) {
        self.unlink(name);
        if let Some(run) = self.fleet.get_mut(name).and_then(|c| c.run.take()) {
            if let Some(launch) = &run.launch {
                self.sources.remove(&launch.errors.as_raw_fd(), launch.token);
            }
            self.sources.remove(&run.pidfd.as_raw_fd(), run.ended);
            self.remove_leftovers(name, &run.spec);
            self.leave_behind(name, run);
        }
    }

    /// Each step for itself: one that fails must not keep the rest.
    pub(crate) fn carry_steps(&mut self, name: &str, plan: plan::Plan) {
        let mut left = false;
        for step in plan.steps {
            let group = matches!(step, Step::RemoveGroup(_));
            let one = plan::Plan { title: plan.title.clone(), steps: vec![step] };
            if let Err(e) = apply::run(&one, &mut self.host) {
                self.warn("could not carry out a step", name, &e);
                left |= group;
            }
        }
        if let Some(c) = self.fleet.get_mut(name).filter(|_| left) {
            // Somebody else holds on to a group: the next start gets fresh ones beside it.
            c.generation += 1;
        }
    }

    fn announce(&mut self, name: &str, outcome: Outcome) {
        let how = match outcome {
            Outcome::Up | Outcome::Skipped | Outcome::Down => Some(Ended::Done),
            Outcome::Failed(_) => Some(Ended::Failed),
            Outcome::Reloaded(_) => None,
        };
        if let (Some(how), Ok(unit)) = (how, UnitName::parse_short(name, "container")) {
            self.jobs.ended(&unit, how);
        }
        if self.fleet.get(name).is_some_and(|c| matches!(c.machine.state(), State::Stuck { .. })) {
            self.report_stuck(name);
        }
        let note = self.fleet.get(name).map_or(String::new(), |c| c.note.clone());
        self.boot_ended(name, outcome, &note);
        let kind = self.fleet.get(name).map_or(FaultKind::Failed, |c| c.kind);
        let replies = self.waiters.announced(name, outcome, kind, &note);
        self.send(replies);
        self.end_action(name, outcome);
        let at_rest = self.fleet.get(name).is_some_and(|c| c.machine.is_at_rest());
        let next = match outcome {
            Outcome::Failed(_) if at_rest => self.graph().on_failure(&unit_name(name)),
            // A restart follows, or it is stuck.
            Outcome::Failed(_) => Vec::new(),
            Outcome::Down if self.ended_well(name) => self.graph().on_success(&unit_name(name)),
            Outcome::Up => self.held_by(name),
            Outcome::Down | Outcome::Skipped | Outcome::Reloaded(_) => Vec::new(),
        };
        self.to_start.extend(next);
    }

    fn ended_well(&self, name: &str) -> bool {
        let cause = self.fleet.get(name).and_then(|c| c.machine.cause());
        matches!(cause, Some(Cause::Exited(units::machine::Exit::Code(0)) | Cause::GuestHalt))
    }

    /// Containers that are wanted up and were refused because this one, which they require, had not come up.
    fn held_by(&self, name: &str) -> Vec<UnitName> {
        let held = |c: &super::fleet::Container| {
            *c.machine.state() == State::Failed(Cause::Dependency)
                && c.unit.as_ref().is_some_and(|u| {
                    let needs = u.unit.requires.iter().chain(&u.unit.binds_to).chain(&u.unit.requisite);
                    needs.into_iter().any(|n| n.stem() == name)
                })
        };
        self.fleet.all.iter().filter(|(_, c)| held(c)).map(|(n, _)| unit_name(n)).collect()
    }

    fn kind(&mut self, name: &str, kind: FaultKind) {
        if let Some(c) = self.fleet.get_mut(name) {
            c.kind = kind;
        }
    }

    pub(crate) fn note(&mut self, name: &str, why: String) {
        if let Some(c) = self.fleet.get_mut(name) {
            c.note = why;
        }
    }

    /// Remembers and tells that something happened.
    pub(crate) fn event(&mut self, name: &str, unit: Option<&str>, kind: &str, message: &str) {
        let row = EventRow {
            at: ct_init::clock::wall(),
            event: kind.to_owned(),
            container: ContainerName::parse(name).ok(),
            unit: unit.map(str::to_owned),
            message: message.to_owned(),
            fields: BTreeMap::new(),
        };
        self.tell_followers(&row);
        self.events.push(row);
    }
}

/// How this run's end reads among the last ones. Not [`units::machine::Machine::cause`]: where this run has none of its
/// own, that is the one before.
fn cause_of_row(c: &super::fleet::Container, exit: Exit) -> String {
    match (c.machine.state(), exit) {
        (State::Stopping { cause: Some(cause), .. } | State::Stuck { cause, .. }, _) => c.reason(*cause),
        (State::Stopping { cause: None, .. }, Exit::Signal(Signal(9))) => "killed on request".to_owned(),
        (State::Stopping { cause: None, .. }, _) => words::exit(exit),
        (
            State::Down(_)
            | State::Starting { .. }
            | State::Up { .. }
            | State::Exited { .. }
            | State::Reloading { .. }
            | State::Waiting { .. }
            | State::Failed(_),
            _,
        ) => words::exit(exit),
    }
}

fn run_executed(fleet: &mut super::fleet::Fleet, name: &str) {
    if let Some(run) = fleet.get_mut(name).and_then(|c| c.run.as_mut()) {
        run.executed = true;
    }
}

/// Whether PID 1 is a zombie or gone, without reaping it.
fn has_ended(run: &Run) -> bool {
    observe::end(run.pidfd.as_fd()) != observe::Seen::Runs
}
