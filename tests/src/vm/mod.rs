//! vm: whole machines in QEMU with a kernel of Debian's and ct-init as PID 1. Uses no network outside of them.
//!
//! A test boots a [`Machine`], runs commands in it through an agent (`lab-agent.service`), and does to it from outside what
//! happens to machines: keys, the power button, a power cut, a watchdog that nobody feeds.
pub mod agent;
pub mod config;
pub mod console;
pub mod image;
pub mod machine;
pub mod process;
pub mod qmp;
mod shared;
pub mod wire;

pub use agent::Running;
pub use config::{Config, Disk, Network};
pub use machine::{Down, Machine};
