//! host: the built-in template `host`: a fresh, empty system around this machine's own /usr. Never takes a secret:
//! only what [`list`] names, of that only what everybody may read, and accounts without passwords.
//!
//! /usr itself is not in it; the supervisor overlays it when a container starts.
mod accounts;
mod list;

use super::store::{self, Workshop};
use super::tree::{Attributes, Failed, Inside, Tree};
use super::{Kind, TemplateError, io};
use crate::paths::{Paths, hash};
use crate::resolve::HOST_TEMPLATE;
use list::{DIRECTORIES, Item, LINKS, Take, USR};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Raised when what is made here changes, so that older skeletons are made again.
const FORMAT: u32 = 1;

/// A file of the host that is larger than this is no configuration.
const MAX_FILE: u64 = 4 << 20;

/// Makes the template `host` when it is missing or older than the files it came from; returns its directory.
///
/// # Errors
/// The machine has no merged /usr, or the templates' directory can't be written.
pub fn host_template(paths: &Paths) -> Result<PathBuf, TemplateError> {
    host_template_of(paths, Path::new("/"))
}

/// The same of a system below another directory.
///
/// # Errors
/// As [`host_template`].
pub fn host_template_of(paths: &Paths, host: &Path) -> Result<PathBuf, TemplateError> {
    let dir = paths.templates().join(HOST_TEMPLATE);
    let stamp = stamp(host);
    let fresh = |m: store::Meta| m.kind == Kind::Host && m.stamp == stamp;
    if dir.is_dir() && store::meta(paths, HOST_TEMPLATE).is_some_and(fresh) {
        return Ok(dir);
    }
    let workshop = Workshop::any(paths, HOST_TEMPLATE)?;
    let from = Host::open(host).map_err(|e| io("open", host, e))?;
    let tree = Tree::open(workshop.dir()).map_err(|e| io("open", workshop.dir(), e))?;
    let mut skeleton = Skeleton { from, tree, made: BTreeSet::new() };
    skeleton.all()?;
    workshop.replace(Kind::Host, stamp)?;
    Ok(dir)
}

/// Changes when a file that it is made of is replaced or written.
fn stamp(host: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let of = |path: &str| match host.join(path).symlink_metadata() {
        Ok(m) => format!("{path} {} {} {} {}\n", m.ino(), m.size(), m.mtime(), m.mtime_nsec()),
        Err(_) => format!("{path} none\n"),
    };
    let paths = list::ITEMS.iter().map(|i| i.path).chain(["etc/passwd", "etc/group"]).chain(USR);
    let text: String = paths.map(of).collect();
    format!("{FORMAT}-{:08x}-{}", hash(text.as_bytes()), text.len())
}

/// The system that is copied from: nothing in it is opened through a link.
struct Host {
    top: OwnedFd,
    /// Who owns /etc: root. Files of others are not the system's.
    owner: u32,
}

impl Host {
    fn open(dir: &Path) -> Result<Host, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut host =
            Host { top: rustix::fs::openat(rustix::fs::CWD, dir, flags, Mode::empty())?, owner: 0 };
        host.owner = host.stat("etc")?.st_uid;
        Ok(host)
    }

    fn look(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        // O_PATH with O_NOFOLLOW opens a link itself, which NO_SYMLINKS allows at the end of the path.
        rustix::fs::openat2(
            &self.top,
            path,
            flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::empty(),
            resolve,
        )
    }

    fn stat(&self, path: &str) -> Result<Stat, Errno> {
        rustix::fs::fstat(self.look(path, OFlags::PATH)?)
    }

    fn link(&self, path: &str) -> Option<String> {
        let fd = self.look(path, OFlags::PATH).ok()?;
        rustix::fs::readlinkat(fd, "", Vec::new()).ok()?.into_string().ok()
    }

    /// A file that everybody may read anyway, and that holds no key.
    fn read(&self, path: &str) -> Option<(Vec<u8>, Stat)> {
        let file = File::from(self.look(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).ok()?);
        let stat = rustix::fs::fstat(&file).ok()?;
        let plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !plain || stat.st_mode & 0o004 == 0 || stat.st_uid != self.owner {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).ok()?;
        let key = bytes.windows(11).any(|w| w == b"PRIVATE KEY");
        (!key && bytes.len() as u64 <= MAX_FILE).then_some((bytes, stat))
    }

    /// The names in a directory that everybody may read, sorted.
    fn names(&self, path: &str) -> Vec<String> {
        let Ok(fd) = self.look(path, OFlags::RDONLY | OFlags::DIRECTORY) else { return Vec::new() };
        let open = rustix::fs::fstat(&fd).is_ok_and(|s| s.st_mode & 0o005 == 0o005 && s.st_uid == self.owner);
        let entries = open.then(|| rustix::fs::Dir::new(fd).ok()).flatten();
        let mut names: Vec<String> = entries
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .filter_map(|e| e.file_name().to_str().ok().map(str::to_owned))
            .filter(|n| n != "." && n != "..")
            .collect();
        names.sort_unstable();
        names
    }
}

struct Skeleton {
    from: Host,
    tree: Tree,
    made: BTreeSet<String>,
}

