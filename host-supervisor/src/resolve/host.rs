//! host: host.conf and its drop-ins to the settings of one supervisor. Touches nothing.
use std::time::Duration;
use units::merge::Fragment;
use units::parse::document;
use units::parse::lexer::Place;
use units::parse::near::nearest;
use units::parse::words::{self, Escapes};
use units::values::Span;
use units::{Diagnostic, Diagnostics, Severity};

/// `[Host]` of host.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConf {
    /// `IdPool=BASE:RANGES`: containers' host ids, 65,536 a container. Begins above what distributions give to users
    /// and subordinate ids (login.defs), and ends below 2³¹, which some programs take for a sign.
    pub id_base: u32,
    /// How many ranges.
    pub id_ranges: u32,
    /// `StartParallel=`: so many containers may be on their way up at once; none: as pressure allows.
    pub start_parallel: Option<u32>,
    /// `ShutdownTimeoutSec=`: all of them together have so long to stop; then they are killed.
    pub shutdown_timeout: Span,
    /// `RebootCommand=`: asks the host's init for a reboot; a program and its words.
    pub reboot_command: Vec<String>,
    /// `PoweroffCommand=`: asks it to power off.
    pub poweroff_command: Vec<String>,
}

impl Default for HostConf {
    fn default() -> HostConf {
        HostConf {
            id_base: 0x2000_0000,
            id_ranges: 8192,
            start_parallel: None,
            shutdown_timeout: Span::Finite(Duration::from_secs(120)),
            reboot_command: vec!["/sbin/reboot".to_owned()],
            poweroff_command: vec!["/sbin/poweroff".to_owned()],
        }
    }
}

/// One container has so many ids.
pub const RANGE: u32 = 65_536;

/// The keys of `[Host]`.
pub const KEYS: [&str; 5] =
    ["IdPool", "StartParallel", "ShutdownTimeoutSec", "RebootCommand", "PoweroffCommand"];

/// Settings of the main file and its drop-ins, in order; later ones win. A mistake costs its own line.
pub fn host_conf(fragments: &[Fragment]) -> (HostConf, Diagnostics) {
    let (mut conf, mut found) = (HostConf::default(), Diagnostics::default());
    for fragment in fragments {
        let (document, mistakes) = document::parse(&fragment.path, &fragment.bytes, Severity::Warning);
        found.0.extend(mistakes.0);
        for section in &document.sections {
            if section.name != "Host" {
                let known = format!("unknown section [{}] (host.conf has [Host])", section.name);
                found.0.push(at(fragment, section.place, known));
                continue;
            }
            for entry in &section.entries {
                if let Err(why) = assign(&mut conf, &entry.key, entry.value.as_str()) {
                    found.0.push(at(fragment, entry.place, format!("{}: {why}", entry.key)));
                }
            }
        }
    }
    (conf, found)
}

fn at(fragment: &Fragment, place: Place, message: String) -> Diagnostic {
    let severity = Severity::Warning;
    Diagnostic { path: fragment.path.clone(), line: place.line, column: place.column, severity, message }
}

fn assign(conf: &mut HostConf, key: &str, value: &str) -> Result<(), String> {
    let default = HostConf::default();
    match key {
        "IdPool" if value.is_empty() => (conf.id_base, conf.id_ranges) = (default.id_base, default.id_ranges),
        "IdPool" => (conf.id_base, conf.id_ranges) = id_pool(value)?,
        "StartParallel" if value.is_empty() => conf.start_parallel = None,
        "StartParallel" => {
            let n = value.parse().ok().filter(|n| *n > 0);
            conf.start_parallel = Some(n.ok_or_else(|| format!("{value:?} is not a count from 1 on"))?);
        }
        "ShutdownTimeoutSec" if value.is_empty() => conf.shutdown_timeout = default.shutdown_timeout,
        "ShutdownTimeoutSec" => conf.shutdown_timeout = value.parse().map_err(|e| format!("{e}"))?,
        "RebootCommand" if value.is_empty() => conf.reboot_command = default.reboot_command,
        "RebootCommand" => conf.reboot_command = command(value)?,
        "PoweroffCommand" if value.is_empty() => conf.poweroff_command = default.poweroff_command,
        "PoweroffCommand" => conf.poweroff_command = command(value)?,
        _ => {
            let near =
                nearest(key, KEYS.into_iter()).map_or(String::new(), |n| format!(" (did you mean {n}?)"));
            return Err(format!("unknown key in [Host]{near}"));
        }
    }
    Ok(())
}

