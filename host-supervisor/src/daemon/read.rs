//! read: container units from their folders into the fleet, and from there to specs. Changes no container.
use super::Daemon;
use super::fleet::Container;
use crate::control::protocol::{Fault, FaultKind};
use crate::ledger::{self, Durable};
use crate::load::{load_all, load_one, unit_name};
use crate::paths::hash;
use crate::resolve::host::RANGE;
use crate::resolve::{Given, HOST_TEMPLATE, ResolveError, resolve};
use crate::spec::{IdRange, Root as SpecRoot, Spec};
use crate::template;
use slog::warn;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use units::catalog::{Loaded, Outcome};
use units::graph::{Absent, Graph, Job};
use units::machine::{Machine, Policy, Wanted, seed};
use units::schema::{Body, Unit, UnitSection};
use units::{Diagnostics, Severity, UnitName};

impl Daemon {
    /// Reads all units again. Containers without a file stay known as long as something of them runs.
    pub(crate) fn refresh(&mut self) {
        let loaded = load_all(&self.paths, &self.facts);
        let present: BTreeSet<String> = loaded.iter().map(|l| l.name.stem().to_owned()).collect();
        loaded.into_iter().for_each(|l| self.take_in(l));
        let gone: Vec<String> = self.fleet.all.keys().filter(|n| !present.contains(*n)).cloned().collect();
        for name in gone {
            let loaded = load_one(&self.paths, &self.facts, &unit_name(&name));
            let at_rest = self.fleet.get(&name).is_some_and(|c| c.run.is_none() && c.machine.is_at_rest());
            match loaded.outcome {
                Outcome::Missing if at_rest => drop(self.fleet.all.remove(&name)),
                Outcome::Unit(_) | Outcome::Masked | Outcome::Missing | Outcome::Broken => {
                    self.take_in(loaded)
                }
            }
        }
    }

    /// Makes sure a container is known that may be an instance of a template, or run without a file.
    pub(crate) fn know(&mut self, name: &str) {
        if self.fleet.get(name).is_none() {
            let loaded = load_one(&self.paths, &self.facts, &unit_name(name));
            self.take_in(loaded);
        }
    }

    /// Whether there is a container of this name, now that its file was looked for.
    pub(crate) fn exists(&mut self, name: &str) -> bool {
        if self.fleet.get(name).is_some() {
            return true;
        }
        let loaded = load_one(&self.paths, &self.facts, &unit_name(name));
        let there = !matches!(loaded.outcome, Outcome::Missing);
        if there {
            self.take_in(loaded);
        }
        there
    }

    fn take_in(&mut self, loaded: Loaded) {
        let name = loaded.name.stem().to_owned();
        if self.fleet.get(&name).is_none() {
            let durable = self.durable(&name);
            self.fleet.all.insert(name.clone(), Container::new(durable, Machine::new(placeholder())));
        }
        let Some(c) = self.fleet.get_mut(&name) else { return };
        c.files = loaded.paths;
        match loaded.outcome {
            Outcome::Unit(unit) => {
                c.unit = Some(*unit);
                c.broken = None;
                let policy = self.policy_of(&name);
                if let Some(c) = self.fleet.get_mut(&name) {
                    c.machine.set_policy(policy);
                }
            }
            Outcome::Masked => {
                c.unit = None;
                c.broken = Some("its unit is masked (linked to /dev/null)".to_owned());
            }
            Outcome::Missing => {
                c.unit = None;
                c.broken = Some("its unit file is gone".to_owned());
            }
            Outcome::Broken => {
                let first = sentence(&loaded.diagnostics);
                if c.broken.as_ref() != Some(&first) {
                    warn!(self.log, "unit can't be used"; "ct" => &name, "why" => &first);
                }
                c.unit = None;
                c.broken = Some(first);
            }
        }
    }

    /// What a container keeps over boots, made when it is first seen.
    fn durable(&self, name: &str) -> Durable {
        let path = self.paths.var_of(name).join("state.json");
        match ledger::read::<Durable>(&path) {
            Ok(Some(durable)) => return durable,
            Ok(None) => {}
            Err(e) => self.complain("could not read a container's state", &e),
        }
        let durable = Durable { ids: self.free_ids(), wanted_up: false, exits: Vec::new() };
        if self.paths.var_of(name).is_dir()
            && let Err(e) = ledger::write(&path, &durable)
        {
            self.complain("could not write a container's state", &e);
        }
        durable
    }

