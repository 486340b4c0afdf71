//! schema: `[Mount]` and `[Swap]`, and the service that carries such a unit out. Touches nothing.
//!
//! A mount unit is a oneshot service whose commands are ct-init's own verbs `mount` and `unmount`: it has the same life,
//! order, log and failure as any other unit, and PID 1 never waits for a device or a server.
use crate::schema::Resources;
use crate::schema::service::{Command, Exec, Service, ServiceType};
use crate::values::{Mode, Span};
use std::time::Duration;

/// ct-init's own program, whatever file it was started from: PID 1 runs it.
pub const PROGRAM: &str = "/proc/1/exe";
/// How long a mount or unmount may take once its device is there: systemd's default.
const TIMEOUT: Span = Span::Finite(Duration::from_secs(90));

/// `[Mount]`, or `[Swap]` without `at`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// `What=`: a device, `UUID=`, `LABEL=`, a server's path, or a word (`tmpfs`).
    pub what: String,
    /// `Where=`: an absolute path. None for swap.
    pub at: Option<String>,
    /// `Type=`; empty: found out.
    pub kind: String,
    /// `Options=`, comma separated. For swap also what `Priority=` says.
    pub options: Vec<String>,
    /// `DirectoryMode=` of a mount point that has to be made; default 0755.
    pub directory_mode: Option<Mode>,
    /// `TimeoutSec=`; none: no limit before the device is there, then 90 s.
    pub timeout: Option<Span>,
    /// `LazyUnmount=` and `ForceUnmount=`, as umount's flags.
    pub unmount: Vec<&'static str>,
}

impl Mount {
    /// The service that mounts when it is started and unmounts when it is stopped.
    pub fn service(self, resources: Resources) -> Service {
        let options = if self.options.is_empty() { "defaults".to_owned() } else { self.options.join(",") };
        let (up, down) = match self.at {
            Some(at) => {
                let mode = self.directory_mode.unwrap_or(Mode(0o755));
                let mut down = vec!["unmount".to_owned()];
                down.extend(self.unmount.iter().map(|flag| (*flag).to_owned()));
                down.push(at.clone());
                let up = ["mount".into(), self.what, at, self.kind, options, format!("{:o}", mode.0)];
                (up.to_vec(), down)
            }
            None => {
                (vec!["swapon".into(), self.what.clone(), options], vec!["swapoff".into(), self.what.clone()])
            }
        };
        let mut service = Service {
            kind: ServiceType::Oneshot,
            exec: Exec { start: vec![own(up)], stop: vec![own(down)], ..Exec::default() },
            remain_after_exit: true,
            timeout_start: self.timeout.unwrap_or(Span::Infinite),
            timeout_stop: self.timeout.unwrap_or(TIMEOUT),
            resources,
            ..Service::default()
        };
        service.timeout_abort = service.timeout_stop;
        service
    }
}

/// A verb of ct-init with its words.
fn own(words: Vec<String>) -> Command {
    let argv = std::iter::once("ct-init".to_owned()).chain(words).collect();
    Command { program: PROGRAM.to_owned(), argv, no_expand: true, ..Command::default() }
}
