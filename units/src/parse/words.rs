//! parse: one line to words: white space splits, quotes hold together, backslashes escape. Expands nothing.
use std::iter::Peekable;
use std::str::CharIndices;

/// A word and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Unquoted and unescaped.
    pub text: String,
    /// Byte offset in what was split.
    pub at: usize,
    /// Byte offset behind it.
    pub end: usize,
}

/// What is wrong with a line's quoting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// No closing quote.
    #[error("the {quote} that opens here is never closed")]
    Unclosed {
        /// Which kind.
        quote: char,
        /// Byte offset.
        at: usize,
    },
    /// A backslash and something that systemd.syntax(7) does not list.
    #[error("{text:?} is no escape (a literal backslash is written \\\\)")]
    Escape {
        /// Backslash and what follows.
        text: String,
        /// Byte offset.
        at: usize,
    },
}

impl WordError {
    /// Byte offset of the mistake.
    pub fn at(&self) -> usize {
        match self {
            WordError::Unclosed { at, .. } | WordError::Escape { at, .. } => *at,
        }
    }
}

/// How strict splitting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escapes {
    /// As on command lines: a wrong escape or an open quote is an error.
    Strict,
    /// As in the values of variables: what is wrong is taken as it stands.
    Relaxed,
    /// As in lists of units: a backslash is part of an escaped name and stays (`srv-a\\x20b.mount`).
    Retain,
}

/// Splits a whole line.
pub fn split(line: &str, escapes: Escapes) -> Result<Vec<Word>, WordError> {
    let mut rest = Splitter::new(line, escapes);
    let mut words = Vec::new();
    while let Some(word) = rest.next_word()? {
        words.push(word);
    }
    Ok(words)
}

/// Takes one word after the other off a line.
pub struct Splitter<'a> {
    line: &'a str,
    chars: Peekable<CharIndices<'a>>,
    escapes: Escapes,
}

impl<'a> Splitter<'a> {
    /// Stands at the beginning of `line`.
    pub fn new(line: &'a str, escapes: Escapes) -> Splitter<'a> {
        Splitter { line, chars: line.char_indices().peekable(), escapes }
    }
    /// What is left, white space in front skipped, without taking it.
    pub fn rest(&mut self) -> &'a str {
        while self.chars.next_if(|(_, c)| c.is_ascii_whitespace()).is_some() {}
        let at = self.offset();
        self.line.get(at..).unwrap_or_default()
    }
    /// Skips `n` characters.
    pub fn skip(&mut self, n: usize) {
        for _ in 0..n {
            self.chars.next();
        }
    }
    /// Where it stands.
    pub fn offset(&mut self) -> usize {
        self.chars.peek().map_or(self.line.len(), |(i, _)| *i)
    }
    /// The next word; none at the end of the line.
    pub fn next_word(&mut self) -> Result<Option<Word>, WordError> {
        if self.rest().is_empty() {
            return Ok(None);
        }
        let at = self.offset();
        let mut text = String::new();
        let mut quote: Option<(char, usize)> = None;
        while let Some((i, c)) = self.chars.next() {
            match quote {
                Some((open, _)) if c == open => quote = None,
                None if c == '"' || c == '\'' => quote = Some((c, i)),
                None if c.is_ascii_whitespace() => return Ok(Some(Word { text, at, end: i })),
                Some(_) | None if c == '\\' && self.escapes != Escapes::Retain => {
                    self.escape(i, &mut text)?
                }
                Some(_) | None => text.push(c),
            }
        }
        match quote {
            Some((quote, at)) if self.escapes != Escapes::Relaxed => Err(WordError::Unclosed { quote, at }),
            Some(_) | None => Ok(Some(Word { text, at, end: self.line.len() })),
        }
    }
    fn escape(&mut self, at: usize, text: &mut String) -> Result<(), WordError> {
        let begin = self.chars.clone();
        if let Some(c) = self.escaped() {
            text.push(c);
            return Ok(());
        }
        self.chars = begin;
        if self.escapes == Escapes::Relaxed {
            text.push('\\');
            return Ok(());
        }
        let text = self.line.get(at..).unwrap_or_default().chars().take(2).collect();
        Err(WordError::Escape { text, at })
    }
    /// What stands behind a backslash: `\a \b \f \n \r \t \v \\ \" \' \s \xHH \NNN \uXXXX \UXXXXXXXX`.
    fn escaped(&mut self) -> Option<char> {
        let (_, c) = self.chars.next()?;
        Some(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            's' => ' ',
            '\\' | '"' | '\'' => c,
            // Bytes past 127 would need a byte string; words are text, so they stand for that code point.
            'x' => self.number(0, 16, 2)?,
            'u' => self.number(0, 16, 4)?,
            'U' => self.number(0, 16, 8)?,
            '0'..='3' => self.number(c.to_digit(8)?, 8, 2)?,
            _ => return None,
        })
    }
    fn number(&mut self, first: u32, radix: u32, count: usize) -> Option<char> {
        let mut value = first;
        for _ in 0..count {
            let digit = self.chars.next()?.1.to_digit(radix)?;
            value = value.checked_mul(radix)?.checked_add(digit)?;
        }
        char::from_u32(value).filter(|c| *c != '\0')
    }
}

