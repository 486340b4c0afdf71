//! mounts: detached mounts for one container: user namespace, layers, binds. Attaches nothing to the host's tree.
use super::Cause;
use crate::spec::{Bind, IdRange, Layers};
use ct_sys::mount::{Value, attr, clone_tree, new_fs, set_attr};
use ct_sys::script::{Op, Script, Target};
use ct_sys::{Errno, flags};
use nix::fcntl::{AT_FDCWD, OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::thread::{CapabilitiesSecureBits, set_capabilities_secure_bits};
use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A user namespace that holds nothing but its map.
#[derive(Debug)]
pub(super) struct UserNamespace {
    namespace: OwnedFd,
    /// The child it was made with. It ends by itself, while the mounts are made; reaped when this is dropped.
    child: OwnedFd,
}

impl AsFd for UserNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

impl Drop for UserNamespace {
    fn drop(&mut self) {
        let _ = waitid(Id::PIDFd(self.child.as_fd()), WaitPidFlag::WEXITED);
    }
}

/// Made by a child that waits, mapped, opened, and let go.
pub(super) fn user_namespace(range: IdRange) -> Result<UserNamespace, Cause> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let mut script = Script::new();
    script.push(Op::Close(writer.as_raw_fd())).push(Op::WaitFor(reader.as_raw_fd()));
    let child = ct_sys::spawn(&script, flags::NEWUSER, None)?;
    let opened = map(child.pid, range).and_then(|()| {
        let path = format!("/proc/{}/ns/user", child.pid);
        Ok(open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
    });
    // End of file ends it; there is nothing else it could wait for.
    drop(writer);
    match opened {
        Ok(namespace) => Ok(UserNamespace { namespace, child: child.pidfd }),
        Err(e) => {
            // What went wrong first is what has to be told.
            let _reaped = waitid(Id::PIDFd(child.pidfd.as_fd()), WaitPidFlag::WEXITED);
            Err(e)
        }
    }
}

/// Writes a child's maps: ids 0…size-1 inside are base…base+size-1.
pub(super) fn map(pid: u32, range: IdRange) -> Result<(), Cause> {
    let line = format!("0 {} {}", range.base, range.size);
    fs::write(format!("/proc/{pid}/uid_map"), &line)?;
    fs::write(format!("/proc/{pid}/gid_map"), &line)?;
    Ok(())
}

/// A directory as a container's root.
pub(super) fn directory(source: &Path, userns: Option<BorrowedFd<'_>>) -> Result<OwnedFd, Cause> {
    if !source.is_dir() {
        return Err(Cause::Said("no such directory (make it, or correct Rootfs=)".to_owned()));
    }
    mapped_tree(source, userns, 0, false)
}

/// A host path, cloned with what is mounted below it. None if it is missing and may be.
pub(super) fn bind(bind: &Bind, userns: Option<BorrowedFd<'_>>) -> Result<Option<(OwnedFd, Target)>, Cause> {
    let meta = match fs::metadata(&bind.source) {
        Err(e) if bind.optional && e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
        Ok(meta) => meta,
    };
    // Ids are mapped through, so a set-user-id file or a device in it would be the host's root's.
    let attrs = attr::NOSUID | attr::NODEV | if bind.read_only { attr::RDONLY } else { 0 };
    let tree = mapped_tree(&bind.source, userns, attrs, true)?;
    Ok(Some((tree, if meta.is_dir() { Target::Directory } else { Target::File })))
}

fn mapped_tree(
    source: &Path,
    userns: Option<BorrowedFd<'_>>,
    attrs: u64,
    recursive: bool,
) -> Result<OwnedFd, Cause> {
    let path = text(source)?;
    let tree = clone_tree(AT_FDCWD, &path, recursive)?;
    if attrs != 0 || userns.is_some() {
        set_attr(tree.as_fd(), attrs, userns, recursive).map_err(|e| match (e, userns) {
            (Errno::EINVAL, Some(_)) => Cause::Said(format!(
                "the file system of {} can't map ids (move it to ext4, xfs, btrfs or tmpfs, or use UserNamespace=no)",
                source.display()
            )),
            (e, _) => Cause::Errno(e),
        })?;
    }
    Ok(tree)
}

/// An overlay whose layers have their ids mapped; overlay itself can't be.
///
/// `owner` is the host id of the container's root. Overlay makes files in its work directory as whoever mounted it, and
/// the host's own root has no id there.
pub(super) fn overlay(layers: &Layers, userns: Option<BorrowedFd<'_>>, owner: u32) -> Result<OwnedFd, Cause> {
    if !layers.lower.is_dir() {
        return Err(Cause::Said(format!("{} is not a directory", layers.lower.display())));
    }
    let lower = mapped_tree(&layers.lower, userns, 0, false)?;
    // Upper and work directory have to be on one mount, so their parent is cloned.
    let changes = mapped_tree(&layers.changes, userns, 0, false)?;
    let part = |name: &str| {
        openat(&changes, name, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
    };
    let (upper, work) = (part("upper")?, part("work")?);
    let options: [(&CStr, Value<'_>); 4] = [
        (c"source", Value::Text(c"ct")),
        (c"lowerdir+", Value::Fd(lower.as_fd())),
        (c"upperdir", Value::Fd(upper.as_fd())),
        (c"workdir", Value::Fd(work.as_fd())),
    ];
    let _as = FsOwner::acquire(owner)?;
    match new_fs(c"overlay", &options, 0) {
        // Before Linux 6.13 overlay takes paths only, and a descriptor with O_PATH is none to fsconfig.
        Err(e) if [Errno::EINVAL, Errno::EBADF].contains(&e.errno) => {
            by_path(&lower, &changes, &layers.changes)
        }
        other => Ok(other?),
    }
}

/// File system ids of another, with all capabilities kept, until it goes out of scope.
struct FsOwner;

impl FsOwner {
    fn acquire(owner: u32) -> Result<FsOwner, Cause> {
        // Without this bit, giving up file system id 0 would give up CAP_DAC_OVERRIDE and its kin too.
        set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)
            .map_err(std::io::Error::from)?;
        setfsuid(Uid::from_raw(owner));
        setfsgid(Gid::from_raw(owner));
        Ok(FsOwner)
    }
}

impl Drop for FsOwner {
    fn drop(&mut self) {
        setfsuid(Uid::from_raw(0));
        setfsgid(Gid::from_raw(0));
        let _ = set_capabilities_secure_bits(CapabilitiesSecureBits::empty());
    }
}

/// For kernels whose overlay takes neither descriptors nor detached layers: they are attached for a moment.
fn by_path(lower: &OwnedFd, changes: &OwnedFd, near: &Path) -> Result<OwnedFd, Cause> {
    detach_layers(near);
    let [base, low, high] = layers_of(near);
    fs::create_dir_all(&low)?;
    fs::create_dir_all(&high)?;
    // Read-only, so that whatever is done to the directory above it never reaches a template.
    set_attr(lower.as_fd(), attr::RDONLY, None, false)?;
    let attached = attach(lower, &low).and_then(|low_mount| {
        let high_mount = attach(changes, &high)?;
        let (l, u, w) = (text(&low)?, text(&high.join("upper"))?, text(&high.join("work"))?);
        let options: [(&CStr, Value<'_>); 4] = [
            (c"source", Value::Text(c"ct")),
            (c"lowerdir", Value::Text(&l)),
            (c"upperdir", Value::Text(&u)),
            (c"workdir", Value::Text(&w)),
        ];
        let made = new_fs(c"overlay", &options, 0);
        drop((low_mount, high_mount));
        Ok(made?)
    });
    // Never what is below them: one that is still attached stays as it is.
    for dir in [low, high, base] {
        let _still_there = fs::remove_dir(dir);
    }
    attached
}

/// Where layers are attached: the directory, and the two in it.
fn layers_of(near: &Path) -> [PathBuf; 3] {
    let base = near.join("layers");
    [base.clone(), base.join("lower"), base.join("changes")]
}

/// Detaches what a supervisor has left that was killed in such a moment.
pub(super) fn detach_layers(near: &Path) {
    let [_, low, high] = layers_of(near);
    for at in [low, high] {
        let _not_there = nix::mount::umount2(&at, nix::mount::MntFlags::MNT_DETACH);
    }
}

/// An attached mount that is detached when it goes out of scope.
struct Attached(CString);

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(self.0.as_c_str(), nix::mount::MntFlags::MNT_DETACH);
    }
}

fn attach(mount: &OwnedFd, at: &Path) -> Result<Attached, Cause> {
    let at = text(at)?;
    ct_sys::mount::attach(mount.as_fd(), &at)?;
    Ok(Attached(at))
}

fn text(path: &Path) -> Result<CString, Cause> {
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| Cause::Said(format!("{} holds a NUL byte", path.display())))
}
