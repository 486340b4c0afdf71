//! PID 1: of a container, and of a host without an init of its own.
//!
//! One thread, one loop. It never blocks, never panics on what it reads, and never leaves unless told.
pub mod boot;
pub mod cgroup;
pub mod check;
pub mod clock;
pub mod control;
pub mod effect;
pub mod engine;
pub mod environment;
pub mod halt;
pub mod health;
pub mod host;
pub mod keeper;
pub mod load;
pub mod log;
pub mod output;
pub mod passwd;
pub mod pid1;
pub mod proto;
pub mod ready;
pub mod reap;
pub mod resume;
pub mod root;
pub mod session;
pub mod wire;

/// What `ct-init` does when it is executed.
pub fn main() -> std::process::ExitCode {
    ct_sys::early::linked();
    if std::process::id() != 1 {
        return process();
    }
    resume::on_panic();
    if let Some(book) = resume::handed() {
        return resume::main(book);
    }
    let mut start = boot::begin();
    let (log, waiting) = log::logger(true);
    // A host has no name among containers, but one of its own.
    let name = if start.level == host::Level::Host { &start.handover.hostname } else { &start.handover.name };
    slog::info!(log, "begins"; "version" => env!("CARGO_PKG_VERSION"), "name" => name);
    let mut notices = start.notices.clone();
    notices.extend(boot::settle());
    notices.extend(boot::prepare(&start.handover));
    notices.extend(start.handover.notices.iter().cloned());
    if start.level == host::Level::Host {
        match boot::listen() {
            Ok(fd) => start.listener = Some(fd),
            Err(e) => notices.push(format!("listen at {}: {e}", host::client::SOCKET)),
        }
    }
    for notice in notices {
        slog::warn!(log, "boot"; "what" => notice);
    }
    match pid1::Pid1::new(start, log.clone(), waiting) {
        Ok(pid1) => pid1.run(),
        Err(e) => {
            slog::crit!(log, "can't begin"; "why" => %e);
            std::process::ExitCode::FAILURE
        }
    }
}

/// ct-init as any other process: a verb, or one of the classic names.
fn process() -> std::process::ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let name = std::path::Path::new(&name).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let words: Vec<std::ffi::OsString> = words.collect();
    if host::power::NAMES.contains(&name.as_str()) {
        return host::power::run(&name, &words);
    }
    match words.split_first() {
        Some((verb, words)) => child(&verb.to_string_lossy(), words),
        None => usage(),
    }
}

/// What PID 1 has a child of its own do, and what a person asks.
fn child(verb: &str, words: &[std::ffi::OsString]) -> std::process::ExitCode {
    use std::os::unix::process::CommandExt;
    match (verb, words) {
        // So that a large tree doesn't keep PID 1 busy.
        ("remove", paths) => {
            let root = root::Root::new("/");
            paths.iter().for_each(|path| effect::directories::remove(&root, &path.to_string_lossy()));
            std::process::ExitCode::SUCCESS
        }
        // A program that is handed sockets wants to see its own pid in LISTEN_PID.
        ("listen", [path, name, rest @ ..]) => {
            let pid = std::process::id().to_string();
            let e = std::process::Command::new(path).arg0(name).args(rest).env("LISTEN_PID", pid).exec();
            eprintln!("ct-init: execute {}: {e}", path.display());
            std::process::ExitCode::from(127)
        }
        (verb, words) if host::power::is_verb(verb) => host::power::run(verb, words),
        (verb, words) => {
            host::verb::run(verb, words).or_else(|| host::client::run(verb, words)).unwrap_or_else(usage)
        }
    }
}

fn usage() -> std::process::ExitCode {
    let pid = std::process::id();
    eprintln!(
        "ct-init {}: it is the first process of a container or a host (PID 1); here it is process {pid}

units of this host:  ct-init list | status [UNIT…] | logs [UNIT] [-f] [-n N]
                     ct-init start|stop|restart|reload|enable|disable|reset-failed UNIT… | kill [-s SIGNAL] UNIT…
                     ct-init daemon-reload
the host itself:     ct-init poweroff|reboot|halt|kexec [--force] | default | single | emergency | reexec",
        env!("CARGO_PKG_VERSION")
    );
    std::process::ExitCode::from(2)
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    text
}
