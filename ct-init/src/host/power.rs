//! power: the classic commands that end a host or a container, and what they ask of PID 1. Asks by signal, as they
//! always have; ends the machine itself only with `--force`.
use nix::libc::SIGRTMIN;
use nix::sys::reboot::{RebootMode, reboot};
use std::ffi::OsString;
use std::process::ExitCode;

/// What can be asked of PID 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Ask {
    Halt,
    PowerOff,
    Reboot,
    Kexec,
    /// The default unit.
    Default,
    Rescue,
    Emergency,
    /// Execute itself again.
    Reexec,
    /// Read all unit files again.
    Reload,
}

impl Ask {
    /// The signal that says so: systemd's numbers, which other programs send as well.
    fn signal(self) -> i32 {
        match self {
            Ask::Default => SIGRTMIN(),
            Ask::Rescue => SIGRTMIN() + 1,
            Ask::Emergency => SIGRTMIN() + 2,
            Ask::Halt => SIGRTMIN() + 3,
            Ask::PowerOff => SIGRTMIN() + 4,
            Ask::Reboot => SIGRTMIN() + 5,
            Ask::Kexec => SIGRTMIN() + 6,
            Ask::Reexec => nix::libc::SIGTERM,
            Ask::Reload => nix::libc::SIGHUP,
        }
    }
}

/// A command line, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub ask: Ask,
    /// At once, without stopping anything: `-f`.
    pub force: bool,
}

/// The names that this program answers to besides its own.
pub const NAMES: [&str; 6] = ["poweroff", "reboot", "halt", "shutdown", "init", "telinit"];

/// What a command of one of [`NAMES`], or a verb of ct-init of the same name, asks for.
///
/// # Errors
/// A sentence about a word that nobody understands.
pub fn understand(name: &str, words: &[String]) -> Result<Order, String> {
    let mut order = Order { ask: by_name(name).unwrap_or(Ask::Rescue), force: false };
    if matches!(name, "init" | "telinit") {
        let [level] = words else { return Err(format!("{name}: give one runlevel: 0, 1, 6, s, q or u")) };
        order.ask = match level.as_str() {
            "0" => Ask::PowerOff,
            "6" => Ask::Reboot,
            "1" | "s" | "S" => Ask::Rescue,
            "2" | "3" | "4" | "5" => Ask::Default,
            "q" | "Q" => Ask::Reload,
            "u" | "U" => Ask::Reexec,
            other => return Err(format!("{name}: {other:?} is no runlevel (0, 1, 2…5, 6, s, q, u)")),
        };
        return Ok(order);
    }
    let shutdown = name == "shutdown";
    for word in words {
        match word.as_str() {
            "-f" | "--force" => order.force = true,
            "-r" if shutdown => order.ask = Ask::Reboot,
            "-h" | "-P" | "--poweroff" if shutdown => order.ask = Ask::PowerOff,
            "-p" | "--poweroff" => order.ask = Ask::PowerOff,
            "-H" | "--halt" => order.ask = Ask::Halt,
            "--reboot" => order.ask = Ask::Reboot,
            // What they ask for is done in any case: records, syncing, messages.
            "-d" | "-n" | "-i" | "-w" | "--no-wall" | "-k" if !shutdown => (),
            "now" | "+0" if shutdown => (),
            other if shutdown && !other.starts_with('-') => {
                return Err(format!(
                    "shutdown: {other:?}: only \"now\" (a later time: echo shutdown now | at {other})"
                ));
            }
            other => return Err(format!("{name}: unknown option {other}")),
        }
    }
    Ok(order)
}

fn by_name(name: &str) -> Option<Ask> {
    match name {
        "poweroff" | "shutdown" => Some(Ask::PowerOff),
        "reboot" => Some(Ask::Reboot),
        "halt" => Some(Ask::Halt),
        "kexec" => Some(Ask::Kexec),
        "single" | "rescue" => Some(Ask::Rescue),
        "emergency" => Some(Ask::Emergency),
        "default" => Some(Ask::Default),
        "reexec" => Some(Ask::Reexec),
        _ => None,
    }
}

/// Whether ct-init has a verb of this name that [`understand`] takes.
pub fn is_verb(name: &str) -> bool {
    by_name(name).is_some()
}

/// Carries such a command out.
pub fn run(name: &str, words: &[OsString]) -> ExitCode {
    let words: Vec<String> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let done = understand(name, &words).and_then(|order| match order.force {
        false => ask(order.ask),
        true => force(order.ask),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn ask(ask: Ask) -> Result<(), String> {
    let Ok(pidfd) = ct_sys::proc::pidfd_open(1) else { return Err("there is no PID 1".to_owned()) };
    ct_sys::proc::pidfd_send_signal(std::os::fd::AsFd::as_fd(&pidfd), ask.signal())
        .map_err(|e| format!("ask PID 1: {} (it takes root)", e.desc()))
}

/// Without PID 1, which may be what hangs.
fn force(ask: Ask) -> Result<(), String> {
    let mode = match ask {
        Ask::Halt => RebootMode::RB_HALT_SYSTEM,
        Ask::PowerOff => RebootMode::RB_POWER_OFF,
        Ask::Reboot => RebootMode::RB_AUTOBOOT,
        Ask::Kexec => RebootMode::RB_KEXEC,
        Ask::Default | Ask::Rescue | Ask::Emergency | Ask::Reexec | Ask::Reload => {
            return Err("--force is for halt, poweroff, reboot and kexec".to_owned());
        }
    };
    rustix::fs::sync();
    match reboot(mode) {
        Ok(never) => match never {},
        Err(e) => Err(format!("end the machine: {}", e.desc())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_commands() {
        let check = |line: &str, expect: Result<(Ask, bool), &str>| {
            let mut words = line.split(' ').map(str::to_owned);
            let name = words.next().unwrap();
            let got = understand(&name, &words.collect::<Vec<_>>());
            match expect {
                Ok((ask, force)) => assert_eq!(got, Ok(Order { ask, force }), "{line}"),
                Err(why) => assert!(got.as_ref().is_err_and(|w| w.contains(why)), "{line}: {got:?}"),
            }
        };
        check("poweroff", Ok((Ask::PowerOff, false)));
        check("reboot -f", Ok((Ask::Reboot, true)));
        check("halt", Ok((Ask::Halt, false)));
        check("halt -p", Ok((Ask::PowerOff, false)));
        check("shutdown now", Ok((Ask::PowerOff, false)));
        check("shutdown -h now", Ok((Ask::PowerOff, false)));
        check("shutdown -r now", Ok((Ask::Reboot, false)));
        check("shutdown -H", Ok((Ask::Halt, false)));
        check("shutdown 23:00", Err("only \"now\""));
        check("init 0", Ok((Ask::PowerOff, false)));
        check("init 6", Ok((Ask::Reboot, false)));
        check("telinit u", Ok((Ask::Reexec, false)));
        check("init 9", Err("no runlevel"));
        check("init 0 6", Err("one runlevel"));
        check("reboot --now", Err("unknown option"));
        check("kexec", Ok((Ask::Kexec, false)));
        check("single", Ok((Ask::Rescue, false)));
    }
}
