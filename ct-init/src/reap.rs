//! reap: which children have ended, seen before they are gone. Never waits.
use nix::sys::signal::{Signal as NixSignal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use units::machine::Exit;
use units::values::Signal;

/// A child that has ended and is still a zombie: /proc still shows it, its pid can't be taken by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its pid.
    pub pid: i32,
    /// How it ended.
    pub how: Exit,
}

/// Looks for a child that has ended, without reaping it.
pub fn peek() -> Option<Ended> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::All, flags) {
            Ok(status) => return ended(status),
            Err(nix::errno::Errno::EINTR) => (),
            Err(_) => return None,
        }
    }
}

/// Reaps one that [`peek`] has shown.
pub fn reap(pid: i32) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    while waitid(Id::Pid(Pid::from_raw(pid)), flags) == Err(nix::errno::Errno::EINTR) {}
}

fn ended(status: WaitStatus) -> Option<Ended> {
    let number = |s: NixSignal| Signal(u8::try_from(s as i32).unwrap_or(u8::MAX));
    match status {
        WaitStatus::Exited(pid, code) => {
            let code = u8::try_from(code & 0xff).unwrap_or(u8::MAX);
            Some(Ended { pid: pid.as_raw(), how: Exit::Code(code) })
        }
        WaitStatus::Signaled(pid, s, false) => {
            Some(Ended { pid: pid.as_raw(), how: Exit::Signal(number(s)) })
        }
        WaitStatus::Signaled(pid, s, true) => Some(Ended { pid: pid.as_raw(), how: Exit::Dumped(number(s)) }),
        WaitStatus::Stopped(..)
        | WaitStatus::PtraceEvent(..)
        | WaitStatus::PtraceSyscall(..)
        | WaitStatus::Continued(..)
        | WaitStatus::StillAlive => None,
    }
}

/// Sends a signal by number, real-time ones too; a process that is gone is no error. Never to 0, -1 or PID 1.
pub fn send(pid: i32, signal: u8) {
    if let Ok(pid @ 2..) = u32::try_from(pid)
        && let Ok(pidfd) = ct_sys::proc::pidfd_open(pid)
    {
        // ESRCH means it has ended: its exit is on the way.
        let _gone = ct_sys::proc::pidfd_send_signal(std::os::fd::AsFd::as_fd(&pidfd), i32::from(signal));
    }
}

/// SIGKILL to every process that this one may kill, itself excepted: the end of a container.
pub fn kill_all() {
    let _none_left = kill(Pid::from_raw(-1), NixSignal::SIGKILL);
}
