//! lines: bytes from a pipe to lines, cut at 4 KiB. Never keeps more than one unfinished line.

/// Longer lines are cut into several.
pub const MAX_LINE: usize = 4096;

/// The unfinished line of one pipe.
#[derive(Debug, Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// Takes what was read and hands on each line it completes.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let (body, ends) = match piece.split_last() {
                Some((b'\n', body)) => (body, true),
                Some(_) | None => (piece, false),
            };
            let mut body = body;
            while self.0.len() + body.len() > MAX_LINE {
                let (now, later) = body.split_at(MAX_LINE - self.0.len());
                self.0.extend_from_slice(now);
                each(&self.0);
                self.0.clear();
                body = later;
            }
            if ends && self.0.is_empty() {
                each(trimmed(body));
                continue;
            }
            self.0.extend_from_slice(body);
            if ends {
                each(trimmed(&self.0));
                self.0 = Vec::new();
            }
        }
    }

    /// The unfinished line so far.
    pub fn begun(&self) -> &[u8] {
        &self.0
    }

    /// Goes on within an unfinished line.
    pub fn again(begun: Vec<u8>) -> Lines {
        Lines(begun)
    }

    /// The unfinished line, if any: its writer has ended.
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        (!self.0.is_empty()).then(|| std::mem::take(&mut self.0))
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Without a leading `<6>`, the priority that sd-daemon(3) lets a line begin with.
pub fn without_priority(line: &[u8]) -> &[u8] {
    match line {
        [b'<', b'0'..=b'7', b'>', rest @ ..] => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let check = |chunks: &[&str], expect: &[&str], rest: Option<&str>| {
            let mut lines = Lines::default();
            let mut got = Vec::new();
            for chunk in chunks {
                lines.push(chunk.as_bytes(), |l| got.push(String::from_utf8_lossy(l).into_owned()));
            }
            assert_eq!(got, expect, "{chunks:?}");
            assert_eq!(lines.rest().as_deref(), rest.map(str::as_bytes), "{chunks:?}");
        };
        check(&["a\nb\n"], &["a", "b"], None);
        check(&["a", "b\nc"], &["ab"], Some("c"));
        check(&["\n\n"], &["", ""], None);
        check(&["a\r\n", "b", "\r\n"], &["a", "b"], None);
        check(&[], &[], None);
        check(&["", "x", ""], &[], Some("x"));
        let long = "y".repeat(MAX_LINE);
        check(&[&long, "\n"], &[&long], None);
        check(&[&long, "z\n"], &[&long, "z"], None);
        check(&[&long, &long, &long], &[&long, &long], Some(&long));
    }

    #[test]
    fn priorities_are_not_text() {
        for (line, expect) in [("<6>hi", "hi"), ("<8>hi", "<8>hi"), ("<6", "<6"), ("", ""), ("<0>", "")] {
            assert_eq!(without_priority(line.as_bytes()), expect.as_bytes());
        }
    }
}
