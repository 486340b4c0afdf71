//! ready: what services tell about themselves, who it is that speaks, and when a container is ready. Never believes
//! a stranger.
pub mod notify;
pub mod path;
pub mod port;
pub mod rule;
pub mod socket;
