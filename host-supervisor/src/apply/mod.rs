//! apply: carries out Steps, in order; on failure undoes in reverse. Makes no choices.
mod cgroup;
mod files;
mod mounts;
mod real;
mod spawn;

pub use cgroup::kill_each;
pub use files::connect_to as connect;
pub use real::{RealHost, Started};
pub use spawn::{Launch, last_words};

use crate::plan::{Group, Plan, Step};
use std::path::PathBuf;

/// How to take one step back; returned by the step itself, because only it knows what was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// It changed nothing, or what it made goes with something else.
    Nothing,
    /// Remove these directories, the last first.
    RemoveDirs(Vec<PathBuf>),
    /// Remove the group.
    RemoveGroup(Group),
    /// Write the value that was there.
    Rewrite(Group, String, String),
    /// Drop the user namespace.
    DropIds,
    /// Drop the last root mount.
    DropRoot,
    /// Drop the last bind.
    DropBind,
    /// Close the socket and remove its file.
    Unlisten(PathBuf),
    /// Kill the child.
    KillChild,
}

/// A step that failed: which, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct ApplyError {
    /// The step, as a plan prints it, on one line.
    pub what: String,
    /// Why.
    pub cause: Cause,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The kernel's word.
    #[error("{}", .0.desc())]
    Errno(#[from] nix::errno::Errno),
    /// A file operation's.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A file system's.
    #[error("{0}")]
    Fs(#[from] ct_sys::mount::FsError),
    /// A sentence of our own, with a way out.
    #[error("{0}")]
    Said(String),
}

/// Something that steps can be done to: this machine, or a fake one.
pub trait Host {
    /// Does one step.
    ///
    /// # Errors
    /// The cause; nothing of the step is left behind.
    fn apply(&mut self, step: &Step) -> Result<Undo, Cause>;
    /// Takes one step back; can't fail, only log.
    fn undo(&mut self, undo: Undo);
}

/// Runs a plan. On failure everything done so far is undone, last first.
///
/// # Errors
/// The step that failed.
pub fn run(plan: &Plan, host: &mut dyn Host) -> Result<(), ApplyError> {
    let mut undos = Vec::new();
    for step in &plan.steps {
        match host.apply(step) {
            Ok(undo) => undos.push(undo),
            Err(cause) => {
                undos.into_iter().rev().for_each(|u| host.undo(u));
                let text = step.to_string();
                let what = text.lines().next().unwrap_or_default().trim_end_matches("; it will:").to_owned();
                return Err(ApplyError { what, cause });
            }
        }
    }
    Ok(())
}
