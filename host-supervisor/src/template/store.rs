//! store: the directory of all templates: names, what is known of each, and a place to make a new one. Looks at no
//! file inside a template but its os-release.
//!
//! A template is made in a directory `.new-NAME-…` that its maker holds locked, and renamed when it is whole. So a
//! name always stands for a whole template; what a killed maker left is not locked, and goes with the next one.
use super::tree::Tree;
use super::{Kind, TemplateError, TemplateInfo, io};
use crate::paths::Paths;
use crate::resolve::HOST_TEMPLATE;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const NEW: &str = ".new-";
const OLD: &str = ".old-";
const META: &str = ".meta";

/// What is kept of a template beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) created: u64,
    #[serde(default)]
    pub(super) description: String,
    /// What the host's template was made from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) stamp: String,
}

/// The names of the directories that are templates.
pub(super) fn names(paths: &Paths) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(paths.templates()) else { return BTreeSet::new() };
    entries
        .filter_map(Result::ok)
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|name| name == HOST_TEMPLATE || super::check_name(name).is_ok())
        .collect()
}

/// What is known of one; of a directory without record, what can be seen.
pub(super) fn info(paths: &Paths, name: String) -> TemplateInfo {
    let dir = paths.templates().join(&name);
    let kind = if name == HOST_TEMPLATE { Kind::Host } else { Kind::Placed };
    match meta(paths, &name) {
        Some(m) => TemplateInfo {
            kind: m.kind,
            size: m.size,
            created: Some(m.created),
            description: m.description,
            name,
        },
        None => TemplateInfo { kind, size: size(&dir), created: None, description: description(&dir), name },
    }
}

/// The record beside a template.
pub(super) fn meta(paths: &Paths, name: &str) -> Option<Meta> {
    serde_json::from_slice(&fs::read(meta_path(paths, name)).ok()?).ok()
}

fn meta_path(paths: &Paths, name: &str) -> PathBuf {
    paths.templates().join(META).join(format!("{name}.json"))
}

/// The templates' directory itself, made if there is none, closed to all but root, and locked until dropped.
fn locked(paths: &Paths) -> Result<File, TemplateError> {
    let dir = paths.templates();
    let make = || {
        DirBuilder::new().recursive(true).mode(0o755).create(dir.parent().unwrap_or(Path::new("/")))?;
        DirBuilder::new().recursive(true).mode(0o700).create(dir.join(META))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        File::open(&dir)
    };
    let file = make().map_err(|e| io("make the directory", &dir, e))?;
    flock(&file, FlockOperation::LockExclusive).map_err(|e| io("lock", &dir, e))?;
    Ok(file)
}

/// Removes a template: first its name, then its files.
pub(super) fn remove(paths: &Paths, name: &str) -> Result<(), TemplateError> {
    let lock = locked(paths)?;
    let dir = paths.templates().join(name);
    let doomed = paths.templates().join(format!("{NEW}{name}-removed"));
    fs::remove_dir_all(&doomed).or_else(missing_is_fine).map_err(|e| io("remove", &doomed, e))?;
    match fs::rename(&dir, &doomed) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(TemplateError::Missing(name.to_owned())),
        Err(e) => return Err(io("remove", dir, e)),
        Ok(()) => {}
    }
    fs::remove_file(meta_path(paths, name)).or_else(missing_is_fine).map_err(|e| io("remove", &dir, e))?;
    let held = hold(&doomed);
    drop(lock);
    // Held, so that another's cleaning does not get in its way.
    let result = fs::remove_dir_all(&doomed).map_err(|e| io("remove", &doomed, e));
    drop(held);
    result
}

fn missing_is_fine(e: std::io::Error) -> std::io::Result<()> {
    if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) }
}

/// A directory in which a template is being made; removed if it is dropped unfinished.
pub(super) struct Workshop {
    paths: Paths,
    name: String,
    dir: PathBuf,
    held: Option<File>,
}

impl Workshop {
    /// An empty directory for a template that is not there yet.
    pub(super) fn open(paths: &Paths, name: &str) -> Result<Workshop, TemplateError> {
        super::check_name(name)?;
        let workshop = Workshop::any(paths, name)?;
        match paths.templates().join(name).symlink_metadata() {
            Ok(_) => Err(TemplateError::Exists(name.to_owned())),
            Err(_) => Ok(workshop),
        }
    }

