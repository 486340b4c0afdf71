//! parse: the keys of `[Unit]` and `[Install]`. Decides nothing about other units.
use super::line::{Line, Wrong, absolute, add, add_names, choice, number, put, put_text, set};
use super::{Draft, Key};
use crate::schema::unit::{Action, Autostart, Check, CheckKind, Force};
use crate::values::{Span, ValueError, boolean};
use std::time::Duration;

/// systemd's default: at most five starts in ten seconds.
pub(super) const START_LIMIT_INTERVAL: Span = Span::Finite(Duration::from_secs(10));
pub(super) const START_LIMIT_BURST: u32 = 5;

pub(super) const UNIT: &[Key] = &[
    ("Description", |d, l| put_text(&mut d.unit.description, l)),
    ("Documentation", documentation),
    ("After", |d, l| add_names(&mut d.unit.after, l)),
    ("Before", |d, l| add_names(&mut d.unit.before, l)),
    ("Requires", |d, l| add_names(&mut d.unit.requires, l)),
    ("Requisite", |d, l| add_names(&mut d.unit.requisite, l)),
    ("Wants", |d, l| add_names(&mut d.unit.wants, l)),
    ("BindsTo", |d, l| add_names(&mut d.unit.binds_to, l)),
    ("PartOf", |d, l| add_names(&mut d.unit.part_of, l)),
    ("Conflicts", |d, l| add_names(&mut d.unit.conflicts, l)),
    ("OnFailure", |d, l| add_names(&mut d.unit.on_failure, l)),
    ("OnSuccess", |d, l| add_names(&mut d.unit.on_success, l)),
    ("ReloadPropagatedFrom", |d, l| add_names(&mut d.unit.reload_propagated_from, l)),
    ("PropagateReloadFrom", |d, l| add_names(&mut d.unit.reload_propagated_from, l)),
    ("PropagatesReloadTo", |d, l| add_names(&mut d.unit.propagates_reload_to, l)),
    ("PropagateReloadTo", |d, l| add_names(&mut d.unit.propagates_reload_to, l)),
    ("Upholds", upholds),
    ("DefaultDependencies", |d, l| set(&mut d.unit.default_dependencies, true, l, boolean)),
    ("StartPriority", |d, l| {
        set(&mut d.unit.start_priority, 0, l, |s| number(s, -1_000_000..=1_000_000, "a whole number", "10"))
    }),
    ("StartLimitIntervalSec", start_limit_interval),
    ("StartLimitInterval", start_limit_interval),
    ("StartLimitBurst", start_limit_burst),
    ("StartLimitAction", start_limit_action),
    ("FailureAction", failure_action),
    ("SuccessAction", success_action),
];

pub(super) const INSTALL: &[Key] = &[
    ("WantedBy", |d, l| add_names(&mut d.install.wanted_by, l)),
    ("RequiredBy", |d, l| add_names(&mut d.install.required_by, l)),
    ("UpheldBy", |d, l| add_names(&mut d.install.upheld_by, l)),
    ("Alias", |d, l| add_names(&mut d.install.alias, l)),
    ("Also", |d, l| add_names(&mut d.install.also, l)),
    ("DefaultInstance", |d, l| put_text(&mut d.install.default_instance, l)),
    ("Autostart", autostart),
];

fn documentation(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    add(&mut draft.unit.documentation, line, line.raw().split_whitespace().map(str::to_owned).collect());
    Ok(())
}

