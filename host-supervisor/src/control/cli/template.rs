//! template: commands about templates. The archive is opened here and read by the supervisor.
use super::CliError;
use super::context::{Context, open};
use super::names::setting;
use crate::control::protocol::{self, Request, Setting};
use crate::control::render;
use clap::Subcommand;
use serde::Deserialize;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Template {
    /// All templates
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Make a template of a tar archive (gz, xz, zst) or an OCI layout in one
    Import {
        /// The archive; - is standard input
        file: PathBuf,
        /// The template's name; else that of the file
        #[arg(long)]
        name: Option<String>,
    },
    /// Make a template as a recipe says
    Build {
        /// The template's name
        name: String,
        /// The recipe; - is standard input
        file: Option<PathBuf>,
        /// What the recipe leaves open
        #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
        set: Vec<Setting>,
    },
    /// Remove templates that no container uses
    Remove {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

#[derive(Debug, Deserialize)]
struct Templates {
    templates: Vec<protocol::Template>,
}
#[derive(Debug, Deserialize)]
struct Made {
    template: protocol::Template,
}

impl Template {
    pub(super) fn run(&self, context: &mut Context) -> Result<u8, CliError> {
        let request = self.request()?;
        match self {
            Template::List { json } => {
                let Templates { templates } = context.call(&request)?;
                if *json {
                    context.json(&templates)?
                } else {
                    context.print(&render::templates(&templates))?
                }
                Ok(0)
            }
            Template::Import { file, .. } => made(context, &request, Some(file)),
            Template::Build { file, .. } => made(context, &request, file.as_ref()),
            Template::Remove { .. } => context.act(&request),
        }
    }
    /// What it asks of the supervisor.
    pub(super) fn request(&self) -> Result<Request, CliError> {
        Ok(match self {
            Template::List { .. } => Request::TemplateList {},
            Template::Import { file, name } => {
                let name = match name.clone().or_else(|| name_of(file)) {
                    Some(name) => name,
                    None => {
                        return Err(CliError::Usage("standard input has no name (give --name)".to_owned()));
                    }
                };
                Request::TemplateImport { name, file: 0 }
            }
            Template::Build { name, file, set } => Request::TemplateBuild {
                name: name.clone(),
                file: file.as_ref().map(|_| 0),
                settings: set.clone(),
            },
            Template::Remove { names } => Request::TemplateRemove { names: names.clone() },
        })
    }
}

/// `debian-12` of `/tmp/debian-12.tar.xz`.
fn name_of(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    let endings = [".tar.gz", ".tar.xz", ".tar.zst", ".tgz", ".txz", ".tzst", ".tar", ".oci"];
    let stem = endings.iter().find_map(|e| name.strip_suffix(e)).unwrap_or(name);
    (!stem.is_empty() && stem != "-").then(|| stem.to_owned())
}

fn made(context: &mut Context, request: &Request, file: Option<&PathBuf>) -> Result<u8, CliError> {
    let file = file.map(open).transpose()?;
    let fds: Vec<_> = file.iter().map(AsFd::as_fd).collect();
    let Made { template } = context.call_with(request, &fds)?;
    context.inform(&format!("{}: {}", template.name, render::quantity::size(template.size)))?;
    Ok(0)
}
