//! words: the project speaks of itself only. Reads what git would publish.
use crate::none;
use crate::source::{holds, project};
use std::fs;
use std::process::Command;

/// Each is written in two parts, so that this file does not find itself.
const FOREIGN: &[(&str, &str)] = &[
    ("/wo", "rk/shared"),
    ("/wo", "rk/main"),
    ("/tmp/", "wt"),
    ("/tmp/", "brief"),
    ("issue ", "tracker"),
    ("Co-Authored", "-By"),
    ("crates.", "io"),
    ("static.", "rust-lang"),
    ("deb.", "debian.org"),
    ("XX", "X"),
    ("FIX", "ME"),
    ("TO", "DO"),
    ("HA", "CK"),
];

fn published() -> Vec<String> {
    let args = ["ls-files", "--cached", "--others", "--exclude-standard"];
    match Command::new("git").args(args).current_dir(project()).output() {
        Ok(o) if o.status.success() => {
            String::from_utf8_lossy(&o.stdout).lines().map(str::to_owned).collect()
        }
        // A source archive has no git: everything in it is published.
        Ok(_) | Err(_) => {
            ["rs", "toml", "md"].iter().flat_map(|e| crate::files(e).into_iter().map(|(p, _)| p)).collect()
        }
    }
}

#[test]
fn the_project_speaks_of_itself_only() {
    let mut bad = Vec::new();
    for path in published() {
        // A lock file's sources and the linter's list of them are names, not talk.
        if ["Cargo.lock", "deny.toml"].contains(&path.as_str()) {
            continue;
        }
        let Ok(text) = fs::read_to_string(project().join(&path)) else { continue };
        for (i, line) in text.lines().enumerate() {
            for (a, b) in FOREIGN {
                if holds(line, &format!("{a}{b}")) {
                    bad.push(format!("{path}:{}: {}", i + 1, line.trim()));
                }
            }
        }
    }
    none("nothing of the place where it was written", bad);
}

#[test]
fn lines_end_plainly() {
    let mut bad = Vec::new();
    for path in published() {
        let Ok(text) = fs::read_to_string(project().join(&path)) else { continue };
        let golden = path.starts_with("tests/golden/");
        for (i, line) in text.lines().enumerate() {
            if !golden && (line.ends_with(' ') || line.contains('\r')) {
                bad.push(format!("{path}:{}", i + 1));
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            bad.push(format!("{path}: no newline at its end"));
        }
    }
    none("no white space at the end of a line, a newline at the end of a file", bad);
}
