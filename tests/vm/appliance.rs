//! appliance: the image of `make appliance` boots, keeps its state through a power cut, and never writes its root.
use crate::can;
use std::process::Command;
use tests::need::{Need, have};
use tests::vm::image::appliance;
use tests::vm::{Config, Disk, Down, Machine};

/// A machine whose container is ready, with a root shell on its console: it has no agent.
fn at_work(config: &Config, run: u32) -> Machine {
    let machine = Machine::on(config);
    machine.console_has("container web is ready");
    machine.console_has(&format!("run {run};"));
    machine.console_has("ready, failed units: 0");
    machine.console_has("login: ");
    machine.console.types("root\n");
    machine.console_has(":/root# ");
    machine
}

/// Says a word on the console where a line ends well. What was typed is there too, but not as it is said.
fn holds(machine: &Machine, line: &str, word: &str) {
    machine.console.types(&format!("{line} && echo {word}-$((1 + 1))\n"));
    machine.console_has(&format!("{word}-2"));
}

#[test]
fn the_appliance_keeps_its_state_and_never_writes_its_root() {
    let needs = [
        Need::Program("/usr/bin/mksquashfs", "squashfs-tools"),
        Need::Program("/usr/sbin/sfdisk", "fdisk"),
        Need::Program("/usr/bin/mcopy", "mtools"),
        Need::Program("/usr/lib/systemd/boot/efi/linuxx64.efi.stub", "systemd-boot-efi"),
    ];
    let test = "the_appliance_keeps_its_state_and_never_writes_its_root";
    if !can(test) || !have(test, &needs) {
        return;
    }
    let appliance = appliance();
    let disk = Disk::written(&appliance.disk, 300);
    let image = Some(appliance.image);
    let config = Config { image, memory: 256, watchdog: true, ..Config::default() }.disk(&disk);

    let machine = at_work(&config, 1);
    // The image has 16 MiB for the state.
    holds(&machine, "[ $(df -m /var | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2) -gt 200 ]", "grown");
    holds(&machine, "! touch /new 2>/dev/null", "readonly");
    holds(&machine, "ct exec web -- wget -qO- http://127.0.0.1/ | grep -qx 'run 1'", "served");
    holds(&machine, "cp /etc/machine-id /var/id; echo mine >/etc/motd; sync", "written");
    assert_eq!(machine.cut_power(), Down::Cut);

    let machine = at_work(&config, 2);
    holds(&machine, "cmp /etc/machine-id /var/id && grep -qx mine /etc/motd", "kept");
    holds(&machine, "grep -q 'recovering journal' /var/log/ct/var.mount.log", "checked");
    machine.console.types("poweroff\n");
    assert_eq!(machine.down(), Down::Off);
    let said = machine.console.text();
    for part in ["failed, why", "still in use", "does not end"] {
        assert!(!said.contains(part), "{part}: {said}");
    }
    // It was let go, not only written.
    let table = said_by(Command::new("sfdisk").arg("-d").arg(disk.path()));
    let start = table.lines().find(|l| l.contains("name=\"state\"")).and_then(|l| l.split("start=").nth(1));
    let start: u64 =
        start.and_then(|s| s.split(',').next()?.trim().parse().ok()).expect("where the state is");
    let state = format!("{}?offset={}", disk.path().display(), start * 512);
    let head = said_by(Command::new("dumpe2fs").arg("-h").arg(state));
    assert!(head.contains("clean") && !head.contains("needs_recovery"), "{head}");
}

fn said_by(command: &mut Command) -> String {
    let out = command.output().expect("run it");
    assert!(out.status.success(), "{command:?}: {out:?}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}
