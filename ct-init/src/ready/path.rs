//! path: whether something is at a path yet, told by inotify on the nearest directory that is there. Never waits.
use crate::root::Root;
use rustix::fs::FileType;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// So many directories may come and go between a look and the watch that follows it.
const TRIES: usize = 16;
/// inotify does not see what a link leads to: so it is looked at again after this time.
const SLOW: Duration = Duration::from_secs(5);
/// Without inotify, after this.
const ALONE: Duration = Duration::from_secs(1);

/// A path that is waited for.
#[derive(Debug)]
pub struct Watch {
    path: String,
    inotify: Option<OwnedFd>,
    watched: Option<i32>,
}

impl Watch {
    /// Not looked at yet.
    pub fn new(path: &str) -> Watch {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        Watch { path: path.to_owned(), inotify: inotify::init(flags).ok(), watched: None }
    }

    /// Whether something is there. If not, the nearest directory is watched from now on.
    pub fn look(&mut self, root: &Root) -> bool {
        for _ in 0..TRIES {
            if root.exists(&self.path) {
                return true;
            }
            let nearest = nearest(root, &self.path);
            if !self.watch(root, &nearest) {
                return false;
            }
            // What came between the look and the watch would not be told.
            if !root.exists(&self.path) && self::nearest(root, &self.path) == nearest {
                return false;
            }
        }
        false
    }

    /// Whether the directory is watched; without that, only the clock helps.
    fn watch(&mut self, root: &Root, directory: &str) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(inotify, root.join(directory), flags) {
            Ok(watched) => {
                if let Some(before) = self.watched.replace(watched).filter(|before| *before != watched) {
                    // One whose directory is gone is gone too.
                    let _gone = inotify::remove_watch(inotify, before);
                }
                true
            }
            Err(_exhausted) => {
                self.inotify = None;
                false
            }
        }
    }

    /// When to look again although nothing was told.
    pub fn pause(&self) -> Duration {
        if self.inotify.is_some() { SLOW } else { ALONE }
    }

    /// For the loop.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Reads away what was told; whether there may be more.
    pub fn drain(&self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut buffer = [0u8; 4096];
        for _ in 0..16 {
            match rustix::io::read(inotify, &mut buffer) {
                Ok(1..) | Err(Errno::INTR) => (),
                Ok(0) | Err(_) => return false,
            }
        }
        true
    }
}

/// The directory closest to the path that is there: its own, or one above.
fn nearest(root: &Root, path: &str) -> String {
    let is_directory =
        |p: &str| root.stat(p).is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
    let mut at = path;
    while let Some((above, _)) = at.rsplit_once('/') {
        if above.is_empty() || is_directory(above) {
            return if above.is_empty() { "/" } else { above }.to_owned();
        }
        at = above;
    }
    "/".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    /// Whether inotify has told anything; what it tells is there at once.
    fn told(watch: &Watch) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(watch.fd().unwrap(), PollFlags::IN)];
        let told = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0;
        while watch.drain() {}
        told
    }

    #[test]
    fn a_path_is_followed_downward_as_its_directories_come() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let mut watch = Watch::new("/run/app/ready");
        // What inotify says of the end of an earlier watch is read away.
        let look = |watch: &mut Watch| {
            let there = watch.look(&root);
            while watch.drain() {}
            there
        };
        let at = |path: &str| dir.path().join(path);
        let mut step = |what: &str, change: &dyn Fn() -> std::io::Result<()>, expect: bool| {
            assert!(!look(&mut watch) && !told(&watch), "before {what}");
            change().unwrap();
            assert!(told(&watch), "{what}");
            assert_eq!(look(&mut watch), expect, "{what}");
        };
        step("the first directory", &|| std::fs::create_dir(at("run")), false);
        step("the second", &|| std::fs::create_dir(at("run/app")), false);
        // A directory that goes takes its watch along; the one above is next.
        step("its removal", &|| std::fs::remove_dir(at("run/app")), false);
        step("the second again", &|| std::fs::create_dir(at("run/app")), false);
        std::fs::write(at("run/other"), "").unwrap();
        step("another file moved", &|| std::fs::rename(at("run/other"), at("run/app/ready")), true);
    }

    #[test]
    fn the_nearest_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/file"), "").unwrap();
        let root = Root::new(dir.path());
        for (path, expect) in
            [("/a/b/c", "/a/b"), ("/a/x/y/z", "/a"), ("/a/file/x", "/a"), ("/x", "/"), ("/", "/")]
        {
            assert_eq!(nearest(&root, path), expect, "{path}");
        }
    }
}
