//! groups: cgroups of a test's own, removed with all that is in them. Never touches another's.
use crate::wait::Deadline;
use host_supervisor::facts::{Cgroups, probe};
use nix::poll::PollFlags;
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A name that no other test has: `ct-test-<pid>-<n>`.
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("ct-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// This machine's hierarchies, each mount point once; the v2 tree first.
pub fn hierarchies() -> Vec<PathBuf> {
    let Cgroups { unified, v1, .. } = probe().cgroups;
    let mut all: Vec<PathBuf> = unified.into_iter().collect();
    for mount in v1.into_values() {
        if !all.contains(&mount) {
            all.push(mount);
        }
    }
    all
}

/// Kills all that is in a v2 group and waits until it is empty.
///
/// # Panics
/// If processes survive.
pub fn kill(group: &Path) {
    if fs::write(group.join("cgroup.kill"), "1").is_ok() {
        until(group, "populated 0");
    }
}

/// Waits until a v2 group's cgroup.events says this, or the group is gone.
///
/// # Panics
/// If it never does.
pub fn until(group: &Path, line: &str) {
    let deadline = Deadline::default();
    while let Ok(mut events) = fs::File::open(group.join("cgroup.events")) {
        let mut text = String::new();
        // Reading arms the descriptor; PRI comes with the next change.
        if events.read_to_string(&mut text).is_err() || text.lines().any(|l| l == line) {
            return;
        }
        assert!(deadline.ready(events.as_fd(), PollFlags::POLLPRI), "{group:?} never has {line}: {text}");
    }
}

/// Every group below this one, itself last.
pub fn below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let dirs = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    let mut all: Vec<PathBuf> = dirs.flat_map(|e| below(&e.path())).collect();
    all.push(group.to_path_buf());
    all
}

/// Processes in a group and below it.
pub fn processes(group: &Path) -> Vec<i32> {
    let read = |g: PathBuf| fs::read_to_string(g.join("cgroup.procs")).unwrap_or_default();
    below(group)
        .into_iter()
        .flat_map(|g| read(g).lines().filter_map(|l| l.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Removes a group and those below it, which must be empty of processes.
pub fn remove(group: &Path) {
    if group.is_dir() {
        for dir in below(group) {
            fs::remove_dir(&dir).unwrap_or_else(|e| panic!("remove group {dir:?}: {e}"));
        }
    }
}

/// A v2 group that goes with its owner.
#[derive(Debug)]
pub struct OwnGroup(PathBuf);

impl OwnGroup {
    /// Makes one; none without a v2 tree.
    pub fn new() -> Option<OwnGroup> {
        let path = probe().cgroups.unified?.join(unique());
        fs::create_dir(&path).expect("make a group");
        Some(OwnGroup(path))
    }
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for OwnGroup {
    fn drop(&mut self) {
        kill(&self.0);
        remove(&self.0);
    }
}