    /// A range that no container here has, begun at a place of this root's own.
    fn free_ids(&self) -> IdRange {
        let mut taken: BTreeSet<u32> = self.fleet.all.values().map(|c| c.durable.ids.base).collect();
        let dirs = std::fs::read_dir(self.paths.containers()).into_iter().flatten().flatten();
        for dir in dirs {
            if let Ok(Some(d)) = ledger::read::<Durable>(&dir.path().join("state.json")) {
                taken.insert(d.ids.base);
            }
        }
        let ranges = self.conf.id_ranges;
        let first = match self.paths.root() == Path::new("/") {
            true => 0,
            false => hash(self.paths.root().as_os_str().as_encoded_bytes()) % ranges,
        };
        let bases = (0..ranges).map(|i| self.conf.id_base + ((first + i) % ranges) * RANGE);
        let apart = |b: &u32| taken.iter().all(|t| t.abs_diff(*b) >= RANGE);
        match bases.into_iter().find(apart) {
            Some(base) => IdRange { base, size: RANGE },
            // No ids at all: the resolver says so, and nobody shares another's.
            None => IdRange { base: 0, size: 0 },
        }
    }

    /// The spec that a start would use now.
    pub(crate) fn spec_of(&mut self, name: &str) -> Result<Spec, Fault> {
        let failed = |why| Fault::new(FaultKind::Failed, why);
        let loaded = load_one(&self.paths, &self.facts, &unit_name(name));
        self.take_in(loaded);
        let c = self.fleet.get(name).ok_or_else(|| failed(format!("there is no container {name}")))?;
        if let Some(why) = &c.broken {
            return Err(failed(why.clone()));
        }
        let unit = c.unit.as_ref().ok_or_else(|| failed("its unit was not read".to_owned()))?;
        let environment = environment(unit).map_err(failed)?;
        let given = Given {
            paths: &self.paths,
            cgroup_parent: &self.cgroup_parent,
            templates: &template::names(&self.paths),
            ids: c.durable.ids,
            environment: &environment,
        };
        let generation = c.generation;
        let spec = resolve(unit, &self.facts, &given).map_err(|e| {
            let kind = match e {
                ResolveError::NoTemplate { .. } => FaultKind::NotFound,
                ResolveError::Unsupported { .. } => FaultKind::Refused,
                ResolveError::NotAContainer(_) | ResolveError::NoRoot | ResolveError::NoIds => {
                    FaultKind::Failed
                }
            };
            Fault::new(kind, e.to_string())
        });
        spec.map(|mut spec| {
            if generation > 0 {
                spec.group = format!("{}.{generation}", spec.group);
            }
            spec
        })
    }

    pub(crate) fn policy_of(&self, name: &str) -> Policy {
        let container = self.fleet.get(name);
        let mut policy = match container.and_then(|c| c.unit.as_ref()) {
            Some(Unit { body: Body::Container(c), unit, .. }) => Policy {
                // Hosts that are copies of each other draw different lots.
                seed: seed(&[&self.facts.boot_id, name]),
                ..Policy::of_container(c, unit)
            },
            Some(_) | None => placeholder(),
        };
        // A ct-init that runs sends its keep-alives as often as it was told at its start.
        if let Some(run) = container.and_then(|c| c.run.as_ref()) {
            policy.watchdog = run.spec.watchdog;
        }
        policy
    }

    /// What has to be there before a plan can run: durable state (so that its ids stay) and the built-in template.
    pub(crate) fn prepare_root(&self, spec: &Spec) -> Result<(), String> {
        let dir = self.paths.var_of(&spec.name);
        if let Err(e) = std::fs::create_dir_all(&dir) {
            let why = format!("make {}: {e}", dir.display());
            // One that has its files elsewhere needs no place for them; what is to be kept over boots is not kept.
            let full = matches!(e.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull);
            if !(full && matches!(spec.root, SpecRoot::Directory(_))) {
                return Err(why);
            }
            self.warn("keeps nothing over boots", &spec.name, &why);
            return Ok(());
        }
        let state = dir.join("state.json");
        if let (false, Some(c)) = (state.exists(), self.fleet.get(&spec.name))
            && let Err(e) = ledger::write(&state, &c.durable)
        {
            self.complain("could not write a container's state", &e);
        }
        let skeleton = self.paths.templates().join(HOST_TEMPLATE);
        let host = matches!(&spec.root, SpecRoot::Overlay(all) if all.iter().any(|l| l.lower == skeleton));
        if host {
            template::host_template(&self.paths).map_err(|e| ct_init::chain(&e))?;
        }
        Ok(())
    }

