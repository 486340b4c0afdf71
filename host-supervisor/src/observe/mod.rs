//! observe: kernel to facts: what a container holds, and how its PID 1 ended. Reads only.
use crate::facts::{Cgroups, Controller};
use crate::spec::Spec;
use cgroups_rs::fs::cpuacct::CpuAcctController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use ct_init::reap::exit;
use ct_sys::proc::{self, How, Which};
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use units::machine::Exit;

/// What one container holds now; none where this kernel does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, microseconds.
    pub cpu: Option<u64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The most that was held.
    pub memory_peak: Option<u64>,
    /// How often the memory limit was hit.
    pub memory_failures: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// How often a fork was refused.
    pub task_failures: Option<u64>,
}

/// A container's group in the hierarchy that has this controller.
pub fn group(cgroups: &Cgroups, spec: &Spec, controller: Controller) -> Option<(PathBuf, bool)> {
    match cgroups.v1.get(&controller) {
        Some(mount) => Some((mount.join(&spec.group), true)),
        None if cgroups.v2.contains(&controller) => {
            Some((cgroups.unified.as_ref()?.join(&spec.group), false))
        }
        None => None,
    }
}

/// What a row of `ct list` needs: two small files.
pub fn brief(cgroups: &Cgroups, spec: &Spec) -> Usage {
    let cpu = match group(cgroups, spec, Controller::Cpuacct) {
        Some((path, _)) => Some(CpuAcctController::new(path.clone(), path).cpuacct().usage / 1000),
        None => cpu_v2(cgroups, spec),
    };
    let memory = group(cgroups, spec, Controller::Memory)
        .and_then(|(p, v1)| number(&p.join(if v1 { "memory.usage_in_bytes" } else { "memory.current" })));
    Usage { cpu, memory, ..Usage::default() }
}

/// All of it.
pub fn usage(cgroups: &Cgroups, spec: &Spec) -> Usage {
    let mut usage = brief(cgroups, spec);
    if let Some((path, v1)) = group(cgroups, spec, Controller::Memory) {
        let memory = MemController::new(path.clone(), path.clone(), !v1).memory_stat();
        usage.memory_peak = Some(memory.max_usage_in_bytes);
        usage.memory_failures = match v1 {
            true => Some(memory.fail_cnt),
            false => keyed(&path.join("memory.events"), "max"),
        };
    }
    if let Some((path, v1)) = group(cgroups, spec, Controller::Pids) {
        let pids = PidController::new(path.clone(), path, !v1);
        usage.tasks = pids.get_pid_current().ok();
        usage.task_failures = pids.get_pid_events().ok();
    }
    usage
}

fn cpu_v2(cgroups: &Cgroups, spec: &Spec) -> Option<u64> {
    let path = cgroups.unified.as_ref()?.join(&spec.group).join("cpu.stat");
    keyed(&path, "usage_usec")
}

/// How often the kernel killed for memory in a container's group since it was made.
pub fn oom_kills(cgroups: &Cgroups, spec: &Spec) -> u64 {
    let count = group(cgroups, spec, Controller::Memory).and_then(|(path, v1)| {
        keyed(&path.join(if v1 { "memory.oom_control" } else { "memory.events" }), "oom_kill")
    });
    count.unwrap_or(0)
}

/// The larger of memory's and disk's pressure: percent of the last ten seconds in which some task waited (PSI,
/// Documentation/accounting/psi.rst). None where the kernel doesn't count it.
pub fn pressure() -> Option<f32> {
    let some = |what: &str| -> Option<f32> {
        let text = fs::read_to_string(format!("/proc/pressure/{what}")).ok()?;
        text.strip_prefix("some avg10=")?.split(' ').next()?.parse().ok()
    };
    Some(some("memory")?.max(some("io")?))
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn keyed(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|l| l.strip_prefix(key)?.trim().parse().ok())
}

/// What a readable pidfd tells about the end of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It has not ended.
    Runs,
    /// It ended so. If it is our child it is a zombie still: [`reap`] it once its end is written down.
    Ended(Exit),
    /// It is another's child, and this kernel does not tell.
    Elsewhere,
}

/// How a process ended, once its pidfd is readable. Does not reap it.
pub fn end(pidfd: BorrowedFd<'_>) -> Seen {
    match proc::wait(Which::Pidfd(pidfd), false) {
        Ok(None) => Seen::Runs,
        Ok(Some(ended)) => Seen::Ended(exit(ended.how)),
        Err(_) => {
            let how = proc::pidfd_exit_status(pidfd).and_then(How::of_status);
            how.map_or(Seen::Elsewhere, |how| Seen::Ended(exit(how)))
        }
    }
}

