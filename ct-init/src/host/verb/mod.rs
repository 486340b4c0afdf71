//! verb: what ct-init does as a process of its own: the steps of a host's boot and end that may wait or hang. Each is a
//! command line of a built-in unit; a person may run it, too.
pub mod attempt;
pub mod buttons;
pub mod device;
pub mod devices;
pub mod generate;
pub mod getty;
pub mod modules;
pub mod mount;
pub mod release;
pub mod seed;
pub mod swap;
pub mod sysctl;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs a verb; none: there is no such verb.
pub fn run(verb: &str, words: &[OsString]) -> Option<ExitCode> {
    let words: Vec<String> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match (verb, words.as_slice()) {
        ("modules", []) => modules::load_configured(),
        ("devices", []) => devices::coldplug(),
        ("boot-attempt", []) => attempt::begin(),
        ("boot-good", []) => attempt::good(),
        ("buttons", []) => buttons::watch(),
        ("sysctl", []) => sysctl::apply_all(),
        ("seed", ["load"]) => seed::load(),
        ("seed", ["save"]) => seed::save(),
        ("mount", [what, at, kind, options, mode]) => mount::up(what, at, kind, options, mode),
        ("unmount", [flags @ .., at]) => mount::down(flags, at),
        ("root", [what, kind, options, pass]) => mount::root(what, kind, options, pass),
        ("swapon", [what, options]) => swap::on(what, options),
        ("swapoff", [what]) => swap::off(what),
        // As any other generator: for normal, early and late units. All of these are normal ones.
        ("generate", [normal, _early, _late]) => generate::all(normal),
        ("release", []) => release::all(),
        ("sync", []) => {
            rustix::fs::sync();
            Ok(())
        }
        ("shell", [why]) => getty::shell(why),
        ("getty", [terminal]) => getty::login(terminal),
        (_, _) => return None,
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{}", crate::chain(&e));
            ExitCode::FAILURE
        }
    })
}

/// Why a verb could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum VerbError {
    /// A system call or a file.
    #[error("{0}")]
    Io(String, #[source] std::io::Error),
    /// A sentence that says all.
    #[error("{0}")]
    Said(String),
    /// Several went wrong, each was said already.
    #[error("{0} of {1} could not be done")]
    Some(usize, usize),
}

impl VerbError {
    pub(crate) fn io(tried: impl Into<String>) -> impl FnOnce(std::io::Error) -> VerbError {
        let tried = tried.into();
        move |e| VerbError::Io(tried, e)
    }
    pub(crate) fn errno(tried: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> VerbError {
        let tried = tried.into();
        move |e| VerbError::Io(tried, e.into())
    }
}

/// The lines of all files `*.conf` in some directories, in order of their names; a name in an earlier directory hides
/// the same one in a later. Comments and empty lines are left out. Each with its place, `/etc/x.d/a.conf:3`.
pub(crate) fn configured(root: &crate::root::Root, directories: &[&str]) -> Vec<(String, String)> {
    let mut files = std::collections::BTreeMap::new();
    for directory in directories {
        for name in root.list(directory).unwrap_or_default() {
            if name.ends_with(".conf") {
                files.entry(name.clone()).or_insert_with(|| format!("{directory}/{name}"));
            }
        }
    }
    files.values().flat_map(|path| lines(root, path)).collect()
}

/// The lines of one file, with their places.
pub(crate) fn lines(root: &crate::root::Root, path: &str) -> Vec<(String, String)> {
    let text = match root.read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) => {
            if !e.is_missing() {
                eprintln!("{}", crate::chain(&e));
            }
            return Vec::new();
        }
    };
    let numbered =
        text.lines().enumerate().map(|(i, line)| (format!("{path}:{}", i + 1), line.trim().to_owned()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';'])).collect()
}
