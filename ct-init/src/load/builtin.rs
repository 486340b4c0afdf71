//! builtin: the targets every unit file counts on, for containers that have no file for them. Touches nothing.
//!
//! They appear as the files of one more directory at the end of the search path: any real file wins.
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

/// What systemd does in sysinit.target and packages count on: a unit, and the target that wants it.
const TMPFILES: (&str, &str, &str) = (
    "ct-tmpfiles.service",
    "sysinit.target.wants",
    "[Unit]
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
);

/// A file system with the built-in targets laid over it.
#[derive(Debug)]
pub struct WithBuiltin<'a, F>(pub &'a F);

impl<F: Files> Files for WithBuiltin<'_, F> {
    fn look(&self, path: &str) -> Found {
        builtin(path).unwrap_or_else(|| self.0.look(path))
    }
    fn read(&self, path: &str) -> Found {
        match builtin(path) {
            Some(Found::Link(to)) if to.starts_with("../") => {
                self.read(&format!("{DIRECTORY}/{}", TMPFILES.0))
            }
            Some(Found::Link(to)) => self.read(&format!("{DIRECTORY}/{to}")),
            Some(found) => found,
            None => self.0.read(path),
        }
    }
}

fn builtin(path: &str) -> Option<Found> {
    let name = path.strip_prefix(DIRECTORY)?.trim_start_matches('/');
    if name.is_empty() {
        let targets = TARGETS.iter().map(|(n, _, _)| *n);
        let names = targets.chain(["default.target", TMPFILES.0, TMPFILES.1]);
        return Some(Found::Directory(names.map(str::to_owned).collect()));
    }
    if name == TMPFILES.0 {
        return Some(Found::File(TMPFILES.2.as_bytes().to_vec()));
    }
    if name == TMPFILES.1 {
        return Some(Found::Directory(vec![TMPFILES.0.to_owned()]));
    }
    if name.strip_prefix(TMPFILES.1).is_some_and(|rest| rest.trim_start_matches('/') == TMPFILES.0) {
        return Some(Found::Link(format!("../{}", TMPFILES.0)));
    }
    if name == "default.target" {
        return Some(Found::Link("multi-user.target".to_owned()));
    }
    let found = TARGETS.iter().find(|(n, _, _)| *n == name).map(|(_, description, lines)| {
        Found::File(format!("[Unit]\nDescription={description}\n{lines}\n").into_bytes())
    });
    Some(found.unwrap_or(Found::Missing))
}

/// Why a unit has no place in a container, where it has none: it is skipped, which is not a failure.
pub fn out_of_place(name: &str) -> Option<&'static str> {
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
        let files = WithBuiltin(&root);
        let default = files.read(&format!("{DIRECTORY}/default.target"));
        assert!(
            matches!(default, Found::File(b) if b.starts_with(b"[Unit]\nDescription=Multi-User System\n"))
        );
        assert_eq!(files.look(&format!("{DIRECTORY}/nginx.service")), Found::Missing);
        assert_eq!(files.look("/etc"), Found::Missing);
    }

    #[test]
    fn what_has_no_place_in_a_container() {
        let check = |name: &str, skipped: bool| assert_eq!(out_of_place(name).is_some(), skipped, "{name}");
        check("systemd-udevd.service", true);
        check("getty@tty1.service", true);
        check("tmp.mount", true);
        check("dbus.service", false);
        check("nginx.service", false);
        check("getty.target", false);
        check("user.service", false);
    }
}
