//! tests: what the tiers share: cases of units and machines, a fake host, a supervisor of one's own, root file systems.
pub mod cases;
pub mod client;
pub mod fake;
pub mod groups;
pub mod need;
pub mod pid1;
pub mod programs;
pub mod rootfs;
pub mod supervisor;
pub mod vm;
pub mod wait;
