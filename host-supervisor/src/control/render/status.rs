//! status: one container or unit in full, as `ct status` and `ct why` show it. Pure.
use super::quantity::{cpu, moment, seconds, size};
use super::table::{Colour, painted, table};
use super::{harmless, log_line};
use crate::control::protocol::{ContainerStatus, ExitRow, LimitRow, Measure, UnitRow};

/// `ct status NAME`.
pub fn container(s: &ContainerStatus, colour: Colour) -> String {
    let mut text = headline(s, colour);
    let mut fact = |key: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("  {key:<12} {value}\n"));
        }
    };
    fact("description", s.description.clone());
    fact("pid", s.pid.map_or(String::new(), |p| p.to_string()));
    fact("up", s.uptime.map_or(String::new(), seconds));
    fact("restarts", if s.restarts == 0 { String::new() } else { s.restarts.to_string() });
    fact("at boot", s.autostart.clone());
    fact("address", s.addresses.join(", "));
    fact("files", s.files.join("\n               "));
    part(&mut text, "units", &units(&s.units));
    part(&mut text, "limits", &limits(&s.limits));
    let missing: String = s.not_in_force.iter().map(|n| format!("{}: {}\n", n.key, n.why)).collect();
    part(&mut text, "not in force", &missing);
    part(&mut text, "last exits", &s.exits.iter().map(exit).collect::<String>());
    part(&mut text, "log", &s.log.iter().map(|l| log_line(l) + "\n").collect::<String>());
    text
}

/// `ct status NAME/UNIT`.
pub fn unit(s: &ContainerStatus, unit: &str) -> String {
    let Some(row) = s.units.iter().find(|u| u.name == unit) else { return headline(s, Colour::No) };
    let mut text = unit_headline(s, row);
    if !row.description.is_empty() {
        text.push_str(&format!("  {:<12} {}\n", "description", harmless(&row.description)));
    }
    if let Some(pid) = row.pid {
        text.push_str(&format!("  {:<12} {pid} (inside)\n", "pid"));
    }
    if row.restarts > 0 {
        text.push_str(&format!("  {:<12} {}\n", "restarts", row.restarts));
    }
    part(&mut text, "log", &s.log.iter().map(|l| log_line(l) + "\n").collect::<String>());
    text
}

/// `ct why`: the headline and the ends that led to it.
pub fn why(s: &ContainerStatus, unit: Option<&str>) -> String {
    match unit.and_then(|name| s.units.iter().find(|u| u.name == name)) {
        Some(row) => unit_headline(s, row),
        None => {
            headline(s, Colour::No) + &s.exits.iter().map(|e| format!("  {}", exit(e))).collect::<String>()
        }
    }
}

fn headline(s: &ContainerStatus, colour: Colour) -> String {
    let state = match colour {
        Colour::Yes => painted(s.state),
        Colour::No => s.state.word().to_owned(),
    };
    let why = if s.why.is_empty() { String::new() } else { format!(": {}", harmless(&s.why)) };
    format!("{}: {state} for {}{why}\n", s.name, seconds(s.for_secs))
}

fn unit_headline(s: &ContainerStatus, u: &UnitRow) -> String {
    let why = remark(u);
    let why = if why.is_empty() { why } else { format!(": {why}") };
    format!("{}/{}: {} for {}{why}\n", s.name, u.name, state(u), seconds(u.for_secs))
}

/// `active (running)`; `failed` where both words are the same.
fn state(u: &UnitRow) -> String {
    if u.active == u.sub || u.sub.is_empty() { u.active.clone() } else { format!("{} ({})", u.active, u.sub) }
}

/// Why it ended, where it did, and what it says of itself.
fn remark(u: &UnitRow) -> String {
    let said = [u.cause.as_deref().unwrap_or_default(), &u.note];
    let said: Vec<String> = said.iter().filter(|t| !t.is_empty()).map(|t| harmless(t)).collect();
    said.join("; ")
}

fn units(units: &[UnitRow]) -> String {
    if units.is_empty() {
        return String::new();
    }
    let rows = units.iter().map(|u| {
        let pid = u.pid.map_or("-".to_owned(), |p| p.to_string());
        vec![u.name.clone(), state(u), pid, seconds(u.for_secs), u.restarts.to_string(), remark(u)]
    });
    table(&["UNIT", "STATE", "PID", "FOR", "RESTARTS", "WHY"], &[2, 3, 4], rows)
}

fn limits(limits: &[LimitRow]) -> String {
    if limits.is_empty() {
        return String::new();
    }
    let rows = limits.iter().map(|l| {
        let amount = |n: Option<u64>, none: &str| n.map_or(none.to_owned(), |n| measured(l.measure, n));
        let failures = l.failures.map_or("-".to_owned(), |n| n.to_string());
        vec![l.name.clone(), amount(l.held, "-"), amount(l.max, "-"), amount(l.limit, "none"), failures]
    });
    table(&["KEY", "HELD", "MAX", "LIMIT", "FAILURES"], &[1, 2, 3, 4], rows)
}

fn measured(measure: Measure, n: u64) -> String {
    match measure {
        Measure::Bytes => size(n),
        Measure::Count | Measure::Weight => n.to_string(),
        Measure::Microseconds => cpu(n),
        Measure::Rate => format!("{}/s", size(n)),
    }
}

fn exit(e: &ExitRow) -> String {
    let then = if e.then.is_empty() { String::new() } else { format!("; {}", e.then) };
    format!("{} {}, after {}{then}\n", moment(e.at), e.cause, seconds(e.lasted))
}

/// A titled block of lines, indented; nothing where there are none.
fn part(text: &mut String, title: &str, lines: &str) {
    if !lines.is_empty() {
        text.push_str(&format!("\n{title}\n"));
        lines.lines().for_each(|l| text.push_str(&format!("  {l}\n")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::tests::samples::status;

    #[test]
    fn a_container_in_full() {
        let expect = "\
web: degraded for 1m1s: cron.service has failed
  description  the shop
  pid          4021
  up           1d2h
  restarts     2
  at boot      yes
  address      10.0.0.2
  files        /etc/ct/web.container
               /etc/ct/web.container.d/50-set.conf

units
  UNIT           STATE             PID   FOR  RESTARTS  WHY
  cron.service   failed              -  1m1s         5  exited with code 1; start limit hit
  nginx.service  active (running)   31  1d2h         0

limits
  KEY        HELD   MAX  LIMIT  FAILURES
  MemoryMax  187M  240M   512M         3
  TasksMax     31     -   none         0

not in force
  IOWeight: this kernel has no io.weight

last exits
  2023-11-14T22:13:20.000Z killed for memory: ended by SIGKILL, after 1h; restarted after 2s

log
  2023-11-14T22:13:21.500Z nginx.service: listening on 80
";
        assert_eq!(container(&status(), Colour::No), expect);
    }

    #[test]
    fn a_unit_in_full() {
        let expect = "\
web/nginx.service: active (running) for 1d2h
  description  web server
  pid          31 (inside)

log
  2023-11-14T22:13:21.500Z nginx.service: listening on 80
";
        assert_eq!(unit(&status(), "nginx.service"), expect);
    }

    #[test]
    fn why_tells_the_cause() {
        let expect = "\
web: degraded for 1m1s: cron.service has failed
  2023-11-14T22:13:20.000Z killed for memory: ended by SIGKILL, after 1h; restarted after 2s
";
        assert_eq!(why(&status(), None), expect);
        let expect = "web/cron.service: failed for 1m1s: exited with code 1; start limit hit\n";
        assert_eq!(why(&status(), Some("cron.service")), expect);
    }
}
