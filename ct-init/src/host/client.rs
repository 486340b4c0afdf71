//! client: what a person asks of a host's PID 1 about its units: `ct-init list`, `start UNIT`, `logs` …
//! A process of its own, which may wait.
use crate::proto::{Logs, Report, Request, Session, UnitStatus, VERSION, Verb};
use crate::wire::{Wire, WireError, decode};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

/// Where a host's PID 1 listens; root only.
pub const SOCKET: &str = "/run/ct-init/socket";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum ClientError {
    #[error("reach PID 1 at {SOCKET} (it takes root, and ct-init as this host's PID 1)")]
    Reach(#[source] std::io::Error),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("wait for PID 1")]
    Wait(#[source] std::io::Error),
    #[error("{0}")]
    Usage(String),
}

/// Runs a verb; none: there is no such verb.
pub fn run(verb: &str, words: &[OsString]) -> Option<ExitCode> {
    let words: Vec<String> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let done = match verb {
        "list" => list(&[]),
        "status" => list(&words),
        "logs" => logs(&words),
        // It is about all of them; some name has to be there.
        "daemon-reload" => units(Verb::DaemonReload, verb, &["default.target".to_owned()]),
        _ => units(verb_of(verb, &words)?, verb, &words),
    };
    Some(match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e @ ClientError::Usage(_)) => {
            eprintln!("ct-init: {e}");
            ExitCode::from(2)
        }
        Err(ClientError::Wire(WireError::Closed)) if verb == "logs" => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("ct-init: {}", crate::chain(&e));
            ExitCode::from(4)
        }
    })
}

fn verb_of(verb: &str, words: &[String]) -> Option<Verb> {
    Some(match verb {
        "start" => Verb::Start,
        "stop" => Verb::Stop,
        "restart" => Verb::Restart,
        "reload" => Verb::Reload,
        "kill" => Verb::Kill(signal(words)),
        "reset-failed" => Verb::ResetFailed,
        "enable" => Verb::Enable,
        "disable" => Verb::Disable,
        _ => return None,
    })
}

/// `-s NAME`; TERM without it.
fn signal(words: &[String]) -> u8 {
    let named = words.iter().position(|w| w == "-s").and_then(|at| words.get(at + 1));
    named.and_then(|n| n.parse::<units::values::Signal>().ok()).map_or(15, |s| s.0)
}

struct Client(Wire);

impl Client {
    fn connect() -> Result<Client, ClientError> {
        let reach = |e: rustix::io::Errno| ClientError::Reach(e.into());
        let flags = SocketFlags::CLOEXEC;
        let fd: OwnedFd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(reach)?;
        rustix::net::connect(&fd, &SocketAddrUnix::new(SOCKET).map_err(reach)?).map_err(reach)?;
        let mut client = Client(Wire::new(fd)?);
        client.send(&Request::Hello { version: VERSION })?;
        Ok(client)
    }

    fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        self.0.send(request, None)?;
        while !self.0.is_idle() {
            self.wait(PollFlags::OUT)?;
            self.0.flush()?;
        }
        Ok(())
    }

    fn wait(&self, what: PollFlags) -> Result<(), ClientError> {
        let mut fds = [PollFd::from_borrowed_fd(self.0.as_fd(), what)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(ClientError::Wait(e.into())),
        }
    }

    fn receive(&mut self) -> Result<Vec<u8>, ClientError> {
        loop {
            if let Some(packet) = self.0.receive()? {
                return Ok(packet.bytes);
            }
            self.wait(PollFlags::IN)?;
        }
    }

    fn report(&mut self) -> Result<Report, ClientError> {
        let bytes = self.receive()?;
        Ok(decode(&bytes)?)
    }
}

/// All units, or those that are named. With a name: everything there is to say.
fn list(names: &[String]) -> Result<bool, ClientError> {
    let mut client = Client::connect()?;
    client.send(&Request::List { tag: 1 })?;
    let mut all = Vec::new();
    loop {
        if let Report::Units { units, last, .. } = client.report()? {
            all.extend(units);
            if last {
                break;
            }
        }
    }
    let mut out = std::io::stdout().lock();
    if names.is_empty() {
        let width = all.iter().map(|u| u.name.len()).max().unwrap_or(0).max(4);
        // A reader that goes away ends the output.
        let _closed = table(&mut out, &all, width);
        return Ok(true);
    }
    let mut found = true;
    for name in names {
        let full = if name.contains('.') { name.clone() } else { format!("{name}.service") };
        match all.iter().find(|u| u.name == full) {
            Some(unit) => {
                let _closed = describe(&mut out, unit);
            }
            None => {
                eprintln!("ct-init: {full}: not loaded (ct-init start {full} would load it)");
                found = false;
            }
        }
    }
    Ok(found)
}

