//! values: the quantities a unit file can hold, each with its unit. Touches nothing.
//!
//! The types are here; how each is read and written is in a file of its own below `values/`. What `Display` writes,
//! `FromStr` reads back to the same value.
pub mod calendar;
pub mod capability;
mod cpus;
mod limits;
mod signal;
mod size;
mod span;
mod status;

pub(crate) use limits::RLIMITS;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A value that is not what its key needs: `"512Q" is not a size (try 512M)`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {expected} (try {hint})")]
pub struct ValueError {
    /// What stands there.
    pub found: String,
    /// What should: `a size`.
    pub expected: &'static str,
    /// An example that would do.
    pub hint: &'static str,
}

impl ValueError {
    pub(crate) fn new(found: &str, expected: &'static str, hint: &'static str) -> ValueError {
        ValueError { found: found.to_owned(), expected, hint }
    }
}

/// `1 yes y true t on` or `0 no n false f off`, in any case.
pub fn boolean(s: &str) -> Result<bool, ValueError> {
    const TRUE: [&str; 6] = ["1", "yes", "y", "true", "t", "on"];
    const FALSE: [&str; 6] = ["0", "no", "n", "false", "f", "off"];
    if TRUE.iter().any(|t| t.eq_ignore_ascii_case(s)) {
        Ok(true)
    } else if FALSE.iter().any(|f| f.eq_ignore_ascii_case(s)) {
        Ok(false)
    } else {
        Err(ValueError::new(s, "a yes or no", "yes"))
    }
}

/// A moment on a monotonic clock that the caller owns; microseconds since its epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tick(pub u64);

impl Tick {
    /// The tick `d` later; saturates.
    pub fn after(self, d: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Bytes. Suffixes K M G T P E are powers of 1024, as systemd.exec(5) has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ByteSize(pub u64);

/// A limit on memory or tasks: an amount, a share of what the host (or container) has, or none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Limit {
    /// An absolute amount (bytes or a count).
    Amount(u64),
    /// Hundredths of a percent of the whole: `10.5%` is 1050.
    Share(u32),
    /// `infinity`: no limit.
    Infinity,
}

/// cgroup v2's weight, 1…10000, default 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Weight(pub u16);

/// Percent of one CPU: 150 is one and a half CPUs. In hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Percent(pub u32);

/// A length of time that may be endless (`infinity`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Span {
    /// Ends.
    Finite(Duration),
    /// `infinity`, or 0 where systemd reads 0 so.
    Infinite,
}

impl Span {
    /// The tick at which a wait that begins `now` is over; none if never.
    pub fn deadline(self, now: Tick) -> Option<Tick> {
        match self {
            Span::Finite(d) => Some(now.after(d)),
            Span::Infinite => None,
        }
    }
}

/// A list of CPUs or memory nodes, sorted, without repeats: `0-3,7`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuSet(pub Vec<u32>);

/// A signal by its Linux number (x86 and most others), 1…64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signal(pub u8);

/// File mode bits, at most 07777.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mode(pub u32);

/// A resource limit (setrlimit): soft and hard, none is infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// What the process meets.
    pub soft: Option<u64>,
    /// What it may raise the soft one to.
    pub hard: Option<u64>,
}
