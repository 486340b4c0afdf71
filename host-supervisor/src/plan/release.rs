//! release: what is removed once nothing of a container runs any more. Touches nothing.
use super::{Group, Plan, Step, Tree};
use crate::facts::Cgroups;
use crate::paths::Paths;
use crate::spec::{Root, Spec};

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
