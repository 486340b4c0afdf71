//! render: replies as text for people. Pure: a record in, a string out. Never writes anything itself.
pub mod quantity;
pub mod status;
pub mod table;

use super::protocol::{Fault, LogLine, Outcome, SpecEntry, Template};
use quantity::{moment, size};

/// `2026-01-02T03:04:05.678Z nginx.service: text`. Control characters are shown, not obeyed.
pub fn log_line(line: &LogLine) -> String {
    format!("{} {}: {}", moment(line.at), harmless(&line.unit), harmless(&line.text))
}

/// Text from inside a container with its control characters (but tabs) made visible, so that a log line can't
/// reprogram the terminal of the person who reads it.
pub fn harmless(text: &str) -> String {
    let show = |c: char| match c {
        '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    if text.chars().any(|c| c.is_control() && c != '\t') {
        text.chars().map(show).collect()
    } else {
        text.to_owned()
    }
}

/// `the sentence (hint)`.
pub fn fault(fault: &Fault) -> String {
    match &fault.hint {
        Some(hint) => format!("{} ({hint})", fault.message),
        None => fault.message.clone(),
    }
}

/// What is worth a word about an outcome that is no error: `web: already running`.
pub fn note(outcome: &Outcome) -> Option<String> {
    outcome.note.as_ref().map(|note| format!("{}: {}", outcome.target, harmless(note)))
}

/// A spec as it would stand in a unit file; where a value came from stands behind it as a comment line above.
pub fn spec(entries: &[SpecEntry]) -> String {
    let mut text = String::new();
    let mut section = None;
    for entry in entries {
        if section != Some(&entry.section) {
            if section.is_some() {
                text.push('\n');
            }
            text.push_str(&format!("[{}]\n", entry.section));
            section = Some(&entry.section);
        }
        if let Some(origin) = &entry.origin {
            text.push_str(&format!("# {origin}\n"));
        }
        text.push_str(&format!("{}={}\n", entry.key, entry.value));
    }
    text
}

/// `ct template list`.
pub fn templates(templates: &[Template]) -> String {
    let rows = templates.iter().map(|t| {
        let created = t.created.map_or("-".to_owned(), moment);
        vec![t.name.clone(), size(t.size), created, t.containers.len().to_string(), harmless(&t.description)]
    });
    table::table(&["NAME", "SIZE", "CREATED", "CONTAINERS", "DESCRIPTION"], &[1, 3], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_cannot_drive_the_terminal() {
        let check = |text: &str, expect: &str| assert_eq!(harmless(text), expect);
        check("plain\ttext é", "plain\ttext é");
        check("\x1b[2Jgone", "\\u{1b}[2Jgone");
        check("a\rb", "a\\rb");
        check("\u{9b}31m", "\\u{9b}31m");
    }

    #[test]
    fn a_spec_reads_as_a_unit_file() {
        let entry = |section: &str, key: &str, origin: Option<&str>| SpecEntry {
            section: section.into(),
            key: key.into(),
            value: "1".into(),
            origin: origin.map(str::to_owned),
        };
        let text = spec(&[
            entry("Resources", "CPUs", None),
            entry("Resources", "TasksMax", Some("web.container:9")),
            entry("Install", "Autostart", None),
        ]);
        assert_eq!(text, "[Resources]\nCPUs=1\n# web.container:9\nTasksMax=1\n\n[Install]\nAutostart=1\n");
    }
}
