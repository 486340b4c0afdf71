//! release: what is removed once nothing of a container runs any more. Touches nothing.
use super::{Group, Plan, Step, Tree};
use crate::facts::Cgroups;
use crate::paths::Paths;
use crate::spec::{Root, Spec};

/// Lifts what would make a container slow to stop: its CPU quota. Weight and memory limits stay.
pub fn lift(spec: &Spec) -> Plan {
    let quota = spec.limits.iter().filter(|l| l.key == "CPUQuota").flat_map(|l| &l.writes);
    let free = quota.filter_map(|w| {
        let (tree, value) = match w.file.as_str() {
            "cpu.cfs_quota_us" => (Tree::V1(w.controller), "-1"),
            "cpu.max" => (Tree::Unified, "max"),
            _ => return None,
        };
        let group = Group { tree, path: spec.group.clone() };
        Some(Step::Write { group, file: w.file.clone(), value: value.to_owned() })
    });
    Plan { title: format!("lift limits of {}", spec.name), steps: free.collect() }
}

/// The reverse of [`super::start`], after its processes are gone.
pub fn release(spec: &Spec, cgroups: &Cgroups, paths: &Paths) -> Plan {
    let mut steps = vec![Step::RemoveFile(paths.run_of(&spec.name).join("init.sock"))];
    if cgroups.unified.is_some() {
        let group = Group { tree: Tree::Unified, path: spec.group.clone() };
        // A frozen task takes no signal.
        steps.push(Step::Thaw(group.clone()));
        steps.push(Step::Kill(group.clone()));
        steps.push(Step::RemoveGroup(group));
    }
    for c in spec.joins.iter().rev() {
        steps.push(Step::RemoveGroup(Group { tree: Tree::V1(*c), path: spec.group.clone() }));
    }
    if let (true, Root::Overlay(all)) = (spec.ephemeral, &spec.root) {
        steps.extend(all.iter().map(|l| Step::RemoveDir(l.changes.clone())));
    }
    steps.push(Step::RemoveDir(paths.run_of(&spec.name)));
    Plan { title: format!("release {}", spec.name), steps }
}
