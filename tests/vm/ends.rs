//! ends: a host is shut down whatever does not want to end, and its console says what that is.
use crate::can;
use std::time::Duration;
use tests::vm::{Config, Down, Machine};

fn unit(name: &str, lines: &str) -> String {
    let text = lines.replace('\n', "\\n");
    format!("printf '{text}\\n' > /run/systemd/system/{name} && ct-init start {name}")
}

#[test]
fn what_holds_up_the_end_is_named_and_the_host_ends_all_the_same() {
    if !can("what_holds_up_the_end_is_named_and_the_host_ends_all_the_same") {
        return;
    }
    let limit = Duration::from_secs(300);
    let machine = Machine::boot(&Config { limit, ..Config::default() });
    machine.console_has("up, unit: host-supervisor.service");
    // A file system of a server that never answers: it takes the kernel's first word, reads the next, and is silent.
    let silent = "modprobe fuse; mkdir -p /mnt/silent; exec 3<>/dev/fuse; \
        mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 silent /mnt/silent; \
        dd bs=65536 count=1 status=none <&3 >/dev/null; \
        { printf \"\\\\120\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\\\\2\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\"; \
        printf \"\\\\7\\\\0\\\\0\\\\0\\\\37\\\\0\\\\0\\\\0\"; head -c 56 /dev/zero; } | dd bs=80 count=1 iflag=fullblock status=none >&3; \
        echo serves; dd bs=65536 count=1 status=none <&3 >/dev/null; echo silent now; exec sleep 1000000";
    machine.run(&format!("cat > /srv/silent <<'END'\n{silent}\nEND\nchmod 755 /srv/silent")).ok();
    machine.run(&unit("silent.service", "[Service]\nExecStart=/bin/sh /srv/silent")).ok();
    machine.run_bg("ct-init logs -f silent").until("serves");
    // Stopped before its server is, and not even SIGKILL ends it.
    let stuck = "[Unit]\nAfter=silent.service\n[Service]\nExecStart=/bin/ls /mnt/silent\nTimeoutStopSec=3";
    machine.run(&unit("stuck.service", stuck)).ok();
    machine.run_bg("ct-init logs -f silent").until("silent now");
    let deaf = "[Service]\nExecStart=/bin/sh -c \"trap : TERM; echo deaf; while :; do sleep 1000; done\"\nTimeoutStopSec=8\nKillMode=mixed";
    machine.run(&unit("deaf.service", deaf)).ok();
    machine.run_bg("ct-init logs -f deaf").until("deaf.service: deaf");
    // A container with a service that does not hear either, and a deadline of its own.
    let inside = "mkdir -p /etc/ct/system; cat > /etc/ct/deaf.container <<'END'\n[Container]\nTemplate=host\n\
        TimeoutStopSec=7\n[Resources]\nCPUQuota=5%\nEND\nct start deaf && ct exec deaf -- sh -c 'mkdir -p /etc/ct/system; \
        printf \"[Service]\\nExecStart=/bin/sh -c \\\"trap : TERM; echo deaf; while :; do sleep 1000; done\\\"\\n\" \
        > /etc/ct/system/d.service' && ct start deaf/d.service";
    machine.run(inside).ok();
    machine.run_bg("ct-init poweroff");
    machine.console_has("stops all units, why: PowerOff");
    machine.console_has("the end waits for, unit: deaf.service (stop-sigterm): process");
    machine.console_has("stuck.service");
    let down = machine.down();
    let said = machine.console.text();
    assert_eq!(down, Down::Off, "{said}");
    assert!(said.contains("container deaf: process") && said.contains("(ct-init), state"), "{said}");
    // By pid, name, state and what it waits for in the kernel.
    let named = said.lines().find(|l| l.contains("the end waits for, unit: stuck.service")).unwrap_or(&said);
    assert!(named.contains("(ls), state D") && named.contains(", in "), "{said}");
    // Stopped in reverse order: the container before its supervisor, that before what it is after.
    let at = |part: &str| said.find(part).unwrap_or_else(|| panic!("no {part}: {said}"));
    assert!(at("down, unit: ct-containers.service") < at("down, unit: host-supervisor.service"));
    assert!(at("did not stop in time, unit: deaf.service") < at("down, unit: sysinit.target"), "{said}");
}

#[test]
fn the_hosts_deadline_ends_what_has_none_of_its_own() {
    if !can("the_hosts_deadline_ends_what_has_none_of_its_own") {
        return;
    }
    let machine = Machine::boot(&Config { memory: 512, reboots: true, ..Config::default() });
    machine.run("mkdir -p /etc/ct && printf '[Manager]\\nShutdownTimeoutSec=7\\n' > /etc/ct/init.conf").ok();
    machine.console_has("login:");
    machine.run_bg("reboot");
    machine.booted(2);
    let endless = "[Service]\nExecStart=/bin/sh -c \"trap : TERM; echo deaf; while :; do sleep 1000; done\"\nTimeoutStopSec=infinity\nKillMode=mixed";
    machine.run(&unit("endless.service", endless)).ok();
    machine.run_bg("ct-init logs -f endless").until("endless.service: deaf");
    // The kernel has no other kernel loaded: the nearest to kexec is a reboot.
    machine.run_bg("ct-init kexec");
    machine.console_has("does not stop in time, and is killed, unit: endless.service");
    machine.qmp.until("RESET");
    machine.booted(3);
    // The root was let go of cleanly: nothing to mend.
    assert!(machine.run("ct-init logs ct-root -n 50").ok().contains("root: clean"));
    assert!(!machine.run("dmesg").ok().contains("recovery"));
}
