//! builtin: the targets every unit file counts on, for systems that have no file for them, and a host's own steps of
//! the boot. Touches nothing.
//!
//! They appear as the files of one more directory at the end of the search path: any real file wins.
use crate::host::units::Builtin;
use crate::host::{self, Level};
use units::catalog::{Files, Found};

/// The directory that only exists here.
pub const DIRECTORY: &str = "/.ct-init/builtin";

/// Name, description, and lines of `[Unit]`.
const TARGETS: &[(&str, &str, &str)] = &[
    (
        "basic.target",
        "Basic System",
        "Requires=sysinit.target\nWants=sockets.target timers.target paths.target\nAfter=sysinit.target sockets.target paths.target",
    ),
    ("emergency.target", "Emergency Mode", ""),
    ("final.target", "Late Shutdown Services", "DefaultDependencies=no"),
    ("getty.target", "Login Prompts", ""),
    ("graphical.target", "Graphical Interface", "Requires=multi-user.target\nAfter=multi-user.target"),
    ("local-fs.target", "Local File Systems", "DefaultDependencies=no"),
    ("local-fs-pre.target", "Preparation for Local File Systems", "DefaultDependencies=no"),
    (
        "multi-user.target",
        "Multi-User System",
        "Requires=basic.target\nAfter=basic.target\nConflicts=rescue.target",
    ),
    ("network.target", "Network", ""),
    ("network-online.target", "Network is Online", "After=network.target"),
    ("network-pre.target", "Preparation for Network", ""),
    ("nss-lookup.target", "Host and Network Name Lookups", ""),
    ("nss-user-lookup.target", "User and Group Name Lookups", ""),
    ("paths.target", "Path Units", ""),
    ("remote-fs.target", "Remote File Systems", "DefaultDependencies=no"),
    ("remote-fs-pre.target", "Preparation for Remote File Systems", "DefaultDependencies=no"),
    ("rescue.target", "Rescue Mode", "Requires=sysinit.target\nAfter=sysinit.target"),
    ("rpcbind.target", "RPC Port Mapper", ""),
    ("shutdown.target", "System Shutdown", "DefaultDependencies=no"),
    ("slices.target", "Slice Units", "DefaultDependencies=no"),
    ("sockets.target", "Socket Units", ""),
    ("swap.target", "Swaps", "DefaultDependencies=no"),
    (
        "sysinit.target",
        "System Initialization",
        "DefaultDependencies=no\nWants=local-fs.target swap.target\nAfter=local-fs.target swap.target",
    ),
    ("time-set.target", "System Time Set", ""),
    ("time-sync.target", "System Time Synchronized", ""),
    ("timers.target", "Timer Units", ""),
    ("umount.target", "Unmount All Filesystems", "DefaultDependencies=no"),
];

/// What systemd does in sysinit.target and packages count on.
const TMPFILES: Builtin = Builtin {
    name: "ct-tmpfiles.service",
    wanted_by: Some("sysinit.target"),
    text: "[Unit]
Description=Files and directories of packages
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target
ConditionFileIsExecutable=/usr/bin/systemd-tmpfiles
[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=30
ExecStart=-/usr/bin/systemd-tmpfiles --create --remove --boot --exclude-prefix=/dev
",
};

/// A file system with the built-in units of a level laid over it.
#[derive(Debug)]
pub struct WithBuiltin<'a, F>(pub &'a F, pub Level);

impl<F: Files> Files for WithBuiltin<'_, F> {
    fn look(&self, path: &str) -> Found {
        builtin(path, self.1).unwrap_or_else(|| self.0.look(path))
    }
    fn read(&self, path: &str) -> Found {
        match builtin(path, self.1) {
            Some(Found::Link(to)) => self.read(&format!("{DIRECTORY}/{}", to.trim_start_matches("../"))),
            Some(found) => found,
            None => self.0.read(path),
        }
    }
}

/// Services: name, who wants it, text.
fn services(level: Level) -> impl Iterator<Item = &'static Builtin> {
    let of_hosts: &[Builtin] = match level {
        Level::Container => &[],
        Level::Host => host::units::UNITS,
    };
    std::iter::once(&TMPFILES).chain(of_hosts)
}

/// Targets; a host's own come first.
fn targets(level: Level) -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    let of_hosts: &[_] = match level {
        Level::Container => &[],
        Level::Host => host::units::TARGETS,
    };
    of_hosts.iter().chain(TARGETS)
}

fn builtin(path: &str, level: Level) -> Option<Found> {
    let name = path.strip_prefix(DIRECTORY)?.trim_start_matches('/');
    let found = match name.split_once('/') {
        None if name.is_empty() => Found::Directory(listing(level)),
        None => file(name, level),
        Some((directory, member)) => match members(directory, level).any(|m| m.name == member) {
            true => Found::Link(format!("../{member}")),
            false => Found::Missing,
        },
    };
    Some(found)
}

