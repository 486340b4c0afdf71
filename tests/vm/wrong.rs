//! wrong: what is configured wrongly is said on the console, with its place, and the machine comes to a prompt or to its
//! units all the same.
use crate::can;
use std::time::Duration;
use tests::vm::{Config, Machine};

/// One machine, booted again after each change: what is written to its root stays as long as it runs.
fn machine(test: &str) -> Option<Machine> {
    can(test).then(|| {
        let limit = Duration::from_secs(420);
        let machine = Machine::boot(&Config { reboots: true, memory: 512, limit, ..Config::default() });
        machine.console_has("login:");
        machine
    })
}

/// sulogin asks for no password where root has none.
fn open_shell(machine: &Machine) {
    machine.console_has("Press Enter for maintenance");
    machine.console_has("(or press Control-D to continue):");
    machine.console.types("\n");
    machine.console_has("root@");
}

/// Changes something by a shell line, boots again and waits for the agent.
fn again(machine: &Machine, line: &str) {
    machine.run(line).ok();
    let boots = machine.boots();
    machine.run_bg("reboot");
    machine.booted(boots + 1);
}

#[test]
fn mistakes_in_files_are_said_with_their_place_and_the_boot_goes_on() {
    let Some(machine) = machine("mistakes_in_files_are_said_with_their_place_and_the_boot_goes_on") else {
        return;
    };
    let unit = |name: &str, after: &str| {
        format!(
            "printf '[Unit]\\nAfter={after}\\n[Service]\\nType=oneshot\\nExecStart=/bin/true\\n' \
             > /etc/ct/system/{name}; ln -s ../{name} /etc/ct/system/multi-user.target.wants/"
        )
    };
    let lines = [
        "mkdir -p /etc/ct/system/multi-user.target.wants".to_owned(),
        "echo 'junk' >> /etc/fstab".to_owned(),
        "echo '/dev/vdx /srv/x ext4 nofail,x-systemd.device-timeout=1s 0 2' >> /etc/fstab".to_owned(),
        "echo 'tmpfs /srv/t tmpfs size=1m 0 0' >> /etc/fstab".to_owned(),
        "printf '[Manager]\\nBootAttempt=3\\n' > /etc/ct/init.conf".to_owned(),
        "echo 'no.such.setting = 1' > /etc/sysctl.d/wrong.conf".to_owned(),
        // Units that wait for each other, and a supervisor that is not there.
        unit("a.service", "b.service"),
        unit("b.service", "a.service"),
        "mv /usr/sbin/host-supervisor /usr/sbin/away".to_owned(),
    ];
    again(&machine, &lines.join(" && "));
    for said in [
        "/etc/fstab:2: \"junk\" is no line of fstab",
        "init.conf:2:1: warning: BootAttempt: unknown key in [Manager] (did you mean BootAttempts?)",
        "a.service",
        "can't be executed, why: execute /usr/sbin/host-supervisor: No such file or directory",
    ] {
        machine.console_has(said);
    }
    // The cut circle leaves both units, and all of it is over.
    machine.console.until_times("up, unit: multi-user.target", 2);
    let log = "ct-init logs -n 500";
    for (said, line) in [
        ("device /dev/vdx did not appear within 1 s", log),
        ("this kernel has no setting no.such.setting", log),
        ("/srv/t tmpfs", "cat /proc/mounts"),
        ("a.service", "ct-init list"),
    ] {
        let text = machine.run(line).ok();
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn a_missing_disk_ends_in_a_shell_from_which_the_boot_goes_on() {
    let Some(machine) = machine("a_missing_disk_ends_in_a_shell_from_which_the_boot_goes_on") else { return };
    machine
        .run("cp /etc/fstab /etc/fstab.good; echo '/dev/vdx /srv/x ext4 x-systemd.device-timeout=1s 0 2' >> /etc/fstab")
        .ok();
    let boots = machine.boots();
    machine.run_bg("reboot");
    machine.console_has("goes to, unit: emergency.target");
    machine.console_has("The boot can't go on");
    open_shell(&machine);
    machine.console.types("cp /etc/fstab.good /etc/fstab\n");
    machine.console.types("exit\n");
    machine.console_has("goes on with the boot");
    machine.booted(boots + 1);
    machine.console.until_times("up, unit: multi-user.target", 2);
}

#[test]
fn a_host_that_did_not_come_up_again_and_again_goes_to_its_fallback() {
    let Some(machine) = machine("a_host_that_did_not_come_up_again_and_again_goes_to_its_fallback") else {
        return;
    };
    let conf = "mkdir -p /etc/ct && printf '[Manager]\\nBootAttempts=2\\n' > /etc/ct/init.conf";
    again(&machine, conf);
    machine.console.until_times("up, unit: ct-boot-good.service", 1);
    assert_eq!(machine.run("cat /var/lib/ct-init/boot-attempts").ok(), "0\n");
    // As if two boots had ended somewhere before.
    let boots = machine.boots();
    machine.run("echo 2 > /var/lib/ct-init/boot-attempts").ok();
    machine.run_bg("reboot");
    machine.console_has("goes to, unit: rescue.target");
    machine.console_has("Rescue mode");
    open_shell(&machine);
    machine.console.types("ct-init boot-good; exit\n");
    machine.booted(boots + 1);
    machine.console.until_times("up, unit: ct-boot-good.service", 2);
}

#[test]
fn a_default_unit_that_does_not_exist_ends_in_a_shell() {
    if !can("a_default_unit_that_does_not_exist_ends_in_a_shell") {
        return;
    }
    let arguments = "ct.unit=no-such.target".to_owned();
    let machine = Machine::on(&Config { memory: 512, arguments, ..Config::default() });
    machine.console_has("can't start the default unit, why: no-such.target: has no unit file");
    machine.console_has("The boot can't go on");
    open_shell(&machine);
    machine.console.types("ct-init poweroff\n");
    assert_eq!(machine.down(), tests::vm::Down::Off);
}

#[test]
fn without_any_unit_there_is_a_login_and_without_a_console_words_go_to_the_kernel() {
    let test = "without_any_unit_there_is_a_login_and_without_a_console_words_go_to_the_kernel";
    let Some(machine) = machine(test) else { return };
    machine.run("rm -r /usr/lib/ct/system /etc/systemd/system /usr/lib/systemd/system /etc/ct").ok();
    machine.run_bg("reboot");
    machine.console.until_times("ready, failed units: 0", 2);
    machine.console.until_times("login:", 2);
    let silent = Machine::boot(&Config { memory: 512, console: false, ..Config::default() });
    let said = silent.run("dmesg").ok();
    assert!(said.contains("ct-init: begins"), "{said}");
    assert_eq!(silent.console.text().trim(), "");
}
