//! lock: one keeper and one supervisor a root. The lock is the kernel's, so a dead one holds nothing.
use super::DaemonError;
use crate::paths::Paths;
use nix::fcntl::{Flock, FlockArg};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// So long a supervisor may take to see that its keeper has gone …
const MOMENT: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
/// … also one that is only beginning, on a slow machine.
const LONG: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// Held until it is dropped. Its file names the holder: `run/ct/supervisor.pid`, `run/ct/keeper.pid`.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Flock<File>,
}

/// Takes the lock of this name below `run/ct` and writes our pid.
///
/// # Errors
/// Where another one has it, or the file can't be written.
pub(crate) fn take(paths: &Paths, name: &str) -> Result<Lock, DaemonError> {
    let path = paths.run().join(name);
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

/// Takes the supervisor's lock. Under a keeper, of which there is one, whoever else holds it is what a dead keeper has
/// left: that is about to leave, and is given the time.
///
/// # Errors
/// Where another one keeps it, or the file can't be written.
pub(crate) fn take_over(paths: &Paths, keeper: bool) -> Result<Lock, DaemonError> {
    const NAME: &str = "supervisor.pid";
    let first = take(paths, NAME);
    if keeper && matches!(first, Err(DaemonError::Taken { .. })) {
        await_predecessor(&paths.run().join(NAME), LONG);
        return take(paths, NAME);
    }
    first
}

/// Whoever holds it is the keeper, and `run/ct/keeper.pid` names it.
#[derive(Debug)]
pub struct KeeperLock {
    _lock: Lock,
    file: PathBuf,
}

/// Makes sure that a root has one keeper.
///
/// # Errors
/// Where another one has it, or the root can't be used.
pub fn keeper_lock(root: &Path) -> Result<KeeperLock, DaemonError> {
    const NAME: &str = "keeper.pid";
    let failed = |what: String| move |e: std::io::Error| DaemonError::Io(what, e);
    let root = std::fs::canonicalize(root).map_err(failed(format!("open the root {}", root.display())))?;
    let paths = Paths::new(root);
    let run = paths.run();
    std::fs::create_dir_all(&run).map_err(failed(format!("make {}", run.display())))?;
    let lock = KeeperLock { _lock: take(&paths, NAME)?, file: run.join(NAME) };
    await_predecessor(&run.join("supervisor.pid"), MOMENT);
    Ok(lock)
}

/// A supervisor whose keeper was killed is about to leave: gives it a moment to do so.
fn await_predecessor(path: &Path, how_long: Timespec) {
    let Ok(file) = File::open(path) else { return };
    let held = Flock::lock(file, FlockArg::LockSharedNonblock).is_err();
    let pid = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    if let Some(pidfd) = pid.filter(|_| held).and_then(|pid| ct_sys::proc::pidfd_open(pid).ok()) {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        // If it stays, the lock will say so.
        let _left = poll(&mut fds, Some(&how_long));
    }
}

impl Drop for KeeperLock {
    fn drop(&mut self) {
        // A pid that is nobody's would only mislead.
        let _ = std::fs::remove_file(&self.file);
    }
}