/// Takes a child that has ended out of the kernel's table; another's child is another's business.
pub fn reap(pidfd: BorrowedFd<'_>) {
    let _not_ours = proc::wait(Which::Pidfd(pidfd), true);
}

/// A process's start time in clock ticks since boot, by which a reused pid is told.
pub fn start_time(pid: u32) -> Option<u64> {
    ct_init::keeper::stat::start_time(pid)
}

/// Whether a container's group is frozen.
pub fn frozen(cgroups: &Cgroups, spec: &Spec) -> bool {
    let group = cgroups.unified.as_ref().map(|u| u.join(&spec.group));
    group.and_then(|g| number(&g.join("cgroup.freeze"))) == Some(1)
}

/// Whether anything runs in a group or below it; no, where there is no v2 tree to ask.
pub fn populated(cgroups: &Cgroups, group: &str) -> bool {
    let events = cgroups.unified.as_ref().map(|u| u.join(group).join("cgroup.events"));
    events.and_then(|e| std::fs::read_to_string(e).ok()).is_some_and(|t| t.contains("populated 1"))
}

/// A process that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdout {
    /// As the host sees it.
    pub pid: u32,
    /// Its program's name.
    pub name: String,
    /// The kernel's letter: D waits in the kernel, whatever is sent to it.
    pub state: char,
    /// The kernel function that it waits in; empty where the kernel does not tell.
    pub wchan: String,
}

impl std::fmt::Display for Holdout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} pid {} state {}", self.name, self.pid, self.state)?;
        if self.wchan.is_empty() { Ok(()) } else { write!(f, " in {}", self.wchan) }
    }
}

/// Whatever is in a container's group and below it, in the first hierarchy that has one.
pub fn holdouts(cgroups: &Cgroups, group: &str) -> Vec<Holdout> {
    let trees = cgroups.unified.iter().chain(cgroups.v1.values());
    let Some(top) = trees.map(|t| t.join(group)).find(|g| g.is_dir()) else { return Vec::new() };
    let mut pids = Vec::new();
    pids_below(&top, &mut pids);
    pids.into_iter().filter_map(holdout).collect()
}

fn pids_below(group: &Path, into: &mut Vec<u32>) {
    let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    into.extend(procs.lines().filter_map(|l| l.parse::<u32>().ok()).filter(|pid| *pid != 0));
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let dirs = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    dirs.for_each(|d| pids_below(&d.path(), into));
}

fn holdout(pid: u32) -> Option<Holdout> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let state = tail.trim_start().chars().next()?;
    let wchan = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    // What a process calls itself ends up on terminals and in logs.
    let name = head.split_once('(')?.1.chars().filter(|c| !c.is_control()).collect();
    let wchan = wchan.trim().trim_matches('0').to_owned();
    Some(Holdout { pid, name, state, wchan })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use units::values::Signal;

    #[test]
    fn the_end_of_a_child_is_seen_before_it_is_reaped() {
        let check = |line: &str, expect: Exit| {
            let mut child = std::process::Command::new("/bin/sh").args(["-c", line]).spawn().unwrap();
            let pidfd = proc::pidfd_open(child.id()).unwrap();
            let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, None).unwrap();
            assert_eq!(end(pidfd.as_fd()), Seen::Ended(expect), "{line}");
            assert_eq!(end(pidfd.as_fd()), Seen::Ended(expect), "{line}: it is there still");
            assert!(start_time(child.id()).is_some(), "{line}: a zombie has a start time");
            reap(pidfd.as_fd());
            assert_eq!(start_time(child.id()), None, "{line}");
            // As for any process that another has reaped: the kernel's word, or none.
            assert!([Seen::Ended(expect), Seen::Elsewhere].contains(&end(pidfd.as_fd())), "{line}");
            assert!(child.wait().is_err(), "{line}");
        };
        check("exit 0", Exit::Code(0));
        check("exit 42", Exit::Code(42));
        check("kill -9 $$", Exit::Signal(Signal(9)));
        check("kill -37 $$", Exit::Signal(Signal(37)));
    }

    #[test]
    fn what_runs_has_not_ended() {
        let own = proc::pidfd_open(std::process::id()).unwrap();
        assert_eq!(end(own.as_fd()), Seen::Elsewhere);
        let mut child =
            std::process::Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pidfd = proc::pidfd_open(child.id()).unwrap();
        assert_eq!(end(pidfd.as_fd()), Seen::Runs);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
