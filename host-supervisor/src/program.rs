//! program: the command line of host-supervisor, and what a process started with it becomes.
use crate::daemon::{self, Left, Options, REMOVE, TEMPLATE};
use crate::paths::Paths;
use crate::template;
use clap::Parser;
use ct_init::keeper;
use std::error::Error;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Starts system containers, holds them to their limits, brings them back
#[derive(Debug, Parser)]
#[command(name = "host-supervisor", version)]
struct Arguments {
    /// Everything is below this directory
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Name of the cgroup that holds all containers' [default: ct, or ct- and a hash of --root]
    #[arg(long, value_name = "NAME")]
    cgroup_parent: Option<String>,
    /// The ct-init program [default: beside this program, else in /usr/sbin]
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Run no keeper: ct-init is the parent already
    #[arg(long)]
    no_keeper: bool,
    /// The keeper's line to its supervisor (internal)
    #[arg(long, hide = true, value_name = "N")]
    keeper_fd: Option<i32>,
    /// Only look whether this program could take over from the one that serves the root: it begins, ct-init is there,
    /// and all of the state on disk is understood (else exit code 3)
    #[arg(long)]
    check: bool,
    /// Shut all containers down (internal)
    #[arg(long, hide = true)]
    shut_down: bool,
    /// Work for a supervisor (internal)
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    work: Vec<String>,
}

/// The program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.work.split_first() {
        Some((verb, rest)) if verb == TEMPLATE => {
            let code = template::worker(&Paths::new(arguments.root), rest);
            return ExitCode::from(u8::try_from(code).unwrap_or(1));
        }
        Some((verb, rest)) if verb == REMOVE => return remove(rest),
        Some((verb, _)) => {
            eprintln!("host-supervisor: {verb:?} is not a verb (see host-supervisor --help)");
            return ExitCode::from(2);
        }
        None => {}
    }
    if arguments.check {
        return check(arguments);
    }
    if !arguments.no_keeper && arguments.keeper_fd.is_none() {
        return keep(&arguments);
    }
    let options = Options {
        keeper: arguments.keeper_fd,
        init: arguments.init.unwrap_or_else(beside),
        root: arguments.root,
        cgroup_parent: arguments.cgroup_parent,
        shut_down: arguments.shut_down,
    };
    match daemon::run(&options) {
        Ok(Left::Asked) => ExitCode::SUCCESS,
        Ok(Left::MakesRoom) => ExitCode::from(keeper::AGAIN),
        Err(e) => fail(&e),
    }
}

/// `--check`: a worker's words, for the supervisor that is to be replaced.
fn check(arguments: Arguments) -> ExitCode {
    let init = arguments.init.unwrap_or_else(beside);
    let foreign = match daemon::check(&arguments.root, &init) {
        Ok(foreign) => foreign,
        Err(e) => {
            println!("error: {}", ct_init::chain(&e));
            return ExitCode::FAILURE;
        }
    };
    println!("host-supervisor {}, state format {}", env!("CARGO_PKG_VERSION"), crate::ledger::FORMAT);
    match foreign.is_empty() {
        true => ExitCode::SUCCESS,
        false => {
            println!("error: {}", foreign.join("; "));
            ExitCode::from(daemon::NOT_UNDERSTOOD)
        }
    }
}

fn fail(error: &dyn Error) -> ExitCode {
    eprintln!("host-supervisor: {}", ct_init::chain(error));
    ExitCode::FAILURE
}

/// As the keeper: the supervisor is this program once more, with the same words.
fn keep(arguments: &Arguments) -> ExitCode {
    let _lock = match daemon::keeper_lock(&arguments.root) {
        Ok(lock) => lock,
        Err(e) => return fail(&e),
    };
    match keeper::run(options_of_keeper()) {
        Ok(code) => ExitCode::from(code),
        Err(e) => fail(&e),
    }
}

fn options_of_keeper() -> keeper::Options {
    // A word without a NUL byte came in as a C string, so it is one.
    let c = |word: &[u8]| CString::new(word).unwrap_or_default();
    let mut argv: Vec<CString> = std::env::args_os().map(|w| c(w.as_bytes())).collect();
    let own = [c(b"--keeper-fd"), c(keeper::FD.to_string().as_bytes())];
    let first = argv.len().min(1);
    argv.splice(first..first, own);
    let env = std::env::vars_os().map(|(k, v)| c(&[k.as_bytes(), b"=", v.as_bytes()].concat())).collect();
    // By its path: after an upgrade this is the new program.
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    keeper::Options { program, argv, env }
}

/// ct-init beside this program, or where packages put it.
fn beside() -> PathBuf {
    let here = std::env::current_exe().ok().and_then(|e| Some(e.parent()?.join("ct-init")));
    here.filter(|p| p.exists()).unwrap_or_else(|| PathBuf::from("/usr/sbin/ct-init"))
}

fn remove(dirs: &[String]) -> ExitCode {
    let failed = dirs.iter().filter_map(|d| std::fs::remove_dir_all(d).err().map(|e| (d, e)));
    let count = failed.inspect(|(d, e)| println!("error: remove {d}: {e}")).count();
    if count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
