//! life: containers start, are listed, end, and come back.
use crate::can;
use nix::sys::signal::Signal;
use std::fs;
use std::path::PathBuf;
use tests::client::Watch;
use tests::supervisor::{Supervisor, ran};
use tests::wait::Deadline;

#[test]
fn a_container_with_one_service_runs_and_is_listed() {
    if !can("a_container_with_one_service_runs_and_is_listed") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "").service("a", "ExecStart=/bin/sleep 1000");
    });
    s.ct(&["start", "web"]).ok();
    assert_eq!(s.state("web"), "running");
    let table = s.ct(&["list"]).ok();
    assert!(table.lines().next().is_some_and(|l| l.starts_with("NAME") && l.contains("STATE")), "{table}");
    assert!(table.contains("web") && table.contains("running"), "{table}");
    let row = s.row("web");
    let keys: Vec<&String> = row.as_object().expect("an object").keys().collect();
    for key in ["name", "state", "pid", "uptime", "restarts", "cpu", "mem", "disk", "address"] {
        assert!(keys.iter().any(|k| *k == key), "{key} is not in {keys:?}");
    }
    assert_eq!(s.sh("web", "pidof sleep | wc -w").ok(), "1\n");
    s.ct(&["stop", "web"]).ok();
    assert_eq!(s.state("web"), "stopped");
    assert_eq!(s.groups_of("web"), Vec::<PathBuf>::new());
    s.finish();
}

#[test]
fn a_killed_service_comes_back() {
    if !can("a_killed_service_comes_back") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "").service("a", "ExecStart=/bin/sleep 1000\nRestart=on-failure\nRestartSec=1ms");
    });
    s.ct(&["start", "web"]).ok();
    let mut watch = Watch::connect(&s.init_socket("web"));
    let before = watch.state("a.service").pid;
    s.ct(&["kill", "-s", "KILL", "web/a"]).ok();
    watch.until("back", |w| {
        w.units.get("a.service").is_some_and(|u| u.pid != before && u.pid != 0 && u.active == "active")
    });
    assert_eq!(s.state("web"), "running");
    let status = s.ct(&["status", "web/a"]).ok();
    assert!(status.contains("active"), "{status}");
    s.finish();
}

/// A bug in PID 1 is not the end of its container: neither is its supervisor's connection to it.
#[test]
fn a_crash_of_ct_init_is_no_end_of_its_container() {
    if !can("a_crash_of_ct_init_is_no_end_of_its_container") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "Restart=always\nRestartSec=1ms").service("a", "ExecStart=/bin/sleep 1000");
    });
    s.ct(&["start", "web"]).ok();
    let inside = |s: &Supervisor| Watch::connect(&s.init_socket("web")).state("a.service").pid;
    let (pid, service) = (s.row("web")["pid"].clone(), inside(&s));
    let number = i32::try_from(pid.as_i64().expect("a pid")).expect("a pid");
    for crash in 1..=4 {
        let signals = match crash % 2 {
            0 => &[Signal::SIGSEGV][..],
            _ => &[Signal::SIGSTOP, Signal::SIGABRT, Signal::SIGCONT][..],
        };
        for signal in signals {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), *signal).expect("it runs");
        }
        assert_eq!(s.sh("web", "echo works").ok(), "works\n");
        s.ct(&["restart", "web/b"]).refused(1, &["b.service"]);
        let status = s.ct(&["status", "web"]).ok();
        assert!(status.contains("running") && status.contains("a.service"), "{status}");
        assert_eq!((s.state("web"), s.row("web")["pid"].clone()), ("running".to_owned(), pid.clone()));
        assert_eq!(s.row("web")["restarts"], 0);
        assert_eq!(inside(&s), service);
    }
    // Amid a command of the supervisor's connection, which is dropped then and made again.
    let asked = s.ct_command(&["restart", "web/a"]).stderr(std::process::Stdio::null()).spawn().expect("ct");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), Signal::SIGSEGV).expect("it runs");
    ran(asked);
    s.ct(&["start", "web/a"]).ok();
    assert_eq!(s.sh("web", "pidof sleep | wc -w").ok(), "1\n");
    assert_eq!(s.row("web")["restarts"], 0);
    let log = s.ct(&["logs", "web"]).ok();
    assert_eq!(log.matches("has crashed and goes on").count(), 5, "{log}");
    s.ct(&["stop", "web"]).ok();
    s.finish();
}

