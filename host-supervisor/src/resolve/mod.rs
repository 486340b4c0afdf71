//! resolve: a container unit and what this host offers, to a Spec with no open question. Touches nothing.
pub mod host;
mod limits;
mod security;

pub use security::{CALLS, default_capabilities, default_denied};

use crate::facts::{Controller, HostFacts};
use crate::paths::Paths;
use crate::spec::{Bind, Device, IdRange, Init, Layers, Root, Spec};
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use units::schema::{Body, Container, InitProgram, ReadyWhen, Rootfs, Unit, UserNs};

/// The name of the template that is the running system itself.
pub const HOST_TEMPLATE: &str = "host";

/// What the caller has looked up for this container.
#[derive(Clone, Debug)]
pub struct Given<'a> {
    /// The supervisor's directories.
    pub paths: &'a Paths,
    /// `--cgroup-parent`.
    pub cgroup_parent: &'a str,
    /// Templates that are there.
    pub templates: &'a BTreeSet<String>,
    /// The id range set aside for it, for `UserNamespace=auto`.
    pub ids: IdRange,
    /// What `EnvironmentFile=` held.
    pub environment: &'a [(String, String)],
}

/// Something a unit asks for that can't be had here: what, why, and what would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `MemoryHigh`
    pub key: String,
    /// `512M`
    pub asked: String,
    /// Why not, and in parentheses what to do.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}: {}", self.key, self.asked, self.why)
    }
}

/// Why a unit has no Spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// It is another kind of unit.
    #[error("{0} is not a container unit")]
    NotAContainer(String),
    /// Neither Template= nor Rootfs=.
    #[error("neither Template= nor Rootfs= says where its files are")]
    NoRoot,
    /// No such template.
    #[error("there is no template {template:?} (see ct template list; make one with ct template import)")]
    NoTemplate {
        /// What it asked for.
        template: String,
    },
    /// The pool is used up. Never ignored: without ids of its own it would run with the host's.
    #[error("all ids of the pool are given out (enlarge IdPool= in host.conf, or destroy containers)")]
    NoIds,
    /// The host can't do it, and the unit doesn't say IgnoreUnsupported=yes.
    #[error("this host can't enforce {}", join(.refusals))]
    Unsupported {
        /// All of it at once.
        refusals: Vec<Refusal>,
    },
}

