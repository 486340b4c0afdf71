//! names: the NAME and KEY=VALUE arguments of a command line, checked, and patterns filled in. Never prints.
use super::CliError;
use crate::control::protocol::Setting;
use crate::control::target::{ContainerName, Target, TargetError, glob, is_glob};
use clap::Args;
use std::collections::BTreeSet;

/// Looks up the names of all containers; only asked where a pattern or `--all` needs it.
pub(super) type Known<'a> = &'a mut dyn FnMut() -> Result<Vec<ContainerName>, CliError>;

/// Containers or units inside them.
#[derive(Clone, Debug, Args)]
pub(super) struct Targets {
    /// NAME or NAME/UNIT; NAME may be a pattern such as 'web*'
    #[arg(value_name = "NAME[/UNIT]", required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// All containers
    #[arg(long)]
    all: bool,
}

impl Targets {
    /// In the order of the command line, none twice.
    pub(super) fn resolve(&self, known: Known<'_>) -> Result<Vec<Target>, CliError> {
        if self.all {
            return Ok(known()?.into_iter().map(Target::container).collect());
        }
        resolve(&self.names, known)
    }
    /// Whether exactly one thing is named, without a pattern.
    pub(super) fn is_single(&self) -> bool {
        matches!(self.names.as_slice(), [name] if !is_glob(name))
    }
}

/// Checks names and fills in patterns.
pub(super) fn resolve(words: &[String], known: Known<'_>) -> Result<Vec<Target>, CliError> {
    let mut all: Option<Vec<ContainerName>> = None;
    let mut seen = BTreeSet::new();
    let mut targets = Vec::new();
    for word in words {
        let container = word.split('/').next().unwrap_or_default();
        let found = if is_glob(container) {
            let all = match &mut all {
                Some(all) => all,
                place @ None => place.insert(known()?),
            };
            matching(word, container, all)?
        } else {
            vec![Target::parse(word)?]
        };
        targets.extend(found.into_iter().filter(|t| seen.insert(t.clone())));
    }
    Ok(targets)
}

/// The targets that a word whose container part is a pattern stands for; at least one.
fn matching(word: &str, pattern: &str, all: &[ContainerName]) -> Result<Vec<Target>, CliError> {
    let rest = word.strip_prefix(pattern).unwrap_or_default();
    let names = all.iter().filter(|name| glob(pattern, name.as_str()));
    let found = names.map(|name| Target::parse(&format!("{name}{rest}"))).collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() {
        return Err(CliError::NotFound(format!(
            "no container's name matches {pattern:?} (ct list shows them)"
        )));
    }
    Ok(found)
}

/// The containers alone; a unit among them is wrong usage.
pub(super) fn containers(targets: Vec<Target>) -> Result<Vec<ContainerName>, CliError> {
    let each = targets.into_iter().map(|t| match t.unit {
        None => Ok(t.container),
        Some(_) => Err(CliError::Usage(format!("{t} is a unit, a container is meant here"))),
    });
    each.collect()
}

impl From<TargetError> for CliError {
    fn from(e: TargetError) -> CliError {
        CliError::Usage(e.to_string())
    }
}

/// For clap: one container.
pub(super) fn container(text: &str) -> Result<ContainerName, String> {
    ContainerName::parse(text).map_err(|e| e.to_string())
}

/// For clap: one container or unit.
pub(super) fn target(text: &str) -> Result<Target, String> {
    Target::parse(text).map_err(|e| e.to_string())
}

/// For clap: `KEY=VALUE`; an empty value is one (it resets).
pub(super) fn setting(text: &str) -> Result<Setting, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric()) => {
            Ok(Setting { key: key.to_owned(), value: value.to_owned() })
        }
        Some(_) | None => Err("not KEY=VALUE (try MemoryMax=512M)".to_owned()),
    }
}

/// For clap: `NAME=VALUE` of an environment.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("not NAME=VALUE".to_owned()),
    }
}
