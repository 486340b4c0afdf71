//! context: what every command has at hand: the supervisor, standard output, and how to end. Never parses arguments.
use super::Hooks;
use super::bar::Bar;
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{ContainerRow, Fault, FaultKind, LogLine, Outcome, Progress, Request};
use crate::control::render;
use crate::control::render::table::Colour;
use crate::control::session::SessionError;
use crate::control::target::ContainerName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line makes no sense in a way that its grammar does not tell.
    #[error("{0}")]
    Usage(String),
    /// No such container.
    #[error("{0}")]
    NotFound(String),
    /// The supervisor said no, or could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The session inside went wrong.
    #[error("{0}")]
    Session(String, #[source] SessionError),
    /// A file that was named.
    #[error("open {}", .0.display())]
    Open(PathBuf, #[source] io::Error),
    /// Standard output is gone.
    #[error("write to standard output")]
    Output(#[from] io::Error),
}

impl CliError {
    /// What `ct` exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Usage(_) => 2,
            CliError::NotFound(_) => 3,
            CliError::Client(e) => e.exit_code(),
            CliError::Session(_, e) => e.exit_code(),
            CliError::Open(..) => 1,
            // As a shell shows a program that wrote to a closed pipe.
            CliError::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => 141,
            CliError::Output(_) => 1,
        }
    }
}

/// The shapes of replies, as they are read; they are written as [`Body`](crate::control::protocol::Body).
#[derive(Debug, Deserialize)]
pub(super) struct Containers {
    pub(super) containers: Vec<ContainerRow>,
}
#[derive(Debug, Deserialize)]
struct Outcomes {
    #[serde(default)]
    outcomes: Vec<Outcome>,
}
#[derive(Debug, Deserialize)]
struct Going {
    progress: Option<Progress>,
}

/// At hand for a command.
pub(super) struct Context {
    pub(super) hooks: Hooks,
    pub(super) root: PathBuf,
    quiet: bool,
    client: Option<Client>,
}

impl Context {
    pub(super) fn new(root: PathBuf, quiet: bool, hooks: Hooks) -> Context {
        Context { hooks, root, quiet, client: None }
    }
    /// The connection; made when it is first needed.
    pub(super) fn client(&mut self) -> Result<&mut Client, CliError> {
        match &mut self.client {
            Some(client) => Ok(client),
            place @ None => Ok(place.insert(Client::connect(&self.root)?)),
        }
    }
    /// The next call makes a new connection.
    pub(super) fn hang_up(&mut self) {
        self.client = None;
    }
    /// Calls; progress goes to standard error.
    pub(super) fn call<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, CliError> {
        self.call_with(request, &[])
    }
    /// Calls, with descriptors.
    pub(super) fn call_with<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<T, CliError> {
        let quiet = self.quiet;
        let mut bar = Bar::new();
        let mut tell = |value: Value| {
            if let Ok(Going { progress: Some(p) }) = serde_json::from_value(value)
                && !quiet
            {
                let line = render::harmless(&p.line);
                let line = if p.target.is_empty() { line } else { format!("{}: {line}", p.target) };
                bar.line(&line);
            }
        };
        Ok(self.client()?.call(request, fds, &mut tell)?)
    }
    /// Calls what answers with outcomes: prints notes and errors; the exit code is the first error's.
    pub(super) fn act(&mut self, request: &Request) -> Result<u8, CliError> {
        let Outcomes { outcomes } = self.call(request)?;
        for note in outcomes.iter().filter_map(render::note) {
            self.inform(&note)?;
        }
        let errors: Vec<(&str, &Fault)> =
            outcomes.iter().filter_map(|o| Some((o.target.as_str(), o.error.as_ref()?))).collect();
        for (target, fault) in &errors {
            complain(&format!("{target}: {}", render::fault(fault)));
        }
        Ok(errors.first().map_or(0, |(_, fault)| fault.kind.exit_code()))
    }
    /// The names of all containers.
    pub(super) fn names(&mut self) -> Result<Vec<ContainerName>, CliError> {
        let Containers { containers } = self.call(&Request::List {})?;
        Ok(containers.into_iter().map(|c| c.name).collect())
    }

    /// Text that was asked for.
    pub(super) fn print(&self, text: &str) -> Result<(), CliError> {
        if !self.quiet {
            io::stdout().write_all(text.as_bytes())?;
        }
        Ok(())
    }
    /// A line that is good to know.
    pub(super) fn inform(&self, line: &str) -> Result<(), CliError> {
        self.print(&format!("{line}\n"))
    }
    /// One JSON value on lines of its own.
    pub(super) fn json(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        self.inform(&text)
    }
    /// One JSON value on one line.
    pub(super) fn json_line(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(io::Error::from)?;
        self.inform(&text)
    }
    /// A log line, as text or JSON.
    pub(super) fn log_line(&self, line: &LogLine, json: bool) -> Result<(), CliError> {
        if json { self.json_line(line) } else { self.inform(&render::log_line(line)) }
    }
    /// Whether to colour what is printed.
    pub(super) fn colour(&self) -> Colour {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        if io::stdout().is_terminal() && !unwanted { Colour::Yes } else { Colour::No }
    }
    /// Asks the person at the terminal; without one the answer is an error that names the option to give.
    pub(super) fn confirm(&self, question: &str, option: &str) -> Result<bool, CliError> {
        if !io::stdin().is_terminal() {
            return Err(CliError::Usage(format!("{question} Nobody is there to answer (give {option})")));
        }
        write!(io::stderr(), "{question} [y/N] ")?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
    /// Prints an error with its causes; the exit code.
    pub(super) fn finish(&self, result: Result<u8, CliError>) -> u8 {
        let error = match result {
            Ok(code) => return code,
            Err(error) => error,
        };
        let code = error.exit_code();
        match &error {
            CliError::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
            CliError::Client(ClientError::Fault(fault)) => complain(&render::fault(fault)),
            other => complain(&Fault::of(FaultKind::Failed, other).message),
        }
        code
    }
}

/// `ct: what went wrong` on standard error.
pub(super) fn complain(sentence: &str) {
    // If even that is closed there is nobody left to tell.
    let _ = writeln!(io::stderr(), "ct: {}", render::harmless(sentence));
}

/// Opens a file to hand it to the supervisor; `-` is standard input.
pub(super) fn open(path: &PathBuf) -> Result<std::os::fd::OwnedFd, CliError> {
    let opened = if path.as_os_str() == "-" {
        io::stdin().as_fd().try_clone_to_owned()
    } else {
        std::fs::File::open(path).map(std::os::fd::OwnedFd::from)
    };
    opened.map_err(|e| CliError::Open(path.clone(), e))
}
