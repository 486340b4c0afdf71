//! source: the project's files, and Rust text without its comments, strings and tests. Changes nothing.
use std::fs;
use std::path::{Path, PathBuf};

/// One file of the project.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Below the project's directory.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
    /// Comments and the insides of strings blanked, `#[cfg(test)]` items cut; the lines stay where they are.
    pub(crate) code: String,
}

impl Source {
    /// A source with this path and text.
    pub(crate) fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), code: without_tests(&blank(text)) }
    }

    /// Whether the file itself is a test.
    pub(crate) fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').collect();
        parts.contains(&"tests")
            || parts.contains(&"fuzz")
            || ["/tests.rs", "_samples.rs"].iter().any(|e| self.path.ends_with(e))
    }

    /// Lines of code that hold `word` as a word of its own, with their numbers.
    pub(crate) fn lines_with(&self, word: &str) -> Vec<(usize, &str)> {
        let lines = self.code.lines().enumerate();
        lines.filter(|(_, l)| holds(l, word)).map(|(i, l)| (i + 1, l.trim())).collect()
    }
}

/// Whether `word` is in the line with no letter, digit or `_` at its sides (where its own ends are such).
pub(crate) fn holds(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(i, _)| {
        let before = line.get(..i).and_then(|s| s.chars().next_back());
        let after = line.get(i + word.len()..).and_then(|s| s.chars().next());
        let open =
            |edge: Option<char>, side: Option<char>| !(edge.is_some_and(part) && side.is_some_and(part));
        open(word.chars().next(), before) && open(word.chars().next_back(), after)
    })
}

/// The project's directory.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the project")
}

/// Every `.rs` file of the project.
pub(crate) fn sources() -> Vec<Source> {
    files("rs").iter().map(|(path, text)| Source::new(path, text)).collect()
}

/// Every file with this ending, but for build results and what git has.
pub(crate) fn files(ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut look = vec![project().to_path_buf()];
    while let Some(dir) = look.pop() {
        for entry in fs::read_dir(&dir).expect("read a directory of the project").flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                if !name.starts_with('.') && name != "target" {
                    look.push(path);
                }
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push((below(&path), fs::read_to_string(&path).expect("a text file")));
            }
        }
    }
    found.sort();
    found
}

fn below(path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(project()).expect("below the project").into();
    path.to_string_lossy().into_owned()
}

/// Blanks comments and the insides of string literals.
fn blank(text: &str) -> String {
    let all: Vec<char> = text.chars().collect();
    let at = |i: usize| all.get(i).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    let hide = |c: char| if c == '\n' { '\n' } else { ' ' };
    while i < all.len() {
        let word_before = i > 0 && (at(i - 1).is_alphanumeric() || at(i - 1) == '_');
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => (i..all.len()).find(|&j| at(j) == '\n').unwrap_or(all.len()),
            ('/', '*') => {
                (i + 2..all.len()).find(|&j| at(j) == '*' && at(j + 1) == '/').map_or(all.len(), |j| j + 2)
            }
            ('r', '"' | '#') if !word_before || matches!(at(i - 1), 'b' | 'c') => raw_end(&all, i),
            ('"', _) => string_end(&all, i),
            ('\'', '\\') => (i + 3..all.len()).find(|&j| at(j) == '\'').map_or(all.len(), |j| j + 1),
            ('\'', _) if at(i + 2) == '\'' => i + 3,
            _ => i,
        };
        if end == i {
            out.push(at(i));
            i += 1;
        } else {
            let quote = at(i) == '"';
            for (n, &c) in all[i..end].iter().enumerate() {
                let edge = quote && (n == 0 || n + 1 == end - i);
                out.push(if edge { '"' } else { hide(c) });
            }
            i = end;
        }
    }
    out
}

fn string_end(all: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < all.len() {
        match all[i] {
            '\\' => i += 1,
            '"' => return i + 1,
            _ => {}
        }
        i += 1;
    }
    all.len()
}

/// The end of `r#"…"#`; the start itself where it is none (`r#type`).
fn raw_end(all: &[char], start: usize) -> usize {
    let hashes = all[start + 1..].iter().take_while(|c| **c == '#').count();
    if all.get(start + 1 + hashes) != Some(&'"') {
        return start;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = start + 2 + hashes;
    (body..all.len()).find(|&j| all[j..].starts_with(&close)).map_or(all.len(), |j| j + close.len())
}

/// Cuts every item behind `#[cfg(test)]` (blanked code only: braces in it are braces).
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(i) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..i]);
        let item = &rest[i..];
        let body = item.find('{').unwrap_or(item.len());
        let short = item.find(';').unwrap_or(item.len());
        let end = if short < body { short + 1 } else { matching(item, body) };
        out.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    out.push_str(rest);
    out
}

fn matching(item: &str, open: usize) -> usize {
    let mut depth = 0;
    for (i, c) in item.char_indices().skip_while(|(i, _)| *i < open) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    item.len()
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    let check =
        |text: &str, code: &str| assert_eq!(Source::new("a.rs", text).code.trim_end(), code, "{text}");
    check("a; // unsafe", "a;");
    check("a /* x */ b", "a         b");
    check("f(\"x // y\", 2)", "f(\"      \", 2)");
    check("f(r#\"a \" b\"#) c", "f(          ) c");
    check("let r#type = 1;", "let r#type = 1;");
    check("m('\"', '\\'', 'x') \"y\"", "m(   ,     ,    ) \" \"");
    check("&'a str", "&'a str");
    check("a\n#[cfg(test)]\nmod tests { fn x() { b } }\nc", "a\n\n\nc");
    check("#[cfg(test)]\nmod tests;\nc", "\n\nc");
}

#[test]
fn words_are_whole() {
    assert!(holds("use std::fs;", "std::fs"));
    assert!(!holds("use std::fstat;", "std::fs"));
    assert!(holds("x.unwrap()", ".unwrap()"));
    assert!(!holds("x.unwrap_or(1)", ".unwrap("));
    assert!(!holds("let punsafe = 1", "unsafe"));
}
