//! catalog: finds a unit's fragments among the search directories, by systemd's rules. Reads only through [`Files`].
//!
//! Masks, aliases, drop-ins (`name.d/`, `name@.d/`, `foo-.service.d/`, `service.d/`), `.wants/`, `.requires/`,
//! templates. The caller supplies the file system; tests use a map.
mod dropins;
#[cfg(test)]
mod tests;

use crate::merge::{self, Fragment, Links};
use crate::name::UnitName;
use crate::parse::specifier::Context;
use crate::parse::{Diagnostic, Diagnostics, Severity};
use crate::schema::Unit;
use std::collections::{BTreeMap, BTreeSet};

/// What a path in a search directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A regular file (or a link that leads to one outside the search path), with its bytes.
    File(Vec<u8>),
    /// A symbolic link and where it points, as written.
    Link(String),
    /// A directory with its entries' names.
    Directory(Vec<String>),
    /// Nothing there.
    Missing,
    /// There, but not readable as a unit; the text says why (`is a device`, `12 MB, at most 1 MB`).
    Unusable(String),
}

/// A read-only view of a file system, rooted wherever the caller likes.
pub trait Files {
    /// What is at `path` (absolute, `/`-separated), not following a link at its end.
    fn look(&self, path: &str) -> Found;
    /// What `path` leads to, links followed inside the root.
    fn read(&self, path: &str) -> Found;
}

/// The units of some search directories. Keeps only names; files are read when a unit is loaded.
pub struct Catalog<'a> {
    files: &'a dyn Files,
    context: &'a Context,
    suffixes: &'a [&'a str],
    /// The search directories in order, with the names in each.
    listing: Vec<(String, BTreeSet<String>)>,
}

/// What became of a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The unit's own name: what `asked` is an alias of, else the same.
    pub name: UnitName,
    /// Names that led here, the asked one first; empty if it was asked by its own name.
    pub aliases: Vec<UnitName>,
    /// The unit, or why there is none.
    pub outcome: Outcome,
    /// Mistakes in its files; of a unit that loaded, warnings only.
    pub diagnostics: Diagnostics,
    /// The files it is made of, main file first.
    pub paths: Vec<String>,
}

/// Whether there is a unit.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It can be used.
    Unit(Box<Unit>),
    /// A link to /dev/null or an empty file stands in its place: it must not be started.
    Masked,
    /// No file has this name.
    Missing,
    /// It has files, and they are wrong; the diagnostics say how.
    Broken,
}

/// So many links may lead from one name to the next.
const MAX_HOPS: usize = 16;

/// What stands for a name in the search directories.
enum Main {
    File(Fragment),
    Alias(UnitName),
    Masked,
    Missing,
    Broken(Diagnostic),
}

