//! inside: commands whose data flows between `ct` and a container's ct-init: exec, enter, logs.
use super::CliError;
use super::context::Context;
use super::names::{container, target, variable};
use crate::control::client::ClientError;
use crate::control::protocol::{LogLine, Request};
use crate::control::render::quantity::read_moment;
use crate::control::session::{PATIENCE, SessionError, Talk, exit_code};
use crate::control::target::{ContainerName, Target};
use crate::control::terminal;
use clap::{Args, Subcommand};
use ct_init::proto::{Exec, Logs};
use serde::Deserialize;
use serde_json::Value;
use std::io::{self, IsTerminal};
use std::time::SystemTime;

#[derive(Debug, Subcommand)]
pub(super) enum Inside {
    /// Run a command inside; its exit code is ct's
    Exec(ExecArguments),
    /// A login shell inside
    Enter {
        /// Which container
        #[arg(value_parser = container)]
        name: ContainerName,
        /// As this user: a name or number, or USER:GROUP
        #[arg(long, value_name = "U")]
        user: Option<String>,
    },
    /// Output of services and of the container's init
    Logs(LogArguments),
}

#[derive(Debug, Args)]
pub(super) struct ExecArguments {
    /// Which container
    #[arg(value_parser = container)]
    name: ContainerName,
    /// As this user: a name or number, or USER:GROUP
    #[arg(long, value_name = "U")]
    user: Option<String>,
    /// Added to the environment; may be given several times
    #[arg(long, value_name = "K=V", value_parser = variable)]
    env: Vec<(String, String)>,
    /// In this directory
    #[arg(short = 'w', long, value_name = "DIR")]
    directory: Option<String>,
    /// On a terminal, also where standard input is none
    #[arg(short = 't', overrides_with = "no_terminal")]
    terminal: bool,
    /// Not on a terminal, also where standard input is one
    #[arg(short = 'T', overrides_with = "terminal")]
    no_terminal: bool,
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct LogArguments {
    /// NAME, or NAME/UNIT for one unit's
    #[arg(value_name = "NAME[/UNIT]", value_parser = target)]
    target: Target,
    /// Go on with new lines
    #[arg(short, long)]
    follow: bool,
    /// At most the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u32>,
    /// None older: 10min, 2026-01-02 03:04:05 (UTC), @SECONDS
    #[arg(long, value_name = "T", value_parser = |t: &str| read_moment(t, SystemTime::now()))]
    since: Option<u64>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Inside {
    pub(super) fn run(&self, context: &mut Context) -> Result<u8, CliError> {
        match self {
            Inside::Exec(arguments) => {
                // Whoever reads the output through a pipe wants it as it is.
                let exec = arguments.exec(io::stdin().is_terminal() && io::stdout().is_terminal());
                session(context, &arguments.name, exec)
            }
            Inside::Enter { name, user } => {
                let tty = io::stdin().is_terminal();
                session(context, name, shell(user.clone(), tty))
            }
            Inside::Logs(arguments) => logs(context, arguments),
        }
    }
}

impl ExecArguments {
    /// What ct-init is asked to run.
    pub(super) fn exec(&self, on_terminal: bool) -> Exec {
        let tty = self.terminal || (on_terminal && !self.no_terminal);
        Exec {
            argv: self.command.clone(),
            environment: environment(self.env.clone(), tty),
            user: self.user.clone(),
            directory: self.directory.clone(),
            tty,
            size: tty.then(|| terminal::size(io::stdin())).flatten(),
        }
    }
}

/// An empty argv is a login shell.
fn shell(user: Option<String>, tty: bool) -> Exec {
    Exec {
        argv: Vec::new(),
        environment: environment(Vec::new(), tty),
        user,
        directory: None,
        tty,
        size: tty.then(|| terminal::size(io::stdin())).flatten(),
    }
}

/// On a terminal the command has to know its kind; what was asked for comes last and wins.
fn environment(asked: Vec<(String, String)>, tty: bool) -> Vec<(String, String)> {
    let kind = if tty { std::env::var("TERM").ok() } else { None };
    kind.map(|kind| ("TERM".to_owned(), kind)).into_iter().chain(asked).collect()
}

#[derive(Debug, Deserialize)]
struct Socket {
    #[serde(rename = "socket")]
    _number: u32,
}

fn session(context: &mut Context, name: &ContainerName, exec: Exec) -> Result<u8, CliError> {
    let Socket { .. } = context.call(&Request::Exec { name: name.clone() })?;
    let socket = context.client()?.take_socket()?;
    let failed = |e: SessionError| CliError::Session(name.to_string(), e);
    let how = Talk::new(socket, PATIENCE).and_then(|talk| talk.exec(exec)).map_err(failed)?;
    Ok(exit_code(how))
}

#[derive(Debug, Deserialize)]
struct LogReply {
    #[serde(default)]
    socket: Option<u32>,
    #[serde(default)]
    line: Option<LogLine>,
}

fn logs(context: &mut Context, a: &LogArguments) -> Result<u8, CliError> {
    let request = Request::Logs { target: a.target.clone(), lines: a.lines, since: a.since };
    context.client()?.send(&request, &[])?;
    loop {
        let answer = context.client()?.receive()?;
        let value: Value = answer.result.map_err(ClientError::from)?;
        let reply: LogReply = serde_json::from_value(value).map_err(ClientError::Answer)?;
        if let Some(line) = reply.line {
            context.log_line(&line, a.json)?;
        }
        if reply.socket.is_some() {
            return stream(context, a);
        }
        if !answer.continues {
            return Ok(0);
        }
    }
}

/// The container runs: its init has the lines.
fn stream(context: &mut Context, a: &LogArguments) -> Result<u8, CliError> {
    let socket = context.client()?.take_socket()?;
    let logs = Logs {
        unit: a.target.unit.as_ref().map(ToString::to_string),
        lines: a.lines,
        since: a.since,
        follow: a.follow,
    };
    let failed = |e: SessionError| CliError::Session(a.target.to_string(), e);
    let mut wrong = None;
    let mut each = |line: ct_init::proto::Line| {
        context.log_line(&LogLine::from(&line), a.json).map_err(|e| {
            wrong = Some(e);
            io::Error::other("output")
        })
    };
    let ended = Talk::new(socket, PATIENCE).and_then(|talk| talk.logs(logs, &mut each)).map_err(failed)?;
    match (ended, wrong) {
        (_, Some(error)) => Err(error),
        (Ok(()), None) => Ok(0),
        (Err(e), None) => Err(e.into()),
    }
}
