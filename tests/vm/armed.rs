//! armed: a host with a hardware watchdog and a disk for its containers: PID 1 executed anew, a supervisor that hangs, a
//! disk that is full or missing, a root that is read-only.
use crate::can;
use crate::host::{Host, guarded};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tests::vm::{Config, Disk, Machine};

/// The disk of all containers' files; in the machine as long as there are tests.
const FSTAB: &str = "LABEL=root / ext4 errors=remount-ro 0 1\n\
    /dev/vdb /var/lib/ct ext4 nofail,x-systemd.makefs 0 0";
const CONF: &str = "[Manager]\nRuntimeWatchdogSec=6";

/// The one machine of these tests, booted anew where it was booted with another fstab the last time.
fn armed(fstab: &str) -> Host {
    static MACHINE: OnceLock<(Mutex<Machine>, Disk)> = OnceLock::new();
    let (machine, _disk) = MACHINE.get_or_init(|| {
        let disk = Disk::new(64);
        let limit = Duration::from_secs(1200);
        let config = Config { limit, watchdog: true, reboots: true, ..Config::default() }.disk(&disk);
        (Mutex::new(Machine::boot(&config)), disk)
    });
    let host = guarded(machine.lock().unwrap_or_else(PoisonError::into_inner));
    boot(&host, fstab);
    host
}

/// Boots with this fstab, if it has not. It is only ever written for the next boot.
fn boot(host: &Host, fstab: &str) {
    if host.run("cat /etc/fstab").out.trim() != fstab {
        host.run("mount -o remount,rw /").ok();
        host.file("/etc/fstab", fstab);
        host.file("/etc/ct/init.conf", CONF);
        host.run("sync").ok();
        let boots = host.boots();
        host.reset();
        host.booted(boots + 1);
    }
    host.until("ct list");
}

/// It bites, and the machine is there again.
fn bitten(host: &Host) {
    let boots = host.boots();
    host.qmp.until("WATCHDOG");
    host.booted(boots + 1);
    host.until("ct list");
}

#[test]
fn pid_1_executed_anew_keeps_services_containers_logs_and_the_watchdog() {
    if !can("pid_1_executed_anew_keeps_services_containers_logs_and_the_watchdog") {
        return;
    }
    let host = armed(FSTAB);
    host.console_has("the hardware watchdog is armed");
    host.ending("web", "");
    let lines = "ExecStart=/bin/sh -c 'while :; do i=$((i+1)); echo line $i; sleep 0.02; done'";
    host.service("lines", lines);
    host.ct_init("start lines").ok();
    let pids = || {
        let units = ["lines", "ssh", "cron", "host-supervisor"];
        let of = |u: &&str| host.run(&format!("cat /sys/fs/cgroup/units/{u}.service/cgroup.procs")).ok();
        (host.pid("web"), units.iter().take(3).map(of).collect::<Vec<_>>(), host.supervisor())
    };
    // The counting shell has a child at each moment: its own pid is what stays.
    let main =
        |host: &Host| host.unit("lines").lines().find(|l| l.contains("main process")).map(str::to_owned);
    let (web, _, supervisor) = pids();
    let (counts, ssh) = (main(&host), host.unit("ssh").lines().nth(2).map(str::to_owned));
    for (anew, said) in [("ct-init reexec", "goes on"), ("kill -SEGV 1", "SIGSEGV was sent to it")] {
        host.run(anew).ok();
        host.console_has(said);
        assert!(host.ct_init("list").ok().contains("host-supervisor.service"), "after {anew}");
        assert_eq!((host.pid("web"), host.supervisor()), (web, supervisor), "after {anew}");
        assert_eq!(
            (main(&host), host.unit("ssh").lines().nth(2).map(str::to_owned)),
            (counts.clone(), ssh.clone())
        );
        // Longer than the watchdog waits. A time that has passed for the machine is what this is about.
        let seconds = "read up x </proc/uptime; end=$((${up%.*} + 8)); \
                       until read up x </proc/uptime; [ ${up%.*} -ge $end ]; do sleep 0.2; done";
        host.run(seconds).ok();
        assert_eq!(host.run("cat /sys/class/watchdog/watchdog0/state").ok(), "active\n", "after {anew}");
    }
    assert!(!host.qmp.events().iter().any(|e| e["event"] == "WATCHDOG"), "it has bitten");
    host.ct_init("stop lines").ok();
    let log = host.run("cat /var/log/ct/lines.service.log").ok();
    let numbers: Vec<&str> = log.lines().filter_map(|l| l.rsplit(' ').next()).collect();
    let expected: Vec<String> = (1..=numbers.len()).map(|n| n.to_string()).collect();
    assert!(numbers.len() > 100, "{log}");
    assert_eq!(numbers, expected);
}

#[test]
fn a_supervisor_that_stands_still_is_started_anew_and_no_container_notices() {
    if !can("a_supervisor_that_stands_still_is_started_anew_and_no_container_notices") {
        return;
    }
    let host = armed(FSTAB);
    host.ending("web", "");
    let (web, before) = (host.pid("web"), host.supervisor());
    // As shipped, but for a shorter time.
    host.file("/etc/ct/system/host-supervisor.service.d/soon.conf", "[Service]\nWatchdogSec=3");
    host.run("ct-init daemon-reload && ct-init restart host-supervisor").ok();
    host.until("ct list");
    let stopped = host.supervisor();
    assert!(stopped.0 != before.0 && stopped.1 != before.1, "{before:?}, {stopped:?}");
    host.run(&format!("kill -STOP {}", stopped.0)).ok();
    host.console_has("host-supervisor.service");
    host.until(&format!("[ $(cat /run/ct/keeper.pid) != {} ] && ct list", stopped.1));
    assert_eq!(host.pid("web"), web);
    assert!(host.unit("host-supervisor").contains("running"));
    host.run("rm -r /etc/ct/system && ct-init daemon-reload && ct-init restart host-supervisor").ok();
    host.until("ct list");
    assert_eq!(host.pid("web"), web);
}

