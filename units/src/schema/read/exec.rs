//! parse: what a service's processes run with: user, environment, standard streams, directories. Starts none.
use super::line::{Line, Wrong, absolute, add, add_words, number, put, put_path, put_text, set};
use super::{Draft, Key};
use crate::parse::environment;
use crate::schema::service::{DirectoryKind, Input, Output, Preserve, WorkDir};
use crate::values::{Mode, ValueError, boolean, capability};

/// systemd's default for system services.
pub(super) const UMASK: Mode = Mode(0o022);
pub(super) const DIRECTORY_MODE: Mode = Mode(0o755);

pub(super) const EXEC: &[Key] = &[
    ("User", |d, l| put_text(&mut d.service.context.user, l)),
    ("Group", |d, l| put_text(&mut d.service.context.group, l)),
    ("SupplementaryGroups", |d, l| add_words(&mut d.service.context.supplementary_groups, l)),
    ("WorkingDirectory", working_directory),
    ("RootDirectory", |d, l| put_path(&mut d.service.context.root_directory, l)),
    ("UMask", |d, l| set(&mut d.service.context.umask, UMASK, l, str::parse)),
    ("Environment", |d, l| variables(&mut d.service.context.environment, l)),
    ("EnvironmentFile", |d, l| environment_file(&mut d.service.context.environment_files, l)),
    ("PassEnvironment", |d, l| add_words(&mut d.service.context.pass_environment, l)),
    ("UnsetEnvironment", |d, l| add_words(&mut d.service.context.unset_environment, l)),
    ("StandardInput", standard_input),
    ("StandardInputText", input_text),
    ("StandardInputData", input_data),
    ("StandardOutput", |d, l| {
        d.service.context.stdout = output(d, l, Output::Log)?;
        Ok(())
    }),
    ("StandardError", |d, l| {
        d.service.context.stderr = output(d, l, Output::Inherit)?;
        Ok(())
    }),
    ("SyslogIdentifier", |d, l| put_text(&mut d.service.context.syslog_identifier, l)),
    ("Nice", |d, l| {
        put(&mut d.service.context.nice, l, |s| number(s, -20..=19, "a nice level from -20 to 19", "5"))
    }),
    ("OOMScoreAdjust", |d, l| put(&mut d.service.context.oom_score_adjust, l, oom_score)),
    ("IgnoreSIGPIPE", |d, l| set(&mut d.service.context.ignore_sigpipe, true, l, boolean)),
    ("NoNewPrivileges", |d, l| set(&mut d.service.context.no_new_privileges, false, l, boolean)),
    ("CapabilityBoundingSet", |d, l| {
        let now = d.service.context.bounding;
        d.service.context.bounding = Some(capabilities(now, capability::ALL, capability::ALL, l)?);
        Ok(())
    }),
    ("AmbientCapabilities", |d, l| {
        let now = d.service.context.ambient;
        d.service.context.ambient = capabilities(Some(now), 0, capability::ALL, l)?;
        Ok(())
    }),
    ("PrivateTmp", private_tmp),
    ("RuntimeDirectory", |d, l| directories(d, l, DirectoryKind::Runtime)),
    ("StateDirectory", |d, l| directories(d, l, DirectoryKind::State)),
    ("CacheDirectory", |d, l| directories(d, l, DirectoryKind::Cache)),
    ("LogsDirectory", |d, l| directories(d, l, DirectoryKind::Logs)),
    ("ConfigurationDirectory", |d, l| directories(d, l, DirectoryKind::Configuration)),
    ("RuntimeDirectoryMode", |d, l| directory_mode(d, l, DirectoryKind::Runtime)),
    ("StateDirectoryMode", |d, l| directory_mode(d, l, DirectoryKind::State)),
    ("CacheDirectoryMode", |d, l| directory_mode(d, l, DirectoryKind::Cache)),
    ("LogsDirectoryMode", |d, l| directory_mode(d, l, DirectoryKind::Logs)),
    ("ConfigurationDirectoryMode", |d, l| directory_mode(d, l, DirectoryKind::Configuration)),
    ("RuntimeDirectoryPreserve", |d, l| {
        set(&mut d.service.context.runtime_preserve, Preserve::No, l, preserve)
    }),
    ("PermissionsStartOnly", |d, l| set(&mut d.service.context.permissions_start_only, false, l, boolean)),
];

pub(super) fn oom_score(s: &str) -> Result<i16, ValueError> {
    number(s, -1000..=1000, "a score from -1000 to 1000", "-500")
}

/// Adds `NAME=value` words; one that is none is noted and left out.
pub(super) fn variables(list: &mut Vec<(String, String)>, line: &mut Line<'_>) -> Result<(), Wrong> {
    let words = line.words()?;
    let mut pairs = Vec::with_capacity(words.len());
    for word in words {
        match environment::pair(&word.text) {
            Some(pair) => pairs.push(pair),
            None => line.note(word.at, format!("{:?} sets no variable (try NAME=value)", word.text)),
        }
    }
    add(list, line, pairs);
    Ok(())
}

pub(super) fn environment_file(list: &mut Vec<(String, bool)>, line: &mut Line<'_>) -> Result<(), Wrong> {
    if line.is_empty() {
        list.clear();
        return Ok(());
    }
    list.push(line.optional_path()?);
    Ok(())
}

/// One more line of a capability set; see [`capability::merge`].
pub(super) fn capabilities(
    now: Option<u64>,
    unset: u64,
    full: u64,
    line: &mut Line<'_>,
) -> Result<u64, Wrong> {
    let (invert, named) = capability_line(line)?;
    Ok(capability::merge(now, unset, full, invert, named))
}

