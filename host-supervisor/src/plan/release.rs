//! release: what is removed once nothing of a container runs any more. Touches nothing.
use super::{Group, Plan, Step, Tree};
use crate::facts::Cgroups;
use crate::paths::Paths;
use crate::spec::{Root, Spec};

/// What makes a container quick to stop: it is thawed, and its shares of CPU and disk are at least those that it would
/// have without a limit. Memory, tasks and the choice of CPUs stay as they are.
pub fn lift(spec: &Spec, cgroups: &Cgroups) -> Plan {
    let unified = || Group { tree: Tree::Unified, path: spec.group.clone() };
    // A frozen task takes no signal, and sends no word.
    let thaw = cgroups.unified.iter().map(|_| Step::Thaw(unified()));
    let free = spec.limits.iter().flat_map(|l| &l.writes).filter_map(|w| {
        let v1 = cgroups.v1.contains_key(&w.controller);
        let tree = if v1 { Tree::V1(w.controller) } else { Tree::Unified };
        let value = lifted(&w.file, &w.value)?;
        Some(Step::Write { group: Group { tree, path: spec.group.clone() }, file: w.file.clone(), value })
    });
    Plan { title: format!("lift limits of {}", spec.name), steps: thaw.chain(free).collect() }
}

/// What a file says that holds nothing back; none: it stays as it is.
fn lifted(file: &str, value: &str) -> Option<String> {
    let at_least = |default: u32| {
        let low = value.parse::<u32>().is_ok_and(|v| v < default);
        low.then(|| default.to_string())
    };
    let device = value.split_whitespace().next();
    match file {
        "cpu.max" => Some("max".to_owned()),
        "cpu.cfs_quota_us" => Some("-1".to_owned()),
        "cpu.weight" | "io.weight" => at_least(100),
        "cpu.shares" => at_least(1024),
        "io.max" => device.map(|d| format!("{d} rbps=max wbps=max riops=max wiops=max")),
        throttle if throttle.starts_with("blkio.throttle.") => device.map(|d| format!("{d} 0")),
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use super::lifted;

    #[test]
    fn what_holds_a_stop_back_is_lifted_and_the_rest_stays() {
        let check = |file: &str, value: &str, expect: Option<&str>| {
            assert_eq!(lifted(file, value).as_deref(), expect, "{file} = {value}");
        };
        check("cpu.max", "1000 100000", Some("max"));
        check("cpu.cfs_quota_us", "1000", Some("-1"));
        check("cpu.cfs_period_us", "100000", None);
        check("cpu.weight", "1", Some("100"));
        check("cpu.weight", "400", None);
        check("cpu.shares", "2", Some("1024"));
        check("cpu.shares", "2048", None);
        check("io.weight", "1", Some("100"));
        check("io.max", "8:0 rbps=1000", Some("8:0 rbps=max wbps=max riops=max wiops=max"));
        check("blkio.throttle.read_bps_device", "7:3 1048576", Some("7:3 0"));
        check("memory.max", "1000", None);
        check("pids.max", "10", None);
        check("cpuset.cpus", "0", None);
    }
}
