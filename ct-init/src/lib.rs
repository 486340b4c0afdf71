//! ct-init: PID 1.
pub mod proto;
