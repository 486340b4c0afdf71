//! act: calls that change something. Each target gets an outcome at once or a goal to wait for.
use super::waiters::{Goal, Item, met};
use super::{Daemon, now};
use crate::control::protocol::{
    Action, Body, Condition, EventRow, Fault, FaultKind, Outcome, Reply, Request, Setting,
};
use crate::control::server::{ClientId, Peer};
use crate::control::target::Target;
use crate::load::unit_name;
use ct_init::proto::{self, Verb};
use slog::info;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use units::machine::{Event, Wanted};

impl Daemon {
    /// One call of a client.
    pub(crate) fn call(&mut self, client: ClientId, peer: &Peer, request: Request, fds: Vec<OwnedFd>) {
        if peer.uid != 0 && !request.reads_only() && !self.in_group(peer) {
            let fault = Fault::new(FaultKind::Refused, format!("user {} may only look", peer.uid))
                .hint("root may change containers, and members of the group ct");
            return self.reply(client, fault.into());
        }
        if !request.reads_only() {
            info!(self.log, "asked"; "uid" => peer.uid, "pid" => peer.pid, "what" => format!("{request:?}"));
        }
        use Request as R;
        if self.leaving && matches!(request, R::Start { .. } | R::Restart { .. } | R::Boot {}) {
            return self.refuse(client, "everything is being shut down");
        }
        match request {
            R::List {} => self.list(client),
            R::Status { target, lines } => self.status(client, &target, lines),
            R::Show { name, key } => self.show(client, &name, key.as_deref()),
            R::Check {} => self.check(client),
            R::Plan { action, targets, settings } => {
                self.plan(client, action, &targets, &settings);
            }
            R::Logs { target, lines, since } => self.logs(client, &target, lines, since),
            R::Exec { name } => self.introduce(client, &name),
            R::Start { targets, wait } => self.start(client, targets, wait),
            R::Stop { targets, wait, now } => self.stop(client, targets, wait, now),
            R::Restart { targets, wait, now } => self.restart(client, targets, wait, now),
            R::Reload { targets, wait } => self.reload(client, targets, wait),
            R::Kill { targets, signal } => self.kill_targets(client, targets, signal),
            R::Pause { targets } => self.pause(client, &targets, true),
            R::Resume { targets } => self.pause(client, &targets, false),
            R::Enable { targets } => self.enable(client, targets, true),
            R::Disable { targets } => self.enable(client, targets, false),
            R::Wait { targets, condition, timeout_ms } => self.wait(client, targets, condition, timeout_ms),
            R::Create { name, template, settings } => {
                self.create(client, &name, template.as_deref(), &settings)
            }
            R::Destroy { names } => self.destroy(client, &names),
            R::Set { name, settings, save } => self.set(client, &name, &settings, save),
            R::TemplateList {} => self.template_list(client),
            R::TemplateImport { name, file } => self.template_import(client, &name, file, fds),
            R::TemplateBuild { name, file, settings } => self.template_build(client, &name, file, &settings),
            R::TemplateRemove { names } => self.template_remove(client, &names),
            R::Boot {} => self.boot_asked(client),
            R::Blame {} => self.blame(client),
            R::Shutdown {} => self.shutdown(client),
            R::Version {} => {
                let body = self.version();
                self.reply(client, Reply::done(body));
            }
            R::Upgrade { force } => self.upgrade(client, force),
            R::Events { follow } => self.events(client, follow),
        }
    }

    pub(crate) fn refuse(&mut self, client: ClientId, why: &str) {
        self.reply(client, Fault::new(FaultKind::Refused, why).into());
    }

    /// The socket lets in root and its group; whoever else got in (a mode changed by hand) may look.
    fn in_group(&self, peer: &Peer) -> bool {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        crate::control::server::listen::is_member(&text("/etc/group"), &text("/etc/passwd"), "ct", peer)
    }

    /// What becomes of each target: one that is not there is an error, a unit's matter goes to the ct-init inside, and
    /// `own` decides about a container.
    pub(crate) fn each(
        &mut self,
        targets: Vec<Target>,
        verb: Verb,
        wait: bool,
        mut own: impl FnMut(&mut Daemon, &Target, &str) -> Result<Outcome, Goal>,
    ) -> Vec<Item> {
        let mut items = Vec::new();
        for target in targets {
            let name = target.container.as_str().to_owned();
            let state = if !self.exists(&name) {
                Ok(Outcome::failed(&target, Fault::no_container(&target.container)))
            } else if target.unit.is_some() {
                self.ask_unit(&target, verb, wait)
            } else {
                own(self, &target, &name)
            };
            items.push(Item { target, state });
        }
        items
    }

