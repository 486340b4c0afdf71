//! parse: lists of CPUs and memory nodes. Touches nothing.
use super::{CpuSet, ValueError, size::digits};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// No kernel is built for more.
const MAX: u64 = 8191;

impl FromStr for CpuSet {
    type Err = ValueError;
    /// `0-3,7` or `0 1 2`; an empty list is an empty set.
    fn from_str(s: &str) -> Result<CpuSet, ValueError> {
        let wrong = || ValueError::new(s, "a list of CPUs or nodes", "0-3,7");
        let mut set = BTreeSet::new();
        for part in s.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|p| !p.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = digits(first).zip(digits(last)).ok_or_else(wrong)?;
            if first > last || last > MAX {
                return Err(wrong());
            }
            set.extend((first..=last).filter_map(|n| u32::try_from(n).ok()));
        }
        Ok(CpuSet(set.into_iter().collect()))
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut comma = "";
        while let Some((&first, tail)) = rest.split_first() {
            let run = tail.iter().zip(first.saturating_add(1)..).take_while(|(a, b)| **a == *b).count();
            match tail.get(..run).and_then(|r| r.last()) {
                Some(last) => write!(f, "{comma}{first}-{last}")?,
                None => write!(f, "{comma}{first}")?,
            }
            rest = tail.get(run..).unwrap_or_default();
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists() {
        let check = |s: &str, expect: Option<&str>| {
            assert_eq!(s.parse::<CpuSet>().ok().map(|c| c.to_string()).as_deref(), expect, "{s:?}");
        };
        check("0-3,7", Some("0-3,7"));
        check("7 0 1 2", Some("0-2,7"));
        check("1,1, 1", Some("1"));
        check("", Some(""));
        check("3-1", None);
        check("a", None);
        check("0-99999999", None);
    }

    proptest! {
        #[test]
        fn lists_round_trip(set in proptest::collection::btree_set(0u32..200, 0..40)) {
            let set = CpuSet(set.into_iter().collect());
            prop_assert_eq!(set.to_string().parse(), Ok(set));
        }
    }
}
