//! halt: the signals that mean the end, and the end itself. Never returns from it.
use crate::host::Level;
use crate::proto::Leave;
use nix::libc::SIGPWR;
use nix::libc::{SIGRTMIN, c_int};
use nix::sys::reboot::{RebootMode, reboot};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// Look for ended children.
    Reap,
    /// Read all unit files again.
    Reload,
    /// Stop everything and leave.
    Leave(Leave),
    /// Bring up this unit and nothing else.
    Go(Goal),
    /// Execute the program again, with all that runs.
    Reexec,
}

/// Where a host is sent by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// What it boots to.
    Default,
    /// File systems and a shell.
    Rescue,
    /// A shell.
    Emergency,
}

impl Goal {
    /// Its unit.
    pub fn unit(self) -> &'static str {
        match self {
            Goal::Default => "default.target",
            Goal::Rescue => "rescue.target",
            Goal::Emergency => "emergency.target",
        }
    }
}

/// Signals, caught.
#[derive(Debug)]
pub struct Signals {
    /// Readable when one has come.
    pub wake: UnixStream,
    caught: Vec<(Arc<AtomicBool>, Asked)>,
}

impl Signals {
    /// Catches all that mean something to PID 1.
    pub fn catch(level: Level) -> io::Result<Signals> {
        let (wake, send) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        send.set_nonblocking(true)?;
        let mut caught = Vec::new();
        for (signal, asked) in meanings(level) {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
            signal_hook::low_level::pipe::register(signal, send.try_clone()?)?;
            caught.push((flag, asked));
        }
        Ok(Signals { wake, caught })
    }

    /// Asks again, as if the signal had come again.
    pub fn ask(&mut self, again: Asked) {
        for (flag, _) in self.caught.iter().filter(|(_, asked)| *asked == again) {
            flag.store(true, Ordering::SeqCst);
        }
    }

    /// What has been asked for since the last call, each once.
    pub fn take(&mut self) -> Vec<Asked> {
        let mut bytes = [0u8; 64];
        while rustix::io::read(&self.wake, &mut bytes).is_ok_and(|n| n > 0) {}
        let came = self.caught.iter().filter(|(flag, _)| flag.swap(false, Ordering::SeqCst));
        came.map(|(_, asked)| *asked).collect()
    }
}

fn meanings(level: Level) -> Vec<(c_int, Asked)> {
    let mut all = vec![(SIGCHLD, Asked::Reap), (SIGHUP, Asked::Reload)];
    all.extend(match level {
        Level::Container => vec![
            (SIGTERM, Asked::Leave(Leave::Shutdown)),
            (SIGPWR, Asked::Leave(Leave::Shutdown)),
            (SIGINT, Asked::Leave(Leave::Reboot)),
            // systemd's: halt, poweroff, reboot. The first is what hosts send to stop a container.
            (SIGRTMIN() + 3, Asked::Leave(Leave::Shutdown)),
            (SIGRTMIN() + 4, Asked::Leave(Leave::Halt)),
            (SIGRTMIN() + 5, Asked::Leave(Leave::Reboot)),
        ],
        // systemd(1), "Signals". Ctrl-Alt-Del is SIGINT once the kernel leaves it to PID 1.
        Level::Host => vec![
            (SIGTERM, Asked::Reexec),
            (SIGPWR, Asked::Leave(Leave::PowerOff)),
            // busybox's halt and poweroff.
            (SIGUSR1, Asked::Leave(Leave::Halt)),
            (SIGUSR2, Asked::Leave(Leave::PowerOff)),
            (SIGINT, Asked::Leave(Leave::Reboot)),
            (SIGRTMIN(), Asked::Go(Goal::Default)),
            (SIGRTMIN() + 1, Asked::Go(Goal::Rescue)),
            (SIGRTMIN() + 2, Asked::Go(Goal::Emergency)),
            (SIGRTMIN() + 3, Asked::Leave(Leave::Halt)),
            (SIGRTMIN() + 4, Asked::Leave(Leave::PowerOff)),
            (SIGRTMIN() + 5, Asked::Leave(Leave::Reboot)),
            (SIGRTMIN() + 6, Asked::Leave(Leave::Kexec)),
        ],
    });
    all
}

/// Ends PID 1, so that the one who waits for it can see why: exit 0 for the host's own request; for the guest's,
/// reboot(2), which ends a pid namespace's PID 1 with SIGHUP (reboot) or SIGINT (halt).
pub fn finish(why: Leave) -> ! {
    crate::reap::kill_all();
    let asked = match why {
        Leave::Shutdown => None,
        Leave::Halt | Leave::PowerOff => Some(RebootMode::RB_POWER_OFF),
        Leave::Reboot | Leave::Kexec => Some(RebootMode::RB_AUTOBOOT),
    };
    if let Some(mode) = asked {
        // Without CAP_SYS_BOOT the exit below has to do.
        let _refused = reboot(mode);
    }
    std::process::exit(0)
}
