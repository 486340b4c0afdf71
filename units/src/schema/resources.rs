//! schema: limits, the same keys for a service and a container's `[Resources]`. Touches nothing.
use crate::schema::service::RlimitKind;
use crate::values::{CpuSet, Limit, Percent, Rlimit, Weight};
use serde::{Deserialize, Serialize};

/// Limits; `None` where the unit is silent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// `CPUWeight=` (or `CPUUnits=`, `CPUShares=` converted).
    pub cpu_weight: Option<Weight>,
    /// `CPUQuota=`: percent of one CPU; `Some(None)`… is not needed: an empty value resets to `None`.
    pub cpu_quota: Option<Percent>,
    /// `AllowedCPUs=`.
    pub allowed_cpus: Option<CpuSet>,
    /// `AllowedMemoryNodes=`.
    pub allowed_memory_nodes: Option<CpuSet>,
    /// `MemoryMin=`
    pub memory_min: Option<Limit>,
    /// `MemoryLow=`
    pub memory_low: Option<Limit>,
    /// `MemoryHigh=`
    pub memory_high: Option<Limit>,
    /// `MemoryMax=` (`MemoryLimit=`).
    pub memory_max: Option<Limit>,
    /// `MemorySwapMax=`: swap alone, as on cgroup v2.
    pub memory_swap_max: Option<Limit>,
    /// `TasksMax=`.
    pub tasks_max: Option<Limit>,
    /// `IOWeight=`.
    pub io_weight: Option<Weight>,
    /// Containers: `OOMScoreAdjust=`.
    pub oom_score_adjust: Option<i16>,
    /// Containers: `LimitNOFILE=` and its kin, for ct-init and so for all inside.
    pub limits: Vec<(RlimitKind, Rlimit)>,
}
