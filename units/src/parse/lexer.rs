//! parse: bytes to logical lines: continuations joined, comments dropped, each character's place kept. Judges nothing.
use std::str;

/// Larger files are refused.
pub const MAX_FILE: usize = 1024 * 1024;

/// Where a character stands in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// Text out of a file that still knows where each of its characters came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    text: String,
    /// Where a piece begins in `text`, and where that stands in the file; one piece a physical line.
    pieces: Vec<(usize, Place)>,
}

impl Text {
    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// Where the character at byte `offset` stands; the end of the text is a place too.
    pub fn place(&self, offset: usize) -> Place {
        let piece = self.pieces.iter().rev().find(|(start, _)| *start <= offset);
        let Some(&(start, place)) = piece.or(self.pieces.first()) else {
            return Place::default();
        };
        let between = self.text.get(start..offset).map_or(0, |t| t.chars().count());
        Place { line: place.line, column: place.column + u32::try_from(between).unwrap_or(0) }
    }
    /// The part from byte `start` to `end`, without white space around it.
    pub fn trimmed(&self, start: usize, end: usize) -> Text {
        let part = self.text.get(start..end).unwrap_or_default();
        let start = start + (part.len() - part.trim_start().len());
        let text = part.trim().to_owned();
        let end = start + text.len();
        let mut pieces = vec![(0, self.place(start))];
        let inner = self.pieces.iter().filter(|(at, _)| *at > start && *at < end);
        pieces.extend(inner.map(|(at, place)| (at - start, *place)));
        Text { text, pieces }
    }
    fn push(&mut self, piece: &str, place: Place) {
        self.pieces.push((self.text.len(), place));
        self.text.push_str(piece);
    }
}

impl From<&str> for Text {
    /// Text that comes from no file.
    fn from(text: &str) -> Text {
        Text { text: text.to_owned(), pieces: Vec::new() }
    }
}

/// Why bytes are no text file at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LexError {
    /// More than [`MAX_FILE`].
    #[error("{0} bytes are too many for a unit file (at most {MAX_FILE})")]
    TooLarge(usize),
    /// A zero byte.
    #[error("a NUL byte stands here; this is not a text file")]
    Nul(Place),
    /// Not UTF-8.
    #[error("the bytes here are not UTF-8; this is not a text file")]
    Encoding(Place),
}

impl LexError {
    /// Where it is; none where the whole file is meant.
    pub fn place(&self) -> Option<Place> {
        match self {
            LexError::TooLarge(_) => None,
            LexError::Nul(place) | LexError::Encoding(place) => Some(*place),
        }
    }
}

/// What the lexer found: logical lines, none of them empty, and backslashes that look like continuations but are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// In order, trimmed.
    pub lines: Vec<Text>,
    /// Backslashes followed by white space at the end of a line.
    pub stray_backslashes: Vec<Place>,
}

/// Splits a file. systemd.syntax(7): a backslash at the end joins the next line with a space; empty lines and lines
/// that begin with `#` or `;` are skipped, also between joined ones.
pub fn lines(bytes: &[u8]) -> Result<Lines, LexError> {
    let text = decode(bytes)?;
    let mut out = Lines::default();
    let mut open: Option<Text> = None;
    for (number, raw) in (1u32..).zip(text.split('\n')) {
        let raw = raw.strip_suffix('\r').unwrap_or(raw);
        let begin = raw.trim_start();
        if begin.is_empty() || begin.starts_with(['#', ';']) {
            continue;
        }
        let mut line = open.take().unwrap_or_default();
        let place = Place { line: number, column: 1 };
        if ends_open(raw) {
            line.push(raw.strip_suffix('\\').unwrap_or(raw), place);
            line.text.push(' ');
            open = Some(line);
            continue;
        }
        let trimmed = raw.trim_end();
        if trimmed.len() < raw.len() && ends_open(trimmed) {
            let column = u32::try_from(trimmed.chars().count()).unwrap_or(0);
            out.stray_backslashes.push(Place { line: number, column });
        }
        line.push(raw, place);
        out.lines.push(line);
    }
    out.lines.extend(open);
    out.lines = out.lines.iter().map(|l| l.trimmed(0, l.text.len())).filter(|l| !l.text.is_empty()).collect();
    Ok(out)
}

/// Whether the last character is a backslash that no other backslash escapes.
pub(super) fn ends_open(line: &str) -> bool {
    let mut escaped = false;
    for c in line.chars() {
        escaped = c == '\\' && !escaped;
    }
    escaped
}

fn decode(bytes: &[u8]) -> Result<&str, LexError> {
    if bytes.len() > MAX_FILE {
        return Err(LexError::TooLarge(bytes.len()));
    }
    let place = |before: &[u8]| {
        let before = String::from_utf8_lossy(before);
        let (lines, last) = before.rsplit_once('\n').unwrap_or(("", &before));
        let line = lines.matches('\n').count() + usize::from(before.contains('\n')) + 1;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place { line: number(line), column: number(last.chars().count() + 1) }
    };
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        return Err(LexError::Nul(place(bytes.get(..at).unwrap_or_default())));
    }
    let text = str::from_utf8(bytes)
        .map_err(|e| LexError::Encoding(place(bytes.get(..e.valid_up_to()).unwrap_or_default())))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logical_lines() {
        let check = |input: &str, expect: &[&str]| {
            let got = lines(input.as_bytes()).unwrap();
            let got: Vec<&str> = got.lines.iter().map(Text::as_str).collect();
            assert_eq!(got, expect, "{input:?}");
        };
        check("", &[]);
        check("a\nb\n", &["a", "b"]);
        check("  a  \r\n\r\nb", &["a", "b"]);
        check("# no\n; no\n  # no\na # yes", &["a # yes"]);
        check("a \\\nb", &["a  b"]);
        check("a\\\n# hidden\n  b", &["a   b"]);
        check("a\\\n\nb", &["a b"]);
        check("a\\\r\nb", &["a b"]);
        check("a\\\\\nb", &["a\\\\", "b"]);
        check("a\\", &["a"]);
        check("\\", &[]);
        check("\u{feff}a", &["a"]);
    }

    #[test]
    fn places_survive_continuation() {
        let got = lines("\n  Key=one \\\n# note\n    two".as_bytes()).unwrap();
        let line = &got.lines[0];
        let check = |word: &str, line_no, column| {
            let at = line.as_str().find(word).unwrap();
            assert_eq!(line.place(at), Place { line: line_no, column }, "{word}");
        };
        check("Key", 2, 3);
        check("one", 2, 7);
        check("two", 4, 5);
    }

    #[test]
    fn not_text() {
        let check = |input: &[u8], expect: LexError| assert_eq!(lines(input), Err(expect));
        check(b"a\nb\0", LexError::Nul(Place { line: 2, column: 2 }));
        check(b"\xff", LexError::Encoding(Place { line: 1, column: 1 }));
        check(b"a\n\n\xc3\xa4\xff", LexError::Encoding(Place { line: 3, column: 2 }));
        check(&vec![b'a'; MAX_FILE + 1], LexError::TooLarge(MAX_FILE + 1));
    }

    #[test]
    fn stray_backslash() {
        let got = lines(b"a=b \\ \nc=d").unwrap();
        assert_eq!(got.stray_backslashes, [Place { line: 1, column: 5 }]);
    }
}
