//! real: this machine. Holds descriptors between the steps of one plan; makes no choices.
use super::spawn::{Launch, Prepared, launch};
use super::{Cause, Host, Undo, cgroup, files, mounts};
use crate::facts::Cgroups;
use crate::plan::{Group, Step};
use ct_sys::mount::{attr, clone_tree, set_attr};
use nix::fcntl::AT_FDCWD;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// This machine.
#[derive(Debug)]
pub struct RealHost {
    cgroups: Cgroups,
    /// ct-init through a read-only mount of its own: one inode for all, and nothing inside can open it for writing
    /// (CVE-2019-5736).
    init: OwnedFd,
    prepared: Prepared,
    /// Host id of the container's root; 0 without a user namespace.
    owner: u32,
    launch: Option<Launch>,
}

/// What a start plan has left running.
#[derive(Debug)]
pub struct Started {
    /// The child, let go.
    pub launch: Launch,
}

impl RealHost {
    /// Opens ct-init once.
    ///
    /// # Errors
    /// Where the program is missing or can't be cloned.
    pub fn new(cgroups: Cgroups, init: &Path) -> Result<RealHost, Cause> {
        let path = CString::new(init.as_os_str().as_encoded_bytes())
            .map_err(|_| Cause::Said(format!("{} holds a NUL byte", init.display())))?;
        let tree = clone_tree(AT_FDCWD, &path, false)?;
        set_attr(tree.as_fd(), attr::RDONLY | attr::NODEV, None, false)?;
        Ok(RealHost { cgroups, init: tree, prepared: Prepared::default(), owner: 0, launch: None })
    }

    /// After a start plan: what it has started. Everything prepared and not used is dropped.
    pub fn take(&mut self) -> Option<Started> {
        self.prepared = Prepared::default();
        self.owner = 0;
        self.launch.take().map(|launch| Started { launch })
    }

    /// The child of the plan that is under way.
    pub fn cloned(&self) -> Option<u32> {
        self.launch.as_ref().map(|l| l.spawned.pid)
    }

    fn at(&self, group: &Group) -> Result<PathBuf, Cause> {
        cgroup::path(&self.cgroups, group)
    }

    fn userns(&self, mapped: bool) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.prepared.userns.as_ref().filter(|_| mapped).map(AsFd::as_fd)
    }

    fn kill_child(&mut self) {
        if let Some(launch) = self.launch.take() {
            let _ = ct_sys::proc::pidfd_send_signal(launch.spawned.pidfd.as_fd(), nix::libc::SIGKILL);
            let _ = waitid(Id::PIDFd(launch.spawned.pidfd.as_fd()), WaitPidFlag::WEXITED);
        }
    }

    fn child(&self) -> Result<&Launch, Cause> {
        self.launch.as_ref().ok_or_else(|| Cause::Said("there is no child".into()))
    }
}

impl Host for RealHost {
    fn apply(&mut self, step: &Step) -> Result<Undo, Cause> {
        match step {
            Step::MakeDir { path, mode } => return files::make_dir(path, *mode),
            Step::MakeGroup(g) => return cgroup::make(&self.at(g)?, g),
            Step::Enable { group, controllers } => {
                let names: Vec<_> = controllers.iter().map(|c| c.name(false)).collect();
                cgroup::enable(&self.at(group)?, &names)?;
            }
            Step::InheritCpuset(g) => cgroup::inherit_cpuset(&self.at(g)?)?,
            Step::Reclaim { group, bytes } => cgroup::reclaim(&self.at(group)?, *bytes)?,
            Step::Write { group, file, value } => return cgroup::write(&self.at(group)?, group, file, value),
            Step::Delegate { group, owner } => cgroup::delegate(&self.at(group)?, *owner)?,
            Step::MapIds(range) => {
                self.prepared.userns = Some(mounts::user_namespace(*range)?);
                self.owner = range.base;
                return Ok(Undo::DropIds);
            }
            Step::MountDirectory { source, mapped } => {
                let root = mounts::directory(source, self.userns(*mapped))?;
                self.prepared.roots.push(root);
                return Ok(Undo::DropRoot);
            }
            Step::MountOverlay { layers, mapped } => {
                let root = mounts::overlay(layers, self.userns(*mapped), self.owner)?;
                self.prepared.roots.push(root);
                return Ok(Undo::DropRoot);
            }
            Step::PrepareBind { bind, mapped } => {
                let prepared = mounts::bind(bind, self.userns(*mapped))?;
                self.prepared.binds.push(prepared);
                return Ok(Undo::DropBind);
            }
            Step::Listen(path) => {
                self.prepared.listen = Some(files::listen_at(path)?);
                return Ok(Undo::Unlisten(path.clone()));
            }
            Step::Clone(child) => {
                self.launch = Some(launch(child, &self.prepared, &self.init, &self.cgroups)?);
                return Ok(Undo::KillChild);
            }
            Step::MapChild(range) => mounts::map(self.child()?.spawned.pid, *range)?,
            Step::Go => {
                nix::unistd::write(&self.child()?.go, b"g")?;
            }
            Step::Thaw(g) => optional(cgroup::put(&self.at(g)?.join("cgroup.freeze"), "0"))?,
            Step::Kill(g) => optional(cgroup::put(&self.at(g)?.join("cgroup.kill"), "1"))?,
            Step::RemoveGroup(g) => cgroup::remove(&self.at(g)?)?,
            Step::RemoveFile(path) => files::remove_file(path)?,
            Step::RemoveDir(path) => {
                mounts::detach_layers(path);
                files::remove_dir(path)?;
            }
        }
        Ok(Undo::Nothing)
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::RemoveDirs(dirs) => dirs.iter().rev().for_each(|d| drop(fs::remove_dir(d))),
            Undo::RemoveGroup(g) => drop(self.at(&g).and_then(|p| cgroup::remove(&p))),
            Undo::Rewrite(g, file, value) => {
                drop(self.at(&g).and_then(|p| cgroup::put(&p.join(file), &value)))
            }
            Undo::DropIds => {
                self.prepared.userns = None;
                self.owner = 0;
            }
            Undo::DropRoot => drop(self.prepared.roots.pop()),
            Undo::DropBind => drop(self.prepared.binds.pop()),
            Undo::Unlisten(path) => {
                self.prepared.listen = None;
                drop(files::remove_file(&path));
            }
            Undo::KillChild => self.kill_child(),
        }
    }
}

/// A group that has gone already needs neither thaw nor kill.
fn optional(result: Result<(), Cause>) -> Result<(), Cause> {
    match result {
        Err(Cause::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
