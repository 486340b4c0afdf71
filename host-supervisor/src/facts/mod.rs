//! facts: what this machine offers, probed once and handed on as data. Decides nothing.
mod probe;

pub use probe::probe;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A cgroup controller by its v2 name; `Tracking` is the bare v2 group that kills, freezes and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Controller {
    Cpu,
    Cpuacct,
    Cpuset,
    Memory,
    Pids,
    Io,
    Devices,
}

impl Controller {
    /// All of them, in the order in which plans name them.
    pub const ALL: [Controller; 7] = [
        Controller::Cpu,
        Controller::Cpuacct,
        Controller::Cpuset,
        Controller::Memory,
        Controller::Pids,
        Controller::Io,
        Controller::Devices,
    ];
    /// Its name in `cgroup.controllers` or, on v1, in the mount options.
    pub fn name(self, v1: bool) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Cpuacct => "cpuacct",
            Controller::Cpuset => "cpuset",
            Controller::Memory => "memory",
            Controller::Pids => "pids",
            Controller::Io if v1 => "blkio",
            Controller::Io => "io",
            Controller::Devices => "devices",
        }
    }
}

/// Where cgroups are mounted. A controller is in exactly one hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroups {
    /// The v2 tree's mount point, if there is one.
    pub unified: Option<PathBuf>,
    /// Controllers that the v2 tree offers.
    pub v2: BTreeSet<Controller>,
    /// v1 hierarchies by controller; two controllers may share a mount point.
    pub v1: BTreeMap<Controller, PathBuf>,
    /// `cgroup.kill` exists (Linux 5.14).
    pub kill: bool,
    /// The kernel schedules real-time groups (v1): a new cpu group has no real-time budget.
    pub rt_groups: bool,
    /// The memory controller counts swap.
    pub swap_accounting: bool,
}

/// What this machine offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Cgroup mounts and controllers.
    pub cgroups: Cgroups,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of swap.
    pub swap: u64,
    /// Online CPUs, sorted.
    pub cpus: Vec<u32>,
    /// Memory nodes, sorted.
    pub nodes: Vec<u32>,
    /// The highest pid + 1, for shares of TasksMax.
    pub tasks: u64,
    /// CAP_SYS_RESOURCE: hard rlimits can be raised, oom_score_adj lowered.
    pub sys_resource: bool,
    /// User namespaces can be made.
    pub user_namespaces: bool,
    /// Time namespaces can be made.
    pub time_namespaces: bool,
    /// Overlay file systems can be mounted.
    pub overlay: bool,
    /// The present hard limits by the kernel's number.
    pub hard_limits: BTreeMap<u8, Option<u64>>,
    /// The soft limit of open files that the supervisor was started with; none: no limit.
    #[serde(default)]
    pub soft_files: Option<u64>,
    /// The supervisor's own oom_score_adj; without CAP_SYS_RESOURCE nothing below it can be given.
    pub oom_score_adj: i16,
    /// The highest capability of this kernel.
    pub last_capability: u8,
    /// `/proc/sys/kernel/osrelease`.
    pub kernel: String,
    /// `x86_64`, as uname says.
    pub machine: String,
    /// The host's name.
    pub hostname: String,
    /// `/etc/machine-id`, if it has one.
    pub machine_id: Option<String>,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}
