//! ready: readiness by a port, unhealthy containers, and the watchdog, as the supervisor and ct show them.
use crate::can;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::supervisor::Supervisor;

fn status(s: &Supervisor, name: &str) -> Value {
    serde_json::from_str(&s.ct(&["status", name, "--json"]).ok()).expect("JSON")
}

/// The sentence of the last end.
fn last_exit(s: &Supervisor, name: &str) -> String {
    status(s, name)["exits"][0]["cause"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_container_that_waits_for_its_port_says_so_and_is_running_once_it_is_open() {
    if !can("a_container_that_waits_for_its_port_says_so_and_is_running_once_it_is_open") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "ReadyWhen=tcp:8080")
            .unit("port.service", "[Service]\nExecStart=/bin/nc -l -p 8080\n");
        let after = "[Unit]\nRequires=web\nAfter=web\n";
        let rootfs = s.container("app", "");
        s.unit("app.container", &format!("{after}[Container]\nRootfs={}\n", rootfs.path().display()));
    });
    s.ct(&["start", "--no-wait", "app"]).ok();
    let deadline = tests::wait::Deadline::default();
    while !s.ct(&["why", "web"]).ok().contains("waits for port 8080") {
        assert!(!deadline.passed(), "{}", s.ct(&["why", "web"]).out);
    }
    assert_eq!(s.state("web"), "starting");
    assert_eq!(s.state("app"), "stopped");
    s.ct(&["start", "web/port.service"]).ok();
    s.ct(&["wait", "app", "--for", "ready"]).ok();
    assert_eq!(s.state("web"), "running");
    s.finish();
}

#[test]
fn a_port_that_nobody_opens_fails_the_start_with_the_reason() {
    if !can("a_port_that_nobody_opens_fails_the_start_with_the_reason") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "ReadyWhen=tcp:8080\nTimeoutStartSec=1s\nRestart=no");
    });
    s.ct(&["start", "web"]).refused(1, &["not ready in time", "waits for port 8080"]);
    assert_eq!(s.state("web"), "failed");
    assert_eq!(last_exit(&s, "web"), "not ready in time: waits for port 8080");
    s.finish();
}

#[test]
fn an_unhealthy_container_is_started_again_and_the_reason_is_kept() {
    if !can("an_unhealthy_container_is_started_again_and_the_reason_is_kept") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        // Sick until its next start: /run is fresh then.
        s.container(
            "web",
            "HealthCheck=/bin/sh -c 'test ! -e /run/sick || { echo no answer; exit 7; }'\nHealthIntervalSec=100ms\n\
             HealthRetries=2\nRestart=on-failure",
        );
    });
    s.ct(&["start", "web"]).ok();
    let first = s.row("web")["pid"].clone();
    assert_eq!(s.sh("web", "touch /run/sick").ok(), "");
    s.logged("ended");
    s.ct(&["wait", "web", "--for", "ready"]).ok();
    assert_ne!(s.row("web")["pid"], first);
    let last = last_exit(&s, "web");
    assert!(
        last.starts_with("health check failed ") && last.ends_with(" in a row: exited with 7 (no answer)"),
        "{last}"
    );
    s.finish();
}

#[test]
fn a_ct_init_that_hangs_is_killed_by_the_watchdog_and_started_again() {
    if !can("a_ct_init_that_hangs_is_killed_by_the_watchdog_and_started_again") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "WatchdogSec=2s\nRestart=on-watchdog");
    });
    s.ct(&["start", "web"]).ok();
    // A frozen one is not expected to speak.
    s.ct(&["pause", "web"]).ok();
    assert_eq!(s.ct(&["wait", "web", "--for", "stopped", "--timeout", "3s"]).code, 124);
    assert_eq!(s.state("web"), "paused");
    s.ct(&["resume", "web"]).ok();
    let first = s.row("web")["pid"].as_i64().expect("a pid");
    kill(Pid::from_raw(first as i32), Signal::SIGSTOP).expect("it runs");
    s.logged("ended");
    s.ct(&["wait", "web", "--for", "ready"]).ok();
    assert_ne!(s.row("web")["pid"].as_i64(), Some(first));
    assert_eq!(last_exit(&s, "web"), "no keep-alive in time");
    s.finish();
}

#[test]
fn what_only_ct_init_does_is_refused_with_an_init_of_the_guests() {
    if !can("what_only_ct_init_does_is_refused_with_an_init_of_the_guests") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "Init=/bin/init\nReadyWhen=file:/run/up");
    });
    s.ct(&["start", "web"]).refused(5, &["ReadyWhen=file:/run/up", "only ct-init does that"]);
    s.finish();
}