/// systemd's `Condition…=` and `Assert…=`; the last ones are known but not looked at.
pub(super) const CHECKS: [(&str, &str, CheckKind); 36] = [
    ("ConditionPathExists", "AssertPathExists", CheckKind::PathExists),
    ("ConditionPathExistsGlob", "AssertPathExistsGlob", CheckKind::PathExistsGlob),
    ("ConditionPathIsDirectory", "AssertPathIsDirectory", CheckKind::PathIsDirectory),
    ("ConditionPathIsSymbolicLink", "AssertPathIsSymbolicLink", CheckKind::PathIsSymbolicLink),
    ("ConditionPathIsMountPoint", "AssertPathIsMountPoint", CheckKind::PathIsMountPoint),
    ("ConditionPathIsReadWrite", "AssertPathIsReadWrite", CheckKind::PathIsReadWrite),
    ("ConditionDirectoryNotEmpty", "AssertDirectoryNotEmpty", CheckKind::DirectoryNotEmpty),
    ("ConditionFileNotEmpty", "AssertFileNotEmpty", CheckKind::FileNotEmpty),
    ("ConditionFileIsExecutable", "AssertFileIsExecutable", CheckKind::FileIsExecutable),
    ("ConditionUser", "AssertUser", CheckKind::User),
    ("ConditionGroup", "AssertGroup", CheckKind::Group),
    ("ConditionHost", "AssertHost", CheckKind::Host),
    ("ConditionKernelCommandLine", "AssertKernelCommandLine", CheckKind::KernelCommandLine),
    ("ConditionKernelVersion", "AssertKernelVersion", CheckKind::KernelVersion),
    ("ConditionEnvironment", "AssertEnvironment", CheckKind::Environment),
    ("ConditionArchitecture", "AssertArchitecture", CheckKind::Architecture),
    ("ConditionVirtualization", "AssertVirtualization", CheckKind::Virtualization),
    ("ConditionSecurity", "AssertSecurity", CheckKind::Security),
    ("ConditionCapability", "AssertCapability", CheckKind::Capability),
    ("ConditionACPower", "AssertACPower", CheckKind::AcPower),
    ("ConditionNeedsUpdate", "AssertNeedsUpdate", CheckKind::NeedsUpdate),
    ("ConditionFirstBoot", "AssertFirstBoot", CheckKind::FirstBoot),
    ("ConditionCPUs", "AssertCPUs", CheckKind::CPUs),
    ("ConditionMemory", "AssertMemory", CheckKind::Memory),
    ("ConditionControlGroupController", "AssertControlGroupController", CheckKind::ControlGroupController),
    ("ConditionCPUFeature", "AssertCPUFeature", CheckKind::Other),
    ("ConditionOSRelease", "AssertOSRelease", CheckKind::Other),
    ("ConditionPathIsEncrypted", "AssertPathIsEncrypted", CheckKind::Other),
    ("ConditionCredential", "AssertCredential", CheckKind::Other),
    ("ConditionMemoryPressure", "AssertMemoryPressure", CheckKind::Other),
    ("ConditionCPUPressure", "AssertCPUPressure", CheckKind::Other),
    ("ConditionIOPressure", "AssertIOPressure", CheckKind::Other),
    ("ConditionKernelModuleLoaded", "AssertKernelModuleLoaded", CheckKind::Other),
    ("ConditionFirmware", "AssertFirmware", CheckKind::Other),
    ("ConditionVersion", "AssertVersion", CheckKind::Other),
    ("ConditionControlGroup", "AssertControlGroup", CheckKind::Other),
];

/// Sets `ConditionX=` or `AssertX=`; none if the key is neither.
pub(super) fn check(draft: &mut Draft, line: &mut Line<'_>) -> Option<Result<(), Wrong>> {
    let (condition, _, kind) = *CHECKS.iter().find(|(c, a, _)| [*c, *a].contains(&line.key))?;
    let list = if line.key == condition { &mut draft.unit.conditions } else { &mut draft.unit.asserts };
    if line.is_empty() {
        // As in systemd, one empty line resets the checks of every kind.
        list.clear();
        return Some(Ok(()));
    }
    let result = one_check(kind, line).map(|check| list.push(check));
    if kind == CheckKind::Other && result.is_ok() {
        draft.not_applied(line);
    }
    Some(result)
}

/// The names of all checks, where a section takes them.
pub(super) fn check_keys(section: &str) -> impl Iterator<Item = &'static str> {
    let there = section == "Unit";
    CHECKS.iter().filter(move |_| there).flat_map(|(condition, assert, _)| [*condition, *assert])
}