    fn start(&mut self, client: ClientId, targets: Vec<Target>, wait: bool) {
        self.refresh();
        let mut names = Vec::new();
        let items = self.each(targets, Verb::Start, wait, |daemon, target, name| {
            if daemon.fleet.get(name).is_some_and(|c| c.machine.is_up()) {
                Ok(Outcome::noted(target, "already running"))
            } else {
                names.push(unit_name(name));
                if wait { Err(Goal::Started) } else { Ok(Outcome::noted(target, "queued")) }
            }
        });
        // The waiter has to be there before the start, which may fail at once.
        let replies = self.waiters.add(client, items, None);
        for name in &names {
            let superseded = self.waiters.restarted(name.stem());
            self.send(superseded);
        }
        let refused = self.start_all(&names);
        self.send(replies);
        for (unit, why) in refused {
            let note = why;
            let outcome = units::machine::Outcome::Failed(units::machine::Cause::Dependency);
            let replies = self.waiters.announced(unit.stem(), outcome, FaultKind::Failed, &note);
            self.send(replies);
        }
    }

    fn stop(&mut self, client: ClientId, targets: Vec<Target>, wait: bool, at_once: bool) {
        let mut names = Vec::new();
        let items = self.each(targets, Verb::Stop, wait, |daemon, target, name| {
            let rests = daemon.fleet.get(name).is_some_and(|c| c.machine.is_at_rest());
            if rests && daemon.queued(&unit_name(name)) != Some(Wanted::Up) {
                Ok(Outcome::noted(target, "already stopped"))
            } else {
                names.push(unit_name(name));
                if wait { Err(Goal::Stopped) } else { Ok(Outcome::noted(target, "queued")) }
            }
        });
        let replies = self.waiters.add(client, items, None);
        self.stop_all(&names);
        if at_once {
            names.iter().for_each(|n| self.step(n.stem(), Event::StopNow));
        }
        // Not before it is written down.
        self.send(replies);
    }

    fn restart(&mut self, client: ClientId, targets: Vec<Target>, wait: bool, at_once: bool) {
        self.refresh();
        let mut names = Vec::new();
        let items = self.each(targets, Verb::Restart, wait, |_, target, name| {
            names.push(name.to_owned());
            if wait { Err(Goal::Started) } else { Ok(Outcome::noted(target, "queued")) }
        });
        let replies = self.waiters.add(client, items, None);
        for name in names {
            // The last word counts, also over a stop that still waits for its turn.
            self.jobs.drop_stop(&unit_name(&name));
            // What hangs on it goes down and up with it.
            for other in self.graph().restart_set(&unit_name(&name)) {
                if other.stem() != name && self.fleet.get(other.stem()).is_some_and(|c| c.machine.is_up()) {
                    self.step(other.stem(), Event::Restart);
                }
            }
            let superseded = self.waiters.restarted(&name);
            self.send(superseded);
            self.step(&name, Event::Restart);
            if at_once {
                // It is on its way down already; this makes the way short.
                self.freeze(&name, false);
                self.signal(&name, nix::libc::SIGKILL);
            }
        }
        // Not before it is written down.
        self.send(replies);
    }

    fn reload(&mut self, client: ClientId, targets: Vec<Target>, wait: bool) {
        self.refresh();
        let items = self.each(targets, Verb::Reload, wait, |daemon, target, name| {
            match daemon.fleet.get(name).and_then(|c| c.broken.clone()) {
                Some(why) => Ok(Outcome::failed(target, Fault::new(FaultKind::Failed, why))),
                None => Ok(Outcome::noted(target, "read again; limits change at its next start")),
            }
        });
        let replies = self.waiters.add(client, items, None);
        self.send(replies);
    }

    fn kill_targets(&mut self, client: ClientId, targets: Vec<Target>, signal: u8) {
        let items =
            self.each(targets, Verb::Kill(signal), true, |daemon, target, _| daemon.kill_one(target, signal));
        let replies = self.waiters.add(client, items, None);
        self.send(replies);
    }

    fn kill_one(&mut self, target: &Target, signal: u8) -> Result<Outcome, Goal> {
        let Some(run) = self.fleet.get(target.container.as_str()).and_then(|c| c.run.as_ref()) else {
            let fault = Fault::new(FaultKind::Refused, format!("{target} does not run"));
            return Ok(Outcome::failed(target, fault));
        };
        let sent = ct_sys::proc::pidfd_send_signal(run.pidfd.as_fd(), i32::from(signal));
        Ok(match sent {
            Ok(()) => Outcome::done(target),
            Err(e) => Outcome::failed(target, Fault::of(FaultKind::Failed, &e)),
        })
    }

    fn pause(&mut self, client: ClientId, targets: &[Target], freeze: bool) {
        let mut outcomes = Vec::new();
        for target in targets {
            let name = target.container.as_str();
            let running = self.fleet.get(name).is_some_and(|c| c.run.is_some());
            outcomes.push(if !self.exists(name) {
                Outcome::failed(target, Fault::no_container(&target.container))
            } else if !running {
                Outcome::failed(target, Fault::new(FaultKind::Refused, format!("{name} does not run")))
            } else if self.facts.cgroups.unified.is_none() {
                let fault = Fault::new(FaultKind::Refused, "there is no cgroup v2 tree here to freeze in")
                    .hint("mount -t cgroup2 none /sys/fs/cgroup/unified");
                Outcome::failed(target, fault)
            } else {
                self.freeze(name, freeze);
                let state = if freeze { "paused" } else { "resumed" };
                self.event(name, None, "state", state);
                Outcome::done(target)
            });
        }
        self.reply(client, Reply::outcomes(outcomes));
    }

