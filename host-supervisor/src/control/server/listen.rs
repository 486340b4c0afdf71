//! listen: makes the control socket. Never takes the place of a supervisor that answers.
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there.
    #[error("another supervisor answers at {0}")]
    Taken(PathBuf),
    /// A step failed.
    #[error("{what} {path}")]
    Step {
        /// `bind`, `make folder` …
        what: &'static str,
        /// On this.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where the socket is below a root directory.
pub fn socket_path(root: &Path) -> PathBuf {
    root.join("run/ct/ct.sock")
}

/// Makes the socket at `path`, mode 0660, owned by group `gid` if given. A stale one is replaced.
pub fn listen(path: &Path, gid: Option<u32>) -> Result<UnixListener, ListenError> {
    let step = |what, source: io::Error| ListenError::Step { what, path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| step("make the folder of", e))?;
    }
    if UnixStream::connect(path).is_ok() {
        return Err(ListenError::Taken(path.to_owned()));
    }
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(step("remove the stale socket", e)),
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(|e| step("make a socket for", e.into()))?;
    let address = SocketAddrUnix::new(path).map_err(|e| step("take as a socket's address", e.into()))?;
    rustix::net::bind(&socket, &address).map_err(|e| step("bind", e.into()))?;
    // Owner and mode before listen: until then nobody can connect.
    std::os::unix::fs::chown(path, None, gid).map_err(|e| step("change the group of", e))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o660);
    std::fs::set_permissions(path, mode).map_err(|e| step("change the mode of", e))?;
    rustix::net::listen(&socket, 128).map_err(|e| step("listen on", e.into()))?;
    Ok(UnixListener::from(socket))
}

/// The id of a group in the text of an `/etc/group`; none: there is no such group.
pub fn group_id(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// Whether a caller is in a group: by the group it runs as, or as one of the members that the text of an
/// `/etc/group` lists by name (`passwd` is the text of an `/etc/passwd`).
pub fn is_member(group: &str, passwd: &str, name: &str, peer: &super::Peer) -> bool {
    if group_id(group, name) == Some(peer.gid) {
        return true;
    }
    let uid = peer.uid.to_string();
    let users =
        passwd.lines().filter(|l| l.split(':').nth(2) == Some(&uid)).filter_map(|l| l.split(':').next());
    let line = group.lines().find(|l| l.split(':').next() == Some(name));
    let members = line.and_then(|l| l.split(':').nth(3)).unwrap_or_default();
    users.filter(|u| !u.is_empty()).any(|user| members.split(',').any(|member| member == user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_read_without_nss() {
        let check = |text: &str, expect: Option<u32>| assert_eq!(group_id(text, "ct"), expect, "{text}");
        check("root:x:0:\nct:x:990:alice,bob\n", Some(990));
        check("ct:x:990", Some(990));
        check("act:x:1:\nctx:x:2:\n", None);
        check("ct:x:many:\n", None);
        check("ct\n", None);
        check("", None);
    }

    #[test]
    fn members_are_those_the_files_name() {
        let group = "root:x:0:\nct:x:990:alice,bob\n";
        let passwd =
            "root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\neve:x:1001:1001::/:/bin/sh\n:x:1002::\n";
        let check = |uid: u32, gid: u32, expect: bool| {
            let peer = crate::control::server::Peer { uid, gid, pid: 1 };
            assert_eq!(is_member(group, passwd, "ct", &peer), expect, "{uid}:{gid}");
        };
        check(1000, 1000, true);
        check(1001, 1001, false);
        check(1001, 990, true);
        check(1002, 1002, false);
        check(5000, 5000, false);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = socket_path(dir.path());
        let first = listen(&path, None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(listen(&path, None), Err(ListenError::Taken(_))));
        drop(first);
        assert!(listen(&path, None).is_ok());
    }
}
