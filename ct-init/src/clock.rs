//! clock: the two clocks, read in one place. Never used by the pure parts, which get ticks as arguments.
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use units::values::Tick;

/// Monotonic time; it doesn't run while the machine sleeps, and nobody can set it.
pub fn now() -> Tick {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let secs = u64::try_from(t.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(t.tv_nsec).unwrap_or(0);
    Tick(secs.saturating_mul(1_000_000).saturating_add(nanos / 1000))
}

/// Microseconds since 1970, for log lines only.
pub fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Becomes readable when somebody sets the wall clock.
///
/// # Errors
/// What the kernel says.
pub fn watch_wall() -> std::io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let fd = rustix::time::timerfd_create(TimerfdClockId::Realtime, flags)?;
    watch_again(&fd)?;
    Ok(fd)
}

/// The same for the next time.
///
/// # Errors
/// What the kernel says.
pub fn watch_again(fd: &OwnedFd) -> std::io::Result<()> {
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    // It never comes: it is cancelled, which is what makes it readable.
    let never =
        Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: i64::MAX / 1_000_000_000, tv_nsec: 0 } };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    // ECANCELED: it was set in between, which whoever asks is about to look at.
    match rustix::time::timerfd_settime(fd, flags, &never) {
        Ok(_) | Err(rustix::io::Errno::CANCELED) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// `2026-11-23T18:40:03.123456Z`.
pub fn stamp(micros: u64) -> String {
    humantime::format_rfc3339_micros(UNIX_EPOCH + Duration::from_micros(micros.min(LAST))).to_string()
}

/// The reverse of [`stamp`].
pub fn unstamp(text: &str) -> Option<u64> {
    let at = humantime::parse_rfc3339(text).ok()?;
    u64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()
}

/// 9999-12-31T23:59:59Z; later years don't fit the format.
const LAST: u64 = 253_402_300_799_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_read_back() {
        for t in [0, 1, 1_700_000_000_123_456, LAST] {
            assert_eq!(unstamp(&stamp(t)), Some(t));
        }
        assert_eq!(unstamp(&stamp(u64::MAX)), Some(LAST));
        assert_eq!(unstamp("not a time"), None);
    }
}