    fn wait(
        &mut self,
        client: ClientId,
        targets: Vec<Target>,
        condition: Condition,
        timeout_ms: Option<u64>,
    ) {
        let deadline = timeout_ms.map(|ms| now().after(Duration::from_millis(ms)));
        let mut items = Vec::new();
        for target in targets {
            let state = if !self.exists(target.container.as_str()) {
                Ok(Outcome::failed(&target, Fault::no_container(&target.container)))
            } else if met(&target, condition, &self.fleet) {
                Ok(Outcome::done(&target))
            } else {
                Err(Goal::State(condition))
            };
            items.push(Item { target, state });
        }
        let replies = self.waiters.add(client, items, deadline);
        self.send(replies);
    }

    /// Hands a unit's matter to the ct-init inside.
    pub(crate) fn ask_unit(&mut self, target: &Target, verb: Verb, wait: bool) -> Result<Outcome, Goal> {
        let name = target.container.as_str();
        let unit = target.unit.as_ref().map_or(String::new(), ToString::to_string);
        let linked = self.linked(name);
        let Some(link) = self.links.get_mut(name).filter(|_| linked) else {
            let fault = Fault::new(FaultKind::Refused, format!("{name} does not run"))
                .hint(format!("ct start {name}"));
            return Ok(Outcome::failed(target, fault));
        };
        link.tag = link.tag.wrapping_add(1).max(1);
        let tag = link.tag;
        match self.tell(name, &proto::Request::Unit { tag, unit, verb }) {
            Err(fault) => Ok(Outcome::failed(target, fault)),
            Ok(()) if wait => Err(Goal::Answer(tag)),
            Ok(()) => Ok(Outcome::noted(target, "queued")),
        }
    }

    /// A fresh connection to a container's ct-init; from then on the two talk without us.
    fn introduce(&mut self, client: ClientId, name: &crate::control::target::ContainerName) {
        let reply = if !self.exists(name.as_str()) {
            Fault::no_container(name).into()
        } else if !self.linked(name.as_str()) {
            let fault = Fault::new(FaultKind::Refused, format!("{name} does not run"));
            fault.hint(format!("ct start {name}")).into()
        } else {
            match self.socket_to(name.as_str()) {
                Ok(fd) => Reply::socket(fd),
                Err(fault) => fault.into(),
            }
        };
        self.reply(client, reply);
    }

    fn shutdown(&mut self, client: ClientId) {
        let running = self.fleet.all.iter().filter(|(_, c)| !c.machine.is_at_rest());
        let items = running
            .filter_map(|(name, _)| Target::parse(name).ok())
            .map(|target| Item { target, state: Err(Goal::Stopped) })
            .collect();
        let replies = self.waiters.add(client, items, None);
        self.send(replies);
        self.shut_down();
    }

    /// Stops all containers under the host's deadline; the loop leaves once they are down.
    pub(crate) fn shut_down(&mut self) {
        if self.leaving {
            return;
        }
        self.leaving = true;
        // What has not begun will not.
        self.jobs = Default::default();
        self.held.clear();
        self.to_start.clear();
        self.shutdown_deadline = self.conf.shutdown_timeout.deadline(now());
        let running = self.fleet.all.iter().filter(|(_, c)| !c.machine.is_at_rest());
        let names: Vec<_> = running.map(|(n, _)| unit_name(n)).collect();
        self.stop_all(&names);
    }

    /// The host's own deadline is over.
    pub(crate) fn kill_the_rest(&mut self) {
        let late: Vec<String> =
            self.fleet.all.iter().filter(|(_, c)| !c.machine.is_at_rest()).map(|(n, _)| n.clone()).collect();
        for name in late {
            self.warn("not down before the host's deadline, killed", &name, &"ShutdownTimeoutSec=");
            self.step(&name, Event::StopNow);
        }
    }

    fn events(&mut self, client: ClientId, follow: bool) {
        let rows: Vec<EventRow> = self.events.iter().cloned().collect();
        for event in rows {
            self.reply(client, Reply::More(Body::Event { event: Some(event) }));
        }
        if follow {
            self.followers.push(client);
        } else {
            self.reply(client, Reply::done(Body::Event { event: None }));
        }
    }

    pub(crate) fn tell_followers(&mut self, row: &EventRow) {
        for client in self.followers.clone() {
            self.reply(client, Reply::More(Body::Event { event: Some(row.clone()) }));
        }
    }

    fn plan(&mut self, client: ClientId, action: Action, targets: &[Target], settings: &[Setting]) {
        let reply = match self.plan_steps(action, targets, settings) {
            Ok((steps, refused)) => Reply::done(Body::Plan { steps, refused }),
            Err(fault) => fault.into(),
        };
        self.reply(client, reply);
    }
}
