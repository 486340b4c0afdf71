//! parse: one assignment, as the setters of a key see it. Keeps nothing.
use crate::name::UnitName;
use crate::parse::Diagnostics;
use crate::parse::lexer::{Place, Text};
use crate::parse::specifier::{self, SpecifierError, Subject};
use crate::parse::words::{self, Escapes, Word, WordError};
use crate::values::ValueError;
use std::collections::HashSet;

/// A mistake in a value, at a byte offset of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub at: usize,
    pub why: String,
}

impl From<ValueError> for Wrong {
    fn from(error: ValueError) -> Wrong {
        Wrong { at: 0, why: error.to_string() }
    }
}

impl From<WordError> for Wrong {
    fn from(error: WordError) -> Wrong {
        Wrong { at: error.at(), why: error.to_string() }
    }
}

/// `Key=value` and whose it is.
pub(super) struct Line<'a> {
    pub key: &'a str,
    pub place: Place,
    pub value: &'a Text,
    pub subject: Subject<'a>,
    /// What is wrong but does not cost the whole assignment.
    pub notes: Vec<Wrong>,
}

impl<'a> Line<'a> {
    /// As written.
    pub fn raw(&self) -> &'a str {
        self.value.as_str()
    }
    /// An empty value resets.
    pub fn is_empty(&self) -> bool {
        self.raw().is_empty()
    }
    /// The value itself is wrong.
    pub fn wrong<T>(&self, expected: &'static str, hint: &'static str) -> Result<T, Wrong> {
        Err(ValueError::new(self.raw(), expected, hint).into())
    }
    /// Notes a mistake at `at` and goes on.
    pub fn note(&mut self, at: usize, why: impl ToString) {
        if self.notes.len() < Diagnostics::MAX {
            self.notes.push(Wrong { at, why: why.to_string() });
        }
    }
    /// Specifiers of a part of the value that begins at byte `at`.
    pub fn expand(&mut self, text: &str, at: usize) -> Result<String, Wrong> {
        let (text, errors) = specifier::expand(text, &self.subject);
        for error in &errors {
            let at = at + error.at();
            match error {
                // systemd keeps it as it stands.
                SpecifierError::Unknown { .. } => self.note(at, error),
                SpecifierError::Unavailable { .. } => return Err(Wrong { at, why: error.to_string() }),
            }
        }
        Ok(text)
    }
    /// The whole value, specifiers expanded.
    pub fn text(&mut self) -> Result<String, Wrong> {
        self.expand(self.raw(), 0)
    }
    /// The whole value as an absolute path.
    pub fn path(&mut self) -> Result<String, Wrong> {
        let path = self.text()?;
        absolute(&path, 0)
    }
    /// As above without the `-` in front; whether it was there.
    pub fn optional_path(&mut self) -> Result<(String, bool), Wrong> {
        let raw = self.raw();
        let path = raw.strip_prefix('-').unwrap_or(raw);
        let at = raw.len() - path.len();
        let path = self.expand(path, at)?;
        Ok((absolute(&path, at)?, at > 0))
    }
    /// The value's words, specifiers expanded after splitting.
    pub fn words(&mut self) -> Result<Vec<Word>, Wrong> {
        self.split(Escapes::Strict)
    }
    fn split(&mut self, escapes: Escapes) -> Result<Vec<Word>, Wrong> {
        let mut words = words::split(self.raw(), escapes)?;
        for word in &mut words {
            word.text = self.expand(&word.text, word.at)?;
        }
        Ok(words)
    }
    /// The value's words as unit names; what is none is noted and left out.
    pub fn names(&mut self) -> Result<Vec<UnitName>, Wrong> {
        let own = self.subject.name;
        let mut names = Vec::new();
        for word in self.split(Escapes::Retain)? {
            let parsed = match own.suffix() {
                "container" => UnitName::parse_short(&word.text, "container"),
                _ => UnitName::parse(&word.text),
            };
            // A template stands for the instance of our own name.
            let parsed = parsed.and_then(|name| match own.instance() {
                Some(instance) if name.is_template() && !instance.is_empty() => name.with_instance(instance),
                Some(_) | None => Ok(name),
            });
            match parsed {
                Ok(name) => names.push(name),
                // Of a template alone, `%i` is nothing yet.
                Err(_) if own.is_template() && self.raw().contains('%') => {}
                Err(error) => self.note(word.at, format!("{:?} is no unit name: {error}", word.text)),
            }
        }
        Ok(names)
    }
}

