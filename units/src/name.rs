//! name: unit names, `name@instance.suffix`, checked. Touches nothing.
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A unit's full name with its suffix. Always valid; see [`UnitName::parse`]. Copies share their text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(Arc<str>);

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
        Ok(UnitName(s.into()))
    }
    /// As people type it: without a known suffix, `.default` is added (`nginx` is `nginx.service`).
    pub fn parse_short(s: &str, default: &str) -> Result<UnitName, NameError> {
        match UnitName::parse(s) {
            Err(NameError::Suffix) => UnitName::parse(&format!("{s}.{default}")),
            other => other,
        }
    }
    /// `default.target`.
    pub fn default_target() -> UnitName {
        UnitName("default.target".into())
    }
    /// A name for a unit that may have none of its own: characters that can't stand in one become `_`, and what is too
    /// long is cut. `suffix` is one of [`SUFFIXES`].
    pub fn lossy(stem: &str, suffix: &str) -> UnitName {
        let good = |c: char| if c.is_ascii_alphanumeric() || ":-_.\\@".contains(c) { c } else { '_' };
        let stem: String = stem.chars().map(good).take(200).collect();
        let stem = if stem.is_empty() || stem.starts_with('@') { format!("_{stem}") } else { stem };
        UnitName(format!("{stem}.{suffix}").into())
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
        self.instance().map(|_| UnitName(format!("{}@.{}", self.prefix(), self.suffix()).into()))
    }
    /// `getty@tty1.service` of `getty@.service` and `tty1`; an error if that is no name.
    pub fn with_instance(&self, instance: &str) -> Result<UnitName, NameError> {
        UnitName::parse(&format!("{}@{instance}.{}", self.prefix(), self.suffix()))
    }
    /// Whether it is a template itself (`getty@.service`).
    pub fn is_template(&self) -> bool {
        self.instance() == Some("")
    }
}

/// What an escaped part of a name stands for: `-` is `/`, `\xHH` a byte. Bytes that are not UTF-8 become U+FFFD.
pub fn unescape(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some(c) = rest.chars().next() {
        let (head, tail) = rest.split_at(c.len_utf8());
        let hex = tail.strip_prefix('x').and_then(|t| t.get(..2)).filter(|_| c == '\\');
        let byte = hex.and_then(|h| u8::from_str_radix(h, 16).ok());
        match (byte, c) {
            (Some(byte), _) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
                continue;
            }
            (None, '-') => bytes.push(b'/'),
            (None, _) => bytes.extend(head.bytes()),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// As [`unescape`], as an absolute path: `home-me` is `/home/me`, `-` is `/`.
pub fn unescape_path(part: &str) -> String {
    format!("/{}", unescape(part).trim_start_matches('/'))
}

/// Escapes any text to a part of a name: `/` is `-`, what can't stand there `\xHH`.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'/' => out.push('-'),
            b'.' if i == 0 => out.push_str("\\x2e"),
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b':' | b'_' | b'.' => out.push(char::from(b)),
            _ => out.push_str(&format!("\\x{b:02x}")),
        }
    }
    out
}

/// As [`escape`], of an absolute path: `/srv/data` is `srv-data`, `/` is `-`.
pub fn escape_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    if parts.is_empty() { "-".to_owned() } else { escape(&parts.join("/")) }
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
        n.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names() {
        let check = |s: &str, expect: Result<&str, NameError>| {
            assert_eq!(UnitName::parse(s).map(String::from), expect.map(str::to_owned), "{s:?}");
        };
        check("nginx.service", Ok("nginx.service"));
        check("a@b.service", Ok("a@b.service"));
        check("a@.service", Ok("a@.service"));
        check("x\\x2dy.mount", Ok("x\\x2dy.mount"));
        check("", Err(NameError::Length));
        check("nginx", Err(NameError::Suffix));
        check("nginx.conf", Err(NameError::Suffix));
        check(".service", Err(NameError::Empty));
        check("@b.service", Err(NameError::Empty));
        check("a/b.service", Err(NameError::Character('/')));
        check("ä.service", Err(NameError::Character('ä')));
    }

    #[test]
    fn parts() {
        let check = |s: &str, expect: (&str, Option<&str>, Option<&str>)| {
            let name = UnitName::parse(s).unwrap();
            let template = name.template();
            assert_eq!((name.prefix(), name.instance(), template.as_ref().map(UnitName::as_str)), expect);
        };
        check("a.service", ("a", None, None));
        check("a@b.service", ("a", Some("b"), Some("a@.service")));
        check("a@.service", ("a", Some(""), Some("a@.service")));
        check("a@b@c.service", ("a", Some("b@c"), Some("a@.service")));
        check("a.b.service", ("a.b", None, None));
    }

    #[test]
    fn escapes() {
        let check = |part: &str, expect: &str| assert_eq!(unescape(part), expect, "{part:?}");
        check("a-b", "a/b");
        check("a\\x2db", "a-b");
        check("\\xzz", "\\xzz");
        check("\\x", "\\x");
        check("\\xff", "\u{fffd}");
        assert_eq!(unescape_path("home-me"), "/home/me");
        assert_eq!(unescape_path("-"), "/");
    }

    proptest! {
        #[test]
        fn escaping_is_undone(text in "\\PC{0,20}") {
            prop_assert_eq!(unescape(&escape(&text)), text);
        }
    }

    #[test]
    fn a_path_becomes_a_name() {
        for (path, name) in
            [("/", "-"), ("/srv/data/", "srv-data"), ("/a-b//c", r"a\x2db-c"), ("/.x", r"\x2ex")]
        {
            assert_eq!(escape_path(path), name);
            assert_eq!(unescape_path(name), format!("/{}", path.replace("//", "/").trim_matches('/')));
        }
    }
}