impl<'a> Catalog<'a> {
    /// Lists the directories, first wins. Units of other kinds than `suffixes` are not listed by [`Catalog::names`].
    pub fn new(
        files: &'a dyn Files,
        search: &[String],
        suffixes: &'a [&'a str],
        context: &'a Context,
    ) -> Catalog<'a> {
        let listing = search.iter().map(|dir| (dir.clone(), entries(files, dir))).collect();
        Catalog { files, context, suffixes, listing }
    }

    /// Every unit that has a file, templates and aliases too, sorted.
    pub fn names(&self) -> Vec<UnitName> {
        let all = self.listing.iter().flat_map(|(_, names)| names);
        let units = all.filter_map(|name| UnitName::parse(name).ok());
        let kept: BTreeSet<UnitName> = units.filter(|n| self.suffixes.contains(&n.suffix())).collect();
        kept.into_iter().collect()
    }

    /// Other names of a unit: links in the search directories that lead to it.
    pub fn aliases_of(&self, name: &UnitName) -> Vec<UnitName> {
        let leads = |other: &UnitName| other != name && self.follow(other).0 == *name;
        self.names().into_iter().filter(|n| n.suffix() == name.suffix() && leads(n)).collect()
    }

    /// What `name.wants/` and `name.upholds/` pull in.
    pub fn wants_of(&self, name: &UnitName) -> Vec<UnitName> {
        self.linked(std::slice::from_ref(name), &["wants", "upholds"])
    }

    /// What `name.requires/` pulls in.
    pub fn requires_of(&self, name: &UnitName) -> Vec<UnitName> {
        self.linked(std::slice::from_ref(name), &["requires"])
    }

    /// Finds and reads a unit: its main file, its drop-ins, its `.wants/` and `.requires/`.
    pub fn load(&self, asked: &UnitName) -> Loaded {
        let (name, aliases, main) = self.follow(asked);
        let mut loaded = Loaded {
            name,
            aliases,
            outcome: Outcome::Missing,
            diagnostics: Diagnostics::default(),
            paths: Vec::new(),
        };
        let main = match main {
            Main::File(fragment) => fragment,
            Main::Masked => {
                loaded.outcome = Outcome::Masked;
                return loaded;
            }
            Main::Missing => return loaded,
            Main::Broken(diagnostic) => {
                loaded.outcome = Outcome::Broken;
                loaded.paths = vec![diagnostic.path.clone()];
                loaded.diagnostics.push(diagnostic);
                return loaded;
            }
            // `follow` ends at an alias only where there are too many.
            Main::Alias(next) => {
                loaded.outcome = Outcome::Broken;
                let message = format!("its names are links that lead in a circle (to {next} in the end)");
                loaded.diagnostics.push(whole(asked.as_str(), message));
                return loaded;
            }
        };
        self.assemble(&mut loaded, main);
        loaded
    }

    fn assemble(&self, loaded: &mut Loaded, main: Fragment) {
        let mut names = vec![loaded.name.clone()];
        names.extend(loaded.aliases.iter().cloned());
        let (dropins, unusable) = dropins::collect(self.files, &self.directories(), &names);
        let mut fragments = vec![main];
        fragments.extend(dropins);
        let links = Links {
            wants: self.linked(&names, &["wants", "upholds"]),
            requires: self.linked(&names, &["requires"]),
        };
        let (unit, found) = merge::assemble_linked(&loaded.name, &fragments, &links, self.context);
        loaded.outcome = unit.map_or(Outcome::Broken, |unit| Outcome::Unit(Box::new(unit)));
        loaded.diagnostics = found;
        loaded.diagnostics.append(Diagnostics(unusable));
        if loaded.diagnostics.has_errors() {
            loaded.outcome = Outcome::Broken;
        }
        loaded.paths = fragments.into_iter().map(|f| f.path).collect();
    }

    /// From a name over its aliases to what stands there; the names passed on the way.
    fn follow(&self, asked: &UnitName) -> (UnitName, Vec<UnitName>, Main) {
        let (mut name, mut passed) = (asked.clone(), Vec::new());
        loop {
            match self.main(&name) {
                Main::Alias(next) if passed.len() < MAX_HOPS => {
                    passed.push(std::mem::replace(&mut name, next))
                }
                main => return (name, passed, main),
            }
        }
    }

    /// The file of a name; of its template where an instance has none of its own.
    fn main(&self, name: &UnitName) -> Main {
        match (self.main_of(name, name), name.template()) {
            (Main::Missing, Some(template)) if template != *name => self.main_of(&template, name),
            (main, _) => main,
        }
    }

    /// The first entry called `file` in the search directories, read for the unit `name`.
    fn main_of(&self, file: &UnitName, name: &UnitName) -> Main {
        let holds = |(_, names): &&(String, BTreeSet<String>)| names.contains(file.as_str());
        let Some((dir, _)) = self.listing.iter().find(holds) else {
            return Main::Missing;
        };
        let path = path_of(dir, file.as_str());
        match self.files.look(&path) {
            Found::Link(target) if is_null(&target) => Main::Masked,
            Found::Link(target) => match self.alias(dir, &target, file, name) {
                Ok(Some(alias)) => Main::Alias(alias),
                Ok(None) => {
                    let found = self.files.read(&path);
                    content(path, found)
                }
                Err(message) => Main::Broken(whole(&path, message)),
            },
            // Gone since the directory was listed.
            Found::Missing => Main::Missing,
            found @ (Found::File(_) | Found::Directory(_) | Found::Unusable(_)) => content(path, found),
        }
    }

    /// The other unit a link makes `file` an alias of; none where it only says where this unit's file is.
    fn alias(
        &self,
        dir: &str,
        target: &str,
        file: &UnitName,
        name: &UnitName,
    ) -> Result<Option<UnitName>, String> {
        let (parent, base) = target.rsplit_once('/').unwrap_or((".", target));
        let Ok(other) = UnitName::parse(base) else {
            return Ok(None);
        };
        let own_template = name.template().as_ref() == Some(&other);
        let parent = if parent.is_empty() { "/".to_owned() } else { resolve(dir, parent) };
        // /lib and /usr/lib are one directory on most systems, and links name either.
        let searched = self.listing.iter().any(|(d, _)| same_directory(d, &parent));
        if other == *file || own_template || !searched {
            return Ok(None);
        }
        if other.suffix() != name.suffix() {
            return Err(format!("links to {other}, a unit of another kind"));
        }
        match (name.instance(), other.is_template()) {
            (Some(instance), true) if !instance.is_empty() => {
                other.with_instance(instance).map(Some).map_err(|e| e.to_string())
            }
            (Some(_), _) | (None, false) => Ok(Some(other)),
            (None, true) => Err(format!("links to the template {other}, which has no instance here")),
        }
    }

    /// Names in the `.wants/` (…) directories of `names`. A link to /dev/null takes one back.
    fn linked(&self, names: &[UnitName], kinds: &[&str]) -> Vec<UnitName> {
        let mut decided: BTreeMap<UnitName, bool> = BTreeMap::new();
        for (dir, here) in &self.listing {
            let of = |n: &UnitName| [Some(n.clone()), n.template().filter(|t| t != n)].into_iter().flatten();
            for name in names.iter().flat_map(of) {
                for folder in kinds.iter().map(|k| format!("{name}.{k}")).filter(|f| here.contains(f)) {
                    self.linked_in(&path_of(dir, &folder), names, &mut decided);
                }
            }
        }
        decided.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name).collect()
    }

    fn linked_in(&self, folder: &str, names: &[UnitName], decided: &mut BTreeMap<UnitName, bool>) {
        let instance = names.first().and_then(UnitName::instance).filter(|i| !i.is_empty());
        for entry in entries(self.files, folder) {
            let Ok(mut other) = UnitName::parse(&entry) else {
                continue;
            };
            let masked = matches!(self.files.look(&path_of(folder, &entry)), Found::Link(t) if is_null(&t));
            if let Some(Ok(own)) = instance.filter(|_| other.is_template()).map(|i| other.with_instance(i)) {
                other = own;
            }
            decided.entry(other).or_insert(!masked);
        }
    }

    fn directories(&self) -> Vec<dropins::Directory<'_>> {
        self.listing.iter().map(|(path, names)| dropins::Directory { path, names }).collect()
    }
}