#[test]
fn ends_of_pid_1_are_told_apart() {
    if !can("ends_of_pid_1_are_told_apart") {
        return;
    }
    // Policy, what happens inside (or from the host), the state it comes to, and what `ct why` says.
    let cases = [
        ("on-failure", "kill -INT 1", "running", "reboot"),
        ("no", "reboot -f", "running", "reboot"),
        ("on-failure", "/bin/busybox poweroff -f", "stopped", "halt"),
        ("no", "kill -38 1", "stopped", "halt"),
    ];
    let s = Supervisor::start_with(|s| {
        for (i, (policy, ..)) in cases.iter().enumerate() {
            s.container(&format!("c{i}"), &format!("Restart={policy}\nRestartSec=1ms"));
        }
    });
    for (i, (policy, line, state, why)) in cases.iter().enumerate() {
        let name = format!("c{i}");
        s.ct(&["start", &name]).ok();
        let mut events = s.events();
        let _ = s.sh(&name, line);
        events.until("its end", |e| e["container"] == name.as_str() && e["event"] == "exit");
        s.until(&name, state);
        let said = s.ct(&["why", &name]).ok();
        assert!(said.contains(why), "{policy} after {line:?}: {said}");
    }
    s.finish();
}

#[test]
fn a_container_whose_pid_1_is_killed_comes_back_or_has_failed() {
    if !can("a_container_whose_pid_1_is_killed_comes_back_or_has_failed") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("back", "Restart=on-failure\nRestartSec=1ms").service("a", "ExecStart=/bin/sleep 1000");
        s.container("down", "Restart=no");
    });
    s.ct(&["start", "back", "down"]).ok();
    for (name, state) in [("back", "running"), ("down", "failed")] {
        let mut events = s.events();
        s.ct(&["kill", "-s", "KILL", name]).ok();
        events.until("its end", |e| e["container"] == name && e["event"] == "exit");
        s.until(name, state);
        assert!(s.ct(&["why", name]).ok().contains("SIGKILL"));
    }
    assert_eq!(s.row("back")["restarts"], 1);
    assert_eq!(s.groups_of("down"), Vec::<PathBuf>::new());
    assert_eq!(s.sh("back", "pidof sleep | wc -w").ok(), "1\n");
    s.finish();
}

/// Its row among the last ends said how the run before had ended.
#[test]
fn a_container_that_is_killed_on_request_is_not_told_as_its_end_before() {
    if !can("a_container_that_is_killed_on_request_is_not_told_as_its_end_before") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        // No ct-init, so that nothing in it could end politely before it is killed.
        s.container("web", "Init=/srv/init\nRestart=on-failure\nRestartSec=1ms")
            .script("srv/init", "while :; do sleep 1000; done");
    });
    s.ct(&["start", "web"]).ok();
    let mut events = s.events();
    s.ct(&["kill", "-s", "KILL", "web"]).ok();
    events.until("its end", |e| e["event"] == "exit");
    s.until("web", "running");
    s.ct(&["stop", "--now", "web"]).ok();
    s.ct(&["start", "web"]).ok();
    s.ct(&["restart", "--now", "web"]).ok();
    s.ct(&["stop", "--now", "web"]).ok();
    let status: serde_json::Value =
        serde_json::from_str(&s.ct(&["status", "web", "--json"]).ok()).expect("JSON");
    let rows = status["exits"].as_array().expect("a list").iter();
    let causes: Vec<&str> = rows.filter_map(|r| r["cause"].as_str()).collect();
    assert_eq!(causes.len(), 4, "{causes:?}");
    assert_eq!(
        (causes[0], causes[2], causes[3]),
        ("killed on request", "killed on request", "ended by SIGKILL")
    );
    drop(events);
    s.finish();
}

#[test]
fn a_container_that_only_crashes_is_given_up() {
    if !can("a_container_that_only_crashes_is_given_up") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        let lines =
            "Init=/bin/false\nRestart=always\nRestartSec=0\nStartLimitBurst=3\nStartLimitIntervalSec=1h";
        s.container("web", lines);
        s.container("other", "");
    });
    s.ct(&["start", "other"]).ok();
    let _ = s.ct(&["start", "web"]);
    s.until("web", "failed");
    let why = s.ct(&["why", "web"]).ok();
    for word in ["started too often (allowed: 3 in 1h)", "before that: exited with code 1"] {
        assert!(why.contains(word), "{word:?} is not in {why:?}");
    }
    assert_eq!(s.state("other"), "running");
    s.finish();
}

