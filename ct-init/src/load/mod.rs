//! load: what units there are and whether they may start. Only reads.
pub mod builtin;
pub mod check;
pub mod glob;
pub mod install;

use crate::host::Level;
use crate::root::Root;
use builtin::{WithBuiltin, out_of_place};
use std::collections::{BTreeMap, BTreeSet};
use units::UnitName;
use units::catalog::{Catalog, Outcome};
use units::graph::Absent;
use units::parse::specifier::Context;
use units::schema::{Body, Unit};

/// Where unit files are looked for, in order; then the built-in targets.
pub const SEARCH: [&str; 11] = [
    "/etc/ct/system",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/local/lib/ct/system",
    "/usr/lib/ct/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
];

const SUFFIXES: [&str; 5] = ["service", "target", "socket", "timer", "path"];
/// On a host file systems are units too.
const HOST_SUFFIXES: [&str; 7] = ["service", "target", "socket", "timer", "path", "mount", "swap"];

/// Finds units below a root.
#[derive(Debug)]
pub struct Loader {
    root: Root,
    level: Level,
    search: Vec<String>,
    context: Context,
}

/// What loading some units has brought.
#[derive(Debug, Default)]
pub struct Haul {
    /// Usable ones.
    pub units: Vec<Unit>,
    /// Other names, and whose they are.
    pub aliases: BTreeMap<UnitName, UnitName>,
    /// Those that can't be started, and why.
    pub absent: BTreeMap<UnitName, Absent>,
    /// Units that have no place here: those that pull them in go without.
    pub foreign: BTreeSet<UnitName>,
    /// Mistakes in files and directives without effect, each a line.
    pub notices: Vec<String>,
}

impl Loader {
    /// Below this root. What specifiers stand for is read once.
    pub fn new(root: &Root, level: Level) -> Loader {
        let mut search: Vec<String> = SEARCH.iter().map(|s| (*s).to_owned()).collect();
        // On a merged /usr both are one directory; listing it once is enough.
        let same = |a: &str, b: &str| match (root.stat(a), root.stat(b)) {
            (Some(a), Some(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
            (_, _) => false,
        };
        if same("/lib/systemd/system", "/usr/lib/systemd/system") {
            search.retain(|dir| dir != "/lib/systemd/system");
        }
        search.push(builtin::DIRECTORY.to_owned());
        Loader { root: root.clone(), level, search, context: context(root) }
    }

    /// Loads units and all that they pull in, except those in `known`.
    pub fn load(&self, asked: &[UnitName], known: &BTreeSet<UnitName>) -> Haul {
        let files = WithBuiltin(&self.root, self.level);
        let suffixes: &[&str] = match self.level {
            Level::Container => &SUFFIXES,
            Level::Host => &HOST_SUFFIXES,
        };
        let catalog = Catalog::new(&files, &self.search, suffixes, &self.context);
        let mut haul = Haul::default();
        let mut seen = known.clone();
        let mut open: Vec<UnitName> = asked.to_vec();
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            if let Some(why) = self.foreign(&name) {
                haul.absent.insert(name, Absent::Broken(why.to_owned()));
                continue;
            }
            let loaded = catalog.load(&name);
            haul.notices.extend(loaded.diagnostics.0.iter().map(ToString::to_string));
            if loaded.name != name {
                haul.aliases.insert(name.clone(), loaded.name.clone());
                if !seen.insert(loaded.name.clone()) {
                    continue;
                }
            }
            match loaded.outcome {
                Outcome::Unit(mut unit) => {
                    self.leave_out_foreign(&mut unit, &mut haul.foreign);
                    open.extend(pulled_in(&unit).cloned());
                    // What a target's file says beside its dependencies is about systemd's own work.
                    let applies = unit.body != Body::Target;
                    haul.notices.extend(unit.not_applied.iter().filter(|_| applies).map(|n| {
                        format!("{}:{}: {}={} is not applied here", unit.path, n.line, n.key, n.value)
                    }));
                    haul.units.push(*unit);
                }
                Outcome::Masked => {
                    haul.absent.insert(loaded.name, Absent::Masked);
                }
                Outcome::Missing => {
                    haul.absent.insert(loaded.name, Absent::Missing);
                }
                Outcome::Broken => {
                    let first = loaded.diagnostics.0.first().map(ToString::to_string).unwrap_or_default();
                    haul.absent.insert(loaded.name, Absent::Broken(first));
                }
            }
        }
        haul
    }

    fn leave_out_foreign(&self, unit: &mut Unit, foreign: &mut BTreeSet<UnitName>) {
        let section = &mut unit.unit;
        for list in [&mut section.requires, &mut section.wants, &mut section.binds_to, &mut section.requisite]
        {
            list.retain(|name| {
                let keep = self.foreign(name).is_none();
                if !keep {
                    foreign.insert(name.clone());
                }
                keep
            });
        }
    }

    /// Why it is skipped here, unless the administrator has put it into /etc/ct/system.
    fn foreign(&self, name: &UnitName) -> Option<&'static str> {
        let wanted = SEARCH.first().is_some_and(|dir| self.root.exists(&format!("{dir}/{name}")));
        out_of_place(name.as_str(), self.level).filter(|_| !wanted)
    }
}

