//! groups: of containers, that others sit in or take away.
use crate::can;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use tests::groups;
use tests::supervisor::Supervisor;

fn web() -> Supervisor {
    let s = Supervisor::start_with(|s| {
        s.container("web", "").service("a", "ExecStart=/bin/sleep 1000");
        s.container("db", "").service("a", "ExecStart=/bin/sleep 1000");
    });
    s.ct(&["start", "web", "db"]).ok();
    s
}

/// A process of the test in a group, until it is dropped.
struct Sitter(Child);

impl Sitter {
    fn sits(group: &Path) -> Sitter {
        let sitter = Sitter(Command::new("/bin/busybox").args(["sleep", "1000"]).spawn().expect("run sleep"));
        fs::write(group.join("cgroup.procs"), sitter.0.id().to_string()).expect("move it");
        sitter
    }
}

impl Drop for Sitter {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// In a v1 hierarchy nothing kills a stranger; the group can't be removed as long as it sits there.
fn strangers_place(s: &Supervisor) -> Option<PathBuf> {
    s.groups_of("web").into_iter().find(|g| !g.join("cgroup.kill").exists())
}

#[test]
fn a_group_that_cannot_be_removed_is_named_and_blocks_no_longer_than_it_is_held() {
    if !can("a_group_that_cannot_be_removed_is_named_and_blocks_no_longer_than_it_is_held") {
        return;
    }
    let s = web();
    let Some(place) = strangers_place(&s) else { return s.finish() };
    let mut sitter = Sitter::sits(&place);
    let ran = s.ct(&["stop", "web"]);
    assert!(ran.code == 0 || ran.err.contains("remove group"), "{ran:?}");
    assert!(s.log().contains("remove group") && s.log().contains("busy"), "it says nothing: {}", s.log());
    assert!(sitter.0.try_wait().expect("ask").is_none(), "a stranger is left alone");
    assert_ne!(s.state("web"), "running");
    assert_eq!(s.state("db"), "running");
    let ran = s.ct(&["start", "web"]);
    assert!(ran.code == 0 || ran.err.contains("remove group"), "{ran:?}");
    drop(sitter);
    s.ct(&["start", "web"]).ok();
    s.finish();
}

#[test]
fn groups_that_vanish_cost_a_running_container_nothing() {
    if !can("groups_that_vanish_cost_a_running_container_nothing") {
        return;
    }
    let s = web();
    for group in s.groups_of("web").iter().filter(|g| !g.join("cgroup.kill").exists()) {
        let top = groups::hierarchies().into_iter().find(|h| group.starts_with(h)).expect("a hierarchy");
        for pid in groups::processes(group) {
            let _ended_meanwhile = fs::write(top.join("cgroup.procs"), pid.to_string());
        }
        groups::remove(group);
    }
    for words in [&["list"][..], &["status", "web"], &["exec", "web", "--", "/bin/true"]] {
        s.ct(words).ok();
    }
    // Changes need what is gone, and say so or make it again.
    let set = s.ct(&["set", "web", "MemoryMax=100M"]);
    assert!([0, 1, 5].contains(&set.code), "{set:?}");
    assert_eq!((s.state("web").as_str(), s.state("db").as_str()), ("running", "running"));
    s.ct(&["restart", "web"]).ok();
    assert_eq!(s.state("web"), "running");
    s.finish();
}

#[test]
fn groups_that_are_there_before_the_first_start_are_taken_over() {
    if !can("groups_that_are_there_before_the_first_start_are_taken_over") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "").service("a", "ExecStart=/bin/sleep 1000");
    });
    for hierarchy in groups::hierarchies() {
        let top = hierarchy.join(&s.parent);
        if top.is_dir() {
            fs::create_dir_all(top.join("web/payload/old")).expect("make a group");
        }
    }
    s.ct(&["start", "web"]).ok();
    assert_eq!(s.state("web"), "running");
    s.finish();
}
