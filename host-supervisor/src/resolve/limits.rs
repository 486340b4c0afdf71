//! limits: which kernel files hold a container's limits on this host, and which limits can't be had. Touches nothing.
//!
//! Weights and amounts are in v2's units in the unit language; v1 files get them converted: weight 100 is 1024
//! shares (the kernels' defaults), and v1's memsw is memory plus swap where v2 counts swap alone.
use super::Refusal;
use crate::facts::{Controller, HostFacts};
use crate::spec::{Limit, Write};
use units::schema::Resources;
use units::values::{CpuSet, Limit as Amount, Percent, Weight};

/// The period that CPUQuota= is counted over, microseconds; the kernel's default.
const PERIOD_US: u64 = 100_000;

/// All cgroup limits of one unit, in the order in which they are written.
pub(super) fn limits(asked: &Resources, facts: &HostFacts, refusals: &mut Vec<Refusal>) -> Vec<Limit> {
    let mut found = Found { facts, refusals, limits: Vec::new() };
    // A v1 cpuset has neither CPUs nor nodes when it is made, and takes no task before it has both.
    found.cpuset(asked);
    found.weight(asked.cpu_weight.unwrap_or(Weight(100)), asked.cpu_weight.is_some());
    if let Some(quota) = asked.cpu_quota {
        found.quota(quota);
    }
    found.memory(asked);
    found.tasks(asked.tasks_max);
    if let Some(w) = asked.io_weight {
        found.io_weight(w);
    }
    found.limits
}

/// Resource limits and the OOM score, lowered to what this process may give.
#[allow(clippy::type_complexity)]
pub(super) fn process(
    asked: &Resources,
    facts: &HostFacts,
    refusals: &mut Vec<Refusal>,
) -> (Vec<(u8, Option<u64>, Option<u64>)>, i16) {
    let mut rlimits = Vec::new();
    for (kind, limit) in &asked.limits {
        let named = *kind;
        let kind = *kind as u8;
        let cap = facts.hard_limits.get(&kind).copied().flatten();
        let over = |v: Option<u64>| cap.is_some_and(|c| v.is_none_or(|v| v > c));
        let lower = |v: Option<u64>| if over(v) { cap } else { v };
        if over(limit.hard) && !facts.sys_resource {
            refusals.push(Refusal {
                key: format!("Limit{}", format!("{named:?}").to_uppercase()),
                asked: limit.hard.map_or("infinity".into(), |h| h.to_string()),
                why: format!(
                    "the supervisor may not raise it over {} (it lacks CAP_SYS_RESOURCE)",
                    cap.unwrap_or(0)
                ),
            });
            rlimits.push((kind, lower(limit.soft), cap));
        } else {
            rlimits.push((kind, limit.soft, limit.hard));
        }
    }
    let oom = asked.oom_score_adjust.unwrap_or(0);
    if oom < facts.oom_score_adj && asked.oom_score_adjust.is_some() && !facts.sys_resource {
        refusals.push(Refusal {
            key: "OOMScoreAdjust".into(),
            asked: oom.to_string(),
            why: format!(
                "the supervisor may not go below its own {} (it lacks CAP_SYS_RESOURCE)",
                facts.oom_score_adj
            ),
        });
    }
    (rlimits, if facts.sys_resource { oom } else { oom.max(facts.oom_score_adj) })
}

/// The supervisor has raised its own limit of open files; what it starts begins with the one it was given.
#[allow(clippy::type_complexity)]
pub(super) fn with_files(
    mut rlimits: Vec<(u8, Option<u64>, Option<u64>)>,
    facts: &HostFacts,
) -> Vec<(u8, Option<u64>, Option<u64>)> {
    const NOFILE: u8 = 7;
    if let (Some(soft), false) = (facts.soft_files, rlimits.iter().any(|(kind, ..)| *kind == NOFILE)) {
        rlimits.push((NOFILE, Some(soft), facts.hard_limits.get(&NOFILE).copied().flatten()));
    }
    rlimits
}

struct Found<'a> {
    facts: &'a HostFacts,
    refusals: &'a mut Vec<Refusal>,
    limits: Vec<Limit>,
}

