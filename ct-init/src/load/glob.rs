//! glob: file name patterns with `*`, `?`, `[…]` and `{a,b}`. Never follows a pattern out of the root.
use crate::root::Root;

/// The paths that match, sorted; the pattern itself where it is none, or matches nothing.
pub fn expand(root: &Root, pattern: &str) -> Vec<String> {
    if !pattern.contains(['*', '?', '[']) {
        return vec![pattern.to_owned()];
    }
    let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    let mut found = Vec::new();
    below(root, String::new(), &parts, &mut |path| {
        found.push(path.to_owned());
        false
    });
    found
}

/// Whether any path matches the pattern (absolute, inside the root).
pub fn any(root: &Root, pattern: &str) -> bool {
    braces(pattern).iter().any(|p| {
        let parts: Vec<&str> = p.split('/').filter(|part| !part.is_empty()).collect();
        below(root, String::new(), &parts, &mut |_| true)
    })
}

/// Hands on each path that matches, until `stop` says that it is enough.
fn below(root: &Root, at: String, parts: &[&str], stop: &mut dyn FnMut(&str) -> bool) -> bool {
    let Some((first, rest)) = parts.split_first() else {
        let path = if at.is_empty() { "/" } else { &at };
        return root.exists(path) && stop(path);
    };
    if !first.contains(['*', '?', '[']) {
        return below(root, format!("{at}/{first}"), rest, stop);
    }
    let here = if at.is_empty() { "/" } else { &at };
    root.list(here).unwrap_or_default().iter().any(|name| {
        (!name.starts_with('.') || first.starts_with('.'))
            && matches(first, name)
            && below(root, format!("{at}/{name}"), rest, stop)
    })
}

/// `a{b,c}d` to `abd`, `acd`; at most 64 of them, braces don't nest.
fn braces(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(text) = open.pop() {
        let parts = text.split_once('{').and_then(|(a, b)| Some((a, b.split_once('}')?)));
        match parts {
            Some((head, (choices, tail))) if open.len() + done.len() < 64 => {
                open.extend(choices.split(',').map(|c| format!("{head}{c}{tail}")));
            }
            Some(_) | None => done.push(text),
        }
    }
    done
}

/// Whether one name matches a pattern without braces.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => set(&pattern, p, name.get(n).copied()),
            Some(c) => (Some(c) == name.get(n)).then_some(p + 1),
            None => None,
        };
        match (step, star) {
            (Some(next), _) => (p, n) = (next, n + 1),
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern.iter().skip(p).all(|&c| c == '*')
}

/// A `[…]` at `at`: where it ends if `c` is in it.
fn set(pattern: &[char], at: usize, c: Option<char>) -> Option<usize> {
    let c = c?;
    let mut i = at + 1;
    let negated = matches!(pattern.get(i), Some('!' | '^'));
    i += usize::from(negated);
    let first = i;
    let mut found = false;
    loop {
        let low = *pattern.get(i)?;
        if low == ']' && i > first {
            return (found != negated).then_some(i + 1);
        }
        match (pattern.get(i + 1), pattern.get(i + 2)) {
            (Some('-'), Some(&high)) if high != ']' => {
                found |= low <= c && c <= high;
                i += 3;
            }
            (_, _) => {
                found |= low == c;
                i += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (pattern, name, expect) in [
            ("*", "a", true),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("*.conf", "x.conf", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[a", "a", false),
            ("**a**", "bab", true),
            ("a", "b", false),
        ] {
            assert_eq!(matches(pattern, name), expect, "{pattern} {name}");
        }
    }

    #[test]
    fn paths() {
        let dir = tempfile::tempdir().unwrap();
        for d in ["etc/openvpn", "etc/x"] {
            std::fs::create_dir_all(dir.path().join(d)).unwrap();
        }
        for f in ["etc/openvpn/a.conf", "etc/x/.hidden"] {
            std::fs::write(dir.path().join(f), "").unwrap();
        }
        let root = Root::new(dir.path());
        for (pattern, expect) in [
            ("/etc/openvpn/*.conf", true),
            ("/etc/*/a.conf", true),
            ("/etc/{nothing,openvpn}/a.{ovpn,conf}", true),
            ("/etc/{a,b}/a.conf", false),
            ("/etc/x/*", false),
            ("/etc/x/.h*", true),
            ("/", true),
            ("/etc/{unclosed", false),
        ] {
            assert_eq!(any(&root, pattern), expect, "{pattern}");
        }
    }

    #[test]
    fn many_braces_do_not_explode() {
        assert!(braces(&"{a,b}".repeat(40)).len() <= 128);
    }
}
