//! environment: what a service's processes find in theirs, in systemd's order. Never reads ct-init's own.
use crate::passwd::User;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use units::machine::Exit;
use units::schema::service::Context;

/// Where programs are looked for, and the PATH of every service.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Facts of one start that become variables.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// From the host, for all.
    pub container: &'a [(String, String)],
    /// `User=`, where it is given.
    pub user: Option<&'a User>,
    /// This start's id.
    pub invocation: &'a str,
    /// The main process, if there is one.
    pub main_pid: Option<i32>,
    /// Whether the notify socket is offered.
    pub notify_socket: Option<&'a str>,
    /// `WatchdogSec=`, microseconds.
    pub watchdog: Option<u64>,
    /// How the main process ended: for ExecStop and ExecStopPost.
    pub ended: Option<Exit>,
    /// `success`, `exit-code`, `signal` …: for ExecStop and ExecStopPost.
    pub result: Option<&'a str>,
    /// Who set this one off, for `OnFailure=` and `OnSuccess=`.
    pub monitor: Option<&'a Monitor>,
}

/// The unit whose end started this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitor {
    /// Its name.
    pub unit: String,
    /// Its invocation.
    pub invocation: String,
    /// Its result word.
    pub result: String,
    /// Its exit, if known.
    pub ended: Option<Exit>,
}

/// All variables, sorted. `files` are the pairs of `EnvironmentFile=`, in order.
pub fn build(context: &Context, facts: &Facts<'_>, files: &[(String, String)]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        all.insert(key.to_owned(), value);
    };
    set("PATH", PATH.to_owned());
    for (key, value) in facts.container {
        set(key, value.clone());
    }
    if let Some(user) = facts.user {
        set("USER", user.name.clone());
        set("LOGNAME", user.name.clone());
        set("HOME", user.home.clone());
        set("SHELL", user.shell.clone());
    }
    set("INVOCATION_ID", facts.invocation.to_owned());
    for kind in [Runtime, State, Cache, Logs, Configuration] {
        let paths: Vec<String> = context
            .directories
            .iter()
            .filter(|d| d.kind == kind)
            .map(|d| format!("{}/{}", kind.base(), d.name))
            .collect();
        if !paths.is_empty() {
            set(kind.variable(), paths.join(":"));
        }
    }
    if let Some(pid) = facts.main_pid {
        set("MAINPID", pid.to_string());
    }
    if let Some(socket) = facts.notify_socket {
        set("NOTIFY_SOCKET", socket.to_owned());
    }
    if let Some(micros) = facts.watchdog {
        set("WATCHDOG_USEC", micros.to_string());
    }
    if let Some(result) = facts.result {
        set("SERVICE_RESULT", result.to_owned());
    }
    if let Some(how) = facts.ended {
        set("EXIT_CODE", exit_code(how).to_owned());
        set("EXIT_STATUS", exit_status(how));
    }
    if let Some(monitor) = facts.monitor {
        set("MONITOR_UNIT", monitor.unit.clone());
        set("MONITOR_INVOCATION_ID", monitor.invocation.clone());
        set("MONITOR_SERVICE_RESULT", monitor.result.clone());
        if let Some(how) = monitor.ended {
            set("MONITOR_EXIT_CODE", exit_code(how).to_owned());
            set("MONITOR_EXIT_STATUS", exit_status(how));
        }
    }
    for (key, value) in context.environment.iter().chain(files) {
        set(key, value.clone());
    }
    for key in &context.unset_environment {
        match key.split_once('=') {
            Some((name, value)) if all.get(name).is_some_and(|v| v == value) => all.remove(name),
            Some(_) => None,
            None => all.remove(key),
        };
    }
    all
}

use units::schema::service::DirectoryKind::{Cache, Configuration, Logs, Runtime, State};

fn exit_code(how: Exit) -> &'static str {
    match how {
        Exit::Code(_) => "exited",
        Exit::Signal(_) => "killed",
        Exit::Dumped(_) => "dumped",
        Exit::Unknown => "unknown",
    }
}

fn exit_status(how: Exit) -> String {
    match how {
        Exit::Code(code) => code.to_string(),
        Exit::Signal(s) | Exit::Dumped(s) => signal_name(s.0),
        Exit::Unknown => "255".to_owned(),
    }
}

/// `TERM` of 15; the number where it has no name.
pub fn signal_name(number: u8) -> String {
    let name = nix::sys::signal::Signal::try_from(i32::from(number)).ok().map(|s| s.as_str());
    name.map_or_else(|| number.to_string(), |n| n.trim_start_matches("SIG").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::values::Signal;

    #[test]
    fn signals_have_their_short_names() {
        for (n, name) in [(15, "TERM"), (9, "KILL"), (6, "ABRT"), (40, "40")] {
            assert_eq!(signal_name(n), name);
        }
    }

    #[test]
    fn an_end_is_told_as_systemd_tells_it() {
        let check = |how: Exit, code: &str, status: &str| {
            assert_eq!((exit_code(how), exit_status(how).as_str()), (code, status));
        };
        check(Exit::Code(3), "exited", "3");
        check(Exit::Signal(Signal(9)), "killed", "KILL");
        check(Exit::Dumped(Signal(6)), "dumped", "ABRT");
        check(Exit::Unknown, "unknown", "255");
    }
}
