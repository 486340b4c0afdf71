//! survive: what is left when the supervisor, its keeper or both are killed. Each test is named after its symptom.
mod host;
mod kills;
mod programs;

use host::{Host, can, ended, kill, signal, watch};
use nix::libc::SIGKILL;
use std::os::fd::AsFd;

const UNKNOWN: &str = "ended, nobody saw how";

#[test]
fn a_container_restarts_although_the_supervisor_was_killed() {
    if !can("a_container_restarts_although_the_supervisor_was_killed") {
        return;
    }
    let host = Host::with(&[("web", "Restart=on-failure")]);
    let web = watch(host.pid("web")).expect("it runs");
    host.without_supervisor(|h| {
        h.end("web", 3);
        ended(&web);
    });
    host.lives("web", "running", 1, &["exited with code 3"]);
    assert_eq!(host.starts("web"), 2);
}

type End = (&'static str, &'static str, Option<u8>, &'static str, u64, &'static str);

/// Name, Restart=, the code it ends with while nobody watches (none: SIGKILL), and what becomes of it.
const ENDS: &[End] = &[
    ("a", "on-failure", Some(0), "stopped", 0, "exited with success"),
    ("b", "on-failure", Some(255), "running", 1, "exited with code 255"),
    ("c", "no", Some(42), "failed", 0, "exited with code 42"),
    ("d", "no", Some(0), "stopped", 0, "exited with success"),
    ("e", "always", Some(0), "running", 1, "exited with success"),
    ("f", "no", None, "failed", 0, "ended by SIGKILL"),
    ("g", "on-abnormal", None, "running", 1, "ended by SIGKILL"),
    ("h", "on-success", Some(1), "failed", 0, "exited with code 1"),
];

fn all_ends() -> Host {
    let units: Vec<(&str, String)> = ENDS.iter().map(|(n, r, ..)| (*n, format!("Restart={r}"))).collect();
    Host::with(&units.iter().map(|(n, l)| (*n, l.as_str())).collect::<Vec<_>>())
}

fn end_all(host: &Host, pids: &[u32]) {
    let watched: Vec<_> = pids.iter().map(|pid| watch(*pid).expect("it runs")).collect();
    for ((name, _, code, ..), pid) in ENDS.iter().zip(pids) {
        match code {
            Some(code) => host.end(name, *code),
            None => signal(*pid, SIGKILL),
        }
    }
    watched.iter().for_each(ended);
}

#[test]
fn each_end_without_a_supervisor_has_the_same_follow_up_as_on_any_other_day() {
    if !can("each_end_without_a_supervisor_has_the_same_follow_up_as_on_any_other_day") {
        return;
    }
    let host = all_ends();
    let pids: Vec<u32> = ENDS.iter().map(|(n, ..)| host.pid(n)).collect();
    host.without_supervisor(|h| end_all(h, &pids));
    for (name, _, _, state, restarts, cause) in ENDS {
        host.lives(name, state, *restarts, &[cause]);
        assert_eq!(host.starts(name) as u64, restarts + 1, "{name}");
    }
}

#[test]
fn each_end_of_an_adopted_container_has_the_same_follow_up_as_on_any_other_day() {
    if !can("each_end_of_an_adopted_container_has_the_same_follow_up_as_on_any_other_day") {
        return;
    }
    let host = all_ends();
    let pids: Vec<u32> = ENDS.iter().map(|(n, ..)| host.pid(n)).collect();
    host.without_supervisor(|_| {});
    assert_eq!(pids, ENDS.iter().map(|(n, ..)| host.pid(n)).collect::<Vec<_>>(), "they run on");
    end_all(&host, &pids);
    for (name, _, _, state, restarts, cause) in ENDS {
        host.lives(name, state, *restarts, &[cause]);
        assert_eq!(host.starts(name) as u64, restarts + 1, "{name}");
    }
}

/// Whether this kernel tells how a process ended that another has reaped.
fn kernel_tells() -> bool {
    let mut child = std::process::Command::new("/bin/true").spawn().expect("run true");
    let pidfd = watch(child.id()).expect("it is there");
    child.wait().expect("wait");
    ct_sys::proc::pidfd_exit_status(pidfd.as_fd()) == Some(0)
}

