//! parse: documents of one unit to its typed form, key by key. Reads no file and decides nothing about the host.
mod container;
mod defaults;
mod exec;
mod known;
mod line;
mod mount;
mod resources;
mod service;
mod socket;
#[cfg(test)]
mod tests;
mod timer;
mod unit;

use crate::name::UnitName;
use crate::parse::document::{Document, Entry, Section};
use crate::parse::lexer::Place;
use crate::parse::near::nearest;
use crate::parse::specifier::{Context, Subject};
use crate::parse::{Diagnostic, Diagnostics, Severity};
use crate::schema::service::{DirectoryKind, Input, NotifyAccess, ServiceType};
use crate::schema::{
    Container, Install, Mount, NotApplied, Resources, Service, Socket, Timer, Unit, UnitSection,
};
use crate::values::{Mode, Signal, Span};
use known::Known;
use line::{Line, Wrong};

/// A key and what its value does.
type Key = (&'static str, fn(&mut Draft, &mut Line<'_>) -> Result<(), Wrong>);

/// How a kind of unit is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Target,
    Container,
    Socket,
    Timer,
    /// `.mount` and `.swap`.
    Mount,
    /// Read for its dependencies.
    Passive,
}

impl Kind {
    /// Of a unit's suffix.
    pub(crate) fn of(name: &UnitName) -> Kind {
        match name.suffix() {
            "service" => Kind::Service,
            "target" => Kind::Target,
            "container" => Kind::Container,
            "socket" => Kind::Socket,
            "timer" => Kind::Timer,
            "mount" | "swap" => Kind::Mount,
            _ => Kind::Passive,
        }
    }
    /// How bad a wrong value is. The one place that decides: a container's owner wants to know before it runs without
    /// its limit; a service's unit came with a package, and systemd ignores the assignment with a warning.
    pub(crate) fn slip(self) -> Severity {
        match self {
            Kind::Container => Severity::Error,
            Kind::Service | Kind::Target | Kind::Socket | Kind::Timer | Kind::Mount | Kind::Passive => {
                Severity::Warning
            }
        }
    }
    /// As [`Kind::slip`], for one key: a service whose ExecStart= is wrong can't be used.
    fn slip_in(self, key: &str) -> Severity {
        if self == Kind::Service && key == "ExecStart" { Severity::Error } else { self.slip() }
    }
}

/// A unit while its lines are read.
struct Draft {
    unit: UnitSection,
    install: Install,
    service: Service,
    container: Container,
    socket: Socket,
    timer: Timer,
    mount: Mount,
    resources: Resources,
    given: Given,
    not_applied: Vec<NotApplied>,
}

/// What was said of things whose default depends on other keys.
#[derive(Default)]
struct Given {
    kind: Option<ServiceType>,
    bus_name: bool,
    timeout_start: Option<Span>,
    timeout_abort: Option<Span>,
    notify_access: Option<NotifyAccess>,
    restart_kill_signal: Option<Signal>,
    stdin: Option<Input>,
    stdin_data: Vec<u8>,
    directories: Vec<(DirectoryKind, String)>,
    modes: Vec<(DirectoryKind, Mode)>,
    template: Option<String>,
    rootfs: Option<String>,
}

impl Draft {
    fn not_applied(&mut self, line: &Line<'_>) {
        let (key, value) = (line.key.to_owned(), line.raw().to_owned());
        self.not_applied.push(NotApplied { key, value, line: line.place.line });
    }
}

