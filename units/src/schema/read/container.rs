//! parse: the keys of `[Container]`. Knows nothing of the host.
use super::line::{Line, Wrong, absolute, add, number, put, put_text, set};
use super::service::{RESTART_SEC, TIMEOUT, jitter, restart, steps, watchdog};
use super::{Draft, Key, exec, unit};
use crate::name::UnitName;
use crate::parse::words::{self, Escapes, Word};
use crate::schema::container::{Bind, Health, InitProgram, ReadyWhen, Rootfs, UserNs};
use crate::schema::service::Restart;
use crate::values::{Percent, Span, ValueError, boolean};
use std::time::Duration;

/// A host's containers may all have failed of one cause.
pub(super) const CONTAINER_JITTER: Percent = Percent(2500);

pub(super) const CONTAINER: &[Key] = &[
    ("Template", template),
    ("Rootfs", rootfs),
    ("Ephemeral", |d, l| set(&mut d.container.ephemeral, false, l, boolean)),
    ("Hostname", hostname),
    ("Init", init),
    ("Unit", default_unit),
    ("ReadyWhen", ready_when),
    ("HealthCheck", health_check),
    ("HealthIntervalSec", |d, l| health_time(l, d, |h| &mut h.interval)),
    ("HealthTimeoutSec", |d, l| health_time(l, d, |h| &mut h.timeout)),
    ("HealthRetries", |d, l| {
        let read = |s: &str| number(s, 1..=1_000_000, "a number of failures from 1 on", "3");
        set(&mut d.container.health.retries, Health::default().retries, l, read)
    }),
    ("HealthStartPeriodSec", |d, l| {
        set(&mut d.container.health.start_period, Health::default().start_period, l, Span::finite)
    }),
    ("Bind", |d, l| binds(d, l, false)),
    ("BindReadOnly", |d, l| binds(d, l, true)),
    ("Tmpfs", tmpfs),
    ("Environment", |d, l| exec::variables(&mut d.container.environment, l)),
    ("EnvironmentFile", |d, l| exec::environment_file(&mut d.container.environment_files, l)),
    ("UserNamespace", |d, l| set(&mut d.container.user_namespace, UserNs::Auto, l, user_namespace)),
    ("CapabilityBoundingSet", |d, l| {
        let edit = exec::capability_line(l)?;
        d.container.bounding.push(edit);
        Ok(())
    }),
    ("NoNewPrivileges", |d, l| set(&mut d.container.no_new_privileges, true, l, boolean)),
    ("SystemCallFilter", system_calls),
    ("DeviceAllow", devices),
    ("Restart", |d, l| set(&mut d.container.restart, Restart::OnFailure, l, restart)),
    ("RestartSec", |d, l| set(&mut d.container.restart_sec, RESTART_SEC, l, Span::finite)),
    ("RestartSteps", |d, l| set(&mut d.container.restart_steps, 0, l, steps)),
    ("RestartMaxDelaySec", |d, l| set(&mut d.container.restart_max_delay, Span::Infinite, l, str::parse)),
    ("RestartJitter", |d, l| set(&mut d.container.restart_jitter, CONTAINER_JITTER, l, jitter)),
    ("StartLimitIntervalSec", unit::start_limit_interval),
    ("StartLimitBurst", unit::start_limit_burst),
    ("StartLimitAction", unit::start_limit_action),
    ("TimeoutStartSec", |d, l| set(&mut d.container.timeout_start, TIMEOUT, l, Span::timeout)),
    ("TimeoutStopSec", |d, l| set(&mut d.container.timeout_stop, TIMEOUT, l, Span::timeout)),
    ("WatchdogSec", |d, l| watchdog(&mut d.container.watchdog, l)),
    ("Timezone", timezone),
    ("Locale", |d, l| put_text(&mut d.container.locale, l)),
    ("Critical", |d, l| set(&mut d.container.critical, false, l, boolean)),
    ("IgnoreUnsupported", |d, l| set(&mut d.container.ignore_unsupported, false, l, boolean)),
];

