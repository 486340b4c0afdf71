//! stops: a container is quick to stop whatever holds it back, and what does not end is named and left behind.
use crate::can;
use std::fs;
use std::path::PathBuf;
use tests::groups;
use tests::need::{FREEZER, Need, have};
use tests::supervisor::Supervisor;

/// One that is frozen and may use a thousandth of a CPU stops like any other, and not at its deadline.
#[test]
fn neither_frozen_nor_throttled_is_slow_to_stop() {
    if !can("neither_frozen_nor_throttled_is_slow_to_stop") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        let web = s.container("web", "TimeoutStopSec=1h");
        web.service(
            "last",
            "ExecStart=/bin/sleep 1000\nExecStop=/bin/sh -c 'until [ -e /srv/go ]; do sleep 0.05; done'",
        );
        for i in 0..20 {
            // A stop has work to do.
            web.service(
                &format!("a{i}"),
                "ExecStart=/bin/sleep 1000\nExecStop=/bin/sh -c 'echo stops >>/srv/stops'",
            );
        }
    });
    s.ct(&["start", "web"]).ok();
    s.ct(&["set", "web", "CPUQuota=1%", "CPUWeight=1"]).ok();
    s.ct(&["pause", "web"]).ok();
    let plan = s.ct(&["plan", "stop", "web"]).ok();
    let lifted = plan.lines().take_while(|l| !l.starts_with("ask web")).collect::<Vec<_>>().join(" ");
    for word in ["thaw", "= 1"] {
        assert!(lifted.contains(word), "{word}: {plan}");
    }
    assert!(lifted.contains("cfs_quota_us = -1") || lifted.contains("cpu.max = max"), "{plan}");
    let mut events = s.events();
    s.ct(&["stop", "--no-wait", "web"]).ok();
    events.until("it stops", |e| e["container"] == "web" && e["message"] == "stopping");
    // They hold for as long as its last unit takes its time.
    let on_v1 = s.groups_of("web").iter().any(|g| g.join("cpu.cfs_quota_us").exists());
    let files = if on_v1 {
        [("cpu.cfs_quota_us", "-1"), ("cpu.shares", "1024")]
    } else {
        [("cpu.max", "max 100000"), ("cpu.weight", "100")]
    };
    for (file, value) in files {
        assert_eq!(s.cgroup_file("web", file), value, "{file}");
    }
    fs::write(s.root().join("srv/web/srv/go"), "").expect("let it go");
    s.until("web", "stopped");
    drop(events);
    let stops = fs::read_to_string(s.root().join("srv/web/srv/stops")).expect("they were asked politely");
    assert_eq!(stops.lines().count(), 20);
    assert_eq!(s.groups_of("web"), Vec::<PathBuf>::new());
    s.finish();
}

/// A group of the v1 freezer, thawed and removed whatever happens.
struct Ice(PathBuf);

impl Ice {
    fn new() -> Ice {
        let group = PathBuf::from(FREEZER).join(groups::unique());
        fs::create_dir(&group).expect("make a group");
        Ice(group)
    }
    fn freeze(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("move it");
        fs::write(self.0.join("freezer.state"), "FROZEN").expect("freeze it");
        // The kernel says FREEZING until all of them stand still.
        let deadline = tests::wait::Deadline::default();
        while fs::read_to_string(self.0.join("freezer.state")).is_ok_and(|s| s.trim() != "FROZEN") {
            assert!(!deadline.passed(), "it does not freeze");
        }
    }
    fn thaw(&self) {
        fs::write(self.0.join("freezer.state"), "THAWED").expect("thaw it");
    }
}

impl Drop for Ice {
    fn drop(&mut self) {
        let _thawed = fs::write(self.0.join("freezer.state"), "THAWED");
        let deadline = tests::wait::Deadline::default();
        while fs::remove_dir(&self.0).is_err() && !deadline.passed() {}
    }
}

fn frozen(ice: &Ice, name: &str) -> Option<(Supervisor, i32)> {
    if !have(name, &[Need::Root, Need::Unified, Need::Freezer]) || !can(name) {
        return None;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "TimeoutStopSec=1").service("a", "ExecStart=/bin/sleep 1000");
    });
    s.ct(&["start", "web"]).ok();
    let one = s.row("web")["pid"].as_i64().expect("a pid");
    let sleep = s.processes("web").into_iter().find(|p| i64::from(*p) != one).expect("its service");
    ice.freeze(sleep);
    Some((s, sleep))
}

#[test]
fn what_not_even_sigkill_ends_is_named_and_the_next_start_goes_on_beside_it() {
    let ice = Ice::new();
    let name = "what_not_even_sigkill_ends_is_named_and_the_next_start_goes_on_beside_it";
    let Some((s, sleep)) = frozen(&ice, name) else { return };
    let pidfd = ct_sys::proc::pidfd_open(u32::try_from(sleep).expect("a pid")).expect("it is there");
    let who = format!("sleep pid {sleep} state D");
    s.ct(&["stop", "web"]).refused(1, &["not even SIGKILL", &who]);
    assert_eq!(s.state("web"), "stuck");
    assert!(s.ct(&["why", "web"]).ok().contains(&who), "{}", s.ct(&["why", "web"]).out);
    assert!(s.log().contains(&who), "{}", s.log());
    // Once more is no help, and is said again.
    s.ct(&["stop", "web"]).refused(1, &[&who]);
    s.ct(&["start", "web"]).ok();
    assert_eq!(s.state("web"), "running");
    assert_eq!(s.sh("web", "pidof sleep | wc -w").ok(), "1\n");
    let old = s.groups_of("web");
    assert!(old.iter().any(|g| groups::processes(g).contains(&sleep)), "it is still there: {old:?}");
    ice.thaw();
    tests::wait::Deadline::default().ready(std::os::fd::AsFd::as_fd(&pidfd), nix::poll::PollFlags::POLLIN);
    s.logged("what was left behind has ended");
    assert_eq!(s.groups_of("web"), Vec::<PathBuf>::new(), "its groups go with it");
    s.ct(&["stop", "web"]).ok();
    assert_eq!(s.state("web"), "stopped");
    s.finish();
}

#[test]
fn what_is_stuck_does_not_hold_a_shutdown_and_is_met_by_the_next_supervisor() {
    let ice = Ice::new();
    let name = "what_is_stuck_does_not_hold_a_shutdown_and_is_met_by_the_next_supervisor";
    let Some((mut s, _)) = frozen(&ice, name) else { return };
    s.ct(&["shutdown"]).refused(1, &["not even SIGKILL"]);
    s.ended();
    s.run();
    // Two tries meet the old group; then there are fresh ones. Its own restarts are tries as well.
    let _refused = s.ct(&["start", "web"]);
    s.until("web", "running");
    s.ct(&["stop", "web"]).ok();
    ice.thaw();
    for group in s.groups_of("web") {
        groups::until(&group, "populated 0");
    }
    s.ct(&["start", "web"]).ok();
    s.ct(&["stop", "web"]).ok();
    let parents = groups::hierarchies().into_iter().map(|h| h.join(&s.parent).join("web"));
    parents.filter(|g| g.is_dir()).for_each(|g| groups::remove(&g));
    s.finish();
}
