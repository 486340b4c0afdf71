//! step: one visible change, printed as one line. Touches nothing.
use super::child::Child;
use crate::facts::Controller;
use crate::spec::{Bind, IdRange, Layers};
use std::fmt;
use std::path::PathBuf;

/// A cgroup hierarchy: the v2 tree, or the v1 one that has this controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tree {
    /// cgroup v2.
    Unified,
    /// A v1 hierarchy.
    V1(Controller),
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tree::Unified => f.write_str("v2"),
            Tree::V1(c) => f.write_str(c.name(true)),
        }
    }
}

/// A group by its hierarchy and its path below the mount point.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Which hierarchy.
    pub tree: Tree,
    /// `ct/web/payload`
    pub path: String,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:/{}", self.tree, self.path)
    }
}

/// One visible change. [`crate::apply`] carries it out and returns how to undo it.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A directory and what is missing above it. Undo: remove what was made.
    MakeDir {
        /// Where.
        path: PathBuf,
        /// Of the last component.
        mode: u32,
    },
    /// A cgroup. One that is there must be empty of processes. Undo: remove it.
    MakeGroup(Group),
    /// Hands controllers down to a v2 group's children. No undo: others may use them by now.
    Enable {
        /// The parent of the groups that get them.
        group: Group,
        /// Which.
        controllers: Vec<Controller>,
    },
    /// A v1 cpuset gets its parent's CPUs and nodes if it has none. No undo needed: the group goes.
    InheritCpuset(Group),
    /// Takes back memory of a v2 group until it fits into so many bytes; fails where it won't, because the kernel kills
    /// what is over a new limit. No undo.
    Reclaim {
        /// Whose.
        group: Group,
        /// What it shall fit into.
        bytes: u64,
    },
    /// One value into one file. Undo: the value before.
    Write {
        /// Whose.
        group: Group,
        /// `memory.max`
        file: String,
        /// Without newline.
        value: String,
    },
    /// The container's root may make groups below this one; its limit files stay the host's. Undo: nothing.
    Delegate {
        /// Which.
        group: Group,
        /// Host uid and gid of the container's root.
        owner: u32,
    },
    /// A user namespace with this map, for idmapped mounts. Undo: drop it.
    MapIds(IdRange),
    /// The root: the directory itself, ids mapped. Undo: drop the detached mount.
    MountDirectory {
        /// On the host.
        source: PathBuf,
        /// Whether ids are mapped.
        mapped: bool,
    },
    /// One overlay. Undo: drop the detached mount.
    MountOverlay {
        /// What over what.
        layers: Layers,
        /// Whether ids are mapped.
        mapped: bool,
    },
    /// A host path, cloned and detached, to be attached inside. Undo: drop it.
    PrepareBind {
        /// Which.
        bind: Bind,
        /// Whether ids are mapped.
        mapped: bool,
    },
    /// The socket on which ct-init will answer. Undo: remove it.
    Listen(PathBuf),
    /// clone3 into the group, with namespaces; the child waits. Undo: kill it.
    Clone(Box<Child>),
    /// Maps the child's ids. Undo: none, it dies with the child.
    MapChild(IdRange),
    /// The child joins its v1 groups and goes on to exec. Undo: kill it.
    Go,
    /// Thaws a group, so that signals arrive. No undo.
    Thaw(Group),
    /// Kills all that is in a group. No undo.
    Kill(Group),
    /// Removes a group and the groups below it. No undo.
    RemoveGroup(Group),
    /// Removes a file. No undo.
    RemoveFile(PathBuf),
    /// Removes a directory with all in it. No undo.
    RemoveDir(PathBuf),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = |mapped: &bool| if *mapped { ", ids mapped" } else { "" };
        match self {
            Step::MakeDir { path, mode } => write!(f, "make directory {} (mode {mode:04o})", path.display()),
            Step::MakeGroup(g) => write!(f, "make group {g}"),
            Step::Enable { group, controllers } => {
                let names: Vec<_> = controllers.iter().map(|c| c.name(false)).collect();
                write!(f, "enable {} below {group}", names.join(" "))
            }
            Step::InheritCpuset(g) => write!(f, "inherit CPUs and nodes in {g}"),
            Step::Reclaim { group, bytes } => write!(f, "reclaim memory of {group} down to {bytes}"),
            Step::Write { group, file, value } => write!(f, "write {group}/{file} = {value}"),
            Step::Delegate { group, owner } => write!(f, "delegate {group} to id {owner}"),
            Step::MapIds(r) => write!(f, "map ids 0-{} to {}-{}", r.size - 1, r.base, r.base + (r.size - 1)),
            Step::MountDirectory { source, mapped } => {
                write!(f, "mount {} as /{}", source.display(), ids(mapped))
            }
            Step::MountOverlay { layers, mapped } => {
                let (lower, changes) = (layers.lower.display(), layers.changes.display());
                write!(f, "mount {lower} as {}, changes in {changes}{}", layers.target, ids(mapped))
            }
            Step::PrepareBind { bind, mapped } => {
                let ro = if bind.read_only { ", read-only" } else { "" };
                write!(f, "prepare {} for {}{ro}{}", bind.source.display(), bind.target, ids(mapped))
            }
            Step::Listen(path) => write!(f, "listen on {}", path.display()),
            Step::Clone(child) => write!(f, "{child}"),
            Step::MapChild(r) => write!(f, "map the child's ids to {} and on", r.base),
            Step::Go => write!(f, "let the child go"),
            Step::Thaw(g) => write!(f, "thaw {g}"),
            Step::Kill(g) => write!(f, "kill all in {g}"),
            Step::RemoveGroup(g) => write!(f, "remove group {g}"),
            Step::RemoveFile(p) => write!(f, "remove {}", p.display()),
            Step::RemoveDir(p) => write!(f, "remove directory {}", p.display()),
        }
    }
}
