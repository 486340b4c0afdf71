//! sysctl: writes the settings of sysctl.d to /proc/sys. One that fails keeps no other from being written.
use super::{VerbError, configured, lines};
use crate::root::Root;

const DIRECTORIES: [&str; 4] =
    ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"];

/// One line: where it goes, what is written, whether it may fail (`-`).
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    pattern: String,
    value: String,
    optional: bool,
}

/// Applies all, /etc/sysctl.conf last.
pub(super) fn apply_all() -> Result<(), VerbError> {
    let root = Root::new("/");
    let mut all = configured(&root, &DIRECTORIES);
    all.extend(lines(&root, "/etc/sysctl.conf"));
    let total = all.len();
    let failed = all.iter().filter(|(place, line)| !apply(&root, place, line)).count();
    if failed == 0 { Ok(()) } else { Err(VerbError::Some(failed, total)) }
}

fn apply(root: &Root, place: &str, line: &str) -> bool {
    let Some(setting) = parse(line) else {
        eprintln!("{place}: {line:?} is not a setting (net.ipv4.ip_forward = 1)");
        return false;
    };
    let mut paths = crate::load::glob::expand(root, &format!("/proc/sys/{}", setting.pattern));
    paths.retain(|path| root.exists(path));
    if paths.is_empty() && !setting.optional {
        eprintln!("{place}: this kernel has no setting {}", setting.pattern.replace('/', "."));
        return false;
    }
    let mut good = true;
    for path in paths {
        if let Err(e) = std::fs::write(root.join(&path), &setting.value)
            && !setting.optional
        {
            eprintln!("{place}: write {:?} to {path}: {e}", setting.value);
            good = false;
        }
    }
    good
}

/// `a.b.c = value`; `a/b.c` where a name holds dots. A leading `-` lets it fail.
fn parse(line: &str) -> Option<Setting> {
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let (key, optional) = key.strip_prefix('-').map_or((key, false), |k| (k, true));
    // The first separator says which one it is, as sysctl(8) reads it.
    let pattern = match key.find(['.', '/']).and_then(|at| key.get(at..=at)) {
        Some(".") => key
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        Some(_) | None => key.to_owned(),
    };
    let fine = !pattern.is_empty()
        && !pattern.starts_with('/')
        && !pattern.split('/').any(|p| p == ".." || p.is_empty());
    fine.then(|| Setting { pattern, value: value.to_owned(), optional })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings() {
        let check = |line: &str, expect: Option<(&str, &str, bool)>| {
            let expect =
                expect.map(|(p, v, optional)| Setting { pattern: p.into(), value: v.into(), optional });
            assert_eq!(parse(line), expect, "{line}");
        };
        check("net.ipv4.ip_forward = 1", Some(("net/ipv4/ip_forward", "1", false)));
        check("net/ipv4/conf/eth0.5/rp_filter=2", Some(("net/ipv4/conf/eth0.5/rp_filter", "2", false)));
        check("net.ipv4.conf.eth0/5.rp_filter=2", Some(("net/ipv4/conf/eth0.5/rp_filter", "2", false)));
        check("-kernel.x=", Some(("kernel/x", "", true)));
        check("net.ipv4.conf.*.rp_filter = 1", Some(("net/ipv4/conf/*/rp_filter", "1", false)));
        check(
            "kernel.core_pattern = |/usr/bin/x %p = y",
            Some(("kernel/core_pattern", "|/usr/bin/x %p = y", false)),
        );
        check("kernel.x", None);
        check("/kernel/x = 1", None);
        check("kernel/../../etc/passwd = 1", None);
        check("= 1", None);
    }
}
