//! parse: sizes, limits, percentages and weights. Touches nothing.
use super::{ByteSize, Limit, Percent, ValueError, Weight};
use std::fmt;
use std::str::FromStr;

const SUFFIXES: [(char, u64); 7] = [
    ('E', 1 << 60),
    ('P', 1 << 50),
    ('T', 1 << 40),
    ('G', 1 << 30),
    ('M', 1 << 20),
    ('K', 1 << 10),
    ('B', 1),
];

impl FromStr for ByteSize {
    type Err = ValueError;
    fn from_str(s: &str) -> Result<ByteSize, ValueError> {
        bytes(s).map(ByteSize).ok_or_else(|| ValueError::new(s, "a size", "512M"))
    }
}

/// `512M`, `1.5G`, `4096`.
fn bytes(s: &str) -> Option<u64> {
    let s = s.trim();
    let (number, factor) = match s.chars().last().and_then(|c| SUFFIXES.iter().find(|(x, _)| *x == c)) {
        Some((c, factor)) => (s.strip_suffix(*c)?.trim_end(), *factor),
        None => (s, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = digits(whole)?.checked_mul(factor)?;
    // Digits past the ninth would be below one byte of anything but an exabyte.
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = u128::from(digits(fraction)?) * u128::from(factor) / scale;
    whole.checked_add(u64::try_from(part).ok()?)
}

/// Only digits: no sign, no space, not empty.
pub(super) fn digits(s: &str) -> Option<u64> {
    if s.is_empty() || !s.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    s.parse().ok()
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SUFFIXES.iter().find(|(_, n)| *n > 1 && self.0 >= *n && self.0.is_multiple_of(*n)) {
            Some((c, n)) => write!(f, "{}{c}", self.0 / n),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Limit {
    /// A limit in bytes: `512M`, `10%`, `infinity`.
    pub fn size(s: &str) -> Result<Limit, ValueError> {
        let wrong = || ValueError::new(s, "a size", "512M");
        Limit::read(s, bytes).ok_or_else(wrong)
    }
    /// A limit that counts: `4096`, `10%`, `infinity`.
    pub fn count(s: &str) -> Result<Limit, ValueError> {
        let wrong = || ValueError::new(s, "a number", "4096");
        Limit::read(s, digits).ok_or_else(wrong)
    }
    fn read(s: &str, amount: fn(&str) -> Option<u64>) -> Option<Limit> {
        if s == "infinity" {
            Some(Limit::Infinity)
        } else if s.ends_with('%') {
            hundredths(s).filter(|&n| n <= 10_000).map(Limit::Share)
        } else {
            amount(s).map(Limit::Amount)
        }
    }
}

/// `{}` writes an amount as a plain number, right for counts and bytes; `{:#}` as a size (`512M`).
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Limit::Amount(n) if f.alternate() => ByteSize(n).fmt(f),
            Limit::Amount(n) => write!(f, "{n}"),
            Limit::Share(n) => Percent(n).fmt(f),
            Limit::Infinity => f.write_str("infinity"),
        }
    }
}

/// `150%`, `12.5%` in hundredths of a percent.
fn hundredths(s: &str) -> Option<u32> {
    let number = s.strip_suffix('%')?.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.len() > 2 {
        return None;
    }
    let part = digits(fraction)? * if fraction.len() == 1 { 10 } else { 1 };
    u32::try_from(digits(whole)?.checked_mul(100)?.checked_add(part)?).ok()
}

impl FromStr for Percent {
    type Err = ValueError;
    fn from_str(s: &str) -> Result<Percent, ValueError> {
        hundredths(s).map(Percent).ok_or_else(|| ValueError::new(s, "a percentage", "150%"))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl FromStr for Weight {
    type Err = ValueError;
    fn from_str(s: &str) -> Result<Weight, ValueError> {
        let wrong = || ValueError::new(s, "a weight from 1 to 10000", "100");
        digits(s).filter(|n| (1..=10_000).contains(n)).map(Weight::clamped).ok_or_else(wrong)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Weight {
    fn clamped(n: u64) -> Weight {
        Weight(u16::try_from(n.clamp(1, 10_000)).unwrap_or(10_000))
    }
    /// `CPUUnits=`, OpenVZ's 8…500000: 1000 is weight 100.
    pub fn from_cpu_units(s: &str) -> Result<Weight, ValueError> {
        let wrong = || ValueError::new(s, "a number of CPU units from 8 to 500000", "1000");
        let units = digits(s).filter(|n| (8..=500_000).contains(n)).ok_or_else(wrong)?;
        Ok(Weight::clamped((units + 5) / 10))
    }
    /// `CPUShares=`, cgroup v1's 2…262144: 1024 is weight 100.
    pub fn from_cpu_shares(s: &str) -> Result<Weight, ValueError> {
        let wrong = || ValueError::new(s, "a number of CPU shares from 2 to 262144", "1024");
        let shares = digits(s).filter(|n| (2..=262_144).contains(n)).ok_or_else(wrong)?;
        Ok(Weight::clamped((shares * 100 + 512) / 1024))
    }
    /// `BlockIOWeight=`, cgroup v1's 10…1000: 500 is weight 100.
    pub fn from_block_io(s: &str) -> Result<Weight, ValueError> {
        let wrong = || ValueError::new(s, "a block I/O weight from 10 to 1000", "500");
        let weight = digits(s).filter(|n| (10..=1000).contains(n)).ok_or_else(wrong)?;
        Ok(Weight::clamped(weight / 5))
    }
    /// `IOPriority=`, OpenVZ's 0…7: 4 is weight 100, each step a fifth of that.
    pub fn from_io_priority(s: &str) -> Result<Weight, ValueError> {
        let wrong = || ValueError::new(s, "an I/O priority from 0 to 7", "4");
        let priority = digits(s).filter(|n| *n <= 7).ok_or_else(wrong)?;
        Ok(Weight::clamped(20 + 20 * priority))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        let check = |s: &str, expect: Option<u64>| {
            assert_eq!(s.parse::<ByteSize>().ok().map(|b| b.0), expect, "{s:?}");
        };
        check("0", Some(0));
        check("4096", Some(4096));
        check("512M", Some(512 << 20));
        check("1.5G", Some(3 << 29));
        check("1G", Some(1 << 30));
        check("10 K", Some(10240));
        check("7B", Some(7));
        check("16E", None);
        check("15E", Some(15 << 60));
        check("512Q", None);
        check("512m", None);
        check("", None);
        check("M", None);
        check("-1", None);
        check("+1", None);
        check("1.", None);
        check("0x10", None);
    }

    #[test]
    fn limits() {
        let size = |s: &str, expect: Option<Limit>| assert_eq!(Limit::size(s).ok(), expect, "{s:?}");
        size("infinity", Some(Limit::Infinity));
        size("10.5%", Some(Limit::Share(1050)));
        size("101%", None);
        size("1K", Some(Limit::Amount(1024)));
        let count = |s: &str, expect: Option<Limit>| assert_eq!(Limit::count(s).ok(), expect, "{s:?}");
        count("99%", Some(Limit::Share(9900)));
        count("1K", None);
        count("33", Some(Limit::Amount(33)));
    }

    #[test]
    fn weights() {
        let check = |read: fn(&str) -> Result<Weight, ValueError>, s: &str, expect: Option<u16>| {
            assert_eq!(read(s).ok().map(|w| w.0), expect, "{s:?}");
        };
        check(str::parse, "100", Some(100));
        check(str::parse, "0", None);
        check(str::parse, "10001", None);
        check(Weight::from_cpu_units, "1000", Some(100));
        check(Weight::from_cpu_units, "8", Some(1));
        check(Weight::from_cpu_units, "7", None);
        check(Weight::from_cpu_units, "500000", Some(10_000));
        check(Weight::from_cpu_shares, "1024", Some(100));
        check(Weight::from_cpu_shares, "2", Some(1));
        check(Weight::from_cpu_shares, "262144", Some(10_000));
        check(Weight::from_block_io, "500", Some(100));
        check(Weight::from_io_priority, "4", Some(100));
        check(Weight::from_io_priority, "0", Some(20));
        check(Weight::from_io_priority, "8", None);
    }

    #[test]
    fn percentages() {
        let check = |s: &str, expect: Option<u32>| {
            assert_eq!(s.parse::<Percent>().ok().map(|p| p.0), expect, "{s:?}");
        };
        check("150%", Some(15_000));
        check("12.5%", Some(1250));
        check("0.25%", Some(25));
        check("0.255%", None);
        check("20", None);
        check("%", None);
    }

    proptest! {
        #[test]
        fn sizes_round_trip(n: u64) {
            prop_assert_eq!(ByteSize(n).to_string().parse(), Ok(ByteSize(n)));
            prop_assert_eq!(Limit::size(&format!("{:#}", Limit::Amount(n))), Ok(Limit::Amount(n)));
            prop_assert_eq!(Limit::count(&Limit::Amount(n).to_string()), Ok(Limit::Amount(n)));
        }
        #[test]
        fn percentages_round_trip(n: u32) {
            prop_assert_eq!(Percent(n).to_string().parse(), Ok(Percent(n)));
        }
        #[test]
        fn nothing_panics(s in "\\PC{0,12}") {
            let _ = (s.parse::<ByteSize>(), s.parse::<Percent>(), Limit::size(&s), Limit::count(&s));
        }
    }
}