/// The last rung: what its own restarts could not mend is the host's matter, once and without waiting.
#[test]
fn what_a_container_asks_of_its_host_is_asked_once() {
    if !can("what_a_container_asks_of_its_host_is_asked_once") {
        return;
    }
    let asked = |s: &Supervisor| fs::read_to_string(s.root().join("srv/asked")).unwrap_or_default();
    // Unit lines, container lines, and the words that the host's init gets.
    let limit = "Init=/bin/false\nRestart=always\nRestartSec=0\nStartLimitBurst=3\nStartLimitIntervalSec=1h";
    let cases = [
        ("StartLimitAction=reboot", limit, "reboot\n"),
        ("StartLimitAction=reboot-force", limit, "reboot -f\n"),
        ("StartLimitAction=poweroff-immediate", limit, "poweroff -f -f\n"),
        ("StartLimitAction=none", limit, ""),
        ("FailureAction=poweroff", "Init=/bin/false\nRestart=no", "poweroff\n"),
        ("FailureAction=poweroff\nSuccessAction=reboot", "Init=/bin/true\nRestart=no", "reboot\n"),
        ("FailureAction=poweroff", "Init=/bin/true\nRestart=no", ""),
    ];
    for (unit, lines, words) in cases {
        let s = Supervisor::start_with(|s| {
            let file = s.root().join("srv/asked");
            let command = |name: &str| format!("/bin/sh -c 'echo {name} \"$@\" >>{}' -", file.display());
            s.unit(
                "host.conf",
                &format!(
                    "[Host]\nRebootCommand={}\nPoweroffCommand={}\n",
                    command("reboot"),
                    command("poweroff")
                ),
            );
            s.container("web", lines);
            s.container("other", "");
            let path = s.root().join("etc/ct/web.container");
            let text = fs::read_to_string(&path).expect("the unit");
            fs::write(path, format!("[Unit]\n{unit}\n{text}")).expect("write the unit");
        });
        s.ct(&["start", "other"]).ok();
        let mut events = s.events();
        let _ = s.ct(&["start", "web"]);
        let well = lines.contains("/bin/true");
        s.until("web", if well { "stopped" } else { "failed" });
        if !words.is_empty() {
            events.until("it asks", |e| e["event"] == "action");
            s.logged("the host's init was asked");
            let why = s.ct(&["why", "web"]).ok();
            assert!(
                why.contains("asked for") && why.contains(unit.rsplit('=').next().unwrap_or("")),
                "{why}"
            );
        }
        drop(events);
        assert_eq!(s.state("other"), "running", "{unit}");
        s.ct(&["stop", "other"]).ok();
        assert_eq!(asked(&s), words, "{unit} {lines}");
        s.finish();
    }
}

#[test]
fn a_host_that_can_not_be_asked_costs_nothing() {
    if !can("a_host_that_can_not_be_asked_costs_nothing") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.unit("host.conf", "[Host]\nRebootCommand=/bin/false\nPoweroffCommand=/no/such/program\n");
        for (name, action) in [("a", "reboot"), ("b", "poweroff")] {
            s.container(name, "Init=/bin/false\nRestart=no");
            let path = s.root().join(format!("etc/ct/{name}.container"));
            let text = fs::read_to_string(&path).expect("the unit");
            fs::write(path, format!("[Unit]\nFailureAction={action}\n{text}")).expect("write the unit");
        }
    });
    for (name, word) in [("a", "exit status: 1"), ("b", "No such file")] {
        let mut events = s.events();
        let _ = s.ct(&["start", name]);
        events.until("it says why", |e| {
            e["event"] == "action" && e["message"].as_str().is_some_and(|m| m.contains(word))
        });
        let why = s.ct(&["why", name]).ok();
        assert!(why.contains("could not ask for") && why.contains(word), "{why}");
    }
    s.finish();
}

