//! Starts system containers, holds them to their limits, brings them back; and `ct`, which talks to it.
pub mod control;
