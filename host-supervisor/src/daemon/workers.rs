//! workers: slow work in child processes of their own, watched by pidfds. The loop never waits for one.
use super::{Daemon, Source};
use crate::control::protocol::{Body, Fault, FaultKind, Outcome, Reply, Setting, Template};
use crate::control::server::ClientId;
use crate::control::target::ContainerName;
use crate::template;
use mio::Token;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The first argument of a supervisor that is started as a worker.
pub const TEMPLATE: &str = "internal-template";
/// As a worker that removes a directory.
pub const REMOVE: &str = "internal-remove";
/// A worker's line is not longer.
const MAX_LINE: usize = 8192;

/// Those under way.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    next: u64,
    all: BTreeMap<u64, Worker>,
}

#[derive(Debug)]
struct Worker {
    child: Child,
    pidfd: OwnedFd,
    ended: Token,
    stdout: ChildStdout,
    wrote: Token,
    text: String,
    whom: Whom,
    error: Option<String>,
}

/// Who is told what comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Nobody waits.
    Nobody,
    /// A client, about a template.
    Client(ClientId, String),
    /// The container that has asked for something of the host. It is the host's: nobody waits for its end.
    Host(String, String),
    /// A client that wants an upgrade, at any price or not.
    Upgrade(ClientId, bool),
}

impl Workers {
    pub(crate) fn is_idle(&self) -> bool {
        self.all.values().all(|w| matches!(w.whom, Whom::Host(..) | Whom::Upgrade(..)))
    }
}

impl Daemon {
    pub(crate) fn template_list(&mut self, client: ClientId) {
        self.refresh();
        let reply = match template::list(&self.paths) {
            Err(e) => Fault::of(FaultKind::Failed, &e).into(),
            Ok(list) => {
                let templates = list.into_iter().map(|t| self.template_row(t)).collect();
                Reply::done(Body::Templates { templates })
            }
        };
        self.reply(client, reply);
    }

    fn template_row(&self, t: template::TemplateInfo) -> Template {
        Template {
            containers: self.users(&t.name).iter().filter_map(|n| ContainerName::parse(n).ok()).collect(),
            name: t.name,
            size: t.size,
            created: t.created,
            description: t.description,
        }
    }

    /// Containers whose unit names this template.
    fn users(&self, template: &str) -> Vec<String> {
        use units::schema::{Body, Rootfs};
        let uses = |c: &super::fleet::Container| match c.unit.as_ref().map(|u| &u.body) {
            Some(Body::Container(c)) => c.rootfs == Some(Rootfs::Template(template.to_owned())),
            Some(_) | None => false,
        };
        self.fleet.all.iter().filter(|(_, c)| uses(c)).map(|(n, _)| n.clone()).collect()
    }

    pub(crate) fn template_remove(&mut self, client: ClientId, names: &[String]) {
        self.refresh();
        let outcomes = names
            .iter()
            .map(|name| match template::remove(&self.paths, name, &self.users(name)) {
                Ok(()) => Outcome::done(name),
                Err(e) => {
                    let there = template::names(&self.paths).contains(name);
                    let kind = if there { FaultKind::Refused } else { FaultKind::NotFound };
                    Outcome::failed(name, Fault::of(kind, &e))
                }
            })
            .collect();
        self.reply(client, Reply::outcomes(outcomes));
    }

    /// The archive comes as a descriptor: the worker reads what the caller could open, not what a path leads to.
    pub(crate) fn template_import(&mut self, client: ClientId, name: &str, file: u32, fds: Vec<OwnedFd>) {
        let file = usize::try_from(file).ok().and_then(|i| fds.into_iter().nth(i));
        let Some(file) = file else {
            return self
                .reply(client, Fault::new(FaultKind::Usage, "no descriptor came with the call").into());
        };
        let mut command = self.worker(TEMPLATE);
        command.args(["import", name, "/proc/self/fd/0"]).stdin(Stdio::from(file));
        self.launch_worker(command, Whom::Client(client, name.to_owned()));
    }

    pub(crate) fn template_build(
        &mut self,
        client: ClientId,
        name: &str,
        file: Option<u32>,
        settings: &[Setting],
    ) {
        if file.is_some() {
            return self
                .refuse(client, "recipes are not in this version (give the settings: Suite= Packages=)");
        }
        let mut command = self.worker(TEMPLATE);
        command.args(["build", name]).stdin(Stdio::null());
        command.args(settings.iter().map(|s| format!("{}={}", s.key, s.value)));
        self.launch_worker(command, Whom::Client(client, name.to_owned()));
    }

