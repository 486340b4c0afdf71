//! schema: `[Unit]` and `[Install]`, shared by every kind of unit. Touches nothing.
use crate::name::UnitName;
use crate::values::Span;
use serde::{Deserialize, Serialize};
use std::fmt;

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
    /// `StartLimitAction=`: asked for when the start limit is hit.
    pub start_limit_action: Action,
    /// `FailureAction=`: asked for when it has failed for good.
    pub failure_action: Action,
    /// `SuccessAction=`: asked for when it has ended well by itself.
    pub success_action: Action,
    /// Containers: among equals, higher starts first.
    pub start_priority: i32,
}

/// What a unit asks of the level above: a service of its container, a container of its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// Nothing.
    #[default]
    None,
    /// To be restarted.
    Reboot(Force),
    /// To be stopped.
    PowerOff(Force),
}

impl fmt::Display for Action {
    /// As in a unit file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, force) = match self {
            Action::None => return f.write_str("none"),
            Action::Reboot(force) => ("reboot", force),
            Action::PowerOff(force) => ("poweroff", force),
        };
        let end = match force {
            Force::Orderly => "",
            Force::Forced => "-force",
            Force::Immediate => "-immediate",
        };
        write!(f, "{word}{end}")
    }
}

/// How much is left out of what belongs to the end of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Force {
    /// Nothing: services are stopped in order.
    Orderly,
    /// The stopping of services; what runs is killed.
    Forced,
    /// That as well.
    Immediate,
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