/// A program by its absolute path, and words for it.
fn command(value: &str) -> Result<Vec<String>, String> {
    let words = words::split(value, Escapes::Strict).map_err(|e| e.to_string())?;
    let words: Vec<String> = words.into_iter().map(|w| w.text).collect();
    match words.first() {
        Some(program) if program.starts_with('/') => Ok(words),
        Some(_) | None => Err(format!("{value:?} does not begin with an absolute path (/sbin/reboot)")),
    }
}

fn id_pool(value: &str) -> Result<(u32, u32), String> {
    let wrong =
        || format!("{value:?} is not BASE:RANGES, ids from BASE on for so many containers (536870912:8192)");
    let (base, ranges) = value.split_once(':').ok_or_else(wrong)?;
    let (base, ranges) =
        (base.parse::<u32>().map_err(|_| wrong())?, ranges.parse::<u32>().map_err(|_| wrong())?);
    let end = u64::from(base) + u64::from(ranges) * u64::from(RANGE);
    match (base, ranges) {
        (_, 0) => Err(wrong()),
        (..=65535, _) => Err(format!("{value:?} begins among the host's own ids (begin above 65535)")),
        _ if end > 1 << 32 => Err(format!("{value:?} ends beyond the last id")),
        _ => Ok((base, ranges)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: HostConf, mistake: &str) {
        let fragment = Fragment { path: "host.conf".into(), bytes: text.as_bytes().to_vec() };
        let (conf, found) = host_conf(&[fragment]);
        assert_eq!(conf, expect, "{text}");
        let all: Vec<String> = found.0.iter().map(ToString::to_string).collect();
        assert!(
            if mistake.is_empty() { all.is_empty() } else { all.join("\n").contains(mistake) },
            "{all:?}"
        );
    }

    #[test]
    fn settings_and_mistakes() {
        let d = HostConf::default();
        let base = || d.clone();
        check("", base(), "");
        check("[Host]\nStartParallel=3\n", HostConf { start_parallel: Some(3), ..base() }, "");
        check("[Host]\nIdPool=100000:10\n", HostConf { id_base: 100_000, id_ranges: 10, ..base() }, "");
        check(
            "[Host]\nShutdownTimeoutSec=infinity\n",
            HostConf { shutdown_timeout: Span::Infinite, ..base() },
            "",
        );
        check(
            "[Host]\nIdPool=0:10\n",
            base(),
            "host.conf:2:1: warning: IdPool: \"0:10\" begins among the host's own ids",
        );
        check("[Host]\nIdPool=4294900000:10\n", base(), "beyond the last id");
        check("[Host]\nIdPool=x\n", base(), "is not BASE:RANGES");
        check("[Host]\nStartParallel=0\n", base(), "count from 1 on");
        check("[Host]\nStartParalel=2\n", base(), "did you mean StartParallel?");
        let reboot = ["/bin/sh", "-c", "echo off"].map(str::to_owned).to_vec();
        check(
            "[Host]\nRebootCommand=/bin/sh -c 'echo off'\n",
            HostConf { reboot_command: reboot, ..base() },
            "",
        );
        check("[Host]\nPoweroffCommand=/a\nPoweroffCommand=\n", base(), "");
        check("[Host]\nRebootCommand=reboot\n", base(), "does not begin with an absolute path");
        check("[Hots]\nStartParallel=2\n", base(), "unknown section [Hots]");
    }
}
