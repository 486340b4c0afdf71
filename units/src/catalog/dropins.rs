//! catalog: which `.conf` files add to a unit, in which order. Reads only through [`Files`].
use super::{Files, Found, entries, is_null, path_of};
use crate::merge::Fragment;
use crate::name::UnitName;
use crate::parse::{Diagnostic, Severity};
use crate::schema::read::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// A search directory and the names in it.
pub(super) struct Directory<'a> {
    pub path: &'a str,
    pub names: &'a BTreeSet<String>,
}

/// All drop-ins of a unit in the order in which they apply, and those that can't be read.
///
/// The order is that of their file names over all directories. Of two with the same file name the one in the earlier
/// search directory counts, there the one of the more specific directory; `service.d/` comes after all others.
pub(super) fn collect(
    files: &dyn Files,
    search: &[Directory<'_>],
    names: &[UnitName],
) -> (Vec<Fragment>, Vec<Diagnostic>) {
    let specific: Vec<String> = names.iter().flat_map(folders).collect();
    let general = names.first().map(|n| format!("{}.d", n.suffix()));
    let mut chosen: BTreeMap<String, String> = BTreeMap::new();
    for kinds in [specific, general.into_iter().collect()] {
        for directory in search {
            for folder in kinds.iter().filter(|f| directory.names.contains(*f)) {
                let folder = path_of(directory.path, folder);
                let conf = |n: &String| n.ends_with(".conf") && !n.starts_with('.');
                for name in entries(files, &folder).into_iter().filter(conf) {
                    let path = path_of(&folder, &name);
                    chosen.entry(name).or_insert(path);
                }
            }
        }
    }
    // As with a wrong line: a container must not run without a limit that may stand there.
    let severity = names.first().map_or(Severity::Error, |n| Kind::of(n).slip());
    read(files, chosen.into_values(), severity)
}

/// The directories for one name, most specific first: `a-b@i.service.d`, `a-b@.service.d`, `a-.service.d`.
fn folders(name: &UnitName) -> Vec<String> {
    let mut folders = vec![format!("{name}.d")];
    if let Some(template) = name.template().filter(|t| t != name) {
        folders.push(format!("{template}.d"));
    }
    let mut prefix = name.prefix().trim_end_matches('-');
    while let Some((shorter, _)) = prefix.rsplit_once('-') {
        folders.push(format!("{shorter}-.{}.d", name.suffix()));
        prefix = shorter.trim_end_matches('-');
    }
    folders
}

fn read(
    files: &dyn Files,
    paths: impl Iterator<Item = String>,
    severity: Severity,
) -> (Vec<Fragment>, Vec<Diagnostic>) {
    let (mut fragments, mut unusable) = (Vec::new(), Vec::new());
    for path in paths {
        // A link to /dev/null hides those of the same name and is nothing itself.
        let found = match files.look(&path) {
            Found::Link(target) if is_null(&target) => continue,
            Found::Link(_) => files.read(&path),
            found => found,
        };
        let why = match found {
            Found::File(bytes) => {
                fragments.push(Fragment { path, bytes });
                continue;
            }
            Found::Missing | Found::Link(_) => "is a link that leads nowhere".to_owned(),
            Found::Directory(_) => "is a directory, not a drop-in".to_owned(),
            Found::Unusable(why) => why,
        };
        unusable.push(Diagnostic { path, line: 0, column: 0, severity, message: why });
    }
    (fragments, unusable)
}
