//! devices: what is done to a machine from outside arrives, and its end is told as what it was.
use crate::can;
use tests::vm::config::Nic;
use tests::vm::{Config, Disk, Down, Machine};

#[test]
fn a_disk_outlives_a_power_cut_and_shows_what_was_written() {
    if !can("a_disk_outlives_a_power_cut_and_shows_what_was_written") {
        return;
    }
    let disk = Disk::new(64);
    let config = Config { watchdog: true, ..Config::default() }.disk(&disk).nic(Nic::unplugged());
    let machine = Machine::boot(&config);
    assert_eq!(machine.run("cat /sys/block/vdb/size").ok(), "131072\n");
    assert_eq!(machine.run("cat /sys/class/net/eth0/address").ok(), "52:54:00:00:00:01\n");
    assert_eq!(machine.run("cat /sys/class/watchdog/watchdog0/identity").ok(), "i6300ESB timer\n");
    machine.run("mkfs.ext4 -q /dev/vdb && mount /dev/vdb /mnt && echo kept > /mnt/file && sync").ok();
    machine.run("echo lost > /root/file && sync").ok();
    assert_eq!(machine.cut_power(), Down::Cut);
    let machine = Machine::boot(&config);
    assert_eq!(machine.run("mount /dev/vdb /mnt && cat /mnt/file").ok(), "kept\n");
    assert_ne!(machine.run("cat /root/file").code, 0);
    // Nobody feeds it.
    machine.run("modprobe -r i6300esb && modprobe i6300esb heartbeat=2 && printf . > /dev/watchdog0").ok();
    machine.qmp.until("WATCHDOG");
    assert_eq!(machine.down(), Down::Watchdog);
}

#[test]
fn ctrl_alt_del_reboots_and_the_power_button_ends_a_host_cleanly() {
    if !can("ctrl_alt_del_reboots_and_the_power_button_ends_a_host_cleanly") {
        return;
    }
    let machine = Machine::boot(&Config { reboots: true, ..Config::default() });
    machine.keys("ctrl-alt-delete");
    machine.qmp.until("RESET");
    machine.console_has("stops all units, why: Reboot");
    machine.booted(2);
    machine.run("ct-init start ct-buttons").ok();
    machine.power_button();
    machine.console_has("stops all units, why: PowerOff");
    assert_eq!(machine.down(), Down::Off);
    assert!(!machine.console.text().contains("does not end"), "{}", machine.console.text());
}

#[test]
fn udev_or_ct_init_itself_finds_the_drivers() {
    if !can("udev_or_ct_init_itself_finds_the_drivers") {
        return;
    }
    let limit = std::time::Duration::from_secs(300);
    let config = Config { reboots: true, memory: 512, limit, ..Config::default() }.nic(Nic::unplugged());
    let machine = Machine::boot(&config);
    let units = "/etc/systemd/system";
    // Nobody names its driver any more.
    machine
        .run(&format!("rm /etc/modules-load.d/lab.conf {units}/systemd-udev* {units}/ct-devices.service"))
        .ok();
    machine.run_bg("reboot");
    machine.booted(2);
    machine.console_has("up, unit: systemd-udevd.service");
    machine.console_has("up, unit: systemd-udev-trigger.service");
    machine.console_has(
        "unmet: ConditionFileIsExecutable=!/usr/lib/systemd/systemd-udevd, unit: ct-devices.service",
    );
    machine.run("udevadm settle").ok();
    assert_eq!(machine.run("cat /sys/class/net/eth0/address").ok(), "52:54:00:00:00:01\n");
    assert_eq!(machine.run("readlink /dev/disk/by-label/root").ok(), "../../vda\n");
    // And without it.
    machine.run("rm /usr/lib/systemd/systemd-udevd /bin/udevadm").ok();
    machine.run_bg("reboot");
    machine.booted(3);
    machine.console_has("up, unit: ct-devices.service");
    assert_eq!(machine.run("cat /sys/class/net/eth0/address").ok(), "52:54:00:00:00:01\n");
}

#[test]
fn how_a_machine_ended_is_told() {
    if !can("how_a_machine_ended_is_told") {
        return;
    }
    let ends = [
        ("busybox poweroff -f", Down::Off),
        ("busybox reboot -f", Down::Reset),
        ("echo c > /proc/sysrq-trigger", Down::Panicked),
    ];
    for (line, end) in ends {
        let machine = Machine::boot(&Config { memory: 512, ..Config::default() });
        machine.run_bg(line);
        assert_eq!(machine.down(), end, "{line}");
    }
    let limit = std::time::Duration::from_secs(3);
    assert_eq!(Machine::on(&Config { limit, ..Config::default() }).down(), Down::Late);
}
