//! parse: capability names to bits of the kernel's numbers. Holds none.
use super::ValueError;

/// Every capability without `CAP_`, at the place of its number.
pub const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// All of them.
pub const ALL: u64 = (1 << NAMES.len()) - 1;

/// The bit of `CAP_CHOWN`, in any case.
pub fn bit(name: &str) -> Result<u64, ValueError> {
    let wrong = || ValueError::new(name, "a capability", "CAP_NET_ADMIN");
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").ok_or_else(wrong)?;
    NAMES.iter().position(|n| *n == short).map(|i| 1 << i).ok_or_else(wrong)
}

/// The names of the bits, `CAP_CHOWN CAP_KILL`, in the kernel's order.
pub fn names(bits: u64) -> String {
    let of = |(i, n): (usize, &&str)| (bits >> i & 1 == 1).then(|| format!("CAP_{n}"));
    NAMES.iter().enumerate().filter_map(of).collect::<Vec<_>>().join(" ")
}

/// How one more line changes a set: `named` joins it or, with `~` (`invert`), leaves it.
///
/// The first line, or one that names nothing, sets the whole: `~CAP_X` alone is all of `full` but X. `unset` is what
/// the set is before any line.
pub fn merge(current: Option<u64>, unset: u64, full: u64, invert: bool, named: u64) -> u64 {
    match current.filter(|c| named != 0 && *c != unset) {
        Some(set) if invert => set & !named,
        Some(set) => set | named,
        None if invert => full & !named,
        None => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_names() {
        let check = |name: &str, expect: Option<u32>| {
            assert_eq!(bit(name).ok().map(u64::trailing_zeros), expect, "{name:?}");
        };
        check("CAP_CHOWN", Some(0));
        check("CAP_NET_ADMIN", Some(12));
        check("cap_net_raw", Some(13));
        check("CAP_SYS_ADMIN", Some(21));
        check("CAP_BPF", Some(39));
        check("CAP_CHECKPOINT_RESTORE", Some(40));
        check("NET_RAW", None);
        check("CAP_NONE", None);
        assert_eq!(names(0b100001), "CAP_CHOWN CAP_KILL");
        for i in 0..NAMES.len() {
            assert_eq!(bit(&names(1 << i)), Ok(1 << i));
        }
    }

    #[test]
    fn lines_add_up() {
        let check = |current, invert, named, expect: u64| {
            assert_eq!(merge(current, ALL, ALL, invert, named), expect);
        };
        check(None, false, 0b11, 0b11);
        check(None, true, 0b11, ALL & !0b11);
        check(Some(0b1), false, 0b10, 0b11);
        check(Some(0b11), true, 0b10, 0b1);
        check(Some(0b11), false, 0, 0);
        check(Some(0b11), true, 0, ALL);
        check(Some(ALL), false, 0b1, 0b1);
    }
}