/// A unit's own action is about its container, and the container's policy goes on from there.
#[test]
fn what_a_unit_asks_is_of_its_container() {
    if !can("what_a_unit_asks_is_of_its_container") {
        return;
    }
    let crash = "Restart=always\nRestartSec=1ms\nStartLimitBurst=3\nExecStart=/bin/false";
    // Its action, its lines, what the container comes to, and why.
    let cases = [
        ("StartLimitAction=poweroff", crash, "stopped", "halted from inside"),
        ("StartLimitAction=poweroff-force", crash, "stopped", "halted from inside"),
        ("FailureAction=exit", "ExecStart=/bin/false", "stopped", "halted from inside"),
        ("SuccessAction=poweroff-immediate", "ExecStart=/bin/true", "stopped", "halted from inside"),
        ("SuccessAction=poweroff", "ExecStart=/bin/false", "degraded", "failed inside"),
        ("StartLimitAction=reboot\nConditionPathExists=!/srv/once", crash, "running", "rebooted from inside"),
        (
            "FailureAction=reboot-force\nConditionPathExists=!/srv/once",
            "ExecStart=/bin/false",
            "running",
            "rebooted from inside",
        ),
    ];
    let s = Supervisor::start_with(|s| {
        for (i, (action, lines, ..)) in cases.iter().enumerate() {
            // After the reboot its condition keeps it from doing the same again.
            let last = if action.starts_with("Start") { 3 } else { 1 };
            let mark = format!(
                "ExecStartPre=/bin/sh -c 'echo >>/srv/n; [ $(wc -l </srv/n) -lt {last} ] || touch /srv/once'"
            );
            s.container(&format!("c{i}"), "").service("a", &format!("{mark}\n{lines}\n[Unit]\n{action}"));
        }
    });
    for (i, (action, lines, state, why)) in cases.iter().enumerate() {
        let name = format!("c{i}");
        let _ = s.ct(&["start", &name]);
        // It may be in that state before it ends, too.
        let told = Deadline::default();
        loop {
            s.until(&name, state);
            let status: serde_json::Value =
                serde_json::from_str(&s.ct(&["status", &name, "--json"]).ok()).expect("JSON");
            let said = format!("{} {}", status["why"], status["exits"]);
            if said.contains(why) {
                break;
            }
            assert!(!told.passed(), "{action} {lines}: {said}");
        }
    }
    s.finish();
}

/// A stop while it waits out its back-off is final.
#[test]
fn a_stop_during_the_back_off_is_final() {
    if !can("a_stop_during_the_back_off_is_final") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "Init=/bin/false\nRestart=always\nRestartSec=1h");
    });
    let _ = s.ct(&["start", "--no-wait", "web"]);
    s.until("web", "restarting");
    let why = s.ct(&["why", "web"]).ok();
    for word in ["exited with code 1; starts again in ", "(start 2 of 5 in 10s)"] {
        assert!(why.contains(word), "{word:?} is not in {why:?}");
    }
    // Never sooner, and up to a quarter later.
    let seconds = why.split("again in ").nth(1).and_then(|t| t.split(' ').next()?.parse::<u32>().ok());
    assert!(seconds.is_some_and(|s| (3590..=4500).contains(&s)), "{why}");
    s.ct(&["stop", "web"]).ok();
    assert_eq!(s.state("web"), "stopped");
    s.finish();
}

#[test]
fn order_holds_and_is_reversed_at_the_end() {
    if !can("order_holds_and_is_reversed_at_the_end") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        for (name, after) in [("db", ""), ("app", "db"), ("web", "app")] {
            s.container(name, "");
            let path = s.root().join(format!("etc/ct/{name}.container"));
            let text = fs::read_to_string(&path).expect("the unit");
            let order = if after.is_empty() {
                String::new()
            } else {
                format!("[Unit]\nAfter={after}.container\nRequires={after}.container\n")
            };
            fs::write(path, format!("{order}{text}")).expect("write the unit");
        }
    });
    let mut events = s.events();
    s.ct(&["start", "web"]).ok();
    events.until("web is up", |e| e["container"] == "web" && e["message"] == "running");
    let up: Vec<String> = named(&events.seen, "running");
    assert_eq!(up, ["db", "app", "web"]);
    events.seen.clear();
    s.ct(&["stop", "db"]).ok();
    events.until("db is down", |e| e["container"] == "db" && e["message"] == "stopped");
    assert_eq!(named(&events.seen, "stopped"), ["web", "app", "db"]);
    drop(events);
    s.finish();
}

fn named(events: &[serde_json::Value], state: &str) -> Vec<String> {
    let wanted = events.iter().filter(|e| e["event"] == "state" && e["message"] == state);
    wanted.filter_map(|e| e["container"].as_str().map(str::to_owned)).collect()
}

#[test]
fn autostart_starts_what_it_should() {
    if !can("autostart_starts_what_it_should") {
        return;
    }
    let mut s = Supervisor::start_with(|s| {
        for (name, autostart) in [("yes", "yes"), ("no", "no"), ("last", "last")] {
            s.container(name, &format!("[Install]\nAutostart={autostart}"));
        }
    });
    s.until("yes", "running");
    assert_eq!((s.state("no").as_str(), s.state("last").as_str()), ("stopped", "stopped"));
    s.ct(&["start", "last"]).ok();
    s.ct(&["enable", "no"]).ok();
    s.ct(&["shutdown"]).ok();
    s.ended();
    s.run();
    for name in ["yes", "no", "last"] {
        s.until(name, "running");
    }
    s.finish();
}

