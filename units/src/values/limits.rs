//! parse: file modes and resource limits. Sets none.
use super::{ByteSize, Mode, Rlimit, Span, ValueError, size::digits};
use crate::schema::service::RlimitKind;
use std::fmt;
use std::str::FromStr;

impl FromStr for Mode {
    type Err = ValueError;
    /// Octal, at most 07777.
    fn from_str(s: &str) -> Result<Mode, ValueError> {
        let wrong = || ValueError::new(s, "an octal mode", "0755");
        if !s.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        u32::from_str_radix(s, 8).ok().filter(|m| *m <= 0o7777).map(Mode).ok_or_else(wrong)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// Every `LimitX=` key and what it limits.
pub(crate) const RLIMITS: [(&str, RlimitKind); 16] = [
    ("LimitCPU", RlimitKind::Cpu),
    ("LimitFSIZE", RlimitKind::Fsize),
    ("LimitDATA", RlimitKind::Data),
    ("LimitSTACK", RlimitKind::Stack),
    ("LimitCORE", RlimitKind::Core),
    ("LimitRSS", RlimitKind::Rss),
    ("LimitNPROC", RlimitKind::Nproc),
    ("LimitNOFILE", RlimitKind::Nofile),
    ("LimitMEMLOCK", RlimitKind::Memlock),
    ("LimitAS", RlimitKind::As),
    ("LimitLOCKS", RlimitKind::Locks),
    ("LimitSIGPENDING", RlimitKind::Sigpending),
    ("LimitMSGQUEUE", RlimitKind::Msgqueue),
    ("LimitNICE", RlimitKind::Nice),
    ("LimitRTPRIO", RlimitKind::Rtprio),
    ("LimitRTTIME", RlimitKind::Rttime),
];

impl RlimitKind {
    /// `NOFILE` of `LimitNOFILE=`.
    pub fn name(self) -> &'static str {
        RLIMITS.iter().find(|(_, k)| *k == self).map_or("", |(key, _)| key.trim_start_matches("Limit"))
    }
}

impl Rlimit {
    /// `65535`, `infinity`, `1024:4096`; sizes take suffixes, CPU and RTTIME lengths of time.
    pub fn parse(s: &str, kind: RlimitKind) -> Result<Rlimit, ValueError> {
        let (soft, hard) = s.split_once(':').unwrap_or((s, s));
        let limit = Rlimit { soft: side(soft.trim(), kind)?, hard: side(hard.trim(), kind)? };
        let above = |soft: u64| limit.hard.is_some_and(|hard| soft > hard);
        if limit.soft.map_or(limit.hard.is_some(), above) {
            return Err(ValueError::new(s, "a limit whose soft side is at most its hard side", "1024:4096"));
        }
        Ok(limit)
    }
}

fn side(s: &str, kind: RlimitKind) -> Result<Option<u64>, ValueError> {
    if s == "infinity" {
        return Ok(None);
    }
    let count = || digits(s).ok_or_else(|| ValueError::new(s, "a number or infinity", "65536"));
    let time = || s.parse::<Span>();
    match kind {
        RlimitKind::Fsize
        | RlimitKind::Data
        | RlimitKind::Stack
        | RlimitKind::Core
        | RlimitKind::Rss
        | RlimitKind::Memlock
        | RlimitKind::As
        | RlimitKind::Msgqueue => s.parse::<ByteSize>().map(|b| Some(b.0)),
        RlimitKind::Cpu => time().map(|span| match span {
            Span::Finite(d) => Some(d.as_secs() + u64::from(d.subsec_nanos() > 0)),
            Span::Infinite => None,
        }),
        // The kernel counts microseconds, and so does a bare number.
        RlimitKind::Rttime if digits(s).is_some() => count().map(Some),
        RlimitKind::Rttime => time().map(|span| match span {
            Span::Finite(d) => u64::try_from(d.as_micros()).ok(),
            Span::Infinite => None,
        }),
        RlimitKind::Nice => nice(s).map(Some),
        RlimitKind::Nproc
        | RlimitKind::Nofile
        | RlimitKind::Locks
        | RlimitKind::Sigpending
        | RlimitKind::Rtprio => count().map(Some),
    }
}

/// A nice level with its sign (`+5`, `-10`), or the kernel's 0…40 without.
fn nice(s: &str) -> Result<u64, ValueError> {
    let wrong = || ValueError::new(s, "a nice level", "+5");
    let value = match (s.strip_prefix('+'), s.strip_prefix('-')) {
        (Some(n), _) => digits(n).and_then(|n| 20u64.checked_sub(n)).filter(|_| s != "+20"),
        (None, Some(n)) => digits(n).filter(|n| *n <= 20).map(|n| 20 + n),
        (None, None) => digits(s).filter(|n| *n <= 40),
    };
    value.ok_or_else(wrong)
}

impl fmt::Display for Rlimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |n: Option<u64>| n.map_or_else(|| "infinity".to_owned(), |n| n.to_string());
        if self.soft == self.hard {
            f.write_str(&side(self.soft))
        } else {
            write!(f, "{}:{}", side(self.soft), side(self.hard))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let check = |s: &str, expect: Option<&str>| {
            assert_eq!(s.parse::<Mode>().ok().map(|m| m.to_string()).as_deref(), expect, "{s:?}");
        };
        check("0755", Some("0755"));
        check("755", Some("0755"));
        check("2755", Some("2755"));
        check("00022", Some("0022"));
        check("7777", Some("7777"));
        check("17777", None);
        check("0788", None);
        check("rwx", None);
        check("+755", None);
        check("", None);
    }

    #[test]
    fn rlimits() {
        let check = |kind, s: &str, expect: Option<&str>| {
            let got = Rlimit::parse(s, kind).ok().map(|l| l.to_string());
            assert_eq!(got.as_deref(), expect, "{s:?}");
            if let Some(text) = got {
                assert_eq!(Rlimit::parse(&text, kind), Rlimit::parse(s, kind), "{s:?} does not round-trip");
            }
        };
        check(RlimitKind::Nofile, "65535", Some("65535"));
        check(RlimitKind::Nofile, "infinity", Some("infinity"));
        check(RlimitKind::Nofile, "1024:4096", Some("1024:4096"));
        check(RlimitKind::Nofile, "1024:infinity", Some("1024:infinity"));
        check(RlimitKind::Nofile, "4096:1024", None);
        check(RlimitKind::Nofile, "infinity:1024", None);
        check(RlimitKind::Nofile, "64K", None);
        check(RlimitKind::Memlock, "64M", Some("67108864"));
        check(RlimitKind::Core, "0:1G", Some("0:1073741824"));
        check(RlimitKind::Cpu, "1min", Some("60"));
        check(RlimitKind::Cpu, "1500ms", Some("2"));
        check(RlimitKind::Rttime, "200", Some("200"));
        check(RlimitKind::Rttime, "1ms", Some("1000"));
        check(RlimitKind::Nice, "+5", Some("15"));
        check(RlimitKind::Nice, "-10", Some("30"));
        check(RlimitKind::Nice, "40", Some("40"));
        check(RlimitKind::Nice, "+20", None);
        check(RlimitKind::Nproc, "", None);
    }
}