/// Reads the documents of one unit, main file first, then drop-ins in order.
pub(crate) struct Reader<'a> {
    name: &'a UnitName,
    kind: Kind,
    context: &'a Context,
    draft: Draft,
    /// What has been found wrong so far.
    pub(crate) found: Diagnostics,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(name: &'a UnitName, context: &'a Context) -> Reader<'a> {
        let draft = Draft {
            unit: UnitSection::default(),
            install: Install::default(),
            service: Service::default(),
            container: Container::default(),
            socket: Socket::default(),
            timer: Timer::default(),
            mount: Mount::default(),
            resources: Resources::default(),
            given: Given::default(),
            not_applied: Vec::new(),
        };
        Reader { name, kind: Kind::of(name), context, draft, found: Diagnostics::default() }
    }

    /// Takes one file.
    pub(crate) fn document(&mut self, path: &str, document: &Document) {
        for section in &document.sections {
            match sections(self.name).find(|s| *s == section.name) {
                Some(name) => self.section(path, name, section),
                None if section.name.starts_with("X-") => {}
                None => self.unknown_section(path, section),
            }
        }
    }

    /// Dependencies that links make, not lines.
    pub(crate) fn links(&mut self, wants: &[UnitName], requires: &[UnitName]) {
        let unit = &mut self.draft.unit;
        for (list, more) in [(&mut unit.wants, wants), (&mut unit.requires, requires)] {
            for name in more {
                if !list.contains(name) {
                    list.push(name.clone());
                }
            }
        }
    }

    /// The unit with its defaults filled in; none if anything is an error.
    pub(crate) fn finish(mut self, path: &str) -> (Option<Unit>, Diagnostics) {
        for message in defaults::mistakes(self.name, self.kind, &self.draft) {
            self.say(path, Place::default(), Severity::Error, message.to_owned());
        }
        if self.found.has_errors() {
            return (None, self.found);
        }
        (Some(defaults::fill(self.name, path, self.kind, self.draft)), self.found)
    }

    fn section(&mut self, path: &str, name: &'static str, section: &Section) {
        for entry in &section.entries {
            let subject = Subject { name: self.name, path, context: self.context };
            let (key, place, value) = (entry.key.as_str(), entry.place, &entry.value);
            let mut line = Line { key, place, value, subject, notes: Vec::new() };
            match self.assign(name, &mut line) {
                Some(result) => {
                    // A note costs a word of the line, an error all of it.
                    let notes = line.notes.into_iter().map(|wrong| (self.kind.slip(), wrong));
                    let error = result.err().map(|wrong| (self.kind.slip_in(key), wrong));
                    for (severity, wrong) in notes.chain(error).collect::<Vec<_>>() {
                        let message = format!("{key}: {}", wrong.why);
                        self.say(path, value.place(wrong.at), severity, message);
                    }
                }
                None => self.unknown_key(path, name, entry),
            }
        }
    }

    /// Sets a key; none if nobody knows it.
    fn assign(&mut self, section: &str, line: &mut Line<'_>) -> Option<Result<(), Wrong>> {
        let key = line.key;
        let draft = &mut self.draft;
        if let Some((_, set)) = tables(section).iter().copied().flatten().find(|(k, _)| *k == key) {
            return Some(set(draft, line));
        }
        let special = match section {
            "Unit" => unit::check(draft, line),
            "Service" | "Resources" => resources::rlimit(draft, line),
            _ => None,
        };
        if special.is_some() {
            return special;
        }
        match known::lookup(section, key, line.raw()) {
            Some(Known::Harmless) => {}
            Some(Known::NotApplied) => draft.not_applied(line),
            None if with_processes(section) && is_process_key(key) => draft.not_applied(line),
            None => return None,
        }
        Some(Ok(()))
    }

    fn unknown_section(&mut self, path: &str, section: &Section) {
        let hint = hint(nearest(&section.name, sections(self.name)));
        let message = format!("unknown section [{}]{hint}", section.name);
        self.say(path, section.place, Severity::Warning, message);
    }

    fn unknown_key(&mut self, path: &str, section: &str, entry: &Entry) {
        // Looking for what was meant takes time, and nobody reads a thousand hints.
        if entry.key.starts_with("X-") || self.found.is_full() {
            return;
        }
        let hint = match section_of(self.name, &entry.key) {
            Some(other) => format!(" (it belongs in [{other}])"),
            None => hint(nearest(&entry.key, keys(section))),
        };
        let message = format!("unknown key {:?} in [{section}]{hint}", entry.key);
        self.say(path, entry.place, Severity::Warning, message);
    }

    pub(crate) fn say(&mut self, path: &str, place: Place, severity: Severity, message: String) {
        let Place { line, column } = place;
        self.found.push(Diagnostic { path: path.to_owned(), line, column, severity, message });
    }
}

fn hint(near: Option<&str>) -> String {
    near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

/// The sections a unit may have.
fn sections(name: &UnitName) -> impl Iterator<Item = &'static str> {
    let own: &[&str] = match name.suffix() {
        "service" => &["Service"],
        "container" => &["Container", "Resources", "Interface"],
        "socket" => &["Socket"],
        "timer" => &["Timer"],
        "path" => &["Path"],
        "mount" => &["Mount"],
        "automount" => &["Automount"],
        "swap" => &["Swap"],
        "slice" => &["Slice"],
        "scope" => &["Scope"],
        _ => &[],
    };
    ["Unit", "Install"].into_iter().chain(own.iter().copied())
}

/// The keys with a field of their own.
fn tables(section: &str) -> &'static [&'static [Key]] {
    match section {
        "Unit" => &[unit::UNIT],
        "Install" => &[unit::INSTALL],
        "Service" => &[service::SERVICE, exec::EXEC, resources::RESOURCES],
        "Container" => &[container::CONTAINER],
        "Socket" => &[socket::SOCKET],
        "Timer" => &[timer::TIMER],
        "Mount" => &[mount::MOUNT],
        "Swap" => &[mount::SWAP],
        "Resources" => &[resources::RESOURCES, resources::CONTAINER_RESOURCES],
        _ => &[],
    }
}

/// Sections of passive units whose commands and limits are not carried out here.
fn with_processes(section: &str) -> bool {
    matches!(section, "Socket" | "Mount" | "Swap" | "Slice" | "Scope")
}

fn is_process_key(key: &str) -> bool {
    resources::rlimit_kind(key).is_some()
        || exec::EXEC.iter().chain(resources::RESOURCES).any(|(k, _)| *k == key)
}

/// The section of a unit like `name` that takes this key.
pub fn section_of(name: &UnitName, key: &str) -> Option<&'static str> {
    sections(name).find(|section| keys(section).any(|k| k == key))
}

/// Every key that a section takes, those that are only known included.
pub fn keys(section: &str) -> impl Iterator<Item = &'static str> {
    let fields = tables(section).iter().copied().flatten().map(|(key, _)| *key);
    fields.chain(unit::check_keys(section)).chain(resources::limit_keys(section)).chain(known::keys(section))
}
