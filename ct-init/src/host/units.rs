//! units: what a host's PID 1 has as units without a file: each step of the boot that may wait, fail or take long.
//! Touches nothing. Any real file of the same name wins; a mask switches one off.

/// A unit, and the target that pulls it in.
pub(crate) struct Builtin {
    /// Its full name.
    pub(crate) name: &'static str,
    /// A target, or none: something else pulls it in.
    pub(crate) wanted_by: Option<&'static str>,
    /// `[Unit]` and what follows it.
    pub(crate) text: &'static str,
}

const fn unit(name: &'static str, wanted_by: Option<&'static str>, text: &'static str) -> Builtin {
    Builtin { name, wanted_by, text }
}

/// All of them. `/proc/1/exe` is ct-init, from whatever file it was started.
pub(crate) const UNITS: &[Builtin] = &[
    unit(
        "ct-modules.service",
        Some("sysinit.target"),
        "[Unit]
Description=Kernel modules of modules-load.d
Documentation=man:ct-host(7)
DefaultDependencies=no
Before=sysinit.target ct-devices.service systemd-udevd.service ct-sysctl.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=@/proc/1/exe ct-init modules
",
    ),
    unit(
        "ct-devices.service",
        Some("sysinit.target"),
        "[Unit]
Description=Drivers of the devices that are there
Documentation=man:ct-host(7)
DefaultDependencies=no
Before=sysinit.target
# A device manager does this and more.
ConditionFileIsExecutable=!/usr/lib/systemd/systemd-udevd
ConditionFileIsExecutable=!/sbin/udevd
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=@/proc/1/exe ct-init devices
",
    ),
    unit(
        "ct-sysctl.service",
        Some("sysinit.target"),
        "[Unit]
Description=Kernel settings of sysctl.d
Documentation=man:ct-host(7)
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=@/proc/1/exe ct-init sysctl
",
    ),
    unit(
        "ct-random-seed.service",
        Some("sysinit.target"),
        "[Unit]
Description=Random seed of the last boot
Documentation=man:ct-host(7)
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-@/proc/1/exe ct-init seed load
ExecStop=-@/proc/1/exe ct-init seed save
",
    ),
    unit(
        "ct-sysusers.service",
        Some("sysinit.target"),
        "[Unit]
Description=Accounts of packages
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target ct-tmpfiles.service
ConditionFileIsExecutable=/usr/bin/systemd-sysusers
ConditionPathIsReadWrite=/etc
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/usr/bin/systemd-sysusers
",
    ),
    unit(
        "ct-buttons.service",
        Some("multi-user.target"),
        "[Unit]
Description=Power button
Documentation=man:ct-host(7)
ConditionPathIsDirectory=/sys/class/input
# It does this and more.
ConditionFileIsExecutable=!/usr/sbin/acpid
[Service]
ExecStart=@/proc/1/exe ct-init buttons
Restart=on-failure
RestartSec=1
",
    ),
    unit(
        "rescue.service",
        None,
        "[Unit]
Description=Rescue shell
Documentation=man:ct-host(7)
DefaultDependencies=no
After=sysinit.target
Conflicts=shutdown.target
[Service]
Type=idle
ExecStart=@/proc/1/exe ct-init shell rescue
KillMode=process
SendSIGHUP=yes
",
    ),
    unit(
        "emergency.service",
        None,
        "[Unit]
Description=Emergency shell
Documentation=man:ct-host(7)
DefaultDependencies=no
Conflicts=shutdown.target
[Service]
ExecStart=@/proc/1/exe ct-init shell emergency
KillMode=process
SendSIGHUP=yes
",
    ),
    unit(
        "debug-shell.service",
        None,
        "[Unit]
Description=Shell of ct.debug
Documentation=man:ct-host(7)
DefaultDependencies=no
Conflicts=shutdown.target
[Service]
ExecStart=@/proc/1/exe ct-init shell debug
Restart=always
RestartSec=0
KillMode=process
SendSIGHUP=yes
",
    ),
    unit("getty@.service", None, GETTY),
    unit("serial-getty@.service", None, GETTY),
];

const GETTY: &str = "[Unit]
Description=Login on %I
Documentation=man:ct-host(7)
After=local-fs.target getty-pre.target
Before=getty.target
[Service]
Type=idle
ExecStart=-@/proc/1/exe ct-init getty %I
Restart=always
RestartSec=0
KillMode=process
SendSIGHUP=yes
IgnoreSIGPIPE=no
";

/// On a host these targets are more than a name: where the file systems can't be had, the boot can't go on.
pub(crate) const TARGETS: &[(&str, &str, &str)] = &[
    (
        "local-fs.target",
        "Local File Systems",
        "DefaultDependencies=no\nAfter=local-fs-pre.target\nOnFailure=emergency.target",
    ),
    (
        "emergency.target",
        "Emergency Mode",
        "DefaultDependencies=no\nRequires=emergency.service\nAfter=emergency.service",
    ),
    (
        "rescue.target",
        "Rescue Mode",
        "Requires=sysinit.target rescue.service\nAfter=sysinit.target rescue.service",
    ),
    (
        "multi-user.target",
        "Multi-User System",
        "Requires=basic.target\nWants=getty.target\nAfter=basic.target\nConflicts=rescue.target",
    ),
];

/// Why a unit has no place on a host whose PID 1 is ct-init, where it has none: it is skipped, which is not a failure.
pub(crate) fn out_of_place(name: &str) -> Option<&'static str> {
    const KINDS: &[(&str, &str)] = &[
        (".automount", "file systems are mounted at boot, not at their first use"),
        (".device", "devices are waited for by the mounts that need them"),
        (".slice", "ct-init has no slices"),
        (".scope", "ct-init has no scopes"),
    ];
    const OWN: &str = "it belongs to systemd, whose work ct-init does here";
    // udev is a program of its own, whoever runs it.
    const UDEV: [&str; 4] = [
        "systemd-udevd.service",
        "systemd-udev-trigger.service",
        "systemd-udev-settle.service",
        "systemd-hwdb-update.service",
    ];
    const HEADS: [&str; 7] = [
        "systemd-",
        "dbus-org.freedesktop.",
        "user@",
        "user-runtime-dir@",
        "initrd",
        "autovt@",
        "console-getty.",
    ];
    if UDEV.contains(&name) {
        return None;
    }
    let kind = KINDS.iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, why)| *why);
    kind.or_else(|| HEADS.iter().any(|head| name.starts_with(head)).then_some(OWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_place_on_a_host() {
        let check = |name: &str, skipped: bool| assert_eq!(out_of_place(name).is_some(), skipped, "{name}");
        check("systemd-udevd.service", false);
        check("systemd-udevd-kernel.socket", true);
        check("systemd-journald.service", true);
        check("getty@tty1.service", false);
        check("srv.mount", false);
        check("dev-vda.swap", false);
        check("dev-vda.device", true);
        check("ssh.service", false);
    }
}
