//! parse: exit codes by name or number, and signals, for `SuccessExitStatus=` and its kin. Touches nothing.
use super::{Signal, ValueError, size::digits};
use crate::schema::StatusSet;

/// systemd.exec(5)'s names: the C library's, LSB's, sysexits.h's, then systemd's own.
const NAMES: &[(&str, u8)] = &[
    ("SUCCESS", 0),
    ("FAILURE", 1),
    ("INVALIDARGUMENT", 2),
    ("NOTIMPLEMENTED", 3),
    ("NOPERMISSION", 4),
    ("NOTINSTALLED", 5),
    ("NOTCONFIGURED", 6),
    ("NOTRUNNING", 7),
    ("USAGE", 64),
    ("DATAERR", 65),
    ("NOINPUT", 66),
    ("NOUSER", 67),
    ("NOHOST", 68),
    ("UNAVAILABLE", 69),
    ("SOFTWARE", 70),
    ("OSERR", 71),
    ("OSFILE", 72),
    ("CANTCREAT", 73),
    ("IOERR", 74),
    ("TEMPFAIL", 75),
    ("PROTOCOL", 76),
    ("NOPERM", 77),
    ("CONFIG", 78),
    ("CHDIR", 200),
    ("NICE", 201),
    ("FDS", 202),
    ("EXEC", 203),
    ("MEMORY", 204),
    ("LIMITS", 205),
    ("OOM_ADJUST", 206),
    ("SIGNAL_MASK", 207),
    ("STDIN", 208),
    ("STDOUT", 209),
    ("CHROOT", 210),
    ("IOPRIO", 211),
    ("TIMERSLACK", 212),
    ("SECUREBITS", 213),
    ("SETSCHEDULER", 214),
    ("CPUAFFINITY", 215),
    ("GROUP", 216),
    ("USER", 217),
    ("CAPABILITIES", 218),
    ("CGROUP", 219),
    ("SETSID", 220),
    ("CONFIRM", 221),
    ("STDERR", 222),
    ("PAM", 224),
    ("NETWORK", 225),
    ("NAMESPACE", 226),
    ("NO_NEW_PRIVILEGES", 227),
    ("SECCOMP", 228),
    ("SELINUX_CONTEXT", 229),
    ("PERSONALITY", 230),
    ("APPARMOR_PROFILE", 231),
    ("ADDRESS_FAMILIES", 232),
    ("RUNTIME_DIRECTORY", 233),
    ("CHOWN", 235),
    ("SMACK_PROCESS_LABEL", 236),
    ("KEYRING", 237),
    ("STATE_DIRECTORY", 238),
    ("CACHE_DIRECTORY", 239),
    ("LOGS_DIRECTORY", 240),
    ("CONFIGURATION_DIRECTORY", 241),
    ("NUMA_POLICY", 242),
    ("CREDENTIALS", 243),
    ("BPF", 245),
    ("EXCEPTION", 255),
];

impl StatusSet {
    /// Adds one word: `0`…`255`, `TEMPFAIL`, `EXIT_FAILURE`, `SIGKILL`.
    pub fn add(&mut self, word: &str) -> Result<(), ValueError> {
        let bare = word.strip_prefix("EXIT_").or_else(|| word.strip_prefix("EX_")).unwrap_or(word);
        let named = NAMES.iter().find(|(n, _)| *n == bare).map(|(_, code)| u64::from(*code));
        if let Some(code) = digits(word).or(named) {
            let wrong = |_| ValueError::new(word, "an exit code from 0 to 255", "75");
            self.codes.push(u8::try_from(code).map_err(wrong)?);
        } else {
            let wrong = |_| ValueError::new(word, "an exit code or a signal", "75 or SIGTERM");
            self.signals.push(word.parse::<Signal>().map_err(wrong)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |word: &str, expect: Option<(&[u8], &[u8])>| {
            let mut set = StatusSet::default();
            let got = set.add(word).ok().map(|()| set);
            let expect = expect.map(|(codes, signals)| StatusSet {
                codes: codes.to_vec(),
                signals: signals.iter().copied().map(Signal).collect(),
            });
            assert_eq!(got, expect, "{word:?}");
        };
        check("0", Some((&[0], &[])));
        check("255", Some((&[255], &[])));
        check("256", None);
        check("TEMPFAIL", Some((&[75], &[])));
        check("EXIT_FAILURE", Some((&[1], &[])));
        check("EX_TEMPFAIL", Some((&[75], &[])));
        check("SIGKILL", Some((&[], &[9])));
        check("TERM", Some((&[], &[15])));
        check("SIGNOPE", None);
    }
}