/// A template or container name: one path component, no surprises in it.
fn template(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let name = line.text()?;
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.:+".contains(c);
    draft.given.template = match name.as_str() {
        "" => None,
        n if n.chars().all(good) && !n.starts_with('.') => Some(name),
        _ => return line.wrong("the name of a template", "debian-12"),
    };
    Ok(())
}

fn rootfs(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    draft.given.rootfs = if line.is_empty() { None } else { Some(line.path()?) };
    Ok(())
}

fn hostname(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let name = line.text()?;
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let edge = |n: &str| n.starts_with(['-', '.']) || n.ends_with(['-', '.']);
    draft.container.hostname = match name.as_str() {
        "" => None,
        n if n.chars().all(good) && n.len() <= 64 && !edge(n) => Some(name),
        _ => return line.wrong("a host name", "web.example.org"),
    };
    Ok(())
}

fn init(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    draft.container.init = match line.raw() {
        "" | "ct-init" => InitProgram::CtInit,
        _ => InitProgram::Path(line.path()?),
    };
    Ok(())
}

fn default_unit(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let text = line.text()?;
    let text = if text.is_empty() { "default.target" } else { &text };
    let why = |e| Wrong { at: 0, why: format!("{text:?} is no unit name: {e}") };
    draft.container.unit = UnitName::parse(text).map_err(why)?;
    Ok(())
}

fn ready_when(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let raw = line.raw();
    draft.container.ready_when = match raw.split_once(':') {
        None if raw.is_empty() || raw == "target" => ReadyWhen::Target,
        None if raw == "notify" => ReadyWhen::Notify,
        Some(("tcp", port)) => ReadyWhen::Tcp(number(port, 1..=65535, "a port from 1 to 65535", "80")?),
        Some(("file", path)) => {
            let path = line.expand(path, 5)?;
            ReadyWhen::File(absolute(&path, 5)?)
        }
        Some(("exec", command)) if !command.trim().is_empty() => ReadyWhen::Exec(argv(line, command, 5)?),
        None | Some(_) => {
            return line.wrong("a sign of readiness", "target, notify, tcp:80, file:/PATH or exec:CMD");
        }
    };
    Ok(())
}

/// A command as words; specifiers are expanded, nothing else in it has a meaning.
fn argv(line: &mut Line<'_>, command: &str, at: usize) -> Result<Vec<String>, Wrong> {
    let mut argv = Vec::new();
    let words =
        words::split(command, Escapes::Strict).map_err(|e| Wrong { at: at + e.at(), why: e.to_string() })?;
    for word in words {
        argv.push(line.expand(&word.text, at + word.at)?);
    }
    let program = argv.first().map_or("", String::as_str);
    if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
        let why = ValueError::new(program, "a program: a name, or an absolute path", "/usr/bin/check");
        return Err(Wrong { at, why: why.to_string() });
    }
    Ok(argv)
}

fn health_check(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    draft.container.health.command = match line.raw() {
        "" => Vec::new(),
        command => argv(line, command, 0)?,
    };
    Ok(())
}

/// A time that is not zero.
fn health_time(
    line: &Line<'_>,
    draft: &mut Draft,
    field: fn(&mut Health) -> &mut Duration,
) -> Result<(), Wrong> {
    let default = *field(&mut Health::default());
    let read = |s: &str| match Span::finite(s)? {
        Duration::ZERO => Err(ValueError::new(s, "a time above zero", "30s")),
        time => Ok(time),
    };
    set(field(&mut draft.container.health), default, line, read)
}

/// `[-]SRC[:DST]`, several in a line if need be.
fn binds(draft: &mut Draft, line: &mut Line<'_>, read_only: bool) -> Result<(), Wrong> {
    if line.is_empty() {
        draft.container.binds.retain(|b| b.read_only != read_only);
        return Ok(());
    }
    for word in line.words()? {
        draft.container.binds.push(bind(&word, read_only)?);
    }
    Ok(())
}