/// Checks an absolute path without `..`; slashes at its end are cut.
pub(super) fn absolute(path: &str, at: usize) -> Result<String, Wrong> {
    if !path.starts_with('/') {
        return Err(Wrong { at, why: ValueError::new(path, "an absolute path", "/srv/data").to_string() });
    }
    if path.split('/').any(|part| part == "..") {
        return Err(Wrong { at, why: format!("{path:?} has a .. in it (write the path without)") });
    }
    let short = path.trim_end_matches('/');
    Ok(if short.is_empty() { "/".to_owned() } else { short.to_owned() })
}

/// An empty value resets to `None`.
pub(super) fn put<T>(
    slot: &mut Option<T>,
    line: &Line<'_>,
    read: impl FnOnce(&str) -> Result<T, ValueError>,
) -> Result<(), Wrong> {
    *slot = if line.is_empty() { None } else { Some(read(line.raw())?) };
    Ok(())
}

/// An empty value resets to the default.
pub(super) fn set<T>(
    slot: &mut T,
    default: T,
    line: &Line<'_>,
    read: impl FnOnce(&str) -> Result<T, ValueError>,
) -> Result<(), Wrong> {
    *slot = if line.is_empty() { default } else { read(line.raw())? };
    Ok(())
}

/// A text with specifiers; an empty value resets.
pub(super) fn put_text(slot: &mut Option<String>, line: &mut Line<'_>) -> Result<(), Wrong> {
    *slot = if line.is_empty() { None } else { Some(line.text()?) };
    Ok(())
}

/// A path with specifiers; an empty value resets.
pub(super) fn put_path(slot: &mut Option<String>, line: &mut Line<'_>) -> Result<(), Wrong> {
    *slot = if line.is_empty() { None } else { Some(line.path()?) };
    Ok(())
}

/// Adds to a list; an empty value empties it.
pub(super) fn add<T>(list: &mut Vec<T>, line: &Line<'_>, more: Vec<T>) {
    if line.is_empty() {
        list.clear();
    }
    list.extend(more);
}

/// Adds words, specifiers expanded; an empty value empties the list.
pub(super) fn add_words(list: &mut Vec<String>, line: &mut Line<'_>) -> Result<(), Wrong> {
    let more = line.words()?.into_iter().map(|word| word.text).collect();
    add(list, line, more);
    Ok(())
}

/// Adds unit names; an empty value empties the list, a name that is there already is not added.
pub(super) fn add_names(list: &mut Vec<UnitName>, line: &mut Line<'_>) -> Result<(), Wrong> {
    let names = line.names()?;
    if line.is_empty() {
        list.clear();
    }
    let mut there: HashSet<UnitName> = list.iter().cloned().collect();
    list.extend(names.into_iter().filter(|name| there.insert(name.clone())));
    Ok(())
}

/// One word of a fixed choice.
pub(super) fn choice<T: Copy>(
    text: &str,
    choices: &[(&str, T)],
    expected: &'static str,
    hint: &'static str,
) -> Result<T, ValueError> {
    let found = choices.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| ValueError::new(text, expected, hint))
}

/// A whole number in a range.
pub(super) fn number<T: TryFrom<i64>>(
    text: &str,
    range: std::ops::RangeInclusive<i64>,
    expected: &'static str,
    hint: &'static str,
) -> Result<T, ValueError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let value = text.parse::<i64>().ok().filter(|n| plain && range.contains(n));
    value.and_then(|n| T::try_from(n).ok()).ok_or_else(|| ValueError::new(text, expected, hint))
}
