//! lock: one supervisor a root. The lock is the kernel's, so a dead one holds nothing.
use super::DaemonError;
use crate::paths::Paths;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};

/// Held until it is dropped. Its file names the holder: `run/ct/supervisor.pid`.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Flock<File>,
}

/// Takes the lock and writes our pid.
pub(crate) fn take(paths: &Paths) -> Result<Lock, DaemonError> {
    let path = paths.run().join("supervisor.pid");
    let failed = |e| DaemonError::Io(format!("write {}", path.display()), e);
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut file) => {
            file.set_len(0).map_err(failed)?;
            file.rewind().map_err(failed)?;
            writeln!(file, "{}", std::process::id()).map_err(failed)?;
            Ok(Lock { _file: file })
        }
        Err((mut file, _)) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            Err(DaemonError::Taken { pid: pid.trim().to_owned(), root: paths.root().to_path_buf() })
        }
    }
}
