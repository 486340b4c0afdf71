//! parse: environment files and `Environment=` words to pairs. Reads no file and no environment.
use super::command::is_variable;

/// Pairs of an environment file, in order; later ones win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Name and value.
    pub pairs: Vec<(String, String)>,
    /// Line numbers, from 1, of lines that name no variable and were skipped.
    pub skipped: Vec<u32>,
}

/// `NAME=value` as one word has it.
pub fn pair(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=').filter(|(name, _)| is_variable(name))?;
    Some((name.to_owned(), value.to_owned()))
}

/// Reads an environment file by systemd.exec(5)'s rules: `#` and `;` begin comments, single quotes keep everything,
/// in double quotes a backslash escapes `" \ $` and a backquote, outside of quotes it escapes anything, at the end of
/// a line it joins the next. Bytes that are not UTF-8 become U+FFFD.
pub fn parse(bytes: &[u8]) -> Pairs {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = Reader { chars: text.chars().peekable(), line: 1 };
    let mut out = Pairs::default();
    while let Some(c) = rest.chars.peek().copied() {
        if c == '#' || c == ';' {
            rest.comment();
        } else if c.is_whitespace() {
            rest.next();
        } else {
            let line = rest.line;
            match rest.assignment() {
                Some((name, value)) if is_variable(&name) && !value.contains('\0') => {
                    out.pairs.push((name, value));
                }
                Some(_) | None => out.skipped.push(line),
            }
        }
    }
    out
}

struct Reader<I: Iterator<Item = char>> {
    chars: std::iter::Peekable<I>,
    line: u32,
}

impl<I: Iterator<Item = char>> Reader<I> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.line = self.line.saturating_add(u32::from(c == '\n'));
        Some(c)
    }
    fn comment(&mut self) {
        while let Some(c) = self.next() {
            match c {
                '\n' => break,
                '\\' => drop(self.next()),
                _ => {}
            }
        }
    }
    /// None where the line ends before a `=`.
    fn assignment(&mut self) -> Option<(String, String)> {
        let mut name = String::new();
        loop {
            match self.next()? {
                '\n' => return None,
                '=' => break,
                c => name.push(c),
            }
        }
        Some((name.trim_end().to_owned(), self.value()))
    }
    fn value(&mut self) -> String {
        let mut value = String::new();
        // How much of `value` stays when white space at the end is cut: quoted and escaped characters do.
        let mut kept = 0;
        // Quotes are quotes at the beginning and right after a quoted part; elsewhere they are characters.
        let mut may_quote = true;
        while let Some(c) = self.next() {
            match c {
                '\n' => break,
                '\'' if may_quote => self.single(&mut value, &mut kept),
                '"' if may_quote => self.double(&mut value, &mut kept),
                '\\' => {
                    may_quote = false;
                    if let Some(c) = self.next().filter(|c| *c != '\n') {
                        value.push(c);
                    }
                    kept = value.len();
                }
                c if c.is_whitespace() && may_quote => {}
                c => {
                    may_quote = false;
                    value.push(c);
                    if !c.is_whitespace() {
                        kept = value.len();
                    }
                }
            }
        }
        value.truncate(kept);
        value
    }
    fn single(&mut self, value: &mut String, kept: &mut usize) {
        while let Some(c) = self.next().filter(|c| *c != '\'') {
            value.push(c);
        }
        *kept = value.len();
    }
    fn double(&mut self, value: &mut String, kept: &mut usize) {
        while let Some(c) = self.next().filter(|c| *c != '"') {
            match c {
                '\\' => match self.next() {
                    Some(c @ ('"' | '\\' | '`' | '$')) => value.push(c),
                    Some('\n') | None => {}
                    Some(c) => value.extend(['\\', c]),
                },
                c => value.push(c),
            }
        }
        *kept = value.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files() {
        let check = |input: &str, expect: &[(&str, &str)], skipped: &[u32]| {
            let got = parse(input.as_bytes());
            let pairs: Vec<(&str, &str)> = got.pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!((pairs.as_slice(), got.skipped.as_slice()), (expect, skipped), "{input:?}");
        };
        check("", &[], &[]);
        check("A=1\nB=2", &[("A", "1"), ("B", "2")], &[]);
        check("# c\n ; c\n A = x  y \n", &[("A", "x  y")], &[]);
        check("A=\"x # y\" # z\n", &[("A", "x # y# z")], &[]);
        check("A='a\\nb'\n", &[("A", "a\\nb")], &[]);
        check("A=\"a\\\"b\\$c\\d\"\n", &[("A", "a\"b$c\\d")], &[]);
        check("A=\"two\nlines\"\nB=1", &[("A", "two\nlines"), ("B", "1")], &[]);
        check("A=one \\\ntwo\n", &[("A", "one two")], &[]);
        check("A=a\\ b\\ \n", &[("A", "a b ")], &[]);
        check("A=-x \"y z\"\n", &[("A", "-x \"y z\"")], &[]);
        check("OPTS=\"-l -j\"\n", &[("OPTS", "-l -j")], &[]);
        check("A=\nB=''\n", &[("A", ""), ("B", "")], &[]);
        check("export A=1\nno equals\nB=2\n", &[("B", "2")], &[1, 2]);
        check("A='open", &[("A", "open")], &[]);
        check("A=1\r\n", &[("A", "1")], &[]);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
