//! observe: kernel to facts: what a container holds, and how its PID 1 ended. Reads only.
use crate::facts::{Cgroups, Controller};
use crate::spec::Spec;
use cgroups_rs::fs::cpuacct::CpuAcctController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use units::machine::Exit;
use units::values::Signal;

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

/// How a process ended, once its pidfd is readable. Reaps it if it is our child.
pub fn exit(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    match waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
        Ok(WaitStatus::Exited(_, code)) => Some(Exit::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX))),
        Ok(WaitStatus::Signaled(_, signal, dumped)) => {
            let signal = Signal(u8::try_from(signal as i32).unwrap_or(0));
            Some(if dumped { Exit::Dumped(signal) } else { Exit::Signal(signal) })
        }
        Ok(_) => None,
        // Not our child (adopted), or reaped elsewhere: it has ended, nobody here saw how.
        Err(_) => Some(Exit::Unknown),
    }
}

/// A process's start time in clock ticks since boot (field 22 of /proc/PID/stat), by which a reused pid is told.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field may hold spaces and parentheses; the last `)` ends it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_start_time_is_found() {
        assert!(start_time(std::process::id()).is_some_and(|t| t > 0));
        assert_eq!(start_time(u32::MAX), None);
    }
}
