//! state: what a container's life looks like from outside, and what its end means. Pure; never reads a clock.
use ct_init::proto::Leave;
use serde::{Deserialize, Serialize};
use units::machine::{Cause, Event, Exit, Machine, State};
use units::values::Signal;

/// State of a container, as `ct list` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// Nothing of it runs.
    Stopped,
    /// On its way up.
    Starting,
    /// Ready.
    Running,
    /// Ready, but a unit inside has failed.
    Degraded,
    /// On its way down.
    Stopping,
    /// Waits out its back-off.
    Restarting,
    /// Ended badly and stays down.
    Failed,
    /// Frozen.
    Paused,
}

impl ContainerState {
    /// All of them, in the order of interface and help.
    pub const ALL: [ContainerState; 8] = [
        ContainerState::Stopped,
        ContainerState::Starting,
        ContainerState::Running,
        ContainerState::Degraded,
        ContainerState::Stopping,
        ContainerState::Restarting,
        ContainerState::Failed,
        ContainerState::Paused,
    ];
    /// `running`.
    pub fn word(self) -> &'static str {
        match self {
            ContainerState::Stopped => "stopped",
            ContainerState::Starting => "starting",
            ContainerState::Running => "running",
            ContainerState::Degraded => "degraded",
            ContainerState::Stopping => "stopping",
            ContainerState::Restarting => "restarting",
            ContainerState::Failed => "failed",
            ContainerState::Paused => "paused",
        }
    }
}

/// SIGHUP and SIGINT are what the kernel ends a pid namespace's PID 1 with when something inside calls reboot(2):
/// restart, and halt or power off (pid_namespaces(7)).
const REBOOTED: Signal = Signal(1);
const HALTED: Signal = Signal(2);

/// The state that `ct list` shows.
pub fn view(machine: &Machine, frozen: bool, failed_units: usize) -> ContainerState {
    match machine.state() {
        _ if frozen => ContainerState::Paused,
        State::Down(_) => ContainerState::Stopped,
        State::Starting { .. } => ContainerState::Starting,
        State::Up { .. } | State::Exited { .. } | State::Reloading { .. } if failed_units > 0 => {
            ContainerState::Degraded
        }
        State::Up { .. } | State::Exited { .. } | State::Reloading { .. } => ContainerState::Running,
        State::Stopping { .. } => ContainerState::Stopping,
        State::Waiting { .. } => ContainerState::Restarting,
        State::Failed(_) | State::Stuck { .. } => ContainerState::Failed,
    }
}

/// What the end of PID 1 means: at most one word of the guest's wish, then its end.
///
/// `leave` is what ct-init said before, `oom` whether the kernel killed for memory in its group meanwhile.
pub fn ended(exit: Exit, leave: Option<Leave>, oom: bool) -> Vec<Event> {
    let wish = match (exit, leave) {
        (_, Some(Leave::Reboot | Leave::Kexec)) => Some(Cause::GuestReboot),
        (_, Some(Leave::Halt | Leave::PowerOff)) => Some(Cause::GuestHalt),
        (_, Some(Leave::Shutdown)) => None,
        (Exit::Signal(REBOOTED), None) => Some(Cause::GuestReboot),
        (Exit::Signal(HALTED), None) => Some(Cause::GuestHalt),
        (Exit::Code(_) | Exit::Signal(_) | Exit::Dumped(_) | Exit::Unknown, None) => None,
    };
    let killed = exit == Exit::Signal(Signal(9));
    wish.map(Event::Guest).into_iter().chain([Event::MainExited(exit, oom && killed), Event::Empty]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        let check = |exit, leave, oom, wish: Option<Cause>, oomed| {
            let events = ended(exit, leave, oom);
            assert_eq!(
                events.first().copied(),
                Some(wish.map_or(Event::MainExited(exit, oomed), Event::Guest))
            );
            assert_eq!(events[events.len() - 2], Event::MainExited(exit, oomed));
            assert_eq!(events.last(), Some(&Event::Empty));
        };
        check(Exit::Code(0), None, false, None, false);
        check(Exit::Code(0), Some(Leave::Shutdown), false, None, false);
        check(Exit::Signal(Signal(1)), None, false, Some(Cause::GuestReboot), false);
        check(Exit::Signal(Signal(2)), None, false, Some(Cause::GuestHalt), false);
        check(Exit::Code(0), Some(Leave::Reboot), false, Some(Cause::GuestReboot), false);
        check(Exit::Signal(Signal(9)), None, true, None, true);
        check(Exit::Signal(Signal(11)), None, true, None, false);
        check(Exit::Unknown, None, false, None, false);
    }
}
