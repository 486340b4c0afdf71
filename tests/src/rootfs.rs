//! rootfs: a root file system of one static busybox and what a test puts into it. Downloads nothing.
use crate::programs;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// What tests call inside.
const APPLETS: &str = "ash sh cat chmod chown cp cut date dd df echo env false find grep head hostname id ip kill ln ls \
    mkdir mkfifo mknod mktemp mount mv nc nice nohup nproc od pidof printf ps pwd readlink reboot rm rmdir sed seq \
    setsid sleep sort stat stty su sync tail tee test time timeout top touch tr true tty umount uname uniq wc wget \
    which whoami xargs yes";

/// A directory that a container or a PID 1 runs in.
#[derive(Clone, Debug)]
pub struct Rootfs {
    dir: PathBuf,
}

impl Rootfs {
    /// Makes one in this directory.
    pub fn new(dir: &Path) -> Rootfs {
        let root = Rootfs { dir: dir.to_path_buf() };
        for d in [
            "bin",
            "etc",
            "root",
            "tmp",
            "var/log",
            "var/tmp",
            "proc",
            "sys",
            "dev",
            "run",
            "etc/systemd/system",
            "srv",
        ] {
            fs::create_dir_all(dir.join(d)).expect("make a directory");
        }
        // Any user inside gets to the programs, whatever this process's umask is.
        for d in ["", "bin", "etc", "srv", "var", "var/log"] {
            fs::set_permissions(dir.join(d), fs::Permissions::from_mode(0o755)).expect("set a mode");
        }
        fs::set_permissions(dir.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("set a mode");
        fs::copy("/bin/busybox", dir.join("bin/busybox")).expect("copy busybox");
        for applet in APPLETS.split_whitespace() {
            symlink("busybox", dir.join("bin").join(applet)).expect("link an applet");
        }
        let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/srv:/bin/sh\n";
        root.file("etc/passwd", passwd).file("etc/group", "root:x:0:\napp:x:1000:\nextra:x:2000:app\n");
        root.libraries();
        root
    }

    /// The probe, and libraries for it and for a ct-init that is not linked statically.
    fn libraries(&self) {
        if let Some(probe) = programs::own("probe") {
            fs::copy(probe, self.dir.join("bin/probe")).expect("copy the probe");
        }
        let maps = fs::read_to_string("/proc/self/maps").expect("read own maps");
        let mut libraries: Vec<&str> = maps.lines().filter_map(|l| l.split_whitespace().nth(5)).collect();
        libraries.retain(|l| l.contains(".so"));
        libraries.dedup();
        // Not every program links the mathematical library; this one may not, ct-init may.
        let beside = |l: &str| Some(Path::new(l).parent()?.join("libm.so.6"));
        let math = libraries.iter().find(|l| l.contains("/libc.so")).and_then(|l| beside(l));
        for library in libraries.iter().map(PathBuf::from).chain(math) {
            let name = library.file_name().expect("a library has a name");
            for dir in ["lib64", "lib/x86_64-linux-gnu", "lib"] {
                fs::create_dir_all(self.dir.join(dir)).expect("make a directory");
                fs::copy(&library, self.dir.join(dir).join(name)).expect("copy a library");
            }
        }
    }

    /// Where it is on the host.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// A path inside, as the host has it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.join(path.trim_start_matches('/'))
    }

    /// Writes a file, and the directories above it.
    pub fn file(&self, path: &str, text: &str) -> &Rootfs {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("make a directory");
        fs::write(&path, text).unwrap_or_else(|e| panic!("write {path:?}: {e}"));
        self
    }

    /// A shell script that can be executed.
    pub fn script(&self, path: &str, text: &str) -> &Rootfs {
        self.file(path, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).expect("make it executable");
        self
    }

    /// A unit file in /etc/systemd/system.
    pub fn unit(&self, name: &str, text: &str) -> &Rootfs {
        self.file(&format!("etc/systemd/system/{name}"), text)
    }

    /// A service that is started at boot, with these lines in its `[Service]`.
    pub fn service(&self, name: &str, lines: &str) -> &Rootfs {
        self.unit(&format!("{name}.service"), &format!("[Service]\n{lines}\n"));
        self.enable(&format!("{name}.service"))
    }

    /// A link in multi-user.target.wants.
    pub fn enable(&self, unit: &str) -> &Rootfs {
        let link = self.at(&format!("etc/systemd/system/multi-user.target.wants/{unit}"));
        fs::create_dir_all(link.parent().expect("a link is in a directory")).expect("make a directory");
        symlink(format!("../{unit}"), link).expect("enable a unit");
        self
    }
}
