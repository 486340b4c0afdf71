//! host: what PID 1 does on a host beyond what it does in a container. Everything that can wait is a unit and a process
//! of its own ([`units`], [`verb`]); here is only what has to be there before the first unit, and after the last.
pub mod client;
pub mod cmdline;
pub mod conf;
pub mod console;
pub mod farewell;
pub mod finish;
pub mod fstab;
pub mod initramfs;
pub mod mounts;
pub mod power;
pub mod units;
pub mod verb;
pub mod watchdog;

use crate::proto::Handover;
use crate::root::Root;
use cmdline::CommandLine;
use serde::{Deserialize, Serialize};

/// Where this PID 1 is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// In a container: devices, file systems and the clock are the host's.
    #[default]
    Container,
    /// On a host (or a virtual machine): nobody else is there.
    Host,
}

/// The number of the first pid namespace, which is the machine's own (PROC_PID_INIT_INO of linux/proc_ns.h).
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Finds out where this process is; mounts /proc for it where there is none.
pub fn level() -> Level {
    mounts::proc();
    match rustix::fs::stat("/proc/self/ns/pid") {
        Ok(stat) if stat.st_ino == FIRST_PID_NAMESPACE => Level::Host,
        Ok(_) | Err(_) => Level::Container,
    }
}

/// The kernel's command line.
pub fn command_line() -> CommandLine {
    let text = Root::new("/").read("/proc/cmdline").unwrap_or_default();
    cmdline::parse(&String::from_utf8_lossy(&text))
}

/// What a container's PID 1 is told by its host, a host's finds out by itself. Controllers come later: see
/// [`mounts::controllers`].
pub fn handover(line: &CommandLine) -> Handover {
    let root = Root::new("/");
    let hostname = root.read("/etc/hostname").unwrap_or_default();
    let hostname = String::from_utf8_lossy(&hostname);
    let hostname = hostname.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'));
    Handover {
        hostname: hostname.unwrap_or("localhost").to_owned(),
        unit: line.unit.clone().unwrap_or_else(|| "default.target".to_owned()),
        cgroup: Some("/sys/fs/cgroup".to_owned()),
        environment: environment(&root),
        ..Handover::default()
    }
}

/// The language of /etc/locale.conf (or Debian's file), as systemd hands it to all services.
fn environment(root: &Root) -> Vec<(String, String)> {
    let file =
        root.read("/etc/locale.conf").or_else(|_| root.read("/etc/default/locale")).unwrap_or_default();
    let pairs = ::units::parse::environment::parse(&file).pairs;
    pairs.into_iter().filter(|(k, _)| k == "LANG" || k == "LANGUAGE" || k.starts_with("LC_")).collect()
}
