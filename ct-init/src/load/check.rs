//! check: whether a unit's conditions and asserts are met here. Only reads.
use crate::host::Level;
use crate::passwd::Accounts;
use crate::root::Root;
use rustix::fs::FileType;
use units::schema::{Check, CheckKind};

/// The first line that keeps the unit from starting, as the user wrote it; none if all are met.
///
/// All plain lines have to be met, and one of those marked `|` if there are any.
pub fn unmet(checks: &[Check], root: &Root, prefix: &str, level: Level) -> Option<String> {
    let name = |c: &Check| {
        let bang = if c.negate { "!" } else { "" };
        format!("{prefix}{:?}={bang}{}", c.kind, c.value)
    };
    if let Some(check) = checks.iter().filter(|c| !c.trigger).find(|c| !is_met(c, root, level)) {
        return Some(name(check));
    }
    let mut triggers = checks.iter().filter(|c| c.trigger).peekable();
    let first = triggers.peek().map(|c| name(c))?;
    (!triggers.any(|c| is_met(c, root, level))).then_some(first)
}

fn is_met(check: &Check, root: &Root, level: Level) -> bool {
    // Not looked at here: taken as met, whatever the sign.
    if check.kind == CheckKind::Other {
        return true;
    }
    look(check.kind, &check.value, root, level) != check.negate
}

fn look(kind: CheckKind, value: &str, root: &Root, level: Level) -> bool {
    let file_type = |path: &str| root.stat(path).map(|s| FileType::from_raw_mode(s.st_mode));
    match kind {
        CheckKind::PathExists => root.exists(value),
        CheckKind::PathExistsGlob => crate::load::glob::any(root, value),
        CheckKind::PathIsDirectory => file_type(value) == Some(FileType::Directory),
        CheckKind::PathIsSymbolicLink => {
            std::fs::symlink_metadata(root.join(value)).is_ok_and(|m| m.is_symlink())
        }
        CheckKind::PathIsMountPoint => is_mount_point(root, value),
        CheckKind::PathIsReadWrite => root.exists(value) && is_writable(root, value),
        CheckKind::DirectoryNotEmpty => root.list(value).is_ok_and(|names| !names.is_empty()),
        CheckKind::FileNotEmpty => root
            .stat(value)
            .is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile && s.st_size > 0),
        CheckKind::FileIsExecutable => root.stat(value).is_some_and(|s| {
            FileType::from_raw_mode(s.st_mode) == FileType::RegularFile && s.st_mode & 0o111 != 0
        }),
        // ct-init runs as root and starts system services.
        CheckKind::User => matches!(value, "root" | "0" | "@system"),
        CheckKind::Group => Accounts::read(root).and_then(|a| a.group(value)).is_ok_and(|gid| gid == 0),
        CheckKind::Host => {
            rustix::system::uname().nodename().to_string_lossy().eq_ignore_ascii_case(value)
                || text(root, "/etc/machine-id").trim() == value
        }
        CheckKind::KernelCommandLine => text(root, "/proc/cmdline").split_whitespace().any(|word| {
            word == value || (!value.contains('=') && word.split_once('=').is_some_and(|(k, _)| k == value))
        }),
        CheckKind::KernelVersion => {
            kernel_version(&rustix::system::uname().release().to_string_lossy(), value)
        }
        CheckKind::Environment => match value.split_once('=') {
            Some((key, wanted)) => std::env::var(key).is_ok_and(|v| v == wanted),
            None => std::env::var_os(value).is_some(),
        },
        CheckKind::Architecture => {
            let machine = rustix::system::uname();
            value == "native" || architecture(&machine.machine().to_string_lossy()) == value
        }
        CheckKind::Virtualization => match level {
            Level::Container => matches!(value, "yes" | "true" | "1" | "on" | "container" | "ct"),
            Level::Host => is_virtual(root, value),
        },
        // No security module is the container's own.
        CheckKind::Security => false,
        CheckKind::Capability => {
            let name = value.to_ascii_uppercase();
            name.parse().is_ok_and(|cap| caps::has_cap(None, caps::CapSet::Bounding, cap).unwrap_or(false))
        }
        CheckKind::AcPower => matches!(value, "yes" | "true" | "1" | "on"),
        CheckKind::NeedsUpdate => false,
        CheckKind::FirstBoot => matches!(value, "no" | "false" | "0" | "off"),
        CheckKind::CPUs => std::thread::available_parallelism().is_ok_and(|n| compare(n.get() as u64, value)),
        CheckKind::Memory => compare(rustix::system::sysinfo().totalram, value),
        CheckKind::ControlGroupController => match value {
            "v2" => true,
            "v1" => false,
            names => {
                let all = text(root, "/sys/fs/cgroup/cgroup.controllers");
                names.split_whitespace().all(|n| all.split_whitespace().any(|have| have == n))
            }
        },
        CheckKind::Other => true,
    }
}

/// Whether a host is a virtual machine, of the named kind if one is named.
fn is_virtual(root: &Root, value: &str) -> bool {
    let is_vm = text(root, "/proc/cpuinfo")
        .lines()
        .any(|l| l.starts_with("flags") && l.split_whitespace().any(|flag| flag == "hypervisor"));
    let maker = text(root, "/sys/class/dmi/id/sys_vendor").to_ascii_lowercase();
    match value {
        "yes" | "true" | "1" | "on" | "vm" => is_vm,
        "no" | "false" | "0" | "off" => !is_vm,
        "container" => false,
        // QEMU's is the maker of machines that KVM runs as well.
        "kvm" | "qemu" => is_vm && maker.contains("qemu"),
        other => is_vm && maker.contains(other),
    }
}

