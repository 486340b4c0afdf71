//! look: commands that read: tables, status, specs, plans, mistakes, events. They change nothing.
use super::CliError;
use super::context::{Containers, Context, complain};
use super::names::{self, Known, Targets, container, setting};
use crate::control::protocol::{
    Action, BlameRow, ContainerStatus, EventRow, Mistake, Request, Setting, SpecEntry,
};
use crate::control::render;
use crate::control::target::{ContainerName, Target, glob};
use clap::{Subcommand, ValueEnum};
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Look {
    /// A table of containers
    List {
        /// Only these; a pattern takes many
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// State and why, units inside, limits, last exits, last log lines
    Status {
        #[command(flatten)]
        targets: Targets,
        /// How many log lines
        #[arg(short = 'n', long, value_name = "N")]
        lines: Option<u32>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What a container or unit waits for, or what ended it
    Why {
        #[command(flatten)]
        targets: Targets,
        /// As JSON, with all that status tells
        #[arg(long)]
        json: bool,
    },
    /// The resolved spec with every default filled in
    Show {
        /// Which container
        #[arg(value_parser = container)]
        name: ContainerName,
        /// Only this key's value
        key: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Every mistake in unit files, and what this host can't enforce
    Check {
        /// Files; none: all units of the host
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// The steps that something would take; changes nothing
    Plan {
        /// What would be done
        #[arg(value_enum)]
        action: Planned,
        /// To which; for 'set' a NAME, then KEY=VALUE …
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// How the last boot went: who began when, who waited for whom, how long each took
    Blame {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// What happened, one JSON object a line
    Events {
        /// Go on with what happens
        #[arg(short, long)]
        follow: bool,
        /// JSON is what it prints anyway
        #[arg(long, hide = true)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Planned {
    Start,
    Stop,
    Set,
    Boot,
}

#[derive(Debug, Deserialize)]
struct Status {
    status: ContainerStatus,
}
#[derive(Debug, Deserialize)]
struct Show {
    spec: Vec<SpecEntry>,
}
#[derive(Debug, Deserialize, serde::Serialize)]
struct Plan {
    steps: Vec<String>,
    refused: Vec<String>,
}
#[derive(Debug, Deserialize)]
struct Blame {
    boot: Vec<BlameRow>,
}
#[derive(Debug, Deserialize)]
struct Event {
    event: Option<EventRow>,
}

impl Look {
    pub(super) fn run(&self, context: &mut Context) -> Result<u8, CliError> {
        match self {
            Look::List { names, json } => list(context, names, *json),
            Look::Status { targets, lines, json } => status(context, targets, *lines, *json),
            Look::Why { targets, json: true } => status(context, targets, Some(0), true),
            Look::Why { targets, json: false } => why(context, targets),
            Look::Show { name, key, json } => show(context, name, key.as_deref(), *json),
            Look::Check { files, json } => check(context, files, *json),
            Look::Plan { action, names, json } => {
                let request = plan_request(*action, names, &mut || context.names())?;
                plan(context, &request, *json)
            }
            Look::Blame { json } => blame(context, *json),
            Look::Events { follow, json: _ } => events(context, *follow),
        }
    }
}

fn list(context: &mut Context, names: &[String], json: bool) -> Result<u8, CliError> {
    let Containers { mut containers } = context.call(&Request::List {})?;
    let known: Vec<ContainerName> = containers.iter().map(|c| c.name.clone()).collect();
    for word in names {
        if !known.iter().any(|name| glob(word, name.as_str())) {
            let hint = "ct list shows them all";
            return Err(CliError::NotFound(format!("there is no container {word} ({hint})")));
        }
    }
    if !names.is_empty() {
        containers.retain(|c| names.iter().any(|word| glob(word, c.name.as_str())));
    }
    if json {
        context.json(&containers)?;
    } else {
        context.print(&render::table::containers(&containers, context.colour()))?;
    }
    Ok(0)
}

fn one_status(
    context: &mut Context,
    target: &Target,
    lines: Option<u32>,
) -> Result<ContainerStatus, CliError> {
    let Status { status } = context.call(&Request::Status { target: target.clone(), lines })?;
    Ok(status)
}

fn status(context: &mut Context, targets: &Targets, lines: Option<u32>, json: bool) -> Result<u8, CliError> {
    let mut all = Vec::new();
    for target in targets.resolve(&mut || context.names())? {
        all.push((one_status(context, &target, lines)?, target));
    }
    if json {
        let values: Vec<&ContainerStatus> = all.iter().map(|(s, _)| s).collect();
        match values.as_slice() {
            [one] if targets.is_single() => context.json(one)?,
            many => context.json(&many)?,
        }
        return Ok(0);
    }
    let colour = context.colour();
    let texts = all.iter().map(|(status, target)| match &target.unit {
        None => render::status::container(status, colour),
        Some(unit) => render::status::unit(status, unit.as_str()),
    });
    context.print(&texts.collect::<Vec<_>>().join("\n"))?;
    Ok(0)
}

fn why(context: &mut Context, targets: &Targets) -> Result<u8, CliError> {
    for target in targets.resolve(&mut || context.names())? {
        let status = one_status(context, &target, Some(0))?;
        context.print(&render::status::why(&status, target.unit.as_ref().map(units::UnitName::as_str)))?;
    }
    Ok(0)
}

fn show(context: &mut Context, name: &ContainerName, key: Option<&str>, json: bool) -> Result<u8, CliError> {
    let request = Request::Show { name: name.clone(), key: key.map(str::to_owned) };
    let Show { spec } = context.call(&request)?;
    if json {
        context.json(&spec)?;
    } else if key.is_some() {
        spec.iter().try_for_each(|entry| context.inform(&entry.value))?;
    } else {
        context.print(&render::spec(&spec))?;
    }
    Ok(0)
}

/// Needs no supervisor: the files are read here, this host is probed here.
fn check(context: &mut Context, files: &[PathBuf], json: bool) -> Result<u8, CliError> {
    let found = (context.hooks.check)(&context.root, files);
    let bad = found.iter().any(|d| d.severity == units::Severity::Error);
    if json {
        let mistakes: Vec<Mistake> = found.iter().map(Mistake::from).collect();
        context.json(&mistakes)?;
    } else {
        for diagnostic in &found {
            context.inform(&render::harmless(&diagnostic.to_string()))?;
        }
    }
    Ok(u8::from(bad))
}

/// `ct plan start web`, `ct plan set web MemoryMax=1G`, `ct plan boot`.
pub(super) fn plan_request(action: Planned, words: &[String], known: Known<'_>) -> Result<Request, CliError> {
    let usage = |sentence: &str| Err(CliError::Usage(sentence.to_owned()));
    let (action, words, settings): (Action, &[String], Vec<Setting>) = match (action, words) {
        (Planned::Start | Planned::Stop, []) => return usage("a plan needs a NAME (try ct plan start web)"),
        (Planned::Start, names) => (Action::Start, names, Vec::new()),
        (Planned::Stop, names) => (Action::Stop, names, Vec::new()),
        (Planned::Boot, []) => (Action::Boot, &[], Vec::new()),
        (Planned::Boot, [_, ..]) => return usage("a boot is of the whole host: name nothing"),
        (Planned::Set, [] | [_]) => return usage("name what to set (try ct plan set web MemoryMax=1G)"),
        (Planned::Set, [name, rest @ ..]) => {
            let settings: Result<Vec<Setting>, String> =
                rest.iter().map(|s| setting(s).map_err(|e| format!("{s:?} is {e}"))).collect();
            (Action::Set, std::slice::from_ref(name), settings.map_err(CliError::Usage)?)
        }
    };
    Ok(Request::Plan { action, targets: names::resolve(words, known)?, settings })
}

fn plan(context: &mut Context, request: &Request, json: bool) -> Result<u8, CliError> {
    let plan: Plan = context.call(request)?;
    if json {
        context.json(&plan)?;
    } else {
        plan.steps.iter().try_for_each(|step| context.inform(step))?;
        plan.refused.iter().for_each(|why| complain(why));
    }
    Ok(if plan.refused.is_empty() { 0 } else { 5 })
}

fn blame(context: &mut Context, json: bool) -> Result<u8, CliError> {
    let Blame { boot } = context.call(&Request::Blame {})?;
    if json {
        context.json(&boot)?;
    } else {
        context.print(&render::table::blame(&boot))?;
    }
    Ok(0)
}

fn events(context: &mut Context, follow: bool) -> Result<u8, CliError> {
    context.client()?.send(&Request::Events { follow }, &[])?;
    loop {
        let answer = context.client()?.receive()?;
        let value = answer.result.map_err(crate::control::client::ClientError::from)?;
        if let Ok(Event { event: Some(event) }) = serde_json::from_value(value) {
            context.json_line(&event)?;
        }
        if !answer.continues {
            return Ok(0);
        }
    }
}
