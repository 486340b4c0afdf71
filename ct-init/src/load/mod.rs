//! load: what units there are and whether they may start. Only reads.
pub mod builtin;
pub mod check;
pub mod glob;
