//! tree: the cgroup steps of the real host against a directory that looks like a v2 tree.
use host_supervisor::apply::{Host, RealHost, run};
use host_supervisor::facts::{Cgroups, Controller};
use host_supervisor::plan::{Group, Plan, Step, Tree};
use host_supervisor::spec::Spec;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tests::cases::{self, Machine};
use tests::need::{Need, have};

const FILES: [&str; 14] = [
    "cgroup.procs",
    "cgroup.threads",
    "cgroup.subtree_control",
    "cgroup.kill",
    "cgroup.freeze",
    "cpu.weight",
    "cpu.max",
    "cpuset.cpus",
    "cpuset.mems",
    "memory.high",
    "memory.max",
    "memory.swap.max",
    "pids.max",
    "io.weight",
];

/// A directory with the files that the kernel would have put there.
struct FakeTree {
    root: TempDir,
}

impl FakeTree {
    fn new(groups: &[&str]) -> FakeTree {
        let tree = FakeTree { root: TempDir::new().expect("a temporary directory") };
        for group in [""].iter().chain(groups) {
            let dir = tree.root.path().join(group);
            fs::create_dir_all(&dir).expect("make a group");
            for file in FILES {
                fs::write(dir.join(file), "").expect("make a file");
            }
        }
        tree
    }

    fn cgroups(&self) -> Cgroups {
        let mut found = Machine::V2.facts().cgroups;
        found.unified = Some(self.root.path().to_path_buf());
        found
    }

    fn host(&self) -> RealHost {
        RealHost::new(self.cgroups(), Path::new("/proc/self/exe")).expect("a host")
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(path)).expect("read a file of the tree")
    }
}

fn cgroup_steps(spec: &Spec) -> Plan {
    let (mut plan, _) = cases::plans(spec, Machine::V2);
    plan.steps.retain(|s| {
        matches!(s, Step::MakeGroup(_) | Step::Enable { .. } | Step::Write { .. } | Step::Delegate { .. })
    });
    plan
}

fn group(path: &str) -> Group {
    Group { tree: Tree::Unified, path: path.into() }
}

#[test]
fn values_arrive_in_the_files_of_the_right_group() {
    if !have("values_arrive_in_the_files_of_the_right_group", &[Need::Root]) {
        return;
    }
    let tree = FakeTree::new(&["ct", "ct/everything", "ct/everything/payload"]);
    let spec = cases::spec(&cases::unit("everything"), Machine::V2).expect("a spec");
    run(&cgroup_steps(&spec), &mut tree.host()).expect("every step finds its file");
    let all = "+cpu +cpuset +memory +pids +io";
    for (file, value) in [
        ("cgroup.subtree_control", all),
        ("ct/cgroup.subtree_control", all),
        ("ct/everything/cgroup.subtree_control", all),
        ("ct/everything/payload/cgroup.subtree_control", ""),
        ("ct/everything/cpu.weight", "200"),
        ("ct/everything/cpu.max", "150000 100000"),
        ("ct/everything/cpuset.cpus", "0-1,3"),
        ("ct/everything/memory.max", "536870912"),
        ("ct/everything/pids.max", "512"),
        ("ct/everything/payload/memory.max", ""),
        ("ct/cpu.weight", ""),
    ] {
        assert_eq!(tree.read(file), value, "{file}");
    }
}

/// cgroup-v2.rst "Delegation Containment": the directory and three files, never a limit.
#[test]
fn only_the_payload_belongs_to_the_container() {
    if !have("only_the_payload_belongs_to_the_container", &[Need::Root]) {
        return;
    }
    let tree = FakeTree::new(&["ct", "ct/everything", "ct/everything/payload"]);
    let spec = cases::spec(&cases::unit("everything"), Machine::V2).expect("a spec");
    run(&cgroup_steps(&spec), &mut tree.host()).expect("every step finds its file");
    let mut owned = BTreeSet::new();
    let mut look = vec![tree.root.path().to_path_buf()];
    while let Some(path) = look.pop() {
        let meta = fs::metadata(&path).expect("it is there");
        if meta.uid() == 100_000 {
            owned.insert(path.strip_prefix(tree.root.path()).expect("below the root").to_path_buf());
        }
        if meta.is_dir() {
            look.extend(fs::read_dir(&path).expect("read it").map(|e| e.expect("an entry").path()));
        }
    }
    let payload = Path::new("ct/everything/payload");
    let files = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"];
    let wanted: BTreeSet<PathBuf> =
        files.iter().map(|f| payload.join(f)).chain([payload.to_path_buf()]).collect();
    assert_eq!(owned, wanted);
}

#[test]
fn a_missing_controller_is_an_error_that_names_the_file_and_takes_everything_back() {
    if !have("a_missing_controller", &[Need::Root]) {
        return;
    }
    let tree = FakeTree::new(&["ct", "ct/everything", "ct/everything/payload"]);
    fs::write(tree.root.path().join("ct/everything/cpu.weight"), "100").expect("the value before");
    fs::remove_file(tree.root.path().join("ct/everything/pids.max")).expect("take a file away");
    let spec = cases::spec(&cases::unit("everything"), Machine::V2).expect("a spec");
    let failure = run(&cgroup_steps(&spec), &mut tree.host()).expect_err("pids.max is missing");
    assert!(failure.to_string().contains("write v2:/ct/everything/pids.max = 512"), "{failure}");
    assert!(failure.to_string().contains("No such file"), "{failure}");
    assert_eq!(tree.read("ct/everything/cpu.weight"), "100", "the value before is back");
}

#[test]
fn controllers_that_are_enabled_are_not_enabled_again() {
    if !have("controllers_that_are_enabled", &[Need::Root]) {
        return;
    }
    let tree = FakeTree::new(&[]);
    fs::write(tree.root.path().join("cgroup.subtree_control"), "cpu pids").expect("enabled before");
    let step = Step::Enable { group: group(""), controllers: vec![Controller::Cpu, Controller::Pids] };
    tree.host().apply(&step).expect("nothing to do");
    assert_eq!(tree.read("cgroup.subtree_control"), "cpu pids");
}

#[test]
fn groups_are_made_and_removed_with_what_is_below() {
    if !have("groups_are_made_and_removed", &[Need::Root]) {
        return;
    }
    let tree = FakeTree::new(&[]);
    let mut host = tree.host();
    for path in ["ct", "ct/a", "ct/a/payload", "ct/a/payload/units"] {
        host.apply(&Step::MakeGroup(group(path))).expect("make it");
    }
    host.apply(&Step::MakeGroup(group("ct/a"))).expect("it is taken over");
    // A group that has gone needs neither thaw nor kill.
    host.apply(&Step::Thaw(group("ct/b"))).expect("nothing to thaw");
    host.apply(&Step::Kill(group("ct/b"))).expect("nothing to kill");
    host.apply(&Step::RemoveGroup(group("ct/b"))).expect("nothing to remove");
    host.apply(&Step::RemoveGroup(group("ct/a"))).expect("remove it");
    assert!(tree.root.path().join("ct").is_dir());
    assert!(!tree.root.path().join("ct/a").exists());
}