/// A unit without a file: all that is left of one that runs and whose file is gone.
pub fn bare(name: &UnitName) -> Unit {
    let body = match name.as_str().rsplit_once('.') {
        Some((_, "service")) => Body::Service(Box::default()),
        Some((_, "target")) => Body::Target,
        Some(_) | None => Body::Passive,
    };
    Unit {
        name: name.clone(),
        path: String::new(),
        unit: units::schema::UnitSection::default(),
        body,
        install: units::schema::Install::default(),
        not_applied: Vec::new(),
    }
}

fn pulled_in(unit: &Unit) -> impl Iterator<Item = &UnitName> {
    let u = &unit.unit;
    u.requires
        .iter()
        .chain(&u.wants)
        .chain(&u.binds_to)
        .chain(&u.requisite)
        .chain(&u.on_failure)
        .chain(&u.on_success)
}

fn context(root: &Root) -> Context {
    let line = |path: &str| {
        let text = root.read(path).ok()?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let release =
        root.read("/etc/os-release").or_else(|_| root.read("/usr/lib/os-release")).unwrap_or_default();
    let release = units::parse::environment::parse(&release).pairs;
    let of_release = |key: &str| release.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    let uname = rustix::system::uname();
    Context {
        hostname: Some(uname.nodename().to_string_lossy().into_owned()),
        machine_id: line("/etc/machine-id"),
        boot_id: line("/proc/sys/kernel/random/boot_id").map(|id| id.replace('-', "")),
        kernel_release: Some(uname.release().to_string_lossy().into_owned()),
        architecture: Some(check::architecture(&uname.machine().to_string_lossy()).to_owned()),
        os_id: of_release("ID"),
        os_version_id: of_release("VERSION_ID"),
        ..Context::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &tempfile::TempDir, path: &str, text: &str) {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn what_the_default_target_pulls_in_is_loaded_and_broken_units_are_named() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir, "etc/systemd/system/a.service", "[Service]\nExecStart=/bin/true\nProtectSystem=full\n");
        write(&dir, "etc/systemd/system/b.service", "[Service]\nType=simple\n");
        write(&dir, "etc/systemd/system/unused.service", "[Service]\nExecStart=/bin/true\n");
        let wants = dir.path().join("etc/systemd/system/multi-user.target.wants");
        std::fs::create_dir(&wants).unwrap();
        for name in ["a.service", "b.service", "gone.service", "systemd-udevd.service"] {
            std::os::unix::fs::symlink(format!("../{name}"), wants.join(name)).unwrap();
        }
        let loader = Loader::new(&Root::new(dir.path()), Level::Container);
        let name = |n: &str| UnitName::parse(n).unwrap();
        let haul = loader.load(&[name("default.target")], &BTreeSet::new());
        let have: BTreeSet<&str> = haul.units.iter().map(|u| u.name.as_str()).collect();
        assert!(
            have.contains("a.service")
                && have.contains("multi-user.target")
                && have.contains("sysinit.target")
        );
        assert!(!have.contains("unused.service") && !have.contains("b.service"));
        assert_eq!(haul.aliases.get(&name("default.target")), Some(&name("multi-user.target")));
        assert_eq!(haul.absent.get(&name("gone.service")), Some(&Absent::Missing));
        assert!(matches!(haul.absent.get(&name("b.service")), Some(Absent::Broken(_))));
        assert_eq!(haul.foreign.iter().map(UnitName::as_str).collect::<Vec<_>>(), ["systemd-udevd.service"]);
        assert!(
            haul.notices.iter().any(|n| n.contains("ProtectSystem=full is not applied")),
            "{:?}",
            haul.notices
        );
    }
}