    /// Who waits for whom, among all containers.
    pub(crate) fn graph(&self) -> Graph {
        let units = self.fleet.all.values().filter_map(|c| c.unit.as_ref());
        let mut graph = Graph::build(units, []);
        for (name, c) in &self.fleet.all {
            if let Some(why) = &c.broken {
                graph.set_absent(unit_name(name), Absent::Broken(why.clone()));
            }
        }
        graph
    }

    /// Starts these and what they need, in the order of their dependencies. What could not even be queued is returned.
    pub(crate) fn start_all(&mut self, names: &[UnitName]) -> Vec<(UnitName, String)> {
        let graph = self.graph();
        let up: BTreeSet<UnitName> =
            self.fleet.all.iter().filter(|(_, c)| c.machine.is_up()).map(|(n, _)| unit_name(n)).collect();
        let transaction = graph.transaction(names, &up);
        for warning in &transaction.warnings {
            warn!(self.log, "start order"; "why" => %warning);
        }
        self.jobs.add(&graph, &transaction);
        self.pump();
        self.note_queued(&transaction.start);
        self.note_queued(&transaction.stop);
        transaction.refused.into_iter().map(|(u, why)| (u, why.to_string())).collect()
    }

    /// Stops these and what can't be without them, in the exact reverse order.
    pub(crate) fn stop_all(&mut self, names: &[UnitName]) {
        let graph = self.graph();
        let set = graph.stop_set(names);
        self.jobs.add_stops(&graph, &set);
        // A start that the pace holds back would come after the stop.
        self.held.retain(|job| !matches!(job, Job::Start(unit) if set.contains(unit)));
        self.pump();
        self.note_queued(&set);
    }

    /// What these wait for, if they do.
    pub(crate) fn queued(&self, unit: &UnitName) -> Option<Wanted> {
        let held = self.held.iter().find(|job| matches!(job, Job::Start(u) | Job::Stop(u) if u == unit));
        match held.cloned().or_else(|| self.jobs.waiting(unit))? {
            Job::Start(_) => Some(Wanted::Up),
            Job::Stop(_) => Some(Wanted::Down),
            Job::Refuse(..) => None,
        }
    }

    /// Writes down which of these still wait for their turn: whoever asked is told that it is queued.
    fn note_queued(&mut self, units: &[UnitName]) {
        for unit in units {
            let queued = self.queued(unit);
            if let Some(c) = self.fleet.get_mut(unit.stem()) {
                c.queued = queued;
                self.keep(unit.stem());
            }
        }
    }
}

/// The errors of a unit as one sentence: the first, and how many more.
pub(crate) fn sentence(diagnostics: &Diagnostics) -> String {
    let errors: Vec<String> =
        diagnostics.0.iter().filter(|d| d.severity == Severity::Error).map(ToString::to_string).collect();
    match errors.as_slice() {
        [] => "its unit can't be used".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} (and {} more: ct check)", rest.len()),
    }
}

/// What `EnvironmentFile=` holds, of the host's files.
fn environment(unit: &Unit) -> Result<Vec<(String, String)>, String> {
    let Body::Container(container) = &unit.body else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for (path, optional) in &container.environment_files {
        match std::fs::read(path) {
            Err(e) if *optional && e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(format!("read EnvironmentFile= {path}: {e}")),
            Ok(bytes) => all.extend(units::parse::environment::parse(&bytes).pairs),
        }
    }
    Ok(all)
}

/// What a container lives by whose unit can't be read: the defaults, so that it can still be stopped.
fn placeholder() -> Policy {
    Policy::of_container(&units::schema::Container::default(), &UnitSection::default())
}
