//! quantity: sizes, lengths of time and moments as people read them; and as they type them. Touches nothing.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `187M`, `3.0G`: powers of 1024, one decimal below 10.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut suffix = "B";
    for next in ["K", "M", "G", "T", "P", "E"] {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        suffix = next;
    }
    if suffix == "B" || value >= 9.95 { format!("{value:.0}{suffix}") } else { format!("{value:.1}{suffix}") }
}

/// `1d2h`, `3m20s`, `5s`: the two largest units.
pub fn seconds(secs: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut parts = Vec::new();
    let mut rest = secs;
    for (unit, name) in UNITS {
        let n = rest / unit;
        rest %= unit;
        if n > 0 || !parts.is_empty() {
            parts.push((n, name));
        }
    }
    let text: String =
        parts.iter().take(2).filter(|(n, _)| *n > 0).map(|(n, name)| format!("{n}{name}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// CPU time: `0.31s`, `59.1s`, then as [`seconds`].
pub fn cpu(microseconds: u64) -> String {
    match microseconds {
        0..10_000_000 => format!("{:.2}s", microseconds as f64 / 1e6),
        10_000_000..60_000_000 => format!("{:.1}s", microseconds as f64 / 1e6),
        _ => seconds(microseconds / 1_000_000),
    }
}

/// `2026-01-02T03:04:05.678Z`.
pub fn moment(microseconds: u64) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_micros(microseconds)) {
        // humantime writes years up to 9999.
        Some(t) if microseconds < 253_402_300_800_000_000 => humantime::format_rfc3339_millis(t).to_string(),
        Some(_) | None => format!("@{}", microseconds / 1_000_000),
    }
}

/// `30`, `30s`, `1min 30s`.
pub fn read_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Ok(secs) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(secs).map_err(|e| e.to_string());
    }
    humantime::parse_duration(text).map_err(|e| format!("{e} (try 30s or 5min)"))
}

/// `10min` (ago), `2026-01-02 03:04:05` (UTC), `@1767323045`: microseconds since 1970.
pub fn read_moment(text: &str, now: SystemTime) -> Result<u64, String> {
    let text = text.trim();
    let moment = if let Some(secs) = text.strip_prefix('@') {
        let secs: u64 = secs.parse().map_err(|_| "after @ come seconds since 1970".to_owned())?;
        UNIX_EPOCH.checked_add(Duration::from_secs(secs))
    } else if let Ok(moment) = humantime::parse_rfc3339_weak(text) {
        Some(moment)
    } else if let Ok(day) = humantime::parse_rfc3339_weak(&format!("{text} 00:00:00")) {
        Some(day)
    } else {
        let ago = read_duration(text.strip_suffix("ago").unwrap_or(text));
        now.checked_sub(
            ago.map_err(|_| "not a time (try 10min, 2026-01-02 03:04:05 or @1767323045)".to_owned())?,
        )
    };
    let since = moment.and_then(|m| m.duration_since(UNIX_EPOCH).ok());
    since.and_then(|d| u64::try_from(d.as_micros()).ok()).ok_or_else(|| "before 1970".to_owned())
}

/// `TERM`, `SIGTERM`, `15`, `RTMIN+3`.
pub fn read_signal(text: &str) -> Result<u8, String> {
    let bad = || format!("{text:?} is not a signal (try TERM, SIGKILL, 15 or RTMIN+3)");
    if let Ok(number) = text.parse::<u8>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(bad()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset: u8 = if offset.is_empty() {
            0
        } else {
            offset.strip_prefix('+').and_then(|o| o.parse().ok()).ok_or_else(bad)?
        };
        return if offset <= 30 { Ok(34 + offset) } else { Err(bad()) };
    }
    let signal: nix::sys::signal::Signal = format!("SIG{name}").parse().map_err(|_| bad())?;
    u8::try_from(signal as i32).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |n: u64, expect: &str| assert_eq!(size(n), expect);
        check(0, "0B");
        check(1023, "1023B");
        check(1024, "1.0K");
        check(10 * 1024 - 1, "10K");
        check(187 << 20, "187M");
        check(3 << 30, "3.0G");
        check((1 << 30) - 1, "1.0G");
        check(u64::MAX, "16E");
    }

    #[test]
    fn lengths_of_time() {
        let check = |n: u64, expect: &str| assert_eq!(seconds(n), expect);
        check(0, "0s");
        check(59, "59s");
        check(60, "1m");
        check(3605, "1h");
        check(93_784, "1d2h");
        check(200, "3m20s");
        let check = |n: u64, expect: &str| assert_eq!(cpu(n), expect);
        check(310_000, "0.31s");
        check(59_100_000, "59.1s");
        check(75_300_000, "1m15s");
    }

    #[test]
    fn moments() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(read_moment(text, now).ok(), expect.map(|s| s * 1_000_000), "{text}");
        };
        check("@5", Some(5));
        check("10s", Some(999_990));
        check("10s ago", Some(999_990));
        check("60", Some(999_940));
        check("1970-01-02 00:00:01", Some(86_401));
        check("1970-01-02T00:00:01Z", Some(86_401));
        check("1970-01-02", Some(86_400));
        check("tomorrow", None);
        check("9000000s", None);
        assert_eq!(moment(86_401_500_000), "1970-01-02T00:00:01.500Z");
        assert_eq!(moment(u64::MAX), "@18446744073709");
    }

    #[test]
    fn signals() {
        let check = |text: &str, expect: Option<u8>| assert_eq!(read_signal(text).ok(), expect, "{text}");
        check("TERM", Some(15));
        check("sigkill", Some(9));
        check("15", Some(15));
        check("RTMIN+3", Some(37));
        check("SIGRTMIN", Some(34));
        check("RTMIN+31", None);
        check("0", None);
        check("65", None);
        check("FOO", None);
    }

    #[test]
    fn durations() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(read_duration(text).ok(), expect.map(Duration::from_millis), "{text}");
        };
        check("30", Some(30_000));
        check("0.5", Some(500));
        check("1min 30s", Some(90_000));
        check("-1", None);
        check("soon", None);
        check("NaN", None);
    }
}
