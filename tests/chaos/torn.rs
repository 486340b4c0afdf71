//! torn: state files that are half written, of another program, of a later version, or that name a stranger.
use crate::can;
use nix::libc::SIGKILL;
use serde_json::Value;
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use tests::supervisor::Supervisor;
use tests::wait::Deadline;

/// What a file of state may hold instead.
const TORN: &[&str] = &[
    "",
    "{\"format\":1,\"da",
    "{\"format\":99,\"data\":{}}",
    "{\"format\":1,\"data\":{\"surprise\":true}}",
    "[]",
    "\0\0\0\0\0\0",
];

fn two() -> Supervisor {
    let s = Supervisor::start_with(|s| {
        for name in ["web", "db"] {
            s.container(name, "StartLimitIntervalSec=0").service("a", "ExecStart=/bin/sleep 1000");
        }
    });
    s.ct(&["start", "web", "db"]).ok();
    s
}

fn life(s: &Supervisor, name: &str) -> PathBuf {
    s.root().join("run/ct/lives").join(format!("{name}.json"))
}

#[test]
fn a_torn_life_is_set_aside_and_its_container_is_never_there_twice() {
    if !can("a_torn_life_is_set_aside_and_its_container_is_never_there_twice") {
        return;
    }
    let mut s = two();
    for torn in TORN {
        let db = s.row("db")["pid"].clone();
        s.end(15);
        fs::write(life(&s, "web"), torn).expect("tear it");
        s.run();
        s.logged("set aside");
        assert_eq!(
            (s.state("db").as_str(), &s.row("db")["pid"]),
            ("running", &db),
            "{torn:?}: db is another"
        );
        s.ct(&["start", "web"]).ok();
        assert_eq!(s.state("web"), "running", "{torn:?}");
        let pids = s.processes("web");
        assert_eq!(pids.len(), 2, "{torn:?}: ct-init and sleep, once each: {pids:?}");
    }
    s.finish();
}

#[test]
fn a_life_that_names_a_stranger_adopts_nothing_and_kills_nobody() {
    if !can("a_life_that_names_a_stranger_adopts_nothing_and_kills_nobody") {
        return;
    }
    let mut s = two();
    let mut stranger = Command::new("/bin/busybox").args(["sleep", "1000"]).spawn().expect("run sleep");
    let pid = u32::try_from(s.row("web")["pid"].as_u64().expect("it runs")).expect("a pid");
    let pidfd = ct_sys::proc::pidfd_open(pid).expect("it runs");
    s.end(15);
    ct_sys::proc::pidfd_send_signal(pidfd.as_fd(), SIGKILL).expect("it runs");
    assert!(Deadline::default().ready(pidfd.as_fd(), nix::poll::PollFlags::POLLIN));
    let text = fs::read_to_string(life(&s, "web")).expect("its life");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    let process = &mut value["data"]["run"]["process"];
    assert_eq!(process["pid"].as_u64(), Some(u64::from(pid)), "{text}");
    process["pid"] = stranger.id().into();
    fs::write(life(&s, "web"), value.to_string()).expect("write its life");
    s.run();
    let row = s.row("web");
    assert_ne!(row["pid"].as_u64(), Some(u64::from(stranger.id())), "a stranger was adopted");
    s.ct(&["kill", "-s", "KILL", "web"]);
    s.ct(&["stop", "web"]);
    s.ct(&["start", "web"]).ok();
    s.ct(&["stop", "web"]).ok();
    let alive = stranger.try_wait().expect("ask").is_none();
    let _ended_already = stranger.kill();
    let _reaped = stranger.wait();
    assert!(alive, "a stranger was killed");
    assert_eq!(s.state("db"), "running");
    s.finish();
}
