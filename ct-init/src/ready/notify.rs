//! notify: one datagram of sd_notify(3), read. Never looks at who sent it, touches nothing.
use std::time::Duration;

/// Longer datagrams are dropped.
pub const MAX_DATAGRAM: usize = 4096;

/// What one line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// `READY=1`
    Ready,
    /// `RELOADING=1`
    Reloading,
    /// `STOPPING=1`
    Stopping,
    /// `MAINPID=`
    MainPid(i32),
    /// `STATUS=`
    Status(String),
    /// `ERRNO=`
    Errno(i32),
    /// `WATCHDOG=1`
    Alive,
    /// `WATCHDOG=trigger`
    Unwell,
    /// `X_CT_CRITICAL=`: the names of what is critical and has failed; empty: nothing.
    Critical(String),
    /// `EXTEND_TIMEOUT_USEC=`
    Extend(Duration),
}

/// Reads a datagram. One with an embedded NUL is refused whole; unknown and malformed lines don't count.
pub fn parse(datagram: &[u8]) -> Option<Vec<Word>> {
    let datagram = datagram.strip_suffix(b"\0").unwrap_or(datagram);
    if datagram.len() > MAX_DATAGRAM || datagram.contains(&0) {
        return None;
    }
    Some(datagram.split(|&b| b == b'\n').filter_map(line).collect())
}

fn line(line: &[u8]) -> Option<Word> {
    let text = std::str::from_utf8(line).ok()?;
    let (key, value) = text.split_once('=')?;
    match (key, value) {
        ("READY", "1") => Some(Word::Ready),
        ("RELOADING", "1") => Some(Word::Reloading),
        ("STOPPING", "1") => Some(Word::Stopping),
        ("WATCHDOG", "1") => Some(Word::Alive),
        ("WATCHDOG", "trigger") => Some(Word::Unwell),
        ("MAINPID", v) => v.parse().ok().filter(|&pid| pid > 1).map(Word::MainPid),
        ("STATUS", v) => Some(Word::Status(printable(v))),
        ("X_CT_CRITICAL", v) => Some(Word::Critical(printable(v))),
        ("ERRNO", v) => v.parse().ok().map(Word::Errno),
        ("EXTEND_TIMEOUT_USEC", v) => v.parse().ok().map(Duration::from_micros).map(Word::Extend),
        (_, _) => None,
    }
}

/// A status line is shown on terminals: no control characters, at most 256 of the others.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams() {
        let check = |text: &[u8], expect: Option<&[Word]>| {
            assert_eq!(parse(text).as_deref(), expect, "{:?}", String::from_utf8_lossy(text));
        };
        check(b"READY=1", Some(&[Word::Ready]));
        check(b"READY=1\n", Some(&[Word::Ready]));
        check(b"READY=1\0", Some(&[Word::Ready]));
        check(b"READY=0", Some(&[]));
        check(b"", Some(&[]));
        check(b"READY=1\0STOPPING=1", None);
        check(b"MAINPID=42\nREADY=1", Some(&[Word::MainPid(42), Word::Ready]));
        check(b"MAINPID=1\nMAINPID=0\nMAINPID=-5\nMAINPID=x", Some(&[]));
        check(b"STATUS=up\x1b[31m", Some(&[Word::Status("up[31m".into())]));
        check(b"RELOADING=1\nMONOTONIC_USEC=5", Some(&[Word::Reloading]));
        check(b"WATCHDOG=1\nWATCHDOG=trigger", Some(&[Word::Alive, Word::Unwell]));
        check(b"EXTEND_TIMEOUT_USEC=1500000", Some(&[Word::Extend(Duration::from_millis(1500))]));
        check(b"X_CT_CRITICAL=web db", Some(&[Word::Critical("web db".into())]));
        check(b"ERRNO=2\nSTOPPING=1", Some(&[Word::Errno(2), Word::Stopping]));
        check(b"\xff\xfe=1\nREADY=1", Some(&[Word::Ready]));
        check(b"FDSTORE=1\nFDNAME=x", Some(&[]));
        check(&[b'A'; MAX_DATAGRAM + 1], None);
    }
}
