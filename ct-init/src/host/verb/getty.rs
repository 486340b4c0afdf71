//! getty: gives a terminal to a login program, or to a shell when nothing else is left. Replaces this process.
use super::VerbError;
use super::mount::tool;
use crate::host::{console, power};
use rustix::fs::{CWD, Mode, OFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A login prompt on this terminal, with whichever program there is for it.
pub(super) fn login(terminal: &str) -> Result<(), VerbError> {
    let mut command = if let Some(agetty) = tool("agetty") {
        let mut command = Command::new(agetty);
        command.args(["--noclear", "--keep-baud", terminal, "115200,38400,9600"]).arg(term(terminal));
        command
    } else if let Some(getty) = tool("getty") {
        let mut command = Command::new(getty);
        command.args(["0", terminal]).arg(term(terminal));
        command
    } else {
        // Without one nobody could say who may come in.
        return Err(VerbError::Said(format!("{terminal} has no login: there is neither agetty nor getty")));
    };
    let e = command.exec();
    Err(VerbError::Io(format!("execute {}", command.get_program().to_string_lossy()), e))
}

fn term(terminal: &str) -> &'static str {
    // A kernel's own screen speaks its own language.
    let is_screen = terminal.strip_prefix("tty").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    if is_screen { "linux" } else { "vt220" }
}

/// A shell on the console. When it ends the boot goes on, where it was held up.
pub(super) fn shell(why: &str) -> Result<(), VerbError> {
    let terminal = take_console()?;
    let said = match why {
        "emergency" => "The boot can't go on; what is wrong is above, and in: ct-init logs",
        "rescue" => "Rescue mode: the file systems are there, no services run.",
        _ => "ct.debug: a shell beside all else.",
    };
    eprintln!("\n{said}\nLeave the shell to go on with the boot; ct-init reboot starts again.\n");
    let mut command = match tool("sulogin") {
        // --force: a root account without a password must not lock out whoever stands at the console.
        Some(sulogin) if why != "debug" => {
            let mut command = Command::new(&sulogin);
            // busybox's knows no options of this kind.
            if !std::fs::canonicalize(&sulogin).is_ok_and(|path| path.ends_with("busybox")) {
                command.arg("--force");
            }
            command
        }
        Some(_) | None => {
            let Some(shell) = ["bash", "sh", "ash"].into_iter().find_map(tool) else {
                return Err(VerbError::Said("there is no shell on this system".to_owned()));
            };
            let mut command = Command::new(shell);
            command.arg0("-sh");
            command
        }
    };
    command.env("HOME", "/root").env("TERM", term(&terminal)).env("PATH", crate::environment::PATH);
    // Its end is what this process waits for, and nothing else.
    let status = command.status().map_err(VerbError::io("run a shell"))?;
    if why == "debug" {
        return Ok(());
    }
    eprintln!("the shell has ended ({status}): goes on with the boot");
    let _asked = power::run("default", &[]);
    Ok(())
}

/// Makes the console this process's controlling terminal and its three descriptors. Returns its name.
fn take_console() -> Result<String, VerbError> {
    let name = console::terminals().pop().unwrap_or_else(|| "console".to_owned());
    // The screen in front is tty0's.
    let path = if name == "tty0" { "/dev/tty1".to_owned() } else { format!("/dev/{name}") };
    let opened = rustix::fs::openat(CWD, &path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
    let fd: OwnedFd = opened.map_err(VerbError::errno(format!("open {path}")))?;
    ct_sys::proc::take_terminal(fd.as_fd()).map_err(|e| VerbError::Io(format!("take {path}"), e.into()))?;
    let give = || -> rustix::io::Result<()> {
        rustix::stdio::dup2_stdin(&fd)?;
        rustix::stdio::dup2_stdout(&fd)?;
        rustix::stdio::dup2_stderr(&fd)
    };
    give().map_err(VerbError::errno(format!("use {path}")))?;
    Ok(name)
}
