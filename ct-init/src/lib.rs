//! PID 1: of a container, and of a host without an init of its own.
//!
//! One thread, one loop. It never blocks, never panics on what it reads, and never leaves unless told.
pub mod cgroup;
pub mod clock;
pub mod environment;
pub mod load;
pub mod output;
pub mod passwd;
pub mod proto;
pub mod ready;
pub mod reap;
pub mod root;
pub mod wire;

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    text
}
