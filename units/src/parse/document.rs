//! parse: one file's bytes to sections and assignments. Knows no key and no value.
use super::lexer::{self, Place, Text};
use super::{Diagnostic, Diagnostics, Severity};
use std::fmt::Write;

/// A file, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// In order; the same name may come again.
    pub sections: Vec<Section>,
}

/// `[Name]` and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Without the brackets.
    pub name: String,
    /// Where its `[` stands.
    pub place: Place,
    /// In order.
    pub entries: Vec<Entry>,
}

/// `Key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Before the `=`.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// After the `=`, continuations joined.
    pub value: Text,
}

/// An assignment that a file can't hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a section, key or value with a line break (or a key with = or [) can't be written to a unit file")]
pub struct Unwritable;

impl Document {
    /// Makes `key` of a section have this value: its assignments there, if any, become this one.
    pub fn set(&mut self, section: &str, key: &str, value: &str) -> Result<(), Unwritable> {
        let line = |s: &str| s.chars().all(|c| !matches!(c, '\n' | '\r' | '\0'));
        let word = |s: &str| !s.is_empty() && s.trim() == s && !s.contains(['[', ']', '=', '#', ';', '\\']);
        if ![section, key, value].into_iter().all(line) || !word(section) || !word(key) {
            return Err(Unwritable);
        }
        for old in self.sections.iter_mut().filter(|s| s.name == section) {
            old.entries.retain(|e| e.key != key);
        }
        let entry = Entry { key: key.to_owned(), place: Place::default(), value: Text::from(value.trim()) };
        match self.sections.iter_mut().find(|s| s.name == section) {
            Some(section) => section.entries.push(entry),
            None => {
                let (name, place) = (section.to_owned(), Place::default());
                self.sections.push(Section { name, place, entries: vec![entry] });
            }
        }
        Ok(())
    }
    /// As a file that parses to the same sections and values; comments and line breaks are lost.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for section in &self.sections {
            let _ = writeln!(out, "[{}]", section.name);
            for entry in &section.entries {
                let line = format!("{}={}", entry.key, entry.value.as_str());
                // A space keeps a backslash at the end from joining the next line; it is trimmed again.
                let guard = if lexer::ends_open(&line) { " " } else { "" };
                let _ = writeln!(out, "{line}{guard}");
            }
        }
        out
    }
}

/// Reads a file. Lines that are no assignment are reported with severity `slip` and skipped.
pub fn parse(path: &str, bytes: &[u8], slip: Severity) -> (Document, Diagnostics) {
    let mut reader = Reader { path, slip, document: Document::default(), found: Diagnostics::default() };
    match lexer::lines(bytes) {
        Err(error) => reader.say(error.place(), Severity::Error, error.to_string()),
        Ok(lines) => {
            for place in lines.stray_backslashes {
                let text = "white space follows this backslash, so the next line is not joined (remove it)";
                reader.say(Some(place), Severity::Warning, text.to_owned());
            }
            let mut state = State::Before;
            for line in &lines.lines {
                state = reader.line(line, state);
            }
        }
    }
    (reader.document, reader.found)
}

/// Where assignments go.
enum State {
    /// No section yet.
    Before,
    /// Into the last section.
    Inside,
    /// Nowhere: the header above was broken and has been reported.
    Lost,
}

struct Reader<'a> {
    path: &'a str,
    slip: Severity,
    document: Document,
    found: Diagnostics,
}

