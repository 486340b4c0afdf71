//! report: what the supervisor tells: log lines and events. Never decides anything.
pub mod events;
pub mod log;
pub mod logs;
