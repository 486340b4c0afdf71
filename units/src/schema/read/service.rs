//! parse: the keys of `[Service]` itself. What its processes run with is in exec, its limits in resources.
use super::line::{Line, Wrong, absolute, add, choice, number, put, set};
use super::{Draft, Key, unit};
use crate::parse::command::{self, CommandError};
use crate::schema::StatusSet;
use crate::schema::service::{Command, KillMode, NotifyAccess, Restart, ServiceType};
use crate::values::{Percent, Signal, Span, ValueError, boolean};
use std::time::Duration;

/// systemd's defaults.
pub(super) const RESTART_SEC: Duration = Duration::from_millis(100);
pub(super) const TIMEOUT: Span = Span::Finite(Duration::from_secs(90));

pub(super) const SERVICE: &[Key] = &[
    ("Type", |d, l| put(&mut d.given.kind, l, service_type)),
    ("ExecCondition", |d, l| commands(|d| &mut d.service.exec.condition, d, l)),
    ("ExecStartPre", |d, l| commands(|d| &mut d.service.exec.start_pre, d, l)),
    ("ExecStart", |d, l| commands(|d| &mut d.service.exec.start, d, l)),
    ("ExecStartPost", |d, l| commands(|d| &mut d.service.exec.start_post, d, l)),
    ("ExecReload", |d, l| commands(|d| &mut d.service.exec.reload, d, l)),
    ("ExecStop", |d, l| commands(|d| &mut d.service.exec.stop, d, l)),
    ("ExecStopPost", |d, l| commands(|d| &mut d.service.exec.stop_post, d, l)),
    ("Restart", |d, l| set(&mut d.service.restart, Restart::No, l, restart)),
    ("RestartSec", |d, l| set(&mut d.service.restart_sec, RESTART_SEC, l, Span::finite)),
    ("RestartSteps", |d, l| set(&mut d.service.restart_steps, 0, l, steps)),
    ("RestartMaxDelaySec", |d, l| set(&mut d.service.restart_max_delay, Span::Infinite, l, str::parse)),
    ("RestartJitter", |d, l| set(&mut d.service.restart_jitter, Percent(0), l, jitter)),
    ("SuccessExitStatus", |d, l| statuses(&mut d.service.success_status, l)),
    ("RestartPreventExitStatus", |d, l| statuses(&mut d.service.restart_prevent, l)),
    ("RestartForceExitStatus", |d, l| statuses(&mut d.service.restart_force, l)),
    ("RemainAfterExit", |d, l| set(&mut d.service.remain_after_exit, false, l, boolean)),
    ("TimeoutSec", |d, l| {
        put(&mut d.given.timeout_start, l, Span::timeout)?;
        set(&mut d.service.timeout_stop, TIMEOUT, l, Span::timeout)
    }),
    ("TimeoutStartSec", |d, l| put(&mut d.given.timeout_start, l, Span::timeout)),
    ("TimeoutStopSec", |d, l| set(&mut d.service.timeout_stop, TIMEOUT, l, Span::timeout)),
    ("TimeoutAbortSec", |d, l| put(&mut d.given.timeout_abort, l, Span::timeout)),
    ("RuntimeMaxSec", |d, l| set(&mut d.service.runtime_max, Span::Infinite, l, Span::timeout)),
    ("WatchdogSec", |d, l| watchdog(&mut d.service.watchdog, l)),
    ("PIDFile", pid_file),
    ("GuessMainPID", |d, l| set(&mut d.service.guess_main_pid, true, l, boolean)),
    ("NotifyAccess", |d, l| put(&mut d.given.notify_access, l, notify_access)),
    ("KillMode", |d, l| set(&mut d.service.kill_mode, KillMode::ControlGroup, l, kill_mode)),
    ("KillSignal", |d, l| set(&mut d.service.kill_signal, Signal::TERM, l, str::parse)),
    ("RestartKillSignal", |d, l| put(&mut d.given.restart_kill_signal, l, str::parse::<Signal>)),
    ("FinalKillSignal", |d, l| set(&mut d.service.final_kill_signal, Signal::KILL, l, str::parse)),
    ("WatchdogSignal", |d, l| set(&mut d.service.watchdog_signal, Signal::ABRT, l, str::parse)),
    ("SendSIGKILL", |d, l| set(&mut d.service.send_sigkill, true, l, boolean)),
    ("SendSIGHUP", |d, l| set(&mut d.service.send_sighup, false, l, boolean)),
    ("BusName", |d, l| {
        d.given.bus_name = !l.is_empty();
        Ok(())
    }),
    // Where older systemd had them.
    ("StartLimitInterval", unit::start_limit_interval),
    ("StartLimitIntervalSec", unit::start_limit_interval),
    ("StartLimitBurst", unit::start_limit_burst),
    ("StartLimitAction", unit::start_limit_action),
    ("FailureAction", unit::failure_action),
    ("SuccessAction", unit::success_action),
];

