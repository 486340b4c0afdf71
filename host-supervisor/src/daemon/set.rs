//! set: changes settings of a container, at once where its limits are, else for its next start.
use super::Daemon;
use crate::apply;
use crate::control::protocol::{Body, Fault, FaultKind, Reply, SetResult, Setting};
use crate::control::server::ClientId;
use crate::control::target::ContainerName;
use crate::ledger;
use crate::load::unit_name;
use crate::plan;
use std::path::{Path, PathBuf};
use units::Severity;
use units::parse::document;
use units::schema::read::section_of;

/// The drop-in that `ct set --save` writes, and the later one of a plain `ct set`: one of the same name would be hidden
/// by the saved one.
const SAVED: &str = "50-set.conf";
const FOR_THIS_RUN: &str = "60-run.conf";

impl Daemon {
    pub(crate) fn set(&mut self, client: ClientId, name: &ContainerName, settings: &[Setting], save: bool) {
        let reply = match self.try_set(name, settings, save) {
            Ok(done) => Reply::done(Body::Set(done)),
            Err(fault) => fault.into(),
        };
        self.reply(client, reply);
    }

    /// Writes the drop-in, resolves what it comes to, changes the difference. Whatever fails puts the old one back.
    fn try_set(
        &mut self,
        name: &ContainerName,
        settings: &[Setting],
        save: bool,
    ) -> Result<SetResult, Fault> {
        if !self.exists(name.as_str()) {
            return Err(Fault::no_container(name));
        }
        let path = self.drop_in(name.as_str(), save);
        let before = std::fs::read(&path).ok();
        let text = merged(before.as_deref().unwrap_or_default(), settings)?;
        put(&path, Some(text.as_bytes()))?;
        let done = self.change(name.as_str(), settings);
        if done.is_err() {
            put(&path, before.as_deref())?;
        }
        self.refresh();
        let mut done = done?;
        done.saved = save.then(|| path.display().to_string());
        let words: Vec<String> = settings.iter().map(|s| format!("{}={}", s.key, s.value)).collect();
        self.event(name.as_str(), None, "limit", &format!("set {}", words.join(" ")));
        Ok(done)
    }

    fn change(&mut self, name: &str, settings: &[Setting]) -> Result<SetResult, Fault> {
        let wanted = self.spec_of(name)?;
        let Some(run) = self.fleet.get_mut(name).and_then(|c| c.run.as_mut()) else {
            let waiting = settings.iter().map(|s| s.key.clone()).collect();
            return Ok(SetResult { waiting, ..SetResult::default() });
        };
        let plan = plan::set(&run.spec, &wanted, &self.facts.cgroups);
        apply::run(&plan, &mut self.host).map_err(|e| Fault::of(FaultKind::Failed, &e).hint(hint(&e)))?;
        run.spec.limits = wanted.limits;
        let (applied, waiting) = settings.iter().map(|s| s.key.clone()).partition(|k| at_once(name, k));
        Ok(SetResult { applied, waiting, saved: None })
    }

    /// The steps that `ct set` would take.
    pub(crate) fn plan_set(&mut self, name: &str, settings: &[Setting]) -> Result<Vec<String>, Fault> {
        let path = self.drop_in(name, false);
        let before = std::fs::read(&path).ok();
        let text = merged(before.as_deref().unwrap_or_default(), settings)?;
        put(&path, Some(text.as_bytes()))?;
        let wanted = self.spec_of(name);
        put(&path, before.as_deref())?;
        self.refresh();
        let wanted = wanted?;
        match self.fleet.get(name).and_then(|c| c.run.as_ref()) {
            None => Ok(vec![format!("# {name} does not run; this is for its next start")]),
            Some(run) => {
                let plan = plan::set(&run.spec, &wanted, &self.facts.cgroups);
                Ok(plan.to_string().lines().map(str::to_owned).collect())
            }
        }
    }

    /// Below /etc it is kept; below /run it lasts until the container stops.
    fn drop_in(&self, name: &str, save: bool) -> PathBuf {
        let (base, file) = match save {
            true => (self.paths.etc(), SAVED),
            false => (self.paths.run().join("units"), FOR_THIS_RUN),
        };
        base.join(format!("{name}.container.d")).join(file)
    }

    /// What was set without --save ends with the run.
    pub(crate) fn forget_settings(&self, name: &str) {
        let _ = put(&self.drop_in(name, false), None);
    }
}

fn put(path: &Path, bytes: Option<&[u8]>) -> Result<(), Fault> {
    let failed = |e: std::io::Error| Fault::new(FaultKind::Failed, format!("write {}: {e}", path.display()));
    let dir = path.parent().unwrap_or(Path::new("/"));
    match bytes {
        Some(bytes) => {
            std::fs::create_dir_all(dir).map_err(failed)?;
            ledger::replace(path, bytes).map_err(failed)
        }
        None => {
            let _ = std::fs::remove_file(path);
            let _ = std::fs::remove_dir(dir);
            Ok(())
        }
    }
}

/// An earlier drop-in with these settings in it.
fn merged(before: &[u8], settings: &[Setting]) -> Result<String, Fault> {
    let usage = |m: String| Fault::new(FaultKind::Usage, m);
    let (mut document, _) = document::parse(SAVED, before, Severity::Warning);
    for s in settings {
        let section = section_of(&unit_name("any"), &s.key).ok_or_else(|| {
            usage(format!("{:?} is no key of a container unit (see man ct.container)", s.key))
        })?;
        document
            .set(section, &s.key, &s.value)
            .map_err(|_| usage(format!("{}: a value is one line", s.key)))?;
    }
    Ok(document.render())
}

/// Whether a key holds for what runs; the others are for a new PID 1.
fn at_once(name: &str, key: &str) -> bool {
    let limit = section_of(&unit_name(name), key) == Some("Resources");
    limit && !key.starts_with("Limit") && key != "OOMScoreAdjust"
}

fn hint(error: &apply::ApplyError) -> &'static str {
    let busy = matches!(&error.cause, apply::Cause::Io(e) if e.kind() == std::io::ErrorKind::ResourceBusy);
    match busy {
        true => "it holds more than that now: stop something inside, or set it at the next start",
        false => "nothing was changed",
    }
}
