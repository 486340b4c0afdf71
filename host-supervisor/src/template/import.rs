//! import: an archive becomes a template. Trusts nothing in it: every path is made below the template's directory,
//! through no link, and no device is made.
use super::store::Workshop;
use super::tree::{Attributes, Failed, Inside, Tree};
use super::{Kind, TemplateError, Why, archive, io};
use crate::paths::Paths;
use std::io::{ErrorKind, Read};
use std::path::Path;
use tar::{Entry, EntryType};

/// What one entry's headers may take: long names, extended attributes.
const HEADERS: u64 = 2 << 20;

/// More entries than any system has: what is remembered of each would fill the memory.
const MAX_ENTRIES: u64 = 4_000_000;

/// What stays free on the file system, in bytes.
const RESERVE: u64 = 16 << 20;

/// What came out of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Entries that became files, directories and links.
    pub entries: u64,
    /// Bytes in regular files.
    pub bytes: u64,
    /// Device nodes that were left out; a container gets its devices from its unit.
    pub devices: u64,
    /// Extended attributes that were left out: only `user.*` and file capabilities are kept.
    pub attributes: u64,
    /// Entries of kinds that are not known, left out.
    pub unknown: u64,
}

impl Imported {
    /// What was left out, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let note = |n: u64, what: &str| (n > 0).then(|| format!("{n} {what} left out"));
        [
            note(self.devices, "device nodes"),
            note(self.attributes, "extended attributes"),
            note(self.unknown, "entries of unknown kind"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Makes the template `name` of an archive: tar, plain or packed with gzip, zstd or xz, whatever its name says.
///
/// `progress` is told how many bytes of the file are done, and how many there are.
///
/// # Errors
/// The first entry that breaks a rule, and what the kernel refuses. Then no template of that name is there.
pub fn import(
    paths: &Paths,
    name: &str,
    file: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Imported, TemplateError> {
    super::check_name(name)?;
    let (reader, meter, file) = archive::open(file)?;
    let workshop = Workshop::open(paths, name)?;
    let tree = Tree::open(workshop.dir()).map_err(|e| io("open", workshop.dir(), e))?;
    let free = free(&tree).map_err(|e| io("look for free space on", workshop.dir(), e))?;
    let mut import = Import { file: &file, tree, free, left: free, meter, done: Imported::default() };
    import.all(reader, workshop.dir(), progress)?;
    let done = import.done;
    workshop.finish(Kind::Imported, done.bytes)?;
    Ok(done)
}

fn free(tree: &Tree) -> Result<u64, rustix::io::Errno> {
    let stat = rustix::fs::fstatvfs(tree.top())?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize).saturating_sub(RESERVE))
}

struct Import<'a> {
    file: &'a Path,
    tree: Tree,
    free: u64,
    left: u64,
    meter: archive::Meter,
    done: Imported,
}

impl Import<'_> {
    fn all(
        &mut self,
        reader: Box<dyn Read>,
        dir: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), TemplateError> {
        let mut archive = tar::Archive::new(reader);
        let mut entries = archive.entries().map_err(|e| self.unreadable(e))?;
        let mut told = 0;
        loop {
            // All of the entry before has been read, so that this much is headers.
            self.meter.allowance.set(HEADERS);
            let Some(entry) = entries.next() else { break };
            let mut entry = entry.map_err(|e| self.unreadable(e))?;
            self.meter.allowance.set(u64::MAX);
            self.one(&mut entry, dir)?;
            std::io::copy(&mut entry, &mut std::io::sink()).map_err(|e| self.unreadable(e))?;
            let packed = self.meter.packed.get();
            if packed - told >= 1 << 20 {
                told = packed;
                progress(packed, self.meter.total);
            }
        }
        if self.done == Imported::default() {
            return Err(TemplateError::Empty(self.file.to_owned()));
        }
        // An archive ends with two blocks of zeros, not with its file.
        if self.meter.ended.get() {
            return Err(TemplateError::Truncated(self.file.to_owned()));
        }
        self.meter.allowance.set(u64::MAX);
        std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(|e| self.unreadable(e))?;
        self.tree.finish().map_err(|(path, e)| e.about(&path))?;
        progress(self.meter.total, self.meter.total);
        Ok(())
    }

    fn unreadable(&self, e: std::io::Error) -> TemplateError {
        let file = self.file.to_owned();
        match e.kind() {
            ErrorKind::UnexpectedEof => TemplateError::Truncated(file),
            ErrorKind::FileTooLarge => TemplateError::Entry { entry: "?".into(), why: Why::Header },
            _ if self.meter.ended.get() => TemplateError::Truncated(file),
            _ if self.done == Imported::default() => TemplateError::NotAnArchive(file),
            _ => TemplateError::Archive(file, e),
        }
    }