fn bind(word: &Word, read_only: bool) -> Result<Bind, Wrong> {
    let path = word.text.strip_prefix('-').unwrap_or(&word.text);
    let at = word.at + (word.text.len() - path.len());
    let (source, target) = path.split_once(':').unwrap_or((path, path));
    if target.contains(':') {
        let why = ValueError::new(&word.text, "SOURCE or SOURCE:TARGET", "/srv/data:/data");
        return Err(Wrong { at: word.at, why: why.to_string() });
    }
    let source = absolute(source, at)?;
    let target_at = if target.len() < path.len() { at + path.len() - target.len() } else { at };
    let target = absolute(target, target_at)?;
    Ok(Bind { source, target, read_only, optional: at > word.at })
}

fn tmpfs(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let mut more = Vec::new();
    for word in line.words()? {
        let (path, options) = word.text.split_once(':').unwrap_or((&word.text, ""));
        more.push((absolute(path, word.at)?, options.to_owned()));
    }
    add(&mut draft.container.tmpfs, line, more);
    Ok(())
}

fn user_namespace(s: &str) -> Result<UserNs, ValueError> {
    let wrong = || ValueError::new(s, "a user namespace", "auto, no or 200000:65536");
    match (s, boolean(s), s.split_once(':')) {
        ("auto", _, _) | (_, Ok(true), _) => Ok(UserNs::Auto),
        (_, Ok(false), _) => Ok(UserNs::No),
        (_, Err(_), Some((base, size))) => {
            let read = |s| number::<u32>(s, 1..=i64::from(u32::MAX), "an id", "65536").map_err(|_| wrong());
            let (base, size) = (read(base)?, read(size)?);
            base.checked_add(size).map(|_| UserNs::Range { base, size }).ok_or_else(wrong)
        }
        (_, Err(_), None) => Err(wrong()),
    }
}

/// `~` in front refuses all names of the line; without it they are allowed again.
fn system_calls(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let refuse = line.raw().starts_with('~');
    let mut more = Vec::new();
    for word in line.words()? {
        let name = if word.at == 0 { word.text.trim_start_matches('~') } else { word.text.as_str() };
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_@-".contains(c);
        if name.chars().all(good) {
            more.extend((!name.is_empty()).then(|| (refuse, name.to_owned())));
        } else {
            line.note(word.at, ValueError::new(name, "a system call", "mount or @clock"));
        }
    }
    add(&mut draft.container.system_call_filter, line, more);
    Ok(())
}

/// `NODE [LETTERS]`; default `rwm`.
fn devices(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let words = line.words()?;
    let more = match words.as_slice() {
        [] => Vec::new(),
        [node] => vec![(node, "rwm".to_owned())],
        [node, access] if !access.text.is_empty() && access.text.chars().all(|c| "rwm".contains(c)) => {
            vec![(node, access.text.clone())]
        }
        [_, access, ..] => {
            let why = ValueError::new(&access.text, "the access to a device", "rw");
            return Err(Wrong { at: access.at, why: why.to_string() });
        }
    };
    let class = |n: &str| n.starts_with("char-") || n.starts_with("block-");
    let more = more.into_iter().map(|(node, access)| {
        let path = if class(&node.text) { node.text.clone() } else { absolute(&node.text, node.at)? };
        Ok((path, access))
    });
    let more = more.collect::<Result<Vec<_>, Wrong>>()?;
    add(&mut draft.container.devices, line, more);
    Ok(())
}

/// A path below the zone directory.
fn timezone(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    put(&mut draft.container.timezone, line, |s| {
        let good = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
        if s.starts_with('/') || !s.chars().all(good) {
            return Err(ValueError::new(s, "a time zone", "Europe/Berlin"));
        }
        Ok(s.to_owned())
    })
}

/// What [`Rootfs`] the two keys make; the sentence to say where they don't make one.
pub(super) fn choose_rootfs(
    template: Option<String>,
    rootfs: Option<String>,
) -> Result<Rootfs, &'static str> {
    match (template, rootfs) {
        (Some(template), None) => Ok(Rootfs::Template(template)),
        (None, Some(rootfs)) => Ok(Rootfs::Directory(rootfs)),
        (Some(_), Some(_)) => Err("[Container] has both Template= and Rootfs= (keep one of them)"),
        (None, None) => Err("[Container] has neither Template= nor Rootfs= (one says where its files are)"),
    }
}
