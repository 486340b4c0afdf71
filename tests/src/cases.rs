//! cases: unit texts and invented machines, and the plans they come to. Touches no machine but to read the cases.
use host_supervisor::facts::{Cgroups, Controller, HostFacts};
use host_supervisor::paths::Paths;
use host_supervisor::plan::{self, Plan};
use host_supervisor::resolve::{Given, resolve};
use host_supervisor::spec::{IdRange, Spec};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use units::merge::{Fragment, assemble};
use units::name::UnitName;
use units::parse::specifier::Context;
use units::schema::Unit;

/// An invented machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// v1 controllers beside a v2 tree, no CAP_SYS_RESOURCE, no swap.
    Hybrid,
    /// Every controller in the v2 tree, swap, all capabilities.
    V2,
    /// A v2 tree whose memory controller the kernel was told to leave out.
    V2WithoutMemory,
    /// v2 without user and time namespaces.
    NoUserNamespaces,
    /// v1 alone, swap counted.
    V1,
}

impl Machine {
    /// All of them.
    pub const ALL: [Machine; 5] =
        [Machine::Hybrid, Machine::V2, Machine::V2WithoutMemory, Machine::NoUserNamespaces, Machine::V1];

    /// As files name it.
    pub fn name(self) -> &'static str {
        match self {
            Machine::Hybrid => "hybrid",
            Machine::V2 => "v2",
            Machine::V2WithoutMemory => "v2-no-memory",
            Machine::NoUserNamespaces => "v2-no-userns",
            Machine::V1 => "v1",
        }
    }

    /// What the supervisor would find there.
    pub fn facts(self) -> HostFacts {
        let cgroups = match self {
            Machine::Hybrid => hybrid(),
            Machine::V2 | Machine::NoUserNamespaces => v2(&[]),
            Machine::V2WithoutMemory => v2(&[Controller::Memory]),
            Machine::V1 => Cgroups { unified: None, kill: false, swap_accounting: true, ..hybrid() },
        };
        let namespaces = self != Machine::NoUserNamespaces;
        HostFacts {
            cgroups,
            memory: 8 << 30,
            swap: if self == Machine::Hybrid { 0 } else { 2 << 30 },
            cpus: vec![0, 1, 2, 3],
            nodes: vec![0],
            tasks: 32768,
            sys_resource: self != Machine::Hybrid,
            user_namespaces: namespaces,
            time_namespaces: namespaces,
            overlay: true,
            hard_limits: BTreeMap::from([(7, Some(4096)), (8, Some(8 << 20)), (0, None)]),
            soft_files: None,
            oom_score_adj: 0,
            last_capability: 40,
            kernel: "6.12.0".into(),
            machine: "x86_64".into(),
            hostname: "host".into(),
            machine_id: None,
            boot_id: "0".into(),
        }
    }
}

fn hybrid() -> Cgroups {
    let at = |c: Controller| (c, PathBuf::from("/sys/fs/cgroup").join(c.name(true)));
    Cgroups {
        unified: Some("/sys/fs/cgroup/unified".into()),
        v2: BTreeSet::new(),
        v1: Controller::ALL.into_iter().map(at).collect(),
        kill: true,
        rt_groups: true,
        swap_accounting: false,
    }
}

fn v2(without: &[Controller]) -> Cgroups {
    let all = [Controller::Cpu, Controller::Cpuset, Controller::Memory, Controller::Pids, Controller::Io];
    Cgroups {
        unified: Some("/sys/fs/cgroup".into()),
        v2: all.into_iter().filter(|c| !without.contains(c)).collect(),
        v1: BTreeMap::new(),
        kill: true,
        rt_groups: false,
        swap_accounting: true,
    }
}

/// Where the supervisor of the cases has its files.
pub fn paths() -> Paths {
    Paths::new("/")
}

/// The directory of this package.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Names of the units in `golden/units`, sorted.
pub fn unit_names() -> Vec<String> {
    let files = fs::read_dir(package().join("golden/units")).expect("golden/units is there");
    let stem = |p: PathBuf| Some(p.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = files.filter_map(|f| stem(f.ok()?.path())).collect();
    names.sort();
    names
}

/// A unit of `golden/units`, parsed.
pub fn unit(name: &str) -> Unit {
    let path = package().join(format!("golden/units/{name}.container"));
    parse(name, &fs::read(&path).expect("the unit file is there"))
}

/// Unit text, parsed without a complaint.
pub fn parse(name: &str, text: &[u8]) -> Unit {
    let path = format!("{name}.container");
    let name = UnitName::parse(&path).expect("a unit name");
    let fragment = Fragment { path, bytes: text.to_vec() };
    let (unit, found) = assemble(&name, &[fragment], &Context::default());
    let complaints: Vec<String> = found.0.iter().map(ToString::to_string).collect();
    assert_eq!(complaints, Vec::<String>::new());
    unit.expect("a unit without errors")
}

/// What the resolver makes of a unit on a machine: the spec, or the sentence that refuses it.
///
/// # Errors
/// The sentence.
pub fn spec(unit: &Unit, machine: Machine) -> Result<Spec, String> {
    let templates = BTreeSet::from(["debian".to_owned(), "host".to_owned()]);
    let given = Given {
        paths: &paths(),
        cgroup_parent: "ct",
        templates: &templates,
        ids: IdRange { base: 100_000, size: 65_536 },
        environment: &[("FROM".into(), "file".into())],
    };
    resolve(unit, &machine.facts(), &given).map_err(|e| e.to_string())
}

/// What is lifted before a stop.
pub fn lift(spec: &Spec, machine: Machine) -> Plan {
    plan::lift(spec, &machine.facts().cgroups)
}

/// The plans of a spec: start and release.
pub fn plans(spec: &Spec, machine: Machine) -> (Plan, Plan) {
    let (cgroups, paths) = (machine.facts().cgroups, paths());
    (plan::start(spec, &cgroups, &paths), plan::release(spec, &cgroups, &paths))
}
