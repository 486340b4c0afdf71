//! name: what a command acts on, `web` or `web/nginx.service`, checked; and globs over names. Touches nothing.
use serde::{Deserialize, Serialize};
use std::fmt;
use units::UnitName;

/// A container's name: 1 to 64 letters, digits and `-_.@`, the first one a letter or a digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

/// A container, or a unit inside one. Written `web` and `web/nginx.service`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    /// The container.
    pub container: ContainerName,
    /// The unit inside; none: the container as a whole.
    pub unit: Option<UnitName>,
}

/// Why a string names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The container's part.
    #[error("{0:?} is not a container's name (1 to 64 letters, digits and -_.@, a letter or digit first)")]
    Container(String),
    /// The unit's part.
    #[error("{0:?} is not a unit's name: {1}")]
    Unit(String, units::name::NameError),
}

impl ContainerName {
    /// Checks and takes a name; `web.container` is `web`.
    pub fn parse(s: &str) -> Result<ContainerName, TargetError> {
        let name = s.strip_suffix(".container").unwrap_or(s);
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if first && name.len() <= 64 && name.chars().all(good) {
            Ok(ContainerName(name.to_owned()))
        } else {
            Err(TargetError::Container(s.to_owned()))
        }
    }
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Target {
    /// The container itself.
    pub fn container(name: ContainerName) -> Target {
        Target { container: name, unit: None }
    }
    /// Checks and takes `NAME` or `NAME/UNIT`; a unit without suffix is a service.
    pub fn parse(s: &str) -> Result<Target, TargetError> {
        let Some((name, unit)) = s.split_once('/') else {
            return ContainerName::parse(s).map(Target::container);
        };
        let container = ContainerName::parse(name)?;
        let unit =
            UnitName::parse_short(unit, "service").map_err(|e| TargetError::Unit(unit.to_owned(), e))?;
        Ok(Target { container, unit: Some(unit) })
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unit {
            None => write!(f, "{}", self.container),
            Some(unit) => write!(f, "{}/{unit}", self.container),
        }
    }
}
impl TryFrom<String> for ContainerName {
    type Error = TargetError;
    fn try_from(s: String) -> Result<Self, TargetError> {
        ContainerName::parse(&s)
    }
}
impl From<ContainerName> for String {
    fn from(n: ContainerName) -> String {
        n.0
    }
}
impl TryFrom<String> for Target {
    type Error = TargetError;
    fn try_from(s: String) -> Result<Self, TargetError> {
        Target::parse(&s)
    }
}
impl From<Target> for String {
    fn from(t: Target) -> String {
        t.to_string()
    }
}

/// Whether a word is a pattern rather than a name.
pub fn is_glob(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

/// Whether `name` matches a shell pattern of `*`, `?` and `[a-z]`, `[!a-z]`. Linear in practice, never exponential.
pub fn glob(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&'*') {
            star = Some((p + 1, n));
            p += 1;
            continue;
        }
        let Some(&c) = name.get(n) else { return p == pattern.len() };
        match one(pattern.get(p..).unwrap_or_default(), c) {
            Some(used) => (p, n) = (p + used, n + 1),
            None => match star {
                Some((after, at)) => {
                    star = Some((after, at + 1));
                    (p, n) = (after, at + 1);
                }
                None => return false,
            },
        }
    }
}

/// How many pattern characters the match of one character takes; none: it does not match.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['[', rest @ ..] => {
            let (negated, set) = match rest {
                ['!' | '^', set @ ..] => (true, set),
                set => (false, set),
            };
            let Some(end) = set.iter().position(|&x| x == ']') else { return (c == '[').then_some(1) };
            let set = set.get(..end)?;
            let inside =
                set.windows(3).any(|w| matches!(w, [a, '-', b] if *a <= c && c <= *b)) || set.contains(&c);
            (inside != negated).then_some(end + 2 + usize::from(negated))
        }
        [x, ..] if *x == c => Some(1),
        [_, ..] | [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_as_people_type_them() {
        let check = |typed: &str, expect: Option<&str>| {
            assert_eq!(Target::parse(typed).ok().map(|t| t.to_string()).as_deref(), expect, "{typed}");
        };
        check("web", Some("web"));
        check("web.container", Some("web"));
        check("web@1", Some("web@1"));
        check("web/nginx", Some("web/nginx.service"));
        check("web/multi-user.target", Some("web/multi-user.target"));
        check("web/getty@tty1", Some("web/getty@tty1.service"));
        check("", None);
        check(".", None);
        check("..", None);
        check("-web", None);
        check("web/", None);
        check("web/a/b", None);
        check("web/../x", None);
        check("a b", None);
        check("web\n", None);
        check("wéb", None);
        check(&"x".repeat(64), Some(&"x".repeat(64)));
        check(&"x".repeat(65), None);
    }

    #[test]
    fn globs() {
        let check = |pattern: &str, name: &str, expect: bool| {
            assert_eq!(glob(pattern, name), expect, "{pattern} {name}");
        };
        check("*", "web", true);
        check("*", "", true);
        check("web*", "web", true);
        check("web*", "web12", true);
        check("w?b", "web", true);
        check("w?b", "wb", false);
        check("*b*", "web", true);
        check("*x*", "web", false);
        check("web[0-9]", "web7", true);
        check("web[0-9]", "webx", false);
        check("web[!0-9]", "webx", true);
        check("web[!0-9]", "web1", false);
        check("web[abc]", "webb", true);
        check("web[", "web[", true);
        check("", "", true);
        check("", "a", false);
        check(&"*a".repeat(40), &"a".repeat(39), false);
    }
}
