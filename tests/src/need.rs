//! need: a test that lacks what it needs says so, is counted, and fails where everything is installed. Installs nothing.
use std::path::Path;

/// Where the v1 freezer is.
pub const FREEZER: &str = "/sys/fs/cgroup/freezer";

/// What a test needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To run as root with its capabilities.
    Root,
    /// A program at this path, from the Debian package.
    Program(&'static str, &'static str),
    /// A cgroup v2 tree anywhere.
    Unified,
    /// The v1 freezer: what it holds takes not even SIGKILL.
    Freezer,
}

impl Need {
    fn missing(self) -> Option<String> {
        match self {
            Need::Root if !nix::unistd::geteuid().is_root() => Some("needs root".into()),
            Need::Program(path, package) if !Path::new(path).exists() => {
                Some(format!("needs {path} (apt install {package})"))
            }
            Need::Unified if host_supervisor::facts::probe().cgroups.unified.is_none() => {
                Some("needs a cgroup v2 tree".into())
            }
            Need::Freezer if !Path::new(FREEZER).is_dir() => {
                Some(format!("needs the v1 freezer at {FREEZER}"))
            }
            Need::Root | Need::Program(..) | Need::Unified | Need::Freezer => None,
        }
    }
}

/// Whether all is there. If not: a line that names the test and the reason, and with CI=true a failure.
///
/// # Panics
/// With CI=true in the environment, where something is missing.
pub fn have(test: &str, needs: &[Need]) -> bool {
    let missing: Vec<String> = needs.iter().filter_map(|n| n.missing()).collect();
    if missing.is_empty() {
        return true;
    }
    let line = format!("skipped {test}: {}", missing.join(", "));
    let ci = std::env::var("CI").is_ok_and(|v| v == "true");
    assert!(!ci, "{line} (CI=true: everything has to run)");
    // Not println: the test runner would swallow it.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
    false
}
