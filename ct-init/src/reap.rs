//! reap: which children have ended, seen before they are gone. Never waits.
use ct_sys::proc::{self, How, Which};
use nix::sys::signal::{Signal as NixSignal, kill};
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
    let ended = proc::wait(Which::Any, false).ok().flatten()?;
    Some(Ended { pid: i32::try_from(ended.pid).ok()?, how: exit(ended.how) })
}

/// Reaps one that [`peek`] has shown.
pub fn reap(pid: i32) {
    if let Ok(pid) = u32::try_from(pid) {
        let _seen_before = proc::wait(Which::Pid(pid), true);
    }
}

/// The kernel's word as the life cycles know it.
pub fn exit(how: How) -> Exit {
    match how {
        How::Exited(code) => Exit::Code(code),
        How::Signaled(number) => Exit::Signal(Signal(number)),
        How::Dumped(number) => Exit::Dumped(Signal(number)),
    }
}

/// Sends a signal by number, real-time ones too; a process that is gone is no error. Never to 0, -1 or PID 1.
pub fn send(pid: i32, signal: u8) {
    if let Ok(pid @ 2..) = u32::try_from(pid)
        && let Ok(pidfd) = proc::pidfd_open(pid)
    {
        // ESRCH means it has ended: its exit is on the way.
        let _gone = proc::pidfd_send_signal(std::os::fd::AsFd::as_fd(&pidfd), i32::from(signal));
    }
}

/// SIGKILL to every process that this one may kill, itself excepted: the end of a container.
pub fn kill_all() {
    let _none_left = kill(Pid::from_raw(-1), NixSignal::SIGKILL);
}
