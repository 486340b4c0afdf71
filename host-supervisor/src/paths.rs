//! paths: where everything lives below a root that was handed in. Touches nothing.
use std::path::{Path, PathBuf};

/// The root of one supervisor; `/` on a host, a directory of its own in a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Everything below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Paths {
        Paths { root: root.into() }
    }
    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// An absolute path, below the root.
    pub fn at(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }
    /// `/run/ct`, emptied at boot.
    pub fn run(&self) -> PathBuf {
        self.at("/run/ct")
    }
    /// The varlink socket.
    pub fn socket(&self) -> PathBuf {
        self.at("/run/ct/ct.sock")
    }
    /// What a running container has below /run.
    pub fn run_of(&self, name: &str) -> PathBuf {
        self.run().join("containers").join(name)
    }
    /// What is known of containers' lives, over restarts of the supervisor.
    pub fn lives(&self) -> PathBuf {
        self.run().join("lives")
    }
    /// One container's life.
    pub fn life_of(&self, name: &str) -> PathBuf {
        self.lives().join(format!("{name}.json"))
    }
    /// A container's files and durable state.
    pub fn var_of(&self, name: &str) -> PathBuf {
        self.at("/var/lib/ct/containers").join(name)
    }
    /// All containers' files.
    pub fn containers(&self) -> PathBuf {
        self.at("/var/lib/ct/containers")
    }
    /// All templates.
    pub fn templates(&self) -> PathBuf {
        self.at("/var/lib/ct/templates")
    }
    /// Where `ct create` writes units.
    pub fn etc(&self) -> PathBuf {
        self.at("/etc/ct")
    }
    /// Default `--cgroup-parent`: `ct`, or `ct-` and a short hash of a root other than `/`.
    pub fn cgroup_parent(&self) -> String {
        match self.root == Path::new("/") {
            true => "ct".to_owned(),
            false => format!("ct-{:08x}", hash(self.root.as_os_str().as_encoded_bytes())),
        }
    }
}

/// FNV-1a, 32 bits: stable over versions, which std's hasher is not.
pub fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_below_the_root() {
        let p = Paths::new("/tmp/x");
        for path in
            [p.run(), p.socket(), p.run_of("a"), p.life_of("a"), p.var_of("a"), p.templates(), p.etc()]
        {
            assert!(path.starts_with("/tmp/x"), "{path:?}");
        }
    }

    #[test]
    fn roots_have_cgroups_of_their_own() {
        assert_eq!(Paths::new("/").cgroup_parent(), "ct");
        let (a, b) = (Paths::new("/a").cgroup_parent(), Paths::new("/b").cgroup_parent());
        assert!(a.starts_with("ct-") && a != b);
    }
}