impl Reader<'_> {
    fn line(&mut self, line: &Text, state: State) -> State {
        let text = line.as_str();
        let place = line.place(0);
        if let Some(rest) = text.strip_prefix('[') {
            return match rest.strip_suffix(']') {
                Some(name) if !name.is_empty() => {
                    self.document.sections.push(Section {
                        name: name.to_owned(),
                        place,
                        entries: Vec::new(),
                    });
                    State::Inside
                }
                Some(_) => self.slip(place, "a section needs a name (try [Unit])", State::Lost),
                None => self.slip(place, "a section header ends in ] and nothing follows it", State::Lost),
            };
        }
        let Some(equals) = text.find('=') else {
            return self.slip(place, "neither a [Section] nor Key=value", state);
        };
        let key = line.trimmed(0, equals);
        if key.as_str().is_empty() {
            return self.slip(place, "no key stands before the =", state);
        }
        let entry =
            Entry { key: key.as_str().to_owned(), place, value: line.trimmed(equals + 1, text.len()) };
        match (&state, self.document.sections.last_mut()) {
            (State::Inside, Some(section)) => section.entries.push(entry),
            (State::Lost, _) => {}
            (State::Before | State::Inside, _) => {
                return self.slip(place, "no section stands above this line (try [Unit])", state);
            }
        }
        state
    }
    fn slip(&mut self, place: Place, message: &str, then: State) -> State {
        self.say(Some(place), self.slip, message.to_owned());
        then
    }
    fn say(&mut self, place: Option<Place>, severity: Severity, message: String) {
        let Place { line, column } = place.unwrap_or_default();
        self.found.push(Diagnostic { path: self.path.to_owned(), line, column, severity, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(document: &Document) -> Vec<(String, Vec<(String, String)>)> {
        let entry = |e: &Entry| (e.key.clone(), e.value.as_str().to_owned());
        document.sections.iter().map(|s| (s.name.clone(), s.entries.iter().map(entry).collect())).collect()
    }

    #[test]
    fn documents() {
        let check = |input: &str, expect: &str, said: &[&str]| {
            let (document, found) = parse("a.service", input.as_bytes(), Severity::Warning);
            assert_eq!(document.render(), expect, "{input:?}");
            let found: Vec<String> = found.0.iter().map(ToString::to_string).collect();
            assert_eq!(found, said, "{input:?}");
        };
        check("[Unit]\nDescription = A  b \n", "[Unit]\nDescription=A  b\n", &[]);
        check("[A]\nk=\n[B]\n[A]\nk=x=y", "[A]\nk=\n[B]\n[A]\nk=x=y\n", &[]);
        check(
            "k=v\n[A]\n",
            "[A]\n",
            &["a.service:1:1: warning: no section stands above this line (try [Unit])"],
        );
        check(
            "[A]\n  junk\n=x\n",
            "[A]\n",
            &[
                "a.service:2:3: warning: neither a [Section] nor Key=value",
                "a.service:3:1: warning: no key stands before the =",
            ],
        );
        check(
            "[A\nk=v\nj=w\n[B]\nk=v",
            "[B]\nk=v\n",
            &["a.service:1:1: warning: a section header ends in ] and nothing follows it"],
        );
        check("[]", "", &["a.service:1:1: warning: a section needs a name (try [Unit])"]);
        check("[A]\nk=v\0", "", &["a.service:2:4: a NUL byte stands here; this is not a text file"]);
        check(
            "[A]\nk=v\\ \nj=w",
            "[A]\nk=v\\ \nj=w\n",
            &[
                "a.service:2:4: warning: white space follows this backslash, so the next line is not joined (remove it)",
            ],
        );
    }

    #[test]
    fn assignments_are_replaced() {
        let check = |before: &str, (section, key, value): (&str, &str, &str), expect: Option<&str>| {
            let (mut document, _) = parse("x", before.as_bytes(), Severity::Error);
            let got = document.set(section, key, value).ok().map(|()| document.render());
            assert_eq!(got.as_deref(), expect, "{before:?} {section} {key} {value:?}");
        };
        check("", ("A", "k", "v"), Some("[A]\nk=v\n"));
        check("[A]\nk=1\nj=2\n[A]\nk=3", ("A", "k", " v "), Some("[A]\nj=2\nk=v\n[A]\n"));
        check("[A]\nk=1", ("B", "k", ""), Some("[A]\nk=1\n[B]\nk=\n"));
        check("", ("A", "k", "v\nj=w"), None);
        check("", ("A", "k\nj", "v"), None);
        check("", ("A", "k=j", "v"), None);
        check("", ("A", "#k", "v"), None);
        check("", ("A]\n[B", "k", "v"), None);
        check("", ("", "k", "v"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let (document, _) = parse("x", &bytes, Severity::Warning);
            let _ = document.render();
        }
        #[test]
        fn rendered_documents_parse_to_the_same(
            text in "(\\[[A-Z]{0,2}\\]?|[a-c=\\\\# ;]{0,8}|[a-z]=[a-z \\\\\"';#=]{0,9}|\n|\\\\\n){0,24}",
        ) {
            let (document, _) = parse("x", text.as_bytes(), Severity::Warning);
            let (again, found) = parse("x", document.render().as_bytes(), Severity::Warning);
            prop_assert_eq!(plain(&document), plain(&again));
            prop_assert!(!found.has_errors());
        }
    }
}
