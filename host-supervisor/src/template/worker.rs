//! worker: the slow work on templates in a process of its own; says on stdout how far it is. Decides nothing.
//!
//! Lines: `progress DONE TOTAL` (bytes), sentences for people, and at the end `done` or `error: SENTENCE`.
use super::{BuildOptions, TemplateError, build, host_template, import};
use crate::paths::Paths;
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

/// What `host-supervisor --root DIR internal-template …` does; returns the exit code.
///
/// `import NAME FILE`, `build NAME [Kind=debian] [Suite=…] [Packages=…] [Mirror=…]`, `host`.
pub fn worker(paths: &Paths, args: &[String]) -> i32 {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["import", name, file] => {
            let mut progress = |done: u64, total: u64| say(&format!("progress {done} {total}"));
            import(paths, name, Path::new(file), &mut progress)
                .map(|found| found.notes().iter().for_each(|n| note(n)))
        }
        ["build", name, settings @ ..] => built(paths, name, settings),
        ["host"] => host_template(paths).map(drop),
        _ => {
            say("error: internal-template takes: import NAME FILE, build NAME [KEY=VALUE …], or host");
            return 2;
        }
    };
    match result {
        Ok(()) => {
            say("done");
            0
        }
        Err(e) => {
            say(&format!("error: {}", sentence(&e)));
            1
        }
    }
}

fn built(paths: &Paths, name: &str, settings: &[&str]) -> Result<(), TemplateError> {
    let mut options = BuildOptions::default();
    let mut kind = "debian";
    for setting in settings {
        match setting.split_once('=').unwrap_or((setting, "")) {
            ("Kind", value) => kind = value,
            (key, value) => options.set(key, value)?,
        }
    }
    build(paths, name, kind, &options, &mut note)
}

/// A sentence of others', which must not pass for one of ours.
fn note(line: &str) {
    let ours = line == "done" || ["error: ", "progress "].iter().any(|p| line.starts_with(p));
    say(&format!("{}{line}", if ours { "> " } else { "" }));
}

/// A line for the daemon. When it is gone there is nobody to tell: the work still ends as it should.
fn say(line: &str) {
    let line = line.replace(['\n', '\r'], " ");
    let mut out = io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

fn sentence(e: &TemplateError) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    text
}
