//! stat: a process's start time, by which a pid that was used again is told. Allocates nothing.
use rustix::fs::{Mode, OFlags, open};

/// Enough for all of /proc/PID/stat: 52 numbers and a name of 16 bytes.
const LONGEST: usize = 2048;

/// The start time of a process in clock ticks since boot (field 22 of /proc/PID/stat); zombies have it too.
pub fn start_time(pid: u32) -> Option<u64> {
    let mut path = [0u8; 32];
    let end = {
        use std::io::Write;
        let mut rest = &mut path[..];
        write!(rest, "/proc/{pid}/stat").ok()?;
        32 - rest.len()
    };
    let file = open(path.get(..end)?, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = [0u8; LONGEST];
    let length = rustix::io::read(&file, &mut text).ok()?;
    field(text.get(..length)?)
}

fn field(text: &[u8]) -> Option<u64> {
    // The second field may hold spaces and parentheses; the last `)` ends it.
    let after = text.iter().rposition(|b| *b == b')')? + 1;
    let text = std::str::from_utf8(text.get(after..)?).ok()?;
    text.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twenty_second_field_is_found() {
        let rest = (3..=52).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let check =
            |name: &str| assert_eq!(field(format!("1 ({name}) {rest}\n").as_bytes()), Some(22), "{name}");
        check("sh");
        check("a b");
        check(") 1 2 (");
        check("");
        assert_eq!(field(b"1 (sh) S 1"), None);
        assert_eq!(field(b""), None);
    }

    #[test]
    fn own_start_time_is_found() {
        assert!(start_time(std::process::id()).is_some_and(|t| t > 0));
        assert_eq!(start_time(u32::MAX), None);
    }
}
