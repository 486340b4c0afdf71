//! armed: a host with a hardware watchdog and a disk for its containers: PID 1 executed anew, a supervisor that hangs, a
//! disk that is full or missing, a root that is read-only.
use crate::can;
use crate::host::{Host, guarded};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tests::vm::{Config, Disk, Machine};

/// The disk of all containers' files; in the machine as long as there are tests.
const FSTAB: &str = "LABEL=root / ext4 errors=remount-ro 0 1\n\
    /dev/vdb /var/lib/ct ext4 nofail,x-systemd.makefs,x-systemd.device-timeout=2s 0 0";
const CONF: &str = "[Manager]\nRuntimeWatchdogSec=6";

/// The one machine of these tests, booted anew where it was booted otherwise the last time.
fn armed(fstab: &str) -> Host {
    static MACHINE: OnceLock<(Mutex<Machine>, Mutex<String>, Disk)> = OnceLock::new();
    let (machine, booted, _disk) = MACHINE.get_or_init(|| {
        let disk = Disk::new(64);
        let limit = Duration::from_secs(1200);
        let config = Config { limit, watchdog: true, reboots: true, ..Config::default() }.disk(&disk);
        (Mutex::new(Machine::boot(&config)), Mutex::default(), disk)
    });
    let host = guarded(machine.lock().unwrap_or_else(PoisonError::into_inner));
    let mut booted = booted.lock().unwrap_or_else(PoisonError::into_inner);
    if *booted != fstab {
        host.run("mount -o remount,rw /").ok();
        host.file("/etc/fstab", fstab);
        host.file("/etc/ct/init.conf", CONF);
        host.run("sync").ok();
        let boots = host.boots();
        host.reset();
        host.booted(boots + 1);
        fstab.clone_into(&mut booted);
    }
    host.until("ct list");
    host
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
fn the_watchdog_bites_where_the_supervisor_or_a_critical_container_is_no_more() {
    if !can("the_watchdog_bites_where_the_supervisor_or_a_critical_container_is_no_more") {
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
    let bites = || host.qmp.events().iter().filter(|e| e["event"] == "WATCHDOG").count();
    assert_eq!(bites(), 1);
    // The supervisor hangs, and so does what would start it anew.
    host.run("for p in $(cat /run/ct/supervisor.pid /run/ct/keeper.pid); do kill -STOP $p; done").ok();
}
