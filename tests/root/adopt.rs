//! adopt: the supervisor goes, by its own will or not; containers run on, and the next one takes them up.
use crate::can;
use std::fs;
use tests::supervisor::Supervisor;

fn web() -> Supervisor {
    let s = Supervisor::start_with(|s| {
        s.container("web", "Restart=on-failure\nRestartSec=1ms").service("a", "ExecStart=/bin/sleep 1000");
    });
    s.ct(&["start", "web"]).ok();
    s
}

#[test]
fn containers_survive_sigterm_of_the_supervisor() {
    if !can("containers_survive_sigterm_of_the_supervisor") {
        return;
    }
    let mut s = web();
    let pid = s.row("web")["pid"].clone();
    assert!(s.end(15).success());
    assert!(!s.socket().exists(), "the socket stays");
    s.ct(&["list"]).refused(4, &["ct.sock", "host-supervisor"]);
    s.run();
    assert_eq!((s.state("web").as_str(), &s.row("web")["pid"]), ("running", &pid));
    assert_eq!(s.sh("web", "pidof sleep | wc -w").ok(), "1\n");
    s.finish();
}

#[test]
fn containers_survive_sigkill_of_the_supervisor() {
    if !can("containers_survive_sigkill_of_the_supervisor") {
        return;
    }
    let mut s = web();
    let pid = s.row("web")["pid"].clone();
    s.end(9);
    s.run();
    assert_eq!((s.state("web").as_str(), &s.row("web")["pid"]), ("running", &pid));
    // Everything works on it as before.
    s.ct(&["set", "web", "CPUWeight=200"]).ok();
    s.ct(&["pause", "web"]).ok();
    s.ct(&["resume", "web"]).ok();
    s.ct(&["restart", "web"]).ok();
    assert_ne!(s.row("web")["pid"], pid);
    s.finish();
}

/// The keeper starts another, and containers don't notice.
#[test]
fn the_keeper_starts_a_killed_supervisor_again() {
    if !can("the_keeper_starts_a_killed_supervisor_again") {
        return;
    }
    let s = web();
    let (pid, answering) = (s.row("web")["pid"].clone(), s.serving());
    assert_ne!(answering, s.pid(), "there is no keeper");
    let pidfd = ct_sys::proc::pidfd_open(answering).expect("it runs");
    ct_sys::proc::pidfd_send_signal(std::os::fd::AsFd::as_fd(&pidfd), 9).expect("it runs");
    s.logged("adopted");
    let list = || s.ct(&["list"]).code;
    let deadline = tests::wait::Deadline::default();
    while list() != 0 {
        assert!(!deadline.passed(), "nobody answers");
    }
    assert_ne!(s.serving(), answering);
    assert_eq!((s.state("web").as_str(), &s.row("web")["pid"]), ("running", &pid));
    s.finish();
}

/// The restart policy is not dead after the supervisor was.
#[test]
fn restart_policy_holds_after_the_supervisor_was_killed() {
    if !can("restart_policy_holds_after_the_supervisor_was_killed") {
        return;
    }
    let mut s = web();
    let pid = s.row("web")["pid"].clone();
    s.end(9);
    s.run();
    let mut events = s.events();
    s.ct(&["kill", "-s", "KILL", "web"]).ok();
    events.until("its end", |e| e["container"] == "web" && e["event"] == "exit");
    s.until("web", "running");
    assert_ne!(s.row("web")["pid"], pid);
    drop(events);
    s.finish();
}

/// What ended while nobody looked never counts as success.
#[test]
fn an_end_that_nobody_saw_is_no_success() {
    if !can("an_end_that_nobody_saw_is_no_success") {
        return;
    }
    let mut s = Supervisor::start_with(|s| {
        s.container("web", "Restart=no");
    });
    s.ct(&["start", "web"]).ok();
    let pid = s.row("web")["pid"].as_i64().expect("a pid") as u32;
    s.end(9);
    let pidfd = ct_sys::proc::pidfd_open(pid).expect("it runs");
    ct_sys::proc::pidfd_send_signal(std::os::fd::AsFd::as_fd(&pidfd), 9).expect("it runs");
    let ready = tests::wait::Deadline::default();
    assert!(ready.ready(std::os::fd::AsFd::as_fd(&pidfd), nix::poll::PollFlags::POLLIN));
    s.run();
    s.until("web", "failed");
    s.finish();
}

/// Killed while a container is on its way up or down: nothing is left half made, and the name can be used.
#[test]
fn a_kill_in_the_middle_leaves_nothing_that_blocks_the_next_start() {
    if !can("a_kill_in_the_middle_leaves_nothing_that_blocks_the_next_start") {
        return;
    }
    let mut s = Supervisor::start_with(|s| {
        for i in 0..4 {
            s.container(&format!("c{i}"), "").service("a", "ExecStart=/bin/sleep 1000");
        }
    });
    for _ in 0..3 {
        let starts: Vec<_> = ["c0", "c1", "c2", "c3"]
            .iter()
            .map(|c| s.ct_command(&["start", c]).spawn().expect("run ct"))
            .collect();
        s.logged("info: started");
        s.end(9);
        starts.into_iter().for_each(|c| drop(tests::supervisor::ran(c)));
        s.run();
        s.ct(&["start", "--all"]).ok();
        for i in 0..4 {
            let name = format!("c{i}");
            assert_eq!(s.state(&name), "running");
            // PID 1 and its service; a container that nobody knows of would be beside them.
            assert_eq!(s.processes(&name).len(), 2, "{name}");
        }
        s.ct(&["stop", "--all"]).ok();
    }
    s.finish();
}