#[test]
fn the_watchdog_bites_where_a_critical_container_has_failed_for_good() {
    if !can("the_watchdog_bites_where_a_critical_container_has_failed_for_good") {
        return;
    }
    let host = armed(FSTAB);
    host.console_has("the hardware watchdog is armed");
    // A container that the host can't be without ends for good.
    host.ending("vital", "Restart=no\nCritical=yes\nAutostart=no");
    host.run("sync; echo 1 >/srv/vital/srv/code").ok();
    host.console_has("not fed any more, why: host-supervisor.service says that vital has failed");
    bitten(&host);
    host.ct("destroy -y vital").ok();
}

#[test]
fn the_watchdog_bites_where_the_supervisor_stands_still_and_nobody_starts_it_anew() {
    if !can("the_watchdog_bites_where_the_supervisor_stands_still_and_nobody_starts_it_anew") {
        return;
    }
    let host = armed(FSTAB);
    let late = "[Service]\nWatchdogSec=3\nRestartSteps=0\nRestartSec=1h";
    host.file("/etc/ct/system/host-supervisor.service.d/late.conf", late);
    host.run("ct-init daemon-reload && ct-init restart host-supervisor && sync").ok();
    host.until("ct list");
    host.run(&format!("rm -r /etc/ct/system && sync && kill -STOP {}", host.supervisor().0)).ok();
    host.console_has("not fed any more, why: host-supervisor.service has said nothing for");
    bitten(&host);
}

#[test]
fn a_full_disk_of_containers_stops_none_and_is_told() {
    if !can("a_full_disk_of_containers_stops_none_and_is_told") {
        return;
    }
    let host = armed(FSTAB);
    let mounted = host.run("findmnt -no SOURCE /var/lib/ct; ct-init logs var-lib-ct.mount").out;
    assert!(mounted.starts_with("/dev/vdb\n"), "{mounted}");
    ["web", "db"].iter().for_each(|name| host.ending(name, "Restart=always\nAutostart=last"));
    let held = host.holding(&["web"]);
    host.ct("stop --now db").ok();
    host.run("cd /var/lib/ct; for size in 1M 1K; do dd if=/dev/zero of=full-$size bs=$size; done 2>/dev/null; sync").ok();
    host.run("echo 7 >/srv/web/srv/code").ok();
    host.until("ct list | grep -q '^web *running .* 1 '");
    let web = host.pid("web");
    // What can't be kept over boots is said, and done all the same.
    host.ct("start db").ok();
    let db = host.pid("db");
    let log = host.run("tail -n 40 /var/log/ct/host-supervisor.service.log").ok();
    assert!(log.contains("could not write the state down") && log.contains("No space left"), "{log}");
    let old = host.supervisor().0;
    host.run(&format!("kill -9 {old}")).ok();
    host.until(&format!("[ $(cat /run/ct/supervisor.pid) != {old} ] && ct list"));
    assert_eq!([host.pid("web"), host.pid("db")], [web, db]);
    assert!(host.ct("status web").ok().contains("exited with code 7"));
    host.run("rm /var/lib/ct/full-*").ok();
    host.until("grep -q '\"wanted_up\":true' /var/lib/ct/containers/db/state.json");
    host.ct("restart --now db").ok();
    held.kill();
}

#[test]
fn without_its_disk_a_host_boots_and_says_what_is_missing() {
    if !can("without_its_disk_a_host_boots_and_says_what_is_missing") {
        return;
    }
    let host = armed(&FSTAB.replace("/dev/vdb", "/dev/vdz").replace("makefs", "device-timeout=2s"));
    host.console_has("failed, why: exited with 1, unit: var-lib-ct.mount");
    let why = host.ct_init("logs var-lib-ct.mount").ok();
    assert!(why.contains("/dev/vdz"), "{why}");
    let list = host.ct_init("list").ok();
    let mount = list.lines().find(|l| l.starts_with("var-lib-ct.mount")).unwrap_or_default().to_owned();
    assert!(mount.contains("failed"), "{list}");
    assert!(host.unit("multi-user.target").contains("active"));
    // On the root it goes on.
    host.ending("web", "");
    host.container("made", "");
}

#[test]
fn with_a_read_only_root_a_host_boots_and_says_what_it_can_not_do() {
    if !can("with_a_read_only_root_a_host_boots_and_says_what_it_can_not_do") {
        return;
    }
    // What a container is made of is there before; no line asks for a writable root.
    let host = armed("LABEL=root / ext4 errors=remount-ro 0 1");
    host.ending("web", "Autostart=no");
    host.container("made", "Autostart=no");
    host.ct("stop --now web made").ok();
    boot(&host, "# nothing");
    assert!(host.run("findmnt -no OPTIONS /").ok().starts_with("ro"));
    assert!(host.unit("multi-user.target").contains("active"));
    host.ct("start web").ok();
    let log = host.run("ct-init logs host-supervisor").ok();
    assert!(
        log.contains("goes on without a place for its files") && log.contains("Read-only file system"),
        "{log}"
    );
    // One that keeps its changes has no place for them.
    host.ct("start made").refused(1, &["made", "Read-only file system"]);
    assert_eq!(host.row("web")["state"], "running");
    host.run("mount -o remount,rw /").ok();
    host.ct("start made").ok();
    host.ct("restart --now web").ok();
}