impl Found<'_> {
    /// Whether the controller is on v1 (`Some(true)`), on v2, or nowhere.
    fn layout(&self, c: Controller) -> Option<bool> {
        match (self.facts.cgroups.v1.contains_key(&c), self.facts.cgroups.v2.contains(&c)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }

    fn add(&mut self, key: &str, asked: String, controller: Controller, files: &[(&str, String)]) {
        let write = |(file, value): &(&str, String)| Write {
            controller,
            file: (*file).to_owned(),
            value: value.clone(),
        };
        self.limits.push(Limit { key: key.to_owned(), asked, writes: files.iter().map(write).collect() });
    }

    fn refuse(&mut self, key: &str, asked: String, why: String) {
        self.refusals.push(Refusal { key: key.to_owned(), asked, why });
    }

    fn missing(&mut self, key: &str, asked: String, c: Controller) {
        let name = c.name(false);
        self.refuse(key, asked, format!("no cgroup hierarchy here has the {name} controller (mount one)"));
    }

    fn weight(&mut self, w: Weight, explicit: bool) {
        match self.layout(Controller::Cpu) {
            Some(true) => {
                self.add("CPUWeight", w.0.to_string(), Controller::Cpu, &[("cpu.shares", shares(w))])
            }
            Some(false) => {
                self.add("CPUWeight", w.0.to_string(), Controller::Cpu, &[("cpu.weight", w.0.to_string())])
            }
            None if explicit => self.missing("CPUWeight", w.0.to_string(), Controller::Cpu),
            None => {}
        }
    }

    fn quota(&mut self, q: Percent) {
        let asked = format!("{}%", f64::from(q.0) / 100.0);
        let us = (u64::from(q.0) * PERIOD_US / 10_000).max(1000);
        match self.layout(Controller::Cpu) {
            Some(true) => {
                let files =
                    [("cpu.cfs_period_us", PERIOD_US.to_string()), ("cpu.cfs_quota_us", us.to_string())];
                self.add("CPUQuota", asked, Controller::Cpu, &files);
            }
            Some(false) => {
                self.add("CPUQuota", asked, Controller::Cpu, &[("cpu.max", format!("{us} {PERIOD_US}"))]);
            }
            None => self.missing("CPUQuota", asked, Controller::Cpu),
        }
    }

    fn cpuset(&mut self, asked: &Resources) {
        let cpus = self.exist("AllowedCPUs", asked.allowed_cpus.as_ref(), &self.facts.cpus);
        let nodes = self.exist("AllowedMemoryNodes", asked.allowed_memory_nodes.as_ref(), &self.facts.nodes);
        let (cpus, nodes) = (cpus.as_ref(), nodes.as_ref());
        if cpus.is_none() && nodes.is_none() {
            return;
        }
        let text = |set: Option<&CpuSet>, all: &[u32]| ranges(set.map_or(all, |s| &s.0));
        let (c, n) = (text(cpus, &self.facts.cpus), text(nodes, &self.facts.nodes));
        match self.layout(Controller::Cpuset) {
            None => self.missing("AllowedCPUs", c, Controller::Cpuset),
            Some(true) => {
                self.add(
                    "AllowedCPUs",
                    c.clone(),
                    Controller::Cpuset,
                    &[("cpuset.cpus", c), ("cpuset.mems", n)],
                );
            }
            Some(false) => {
                let key = if cpus.is_some() { "AllowedCPUs" } else { "AllowedMemoryNodes" };
                let mut files = Vec::new();
                files.extend(cpus.map(|_| ("cpuset.cpus", c.clone())));
                files.extend(nodes.map(|_| ("cpuset.mems", n.clone())));
                self.add(key, if cpus.is_some() { c } else { n }, Controller::Cpuset, &files);
            }
        }
    }

    /// What of a set is there; the kernel would silently use the rest of one with numbers that are not.
    fn exist(&mut self, key: &str, set: Option<&CpuSet>, online: &[u32]) -> Option<CpuSet> {
        let set = set?;
        let (there, absent): (Vec<u32>, Vec<u32>) = set.0.iter().partition(|n| online.contains(n));
        if !absent.is_empty() {
            let why = format!("{} not online here (there are {})", ranges(&absent), ranges(online));
            self.refuse(key, ranges(&set.0), why);
        }
        Some(CpuSet(there)).filter(|s| !s.0.is_empty())
    }

    fn memory(&mut self, asked: &Resources) {
        let whole = self.facts.memory;
        let v2_only = [
            ("MemoryMin", asked.memory_min, "memory.min"),
            ("MemoryLow", asked.memory_low, "memory.low"),
            ("MemoryHigh", asked.memory_high, "memory.high"),
        ];
        for (key, amount, file) in v2_only {
            let Some(amount) = amount else { continue };
            match self.layout(Controller::Memory) {
                Some(false) => {
                    let value = max(bytes(amount, whole));
                    self.add(key, size(amount), Controller::Memory, &[(file, value)]);
                }
                Some(true) => self.refuse(
                    key,
                    size(amount),
                    "the memory controller is on cgroup v1 here, which has no such limit (boot with cgroup v2, or use MemoryMax=)".into(),
                ),
                None => self.missing(key, size(amount), Controller::Memory),
            }
        }
        let limit = asked.memory_max.map(|a| bytes(a, whole));
        if let Some(amount) = asked.memory_max {
            let value = bytes(amount, whole);
            match self.layout(Controller::Memory) {
                Some(true) => {
                    let text = value.map_or("-1".to_owned(), |b| b.to_string());
                    self.add(
                        "MemoryMax",
                        size(amount),
                        Controller::Memory,
                        &[("memory.limit_in_bytes", text)],
                    );
                }
                Some(false) => {
                    self.add("MemoryMax", size(amount), Controller::Memory, &[("memory.max", max(value))]);
                }
                None => self.missing("MemoryMax", size(amount), Controller::Memory),
            }
        }
        if let Some(amount) = asked.memory_swap_max {
            self.swap(amount, limit.flatten());
        }
    }

    /// After MemoryMax: v1 refuses a memsw below the memory limit.
    fn swap(&mut self, amount: Amount, memory: Option<u64>) {
        let swap = bytes(amount, self.facts.swap);
        match (self.layout(Controller::Memory), self.facts.cgroups.swap_accounting, memory) {
            (None, _, _) => self.missing("MemorySwapMax", size(amount), Controller::Memory),
            (Some(_), false, _) if swap.is_some() => self.refuse(
                "MemorySwapMax",
                size(amount),
                "this kernel does not count swap (boot it with swapaccount=1)".into(),
            ),
            (Some(_), false, _) => {}
            (Some(false), true, _) => {
                self.add(
                    "MemorySwapMax",
                    size(amount),
                    Controller::Memory,
                    &[("memory.swap.max", max(swap))],
                );
            }
            (Some(true), true, _) if swap.is_none() => {}
            (Some(true), true, None) => self.refuse(
                "MemorySwapMax",
                size(amount),
                "cgroup v1 limits memory and swap together, so it needs MemoryMax= beside it".into(),
            ),
            (Some(true), true, Some(memory)) => {
                let both = memory.saturating_add(swap.unwrap_or(0)).to_string();
                let files = [("memory.memsw.limit_in_bytes", both)];
                self.add("MemorySwapMax", size(amount), Controller::Memory, &files);
            }
        }
    }

    fn tasks(&mut self, amount: Option<Amount>) {
        let Some(amount) = amount else { return };
        match self.layout(Controller::Pids) {
            Some(_) => {
                let value = max(bytes(amount, self.facts.tasks));
                self.add("TasksMax", show(amount), Controller::Pids, &[("pids.max", value)]);
            }
            None => self.missing("TasksMax", show(amount), Controller::Pids),
        }
    }

    fn io_weight(&mut self, w: Weight) {
        match self.layout(Controller::Io) {
            Some(false) => {
                self.add("IOWeight", w.0.to_string(), Controller::Io, &[("io.weight", w.0.to_string())]);
            }
            Some(true) => self.refuse(
                "IOWeight",
                w.0.to_string(),
                "the io controller is on cgroup v1 here, whose weights need a scheduler that is not there"
                    .into(),
            ),
            None => self.missing("IOWeight", w.0.to_string(), Controller::Io),
        }
    }
}