/// What is to be thrown away at a stop is thrown away at the next start where there was no stop.
#[test]
fn changes_of_an_ephemeral_container_do_not_outlive_a_crash() {
    if !can("changes_of_an_ephemeral_container_do_not_outlive_a_crash") {
        return;
    }
    let mut s = Supervisor::start_with(|s| {
        s.container("web", "Ephemeral=yes\nRestart=no");
    });
    s.ct(&["start", "web"]).ok();
    s.sh("web", "echo x > /srv/x").ok();
    let changed = s.root().join("var/lib/ct/containers/web/changes");
    assert!(changed.is_dir());
    s.end(9);
    tests::groups::kill(&s.groups_of("web")[0]);
    // A power cut takes /run as well.
    fs::remove_dir_all(s.root().join("run/ct")).expect("take it away");
    s.run();
    s.ct(&["start", "web"]).ok();
    assert_eq!(s.sh("web", "ls /srv").ok(), "");
    s.finish();
}

#[test]
fn two_supervisors_on_one_root() {
    if !can("two_supervisors_on_one_root") {
        return;
    }
    let s = web();
    let out = s.command().output().expect("run a second one");
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("another supervisor") && said.contains(&s.pid().to_string()), "{said}");
    assert_eq!(s.state("web"), "running");
    s.finish();
}

#[test]
fn a_broken_state_file_costs_one_container_nothing_but_its_state() {
    if !can("a_broken_state_file_costs_one_container_nothing_but_its_state") {
        return;
    }
    let mut s = Supervisor::start_with(|s| {
        s.container("web", "StartLimitIntervalSec=0");
        s.container("db", "StartLimitIntervalSec=0");
    });
    s.ct(&["start", "web", "db"]).ok();
    s.ct(&["stop", "web", "db"]).ok();
    s.end(15);
    let state = s.root().join("var/lib/ct/containers/web/state.json");
    for garbage in [&b"{"[..], b"", b"\xff\xfe", b"[1,2]", b"{\"base\":\"x\"}"] {
        fs::write(&state, garbage).expect("break the state");
        s.run();
        s.ct(&["start", "web", "db"]).ok();
        s.ct(&["stop", "web", "db"]).ok();
        s.end(15);
    }
    s.run();
    s.finish();
}

/// One may be on its way at a time: the others wait for their turn.
fn waits_for_its_turn() -> Supervisor {
    let s = Supervisor::start_with(|s| {
        s.unit("host.conf", "[Host]\nStartParallel=1\n");
        s.container("slow", "ReadyWhen=file:/srv/go");
        s.container("next", "");
        s.container("last", "");
    });
    s.ct(&["start", "--no-wait", "slow"]).ok();
    s.ct(&["start", "--no-wait", "next", "last"]).ok();
    assert_eq!((s.state("next").as_str(), s.state("last").as_str()), ("stopped", "stopped"), "they wait");
    s
}

fn go(s: &Supervisor) {
    fs::write(s.root().join("srv/slow/srv/go"), "").expect("let it be ready");
    s.until("slow", "running");
}

#[test]
fn a_start_that_waits_for_its_turn_outlives_the_supervisor() {
    if !can("a_start_that_waits_for_its_turn_outlives_the_supervisor") {
        return;
    }
    let mut s = waits_for_its_turn();
    s.end(9);
    s.run();
    go(&s);
    s.until("next", "running");
    s.until("last", "running");
    s.finish();
}

#[test]
fn a_stop_counts_also_before_the_start_had_its_turn() {
    if !can("a_stop_counts_also_before_the_start_had_its_turn") {
        return;
    }
    let mut s = waits_for_its_turn();
    let waits = s.ct_command(&["start", "next"]).spawn().expect("run ct");
    let mut events = s.events();
    // It is there when its call is: it was sent before ours.
    while !s.log().contains("wait: true") {
        s.ct(&["list"]).ok();
    }
    s.ct(&["stop", "next"]).ok();
    tests::supervisor::ran(waits).refused(1, &["next", "stopped before it was ready"]);
    s.end(15);
    s.run();
    s.ct(&["stop", "--no-wait", "last"]).ok();
    drop(events);
    events = s.events();
    go(&s);
    s.ct(&["start", "slow"]).ok();
    s.ct(&["list"]).ok();
    assert_eq!((s.state("next").as_str(), s.state("last").as_str()), ("stopped", "stopped"));
    let began = |e: &serde_json::Value| e["message"] == "starting" && e["container"] != "slow";
    assert!(!events.seen.iter().any(began), "{:?}", events.seen);
    drop(events);
    s.finish();
}
