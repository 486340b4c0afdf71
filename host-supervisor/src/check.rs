//! check: every mistake in container units, and what this host can't enforce. Reads only; needs no supervisor.
use crate::facts::{HostFacts, probe};
use crate::load::{load_all, specifiers};
use crate::paths::Paths;
use crate::resolve::{Given, ResolveError, resolve};
use crate::spec::IdRange;
use crate::template;
use std::path::{Path, PathBuf};
use units::catalog::{Loaded, Outcome};
use units::graph::Graph;
use units::merge::{Fragment, assemble};
use units::schema::Unit;
use units::{Diagnostic, Severity, UnitName};

/// A unit file is not longer than this.
const MAX_FILE: u64 = 1024 * 1024;

/// Every mistake in the units of a root's folders, cycles among them, and what can't be enforced here.
pub fn all(paths: &Paths, facts: &HostFacts, cgroup_parent: &str) -> Vec<Diagnostic> {
    let loaded = load_all(paths, facts);
    let mut found: Vec<Diagnostic> = loaded.iter().flat_map(|l| l.diagnostics.0.clone()).collect();
    let units: Vec<&Unit> = loaded.iter().filter_map(unit).collect();
    for unit in &units {
        found.extend(enforceable(unit, paths, facts, cgroup_parent));
    }
    let graph = Graph::build(units.iter().copied(), []);
    let names: Vec<UnitName> = units.iter().map(|u| u.name.clone()).collect();
    let transaction = graph.transaction(&names, &Default::default());
    let whole = |message: String, severity, unit: &UnitName| Diagnostic {
        path: units.iter().find(|u| u.name == *unit).map_or(unit.to_string(), |u| u.path.clone()),
        line: 0,
        column: 0,
        severity,
        message,
    };
    for warning in transaction.warnings {
        let first = names.first().cloned();
        found.extend(first.map(|n| whole(warning.to_string(), Severity::Warning, &n)));
    }
    for (unit, why) in transaction.refused {
        found.push(whole(format!("can't be started: {why}"), Severity::Error, &unit));
    }
    found
}

/// Every mistake in these files, or in all units of the root if none are named. For `ct check`.
pub fn files(root: &Path, files: &[PathBuf]) -> Vec<Diagnostic> {
    let (paths, facts) = (Paths::new(root), probe());
    let parent = paths.cgroup_parent();
    if files.is_empty() {
        return all(&paths, &facts, &parent);
    }
    files.iter().flat_map(|f| one(f, &paths, &facts, &parent)).collect()
}

fn one(file: &Path, paths: &Paths, facts: &HostFacts, parent: &str) -> Vec<Diagnostic> {
    let whole = |message: String| {
        let path = file.display().to_string();
        vec![Diagnostic { path, line: 0, column: 0, severity: Severity::Error, message }]
    };
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name = match UnitName::parse(&name) {
        Ok(name) => name,
        Err(e) => return whole(format!("{e}")),
    };
    let bytes = match read(file) {
        Ok(bytes) => bytes,
        Err(why) => return whole(why),
    };
    let text = Fragment { path: file.display().to_string(), bytes };
    let context = specifiers(facts);
    let (unit, mut diagnostics) = assemble(&name, &[text], &context);
    if let Some(unit) = unit.filter(|u| u.name.suffix() == "container") {
        diagnostics.0.extend(enforceable(&unit, paths, facts, parent));
    }
    diagnostics.0
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let meta = std::fs::metadata(file).map_err(|e| format!("{e}"))?;
    if meta.is_dir() {
        return Err("is a directory, not a unit file".to_owned());
    }
    if meta.len() > MAX_FILE {
        return Err(format!("has {} bytes; a unit file has at most {MAX_FILE}", meta.len()));
    }
    std::fs::read(file).map_err(|e| format!("{e}"))
}

/// What of a sound unit this host can't do.
fn enforceable(unit: &Unit, paths: &Paths, facts: &HostFacts, parent: &str) -> Vec<Diagnostic> {
    let templates = template::names(paths);
    let ids = IdRange { base: 0x2000_0000, size: 65536 };
    let given = Given { paths, cgroup_parent: parent, templates: &templates, ids, environment: &[] };
    let at = |severity, message: String| Diagnostic {
        path: unit.path.clone(),
        line: 0,
        column: 0,
        severity,
        message,
    };
    match resolve(unit, facts, &given) {
        Ok(spec) => spec
            .not_in_force
            .iter()
            .map(|why| at(Severity::Warning, format!("not in force: {why}")))
            .collect(),
        Err(ResolveError::Unsupported { refusals, .. }) => {
            refusals.iter().map(|r| at(Severity::Error, r.to_string())).collect()
        }
        Err(e) => vec![at(Severity::Error, e.to_string())],
    }
}

fn unit(loaded: &Loaded) -> Option<&Unit> {
    match &loaded.outcome {
        Outcome::Unit(unit) => Some(unit),
        Outcome::Masked | Outcome::Missing | Outcome::Broken => None,
    }
}