impl Skeleton {
    fn all(&mut self) -> Result<(), TemplateError> {
        self.directory("", 0o755)?;
        for (path, mode) in DIRECTORIES {
            self.directory(path, mode)?;
        }
        for (path, to) in LINKS {
            self.link(path, to)?;
        }
        for path in USR {
            self.merged(path)?;
        }
        for item in list::ITEMS {
            self.item(item)?;
        }
        self.accounts()?;
        for (path, content) in list::MADE {
            self.file(path, content.as_bytes(), 0o644)?;
        }
        self.tree.finish().map_err(|(path, e)| e.about(&path))
    }

    fn merged(&mut self, path: &str) -> Result<(), TemplateError> {
        match self.from.stat(path) {
            Err(_) => Ok(()),
            Ok(_) => match self.from.link(path) {
                Some(to) if to.trim_start_matches('/').starts_with("usr/") => self.link(path, &to),
                _ => Err(TemplateError::NotMerged(path.to_owned())),
            },
        }
    }

    fn item(&mut self, item: &Item) -> Result<(), TemplateError> {
        match item.take {
            Take::One => self.copy(item.path),
            Take::All => self.copy_all(item.path, 0),
            Take::Authorities => self.authorities(item.path),
        }
    }

    /// One file or link. What is missing, or is not everybody's to read, is left out.
    fn copy(&mut self, path: &str) -> Result<(), TemplateError> {
        if let Some(to) = self.from.link(path) {
            return if public(&to) { self.link(path, &to) } else { Ok(()) };
        }
        match self.from.read(path) {
            Some((bytes, stat)) => self.file(path, &bytes, stat.st_mode & 0o755),
            None => Ok(()),
        }
    }

    fn copy_all(&mut self, path: &str, depth: u32) -> Result<(), TemplateError> {
        const DEPTH: u32 = 8;
        let is_dir = |s: Stat| FileType::from_raw_mode(s.st_mode) == FileType::Directory;
        if depth > DEPTH || !self.from.stat(path).is_ok_and(is_dir) {
            return self.copy(path);
        }
        self.directory(path, 0o755)?;
        for name in self.from.names(path) {
            self.copy_all(&format!("{path}/{name}"), depth + 1)?;
        }
        Ok(())
    }

    /// Certificates of public authorities: the bundle, links to packaged ones, and links by hash to those.
    fn authorities(&mut self, path: &str) -> Result<(), TemplateError> {
        self.directory(path, 0o755)?;
        self.copy(&format!("{path}/ca-certificates.crt"))?;
        let links: Vec<(String, String)> = self
            .from
            .names(path)
            .into_iter()
            .filter_map(|name| self.from.link(&format!("{path}/{name}")).map(|to| (name, to)))
            .collect();
        let packaged = |to: &str| to.starts_with("/usr/share/ca-certificates/") && !to.contains("/../");
        for (name, to) in links.iter().filter(|(_, to)| packaged(to)) {
            self.link(&format!("{path}/{name}"), to)?;
        }
        for (name, to) in links.iter().filter(|(_, to)| !to.contains('/')) {
            if self.made.contains(&format!("{path}/{to}")) {
                self.link(&format!("{path}/{name}"), to)?;
            }
        }
        Ok(())
    }

    fn accounts(&mut self) -> Result<(), TemplateError> {
        let text = |path| {
            let bytes = self.from.read(path).map(|(bytes, _)| bytes).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let made = accounts::of(&text("etc/passwd"), &text("etc/group"));
        self.file("etc/passwd", made.passwd.as_bytes(), 0o644)?;
        self.file("etc/group", made.group.as_bytes(), 0o644)?;
        self.file("etc/shadow", made.shadow.as_bytes(), 0o600)?;
        self.file("etc/gshadow", made.gshadow.as_bytes(), 0o600)
    }

    fn directory(&mut self, path: &str, mode: u32) -> Result<(), TemplateError> {
        let made = |s: &mut Skeleton, inside| s.tree.make_directory(inside, attributes(mode));
        self.make(path, made)
    }

    fn file(&mut self, path: &str, content: &[u8], mode: u32) -> Result<(), TemplateError> {
        self.make(path, |s, inside| {
            s.tree.make_file(&inside, &attributes(mode), &mut &content[..], false).map(drop)
        })
    }

    fn link(&mut self, path: &str, to: &str) -> Result<(), TemplateError> {
        self.make(path, |s, inside| s.tree.make_link(&inside, to.as_bytes(), &attributes(0o777)))
    }

    fn make(
        &mut self,
        path: &str,
        how: impl FnOnce(&mut Skeleton, Inside) -> Result<(), Failed>,
    ) -> Result<(), TemplateError> {
        let inside = Inside::parse(path.as_bytes()).map_err(Failed::Rule);
        inside.and_then(|inside| how(self, inside)).map_err(|e| e.about(path.as_bytes()))?;
        self.made.insert(path.to_owned());
        Ok(())
    }
}

/// Where a copied link may point: nothing of a user, nothing of the machine's state.
fn public(to: &str) -> bool {
    let climbs_out = to.split('/').filter(|p| *p == "..").count() > 3;
    let known = ["/usr/", "/etc/", "/bin/", "/sbin/", "/lib/", "/run/", "/dev/null"];
    !climbs_out && (!to.starts_with('/') || known.iter().any(|k| to.starts_with(k)))
}

fn attributes(mode: u32) -> Attributes {
    // Those who aren't root make a skeleton for tests alone.
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Attributes { uid, gid, mode, mtime: i64::try_from(now).unwrap_or(0), ..Attributes::default() }
}

#[cfg(test)]
mod tests;
