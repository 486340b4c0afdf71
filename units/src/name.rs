//! name: unit names, `name@instance.suffix`, checked. Touches nothing.
use serde::{Deserialize, Serialize};
use std::fmt;

/// A unit's full name with its suffix. Always valid; see [`UnitName::parse`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(String);

/// Why a string is not a unit name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than 255 bytes, or empty.
    #[error("a unit name has 1 to 255 characters")]
    Length,
    /// systemd.unit(5): letters, digits and `:-_.\` and one `@`.
    #[error("{0:?} can't stand in a unit name (letters, digits and :-_.\\@ can)")]
    Character(char),
    /// No `.service`, `.container` …
    #[error("a unit name ends in a known suffix (.service, .target, .container …)")]
    Suffix,
    /// Nothing before the suffix.
    #[error("nothing stands before the suffix")]
    Empty,
}

/// The suffixes this program reads.
pub const SUFFIXES: [&str; 12] = [
    "service",
    "target",
    "container",
    "socket",
    "timer",
    "path",
    "mount",
    "automount",
    "swap",
    "device",
    "slice",
    "scope",
];

impl UnitName {
    /// Checks and takes a full name.
    pub fn parse(s: &str) -> Result<UnitName, NameError> {
        if s.is_empty() || s.len() > 255 {
            return Err(NameError::Length);
        }
        if let Some(c) = s.chars().find(|&c| !(c.is_ascii_alphanumeric() || ":-_.\\@".contains(c))) {
            return Err(NameError::Character(c));
        }
        let (stem, suffix) = s.rsplit_once('.').ok_or(NameError::Suffix)?;
        if !SUFFIXES.contains(&suffix) {
            return Err(NameError::Suffix);
        }
        if stem.is_empty() || stem.starts_with('@') {
            return Err(NameError::Empty);
        }
        Ok(UnitName(s.to_owned()))
    }
    /// As people type it: without a known suffix, `.default` is added (`nginx` is `nginx.service`).
    pub fn parse_short(s: &str, default: &str) -> Result<UnitName, NameError> {
        match UnitName::parse(s) {
            Err(NameError::Suffix) => UnitName::parse(&format!("{s}.{default}")),
            other => other,
        }
    }
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// `service`, `container` …
    pub fn suffix(&self) -> &str {
        self.0.rsplit_once('.').map_or("", |(_, s)| s)
    }
    /// Without the suffix: `getty@tty1`.
    pub fn stem(&self) -> &str {
        self.0.rsplit_once('.').map_or(&self.0, |(s, _)| s)
    }
    /// Before the `@`: `getty`; the stem where there is none.
    pub fn prefix(&self) -> &str {
        self.stem().split_once('@').map_or(self.stem(), |(p, _)| p)
    }
    /// After the `@`: `tty1`; empty for a template, none for a plain unit.
    pub fn instance(&self) -> Option<&str> {
        self.stem().split_once('@').map(|(_, i)| i)
    }
    /// `getty@.service` of `getty@tty1.service`; none for a plain unit.
    pub fn template(&self) -> Option<UnitName> {
        self.instance().map(|_| UnitName(format!("{}@.{}", self.prefix(), self.suffix())))
    }
    /// Whether it is a template itself (`getty@.service`).
    pub fn is_template(&self) -> bool {
        self.instance() == Some("")
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for UnitName {
    type Error = NameError;
    fn try_from(s: String) -> Result<Self, NameError> {
        UnitName::parse(&s)
    }
}
impl From<UnitName> for String {
    fn from(n: UnitName) -> String {
        n.0
    }
}
