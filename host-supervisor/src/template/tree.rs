//! tree: makes files below one directory, whatever is there already. Never follows a symbolic link on the way.
use super::{TemplateError, Why};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const BELOW: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
const DIR: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A path below the top: no leading slash, no `.`, no `..`. Empty: the top itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inside(Vec<u8>);

impl Inside {
    /// From outside data.
    pub(super) fn parse(path: &[u8]) -> Result<Inside, Why> {
        if path.first() == Some(&b'/') {
            return Err(Why::Absolute);
        }
        if path.contains(&0) {
            return Err(Why::Zero);
        }
        let parts: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").collect();
        match parts.contains(&&b".."[..]) {
            true => Err(Why::Climbs),
            false => Ok(Inside(parts.join(&b'/'))),
        }
    }

    /// Whether it is the top itself.
    pub(super) fn is_top(&self) -> bool {
        self.0.is_empty()
    }

    fn split(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(at) => (self.0.get(..at).unwrap_or_default(), self.0.get(at + 1..).unwrap_or_default()),
            None => (&[], &self.0),
        }
    }
}

/// Who owns a file, and what it may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Permission bits with set-user-id, set-group-id and sticky.
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) mtime: i64,
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
}

/// What went wrong: a rule, or the kernel said no.
#[derive(Debug)]
pub(super) enum Failed {
    Rule(Why),
    Kernel(&'static str, io::Error),
}

impl Failed {
    /// As an error about an entry.
    pub(super) fn about(self, entry: &[u8]) -> TemplateError {
        let entry = String::from_utf8_lossy(entry).into_owned();
        match self {
            Failed::Rule(why) => TemplateError::Entry { entry, why },
            Failed::Kernel(what, cause) => TemplateError::Unpack { entry, what, cause },
        }
    }
}

fn kernel(what: &'static str) -> impl Fn(Errno) -> Failed {
    move |e| match e {
        Errno::LOOP | Errno::NOTDIR | Errno::XDEV => Failed::Rule(Why::ThroughLink),
        e => Failed::Kernel(what, e.into()),
    }
}

/// A directory, and the last parent that was looked up below it.
pub(super) struct Tree {
    top: OwnedFd,
    parent: Option<(Vec<u8>, OwnedFd)>,
    directories: Vec<(Inside, Attributes)>,
}

impl Tree {
    /// A directory that is there.
    pub(super) fn open(dir: &Path) -> io::Result<Tree> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::openat(CWD, dir, flags, Mode::empty())?;
        Ok(Tree { top, parent: None, directories: Vec::new() })
    }

