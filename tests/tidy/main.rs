//! tidy: rules that no compiler knows. Each finding says the rule, the place, and what to do.
mod imports;
mod manuals;
mod source;
mod words;

use source::{Source, files, project, sources};
use std::fs;

/// Fails with all findings at once.
fn none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

/// Files and lines that hold one of the words, in code.
fn hits(sources: &[Source], of: impl Fn(&Source) -> bool, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for s in sources.iter().filter(|s| of(s)) {
        for word in words {
            found.extend(s.lines_with(word).iter().map(|(n, l)| format!("{}:{n}: {l}", s.path)));
        }
    }
    found
}

fn is_program(s: &Source) -> bool {
    (s.path.starts_with("ct-init/src/") || s.path.starts_with("host-supervisor/src/")) && !s.is_test()
}

#[test]
fn unsafe_code_is_in_ct_sys_alone() {
    let outside = |s: &Source| !s.path.starts_with("ct-init/sys/");
    none("unsafe code belongs into ct-sys", hits(&sources(), outside, &["unsafe"]));
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let mut bad = Vec::new();
    for (path, text) in files("toml") {
        let crate_file = path.ends_with("/Cargo.toml") && !path.contains("/fuzz/");
        let own = path == "ct-init/sys/Cargo.toml";
        if crate_file && !own && !text.contains("[lints]\nworkspace = true") {
            bad.push(format!("{path}: add [lints] workspace = true"));
        }
    }
    let root = fs::read_to_string(project().join("Cargo.toml")).expect("the workspace's Cargo.toml");
    if !root.contains("unsafe_code = \"forbid\"") {
        bad.push("Cargo.toml: unsafe_code = \"forbid\" is gone".into());
    }
    none("every crate is under the same lints", bad);
}

#[test]
fn every_file_says_what_it_does() {
    let bare = sources().into_iter().filter(|s| !s.text.starts_with("//! "));
    none("a file starts with a line //! verb: what it does", bare.map(|s| s.path).collect());
}

#[test]
fn no_file_is_too_long() {
    let mut bad = Vec::new();
    for s in sources() {
        let (code, all) = (s.code.trim_end().lines().count(), s.text.lines().count());
        if code > 700 || all > 1200 {
            bad.push(format!("{}: {code} lines of code, {all} in all", s.path));
        }
    }
    none("a file has at most 700 lines of code (split it by verb)", bad);
}

#[test]
fn nothing_is_left_to_do() {
    let words = ["todo!", "unimplemented!", "dbg!", "unreachable!"];
    let outside = |s: &Source| !s.path.starts_with("tests/");
    none("finish it, or answer with an error", hits(&sources(), outside, &words));
}

#[test]
fn programs_do_not_panic_on_purpose() {
    let words = [".unwrap()", ".expect(", "panic!", ".unwrap_err()", ".expect_err("];
    none("return an error instead", hits(&sources(), is_program, &words));
}

#[test]
fn pid_1_and_the_supervisor_do_not_sleep() {
    let words = ["thread::sleep", "thread::spawn", "thread::Builder", "unistd::sleep"];
    let of = |s: &Source| is_program(s) && !s.path.starts_with("host-supervisor/src/control/cli");
    none("a loop waits for events, not for time", hits(&sources(), of, &words));
}

#[test]
fn no_test_sleeps() {
    let outside = |s: &Source| !s.path.starts_with("tests/tidy/");
    let mut found = Vec::new();
    for s in sources().iter().filter(|s| outside(s)) {
        // The tests' own lines are cut from `code`: look at all of the text.
        for (i, line) in s.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains("thread::sleep(") {
                found.push(format!("{}:{}: {}", s.path, i + 1, line.trim()));
            }
        }
    }
    none("wait for what has to happen, not for time", found);
}

#[test]
fn licence_and_changelog_are_there() {
    let read = |name: &str| fs::read_to_string(project().join(name)).unwrap_or_default();
    let mut bad = Vec::new();
    if !read("LICENSE").contains("Apache License") {
        bad.push("LICENSE: the Apache licence's text is missing".to_owned());
    }
    let log = read("CHANGELOG.md");
    if !log.lines().any(|l| l.starts_with("- ") || l.starts_with("* ")) {
        bad.push("CHANGELOG.md: no entry".to_owned());
    }
    for doc in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        if read(doc).trim().is_empty() {
            bad.push(format!("{doc}: missing"));
        }
    }
    none("what a user of the source expects", bad);
}
