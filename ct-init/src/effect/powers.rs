//! powers: what this PID 1 may do beyond its container, found by trying. Leaves everything as it was.
use rustix::process::{Resource, getrlimit};
use units::schema::service::RlimitKind;

/// Root of a user namespace may not do all that root may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Powers {
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
        Powers { oom_floor: None, raises_limits: true, raises_priority: true, mounts: true }
    }
}

impl Powers {
    /// Tries on this process.
    pub fn find() -> Powers {
        let oom_floor = oom_floor();
        let mounts = caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_SYS_ADMIN);
        let mounts = mounts.unwrap_or(false);
        // Both hang on CAP_SYS_RESOURCE of the host.
        Powers { oom_floor, raises_limits: oom_floor.is_none(), raises_priority: raises_priority(), mounts }
    }
}

fn oom_floor() -> Option<i16> {
    const FILE: &str = "/proc/self/oom_score_adj";
    let own: i16 = std::fs::read_to_string(FILE).ok()?.trim().parse().ok()?;
    let lower = own.checked_sub(1).filter(|l| *l >= -1000)?;
    if std::fs::write(FILE, lower.to_string()).is_err() {
        return Some(own);
    }
    // Raising it again needs no privilege.
    let _raised = std::fs::write(FILE, own.to_string());
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
        assert_eq!((read(), rustix::process::getpriority_process(None).unwrap()), (before, nice));
        assert_eq!(powers.raises_limits, powers.oom_floor.is_none());
    }
}