fn join(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Makes the Spec.
///
/// # Errors
/// What is missing, or everything that this host can't enforce, at once.
pub fn resolve(unit: &Unit, facts: &HostFacts, given: &Given<'_>) -> Result<Spec, ResolveError> {
    let name = unit.name.stem().to_owned();
    let Body::Container(container) = &unit.body else {
        return Err(ResolveError::NotAContainer(unit.name.to_string()));
    };
    if container.user_namespace == UserNs::Auto && given.ids.size == 0 {
        return Err(ResolveError::NoIds);
    }
    let mut refusals: Vec<Refusal> = unit.not_applied.iter().map(not_built).collect();
    refusals.extend(without_ct_init(container));
    refusals.extend(security::unknown_calls(&container.system_call_filter));
    refusals.extend(container.devices.iter().filter_map(no_node));
    let ids = user_namespace(container, facts, given, &mut refusals);
    let limits = limits::limits(&container.resources, facts, &mut refusals);
    let (rlimits, oom) = limits::process(&container.resources, facts, &mut refusals);
    if !refusals.is_empty() && !container.ignore_unsupported {
        return Err(ResolveError::Unsupported { refusals });
    }
    let root = root(&name, container, given)?;
    let uses = |c: Controller| limits.iter().any(|l| l.writes.iter().any(|w| w.controller == c));
    let joins =
        [Controller::Cpu, Controller::Cpuacct, Controller::Memory, Controller::Pids, Controller::Cpuset]
            .into_iter()
            .filter(|c| facts.cgroups.v1.contains_key(c) && (*c != Controller::Cpuset || uses(*c)))
            .collect();
    let delegates =
        [Controller::Cpu, Controller::Cpuset, Controller::Memory, Controller::Pids, Controller::Io]
            .into_iter()
            .filter(|c| facts.cgroups.v2.contains(c))
            .collect();
    let mut environment = container.environment.clone();
    environment.extend_from_slice(given.environment);
    environment.extend(container.timezone.iter().map(|tz| ("TZ".to_owned(), tz.clone())));
    environment.extend(container.locale.iter().map(|l| ("LANG".to_owned(), l.clone())));
    Ok(Spec {
        description: unit.unit.description.clone().unwrap_or_default(),
        hostname: container.hostname.clone().unwrap_or_else(|| name.clone()),
        root,
        ids,
        init: match &container.init {
            InitProgram::CtInit => Init::CtInit,
            InitProgram::Path(p) => Init::Guest(p.clone()),
        },
        unit: container.unit.to_string(),
        ready: if with_ct_init(container) { container.ready_when.clone() } else { ReadyWhen::Target },
        health: Some(container.health.clone()).filter(|h| with_ct_init(container) && !h.command.is_empty()),
        watchdog: container.watchdog.filter(|_| with_ct_init(container)),
        environment,
        binds: container.binds.iter().map(bind).collect(),
        tmpfs: container.tmpfs.clone(),
        devices: container.devices.iter().filter(|d| no_node(d).is_none()).map(device).collect(),
        capabilities: security::capabilities(&container.bounding, ids.is_some()),
        no_new_privileges: container.no_new_privileges,
        denied_calls: security::denied(&container.system_call_filter),
        time_namespace: facts.time_namespaces && ids.is_some(),
        rlimits: limits::with_files(rlimits, facts),
        oom_score_adjust: oom,
        group: format!("{}/{name}", given.cgroup_parent),
        joins,
        delegates,
        limits,
        not_in_force: refusals.iter().map(ToString::to_string).collect(),
        ephemeral: container.ephemeral,
        name,
    })
}

fn not_built(d: &units::schema::NotApplied) -> Refusal {
    Refusal {
        key: d.key.clone(),
        asked: d.value.clone(),
        why: "this version does not enforce it (remove it, or set IgnoreUnsupported=yes)".to_owned(),
    }
}

/// What ct-init does inside, and nobody does where the guest has an init of its own.
fn without_ct_init(container: &Container) -> Vec<Refusal> {
    if with_ct_init(container) {
        return Vec::new();
    }
    let why = "only ct-init does that inside (remove it, or Init=)";
    let refuse = |key: &str, asked: String| Refusal { key: key.into(), asked, why: why.into() };
    let mut refusals = Vec::new();
    if container.ready_when != ReadyWhen::Target {
        refusals.push(refuse("ReadyWhen", container.ready_when.to_string()));
    }
    if !container.health.command.is_empty() {
        refusals.push(refuse("HealthCheck", container.health.command.join(" ")));
    }
    if let Some(time) = container.watchdog {
        refusals.push(refuse("WatchdogSec", humantime::format_duration(time).to_string()));
    }
    refusals
}

fn with_ct_init(container: &Container) -> bool {
    container.init == InitProgram::CtInit
}

/// A class of devices has no node that could be shown inside.
fn no_node((path, access): &(String, String)) -> Option<Refusal> {
    (!path.starts_with("/dev/")).then(|| Refusal {
        key: "DeviceAllow".into(),
        asked: format!("{path} {access}").trim_end().to_owned(),
        why: "only device nodes below /dev can be shown inside (name each)".into(),
    })
}

fn user_namespace(
    container: &Container,
    facts: &HostFacts,
    given: &Given<'_>,
    refusals: &mut Vec<Refusal>,
) -> Option<IdRange> {
    let asked = match container.user_namespace {
        UserNs::No => return None,
        UserNs::Auto => given.ids,
        UserNs::Range { base, size } => IdRange { base, size },
    };
    if !facts.user_namespaces {
        refusals.push(Refusal {
            key: "UserNamespace".into(),
            asked: format!("{}:{}", asked.base, asked.size),
            why: "this kernel has no user namespaces (UserNamespace=no runs it as the host's root)".into(),
        });
        return None;
    }
    Some(asked)
}

fn root(name: &str, container: &Container, given: &Given<'_>) -> Result<Root, ResolveError> {
    let changes = |part: &str| given.paths.var_of(name).join("changes").join(part);
    let layer = |target: &str, lower: PathBuf, part: &str| Layers {
        target: target.to_owned(),
        lower,
        changes: changes(part),
    };
    match &container.rootfs {
        None => Err(ResolveError::NoRoot),
        Some(Rootfs::Template(t)) if t == HOST_TEMPLATE => {
            let skeleton = given.paths.templates().join(HOST_TEMPLATE);
            // The host's own services are not the container's: what a package installs inside is all it has.
            let no_units = skeleton.join("usr");
            Ok(Root::Overlay(vec![
                layer("/", skeleton, "root"),
                layer("/usr", PathBuf::from("/usr"), "usr"),
                layer("/usr/lib/systemd/system", no_units, "units"),
            ]))
        }
        Some(Rootfs::Template(t)) if !given.templates.contains(t) => {
            Err(ResolveError::NoTemplate { template: t.clone() })
        }
        Some(Rootfs::Template(t)) => {
            Ok(Root::Overlay(vec![layer("/", given.paths.templates().join(t), "root")]))
        }
        Some(Rootfs::Directory(d)) if container.ephemeral => {
            Ok(Root::Overlay(vec![layer("/", PathBuf::from(d), "root")]))
        }
        Some(Rootfs::Directory(d)) => Ok(Root::Directory(PathBuf::from(d))),
    }
}

fn bind(b: &units::schema::container::Bind) -> Bind {
    Bind {
        source: PathBuf::from(&b.source),
        target: b.target.clone(),
        read_only: b.read_only,
        optional: b.optional,
    }
}

fn device((path, access): &(String, String)) -> Device {
    Device { path: path.clone(), writable: access.is_empty() || access.contains('w') }
}
