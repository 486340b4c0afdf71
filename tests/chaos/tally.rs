//! tally: what a supervisor, its keeper and its containers hold of the machine, before and after. Changes nothing.
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use tests::groups;
use tests::supervisor::Supervisor;
use tests::wait::Deadline;

/// What is held at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Open descriptors of keeper and supervisor, by what they are, with the numbers of sockets and the like taken off.
    descriptors: BTreeMap<(&'static str, String), usize>,
    /// Own groups in every hierarchy.
    groups: BTreeSet<String>,
    /// Mounts below the root, as the test, the keeper and the supervisor see them.
    mounts: Vec<String>,
    /// Files below run/ct and var/lib/ct, two levels deep: what a container writes into its own is its own matter.
    files: BTreeSet<String>,
    /// Children of the two, other than the supervisor.
    children: Vec<String>,
}

/// Memory of one process, bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

/// Parent of a process, and its name.
fn parent(pid: &str) -> Option<(u32, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    Some((tail.split_whitespace().nth(1)?.parse().ok()?, head.split_once('(')?.1.to_owned()))
}

fn processes() -> Vec<String> {
    let all = fs::read_dir("/proc").expect("read /proc").flatten();
    let names = all.map(|e| e.file_name().to_string_lossy().into_owned());
    names.filter(|n| n.bytes().all(|b| b.is_ascii_digit())).collect()
}

fn descriptors(who: &'static str, pid: u32, into: &mut BTreeMap<(&'static str, String), usize>) {
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let Ok(to) = fs::read_link(entry.path()) else { continue };
        // socket:[123] → socket; the log pipe of the test is another one for each start.
        let what = to.to_string_lossy().split(":[").next().unwrap_or_default().to_owned();
        *into.entry((who, what)).or_default() += 1;
    }
}

fn files(at: &Path, depth: u32, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        into.insert(entry.path().display().to_string());
        if depth > 0 && entry.file_type().is_ok_and(|t| t.is_dir()) {
            files(&entry.path(), depth - 1, into);
        }
    }
}

impl Tally {
    /// Counts.
    pub(crate) fn of(s: &Supervisor) -> Tally {
        let pids = [("keeper", s.pid()), ("supervisor", s.serving())];
        let mut tally = Tally {
            descriptors: BTreeMap::new(),
            groups: BTreeSet::new(),
            mounts: Vec::new(),
            files: BTreeSet::new(),
            children: Vec::new(),
        };
        let root = s.root().to_string_lossy().into_owned();
        for (who, pid) in pids {
            descriptors(who, pid, &mut tally.descriptors);
            let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            let own = mounts.lines().filter(|l| l.contains(&root)).map(|l| format!("{who}: {l}"));
            tally.mounts.extend(own);
        }
        for hierarchy in groups::hierarchies() {
            let top = hierarchy.join(&s.parent);
            if top.is_dir() {
                tally.groups.extend(groups::below(&top).iter().map(|g| g.display().to_string()));
            }
        }
        files(&s.root().join("run/ct"), 2, &mut tally.files);
        files(&s.root().join("var/lib/ct"), 2, &mut tally.files);
        for pid in processes() {
            let Some((up, name)) = parent(&pid) else { continue };
            if pids.iter().any(|(_, p)| *p == up) && pid != pids[1].1.to_string() {
                tally.children.push(name);
            }
        }
        tally
    }

    /// What has come or gone since then, one a line.
    pub(crate) fn difference(&self, now: &Tally) -> Vec<String> {
        let mut all = Vec::new();
        for key in self.descriptors.keys().chain(now.descriptors.keys()).collect::<BTreeSet<_>>() {
            let count = |t: &Tally| t.descriptors.get(key).copied().unwrap_or(0);
            // Fewer is no leak: what was open for a moment when it was counted first.
            if count(self) < count(now) {
                all.push(format!(
                    "descriptors of the {}: {}: {} → {}",
                    key.0,
                    key.1,
                    count(self),
                    count(now)
                ));
            }
        }
        let mut sets = |what: &str, was: &BTreeSet<String>, is: &BTreeSet<String>| {
            all.extend(is.difference(was).map(|n| format!("new {what}: {n}")));
            all.extend(was.difference(is).map(|n| format!("lost {what}: {n}")));
        };
        sets("group", &self.groups, &now.groups);
        // What was set on a stopped container waits there for its next start.
        let lasting = |files: &BTreeSet<String>| -> BTreeSet<String> {
            files.iter().filter(|f| !f.contains("/run/ct/units")).cloned().collect()
        };
        sets("file", &lasting(&self.files), &lasting(&now.files));
        if self.mounts.len() != now.mounts.len() {
            all.push(format!("mounts: {:#?} → {:#?}", self.mounts, now.mounts));
        }
        if self.children != now.children {
            all.push(format!("children: {:?} → {:?}", self.children, now.children));
        }
        all
    }

    /// Counts until it is as before: what was let go takes a moment.
    pub(crate) fn same_again(&self, s: &Supervisor) {
        let deadline = Deadline::default();
        loop {
            let difference = self.difference(&Tally::of(s));
            if difference.is_empty() {
                return;
            }
            assert!(!deadline.passed(), "not as it was before:\n  {}", difference.join("\n  "));
            std::thread::yield_now();
        }
    }
}

/// The network namespace of a process: `net:[4026532008]`.
pub(crate) fn network(pid: u32) -> Option<String> {
    Some(fs::read_link(format!("/proc/{pid}/ns/net")).ok()?.display().to_string())
}

/// Which of these processes hold one of these namespaces: as their own, by a descriptor or by a mount. Of others
/// nothing can be said: the numbers of namespaces that are gone go to new ones.
pub(crate) fn holders(pids: &[u32], spaces: &BTreeSet<String>) -> Vec<String> {
    let mut all = Vec::new();
    for pid in pids {
        if network(*pid).is_some_and(|n| spaces.contains(&n)) {
            all.push(format!("process {pid}"));
        }
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            if fs::read_link(entry.path()).is_ok_and(|to| spaces.contains(&to.display().to_string())) {
                all.push(format!("descriptor {}", entry.path().display()));
            }
        }
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        all.extend(mounts.lines().filter(|l| l.contains(" net:[")).map(|l| format!("mount {l}")));
    }
    all
}

/// Reaps these, if they have become ours and have ended: what loses both its parents comes to the test.
pub(crate) fn reap(pids: &mut BTreeSet<i32>) {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    pids.retain(|pid| {
        matches!(waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
    });
}
