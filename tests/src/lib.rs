//! tests: what the tiers share: cases of units and machines, a fake host, a supervisor of one's own, root file systems.
pub mod cases;
pub mod fake;
pub mod need;
pub mod programs;
