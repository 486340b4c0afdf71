//! cgroup: the container's own cgroup v2 tree: `init`, `units/UNIT`, `exec`. Never touches a group it did not make.
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::cell::Cell;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use units::schema::Resources;
use units::values::Limit;

/// The kernel's magic number of cgroup v2.
const CGROUP2: i64 = 0x6367_7270;
/// cpu.max's period, microseconds.
const PERIOD: u64 = 100_000;

/// Why a group can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Not a v2 file system.
    #[error("{0} is not a cgroup v2 file system")]
    NotV2(PathBuf),
    /// A group can't be made.
    #[error("make cgroup {0}")]
    Make(PathBuf, #[source] std::io::Error),
    /// A group can't be opened.
    #[error("open cgroup {0}")]
    Open(PathBuf, #[source] std::io::Error),
    /// A file can't be written.
    #[error("write {1:?} to {0}")]
    Write(PathBuf, String, #[source] std::io::Error),
}

/// The tree below the container's root group.
#[derive(Debug)]
pub struct Tree {
    top: PathBuf,
    controllers: Vec<String>,
}

impl Tree {
    /// Takes the tree at `top`: moves this process to its leaf and hands `wanted` controllers down. Without any it stays
    /// where it is: a move makes all forks of the host wait for a grace period, 8 to 15 ms.
    /// Controllers that can't be had come back as sentences.
    pub fn take(top: &Path, wanted: &[String]) -> Result<(Tree, Vec<String>), CgroupError> {
        let is_v2 = rustix::fs::statfs(top).is_ok_and(|s| s.f_type == CGROUP2);
        if !is_v2 {
            return Err(CgroupError::NotV2(top.to_owned()));
        }
        for leaf in ["init", "units", "exec"] {
            make(&top.join(leaf))?;
        }
        // First out of the root group: a group with processes can't hand controllers down.
        if !wanted.is_empty() {
            write(&top.join("init"), "cgroup.procs", "0")?;
        }
        let mut tree = Tree { top: top.to_owned(), controllers: Vec::new() };
        let mut notices = Vec::new();
        for name in wanted {
            let enable = format!("+{name}");
            let done = write(top, "cgroup.subtree_control", &enable)
                .and_then(|()| write(&top.join("units"), "cgroup.subtree_control", &enable));
            match done {
                Ok(()) => tree.controllers.push(name.clone()),
                Err(e) => notices.push(format!("services can't have limits of {name}: {}", crate::chain(&e))),
            }
        }
        Ok((tree, notices))
    }

    /// What [`Tree::again`] has to be told.
    pub fn keep(&self) -> (PathBuf, Vec<String>) {
        (self.top.clone(), self.controllers.clone())
    }

    /// The tree that this program has taken before it was executed anew.
    pub fn again(top: PathBuf, controllers: Vec<String>) -> Tree {
        Tree { top, controllers }
    }

    /// The group of a unit, made if it is not there.
    pub fn unit(&self, name: &str) -> Result<Group, CgroupError> {
        Group::open(self.top.join("units").join(name))
    }

    /// The processes of a unit's group, whether that was ever opened or not.
    pub fn processes_of(&self, name: &str) -> Vec<i32> {
        let mut all = Vec::new();
        collect(&self.top.join("units").join(name), &mut all, 8);
        all
    }

    /// The group of all exec sessions.
    pub fn sessions(&self) -> Result<Group, CgroupError> {
        Group::open(self.top.join("exec"))
    }

    /// A fresh group for one run of a check; an error while anything of the last run is left.
    pub fn check(&self, name: &str) -> Result<Group, CgroupError> {
        let path = self.top.join("exec").join(name);
        match remove(&path, 8) {
            Ok(()) | Err(Errno::NOENT) => Group::open(path),
            Err(e) => Err(CgroupError::Make(path, e.into())),
        }
    }

    /// The group of a check that runs.
    pub fn check_again(&self, name: &str) -> Result<Group, CgroupError> {
        Group::open(self.top.join("exec").join(name))
    }

    /// Writes a unit's limits. What can't be enforced comes back as sentences, and the others hold.
    pub fn limit(&self, group: &Group, limits: &Resources, memory: u64) -> Vec<String> {
        let mut notices = Vec::new();
        for (controller, file, value) in values(limits, memory) {
            if !self.controllers.iter().any(|c| c == controller) {
                notices.push(format!("{file} = {value} is not in force: no {controller} controller here"));
            } else if let Err(e) = write(&group.path, file, &value) {
                notices.push(format!("{file} = {value} is not in force: {}", crate::chain(&e)));
            }
        }
        notices
    }
}

/// What a cgroup path of /proc/PID/cgroup (`0::/units/a.service/x`) says about whose it is.
pub fn unit_of(proc_cgroup: &str) -> Option<&str> {
    let path = proc_cgroup.lines().find_map(|l| l.strip_prefix("0::"))?;
    // On a host, a container's services have such a directory of their own further down.
    let below = path.strip_prefix("/units/")?;
    below.split('/').next().filter(|n| !n.is_empty())
}

fn values(limits: &Resources, memory: u64) -> Vec<(&'static str, &'static str, String)> {
    let amount = |limit: Limit, whole: u64| match limit {
        Limit::Amount(n) => n.to_string(),
        Limit::Share(s) => (u128::from(whole) * u128::from(s) / 10_000).to_string(),
        Limit::Infinity => "max".to_owned(),
    };
    let list = |set: &units::values::CpuSet| set.0.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let mut all = Vec::new();
    let mut add = |controller, file, value: Option<String>| all.extend(value.map(|v| (controller, file, v)));
    add("cpu", "cpu.weight", limits.cpu_weight.map(|w| w.0.to_string()));
    let quota =
        |p: units::values::Percent| format!("{} {PERIOD}", (u64::from(p.0) * PERIOD / 10_000).max(1000));
    add("cpu", "cpu.max", limits.cpu_quota.map(quota));
    add("cpuset", "cpuset.cpus", limits.allowed_cpus.as_ref().map(list));
    add("cpuset", "cpuset.mems", limits.allowed_memory_nodes.as_ref().map(list));
    // Swap before memory: a lower memory.max may need the swap that is allowed.
    add("memory", "memory.swap.max", limits.memory_swap_max.map(|l| amount(l, memory)));
    add("memory", "memory.min", limits.memory_min.map(|l| amount(l, memory)));
    add("memory", "memory.low", limits.memory_low.map(|l| amount(l, memory)));
    add("memory", "memory.high", limits.memory_high.map(|l| amount(l, memory)));
    add("memory", "memory.max", limits.memory_max.map(|l| amount(l, memory)));
    add("pids", "pids.max", limits.tasks_max.map(|l| amount(l, MAX_TASKS)));
    add("io", "io.weight", limits.io_weight.map(|w| format!("default {}", w.0)));
    all
}

/// What a percentage of tasks is a percentage of.
const MAX_TASKS: u64 = 32_768;

/// One group, open.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    dir: OwnedFd,
    events: File,
    /// Whether all of it was killed at once.
    spent: Cell<bool>,
}

impl Group {
    fn open(path: PathBuf) -> Result<Group, CgroupError> {
        make(&path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, &path, flags, Mode::empty())
            .map_err(|e| CgroupError::Open(path.clone(), e.into()))?;
        let events =
            File::open(path.join("cgroup.events")).map_err(|e| CgroupError::Open(path.clone(), e))?;
        Ok(Group { path, dir, events, spent: Cell::new(false) })
    }

    /// Whether clone3 is of no use for it: Linux 6.18 (and some before) kills at birth what is cloned into a group that
    /// was killed at once earlier.
    pub fn is_spent(&self) -> bool {
        self.spent.get()
    }

    /// Known from before.
    pub fn set_spent(&self, spent: bool) {
        self.spent.set(spent);
    }

    /// Moves a process into it.
    pub fn take_in(&self, pid: i32) -> Result<(), CgroupError> {
        write(&self.path, "cgroup.procs", &pid.to_string())
    }

    /// For clone3.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// For the loop: has a priority event whenever it becomes populated or empty.
    pub fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Whether a process (dead but unreaped ones don't count) is in it or below it.
    pub fn is_populated(&self) -> bool {
        let mut text = [0u8; 256];
        let n = self.events.read_at(&mut text, 0).unwrap_or(0);
        let text = text.get(..n).unwrap_or(&[]);
        text.split(|&b| b == b'\n').any(|l| l == b"populated 1")
    }

    /// The processes in it and below it, as this pid namespace numbers them.
    pub fn processes(&self) -> Vec<i32> {
        let mut all = Vec::new();
        collect(&self.path, &mut all, 8);
        all
    }

    /// Whether this process is in it or below it.
    pub fn holds(&self, pid: i32) -> bool {
        self.processes().contains(&pid)
    }

    /// SIGKILL to all of it at once; one after the other where the kernel can't. Thaws it first.
    pub fn kill(&self) {
        // Neither file is there on every kernel; a frozen group would not die before it is thawed.
        let _thawed = write(&self.path, "cgroup.freeze", "0");
        match write(&self.path, "cgroup.kill", "1") {
            Ok(()) => self.spent.set(true),
            Err(_) => self.processes().into_iter().for_each(|pid| crate::reap::send(pid, 9)),
        }
    }

    /// How often the kernel has killed in it for memory.
    pub fn oom_kills(&self) -> u64 {
        let text = std::fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        text.lines()
            .find_map(|l| l.strip_prefix("oom_kill "))
            .and_then(|n| n.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Removes it and empty groups below. One that still has processes stays.
    pub fn remove(&self) -> Result<(), CgroupError> {
        remove(&self.path, 8).map_err(|e| CgroupError::Make(self.path.clone(), e.into()))
    }
}

fn make(path: &Path) -> Result<(), CgroupError> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(CgroupError::Make(path.to_owned(), e.into())),
    }
}

fn write(group: &Path, file: &str, value: &str) -> Result<(), CgroupError> {
    let path = group.join(file);
    let fail = |e: Errno| CgroupError::Write(path.clone(), value.to_owned(), e.into());
    let fd = rustix::fs::openat(CWD, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
    rustix::io::write(&fd, value.as_bytes()).map(|_| ()).map_err(fail)
}

fn below(path: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_dir())
}

fn collect(path: &Path, all: &mut Vec<i32>, depth: u8) {
    let text = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    // 0 is a process of an outer namespace: not ours to see.
    all.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()).filter(|&p| p > 0));
    if depth > 0 {
        below(path).for_each(|p| collect(&p, all, depth - 1));
    }
}

