//! make: commands that write and remove units and change their settings. Never touches a file by itself.
use super::CliError;
use super::context::Context;
use super::names::{Known, Targets, container, containers, setting};
use crate::control::protocol::{Request, SetResult, Setting};
use crate::control::target::ContainerName;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Make {
    /// Write the unit of a new container and make its file system
    Create {
        /// Its name
        #[arg(value_parser = container)]
        name: ContainerName,
        /// The template that it is made from
        #[arg(long, value_name = "T")]
        template: Option<String>,
        /// Keys of the unit file
        #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
        set: Vec<Setting>,
    },
    /// Remove containers with their files
    Destroy {
        #[command(flatten)]
        targets: Targets,
        /// Don't ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Change limits of a container at once
    Set {
        /// Which container
        #[arg(value_parser = container)]
        name: ContainerName,
        /// Keys of the unit file; an empty value goes back to the default
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = setting)]
        settings: Vec<Setting>,
        /// Keep them for later starts
        #[arg(long)]
        save: bool,
    },
}

impl Make {
    pub(super) fn run(&self, context: &mut Context) -> Result<u8, CliError> {
        let request = self.request(&mut || context.names())?;
        match (self, &request) {
            (Make::Destroy { yes: false, .. }, Request::Destroy { names }) => {
                let list: Vec<&str> = names.iter().map(ContainerName::as_str).collect();
                let question = format!("Destroy {} with all files inside?", list.join(", "));
                if context.confirm(&question, "--yes")? { context.act(&request) } else { Ok(1) }
            }
            (Make::Set { name, .. }, _) => set(context, name, &request),
            (Make::Create { .. } | Make::Destroy { .. }, _) => context.act(&request),
        }
    }
    /// What it asks of the supervisor.
    pub(super) fn request(&self, known: Known<'_>) -> Result<Request, CliError> {
        Ok(match self {
            Make::Create { name, template, set } => {
                Request::Create { name: name.clone(), template: template.clone(), settings: set.clone() }
            }
            Make::Destroy { targets, .. } => Request::Destroy { names: containers(targets.resolve(known)?)? },
            Make::Set { name, settings, save } => {
                Request::Set { name: name.clone(), settings: settings.clone(), save: *save }
            }
        })
    }
}

fn set(context: &mut Context, name: &ContainerName, request: &Request) -> Result<u8, CliError> {
    let result: SetResult = context.call(request)?;
    if !result.waiting.is_empty() {
        context.inform(&format!("{name}: {} waits for the next start", result.waiting.join(", ")))?;
    }
    if let Some(file) = result.saved {
        context.inform(&format!("{name}: saved in {file}"))?;
    }
    Ok(0)
}
