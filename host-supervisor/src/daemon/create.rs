//! create: makes and removes containers' units and files, enables them, reads their logs from files.
use super::Daemon;
use crate::control::protocol::{Body, Fault, FaultKind, Outcome, Reply, Setting};
use crate::control::server::ClientId;
use crate::control::target::{ContainerName, Target};
use crate::ledger;
use crate::load::unit_name;
use crate::report::logs;
use crate::spec::Root as SpecRoot;
use crate::template;
use ct_init::proto::Verb;
use ct_init::root::Root;
use units::merge::{Fragment, assemble};
use units::parse::document::Document;
use units::schema::read::section_of;
use units::{Severity, UnitName};

impl Daemon {
    pub(crate) fn create(
        &mut self,
        client: ClientId,
        name: &ContainerName,
        template: Option<&str>,
        settings: &[Setting],
    ) {
        let reply = match self.try_create(name, template, settings) {
            Ok(()) => Reply::outcomes(vec![Outcome::done(name)]),
            Err(fault) => fault.into(),
        };
        self.reply(client, reply);
    }

    fn try_create(
        &mut self,
        name: &ContainerName,
        template: Option<&str>,
        settings: &[Setting],
    ) -> Result<(), Fault> {
        let usage = |m: String| Fault::new(FaultKind::Usage, m);
        if self.exists(name.as_str()) {
            return Err(Fault::new(FaultKind::Refused, format!("there is a container {name} already"))
                .hint(format!("ct status {name}")));
        }
        if let Some(t) = template
            && !template::names(&self.paths).contains(t)
        {
            return Err(Fault::new(FaultKind::NotFound, format!("there is no template {t:?}"))
                .hint("ct template list shows them; ct template import or build makes one"));
        }
        let text = unit_text(template, settings).map_err(usage)?;
        let path = self.paths.etc().join(format!("{name}.container"));
        let unit_name = UnitName::parse(&format!("{name}.container")).map_err(|e| usage(e.to_string()))?;
        let fragment = Fragment { path: path.display().to_string(), bytes: text.clone().into_bytes() };
        let context = crate::load::specifiers(&self.facts);
        let (_, diagnostics) = assemble(&unit_name, &[fragment], &context);
        let errors: Vec<String> = diagnostics
            .0
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .map(|d| d.message.clone())
            .collect();
        if !errors.is_empty() {
            return Err(usage(errors.join("; ")));
        }
        let io = |e: std::io::Error| Fault::new(FaultKind::Failed, format!("write {}: {e}", path.display()));
        std::fs::create_dir_all(self.paths.etc()).map_err(io)?;
        ledger::replace(&path, text.as_bytes()).map_err(io)?;
        std::fs::create_dir_all(self.paths.var_of(name.as_str())).map_err(io)?;
        self.refresh();
        self.event(name.as_str(), None, "state", "created");
        Ok(())
    }

    pub(crate) fn destroy(&mut self, client: ClientId, names: &[ContainerName]) {
        let outcomes = names
            .iter()
            .map(|name| match self.try_destroy(name) {
                Ok(()) => Outcome::done(name),
                Err(fault) => Outcome::failed(name, fault),
            })
            .collect();
        self.reply(client, Reply::outcomes(outcomes));
    }

