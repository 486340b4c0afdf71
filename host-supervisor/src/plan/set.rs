//! set: limits of a running container from what they are to what they shall be. Touches nothing.
use super::{Group, Plan, Step, Tree};
use crate::facts::Cgroups;
use crate::spec::{Spec, Write};

/// The files that differ, in an order the kernel takes: v1 refuses a memsw limit below the memory limit, so memsw goes
/// first when memory grows and last when it shrinks. A limit that is no longer asked for goes back to none.
pub fn set(now: &Spec, wanted: &Spec, cgroups: &Cgroups) -> Plan {
    let writes = |spec: &Spec| spec.limits.iter().flat_map(|l| l.writes.clone()).collect::<Vec<Write>>();
    let (old, new) = (writes(now), writes(wanted));
    let gone = old.iter().filter(|o| !new.iter().any(|n| n.file == o.file)).filter_map(|o| {
        let value = unlimited(&o.file)?.to_owned();
        Some(Write { controller: o.controller, file: o.file.clone(), value })
    });
    let mut changed: Vec<Write> = gone.chain(new.iter().filter(|n| !old.contains(n)).cloned()).collect();
    let grows = amount(&new) > amount(&old);
    changed.sort_by_key(|w| match w.file.as_str() {
        MEMSW if grows => 0,
        MEMORY => 1,
        MEMSW => 2,
        _ => 3,
    });
    let mut steps = Vec::new();
    for w in changed {
        let v1 = cgroups.v1.contains_key(&w.controller);
        let tree = if v1 { Tree::V1(w.controller) } else { Tree::Unified };
        let group = Group { tree, path: now.group.clone() };
        // v2 takes a limit below what is used, and kills until it is kept.
        if let Some(bytes) = shrinks(&w, &old) {
            steps.push(Step::Reclaim { group: group.clone(), bytes });
        }
        steps.push(Step::Write { group, file: w.file, value: w.value });
    }
    Plan { title: format!("set {}", now.name), steps }
}

/// The new limit on v2, if it is a lower one.
fn shrinks(new: &Write, old: &[Write]) -> Option<u64> {
    let wanted: u64 = new.value.parse().ok().filter(|_| new.file == "memory.max")?;
    let before = old.iter().find(|w| w.file == new.file).and_then(|w| w.value.parse::<u64>().ok());
    before.is_none_or(|b| wanted < b).then_some(wanted)
}

const MEMORY: &str = "memory.limit_in_bytes";
const MEMSW: &str = "memory.memsw.limit_in_bytes";

/// The memory limit on v1; without one it is without end.
fn amount(writes: &[Write]) -> u64 {
    let limit = writes.iter().find(|w| w.file == MEMORY);
    limit.and_then(|w| w.value.parse().ok()).unwrap_or(u64::MAX)
}

/// What a file says when there is no limit; none for one that always holds a value.
fn unlimited(file: &str) -> Option<&'static str> {
    match file {
        MEMORY | MEMSW | "cpu.cfs_quota_us" => Some("-1"),
        "cpu.max" | "memory.max" | "memory.high" | "memory.swap.max" | "pids.max" => Some("max"),
        "memory.min" | "memory.low" => Some("0"),
        "cpu.shares" => Some("1024"),
        "cpu.weight" | "io.weight" => Some("100"),
        // An empty set means the parent's on v2; on v1 it would be refused while tasks run, so it stays as it is.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Controller;

    #[test]
    fn only_a_lower_limit_on_v2_needs_room() {
        let write = |file: &str, value: &str| Write {
            controller: Controller::Memory,
            file: file.to_owned(),
            value: value.to_owned(),
        };
        let check = |file: &str, old: Option<&str>, new: &str, wanted: Option<u64>| {
            let old: Vec<Write> = old.into_iter().map(|v| write(file, v)).collect();
            assert_eq!(shrinks(&write(file, new), &old), wanted, "{file} from {old:?} to {new}");
        };
        check("memory.max", None, "4096", Some(4096));
        check("memory.max", Some("max"), "4096", Some(4096));
        check("memory.max", Some("8192"), "4096", Some(4096));
        check("memory.max", Some("4096"), "8192", None);
        check("memory.max", Some("4096"), "max", None);
        check("pids.max", Some("20"), "10", None);
        check("memory.limit_in_bytes", Some("8192"), "4096", None);
    }
}