fn content(path: String, found: Found) -> Main {
    match found {
        Found::File(bytes) if bytes.is_empty() => Main::Masked,
        Found::File(bytes) => Main::File(Fragment { path, bytes }),
        Found::Missing | Found::Link(_) => {
            Main::Broken(whole(&path, "is a link that leads nowhere".to_owned()))
        }
        Found::Directory(_) => Main::Broken(whole(&path, "is a directory, not a unit file".to_owned())),
        Found::Unusable(why) => Main::Broken(whole(&path, why)),
    }
}

fn whole(path: &str, message: String) -> Diagnostic {
    Diagnostic { path: path.to_owned(), line: 0, column: 0, severity: Severity::Error, message }
}

fn is_null(target: &str) -> bool {
    target == "/dev/null" || target.ends_with("../dev/null")
}

fn path_of(dir: &str, name: &str) -> String {
    format!("{}/{name}", dir.trim_end_matches('/'))
}

/// The names in a directory; none if it is not there or no directory.
fn entries(files: &dyn Files, dir: &str) -> BTreeSet<String> {
    match files.read(dir) {
        Found::Directory(names) => names.into_iter().collect(),
        Found::File(_) | Found::Link(_) | Found::Missing | Found::Unusable(_) => BTreeSet::new(),
    }
}

/// `target` as seen from `dir`, dots resolved by their letters.
fn resolve(dir: &str, target: &str) -> String {
    let whole = if target.starts_with('/') { target.to_owned() } else { format!("{dir}/{target}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Whether two paths are the same, `/lib` and `/usr/lib` taken for one.
fn same_directory(a: &str, b: &str) -> bool {
    fn plain(path: &str) -> &str {
        let path = path.trim_end_matches('/');
        path.strip_prefix("/usr").filter(|rest| rest.starts_with("/lib")).unwrap_or(path)
    }
    plain(a) == plain(b)
}
