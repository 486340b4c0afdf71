//! schema: `[Unit]` and `[Install]`, shared by every kind of unit. Touches nothing.
use crate::name::UnitName;
use crate::values::Span;
use serde::{Deserialize, Serialize};

/// `[Unit]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitSection {
    /// One line for people.
    pub description: Option<String>,
    /// Where to read more.
    pub documentation: Vec<String>,
    /// Start after these are up.
    pub after: Vec<UnitName>,
    /// These start after this one is up.
    pub before: Vec<UnitName>,
    /// Pull in; fail if they fail.
    pub requires: Vec<UnitName>,
    /// Must be up already; never pulled in.
    pub requisite: Vec<UnitName>,
    /// Pull in; carry on if they fail.
    pub wants: Vec<UnitName>,
    /// As `requires`, and stop when they stop for any reason.
    pub binds_to: Vec<UnitName>,
    /// Stop and restart with these.
    pub part_of: Vec<UnitName>,
    /// Cannot be up together.
    pub conflicts: Vec<UnitName>,
    /// Started when this one fails.
    pub on_failure: Vec<UnitName>,
    /// Started when this one ends well.
    pub on_success: Vec<UnitName>,
    /// A reload of these reloads this one.
    pub reload_propagated_from: Vec<UnitName>,
    /// A reload of this one reloads these.
    pub propagates_reload_to: Vec<UnitName>,
    /// `DefaultDependencies=`; default yes.
    pub default_dependencies: bool,
    /// `ConditionX=`: not met, the unit is skipped.
    pub conditions: Vec<Check>,
    /// `AssertX=`: not met, the start fails.
    pub asserts: Vec<Check>,
    /// At most `start_limit_burst` starts in this time; `Infinite` or 0 switches the limit off.
    pub start_limit_interval: Span,
    /// See `start_limit_interval`.
    pub start_limit_burst: u32,
    /// What to do when the start limit is hit.
    pub start_limit_action: LimitAction,
    /// Containers: among equals, higher starts first.
    pub start_priority: i32,
}

/// `StartLimitAction=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitAction {
    /// Stay failed.
    None,
    /// Restart the level above: a service its container, a container its host.
    Reboot,
    /// Stop the level above.
    PowerOff,
}

/// One `ConditionX=` or `AssertX=` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is looked at.
    pub kind: CheckKind,
    /// `!`: met when the check is not.
    pub negate: bool,
    /// `|`: one of the lines marked so has to be met.
    pub trigger: bool,
    /// What to compare with, specifiers expanded.
    pub value: String,
}

/// Which check; the names are systemd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum CheckKind {
    PathExists,
    PathExistsGlob,
    PathIsDirectory,
    PathIsSymbolicLink,
    PathIsMountPoint,
    PathIsReadWrite,
    DirectoryNotEmpty,
    FileNotEmpty,
    FileIsExecutable,
    User,
    Group,
    Host,
    KernelCommandLine,
    KernelVersion,
    Environment,
    Architecture,
    Virtualization,
    Security,
    Capability,
    AcPower,
    NeedsUpdate,
    FirstBoot,
    CPUs,
    Memory,
    ControlGroupController,
    /// Known to systemd, not evaluated here: taken as met, and said so.
    Other,
}

/// `[Install]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Install {
    pub wanted_by: Vec<UnitName>,
    pub required_by: Vec<UnitName>,
    pub upheld_by: Vec<UnitName>,
    pub alias: Vec<UnitName>,
    pub also: Vec<UnitName>,
    pub default_instance: Option<String>,
    /// Containers: `Autostart=`; none where the file is silent (then `no`).
    pub autostart: Option<Autostart>,
}

/// `Autostart=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Autostart {
    /// At boot.
    Yes,
    /// Not at boot.
    No,
    /// As it was left.
    Last,
}
