//! finish: the last stage of a host: no unit runs any more. Ends what is left, lets go of file systems, ends the
//! machine. Waits here, with a limit to each wait; what may hang (swapoff, umount, sync) is a child's work.
use crate::proto::Leave;
use crate::reap;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;
use units::values::Tick;

/// What is left gets SIGTERM, so much time, SIGKILL, and so much again.
const TERM: Duration = Duration::from_secs(5);
const KILL: Duration = Duration::from_secs(5);
/// Swap and file systems; then what could not be let go is left to its journal.
const RELEASE: Duration = Duration::from_secs(60);
const SYNC: Duration = Duration::from_secs(30);

/// Ends the machine. Never returns, never panics; where reboot(2) is refused it says so and waits.
pub fn finish(why: Leave) -> ! {
    end_processes(Signal::SIGTERM, TERM);
    end_processes(Signal::SIGKILL, KILL);
    for left in processes() {
        say(&format!("process {left} does not end"));
    }
    run("release", RELEASE);
    run("sync", SYNC);
    let (mode, word) = match why {
        Leave::Shutdown | Leave::PowerOff => (RebootMode::RB_POWER_OFF, "power off"),
        Leave::Halt => (RebootMode::RB_HALT_SYSTEM, "halt"),
        Leave::Reboot => (RebootMode::RB_AUTOBOOT, "reboot"),
        Leave::Kexec => (RebootMode::RB_KEXEC, "start the loaded kernel"),
    };
    say(word);
    crate::log::drain();
    let modes = [mode, RebootMode::RB_AUTOBOOT, RebootMode::RB_HALT_SYSTEM];
    for mode in modes {
        // No kernel is loaded for kexec: an ordinary reboot is nearest.
        let Err(e) = reboot(mode);
        say(&format!("{word}: {}", e.desc()));
    }
    loop {
        // Nothing is left to do; PID 1 must not end.
        wait_for_children(Duration::from_secs(3600));
    }
}

/// Sends a signal to all processes and waits until none is left, or the time is over.
fn end_processes(signal: Signal, time: Duration) {
    if kill(Pid::from_raw(-1), signal).is_err() {
        return;
    }
    let until = crate::clock::now().after(time);
    while crate::clock::now() < until && !processes().is_empty() {
        wait_for_children(until.since(crate::clock::now()));
    }
}

/// Reaps what ends; returns at the first end, or when the time is over. Every process is a child of PID 1 sooner or
/// later, so each end of one is seen here.
fn wait_for_children(time: Duration) {
    let mut reaped = false;
    while let Some(ended) = reap::peek() {
        reap::reap(ended.pid);
        reaped = true;
    }
    if reaped {
        return;
    }
    // A pidfd of any process that is left wakes us when that one ends; the others are looked at then.
    let first = pids().into_iter().find_map(|pid| ct_sys::proc::pidfd_open(pid).ok());
    let limit = timespec(if first.is_some() { time } else { time.min(Duration::from_millis(50)) });
    let mut fds: Vec<PollFd<'_>> =
        first.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).collect();
    let _ready = poll(&mut fds, Some(&limit));
}

/// Has a child do it, and gives it this time.
fn run(verb: &str, time: Duration) {
    let child = match Command::new("/proc/self/exe").arg(verb).spawn() {
        Ok(child) => child,
        Err(e) => return say(&format!("{verb}: {e}")),
    };
    let Ok(pidfd) = ct_sys::proc::pidfd_open(child.id()) else { return };
    let until: Tick = crate::clock::now().after(time);
    let limit = timespec(until.since(crate::clock::now()));
    let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    if !poll(&mut fds, Some(&limit)).is_ok_and(|n| n > 0) {
        say(&format!("{verb}: takes too long, going on without"));
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// Processes that could be ended: not PID 1, not the kernel's own threads, not the dead.
fn pids() -> Vec<u32> {
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = names.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|&pid| pid > 1 && is_alive(pid)).collect()
}

/// Kernel threads have no command line and no memory of their own; the dead neither.
fn is_alive(pid: u32) -> bool {
    let vm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    vm.split(' ').next().is_some_and(|pages| pages != "0" && !pages.is_empty())
}

/// As a person wants to read of them: `42 (nfsd), state D, in rpc_wait`.
fn processes() -> Vec<String> {
    pids().into_iter().map(describe).collect()
}

/// A process by name, state and what it waits for in the kernel.
pub fn describe(pid: u32) -> String {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let status = read("status");
    let field = |key: &str| {
        let value = status.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("?");
        value.trim().chars().take_while(|c| !c.is_control()).collect::<String>()
    };
    let wchan = read("wchan");
    let at = if wchan.is_empty() || wchan == "0" { String::new() } else { format!(", in {wchan}") };
    format!("{pid} ({}), state {}{at}", field("Name:"), field("State:"))
}

fn say(line: &str) {
    crate::log::say(&format!("ct-init: {line}\n"));
}
