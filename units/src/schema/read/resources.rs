//! parse: the keys of cgroup limits, in `[Service]` and `[Resources]` alike. Sets none.
use super::line::{Line, Wrong, put};
use super::{Draft, Key};
use crate::schema::service::RlimitKind;
use crate::values::{CpuSet, Limit, Percent, RLIMITS, Rlimit, ValueError, Weight};

pub(super) const RESOURCES: &[Key] = &[
    ("CPUWeight", |d, l| put(&mut d.resources.cpu_weight, l, cpu_weight)),
    ("CPUShares", |d, l| put(&mut d.resources.cpu_weight, l, Weight::from_cpu_shares)),
    ("CPUQuota", |d, l| put(&mut d.resources.cpu_quota, l, quota)),
    ("AllowedCPUs", |d, l| put(&mut d.resources.allowed_cpus, l, str::parse::<CpuSet>)),
    ("AllowedMemoryNodes", |d, l| put(&mut d.resources.allowed_memory_nodes, l, str::parse::<CpuSet>)),
    ("MemoryMin", |d, l| put(&mut d.resources.memory_min, l, Limit::size)),
    ("MemoryLow", |d, l| put(&mut d.resources.memory_low, l, Limit::size)),
    ("MemoryHigh", |d, l| put(&mut d.resources.memory_high, l, Limit::size)),
    ("MemoryMax", |d, l| put(&mut d.resources.memory_max, l, Limit::size)),
    ("MemoryLimit", |d, l| put(&mut d.resources.memory_max, l, Limit::size)),
    ("MemorySwapMax", |d, l| put(&mut d.resources.memory_swap_max, l, Limit::size)),
    ("TasksMax", |d, l| put(&mut d.resources.tasks_max, l, Limit::count)),
    ("IOWeight", |d, l| put(&mut d.resources.io_weight, l, str::parse::<Weight>)),
    ("BlockIOWeight", |d, l| put(&mut d.resources.io_weight, l, Weight::from_block_io)),
];

/// Those that only a container has.
pub(super) const CONTAINER_RESOURCES: &[Key] = &[
    ("CPUUnits", |d, l| put(&mut d.resources.cpu_weight, l, Weight::from_cpu_units)),
    ("IOPriority", |d, l| put(&mut d.resources.io_weight, l, Weight::from_io_priority)),
    ("OOMScoreAdjust", |d, l| put(&mut d.resources.oom_score_adjust, l, super::exec::oom_score)),
];

fn cpu_weight(s: &str) -> Result<Weight, ValueError> {
    // The kernel's idle class is below every weight; the lowest weight is the nearest to it.
    if s == "idle" { Ok(Weight(1)) } else { s.parse() }
}

fn quota(s: &str) -> Result<Percent, ValueError> {
    let percent = s.parse::<Percent>()?;
    if percent.0 == 0 { Err(ValueError::new(s, "a percentage above zero", "150%")) } else { Ok(percent) }
}

/// `LimitX=`, for a service or a whole container; none if the key is not one.
pub(super) fn rlimit(draft: &mut Draft, line: &Line<'_>) -> Option<Result<(), Wrong>> {
    let kind = rlimit_kind(line.key)?;
    let list = if line.subject.name.suffix() == "container" {
        &mut draft.resources.limits
    } else {
        &mut draft.service.context.limits
    };
    Some(one_rlimit(list, kind, line))
}

/// Every `LimitX=`, where a section takes them.
pub(super) fn limit_keys(section: &str) -> impl Iterator<Item = &'static str> {
    let there = matches!(section, "Service" | "Resources");
    RLIMITS.iter().filter(move |_| there).map(|(key, _)| *key)
}

/// What a `LimitX=` key limits.
pub(super) fn rlimit_kind(key: &str) -> Option<RlimitKind> {
    RLIMITS.iter().find(|(k, _)| *k == key).map(|(_, kind)| *kind)
}

fn one_rlimit(list: &mut Vec<(RlimitKind, Rlimit)>, kind: RlimitKind, line: &Line<'_>) -> Result<(), Wrong> {
    let mut value = None;
    put(&mut value, line, |s| Rlimit::parse(s, kind))?;
    list.retain(|(k, _)| *k != kind);
    list.extend(value.map(|v| (kind, v)));
    Ok(())
}