/// cpu.shares for a weight: 100 is 1024; the kernel takes 2 to 262144.
fn shares(w: Weight) -> String {
    (u64::from(w.0) * 1024 / 100).clamp(2, 262_144).to_string()
}

fn bytes(amount: Amount, whole: u64) -> Option<u64> {
    match amount {
        Amount::Amount(n) => Some(n),
        Amount::Share(s) => Some((u128::from(whole) * u128::from(s) / 10_000) as u64),
        Amount::Infinity => None,
    }
}

fn max(value: Option<u64>) -> String {
    value.map_or("max".to_owned(), |b| b.to_string())
}

/// As a unit file has it: `50`, `10%`, `infinity`.
fn show(amount: Amount) -> String {
    amount.to_string()
}

/// The same of bytes: `256M`.
fn size(amount: Amount) -> String {
    format!("{amount:#}")
}

/// `0-2,5`
fn ranges(numbers: &[u32]) -> String {
    let mut out: Vec<(u32, u32)> = Vec::new();
    for &n in numbers {
        match out.last_mut() {
            Some((_, last)) if n == last.saturating_add(1) => *last = n,
            _ => out.push((n, n)),
        }
    }
    let show = |&(a, b): &(u32, u32)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    out.iter().map(show).collect::<Vec<_>>().join(",")
}