    /// An empty directory for a template that may be there already.
    pub(super) fn any(paths: &Paths, name: &str) -> Result<Workshop, TemplateError> {
        let lock = locked(paths)?;
        clean(&paths.templates());
        let dir = paths.templates().join(format!("{NEW}{name}-{}", std::process::id()));
        DirBuilder::new().mode(0o755).create(&dir).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => TemplateError::Exists(name.to_owned()),
            _ => io("make the directory", &dir, e),
        })?;
        let held = hold(&dir);
        drop(lock);
        Ok(Workshop { paths: paths.clone(), name: name.to_owned(), dir, held })
    }

    /// Where to put its files.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Gives the template its name; its files go to disk first.
    pub(super) fn finish(mut self, kind: Kind, size: u64) -> Result<(), TemplateError> {
        if let Some(held) = &self.held {
            rustix::fs::syncfs(held).map_err(|e| io("write to disk", &self.dir, e))?;
        }
        let _lock = locked(&self.paths)?;
        self.record(kind, size, String::new())?;
        let to = self.paths.templates().join(&self.name);
        match renameat_with(CWD, &self.dir, CWD, &to, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => return Err(TemplateError::Exists(self.name.clone())),
            Err(e) => return Err(io("rename to", to, e)),
            Ok(()) => self.held = None,
        }
        Ok(())
    }

    /// Puts it in the place of an earlier one, which containers may still have mounted: that is kept until the next
    /// boot under another name.
    pub(super) fn replace(mut self, kind: Kind, stamp: String) -> Result<(), TemplateError> {
        let _lock = locked(&self.paths)?;
        let to = self.paths.templates().join(&self.name);
        match renameat_with(CWD, &self.dir, CWD, &to, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                renameat_with(CWD, &self.dir, CWD, &to, RenameFlags::EXCHANGE)
                    .map_err(|e| io("rename to", &to, e))?;
                let old = free_name(&self.paths.templates(), &self.name);
                fs::rename(&self.dir, &old).map_err(|e| io("rename to", &old, e))?;
            }
            Err(e) => return Err(io("rename to", to, e)),
        }
        self.held = None;
        self.dir = to;
        self.record(kind, size(&self.dir), stamp)
    }

    fn record(&self, kind: Kind, size: u64, stamp: String) -> Result<(), TemplateError> {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
        let created = u64::try_from(created).unwrap_or(u64::MAX);
        let meta = Meta { kind, size, created, description: description(&self.dir), stamp };
        let to = meta_path(&self.paths, &self.name);
        let temp = to.with_extension("new");
        let text = serde_json::to_string(&meta).unwrap_or_default();
        fs::write(&temp, text).and_then(|()| fs::rename(&temp, &to)).map_err(|e| io("write", to, e))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if self.held.take().is_some() {
            drop(fs::remove_dir_all(&self.dir));
        }
    }
}

/// Opens and locks a directory; the lock ends with its holder, however that ends.
fn hold(dir: &Path) -> Option<File> {
    let file = File::open(dir).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// Removes what killed makers left, and what was replaced before this boot. A failure is the next one's work.
fn clean(templates: &Path) {
    let boot = format!("{OLD}{}-", boot());
    for entry in fs::read_dir(templates).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let stale = match () {
            () if name.starts_with(NEW) => hold(&entry.path()).is_some(),
            () if name.starts_with(OLD) => !name.starts_with(&boot),
            () => false,
        };
        if stale {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

fn free_name(templates: &Path, name: &str) -> PathBuf {
    let boot = boot();
    let mut names = (0_u32..).map(|n| templates.join(format!("{OLD}{boot}-{name}-{n}")));
    names.find(|p| p.symlink_metadata().is_err()).unwrap_or_else(|| templates.join(OLD))
}

/// The kernel's name for this boot; nothing mounted outlives it.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// PRETTY_NAME of the os-release inside.
fn description(dir: &Path) -> String {
    let read = |path| Tree::open(dir).ok().and_then(|t| t.read_in_root(path, 64 << 10).ok());
    let text = read("etc/os-release").or_else(|| read("usr/lib/os-release")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let name = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim_matches('"').chars().filter(|c| !c.is_control()).take(80).collect()
}

/// Bytes on disk below a directory; follows no link.
pub(super) fn size(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .filter_map(Result::ok)
        .filter_map(|e| e.metadata().ok().map(|m| (e, m)))
        .map(|(e, m)| m.blocks() * 512 + if m.is_dir() { size(&e.path()) } else { 0 })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_maker_left_goes_and_what_one_holds_stays() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        let working = Workshop::open(&paths, "busy").unwrap();
        let left = paths.templates().join(".new-left-1");
        fs::create_dir_all(left.join("usr")).unwrap();
        let other = Workshop::open(&paths, "other").unwrap();
        assert!(!left.exists() && working.dir().exists());
        drop(other);
        fs::write(working.dir().join("file"), "x").unwrap();
        working.finish(Kind::Imported, 1).unwrap();
        assert_eq!(names(&paths).into_iter().collect::<Vec<_>>(), ["busy"]);
        assert_eq!(meta(&paths, "busy").unwrap().size, 1);
        assert!(matches!(Workshop::open(&paths, "busy"), Err(TemplateError::Exists(_))));
        assert_eq!(fs::metadata(paths.templates()).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_replaced_template_is_kept_for_those_that_have_it_mounted() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(dir.path());
        for content in ["1", "2", "3"] {
            let w = Workshop::any(&paths, "host").unwrap();
            fs::write(w.dir().join("file"), content).unwrap();
            w.replace(Kind::Host, content.to_owned()).unwrap();
        }
        let read = |d: &str| fs::read_to_string(paths.templates().join(d).join("file")).unwrap();
        let old = |n: u32| format!(".old-{}-host-{n}", boot());
        assert_eq!([read("host"), read(&old(0)), read(&old(1))], ["3", "1", "2"]);
        assert_eq!(meta(&paths, "host").unwrap().stamp, "3");
        fs::rename(paths.templates().join(old(0)), paths.templates().join(".old-earlier-host-0")).unwrap();
        drop(Workshop::any(&paths, "host").unwrap());
        assert!(!paths.templates().join(".old-earlier-host-0").exists());
        assert_eq!(read(&old(1)), "2");
    }
}