fn table(out: &mut impl Write, all: &[UnitStatus], width: usize) -> std::io::Result<()> {
    writeln!(out, "{:width$}  {:12} {:13} {:>7}  DESCRIPTION", "UNIT", "ACTIVE", "SUB", "PID")?;
    for unit in all {
        let pid = if unit.pid == 0 { "-".to_owned() } else { unit.pid.to_string() };
        let UnitStatus { name, active, sub, description, .. } = unit;
        writeln!(out, "{name:width$}  {active:12} {sub:13} {pid:>7}  {description}")?;
    }
    Ok(())
}

fn describe(out: &mut impl Write, unit: &UnitStatus) -> std::io::Result<()> {
    let since = std::time::Duration::from_secs(unit.for_secs);
    writeln!(out, "{} - {}", unit.name, unit.description)?;
    writeln!(out, "  active: {} ({}) for {}", unit.active, unit.sub, humantime::format_duration(since))?;
    if unit.pid != 0 {
        writeln!(out, "  main process: {}", unit.pid)?;
    }
    if unit.restarts > 0 {
        writeln!(out, "  restarts: {}", unit.restarts)?;
    }
    if let Some(cause) = unit.cause {
        writeln!(out, "  ended: {}", crate::engine::unit::sentence(cause))?;
    }
    if !unit.note.is_empty() {
        writeln!(out, "  note: {}", unit.note)?;
    }
    Ok(())
}

/// Does it to one after the other; whether all went well.
fn units(verb: Verb, name: &str, words: &[String]) -> Result<bool, ClientError> {
    let mut names: Vec<&String> = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-s" => {
                words.next();
            }
            option if option.starts_with('-') => {
                return Err(ClientError::Usage(format!("{name}: unknown option {option}")));
            }
            _ => names.push(word),
        }
    }
    if names.is_empty() {
        return Err(ClientError::Usage(format!("{name}: name a unit (ct-init list shows them)")));
    }
    let mut client = Client::connect()?;
    let mut good = true;
    for (i, unit) in names.into_iter().enumerate() {
        let tag = u32::try_from(i).unwrap_or(u32::MAX);
        client.send(&Request::Unit { tag, unit: unit.clone(), verb })?;
        loop {
            match client.report()? {
                Report::Done { tag: answered, result } if answered == tag => {
                    if let Err(why) = result {
                        eprintln!("ct-init: {name} {why}");
                        good = false;
                    }
                    break;
                }
                // What else PID 1 has to say is for those who watch.
                _ => (),
            }
        }
    }
    Ok(good)
}

/// `logs [UNIT] [-f] [-n LINES]`
fn logs(words: &[String]) -> Result<bool, ClientError> {
    let mut wanted = Logs { lines: Some(100), ..Logs::default() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-f" | "--follow" => wanted.follow = true,
            "-n" | "--lines" => {
                let number = words.next().and_then(|n| n.parse().ok());
                let number =
                    number.ok_or_else(|| ClientError::Usage("logs: -n wants a number".to_owned()))?;
                wanted.lines = Some(number);
            }
            option if option.starts_with('-') => {
                return Err(ClientError::Usage(format!("logs: unknown option {option}")));
            }
            name if name.contains('.') || name == crate::log::NAME => wanted.unit = Some(name.to_owned()),
            name => wanted.unit = Some(format!("{name}.service")),
        }
    }
    let mut client = Client::connect()?;
    client.report()?;
    client.send(&Request::Logs(wanted))?;
    loop {
        let bytes = client.receive()?;
        if let Session::Line(line) = decode(&bytes)? {
            let at = crate::clock::stamp(line.at);
            if writeln!(std::io::stdout(), "{at} {}: {}", line.unit, line.text).is_err() {
                return Ok(true);
            }
        }
    }
}
