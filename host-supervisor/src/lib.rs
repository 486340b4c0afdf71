//! host-supervisor: container units to running containers. See ARCHITECTURE.md for the way the data takes.
pub mod apply;
pub mod check;
pub mod control;
pub mod daemon;
pub mod facts;
pub mod ledger;
pub mod load;
pub mod observe;
pub mod paths;
pub mod plan;
pub mod program;
pub mod report;
pub mod resolve;
pub mod spec;
pub mod state;
pub mod template;
