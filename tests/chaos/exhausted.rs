//! exhausted: the supervisor meets a limit of its host: it says so, goes on, and works again once there is room.
use crate::can;
use crate::fleet::Small;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fs;
use std::path::PathBuf;
use tests::groups;
use tests::supervisor::Supervisor;
use tests::wait::Deadline;

fn two() -> Supervisor {
    let s = Supervisor::start_with(|s| {
        s.container("web", "").service("a", "ExecStart=/bin/sleep 1000");
        s.container("db", "").service("a", "ExecStart=/bin/sleep 1000");
    });
    s.ct(&["start", "db"]).ok();
    s
}

/// The start was refused in a sentence; the other one runs; once there is room again, so does the first.
fn recovers(s: Supervisor, words: &[&str], again: impl FnOnce(&Supervisor)) {
    s.ct(&["start", "web"]).refused(1, words);
    assert_ne!(s.state("web"), "running");
    assert_eq!(s.state("db"), "running");
    assert_eq!(s.groups_of("web"), Vec::<PathBuf>::new(), "a refused start leaves groups");
    again(&s);
    s.ct(&["start", "web"]).ok();
    assert_eq!(s.state("web"), "running");
    assert_eq!(s.sh("db", "pidof sleep | wc -w").ok(), "1\n");
    s.finish();
}

fn descriptors(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count() as u64
}

/// So many descriptors, and no more; returns what it was before.
fn limit(pid: u32, to: Option<u64>) -> Option<u64> {
    let who = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a process");
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: to, maximum };
    prlimit(Some(who), Resource::Nofile, limit).expect("limit its descriptors").current
}

#[test]
fn without_free_descriptors_a_start_is_refused_and_all_else_goes_on() {
    if !can("without_free_descriptors_a_start_is_refused_and_all_else_goes_on") {
        return;
    }
    let s = two();
    let pid = s.serving();
    // Enough for a client, not for a container.
    let before = limit(pid, Some(descriptors(pid) + 3));
    recovers(s, &["web", "open files"], |_| {
        limit(pid, before);
    });
}

#[test]
fn with_no_descriptor_at_all_clients_wait_and_are_answered_later() {
    if !can("with_no_descriptor_at_all_clients_wait_and_are_answered_later") {
        return;
    }
    let s = two();
    let pid = s.serving();
    let before = limit(pid, Some(descriptors(pid)));
    let client = s.ct_command(&["list"]).spawn().expect("run ct");
    // It has said so, or has found room in its reserve; either way it lives.
    assert!(tests::supervisor::ran(s.ct_command(&["list"]).spawn().expect("run ct")).code >= 0);
    limit(pid, before);
    assert!(tests::supervisor::ran(client).code >= 0);
    assert_eq!((s.state("db").as_str(), s.serving()), ("running", pid), "it went on");
    s.ct(&["start", "web"]).ok();
    s.finish();
}

/// A group of a v1 pids hierarchy, with the supervisor in it.
struct Narrow(PathBuf);

impl Narrow {
    fn around(pid: u32) -> Option<Narrow> {
        let hierarchies = groups::hierarchies();
        let group = hierarchies.iter().find(|h| h.ends_with("pids"))?.join(groups::unique());
        fs::create_dir(&group).expect("make a group");
        fs::write(group.join("cgroup.procs"), pid.to_string()).expect("move the supervisor");
        Some(Narrow(group))
    }
    fn limit(&self, to: &str) {
        fs::write(self.0.join("pids.max"), to).expect("limit it");
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        let up = self.0.parent().expect("a hierarchy").join("cgroup.procs");
        for pid in groups::processes(&self.0) {
            let _ended_meanwhile = fs::write(&up, pid.to_string());
        }
        let _left = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_refused_fork_fails_one_start_and_no_more() {
    if !can("a_refused_fork_fails_one_start_and_no_more") {
        return;
    }
    let s = two();
    let Some(narrow) = Narrow::around(s.serving()) else {
        crate::say("skipped a_refused_fork_fails_one_start_and_no_more: needs a v1 pids hierarchy");
        return s.finish();
    };
    narrow.limit("1");
    recovers(s, &["web", "Try again"], |_| {
        narrow.limit("max");
        drop(narrow);
    });
}

/// How a small var/lib/ct or run/ct fails, and whether a container still starts then.
#[test]
fn a_state_directory_that_takes_nothing_keeps_no_container_from_running() {
    if !can("a_state_directory_that_takes_nothing_keeps_no_container_from_running") {
        return;
    }
    for full in [true, false] {
        let mut s = Supervisor::idle();
        let small = Small::mount(&s.root().join("var/lib/ct"), "size=1m,mode=755");
        s.container("web", "Restart=always\nRestartSec=0").service("a", "ExecStart=/bin/sleep 1000");
        s.run();
        s.ct(&["start", "web"]).ok();
        s.ct(&["stop", "web"]).ok();
        // What follows an end is written a moment after the stop is answered, and would make room for what is next.
        let told = Deadline::default();
        while !s.ct(&["status", "web"]).ok().contains("; stopped") {
            assert!(!told.passed(), "the end is never told");
        }
        if full {
            small.fill()
        } else {
            small.read_only(true)
        }
        s.ct(&["start", "web"]).ok();
        assert_eq!(s.state("web"), "running");
        s.logged("going on in memory");
        s.ct(&["stop", "web"]).ok();
        assert_eq!(s.state("web"), "stopped");
        if full {
            small.drain()
        } else {
            small.read_only(false)
        }
        s.ct(&["start", "web"]).ok();
        let left = s.leave();
        drop(small);
        left.finish();
    }
}

#[test]
fn a_full_run_directory_is_said_and_starts_work_once_there_is_room() {
    if !can("a_full_run_directory_is_said_and_starts_work_once_there_is_room") {
        return;
    }
    let mut s = Supervisor::idle();
    let small = Small::mount(&s.root().join("run/ct"), "size=1m,mode=755");
    s.container("web", "").service("a", "ExecStart=/bin/sleep 1000");
    s.container("db", "").service("a", "ExecStart=/bin/sleep 1000");
    s.run();
    s.ct(&["start", "db"]).ok();
    small.fill();
    let ran = s.ct(&["start", "web"]);
    assert!(ran.code == 0 || ran.err.contains("No space left"), "{ran:?}");
    s.logged("going on in memory");
    assert_eq!(s.state("db"), "running");
    s.ct(&["stop", "db"]).ok();
    small.drain();
    s.ct(&["start", "web", "db"]).ok();
    let left = s.leave();
    drop(small);
    left.finish();
}

/// Timers run on clocks that nobody sets: files that wait never name another one.
#[test]
fn a_clock_that_is_set_back_moves_no_timer() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    // They read the time of day to write it down, or to show it.
    let may = [
        "ct-init/src/clock.rs",
        "ct-init/src/engine/timers.rs",
        "host-supervisor/src/control",
        "host-supervisor/src/template",
    ];
    let mut wrong = Vec::new();
    let mut dirs =
        ["ct-init/src", "ct-init/sys/src", "host-supervisor/src", "units/src"].map(|d| root.join(d)).to_vec();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("read sources").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(&root).expect("below it").display().to_string();
            if path.is_dir() {
                dirs.push(path);
            } else if !may.iter().any(|m| name.starts_with(m)) {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let clock = ["SystemTime", "CLOCK_REALTIME", "ClockId::Realtime", "TimerfdClockId::Realtime"];
                wrong.extend(clock.iter().filter(|c| text.contains(*c)).map(|c| format!("{name}: {c}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