    /// The top.
    pub(super) fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    fn directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { &b"."[..] } else { path };
        rustix::fs::openat2(&self.top, path, DIR, Mode::empty(), BELOW)
    }

    /// The directory that holds `path`, made where it is missing, and the name in it.
    fn parent<'a>(&mut self, path: &'a Inside) -> Result<(BorrowedFd<'_>, &'a [u8]), Failed> {
        let (dir, name) = path.split();
        if self.parent.as_ref().is_none_or(|(known, _)| known != dir) {
            let fd = match self.directory(dir) {
                Err(Errno::NOENT) => self.make_parents(dir),
                other => other,
            };
            self.parent = Some((dir.to_vec(), fd.map_err(kernel("open its directory"))?));
        }
        match &self.parent {
            Some((_, fd)) => Ok((fd.as_fd(), name)),
            None => Err(kernel("open its directory")(Errno::NOENT)),
        }
    }

    fn make_parents(&self, dir: &[u8]) -> Result<OwnedFd, Errno> {
        let mut at = self.directory(b"")?;
        for part in dir.split(|b| *b == b'/') {
            match rustix::fs::mkdirat(&at, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e),
            }
            at = rustix::fs::openat2(&at, part, DIR, Mode::empty(), BELOW)?;
        }
        Ok(at)
    }

    /// Makes way for a new entry: an earlier file of that name goes, a directory stays and is an error.
    fn clear(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Failed> {
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Err(Failed::Rule(Why::OverDirectory)),
            Err(e) => Err(kernel("replace the earlier one")(e)),
        }
    }

    /// A directory; its owner, mode and time are set by [`Tree::finish`], as making files in it changes its time.
    pub(super) fn make_directory(&mut self, path: Inside, mut attributes: Attributes) -> Result<(), Failed> {
        if !path.is_top() {
            let (dir, name) = self.parent(&path)?;
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
            let is_dir = stat.is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
            if !is_dir {
                Tree::clear(dir, name)?;
                rustix::fs::mkdirat(dir, name, Mode::RWXU).map_err(kernel("make the directory"))?;
            }
        }
        // Not kept until the end: they may be large, and many.
        let xattrs = std::mem::take(&mut attributes.xattrs);
        if !xattrs.is_empty() {
            set_xattrs(self.reopen(&path)?.as_fd(), &xattrs)?;
        }
        self.directories.push((path, attributes));
        Ok(())
    }

    fn reopen(&self, directory: &Inside) -> Result<OwnedFd, Failed> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let at = if directory.is_top() { &b"."[..] } else { &directory.0 };
        rustix::fs::openat2(&self.top, at, flags, Mode::empty(), BELOW).map_err(kernel("open it"))
    }

    /// A regular file of `size` bytes; runs of zeros become holes in a sparse one.
    pub(super) fn make_file(
        &mut self,
        path: &Inside,
        attributes: &Attributes,
        from: &mut dyn Read,
        sparse: bool,
    ) -> Result<u64, Failed> {
        let (dir, name) = self.parent(path)?;
        Tree::clear(dir, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))
            .map_err(kernel("make the file"))?;
        let mut file = File::from(fd);
        let size = copy(from, &mut file, sparse)?;
        set(file.as_fd(), attributes)?;
        Ok(size)
    }

    /// A symbolic link, which may point anywhere: nothing here follows it.
    pub(super) fn make_link(
        &mut self,
        path: &Inside,
        to: &[u8],
        attributes: &Attributes,
    ) -> Result<(), Failed> {
        let (dir, name) = self.parent(path)?;
        Tree::clear(dir, name)?;
        rustix::fs::symlinkat(to, dir, name).map_err(kernel("make the symbolic link"))?;
        own_and_date(dir, name, attributes)
    }

    /// A named pipe.
    pub(super) fn make_pipe(&mut self, path: &Inside, attributes: &Attributes) -> Result<(), Failed> {
        let (dir, name) = self.parent(path)?;
        Tree::clear(dir, name)?;
        let mode = Mode::from_raw_mode(attributes.mode & 0o777);
        rustix::fs::mkfifoat(dir, name, mode).map_err(kernel("make the named pipe"))?;
        own_and_date(dir, name, attributes)?;
        rustix::fs::chmodat(dir, name, mode, AtFlags::empty()).map_err(kernel("set its mode"))
    }

    /// Another name for a file that was made before.
    pub(super) fn make_hard_link(&mut self, path: &Inside, to: &Inside) -> Result<(), Failed> {
        if path == to {
            return Ok(());
        }
        let (old_dir, old_name) = to.split();
        let old = self.directory(old_dir).map_err(|e| match e {
            Errno::NOENT => Failed::Rule(Why::LinkOut),
            e => kernel("open the directory of what it links to")(e),
        })?;
        let (dir, name) = self.parent(path)?;
        Tree::clear(dir, name)?;
        rustix::fs::linkat(&old, old_name, dir, name, AtFlags::empty()).map_err(|e| match e {
            Errno::NOENT => Failed::Rule(Why::LinkOut),
            e => kernel("make the hard link")(e),
        })
    }

    /// Gives the directories what belongs to them, the innermost first.
    pub(super) fn finish(&mut self) -> Result<(), (Vec<u8>, Failed)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for (path, attributes) in std::mem::take(&mut self.directories).into_iter().rev() {
            let at = if path.is_top() { &b"."[..] } else { &path.0 };
            let fd =
                rustix::fs::openat2(&self.top, at, flags, Mode::empty(), BELOW).map_err(kernel("open it"));
            fd.and_then(|fd| set(fd.as_fd(), &attributes)).map_err(|e| (path.0.clone(), e))?;
        }
        Ok(())
    }

    /// A regular file's bytes, links resolved as the container would; at most `max`.
    pub(super) fn read_in_root(&self, path: &str, max: u64) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = File::from(rustix::fs::openat2(&self.top, path, flags, Mode::empty(), resolve)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let mut bytes = Vec::new();
        file.take(max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Owner before mode, as chown clears set-user-id; attributes between them, as chown clears capabilities too.
fn set(fd: BorrowedFd<'_>, a: &Attributes) -> Result<(), Failed> {
    rustix::fs::fchown(fd, Some(Uid::from_raw(a.uid)), Some(Gid::from_raw(a.gid)))
        .map_err(kernel("set its owner"))?;
    set_xattrs(fd, &a.xattrs)?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(a.mode & 0o7777)).map_err(kernel("set its mode"))?;
    rustix::fs::futimens(fd, &times(a)).map_err(kernel("set its time"))
}

fn set_xattrs(fd: BorrowedFd<'_>, xattrs: &[(String, Vec<u8>)]) -> Result<(), Failed> {
    xattrs.iter().try_for_each(|(name, value)| {
        rustix::fs::fsetxattr(fd, name.as_str(), value, XattrFlags::empty())
            .map_err(kernel("set its extended attributes"))
    })
}

fn own_and_date(dir: BorrowedFd<'_>, name: &[u8], a: &Attributes) -> Result<(), Failed> {
    let (uid, gid) = (Uid::from_raw(a.uid), Gid::from_raw(a.gid));
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(kernel("set its owner"))?;
    rustix::fs::utimensat(dir, name, &times(a), AtFlags::SYMLINK_NOFOLLOW).map_err(kernel("set its time"))
}

fn times(a: &Attributes) -> Timestamps {
    let at = Timespec { tv_sec: a.mtime, tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}

fn copy(from: &mut dyn Read, to: &mut File, sparse: bool) -> Result<u64, Failed> {
    let mut buffer = vec![0_u8; 64 << 10];
    let mut size = 0_u64;
    loop {
        let n = match from.read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Failed::Kernel("read its content", e)),
            Ok(0) => break,
            Ok(n) => n,
        };
        let part = buffer.get(..n).unwrap_or_default();
        let written = match sparse && part.iter().all(|b| *b == 0) {
            true => to.seek(SeekFrom::Current(n as i64)).map(drop),
            false => to.write_all(part),
        };
        written.map_err(|e| Failed::Kernel("write its content", e))?;
        size += n as u64;
    }
    if sparse {
        to.set_len(size).map_err(|e| Failed::Kernel("write its content", e))?;
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_from_outside_stay_inside() {
        for (path, expect) in [
            ("usr/bin/env", Ok("usr/bin/env")),
            ("./usr//bin/./env", Ok("usr/bin/env")),
            ("./", Ok("")),
            ("dir/", Ok("dir")),
            ("..a/b..", Ok("..a/b..")),
            ("/etc/passwd", Err(Why::Absolute)),
            ("../etc", Err(Why::Climbs)),
            ("a/../../etc", Err(Why::Climbs)),
            ("a/..", Err(Why::Climbs)),
            ("a\0b", Err(Why::Zero)),
        ] {
            let found = Inside::parse(path.as_bytes());
            assert_eq!(found, expect.map(|p| Inside(p.as_bytes().to_vec())), "{path:?}");
        }
    }

    #[test]
    fn no_entry_goes_through_a_link_or_over_a_directory() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let me = Attributes {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            mode: 0o644,
            ..Attributes::default()
        };
        let mut tree = Tree::open(dir.path()).unwrap();
        let at = |p: &str| Inside::parse(p.as_bytes()).unwrap();
        let to = outside.path().as_os_str().as_encoded_bytes();
        tree.make_link(&at("out"), to, &me).unwrap();
        tree.make_directory(at("dir"), me.clone()).unwrap();
        let mut file = |p: &str| tree.make_file(&at(p), &me, &mut &b"x"[..], false);
        assert!(matches!(file("out/file"), Err(Failed::Rule(Why::ThroughLink))));
        assert!(matches!(file("out/deep/file"), Err(Failed::Rule(Why::ThroughLink))));
        assert!(matches!(file("dir"), Err(Failed::Rule(Why::OverDirectory))));
        assert_eq!(file("new/deep/file").unwrap(), 1);
        // A file in the place of the link replaces the link, not what it points to.
        assert_eq!(file("out").unwrap(), 1);
        assert!(dir.path().join("out").symlink_metadata().unwrap().is_file());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