fn listing(level: Level) -> Vec<String> {
    let directories = services(level).filter_map(|s| s.wanted_by).map(|target| format!("{target}.wants"));
    let names = targets(level).map(|(name, _, _)| *name).chain(services(level).map(|s| s.name));
    let mut all: Vec<String> =
        names.chain(["default.target"]).map(str::to_owned).chain(directories).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What a directory `X.wants` holds.
fn members(directory: &str, level: Level) -> impl Iterator<Item = &'static Builtin> {
    let target = directory.strip_suffix(".wants");
    services(level).filter(move |s| s.wanted_by.is_some() && s.wanted_by == target)
}

fn file(name: &str, level: Level) -> Found {
    if name == "default.target" {
        return Found::Link("multi-user.target".to_owned());
    }
    if let Some(service) = services(level).find(|s| s.name == name) {
        return Found::File(service.text.as_bytes().to_vec());
    }
    if let Some((_, description, lines)) = targets(level).find(|(n, _, _)| *n == name) {
        return Found::File(format!("[Unit]\nDescription={description}\n{lines}\n").into_bytes());
    }
    let inside: Vec<String> = members(name, level).map(|m| m.name.to_owned()).collect();
    if inside.is_empty() { Found::Missing } else { Found::Directory(inside) }
}

/// Why a unit has no place where this PID 1 is, where it has none: it is skipped, which is not a failure.
pub fn out_of_place(name: &str, level: Level) -> Option<&'static str> {
    match level {
        Level::Container => out_of_containers(name),
        Level::Host => host::units::out_of_place(name),
    }
}

fn out_of_containers(name: &str) -> Option<&'static str> {
    const KINDS: &[(&str, &str)] = &[
        (".mount", "the host mounts a container's file systems"),
        (".automount", "the host mounts a container's file systems"),
        (".swap", "swap belongs to the host"),
        (".device", "devices belong to the host"),
        (".slice", "a container has no slices"),
        (".scope", "a container has no scopes"),
    ];
    const OWN: &str = "it belongs to systemd, whose work ct-init does here";
    const CONSOLE: &str = "a container has no such terminal";
    const KERNEL: &str = "kernel modules and quotas belong to the host";
    const HEADS: &[(&str, &str)] = &[
        ("systemd-", OWN),
        ("dbus-org.freedesktop.", OWN),
        ("user@", OWN),
        ("user-runtime-dir@", OWN),
        ("initrd", OWN),
        ("debug-shell.", CONSOLE),
        ("rescue.service", CONSOLE),
        ("emergency.service", CONSOLE),
        ("getty@", CONSOLE),
        ("serial-getty@", CONSOLE),
        ("container-getty@", CONSOLE),
        ("console-getty.", CONSOLE),
        ("autovt@", CONSOLE),
        ("modprobe@", KERNEL),
        ("kmod", KERNEL),
        ("quotaon", KERNEL),
        ("e2scrub", KERNEL),
        ("fstrim.", KERNEL),
        ("ldconfig.service", OWN),
    ];
    let kind = KINDS.iter().find(|(suffix, _)| name.ends_with(suffix));
    kind.or_else(|| HEADS.iter().find(|(head, _)| name.starts_with(head))).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::Root;

    #[test]
    fn builtin_targets_are_files_of_a_directory_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let files = WithBuiltin(&root, Level::Container);
        let default = files.read(&format!("{DIRECTORY}/default.target"));
        assert!(
            matches!(default, Found::File(b) if b.starts_with(b"[Unit]\nDescription=Multi-User System\n"))
        );
        assert_eq!(files.look(&format!("{DIRECTORY}/nginx.service")), Found::Missing);
        assert_eq!(files.look("/etc"), Found::Missing);
        assert_eq!(files.look(&format!("{DIRECTORY}/ct-modules.service")), Found::Missing);
    }

    #[test]
    fn a_hosts_steps_are_wanted_by_their_targets_and_all_its_units_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let files = WithBuiltin(&root, Level::Host);
        let wants = format!("{DIRECTORY}/sysinit.target.wants");
        let Found::Directory(names) = files.look(&wants) else { panic!("no {wants}") };
        for name in ["ct-tmpfiles.service", "ct-modules.service", "ct-sysctl.service"] {
            assert!(names.iter().any(|n| n == name), "{names:?}");
            assert!(matches!(files.read(&format!("{wants}/{name}")), Found::File(_)), "{name}");
        }
        let loader = crate::load::Loader::new(&root, Level::Host);
        let Found::Directory(all) = files.look(DIRECTORY) else { panic!("no list") };
        let all = all.iter().filter(|n| !n.ends_with(".wants"));
        let names: Vec<_> =
            all.map(|n| units::UnitName::parse(&n.replace("@.", "@tty1.")).unwrap()).collect();
        let haul = loader.load(&names, &Default::default());
        assert_eq!(haul.notices, [""; 0]);
        assert_eq!(haul.absent.keys().map(units::UnitName::as_str).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn what_has_no_place_in_a_container() {
        let check =
            |name: &str, skipped: bool| assert_eq!(out_of_containers(name).is_some(), skipped, "{name}");
        check("systemd-udevd.service", true);
        check("getty@tty1.service", true);
        check("tmp.mount", true);
        check("dbus.service", false);
        check("nginx.service", false);
        check("getty.target", false);
        check("user.service", false);
    }
}
