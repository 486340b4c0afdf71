//! The unit language: text to typed units, their graph, their life cycles.
//!
//! Never does I/O, never reads a clock, knows no kernel: both `ct-init` and
//! `host-supervisor` hand in bytes, facts and ticks and act on what comes back.
pub mod catalog;
pub mod graph;
pub mod machine;
pub mod merge;
pub mod name;
pub mod parse;
pub mod schema;
pub mod values;

pub use name::UnitName;
pub use parse::{Diagnostic, Diagnostics, Severity};