#[test]
fn degraded_says_which_unit_failed() {
    if !can("degraded_says_which_unit_failed") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "").service("bad", "Type=oneshot\nExecStart=/bin/false");
    });
    s.ct(&["start", "web"]).ok();
    assert_eq!(s.state("web"), "degraded");
    assert!(s.ct(&["why", "web"]).ok().contains("bad.service"));
    s.finish();
}

#[test]
fn pause_and_resume() {
    if !can("pause_and_resume") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "").service("a", "ExecStart=/bin/sleep 1000");
    });
    s.ct(&["start", "web"]).ok();
    s.ct(&["pause", "web"]).ok();
    assert_eq!(s.state("web"), "paused");
    let group = s.groups_of("web").remove(0);
    tests::groups::until(&group, "frozen 1");
    s.ct(&["resume", "web"]).ok();
    assert_eq!(s.state("web"), "running");
    assert_eq!(s.sh("web", "echo hi").ok(), "hi\n");
    // One that is paused can be stopped: a frozen process takes no signal.
    s.ct(&["pause", "web"]).ok();
    s.ct(&["stop", "web"]).ok();
    assert_eq!(s.state("web"), "stopped");
    s.finish();
}

#[test]
fn a_template_is_shared_and_changes_are_private() {
    if !can("a_template_is_shared_and_changes_are_private") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        let rootfs = tests::rootfs::Rootfs::new(&s.root().join("srv/base"));
        let status = std::process::Command::new("tar")
            .args(["-C", &rootfs.path().to_string_lossy(), "-cf"])
            .arg(s.root().join("base.tar"))
            .arg(".")
            .status();
        assert!(status.expect("run tar").success());
        s.unit("keep.container", "[Container]\nTemplate=base\n");
        s.unit("throw.container", "[Container]\nTemplate=base\nEphemeral=yes\n");
    });
    let tar = s.root().join("base.tar");
    s.ct(&["template", "import", &tar.to_string_lossy()]).ok();
    s.ct(&["start", "keep", "throw"]).ok();
    for name in ["keep", "throw"] {
        s.sh(name, &format!("echo {name} > /srv/x; stat -c %u /srv/x; rm /bin/true")).ok();
        s.ct(&["restart", name]).ok();
    }
    assert_eq!(s.sh("keep", "cat /srv/x; ls /bin/true 2>&1 | grep -c 'No such'").ok(), "keep\n1\n");
    assert_eq!(s.sh("throw", "ls /srv; ls /bin/true").ok(), "/bin/true\n");
    s.ct(&["template", "remove", "base"]).refused(5, &["base"]);
    s.ct(&["stop", "--all"]).ok();
    s.ct(&["destroy", "--yes", "keep", "throw"]).ok();
    s.ct(&["template", "remove", "base"]).ok();
    let left: Vec<_> =
        fs::read_dir(s.root().join("var/lib/ct/containers")).into_iter().flatten().flatten().collect();
    assert_eq!(left.len(), 0, "{left:?}");
    s.finish();
}

#[test]
fn create_writes_a_unit_that_starts() {
    if !can("create_writes_a_unit_that_starts") {
        return;
    }
    let s = Supervisor::start();
    s.ct(&["create", "new", "--template", "host", "--set", "MemoryMax=64M", "--set", "Hostname=fresh"]).ok();
    s.ct(&["start", "new"]).ok();
    assert_eq!(s.ct(&["exec", "new", "--", "/bin/hostname"]).ok(), "fresh\n");
    assert_eq!(
        s.ct(&["exec", "new", "--", "sh", "-c", "cat /etc/hostname 2>/dev/null; ls -A /root /home | wc -l"])
            .code,
        0
    );
    s.ct(&["create", "new", "--template", "host"]).refused(5, &["new"]);
    s.ct(&["destroy", "--yes", "new"]).refused(5, &["new"]);
    s.ct(&["stop", "new"]).ok();
    s.ct(&["destroy", "--yes", "new"]).ok();
    s.ct(&["start", "new"]).refused(3, &["new"]);
    s.finish();
}

#[test]
fn plan_changes_nothing() {
    if !can("plan_changes_nothing") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "");
    });
    let plan = s.ct(&["plan", "start", "web"]).ok();
    assert!(plan.contains("let the child go"), "{plan}");
    assert_eq!(s.state("web"), "stopped");
    assert_eq!(s.groups_of("web"), Vec::<PathBuf>::new());
    s.finish();
}