/// Whether a line begins with `~`, and the bits that it names.
pub(super) fn capability_line(line: &mut Line<'_>) -> Result<(bool, u64), Wrong> {
    let raw = line.raw();
    let invert = raw.starts_with('~');
    let mut named = 0;
    for word in line.words()? {
        let name = if word.at == 0 { word.text.trim_start_matches('~') } else { word.text.as_str() };
        match capability::bit(name) {
            Ok(bit) => named |= bit,
            Err(_) if name.is_empty() => {}
            Err(error) => line.note(word.at, error),
        }
    }
    Ok((invert, named))
}

fn working_directory(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let raw = line.raw();
    draft.service.context.working_directory = match raw {
        "" => None,
        "~" | "-~" => Some(WorkDir { path: "~".to_owned(), optional: raw.starts_with('-') }),
        _ => {
            let (path, optional) = line.optional_path()?;
            Some(WorkDir { path, optional })
        }
    };
    Ok(())
}

fn standard_input(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let raw = line.raw();
    draft.given.stdin = match raw {
        "" => None,
        "null" => Some(Input::Null),
        "tty" | "tty-force" | "tty-fail" => Some(Input::Tty),
        "data" => Some(Input::Data(Vec::new())),
        _ if raw == "socket" || raw.starts_with("fd:") => {
            draft.not_applied(line);
            Some(Input::Null)
        }
        _ => match raw.strip_prefix("file:") {
            Some(path) => {
                let path = line.expand(path, 5)?;
                Some(Input::File(absolute(&path, 5)?))
            }
            None => return line.wrong("a source of input", "null, tty, data or file:/PATH"),
        },
    };
    Ok(())
}

/// Each line of text ends in a line break.
fn input_text(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    if line.is_empty() {
        draft.given.stdin_data.clear();
        return Ok(());
    }
    let text = line.text()?;
    draft.given.stdin_data.extend(text.into_bytes());
    draft.given.stdin_data.push(b'\n');
    Ok(())
}

fn input_data(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    if line.is_empty() {
        draft.given.stdin_data.clear();
        return Ok(());
    }
    match base64(line.raw()) {
        Some(bytes) => draft.given.stdin_data.extend(bytes),
        None => return line.wrong("base64", "aGVsbG8="),
    }
    Ok(())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    let body = text.trim_end_matches('=');
    for c in body.bytes().filter(|b| !b.is_ascii_whitespace()) {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    (held < 6 && bits == 0).then_some(out)
}

fn output(draft: &mut Draft, line: &mut Line<'_>, default: Output) -> Result<Output, Wrong> {
    let raw = line.raw();
    Ok(match raw {
        "" => default,
        "inherit" => Output::Inherit,
        "null" => Output::Null,
        "tty" => Output::Tty,
        "journal" | "syslog" | "kmsg" | "journal+console" | "syslog+console" | "kmsg+console" => Output::Log,
        _ if raw == "socket" || raw.starts_with("fd:") => {
            draft.not_applied(line);
            Output::Log
        }
        _ => {
            let Some((kind, path)) = raw.split_once(':') else {
                return line.wrong("a place for output", "journal, null or append:/PATH");
            };
            let at = kind.len() + 1;
            let path = line.expand(path, at)?;
            match kind {
                "file" => Output::File(absolute(&path, at)?),
                "append" => Output::Append(absolute(&path, at)?),
                "truncate" => Output::Truncate(absolute(&path, at)?),
                _ => return line.wrong("a place for output", "journal, null or append:/PATH"),
            }
        }
    })
}

/// `disconnected` (newer systemd) is private too.
fn private_tmp(draft: &mut Draft, line: &mut Line<'_>) -> Result<(), Wrong> {
    let read = |s: &str| if s == "disconnected" { Ok(true) } else { boolean(s) };
    set(&mut draft.service.context.private_tmp, false, line, read)
}

fn preserve(s: &str) -> Result<Preserve, ValueError> {
    match (s, boolean(s)) {
        ("restart", _) => Ok(Preserve::Restart),
        (_, Ok(true)) => Ok(Preserve::Yes),
        (_, Ok(false)) => Ok(Preserve::No),
        (_, Err(_)) => Err(ValueError::new(s, "a time to keep it", "no, restart or yes")),
    }
}

fn directories(draft: &mut Draft, line: &mut Line<'_>, kind: DirectoryKind) -> Result<(), Wrong> {
    if line.is_empty() {
        draft.given.directories.retain(|(k, _)| *k != kind);
        return Ok(());
    }
    for word in line.words()? {
        // NAME:LINK also makes a link beside it.
        let name = word.text.split(':').next().unwrap_or_default().trim_end_matches('/');
        if name.len() < word.text.trim_end_matches('/').len() {
            draft.not_applied(line);
        }
        let inside = !name.starts_with('/') && !name.is_empty();
        if inside && name.split('/').all(|part| !matches!(part, "" | "." | "..")) {
            draft.given.directories.push((kind, name.to_owned()));
        } else {
            let base = kind.base();
            line.note(word.at, format!("{:?} is not a path below {base} (try NAME)", word.text));
        }
    }
    Ok(())
}

fn directory_mode(draft: &mut Draft, line: &mut Line<'_>, kind: DirectoryKind) -> Result<(), Wrong> {
    let mut mode = DIRECTORY_MODE;
    set(&mut mode, DIRECTORY_MODE, line, str::parse)?;
    draft.given.modes.push((kind, mode));
    Ok(())
}
