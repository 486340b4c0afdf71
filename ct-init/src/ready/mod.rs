//! ready: what services tell about themselves, and who it is that speaks. Never believes a stranger.
pub mod notify;
pub mod socket;
