//! logs: last lines of a container, from the files that its ct-init keeps. They are the container's own: opened inside
//! its root, read bounded, believed for nothing.
use crate::control::protocol::LogLine;
use ct_init::clock::unstamp;
use ct_init::root::Root;
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Where ct-init keeps them, inside.
const DIRECTORY: &str = "/var/log/ct";
/// So much of the end of each file is read.
const TAIL: u64 = 64 * 1024;
/// So many files are looked at.
const MAX_FILES: usize = 1024;

/// The last lines of all units, or of one, in order of time.
pub fn last(root: &Root, unit: Option<&str>, since: u64, count: usize) -> Vec<LogLine> {
    let mut lines = Vec::new();
    for name in root.list(DIRECTORY).unwrap_or_default().into_iter().take(MAX_FILES) {
        let Some(of) = name.strip_suffix(".log") else { continue };
        if unit.is_none_or(|u| u == of) {
            // A file that has just been rotated is short; what is missing stands in the older half.
            lines.extend(tail(root, &format!("{DIRECTORY}/{name}.1"), of));
            lines.extend(tail(root, &format!("{DIRECTORY}/{name}"), of));
        }
    }
    lines.retain(|l: &LogLine| l.at >= since);
    lines.sort_by_key(|l| l.at);
    lines.drain(..lines.len().saturating_sub(count));
    lines
}

fn tail(root: &Root, path: &str, unit: &str) -> Vec<LogLine> {
    let mut bytes = Vec::new();
    let Ok(fd) = root.open(path, OFlags::RDONLY | OFlags::NOFOLLOW) else { return Vec::new() };
    let mut file = File::from(fd);
    let Ok(meta) = file.metadata() else { return Vec::new() };
    let start = meta.len().saturating_sub(TAIL);
    if !meta.is_file()
        || file.seek(SeekFrom::Start(start)).is_err()
        || file.take(TAIL).read_to_end(&mut bytes).is_err()
    {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    // The first line is cut where the file was not read from its beginning.
    text.lines().skip(usize::from(start > 0)).filter_map(|l| line(l, unit)).collect()
}

fn line(text: &str, unit: &str) -> Option<LogLine> {
    let (stamp, text) = text.split_once(' ')?;
    Some(LogLine { at: unstamp(stamp)?, unit: unit.to_owned(), text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn lines_of_all_units_come_in_order_of_time() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("var/log/ct");
        fs::create_dir_all(&at).unwrap();
        fs::write(
            at.join("a.service.log"),
            "2026-01-01T00:00:01.000000Z one\n2026-01-01T00:00:03.000000Z three\n",
        )
        .unwrap();
        fs::write(at.join("b.service.log"), "garbage\n2026-01-01T00:00:02.000000Z two\n").unwrap();
        let texts = |unit, n| {
            last(&Root::new(dir.path()), unit, 0, n).into_iter().map(|l| l.text).collect::<Vec<_>>()
        };
        assert_eq!(texts(None, 10), ["one", "two", "three"]);
        assert_eq!(texts(None, 1), ["three"]);
        assert_eq!(texts(Some("b.service"), 10), ["two"]);
    }

    #[test]
    fn a_log_directory_that_leads_out_shows_nothing() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("a.log"), "2026-01-01T00:00:01.000000Z secret\n").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("var/log")).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("var/log/ct")).unwrap();
        assert_eq!(last(&Root::new(dir.path()), None, 0, 10), []);
    }
}
