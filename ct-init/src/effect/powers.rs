//! powers: what this PID 1 may do beyond its container, found by trying. Leaves everything as it was.
use crate::host::Level;
use ct_sys::script::Op;
use rustix::process::{Resource, getrlimit};
use std::ffi::CString;
use units::schema::service::RlimitKind;

/// Root of a user namespace may not do all that root may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Powers {
    /// Its own OOM score; none: scores can't be set here.
    pub oom_score: Option<i16>,
    /// Lower OOM scores than this are refused; none: all are granted.
    pub oom_floor: Option<i16>,
    /// Hard resource limits can be raised.
    pub raises_limits: bool,
    /// Nice values below 0 are granted.
    pub raises_priority: bool,
    /// Mount namespaces can be made, for PrivateTmp=.
    pub mounts: bool,
}

/// Everything.
impl Default for Powers {
    fn default() -> Powers {
        Powers {
            oom_score: Some(0),
            oom_floor: None,
            raises_limits: true,
            raises_priority: true,
            mounts: true,
        }
    }
}

impl Powers {
    /// What [`Powers::find`] says. The kernel never takes a host's PID 1, so its services need not go first.
    pub fn of(level: Level) -> Powers {
        let found = Powers::find();
        match level {
            Level::Container => found,
            Level::Host => Powers { oom_score: None, ..found },
        }
    }

    /// Tries on this process.
    pub fn find() -> Powers {
        let oom_score = oom_score();
        let oom_floor = oom_floor();
        let mounts = caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_SYS_ADMIN);
        let mounts = mounts.unwrap_or(false);
        // Both hang on CAP_SYS_RESOURCE of the host.
        let raises_limits = oom_floor.is_none();
        Powers { oom_score, oom_floor, raises_limits, raises_priority: raises_priority(), mounts }
    }

    /// The OOM score of a process that PID 1 starts; `asked` by its unit, as far as it is granted. Without a word of the
    /// unit it is so much higher than PID 1's own that the kernel kills that last: its end is the whole container's.
    /// None: it is left as it is.
    pub fn oom_score_for(&self, asked: Option<i16>) -> Option<i16> {
        match (asked, self.oom_score) {
            (Some(asked), _) => Some(asked.max(self.oom_floor.unwrap_or(-1000))),
            (None, Some(own)) => Some(own.saturating_add(BEFORE_PID_1).min(1000)),
            (None, None) => None,
        }
    }

    /// The same as an operation of its script.
    pub fn oom_score_op(&self, asked: Option<i16>) -> Option<Op> {
        let text = self.oom_score_for(asked)?.to_string();
        Some(Op::OomScore(CString::new(text).unwrap_or_default()))
    }
}

/// In thousandths of the memory that there is: more than PID 1 holds in a container that works at all.
const BEFORE_PID_1: i16 = 300;
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

fn oom_score() -> Option<i16> {
    let own: i16 = std::fs::read_to_string(OOM_SCORE).ok()?.trim().parse().ok()?;
    std::fs::write(OOM_SCORE, own.to_string()).ok()?;
    Some(own)
}

fn oom_floor() -> Option<i16> {
    let own: i16 = std::fs::read_to_string(OOM_SCORE).ok()?.trim().parse().ok()?;
    let lower = own.checked_sub(1).filter(|l| *l >= -1000)?;
    if std::fs::write(OOM_SCORE, lower.to_string()).is_err() {
        return Some(own);
    }
    // Raising it again needs no privilege.
    let _raised = std::fs::write(OOM_SCORE, own.to_string());
    None
}

fn raises_priority() -> bool {
    let Ok(own) = rustix::process::getpriority_process(None) else { return false };
    let granted = rustix::process::setpriority_process(None, own - 1).is_ok();
    let _restored = rustix::process::setpriority_process(None, own);
    granted
}

/// This process's own hard limit; `u64::MAX` is infinity.
pub fn hard_limit(kind: RlimitKind) -> u64 {
    let resource = match kind {
        RlimitKind::Cpu => Resource::Cpu,
        RlimitKind::Fsize => Resource::Fsize,
        RlimitKind::Data => Resource::Data,
        RlimitKind::Stack => Resource::Stack,
        RlimitKind::Core => Resource::Core,
        RlimitKind::Rss => Resource::Rss,
        RlimitKind::Nproc => Resource::Nproc,
        RlimitKind::Nofile => Resource::Nofile,
        RlimitKind::Memlock => Resource::Memlock,
        RlimitKind::As => Resource::As,
        RlimitKind::Locks => Resource::Locks,
        RlimitKind::Sigpending => Resource::Sigpending,
        RlimitKind::Msgqueue => Resource::Msgqueue,
        RlimitKind::Nice => Resource::Nice,
        RlimitKind::Rtprio => Resource::Rtprio,
        RlimitKind::Rttime => Resource::Rttime,
    };
    getrlimit(resource).maximum.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trying_leaves_no_trace() {
        let read = || std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
        let (before, nice) = (read(), rustix::process::getpriority_process(None).unwrap());
        let powers = Powers::find();
        assert_eq!((read(), rustix::process::getpriority_process(None).unwrap()), (before.clone(), nice));
        assert_eq!(powers.raises_limits, powers.oom_floor.is_none());
        assert_eq!(powers.oom_score, before.trim().parse().ok());
    }

    #[test]
    fn pid_1_is_the_last_to_be_killed_for_memory() {
        let check = |own, floor, asked, expect| {
            let powers = Powers { oom_score: own, oom_floor: floor, ..Powers::default() };
            assert_eq!(powers.oom_score_for(asked), expect, "{own:?} {floor:?} {asked:?}");
        };
        check(Some(0), Some(0), None, Some(300));
        check(Some(-900), None, None, Some(-600));
        check(Some(900), Some(0), None, Some(1000));
        // Where its unit has a word, that counts, as far as it goes.
        check(Some(0), Some(0), Some(500), Some(500));
        check(Some(0), Some(0), Some(0), Some(0));
        check(Some(100), Some(100), Some(-1000), Some(100));
        check(Some(100), None, Some(-1000), Some(-1000));
        check(None, None, None, None);
    }
}