fn text(root: &Root, path: &str) -> String {
    root.read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
}

fn is_mount_point(root: &Root, path: &str) -> bool {
    let parent = format!("{}/..", path.trim_end_matches('/'));
    match (root.stat(path), root.stat(&parent)) {
        (Some(a), Some(b)) => a.st_dev != b.st_dev || a.st_ino == b.st_ino,
        (_, _) => false,
    }
}

fn is_writable(root: &Root, path: &str) -> bool {
    rustix::fs::statvfs(root.join(path))
        .is_ok_and(|s| !s.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// systemd's names for what uname calls the machine.
pub(super) fn architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "x86-64",
        "i386" | "i486" | "i586" | "i686" => "x86",
        "aarch64" => "arm64",
        "armv7l" | "armv6l" => "arm",
        "ppc64le" => "ppc64-le",
        other => other,
    }
}

fn split_operator(text: &str) -> (&str, &str) {
    let text = text.trim();
    for operator in ["<=", ">=", "!=", "<>", "==", "<", ">", "="] {
        if let Some(rest) = text.strip_prefix(operator) {
            return (operator, rest.trim());
        }
    }
    ("", text)
}

fn holds(order: std::cmp::Ordering, operator: &str) -> bool {
    match operator {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" | "" => order.is_ge(),
        "!=" | "<>" => order.is_ne(),
        _ => order.is_eq(),
    }
}

/// `>= 4`; a bare number means at least. Sizes may have K, M, G, T.
fn compare(have: u64, wanted: &str) -> bool {
    let (operator, number) = split_operator(wanted);
    let (digits, shift) = match number.char_indices().last() {
        Some((at, 'K')) => (number.get(..at), 10),
        Some((at, 'M')) => (number.get(..at), 20),
        Some((at, 'G')) => (number.get(..at), 30),
        Some((at, 'T')) => (number.get(..at), 40),
        Some(_) | None => (Some(number), 0),
    };
    let wanted = digits.and_then(|d| d.parse::<u64>().ok()).and_then(|n| n.checked_mul(1 << shift));
    wanted.is_some_and(|wanted| holds(have.cmp(&wanted), operator))
}

fn kernel_version(have: &str, wanted: &str) -> bool {
    let numbers = |v: &str| -> Vec<u32> {
        v.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok()).collect()
    };
    wanted.split_whitespace().all(|part| {
        let (operator, version) = split_operator(part);
        match operator {
            "" => crate::load::glob::matches(version, have),
            operator => holds(numbers(have).cmp(&numbers(version)), operator),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_versions() {
        let check = |met: bool, expect: bool, what: &str| assert_eq!(met, expect, "{what}");
        for (have, wanted, expect) in
            [(4, "4", true), (4, ">4", false), (4, "<= 4", true), (4, "x", false), (1 << 30, ">=1G", true)]
        {
            check(compare(have, wanted), expect, wanted);
        }
        for (wanted, expect) in [
            (">=5.4", true),
            ("<5", false),
            (">6.1 <7", true),
            ("6.1*", true),
            ("5.*", false),
            ("=6.1.9", false),
        ] {
            check(kernel_version("6.1.10-generic", wanted), expect, wanted);
        }
    }

    #[test]
    fn lines_together() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/full"), "x").unwrap();
        std::fs::write(dir.path().join("etc/empty"), "").unwrap();
        let root = Root::new(dir.path());
        let line = |text: &str, kind| {
            let (trigger, text) = text.strip_prefix('|').map_or((false, text), |t| (true, t));
            let (negate, value) = text.strip_prefix('!').map_or((false, text), |t| (true, t));
            Check { kind, negate, trigger, value: value.to_owned() }
        };
        let check = |lines: &[(&str, CheckKind)], expect: Option<&str>| {
            let checks: Vec<Check> = lines.iter().map(|(text, kind)| line(text, *kind)).collect();
            assert_eq!(unmet(&checks, &root, "Condition", Level::Container).as_deref(), expect);
        };
        use CheckKind::{
            DirectoryNotEmpty, FileNotEmpty, Other, PathExists, PathExistsGlob, PathIsDirectory,
        };
        check(&[], None);
        check(&[("/etc/full", PathExists)], None);
        check(&[("/etc/none", PathExists)], Some("ConditionPathExists=/etc/none"));
        check(&[("!/etc/full", PathExists)], Some("ConditionPathExists=!/etc/full"));
        check(&[("/etc/empty", FileNotEmpty)], Some("ConditionFileNotEmpty=/etc/empty"));
        check(&[("/etc", PathIsDirectory), ("/etc", DirectoryNotEmpty)], None);
        check(&[("/etc/f*", PathExistsGlob)], None);
        check(&[("|/etc/none", PathExists), ("|/etc/full", PathExists)], None);
        check(&[("|/etc/none", PathExists), ("|!/etc", PathExists)], Some("ConditionPathExists=/etc/none"));
        check(&[("/etc/full", PathExists), ("|/no", PathExists)], Some("ConditionPathExists=/no"));
        check(&[("!whatever", Other)], None);
    }
}
