//! boots: ct-init as PID 1 of a machine reaches its default target; Debian's services run under it unchanged.
use crate::can;
use crate::host::{shared, supervised};
use tests::vm::{Config, Machine};

#[test]
fn a_machine_boots_with_ct_init_as_pid_1() {
    if !can("a_machine_boots_with_ct_init_as_pid_1") {
        return;
    }
    let host = shared();
    assert_eq!(host.run("cat /proc/1/comm").ok(), "ct-init\n");
    host.console_has("ready, failed units: 0");
    let ran = host.run("echo out; echo err >&2; exit 3");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (3, "out\n", "err\n"));
    assert_eq!(host.run("kill -9 $$").code, -9);
    assert_eq!(host.run("seq 100000").ok().len(), 588_895);
    assert_eq!(host.run_bg("exec sleep 1000").kill().code, -9);
}

#[test]
fn services_of_debian_packages_run_unchanged() {
    if !can("services_of_debian_packages_run_unchanged") {
        return;
    }
    let host = shared();
    for (unit, process) in [("ssh.service", "sshd"), ("cron.service", "cron")] {
        host.console_has(&format!("up, unit: {unit}"));
        let pid = host.run(&format!("cat /sys/fs/cgroup/units/{unit}/cgroup.procs")).ok();
        assert_eq!(host.run(&format!("cat /proc/{}/comm", pid.trim())).ok().trim(), process);
    }
    // A service that answers: ssh greets.
    let greeting = host.run("busybox timeout 20 busybox nc 127.0.0.1 22 < /dev/null | head -c 7").ok();
    assert_eq!(greeting, "SSH-2.0");
    // A killed one comes back, as its Restart= says.
    let before = host.run("cat /sys/fs/cgroup/units/ssh.service/cgroup.procs").ok();
    host.run(&format!("kill -9 {before}")).ok();
    host.console.until_times("up, unit: ssh.service", 2);
    assert_ne!(host.run("cat /sys/fs/cgroup/units/ssh.service/cgroup.procs").ok(), before);
}

#[test]
fn containers_start_at_boot_each_when_what_it_needs_is_ready() {
    if !can("containers_start_at_boot_each_when_what_it_needs_is_ready") {
        return;
    }
    let machine = Machine::boot(&Config { reboots: true, ..Config::default() });
    supervised(&machine);
    // Written in another order than that of their starts; what is not to start at boot does not.
    for (name, unit, install) in [
        ("app", "Requires=db\\nAfter=db", "Autostart=yes"),
        ("db", "", "Autostart=last"),
        ("off", "", "Autostart=no"),
        ("web", "Requires=app\\nAfter=app", "Autostart=yes"),
    ] {
        let text = format!("[Unit]\\n{unit}\\n[Container]\\nTemplate=host\\n[Install]\\n{install}\\n");
        machine.run(&format!("mkdir -p /etc/ct; printf '{text}' > /etc/ct/{name}.container")).ok();
    }
    machine.run("ct start db").ok();
    machine.run_bg("reboot");
    machine.booted(2);
    machine.console.until_times("up, unit: host-supervisor.service", 2);
    machine.run("ct wait web --for ready --timeout 60").ok();
    let rows: serde_json::Value = serde_json::from_str(&machine.run("ct blame --json").ok()).expect("JSON");
    let at = |name: &str, what: &str| {
        let row = rows.as_array().and_then(|all| all.iter().find(|r| r["name"] == name));
        row.unwrap_or_else(|| panic!("{name} did not start at boot: {rows}"))[what].as_u64().expect("a time")
    };
    assert!(at("db", "ready") <= at("app", "began") && at("app", "ready") <= at("web", "began"), "{rows}");
    assert!(machine.run("ct list").ok().lines().any(|l| l.starts_with("off ") && l.contains("stopped")));
}
