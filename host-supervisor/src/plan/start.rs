//! start: what it takes to run a container, in order. Touches nothing.
use super::child::Child;
use super::{Group, Plan, Step, Tree};
use crate::facts::{Cgroups, Controller};
use crate::paths::Paths;
use crate::spec::{Root, Spec};

/// The start plan. Each block says what it has to come before, and why.
pub fn start(spec: &Spec, cgroups: &Cgroups, paths: &Paths) -> Plan {
    let mut steps = Vec::new();
    // First, for it refuses a second start beside processes that no record knows of.
    clear(spec, cgroups, &mut steps);
    directories(spec, paths, &mut steps);
    // Limits before the first process: a container is never for one instant outside them.
    groups(spec, cgroups, &mut steps);
    mounts(spec, &mut steps);
    steps.push(Step::Listen(paths.run_of(&spec.name).join("init.sock")));
    steps.push(Step::Clone(Box::new(Child::of(spec, cgroups, paths))));
    // The child has no id that means anything before its map is written, and waits for Go.
    steps.extend(spec.ids.map(Step::MapChild));
    steps.push(Step::Go);
    Plan { title: format!("start {}", spec.name), steps }
}

/// Groups that a crash has left are not taken over: they would bring their limits along, and Linux 6.18 kills what is
/// cloned into a group that was killed before.
fn clear(spec: &Spec, cgroups: &Cgroups, steps: &mut Vec<Step>) {
    let unified = cgroups.unified.iter().map(|_| Tree::Unified);
    let trees = unified.chain(spec.joins.iter().map(|c| Tree::V1(*c)));
    steps.extend(trees.map(|tree| Step::RemoveGroup(Group { tree, path: spec.group.clone() })));
}

fn directories(spec: &Spec, paths: &Paths, steps: &mut Vec<Step>) {
    // Files in here carry the container's set-user-id bits with the host's ids: nobody else may reach them.
    steps.push(Step::MakeDir { path: paths.containers(), mode: 0o700 });
    steps.push(Step::MakeDir { path: paths.run_of(&spec.name), mode: 0o700 });
    steps.push(Step::MakeDir { path: paths.run_of(&spec.name).join("root"), mode: 0o700 });
    if let Root::Overlay(all) = &spec.root {
        for layers in all {
            if spec.ephemeral {
                // Where a stop has not come to it, as in a power cut.
                steps.push(Step::RemoveDir(layers.changes.clone()));
            }
            steps.push(Step::MakeDir { path: layers.changes.join("upper"), mode: 0o755 });
            steps.push(Step::MakeDir { path: layers.changes.join("work"), mode: 0o700 });
        }
    }
}

fn groups(spec: &Spec, cgroups: &Cgroups, steps: &mut Vec<Step>) {
    let parent = spec.group.rsplit_once('/').map_or("", |(p, _)| p).to_owned();
    for &c in &spec.joins {
        let group = |path: &str| Group { tree: Tree::V1(c), path: path.to_owned() };
        steps.push(Step::MakeGroup(group(&parent)));
        if c == Controller::Cpuset {
            steps.push(Step::InheritCpuset(group(&parent)));
        }
        steps.push(Step::MakeGroup(group(&spec.group)));
    }
    let unified = |path: &str| Group { tree: Tree::Unified, path: path.to_owned() };
    if cgroups.unified.is_some() {
        // A controller has to be handed down from the top, one level at a time.
        let enable = |path: &str| Step::Enable { group: unified(path), controllers: spec.delegates.clone() };
        let hand_down = !spec.delegates.is_empty();
        steps.extend(hand_down.then(|| enable("")));
        steps.push(Step::MakeGroup(unified(&parent)));
        steps.extend(hand_down.then(|| enable(&parent)));
        steps.push(Step::MakeGroup(unified(&spec.group)));
        steps.extend(hand_down.then(|| enable(&spec.group)));
        // The group above it holds the limits; the container owns only this one, the root of its cgroup namespace.
        steps.push(Step::MakeGroup(unified(&format!("{}/payload", spec.group))));
        let owner = spec.ids.map_or(0, |r| r.base);
        steps.push(Step::Delegate { group: unified(&format!("{}/payload", spec.group)), owner });
    }
    for write in spec.limits.iter().flat_map(|l| &l.writes) {
        let v1 = cgroups.v1.contains_key(&write.controller);
        let tree = if v1 { Tree::V1(write.controller) } else { Tree::Unified };
        let group = Group { tree, path: spec.group.clone() };
        steps.push(Step::Write { group, file: write.file.clone(), value: write.value.clone() });
    }
}

fn mounts(spec: &Spec, steps: &mut Vec<Step>) {
    let mapped = spec.ids.is_some();
    // Idmapped mounts need a user namespace with the map before the container has its own.
    steps.extend(spec.ids.map(Step::MapIds));
    match &spec.root {
        Root::Directory(source) => steps.push(Step::MountDirectory { source: source.clone(), mapped }),
        Root::Overlay(all) => {
            steps.extend(all.iter().map(|l| Step::MountOverlay { layers: l.clone(), mapped }));
        }
    }
    steps.extend(spec.binds.iter().map(|b| Step::PrepareBind { bind: b.clone(), mapped }));
}
