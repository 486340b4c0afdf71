//! conf: /etc/ct/init.conf, the settings of a host's PID 1. Touches nothing.
use std::time::Duration;
use units::parse::document;
use units::parse::near::nearest;
use units::values::Span;
use units::{Diagnostic, Diagnostics, Severity, UnitName};

/// Where it is.
pub const PATH: &str = "/etc/ct/init.conf";

/// `[Manager]` of init.conf: systemd's names and meanings, where systemd has the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conf {
    /// `RuntimeWatchdogSec=`: the hardware watchdog resets the machine when PID 1 has not fed it so long; none: off.
    pub watchdog: Option<Duration>,
    /// `RebootWatchdogSec=`: the same for the time from the end of the last unit to the reset.
    pub reboot_watchdog: Option<Duration>,
    /// `WatchdogDevice=`.
    pub device: String,
    /// `ShutdownTimeoutSec=`: all units together have so long to stop; then what is left is killed.
    pub shutdown: Span,
    /// `BootAttempts=`: after so many boots in a row that did not reach the default unit, the fallback; 0: never.
    pub attempts: u32,
    /// `FallbackUnit=`.
    pub fallback: UnitName,
}

impl Default for Conf {
    fn default() -> Conf {
        Conf {
            watchdog: None,
            reboot_watchdog: Some(Duration::from_secs(600)),
            device: "/dev/watchdog0".to_owned(),
            // More than host-supervisor's own 120 s for all containers.
            shutdown: Span::Finite(Duration::from_secs(180)),
            attempts: 0,
            fallback: UnitName::lossy("rescue", "target"),
        }
    }
}

/// The keys of `[Manager]`.
pub const KEYS: [&str; 6] = [
    "RuntimeWatchdogSec",
    "RebootWatchdogSec",
    "WatchdogDevice",
    "ShutdownTimeoutSec",
    "BootAttempts",
    "FallbackUnit",
];

/// Reads it. A mistake costs its own line.
pub fn parse(path: &str, bytes: &[u8]) -> (Conf, Diagnostics) {
    let mut conf = Conf::default();
    let (document, mut found) = document::parse(path, bytes, Severity::Warning);
    for section in &document.sections {
        for entry in &section.entries {
            let done = match section.name.as_str() {
                "Manager" => assign(&mut conf, &entry.key, entry.value.as_str()),
                other => Err(format!("unknown section [{other}] (init.conf has [Manager])")),
            };
            if let Err(why) = done {
                found.0.push(Diagnostic {
                    path: path.to_owned(),
                    line: entry.place.line,
                    column: entry.place.column,
                    severity: Severity::Warning,
                    message: format!("{}: {why}", entry.key),
                });
            }
        }
    }
    (conf, found)
}

fn assign(conf: &mut Conf, key: &str, value: &str) -> Result<(), String> {
    let default = Conf::default();
    let watchdog = |value: &str| match value.parse::<Span>() {
        Ok(Span::Finite(d)) if d.is_zero() => Ok(None),
        Ok(Span::Finite(d)) if d >= Duration::from_secs(1) => Ok(Some(d)),
        Ok(_) => Err(format!("{value:?} is no time from 1 s on (try 30s; 0 switches it off)")),
        Err(e) => Err(e.to_string()),
    };
    match key {
        "RuntimeWatchdogSec" if value.is_empty() || value == "off" => conf.watchdog = None,
        "RuntimeWatchdogSec" => conf.watchdog = watchdog(value)?,
        "RebootWatchdogSec" if value.is_empty() => conf.reboot_watchdog = default.reboot_watchdog,
        "RebootWatchdogSec" if value == "off" => conf.reboot_watchdog = None,
        "RebootWatchdogSec" => conf.reboot_watchdog = watchdog(value)?,
        "WatchdogDevice" if value.is_empty() => conf.device = default.device,
        "WatchdogDevice" if value.starts_with("/dev/") => conf.device = value.to_owned(),
        "WatchdogDevice" => return Err(format!("{value:?} is no device (try /dev/watchdog0)")),
        "ShutdownTimeoutSec" if value.is_empty() => conf.shutdown = default.shutdown,
        "ShutdownTimeoutSec" => conf.shutdown = Span::timeout(value).map_err(|e| e.to_string())?,
        "BootAttempts" if value.is_empty() => conf.attempts = 0,
        "BootAttempts" => {
            conf.attempts =
                value.parse().map_err(|_| format!("{value:?} is not a count (try 3; 0: never)"))?;
        }
        "FallbackUnit" if value.is_empty() => conf.fallback = default.fallback,
        "FallbackUnit" => {
            conf.fallback = UnitName::parse(value).map_err(|e| format!("{value:?} is no unit name: {e}"))?;
        }
        _ => {
            let near =
                nearest(key, KEYS.into_iter()).map_or(String::new(), |n| format!(" (did you mean {n}?)"));
            return Err(format!("unknown key in [Manager]{near}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_mistakes() {
        let check = |text: &str, expect: Conf, mistake: &str| {
            let (conf, found) = parse("init.conf", text.as_bytes());
            assert_eq!(conf, expect, "{text}");
            let said = found.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            assert!(if mistake.is_empty() { said.is_empty() } else { said.contains(mistake) }, "{said:?}");
        };
        let none = Conf::default;
        let seconds = |n| Some(Duration::from_secs(n));
        check("", none(), "");
        check("[Manager]\nRuntimeWatchdogSec=30\n", Conf { watchdog: seconds(30), ..none() }, "");
        check("[Manager]\nRuntimeWatchdogSec=30\nRuntimeWatchdogSec=off\n", none(), "");
        check("[Manager]\nRebootWatchdogSec=0\n", Conf { reboot_watchdog: None, ..none() }, "");
        check("[Manager]\nShutdownTimeoutSec=0\n", Conf { shutdown: Span::Infinite, ..none() }, "");
        check("[Manager]\nBootAttempts=3\n", Conf { attempts: 3, ..none() }, "");
        let fallback = UnitName::parse("safe.target").unwrap();
        check("[Manager]\nFallbackUnit=safe.target\n", Conf { fallback, ..none() }, "");
        check(
            "[Manager]\nRuntimeWatchdogSec=5ms\n",
            none(),
            "init.conf:2:1: warning: RuntimeWatchdogSec: \"5ms\" is no",
        );
        check("[Manager]\nWatchdogDevice=watchdog\n", none(), "is no device");
        check("[Manager]\nBootAttempt=3\n", none(), "did you mean BootAttempts?");
        check("[Host]\nBootAttempts=3\n", none(), "unknown section [Host]");
    }
}
