//! imports: they run downward only, and the pure parts touch nothing.
use crate::source::{Source, holds, sources};
use crate::{hits, none};
use std::collections::{BTreeMap, BTreeSet};

/// host-supervisor's rooms by height; a room may use those below it, and its neighbours as long as no two use each
/// other. `facts` holds types; its probe is called from the top only.
const ROOMS: &[&[&str]] = &[
    &["paths", "facts"],
    &["spec"],
    &["resolve", "plan", "state"],
    &["apply", "observe", "template", "load"],
    &["control", "report", "ledger", "check"],
    &["daemon"],
    &["program"],
];

/// What must not be named where nothing is touched.
const EFFECTS: &[&str] = &[
    "nix",
    "rustix",
    "libc",
    "mio",
    "signal_hook",
    "cgroups_rs",
    "std::fs",
    "std::process",
    "std::net",
    "std::env",
    "std::thread",
    "Instant",
    "SystemTime",
];

fn room(name: &str) -> Option<usize> {
    ROOMS.iter().position(|r| r.contains(&name))
}

fn room_of(s: &Source) -> Option<&str> {
    let rest = s.path.strip_prefix("host-supervisor/src/")?;
    let name = rest.split('/').next()?;
    Some(name.strip_suffix(".rs").unwrap_or(name))
}

/// Names behind `crate::`, those of a group `crate::{a, b}` too.
fn uses(s: &Source) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (i, _) in s.code.match_indices("crate::") {
        let rest = &s.code[i + "crate::".len()..];
        let name = |t: &str| t.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            Some(group) => {
                let group = group.split(';').next().unwrap_or_default();
                let mut depth = 0;
                let parts = group.split(|c| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    c == ',' && depth == 0
                });
                found.extend(parts.map(|p| name(p.trim())));
            }
            None => drop(found.insert(name(rest))),
        }
    }
    found
}

#[test]
fn imports_run_downward() {
    let mut bad = Vec::new();
    let mut neighbours: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for s in sources().iter().filter(|s| !s.is_test()) {
        let Some(own) = room_of(s).filter(|r| !["lib", "bin"].contains(r)) else { continue };
        let Some(height) = room(own) else {
            bad.push(format!("{}: {own} has no place in the order (give it one in tidy/imports.rs)", s.path));
            continue;
        };
        for used in uses(s).iter().filter(|u| *u != own) {
            match room(used) {
                Some(h) if h > height => {
                    bad.push(format!("{}: {own} uses {used}, which is above it", s.path))
                }
                Some(h) if h == height => {
                    neighbours.entry(own.to_owned()).or_default().insert(used.clone());
                }
                Some(_) | None => {}
            }
        }
    }
    for (a, used) in &neighbours {
        for b in used.iter().filter(|b| neighbours.get(*b).is_some_and(|u| u.contains(a)) && a < *b) {
            bad.push(format!("{a} and {b} use each other"));
        }
    }
    none("imports run downward only", bad);
}

fn is_pure(s: &Source) -> bool {
    let pure = ["spec", "resolve", "plan", "state"];
    let in_units = s.path.starts_with("units/src/");
    !s.is_test() && (in_units || room_of(s).is_some_and(|r| pure.contains(&r)))
}

#[test]
fn pure_modules_touch_nothing() {
    none("a pure module names neither the system nor a clock", hits(&sources(), is_pure, EFFECTS));
}

/// A plan names the data types of what will be done; the doing stays in ct-sys and ct-init.
#[test]
fn plans_name_data_only() {
    let allowed = ["ct_sys::script", "ct_sys::flags", "ct_sys::mount::attr", "ct_init::proto"];
    let mut bad = Vec::new();
    for s in sources().iter().filter(|s| is_pure(s)) {
        for word in ["ct_sys", "ct_init"] {
            for (n, line) in s.lines_with(word) {
                if !allowed.iter().any(|a| holds(line, a)) {
                    bad.push(format!("{}:{n}: {line}", s.path));
                }
            }
        }
    }
    none("a pure module names data types only", bad);
}

#[test]
fn units_depends_on_no_other_crate_of_ours() {
    let of = |s: &Source| s.path.starts_with("units/src/");
    none("units is the lowest", hits(&sources(), of, &["ct_sys", "ct_init", "host_supervisor"]));
    let of = |s: &Source| s.path.starts_with("ct-init/");
    none("ct-init does not know its host", hits(&sources(), of, &["host_supervisor"]));
}

#[test]
fn cgroups_rs_is_used_where_cgroups_are() {
    let of = |s: &Source| !["apply", "observe"].contains(&room_of(s).unwrap_or_default());
    none("cgroups_rs belongs into apply and observe", hits(&sources(), of, &["cgroups_rs"]));
}

/// The loops, and what hands them sources of events.
const LOOPS: &[&str] =
    &["host-supervisor/src/daemon/", "host-supervisor/src/control/server/", "ct-init/src/"];

#[test]
fn mio_is_used_by_the_loops() {
    let of = |s: &Source| !s.is_test() && !LOOPS.iter().any(|l| s.path.starts_with(l));
    none("mio belongs into the loops", hits(&sources(), of, &["mio"]));
}

#[test]
fn names_behind_crate_are_found() {
    let check = |text: &str, wanted: &[&str]| {
        let found: Vec<String> = uses(&Source::new("a.rs", text)).into_iter().collect();
        assert_eq!(found, wanted, "{text}");
    };
    check("use crate::plan::Step;", &["plan"]);
    check("use crate::{apply::run, plan::{Step, Group}, spec};", &["apply", "plan", "spec"]);
    check("fn f() { crate::daemon::go() } // crate::x", &["daemon"]);
}