    fn try_destroy(&mut self, name: &ContainerName) -> Result<(), Fault> {
        if !self.exists(name.as_str()) {
            return Err(Fault::no_container(name));
        }
        let at_rest =
            self.fleet.get(name.as_str()).is_some_and(|c| c.run.is_none() && c.machine.is_at_rest());
        if !at_rest {
            return Err(
                Fault::new(FaultKind::Refused, format!("{name} runs")).hint(format!("ct stop {name}"))
            );
        }
        let failed =
            |what: String| move |e: std::io::Error| Fault::new(FaultKind::Failed, format!("{what}: {e}"));
        let unit = self.paths.etc().join(format!("{name}.container"));
        let shipped = self.paths.at("/usr/lib/ct").join(format!("{name}.container"));
        if !unit.exists() && shipped.exists() {
            return Err(Fault::new(FaultKind::Refused, format!("{} is the system's", shipped.display()))
                .hint(format!("ln -s /dev/null {} keeps it from starting", unit.display())));
        }
        // The files go out of sight at once; a worker takes its time to remove them.
        let files = self.paths.var_of(name.as_str());
        if files.exists() {
            let aside = self.paths.containers().join(format!(".removed-{name}-{}", super::now().0));
            std::fs::rename(&files, &aside).map_err(failed(format!("remove {}", files.display())))?;
            self.remove_in_background(&aside);
        }
        if let Err(e) = std::fs::remove_file(&unit)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            return Err(failed(format!("remove {}", unit.display()))(e));
        }
        let drop_ins = self.paths.etc().join(format!("{name}.container.d"));
        if drop_ins.is_dir() {
            std::fs::remove_dir_all(&drop_ins).map_err(failed(format!("remove {}", drop_ins.display())))?;
        }
        self.fleet.all.remove(name.as_str());
        self.forget(name.as_str());
        self.refresh();
        self.event(name.as_str(), None, "state", "destroyed");
        Ok(())
    }

    /// Containers: a drop-in sets Autostart=. Units: ct-init makes the links that `[Install]` asks for.
    pub(crate) fn enable(&mut self, client: ClientId, targets: Vec<Target>, on: bool) {
        self.refresh();
        let verb = if on { Verb::Enable } else { Verb::Disable };
        let items = self.each(targets, verb, true, |daemon, target, name| {
            Ok(match daemon.autostart(name, on) {
                Ok(()) => Outcome::done(target),
                Err(e) => Outcome::failed(target, Fault::new(FaultKind::Failed, format!("{name}: {e}"))),
            })
        });
        self.refresh();
        let replies = self.waiters.add(client, items, None);
        self.send(replies);
    }

    fn autostart(&self, name: &str, on: bool) -> std::io::Result<()> {
        let dir = self.paths.etc().join(format!("{name}.container.d"));
        std::fs::create_dir_all(&dir)?;
        let text = format!(
            "# Written by ct {}.\n[Install]\nAutostart={}\n",
            if on { "enable" } else { "disable" },
            if on { "yes" } else { "no" }
        );
        ledger::replace(&dir.join("40-autostart.conf"), text.as_bytes())
    }

    /// The container's own files as they are on the host, for reading its logs.
    fn files_of(&mut self, name: &str) -> Option<Root> {
        let running = self.fleet.get(name).and_then(|c| c.run.as_ref()).map(|r| r.spec.root.clone());
        let root = match running {
            Some(root) => root,
            None => self.spec_of(name).ok()?.root,
        };
        Some(Root::new(match root {
            SpecRoot::Directory(dir) => dir,
            SpecRoot::Overlay(layers) => layers.first()?.changes.join("upper"),
        }))
    }

    pub(crate) fn last_lines(
        &mut self,
        name: &str,
        unit: Option<&str>,
        count: u32,
    ) -> Vec<crate::control::protocol::LogLine> {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(1000);
        self.files_of(name).map(|root| logs::last(&root, unit, 0, count)).unwrap_or_default()
    }

    /// A running container's ct-init streams its lines itself; a stopped one's are read from its files.
    pub(crate) fn logs(&mut self, client: ClientId, target: &Target, lines: Option<u32>, since: Option<u64>) {
        let name = target.container.as_str().to_owned();
        if !self.exists(&name) {
            return self.reply(client, Fault::no_container(&target.container).into());
        }
        if self.links.contains_key(&name) {
            let reply = self.socket_to(&name).map_or_else(Reply::from, Reply::socket);
            return self.reply(client, reply);
        }
        let count = lines.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let unit = target.unit.as_ref().map(|u| u.as_str());
        let found =
            self.files_of(&name).map(|r| logs::last(&r, unit, since.unwrap_or(0), count)).unwrap_or_default();
        for line in found {
            self.reply(client, Reply::More(Body::Line { line: Some(line) }));
        }
        self.reply(client, Reply::done(Body::Line { line: None }));
    }
}

/// A unit file of these settings, each under the section that has its key.
fn unit_text(template: Option<&str>, settings: &[Setting]) -> Result<String, String> {
    let kind = unit_name("any");
    let mut document = Document::default();
    let template = template.map(|t| Setting { key: "Template".into(), value: t.into() });
    for s in template.iter().chain(settings) {
        let section = section_of(&kind, &s.key)
            .ok_or_else(|| format!("{:?} is no key of a container unit (see man ct.container)", s.key))?;
        document.set(section, &s.key, &s.value).map_err(|_| format!("{}: a value is one line", s.key))?;
    }
    Ok(document.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &[(&str, &str)], expect: Result<&str, &str>) {
        let settings: Vec<Setting> =
            settings.iter().map(|(k, v)| Setting { key: (*k).into(), value: (*v).into() }).collect();
        match (unit_text(Some("host"), &settings), expect) {
            (Ok(text), Ok(want)) => assert_eq!(text, want),
            (Err(e), Err(want)) => assert!(e.contains(want), "{e}"),
            (got, want) => panic!("{got:?} instead of {want:?}"),
        }
    }

    #[test]
    fn settings_go_to_their_sections() {
        check(&[], Ok("[Container]\nTemplate=host\n"));
        check(
            &[("MemoryMax", "64M"), ("Hostname", "x"), ("Autostart", "yes")],
            Ok(
                "[Container]\nTemplate=host\nHostname=x\n[Resources]\nMemoryMax=64M\n[Install]\nAutostart=yes\n",
            ),
        );
        check(&[("MemroyMax", "64M")], Err("MemroyMax"));
        check(&[("Hostname", "x\n[Container]")], Err("one line"));
    }
}
