//! parse: signals by name or number. Sends none.
use super::{Signal, ValueError, size::digits};
use std::fmt;
use std::str::FromStr;

/// Linux's names, from 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const ALIASES: [(&str, u8); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];
/// As the C library counts: the first two are its own.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

impl Signal {
    /// SIGHUP.
    pub const HUP: Signal = Signal(1);
    /// SIGABRT.
    pub const ABRT: Signal = Signal(6);
    /// SIGKILL.
    pub const KILL: Signal = Signal(9);
    /// SIGTERM.
    pub const TERM: Signal = Signal(15);
}

impl FromStr for Signal {
    type Err = ValueError;
    /// `SIGTERM`, `TERM`, `15`, `RTMIN+3`, `SIGRTMAX-1`.
    fn from_str(s: &str) -> Result<Signal, ValueError> {
        number(s).map(Signal).ok_or_else(|| ValueError::new(s, "a signal", "SIGTERM"))
    }
}

fn number(s: &str) -> Option<u8> {
    if let Some(n) = digits(s) {
        return u8::try_from(n).ok().filter(|n| (1..=RTMAX).contains(n));
    }
    let name = s.strip_prefix("SIG").unwrap_or(s);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        let add = if rest.is_empty() { 0 } else { digits(rest.strip_prefix('+')?)? };
        return u8::try_from(add).ok().and_then(|n| RTMIN.checked_add(n)).filter(|n| *n <= RTMAX);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        let sub = if rest.is_empty() { 0 } else { digits(rest.strip_prefix('-')?)? };
        return u8::try_from(sub).ok().and_then(|n| RTMAX.checked_sub(n)).filter(|n| *n >= RTMIN);
    }
    let listed = (1u8..).zip(NAMES).find(|(_, n)| *n == name).map(|(i, _)| i);
    listed.or_else(|| ALIASES.iter().find(|(n, _)| *n == name).map(|(_, i)| *i))
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.checked_sub(1).and_then(|i| NAMES.get(usize::from(i)));
        match (name, self.0.checked_sub(RTMIN)) {
            (Some(name), _) => write!(f, "SIG{name}"),
            (None, Some(0)) => f.write_str("SIGRTMIN"),
            (None, Some(n)) => write!(f, "SIGRTMIN+{n}"),
            (None, None) => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let check = |s: &str, expect: Option<u8>| {
            assert_eq!(s.parse::<Signal>().ok().map(|s| s.0), expect, "{s:?}");
        };
        check("SIGTERM", Some(15));
        check("TERM", Some(15));
        check("15", Some(15));
        check("SIGHUP", Some(1));
        check("SYS", Some(31));
        check("CLD", Some(17));
        check("RTMIN", Some(34));
        check("RTMIN+3", Some(37));
        check("SIGRTMAX-1", Some(63));
        check("RTMAX-31", None);
        check("RTMIN+31", None);
        check("0", None);
        check("65", None);
        check("sigterm", None);
        check("", None);
        check("RTMIN+", None);
    }

    #[test]
    fn every_number_round_trips() {
        for n in 1..=64 {
            assert_eq!(Signal(n).to_string().parse(), Ok(Signal(n)));
        }
    }
}
