//! directories: `RuntimeDirectory=` and its kin, and a private /tmp: made before a start, removed after the end.
use super::{Identity, SetupError, c};
use crate::root::Root;
use ct_sys::script::{Op, Script};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::os::fd::RawFd;
use units::schema::service::{Context, DirectoryKind, Preserve};

/// Makes them, with owner and mode. Configuration directories stay root's.
pub fn make(root: &Root, context: &Context, identity: &Identity) -> Result<(), SetupError> {
    for directory in &context.directories {
        let path = format!("{}/{}", directory.kind.base(), directory.name);
        let parents = path.rsplit_once('/').map_or("", |(p, _)| p);
        std::fs::create_dir_all(root.join(parents))
            .map_err(|e| SetupError::Directory(parents.to_owned(), e))?;
        let owner = match directory.kind {
            DirectoryKind::Configuration => None,
            DirectoryKind::Runtime | DirectoryKind::State | DirectoryKind::Cache | DirectoryKind::Logs => {
                Some((identity.uid(), identity.gid))
            }
        };
        one(root, &path, directory.mode.0, owner)?;
    }
    Ok(())
}

fn one(root: &Root, path: &str, mode: u32, owner: Option<(u32, u32)>) -> Result<(), SetupError> {
    let fail = |e| SetupError::directory(path, e);
    match rustix::fs::mkdir(root.join(path), Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => (),
        Err(e) => return Err(fail(e)),
    }
    // Through a descriptor: what is there now may be somebody's link.
    let fd = root.open(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(fail)?;
    if let Some((uid, gid)) = owner {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::fchown(&fd, Some(uid), Some(gid)).map_err(fail)?;
    }
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)).map_err(fail)
}

/// Removes the runtime directories of a unit that is down, as RuntimeDirectoryPreserve= says.
pub fn remove_runtime(root: &Root, context: &Context, restart_follows: bool) {
    let keep = match context.runtime_preserve {
        Preserve::No => false,
        Preserve::Restart => restart_follows,
        Preserve::Yes => true,
    };
    if keep {
        return;
    }
    for directory in context.directories.iter().filter(|d| d.kind == DirectoryKind::Runtime) {
        remove(root, &format!("/run/{}", directory.name));
    }
}

/// Makes the directories behind a private /tmp and /var/tmp and returns their parent.
pub fn make_private_tmp(root: &Root, unit: &str, invocation: &str) -> Result<String, SetupError> {
    for path in ["/tmp", "/var/tmp"] {
        if !root.exists(path) {
            std::fs::create_dir_all(root.join(path))
                .map_err(|e| SetupError::Directory(path.to_owned(), e))?;
            let mode = Mode::from_raw_mode(0o1777);
            rustix::fs::chmod(root.join(path), mode).map_err(|e| SetupError::directory(path, e))?;
        }
    }
    let top = format!("/tmp/ct-private-{unit}-{}", invocation.get(..8).unwrap_or(invocation));
    for (path, mode) in
        [(top.clone(), 0o700), (format!("{top}/tmp"), 0o1777), (format!("{top}/var-tmp"), 0o1777)]
    {
        match rustix::fs::mkdir(root.join(&path), Mode::from_raw_mode(0o700)) {
            Ok(()) => (),
            // /tmp is everybody's: a directory that waits for us there is not ours.
            Err(e) => return Err(SetupError::directory(&path, e)),
        }
        let fail = |e| SetupError::directory(&path, e);
        rustix::fs::chmodat(CWD, root.join(&path), Mode::from_raw_mode(mode), AtFlags::empty())
            .map_err(fail)?;
    }
    Ok(top)
}

/// A child's script that removes a tree which may be large: PID 1 must not be busy with it.
pub fn removal(own: RawFd, path: &str) -> Result<Script, SetupError> {
    let mut script = Script::new();
    script.push(Op::NewSession).push(Op::Signals { ignore_pipe: false }).push(Op::CloseFrom(3));
    let argv = vec![c"ct-init".to_owned(), c"remove".to_owned(), c(path)?];
    script.push(Op::ExecFd { fd: own, argv, env: Vec::new() });
    Ok(script)
}

/// Removes a tree, links not followed. What can't be removed stays: it is in nobody's way.
pub fn remove(root: &Root, path: &str) {
    let _stays = std::fs::remove_dir_all(root.join(path));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_directory_gets_its_mode_even_if_it_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        std::fs::create_dir(dir.path().join("x")).unwrap();
        one(&root, "/x", 0o2755, None).unwrap();
        assert_eq!(std::fs::metadata(dir.path().join("x")).unwrap().mode() & 0o7777, 0o2755);
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(one(&root, "/file", 0o755, None).is_err());
    }

    #[test]
    fn a_link_in_tmp_is_not_used_as_private_tmp() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("tmp/ct-private-a.service-12345678")).unwrap();
        assert!(make_private_tmp(&root, "a.service", "123456789").is_err());
        let made = make_private_tmp(&root, "b.service", "123456789").unwrap();
        assert_eq!(std::fs::metadata(root.join(&made)).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(std::fs::metadata(root.join(&made).join("tmp")).unwrap().mode() & 0o7777, 0o1777);
        remove(&root, &made);
        assert!(!root.exists(&made));
    }
}