fn remove(path: &Path, depth: u8) -> Result<(), Errno> {
    if depth > 0 {
        for child in below(path) {
            remove(&child, depth - 1)?;
        }
    }
    match rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::values::{CpuSet, Percent, Weight};

    #[test]
    fn limits_as_the_kernel_wants_them() {
        let check = |limits: Resources, expect: &[&str]| {
            let got: Vec<String> = values(&limits, 1 << 30)
                .into_iter()
                .map(|(_, file, value)| format!("{file}={value}"))
                .collect();
            assert_eq!(got, expect);
        };
        let none = Resources::default;
        check(none(), &[]);
        check(Resources { cpu_weight: Some(Weight(200)), ..none() }, &["cpu.weight=200"]);
        check(Resources { cpu_quota: Some(Percent(15_000)), ..none() }, &["cpu.max=150000 100000"]);
        check(Resources { cpu_quota: Some(Percent(1)), ..none() }, &["cpu.max=1000 100000"]);
        check(Resources { memory_max: Some(Limit::Share(5_000)), ..none() }, &["memory.max=536870912"]);
        check(Resources { memory_max: Some(Limit::Infinity), ..none() }, &["memory.max=max"]);
        check(Resources { tasks_max: Some(Limit::Amount(99)), ..none() }, &["pids.max=99"]);
        check(Resources { allowed_cpus: Some(CpuSet(vec![0, 1, 4])), ..none() }, &["cpuset.cpus=0,1,4"]);
        check(Resources { io_weight: Some(Weight(50)), ..none() }, &["io.weight=default 50"]);
    }

    #[test]
    fn whose_a_process_is() {
        let check = |text: &str, expect: Option<&str>| assert_eq!(unit_of(text), expect, "{text}");
        check("0::/units/a.service\n", Some("a.service"));
        check("0::/units/a.service/inner\n", Some("a.service"));
        check("1:cpu:/units/b.service\n0::/units/a.service\n", Some("a.service"));
        check("0::/ct/web/payload/units/a.service\n", None);
        check("0::/exec\n", None);
        check("0::/units/\n", None);
        check("", None);
    }

    #[test]
    fn a_plain_directory_is_not_a_tree() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Tree::take(dir.path(), &[]), Err(CgroupError::NotV2(_))));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