fn service_type(s: &str) -> Result<ServiceType, ValueError> {
    let choices = [
        ("simple", ServiceType::Simple),
        ("exec", ServiceType::Exec),
        ("forking", ServiceType::Forking),
        ("oneshot", ServiceType::Oneshot),
        ("notify", ServiceType::Notify),
        ("notify-reload", ServiceType::NotifyReload),
        ("dbus", ServiceType::Dbus),
        ("idle", ServiceType::Idle),
    ];
    choice(s, &choices, "a service type", "simple, exec, forking, oneshot, notify, notify-reload or idle")
}

pub(super) fn restart(s: &str) -> Result<Restart, ValueError> {
    let choices = [
        ("no", Restart::No),
        ("on-success", Restart::OnSuccess),
        ("on-failure", Restart::OnFailure),
        ("on-abnormal", Restart::OnAbnormal),
        ("on-abort", Restart::OnAbort),
        ("on-watchdog", Restart::OnWatchdog),
        ("always", Restart::Always),
        ("unless-stopped", Restart::UnlessStopped),
    ];
    choice(s, &choices, "a restart policy", "no, on-failure or always")
}

fn notify_access(s: &str) -> Result<NotifyAccess, ValueError> {
    let choices = [
        ("none", NotifyAccess::None),
        ("main", NotifyAccess::Main),
        ("exec", NotifyAccess::Exec),
        ("all", NotifyAccess::All),
    ];
    choice(s, &choices, "who may notify", "none, main, exec or all")
}

fn kill_mode(s: &str) -> Result<KillMode, ValueError> {
    let choices = [
        ("control-group", KillMode::ControlGroup),
        ("mixed", KillMode::Mixed),
        ("process", KillMode::Process),
        ("none", KillMode::None),
    ];
    choice(s, &choices, "a kill mode", "control-group, mixed, process or none")
}

pub(super) fn steps(s: &str) -> Result<u32, ValueError> {
    number(s, 0..=i64::from(u32::MAX), "a number of steps", "5")
}

/// How much longer a wait may become, of itself: from 0% to 100%.
pub(super) fn jitter(s: &str) -> Result<Percent, ValueError> {
    let wrong = || ValueError::new(s, "a share from 0% to 100%", "25%");
    s.parse().ok().filter(|p: &Percent| p.0 <= 10_000).ok_or_else(wrong)
}

/// 0 and `infinity` switch it off.
pub(super) fn watchdog(slot: &mut Option<Duration>, line: &Line<'_>) -> Result<(), Wrong> {
    let mut span = None;
    put(&mut span, line, Span::timeout)?;
    *slot = match span {
        Some(Span::Finite(d)) => Some(d),
        Some(Span::Infinite) | None => None,
    };
    Ok(())
}

fn commands(
    list: fn(&mut Draft) -> &mut Vec<Command>,
    draft: &mut Draft,
    line: &mut Line<'_>,
) -> Result<(), Wrong> {
    let split = command::split_with(line.raw(), &mut |word| {
        line.expand(&word.text, word.at).map_err(|w| CommandError::Specifier { why: w.why, at: w.at })
    });
    let more = split.map_err(|error| Wrong { at: error.at(), why: error.to_string() })?;
    add(list(draft), line, more);
    Ok(())
}

/// Adds each word; one that is none is noted and left out.
fn statuses(set: &mut StatusSet, line: &mut Line<'_>) -> Result<(), Wrong> {
    if line.is_empty() {
        *set = StatusSet::default();
    }
    for word in line.words()? {
        if let Err(error) = set.add(&word.text) {
            line.note(word.at, error);
        }
    }
    Ok(())
}

/// A relative one is below /run.
fn pid_file(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let text = line.text()?;
    let path =
        if text.starts_with('/') { text } else { format!("{}/{text}", line.subject.context.runtime_dir) };
    draft.service.pid_file = if line.is_empty() { None } else { Some(absolute(&path, 0)?) };
    Ok(())
}