    pub(crate) fn remove_in_background(&mut self, dir: &Path) {
        let mut command = self.worker(REMOVE);
        command.arg(dir).stdin(Stdio::null());
        self.launch_worker(command, Whom::Nobody);
    }

    fn worker(&self, verb: &str) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command.arg("--root").arg(self.paths.root()).arg(verb);
        command
    }

    pub(crate) fn launch_worker(&mut self, mut command: Command, whom: Whom) {
        let launched = command.stdout(Stdio::piped()).spawn().and_then(|mut child| {
            let stdout = child.stdout.take().ok_or_else(|| std::io::Error::other("no pipe"))?;
            let flags = rustix::fs::fcntl_getfl(&stdout)?;
            rustix::fs::fcntl_setfl(&stdout, flags | rustix::fs::OFlags::NONBLOCK)?;
            let pidfd = ct_sys::proc::pidfd_open(child.id())?;
            Ok((child, stdout, pidfd))
        });
        let added = launched.and_then(|(child, stdout, pidfd)| {
            let id = self.workers.next;
            let wrote = self.sources.add(&stdout, Source::Worker(id))?;
            let ended = self.sources.add(&pidfd, Source::WorkerEnded(id))?;
            Ok((
                id,
                Worker {
                    child,
                    pidfd,
                    ended,
                    stdout,
                    wrote,
                    text: String::new(),
                    whom: whom.clone(),
                    error: None,
                },
            ))
        });
        match added {
            Ok((id, worker)) => {
                self.workers.next += 1;
                self.workers.all.insert(id, worker);
            }
            Err(e) => {
                let fault = Fault::new(FaultKind::Failed, format!("start a worker: {e}"));
                match whom {
                    Whom::Client(client, _) => self.reply(client, fault.into()),
                    Whom::Nobody => self.complain("could not start a worker", &fault),
                    Whom::Host(name, asked) => self.host_was_asked(&name, &asked, Err(e)),
                    Whom::Upgrade(client, force) => self.judged(client, force, Err(e), None),
                }
            }
        }
    }

    /// Relays a worker's lines: `progress DONE TOTAL`, `error: …`, `done`, and anything else as it is.
    pub(crate) fn worker_wrote(&mut self, id: u64) {
        let Some(worker) = self.workers.all.get_mut(&id) else { return };
        let mut bytes = [0u8; 4096];
        let mut lines = Vec::new();
        while let Ok(n @ 1..) = worker.stdout.read(&mut bytes) {
            worker.text.push_str(&String::from_utf8_lossy(bytes.get(..n).unwrap_or_default()));
            while let Some((line, rest)) = worker.text.split_once('\n') {
                lines.push(line.to_owned());
                worker.text = rest.to_owned();
            }
            if worker.text.len() > MAX_LINE {
                worker.text.clear();
            }
        }
        for line in &lines {
            if let Some(why) = line.strip_prefix("error: ") {
                worker.error = Some(why.to_owned());
            }
        }
        if let Whom::Client(client, name) = worker.whom.clone() {
            for line in lines.into_iter().filter(|l| l != "done" && !l.starts_with("error: ")) {
                self.reply(client, Reply::progress(&name, line));
            }
        }
    }

    pub(crate) fn worker_ended(&mut self, id: u64) {
        self.worker_wrote(id);
        let Some(worker) = self.workers.all.get_mut(&id) else { return };
        let Ok(Some(status)) = worker.child.try_wait() else { return };
        let Some(worker) = self.workers.all.remove(&id) else { return };
        self.sources.remove(&worker.stdout.as_raw_fd(), worker.wrote);
        self.sources.remove(&worker.pidfd.as_fd().as_raw_fd(), worker.ended);
        let (client, name) = match worker.whom {
            Whom::Nobody => return,
            Whom::Host(name, asked) => return self.host_was_asked(&name, &asked, Ok(status)),
            Whom::Upgrade(client, force) => return self.judged(client, force, Ok(status), worker.error),
            Whom::Client(client, name) => (client, name),
        };
        let reply = match (status.success(), worker.error) {
            (true, _) => {
                match template::list(&self.paths).ok().and_then(|l| l.into_iter().find(|t| t.name == name)) {
                    Some(t) => Reply::done(Body::Template { template: self.template_row(t) }),
                    None => Fault::new(FaultKind::Failed, format!("{name} was made and is gone")).into(),
                }
            }
            (false, Some(why)) => Fault::new(FaultKind::Failed, why).into(),
            (false, None) => {
                Fault::new(FaultKind::Failed, format!("the worker for {name} ended: {status}")).into()
            }
        };
        self.reply(client, reply);
    }
}
