//! words: how an end reads as a sentence. Touches nothing.
use units::machine::{Cause, Exit};
use units::schema::ExecPhase;

/// `exited with code 1`.
pub fn exit(how: Exit) -> String {
    match how {
        Exit::Code(0) => "exited with success".to_owned(),
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Signal(s) => format!("ended by {}", signal_name(s.0)),
        Exit::Dumped(s) => format!("ended by {} (core dumped)", signal_name(s.0)),
        Exit::Unknown => "ended, nobody saw how".to_owned(),
    }
}

/// `killed for memory: ended by SIGKILL`.
pub fn cause(why: Cause) -> String {
    match why {
        Cause::Exited(how) => exit(how),
        Cause::OomKill(how) => format!("killed for memory: {}", exit(how)),
        Cause::Watchdog => "no keep-alive in time".to_owned(),
        Cause::Unhealthy => "its health check failed too often".to_owned(),
        Cause::StartTimeout => "not ready in time".to_owned(),
        Cause::StopTimeout => "did not stop in time".to_owned(),
        Cause::Command(phase, how) => format!("{} {}", phase_key(phase), exit(how)),
        Cause::Setup(phase) => format!("{} could not be executed", phase_key(phase)),
        Cause::NeverReady => "ended before it was ready".to_owned(),
        Cause::Protocol => "its PID file named no process".to_owned(),
        Cause::RuntimeMax => "ran longer than RuntimeMaxSec=".to_owned(),
        Cause::GuestReboot => "rebooted from inside".to_owned(),
        Cause::GuestHalt => "halted from inside".to_owned(),
        Cause::StartLimit => "started too often".to_owned(),
        Cause::Assert => "an assert was not met".to_owned(),
        Cause::Dependency => "a unit it requires did not come up".to_owned(),
        Cause::Skipped => "a condition was not met".to_owned(),
    }
}

fn phase_key(phase: ExecPhase) -> String {
    format!("Exec{phase:?}=")
}

/// `SIGTERM`; `signal 40` where it has no name.
pub fn signal_name(number: u8) -> String {
    match nix::sys::signal::Signal::try_from(i32::from(number)) {
        Ok(s) => s.as_str().to_owned(),
        Err(_) => format!("signal {number}"),
    }
}
