//! parse: lengths of time, `90`, `1min 30s`, `infinity`. Reads no clock.
use super::{Span, ValueError};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

impl FromStr for Span {
    type Err = ValueError;
    /// Takes systemd.time(7)'s spans; a number without a unit is seconds.
    fn from_str(s: &str) -> Result<Span, ValueError> {
        if s == "infinity" {
            return Ok(Span::Infinite);
        }
        finite(s).map(Span::Finite).ok_or_else(|| ValueError::new(s, "a length of time", "1min 30s"))
    }
}

fn finite(s: &str) -> Option<Duration> {
    let mut text = s.trim().replace("µs", "us").replace("μs", "us");
    if text.is_empty() {
        return None;
    }
    // A bare number, alone or at the end ("5min 20"), is seconds; humantime wants a unit.
    if text.ends_with(|c: char| c.is_ascii_digit()) {
        text.push('s');
    }
    humantime::parse_duration(&text).ok()
}

impl Span {
    /// As [`Span::from_str`], but 0 means no limit, as most of systemd's timeouts read it.
    pub fn timeout(s: &str) -> Result<Span, ValueError> {
        s.parse().map(|span| if span == Span::Finite(Duration::ZERO) { Span::Infinite } else { span })
    }
    /// A length that must end.
    pub fn finite(s: &str) -> Result<Duration, ValueError> {
        finite(s).ok_or_else(|| ValueError::new(s, "a length of time that ends", "1min 30s"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Span::Finite(d) => humantime::format_duration(*d).fmt(f),
            Span::Infinite => f.write_str("infinity"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans() {
        let check = |s: &str, expect: Option<u64>| {
            let got = s.parse::<Span>().ok();
            assert_eq!(got, expect.map(|us| Span::Finite(Duration::from_micros(us))), "{s:?}");
        };
        const S: u64 = 1_000_000;
        check("0", Some(0));
        check("90", Some(90 * S));
        check("1.5", Some(1_500_000));
        check("1min 30s", Some(90 * S));
        check("5min20s", Some(320 * S));
        check("5min 20", Some(320 * S));
        check("1h", Some(3600 * S));
        check("2hr", Some(7200 * S));
        check("100ms", Some(100_000));
        check("7us", Some(7));
        check("7µs", Some(7));
        check("1d 2 hours", Some(26 * 3600 * S));
        check("1w", Some(7 * 86_400 * S));
        check("1M", Some(2_630_016 * S));
        check("", None);
        check("abc", None);
        check("-5", None);
        check("5 parsecs", None);
        check("99999999999999999999", None);
        assert_eq!("infinity".parse::<Span>(), Ok(Span::Infinite));
        assert_eq!(Span::timeout("0"), Ok(Span::Infinite));
        assert!(Span::finite("infinity").is_err());
    }

    proptest! {
        #[test]
        fn spans_round_trip(us in 0u64..1 << 62) {
            let span = Span::Finite(Duration::from_micros(us));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }
        #[test]
        fn nothing_panics(s in "\\PC{0,16}") {
            let _ = s.parse::<Span>();
        }
    }
}
