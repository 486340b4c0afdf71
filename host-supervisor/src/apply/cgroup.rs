//! cgroup: groups and their files in whichever hierarchy has them. One write is one value, and its errno is kept.
//!
//! cgroups-rs is not used for writing: its `apply` swallows errors and its v2 half converts values wrongly, while a
//! plan's value is already what the file wants. It reads statistics, in [`crate::observe`].
use super::{Cause, Undo};
use crate::facts::Cgroups;
use crate::plan::{Group, Tree};
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

/// Where a group is.
pub(crate) fn path(cgroups: &Cgroups, group: &Group) -> Result<PathBuf, Cause> {
    let mount = match group.tree {
        Tree::Unified => cgroups.unified.as_ref(),
        Tree::V1(c) => cgroups.v1.get(&c),
    };
    let mount = mount.ok_or_else(|| Cause::Said(format!("no {} hierarchy is mounted", group.tree)))?;
    Ok(mount.join(&group.path))
}

/// Makes a group; an empty one that is there already is taken over (a crash left it).
pub(super) fn make(path: &Path, group: &Group) -> Result<Undo, Cause> {
    match fs::create_dir(path) {
        Ok(()) => Ok(Undo::RemoveGroup(group.clone())),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(Undo::Nothing),
        Err(e) => Err(e.into()),
    }
}

/// Writes a value; returns what was there.
pub(super) fn write(path: &Path, group: &Group, file: &str, value: &str) -> Result<Undo, Cause> {
    let before = fs::read_to_string(path.join(file)).unwrap_or_default().trim_end().to_owned();
    put(&path.join(file), value)?;
    Ok(match before.is_empty() || before.contains('\n') {
        true => Undo::Nothing,
        false => Undo::Rewrite(group.clone(), file.to_owned(), before),
    })
}

/// One write(2): cgroup files take a value whole or not at all.
pub(super) fn put(path: &Path, value: &str) -> Result<(), Cause> {
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(value.as_bytes())?;
    Ok(())
}

/// Takes back memory until the group fits, or says that it is busy, as v1 does of a limit below what is used.
pub(super) fn reclaim(path: &Path, bytes: u64) -> Result<(), Cause> {
    let current = || -> Result<u64, Cause> {
        let text = fs::read_to_string(path.join("memory.current"))?;
        text.trim().parse().map_err(|_| Cause::Said(format!("memory.current says {text:?}")))
    };
    let over = current()?.saturating_sub(bytes);
    if over == 0 {
        return Ok(());
    }
    // Before Linux 5.19 there is no such file, and less than all of it comes as EAGAIN: what counts is what is left.
    let _tried = put(&path.join("memory.reclaim"), &over.to_string());
    match current()? {
        left if left > bytes => Err(std::io::Error::from(ErrorKind::ResourceBusy).into()),
        _ => Ok(()),
    }
}

/// Hands controllers down that are not handed down yet.
pub(super) fn enable(path: &Path, names: &[&str]) -> Result<(), Cause> {
    let file = path.join("cgroup.subtree_control");
    let have = fs::read_to_string(&file)?;
    let want: Vec<String> = names
        .iter()
        .filter(|n| !have.split_whitespace().any(|h| h == **n))
        .map(|n| format!("+{n}"))
        .collect();
    if want.is_empty() { Ok(()) } else { put(&file, &want.join(" ")) }
}

/// A v1 cpuset without CPUs or nodes gets its parent's.
pub(super) fn inherit_cpuset(path: &Path) -> Result<(), Cause> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = fs::read_to_string(path.join(file))?;
        if own.trim().is_empty() {
            let parent = path.parent().unwrap_or(path);
            put(&path.join(file), fs::read_to_string(parent.join(file))?.trim())?;
        }
    }
    Ok(())
}

/// The files that a delegatee may write, by cgroup-v2.rst "Delegation Containment"; never a limit file.
pub(super) fn delegate(path: &Path, owner: u32) -> Result<(), Cause> {
    for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
        let target = if file.is_empty() { path.to_path_buf() } else { path.join(file) };
        match chown(&target, Some(owner), Some(owner)) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// SIGKILL to each process in a group and below it, by its pidfd. Unlike `cgroup.kill` this leaves a group that a new
/// child can be cloned into: kernels of 6.14 and later kill such a child, too.
///
/// Returns what could not be killed; what has ended meanwhile is fine.
pub fn kill_each(cgroups: &Cgroups, group: &Group) -> Vec<Cause> {
    match path(cgroups, group) {
        Ok(path) => kill_below(&path),
        Err(e) => vec![e],
    }
}

fn kill_below(path: &Path) -> Vec<Cause> {
    let procs = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    // 0 is a process of another pid namespace, which is not ours to see.
    let pids = procs.lines().filter_map(|l| l.parse().ok()).filter(|pid| *pid != 0);
    let mut failed: Vec<Cause> = pids.filter_map(|pid| kill_one(pid, path).err()).collect();
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let dirs = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    failed.extend(dirs.flat_map(|d| kill_below(&d.path())));
    failed
}

fn kill_one(pid: u32, group: &Path) -> Result<(), Cause> {
    let Ok(pidfd) = ct_sys::proc::pidfd_open(pid) else { return Ok(()) };
    // Looked at while we hold it: a number that went to another process meanwhile is in another group.
    let procs = fs::read_to_string(group.join("cgroup.procs"))?;
    if procs.lines().any(|l| l.parse() == Ok(pid)) {
        match ct_sys::proc::pidfd_send_signal(pidfd.as_fd(), nix::libc::SIGKILL) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Removes a group and all below it; processes must be gone. A group that is not there is fine.
pub(super) fn remove(path: &Path) -> Result<(), Cause> {
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove(&entry.path())?;
        }
    }
    match fs::remove_dir(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => Ok(other?),
    }
}
