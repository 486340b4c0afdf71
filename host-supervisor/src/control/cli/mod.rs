//! cli: `ct`'s command lines, turned into calls and their replies into text and an exit code. Never knows how a
//! container works; where a sentence comes from the supervisor, it is printed as it came.
//!
//! One file for each group of commands. What a command line asks for is a [`Request`](super::protocol::Request) that
//! a test can look at; only `context` talks to the supervisor and the terminal.
mod bar;
mod context;
mod inside;
mod life;
mod look;
mod make;
mod names;
mod template;

use clap::{CommandFactory, Parser, Subcommand};
pub use context::CliError;
use context::Context;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use units::Diagnostic;

/// What `ct` does without a supervisor, handed in by the program.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// `ct check FILE…`: every mistake in these files, and what this host can't enforce; no files: in all units
    /// below the root directory.
    pub check: fn(root: &Path, files: &[PathBuf]) -> Vec<Diagnostic>,
}

/// Runs, starts, limits and looks into system containers.
#[derive(Debug, Parser)]
#[command(name = "ct", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
struct Cli {
    /// Talk to the supervisor that was started with this root [env: CT_ROOT] [default: /]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Print nothing but errors
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "NAME is a container, NAME/UNIT a unit inside one; several may be named, and a pattern \
such as 'web*' takes many.

Exit codes: 0 done; 1 it failed; 2 wrong usage; 3 no such container, unit or template; 4 the supervisor can't be \
reached; 5 refused, or not possible on this host; 124 timed out. ct exec: the command's own.";

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Look(look::Look),
    #[command(flatten)]
    Life(life::Life),
    #[command(flatten)]
    Inside(inside::Inside),
    #[command(flatten)]
    Make(make::Make),
    /// Templates that containers are made from
    #[command(subcommand)]
    Template(template::Template),
    /// Print a completion script for a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// The program: reads the command line and the environment, does it, returns what to exit with.
pub fn main(hooks: Hooks) -> ExitCode {
    ExitCode::from(run(std::env::args_os(), hooks))
}

fn run(arguments: impl IntoIterator<Item = OsString>, hooks: Hooks) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version come this way too, and go to standard output.
            let _ = e.print();
            return u8::try_from(e.exit_code()).unwrap_or(2);
        }
    };
    let root = cli.root.or_else(|| std::env::var_os("CT_ROOT").filter(|r| !r.is_empty()).map(PathBuf::from));
    let mut context = Context::new(root.unwrap_or_else(|| PathBuf::from("/")), cli.quiet, hooks);
    let result = match cli.command {
        Command::Look(look) => look.run(&mut context),
        Command::Life(life) => life.run(&mut context),
        Command::Inside(inside) => inside.run(&mut context),
        Command::Make(make) => make.run(&mut context),
        Command::Template(template) => template.run(&mut context),
        Command::Completion { shell } => completion(&mut context, shell),
    };
    context.finish(result)
}

fn completion(context: &mut Context, shell: clap_complete::Shell) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ct", &mut script);
    context.print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

#[cfg(test)]
mod tests;