/// Writes a word so that splitting gives it back: in double quotes where it needs them.
pub fn quote(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'\\;".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut out = String::from('"');
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(line: &str, escapes: Escapes) -> Result<Vec<String>, WordError> {
        Ok(split(line, escapes)?.into_iter().map(|w| w.text).collect())
    }

    #[test]
    fn words() {
        let check = |line: &str, expect: &[&str]| {
            assert_eq!(texts(line, Escapes::Strict).unwrap(), expect, "{line:?}");
        };
        check("", &[]);
        check("  ", &[]);
        check("a b\tc", &["a", "b", "c"]);
        check(r#""a b" c"#, &["a b", "c"]);
        check("'a b'c", &["a bc"]);
        check(r#"a"b c"d"#, &["ab cd"]);
        check(r#""" ''"#, &["", ""]);
        check(r#"'a"b' "c'd""#, &["a\"b", "c'd"]);
        check(r"a\sb \x41\102 \u00e4\U0001F600", &["a b", "AB", "ä😀"]);
        check(r#"\a\b\f\n\r\t\v\\\"\'"#, &["\u{7}\u{8}\u{c}\n\r\t\u{b}\\\"'"]);
        check("%n $X ${Y}", &["%n", "$X", "${Y}"]);
    }

    #[test]
    fn mistakes() {
        let check = |line: &str, expect: &str, at: usize| {
            let error = split(line, Escapes::Strict).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.at()), (expect, at), "{line:?}");
        };
        check("a 'b", "the ' that opens here is never closed", 2);
        check("a \"b", "the \" that opens here is never closed", 2);
        check(r"a \q", r#""\\q" is no escape (a literal backslash is written \\)"#, 2);
        check(r"\x4", r#""\\x" is no escape (a literal backslash is written \\)"#, 0);
        check(r"\000", r#""\\0" is no escape (a literal backslash is written \\)"#, 0);
        assert_eq!(texts(r"a \q 'b", Escapes::Relaxed).unwrap(), ["a", r"\q", "b"]);
    }

    proptest! {
        #[test]
        fn quoted_words_split_to_themselves(words in proptest::collection::vec("[^\0]{0,8}", 0..5)) {
            let line = words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(texts(&line, Escapes::Strict), Ok(words));
        }
        #[test]
        fn splitting_never_panics(line in "[ab\\\\x0u'\" ;$ä]{0,30}") {
            let _ = split(&line, Escapes::Strict);
            prop_assert!(split(&line, Escapes::Relaxed).is_ok());
        }
    }
}