#[test]
fn without_a_keeper_the_kernel_is_asked() {
    if !can("without_a_keeper_the_kernel_is_asked") {
        return;
    }
    let mut host = Host::new();
    host.container("web", "Restart=on-failure");
    host.container("db", "Restart=on-failure");
    host.run(&["--no-keeper"]);
    host.ok(&["start", "web", "db"]);
    let (web, db) = (host.pid("web"), host.pid("db"));
    assert_eq!(host.supervisor(), Some(host.keeper()), "there is no other process");
    host.kill_supervisor();
    host.left();
    host.run(&["--no-keeper"]);
    for (name, pid, code) in [("web", web, 0), ("db", db, 5)] {
        assert_eq!(host.pid(name), pid, "it runs on");
        let pidfd = watch(pid).expect("it runs");
        host.end(name, code);
        ended(&pidfd);
        // Orphans have come to this process.
        assert!(ct_sys::proc::wait(ct_sys::proc::Which::Pid(pid), true).is_ok(), "{name} is ours now");
    }
    if kernel_tells() {
        host.lives("web", "stopped", 0, &["exited with success"]);
        host.lives("db", "running", 1, &["exited with code 5"]);
    } else {
        host.lives("web", "running", 1, &[UNKNOWN]);
        host.lives("db", "running", 1, &[UNKNOWN]);
    }
}

#[test]
fn a_monitor_that_dies_too_is_no_reason_to_lose_a_container() {
    if !can("a_monitor_that_dies_too_is_no_reason_to_lose_a_container") {
        return;
    }
    let mut host = Host::with(&[("web", "Restart=no"), ("db", "Restart=on-failure"), ("job", "Restart=no")]);
    let (web, db, job) = (host.pid("web"), host.pid("db"), host.pid("job"));
    signal(host.keeper(), nix::libc::SIGSTOP);
    host.kill_supervisor();
    kill(host.keeper());
    host.left();
    for (name, pid) in [("db", db), ("job", job)] {
        let pidfd = watch(pid).expect("it runs");
        host.end(name, 0);
        ended(&pidfd);
        assert!(ct_sys::proc::wait(ct_sys::proc::Which::Pid(pid), true).is_ok(), "{name} is ours now");
    }
    host.run(&[]);
    assert_eq!(host.pid("web"), web, "it runs on");
    host.lives("web", "running", 0, &[]);
    // Nobody saw how these ended, so they have not ended well.
    host.lives("db", "running", 1, &[UNKNOWN]);
    host.lives("job", "failed", 0, &[UNKNOWN]);
    assert_eq!((host.starts("web"), host.starts("db"), host.starts("job")), (1, 2, 1));
}

#[test]
fn a_supervisor_without_a_keeper_leaves_and_its_containers_stay() {
    if !can("a_supervisor_without_a_keeper_leaves_and_its_containers_stay") {
        return;
    }
    let mut host = Host::with(&[("web", "")]);
    let web = host.pid("web");
    let supervisor = host.supervisor().and_then(watch).expect("a supervisor runs");
    kill(host.keeper());
    ended(&supervisor);
    host.left();
    host.run(&[]);
    assert_eq!(host.pid("web"), web);
    host.lives("web", "running", 0, &[]);
}

#[test]
fn a_container_that_was_stopped_by_hand_is_not_started_because_the_supervisor_is() {
    if !can("a_container_that_was_stopped_by_hand_is_not_started_because_the_supervisor_is") {
        return;
    }
    let install = "Restart=always\nTimeoutStopSec=1\n[Install]\nAutostart=yes";
    let mut host = Host::with(&[("web", install), ("db", install)]);
    host.ok(&["stop", "--now", "web"]);
    host.without_supervisor(|_| {});
    host.lives("db", "running", 0, &[]);
    assert_eq!(host.life("web").map(|(state, ..)| state), Some("stopped".to_owned()));
    assert_eq!((host.starts("web"), host.starts("db")), (1, 1));
    // After a shutdown it is as after a boot.
    host.ok(&["shutdown"]);
    assert_eq!(host.left(), Some(0));
    host.run(&[]);
    host.until("web is started", |h| h.starts("web") == 2 && h.starts("db") == 2);
}

#[test]
fn a_pending_restart_outlives_the_supervisor() {
    if !can("a_pending_restart_outlives_the_supervisor") {
        return;
    }
    let host = Host::with(&[("web", "Restart=always\nRestartSec=1h")]);
    host.end("web", 1);
    host.lives("web", "restarting", 0, &["exited with code 1"]);
    host.without_supervisor(|_| {});
    host.lives("web", "restarting", 0, &["exited with code 1"]);
    assert_eq!(host.starts("web"), 1);
    host.ok(&["start", "web"]);
    host.lives("web", "running", 0, &["exited with code 1"]);
    assert_eq!(host.starts("web"), 2);
}

#[test]
fn a_paused_container_is_paused_for_the_next_supervisor_too() {
    if !can("a_paused_container_is_paused_for_the_next_supervisor_too") {
        return;
    }
    let host = Host::with(&[("web", "")]);
    host.ok(&["pause", "web"]);
    host.without_supervisor(|_| {});
    host.lives("web", "paused", 0, &[]);
    host.ok(&["resume", "web"]);
    host.lives("web", "running", 0, &[]);
}
