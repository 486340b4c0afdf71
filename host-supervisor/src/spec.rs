//! spec: a container with no open question: ids numeric, paths absolute, backends chosen. Touches nothing.
use crate::facts::Controller;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use units::schema::{Health, ReadyWhen};

/// Everything a start plan needs to know of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Its name, without `.container`.
    pub name: String,
    /// For people.
    pub description: String,
    /// What it sees as its host name.
    pub hostname: String,
    /// Where its files are.
    pub root: Root,
    /// Its user namespace; none: ids inside are the host's.
    pub ids: Option<IdRange>,
    /// ct-init or the guest's own program.
    pub init: Init,
    /// `default.target`, or what `Unit=` says.
    pub unit: String,
    /// When it counts as ready.
    pub ready: ReadyWhen,
    /// What ct-init runs from time to time to see whether it is well.
    pub health: Option<Health>,
    /// ct-init has to be heard of this often.
    pub watchdog: Option<Duration>,
    /// For ct-init and everything inside.
    pub environment: Vec<(String, String)>,
    /// Host directories and files inside.
    pub binds: Vec<Bind>,
    /// Fresh tmpfs inside: path and mount options.
    pub tmpfs: Vec<(String, String)>,
    /// Host device nodes inside.
    pub devices: Vec<Device>,
    /// Capabilities that stay in the bounding set.
    pub capabilities: u64,
    /// no_new_privs for all inside.
    pub no_new_privileges: bool,
    /// System calls that are refused with EPERM, by name, sorted.
    pub denied_calls: Vec<String>,
    /// A time namespace of its own, so that uptime starts at 0.
    pub time_namespace: bool,
    /// setrlimit: number, soft, hard (none: infinity).
    pub rlimits: Vec<(u8, Option<u64>, Option<u64>)>,
    /// oom_score_adj of ct-init and what it starts.
    pub oom_score_adjust: i16,
    /// `parent/NAME` below every hierarchy.
    pub group: String,
    /// The v1 hierarchies it joins, in order; those of the v2 tree need no joining.
    pub joins: Vec<Controller>,
    /// v2 controllers to hand down to the container.
    pub delegates: Vec<Controller>,
    /// Limits as they were asked for, with what they come to here.
    pub limits: Vec<Limit>,
    /// What was asked for and can't be had here (`IgnoreUnsupported=yes`).
    pub not_in_force: Vec<String>,
    /// Changes are thrown away at stop.
    pub ephemeral: bool,
}

/// Host ids `base` … `base + size - 1` are 0 … `size - 1` inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// First id on the host.
    pub base: u32,
    /// How many.
    pub size: u32,
}

/// Where a container's `/` comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// The directory itself, written in place.
    Directory(PathBuf),
    /// One overlay a mount point, the first for `/`.
    Overlay(Vec<Layers>),
}

/// One overlay: a shared lower directory and a private upper one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    /// Where inside, `/` first.
    pub target: String,
    /// Read-only, shared.
    pub lower: PathBuf,
    /// A directory that holds `upper` and `work`; of this container alone.
    pub changes: PathBuf,
}

/// PID 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Init {
    /// The host's ct-init, through one read-only descriptor.
    CtInit,
    /// A program of the guest.
    Guest(String),
}

/// A host path inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// Inside, absolute.
    pub target: String,
    /// Not writable inside.
    pub read_only: bool,
    /// Missing source: go on.
    pub optional: bool,
}

/// A device node of the host inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// `/dev/fuse`
    pub path: String,
    /// Without `w`: read-only.
    pub writable: bool,
}

/// One limit: which key asked, and the kernel files that hold it, in the order of writing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// `MemoryMax`
    pub key: String,
    /// As asked for, in the unit language.
    pub asked: String,
    /// Which files get which values.
    pub writes: Vec<Write>,
}

/// One cgroup file and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// In which hierarchy.
    pub controller: Controller,
    /// `memory.max`
    pub file: String,
    /// Without a newline.
    pub value: String,
}