fn one_check(kind: CheckKind, line: &mut Line<'_>) -> Result<Check, Wrong> {
    let raw = line.raw();
    let rest = raw.strip_prefix('|').map_or(raw, str::trim_start);
    let trigger = rest.len() < raw.len();
    let bare = rest.strip_prefix('!').map_or(rest, str::trim_start);
    let negate = bare.len() < rest.len();
    let at = raw.len() - bare.len();
    let value = line.expand(bare, at)?;
    match kind {
        CheckKind::PathExists
        | CheckKind::PathExistsGlob
        | CheckKind::PathIsDirectory
        | CheckKind::PathIsSymbolicLink
        | CheckKind::PathIsMountPoint
        | CheckKind::PathIsReadWrite
        | CheckKind::DirectoryNotEmpty
        | CheckKind::FileNotEmpty
        | CheckKind::FileIsExecutable => drop(absolute(&value, at)?),
        CheckKind::AcPower | CheckKind::FirstBoot => drop(boolean(&value)?),
        CheckKind::User
        | CheckKind::Group
        | CheckKind::Host
        | CheckKind::KernelCommandLine
        | CheckKind::KernelVersion
        | CheckKind::Environment
        | CheckKind::Architecture
        | CheckKind::Virtualization
        | CheckKind::Security
        | CheckKind::Capability
        | CheckKind::NeedsUpdate
        | CheckKind::CPUs
        | CheckKind::Memory
        | CheckKind::ControlGroupController
        | CheckKind::Other => {}
    }
    Ok(Check { kind, negate, trigger, value })
}

/// Pulled in like `Wants=`; that it is not kept up is said.
fn upholds(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let names = line.names()?;
    draft.not_applied(line);
    draft.unit.wants.extend(names);
    Ok(())
}

pub(super) fn start_limit_interval(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    set(&mut draft.unit.start_limit_interval, START_LIMIT_INTERVAL, line, str::parse)
}

pub(super) fn start_limit_burst(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let read = |s: &str| number(s, 0..=i64::from(u32::MAX), "a number", "5");
    set(&mut draft.unit.start_limit_burst, START_LIMIT_BURST, line, read)
}

/// As systemd names them; what is no reboot is a way to stop.
fn action(s: &str) -> Result<Action, ValueError> {
    use Force::{Forced, Immediate, Orderly};
    let choices = [
        ("none", Action::None),
        ("reboot", Action::Reboot(Orderly)),
        ("reboot-force", Action::Reboot(Forced)),
        ("reboot-immediate", Action::Reboot(Immediate)),
        ("soft-reboot", Action::Reboot(Orderly)),
        ("soft-reboot-force", Action::Reboot(Forced)),
        ("kexec", Action::Reboot(Orderly)),
        ("kexec-force", Action::Reboot(Forced)),
        ("poweroff", Action::PowerOff(Orderly)),
        ("poweroff-force", Action::PowerOff(Forced)),
        ("poweroff-immediate", Action::PowerOff(Immediate)),
        ("halt", Action::PowerOff(Orderly)),
        ("halt-force", Action::PowerOff(Forced)),
        ("halt-immediate", Action::PowerOff(Immediate)),
        ("exit", Action::PowerOff(Orderly)),
        ("exit-force", Action::PowerOff(Forced)),
    ];
    choice(s, &choices, "an action", "none, reboot or poweroff")
}

pub(super) fn start_limit_action(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    set(&mut draft.unit.start_limit_action, Action::None, line, action)
}

pub(super) fn failure_action(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    set(&mut draft.unit.failure_action, Action::None, line, action)
}

pub(super) fn success_action(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    set(&mut draft.unit.success_action, Action::None, line, action)
}

fn autostart(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    put(&mut draft.install.autostart, line, |s| match (s, boolean(s)) {
        ("last", _) => Ok(Autostart::Last),
        (_, Ok(true)) => Ok(Autostart::Yes),
        (_, Ok(false)) => Ok(Autostart::No),
        (_, Err(_)) => Err(ValueError::new(s, "a time to start", "yes, no or last")),
    })
}