    fn one(&mut self, entry: &mut Entry<'_, Box<dyn Read>>, dir: &Path) -> Result<(), TemplateError> {
        let raw = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let about = |e: Failed| e.about(&raw);
        if self.done.entries >= MAX_ENTRIES {
            return Err(about(Failed::Rule(Why::TooMany)));
        }
        let path = Inside::parse(&raw).map_err(|e| about(Failed::Rule(e)))?;
        let attributes = self.attributes(entry).map_err(about)?;
        let link = entry.link_name_bytes().unwrap_or_default().into_owned();
        match kind {
            _ if path.is_top() => self.tree.make_directory(path, attributes).map_err(about)?,
            EntryType::Directory => self.tree.make_directory(path, attributes).map_err(about)?,
            // How tar of 1979 wrote a directory.
            EntryType::Regular if raw.ends_with(b"/") => {
                self.tree.make_directory(path, attributes).map_err(about)?;
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.reserve(entry.size(), &raw, dir)?;
                let (sparse, wanted) = (kind == EntryType::GNUSparse, entry.size());
                let size = self.tree.make_file(&path, &attributes, entry, sparse);
                let size = size.map_err(|e| self.broken_off(e, &raw))?;
                if size < wanted {
                    return Err(TemplateError::Truncated(self.file.to_owned()));
                }
                self.done.bytes += size;
            }
            EntryType::Symlink => self.tree.make_link(&path, &link, &attributes).map_err(about)?,
            EntryType::Link => {
                let to = Inside::parse(&link).map_err(|_| about(Failed::Rule(Why::LinkOut)))?;
                self.tree.make_hard_link(&path, &to).map_err(about)?;
            }
            EntryType::Fifo => self.tree.make_pipe(&path, &attributes).map_err(about)?,
            EntryType::Char | EntryType::Block => self.done.devices += 1,
            _ => self.done.unknown += 1,
        }
        self.done.entries += 1;
        Ok(())
    }

    /// What reading the archive met in the middle of a file is no fault of the file.
    fn broken_off(&self, e: Failed, entry: &[u8]) -> TemplateError {
        match e {
            Failed::Kernel("read its content", e) => self.unreadable(e),
            e => e.about(entry),
        }
    }

    fn reserve(&mut self, size: u64, entry: &[u8], dir: &Path) -> Result<(), TemplateError> {
        let blocks = size.checked_next_multiple_of(4096);
        let left = blocks.and_then(|size| self.left.checked_sub(size));
        self.left = left.ok_or_else(|| TemplateError::NoRoom {
            path: dir.parent().unwrap_or(dir).to_owned(),
            entry: String::from_utf8_lossy(entry).into_owned(),
            free: self.free,
        })?;
        Ok(())
    }

    fn attributes(&mut self, entry: &mut Entry<'_, Box<dyn Read>>) -> Result<Attributes, Failed> {
        let bad = |e| Failed::Kernel("read its header", e);
        let header = entry.header();
        let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or(Failed::Rule(Why::Id));
        let mut found = Attributes {
            uid: id(header.uid().map_err(bad)?)?,
            gid: id(header.gid().map_err(bad)?)?,
            mode: header.mode().map_err(bad)?,
            mtime: i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0),
            xattrs: Vec::new(),
        };
        for extension in entry.pax_extensions().map_err(bad)?.into_iter().flatten() {
            let extension = extension.map_err(bad)?;
            let key = extension.key_bytes();
            if key.starts_with(b"GNU.sparse.") {
                return Err(Failed::Rule(Why::PaxSparse));
            }
            let Some(name) = key.strip_prefix(b"SCHILY.xattr.") else { continue };
            match kept(name, extension.value_bytes()) {
                Some(name) => found.xattrs.push((name, extension.value_bytes().to_vec())),
                None => self.done.attributes += 1,
            }
        }
        Ok(found)
    }
}

/// `user.*` but what would steer an overlay, and file capabilities that name no user namespace of elsewhere.
fn kept(name: &[u8], value: &[u8]) -> Option<String> {
    const CAPABILITIES_V2: usize = 20;
    let name = std::str::from_utf8(name).ok()?;
    let user = name.starts_with("user.") && !name.starts_with("user.overlay.");
    let capability = name == "security.capability" && value.len() == CAPABILITIES_V2;
    (user || capability).then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
