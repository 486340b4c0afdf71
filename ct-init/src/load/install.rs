//! install: the links that `[Install]` asks for, made and removed in /etc/systemd/system. Touches nothing else.
use super::Loader;
use std::os::unix::fs::symlink;
use units::UnitName;
use units::catalog::{Catalog, Outcome};
use units::schema::Unit;

const HERE: &str = "/etc/systemd/system";

/// Makes (or removes) the links of a unit and of those it names in `Also=`.
pub fn apply(loader: &Loader, name: &UnitName, enable: bool) -> Result<(), String> {
    let files = super::builtin::WithBuiltin(&loader.root, loader.level);
    let catalog = Catalog::new(&files, &loader.search, &super::SUFFIXES, &loader.context);
    let mut open = vec![name.clone()];
    let mut seen = Vec::new();
    while let Some(name) = open.pop() {
        if seen.contains(&name) {
            continue;
        }
        let loaded = catalog.load(&name);
        let unit = match loaded.outcome {
            Outcome::Unit(unit) => unit,
            Outcome::Masked => return Err(format!("{name} is masked")),
            Outcome::Missing => return Err(format!("{name}: no such unit")),
            Outcome::Broken => {
                return Err(loaded.diagnostics.0.first().map(ToString::to_string).unwrap_or_default());
            }
        };
        let target = loaded.paths.first().cloned().unwrap_or_default();
        for (link, to) in links(&unit, &target)? {
            let at = loader.root.join(&link);
            if enable {
                let parent = at.parent().unwrap_or(&at).to_owned();
                std::fs::create_dir_all(&parent).map_err(|e| format!("make {}: {e}", parent.display()))?;
                match symlink(&to, &at) {
                    Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                        return Err(format!("link {link}: {e}"));
                    }
                    Ok(()) | Err(_) => (),
                }
            } else if at.is_symlink() {
                std::fs::remove_file(&at).map_err(|e| format!("remove {link}: {e}"))?;
            }
        }
        open.extend(unit.install.also.iter().cloned());
        seen.push(name);
    }
    Ok(())
}

/// Each link and where it points.
fn links(unit: &Unit, path: &str) -> Result<Vec<(String, String)>, String> {
    let install = &unit.install;
    let name = match (&install.default_instance, unit.name.is_template()) {
        (Some(instance), true) => format!("{}@{instance}.{}", unit.name.prefix(), unit.name.suffix()),
        (None, true) => return Err(format!("{} is a template: name an instance of it", unit.name)),
        (_, false) => unit.name.to_string(),
    };
    let mut all = Vec::new();
    for (by, kind) in
        [(&install.wanted_by, "wants"), (&install.required_by, "requires"), (&install.upheld_by, "upholds")]
    {
        all.extend(by.iter().map(|target| (format!("{HERE}/{target}.{kind}/{name}"), path.to_owned())));
    }
    all.extend(install.alias.iter().map(|alias| (format!("{HERE}/{alias}"), path.to_owned())));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::Root;

    #[test]
    fn links_are_made_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        std::fs::create_dir_all(at("lib/systemd/system")).unwrap();
        let text =
            "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\nAlias=other.service\n";
        std::fs::write(at("lib/systemd/system/a.service"), text).unwrap();
        let loader = Loader::new(&Root::new(dir.path()), Default::default());
        let name = |n: &str| UnitName::parse(n).unwrap();
        let wants = at("etc/systemd/system/multi-user.target.wants/a.service");
        for _ in 0..2 {
            apply(&loader, &name("a.service"), true).unwrap();
            assert_eq!(std::fs::read_link(&wants).unwrap().to_str(), Some("/lib/systemd/system/a.service"));
            assert!(at("etc/systemd/system/other.service").is_symlink());
        }
        for _ in 0..2 {
            apply(&loader, &name("a.service"), false).unwrap();
            assert!(!wants.is_symlink() && !at("etc/systemd/system/other.service").is_symlink());
        }
        assert!(apply(&loader, &name("none.service"), true).is_err());
    }
}
