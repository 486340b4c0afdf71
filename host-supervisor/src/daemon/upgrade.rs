//! upgrade: the supervisor makes room for the program on disk, once that has been found fit; and how fit one is.
use super::workers::Whom;
use super::{Daemon, DaemonError};
use crate::control::protocol::{Body, Fault, FaultKind, Reply, Version};
use crate::control::server::ClientId;
use crate::ledger::{self, Durable, FORMAT, Life};
use crate::paths::Paths;
use slog::{info, warn};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// What [`check`] exits with where the state on disk is not all understood.
pub const NOT_UNDERSTOOD: u8 = 3;

/// The program that runs here, by the path where its successor is.
pub(super) fn own_program() -> PathBuf {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    // So the kernel names a file that was removed; a new one may be there by now.
    match path.to_str().and_then(|p| p.strip_suffix(" (deleted)")) {
        Some(there) => PathBuf::from(there),
        None => path,
    }
}

/// Looks whether this program could take over what is below a root: one line for each state file that it does not
/// understand.
///
/// # Errors
/// What would keep it from beginning.
pub fn check(root: &Path, init: &Path) -> Result<Vec<String>, DaemonError> {
    let root = std::fs::canonicalize(root)
        .map_err(|e| DaemonError::Io(format!("open the root {}", root.display()), e))?;
    std::fs::File::open(init)
        .map_err(|e| DaemonError::Io(format!("open ct-init at {}", init.display()), e))?;
    let paths = Paths::new(root);
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut all: Vec<PathBuf> = entries.map(|e| e.path()).collect();
        all.sort();
        all
    };
    let lives = names(&paths.lives()).into_iter().filter(|p| p.extension().is_some_and(|e| e == "json"));
    let durable = names(&paths.containers()).into_iter().map(|dir| dir.join("state.json"));
    let looked = lives.map(|p| ledger::understood::<Life>(&p));
    let looked = looked.chain(durable.map(|p| ledger::understood::<Durable>(&p)));
    Ok(looked.flatten().filter_map(Result::err).collect())
}

impl Daemon {
    pub(crate) fn version(&self) -> Body {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Body::Version(Version { version, pid: std::process::id(), format: FORMAT })
    }

    /// Asks the program on disk whether it can take over; what follows is in [`Daemon::judged`].
    pub(crate) fn upgrade(&mut self, client: ClientId, force: bool) {
        if self.leaving || !self.workers.is_idle() {
            let why = if self.leaving { "everything is being shut down" } else { "a worker is still at it" };
            return self.refuse(client, why);
        }
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.paths.root()).arg("--init").arg(&self.init).arg("--check");
        command.stdin(Stdio::null());
        self.launch_worker(command, Whom::Upgrade(client, force));
    }

    /// The program on disk has looked at what it would take over.
    pub(super) fn judged(
        &mut self,
        client: ClientId,
        force: bool,
        how: std::io::Result<ExitStatus>,
        said: Option<String>,
    ) {
        let program = self.program.display();
        let not_understood = matches!(&how, Ok(s) if s.code() == Some(i32::from(NOT_UNDERSTOOD)));
        let why = match (how, said) {
            (Ok(status), _) if status.success() => return self.make_room(client),
            (Ok(_), Some(said)) => said,
            (Ok(status), None) => status.to_string(),
            (Err(e), _) => e.to_string(),
        };
        if not_understood && force {
            warn!(self.log, "is replaced by a program that does not know all of the state"; "why" => &why);
            return self.make_room(client);
        }
        let fault = Fault::new(FaultKind::Refused, format!("{program} can't take over: {why}"));
        let hint =
            "ct upgrade --force: such containers are ended, and started again where they were wanted up";
        let fault = if not_understood { fault.hint(hint) } else { fault };
        self.reply(client, fault.into());
    }

    fn make_room(&mut self, client: ClientId) {
        info!(self.log, "makes room for the program on disk"; "program" => %self.program.display());
        let body = self.version();
        self.reply(client, Reply::done(body));
        self.makes_room = true;
    }
}
