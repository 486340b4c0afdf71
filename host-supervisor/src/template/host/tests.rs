//! What of a host comes over, from a made-up host full of secrets.
use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

/// Every planted secret holds this word, in content or in a link's target.
const SECRET: &str = "TOPSECRET";

struct Lab {
    dir: tempfile::TempDir,
    paths: Paths,
}

impl Lab {
    fn new() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let lab = Lab { paths: Paths::new(dir.path().join("ct")), dir };
        for link in ["bin", "sbin", "lib"] {
            lab.link(link, &format!("usr/{link}"));
        }
        lab.file(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nann:x:1000:1000:TOPSECRET:/home/ann:/bin/sh\n",
            0o644,
        );
        lab.file("etc/group", "root:x:0:ann\n", 0o644);
        lab.file("etc/services", "http 80/tcp\n", 0o644);
        lab
    }
    fn host(&self) -> PathBuf {
        self.dir.path().join("host")
    }
    fn file(&self, path: &str, content: &str, mode: u32) {
        let at = self.host().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(&at, content).unwrap();
        fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
    }
    fn link(&self, path: &str, to: &str) {
        let at = self.host().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(to, at).unwrap();
    }
    fn make(&self) -> Result<PathBuf, String> {
        host_template_of(&self.paths, &self.host()).map_err(|e| e.to_string())
    }
}

/// All below a directory: path, and content or link target.
fn all(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let text = match () {
            () if kind.is_dir() => {
                found.extend(all(&path));
                String::new()
            }
            () if kind.is_symlink() => fs::read_link(&path).unwrap().to_string_lossy().into_owned(),
            () => String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned(),
        };
        found.push((path.to_string_lossy().into_owned(), text));
    }
    found
}

#[test]
fn no_secret_of_the_host_comes_over() {
    let lab = Lab::new();
    for path in [
        "etc/shadow",
        "etc/gshadow",
        "etc/machine-id",
        "etc/resolv.conf",
        "etc/hostname",
        "etc/sudoers",
        "etc/fstab",
        "etc/crontab",
        "etc/environment",
        "etc/ssl/private/host.key",
        "etc/ssl/certs/host.pem",
        "etc/ssh/ssh_host_ed25519_key",
        "etc/security/opasswd",
        "etc/systemd/system/mine.service",
        "root/.ssh/id_ed25519",
        "home/ann/notes",
        "var/lib/app/data",
    ] {
        lab.file(path, SECRET, 0o644);
    }
    // In directories that do come along: unreadable files, keys, and links to what doesn't.
    lab.file("etc/pam.d/closed", SECRET, 0o640);
    lab.file("etc/skel/.netrc", SECRET, 0o600);
    lab.file("etc/alternatives/key", "-----BEGIN RSA PRIVATE KEY-----\nTOPSECRET", 0o644);
    lab.file("etc/ld.so.conf.d/closed/x.conf", SECRET, 0o644);
    fs::set_permissions(lab.host().join("etc/ld.so.conf.d/closed"), fs::Permissions::from_mode(0o750))
        .unwrap();
    lab.link("etc/alternatives/home", "/home/TOPSECRET");
    lab.link("etc/alternatives/climbs", "../../../../../home/TOPSECRET");
    lab.link("etc/pam.d/shadow", "../shadow");
    lab.link("etc/skel/keys", "../ssh");
    lab.link("etc/ssl/certs/snakeoil.0", "host.pem");
    lab.link("etc/ssl/certs/key.pem", "../private/host.key");
    // Listed names that are links themselves, to a file and to a directory.
    lab.link("etc/profile", "shadow");
    lab.link("etc/terminfo", "ssh");
    lab.link("etc/mime.types", "/root/TOPSECRET");
    rustix::fs::mkfifoat(rustix::fs::CWD, lab.host().join("etc/pam.d/pipe"), Mode::RWXU).unwrap();

    let dir = lab.make().unwrap();
    for (path, text) in all(&dir) {
        assert!(!text.contains(SECRET), "{path} holds {text:?}");
    }
    assert_eq!(fs::read_link(dir.join("etc/pam.d/shadow")).unwrap(), Path::new("../shadow"));
    assert_eq!(fs::read_to_string(dir.join("etc/shadow")).unwrap(), "root:*:::::::\n");
    assert_eq!(fs::read_to_string(dir.join("etc/machine-id")).unwrap(), "");
    for gone in
        ["etc/ssl/certs/snakeoil.0", "etc/ssl/certs/key.pem", "etc/resolv.conf", "etc/pam.d/pipe", "etc/ssh"]
    {
        assert!(dir.join(gone).symlink_metadata().is_err(), "{gone}");
    }
}

#[test]
fn the_skeleton_is_a_fresh_system() {
    let lab = Lab::new();
    lab.link("etc/localtime", "/usr/share/zoneinfo/Europe/Vienna");
    lab.link("etc/os-release", "../usr/lib/os-release");
    lab.link("etc/alternatives/awk", "/usr/bin/mawk");
    lab.file("etc/ssl/certs/ca-certificates.crt", "CERTIFICATE", 0o644);
    lab.link("etc/ssl/certs/Root_X.pem", "/usr/share/ca-certificates/mozilla/Root_X.crt");
    lab.link("etc/ssl/certs/4042bcee.0", "Root_X.pem");
    let dir = lab.make().unwrap();
    let mode = |p: &str| fs::metadata(dir.join(p)).unwrap().mode() & 0o7777;
    for (path, expect) in [("tmp", 0o1777), ("var/tmp", 0o1777), ("root", 0o700), ("etc", 0o755), ("", 0o755)]
    {
        assert_eq!(mode(path), expect, "{path}");
    }
    assert_eq!((mode("etc/shadow"), mode("etc/passwd"), mode("etc/ssl/private")), (0o600, 0o644, 0o700));
    for (path, to) in [
        ("bin", "usr/bin"),
        ("var/run", "/run"),
        ("var/lock", "/run/lock"),
        ("etc/localtime", "/usr/share/zoneinfo/Europe/Vienna"),
        ("etc/os-release", "../usr/lib/os-release"),
        ("etc/alternatives/awk", "/usr/bin/mawk"),
        ("etc/ssl/certs/4042bcee.0", "Root_X.pem"),
    ] {
        assert_eq!(fs::read_link(dir.join(path)).unwrap(), Path::new(to), "{path}");
    }
    assert_eq!(fs::read_to_string(dir.join("etc/passwd")).unwrap(), "root:x:0:0:root:/root:/bin/sh\n");
    assert_eq!(fs::read_to_string(dir.join("etc/services")).unwrap(), "http 80/tcp\n");
    for empty in ["usr", "proc", "sys", "dev", "run", "home"] {
        assert_eq!(fs::read_dir(dir.join(empty)).unwrap().count(), 0, "{empty}");
    }
}

#[test]
fn it_is_made_again_only_when_the_host_has_changed() {
    let lab = Lab::new();
    let ino = || fs::metadata(lab.make().unwrap()).unwrap().ino();
    let first = ino();
    assert_eq!(ino(), first);
    lab.file("etc/passwd", "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/:/bin/sh\n", 0o644);
    let second = ino();
    assert_ne!(second, first);
    let passwd = fs::read_to_string(lab.make().unwrap().join("etc/passwd")).unwrap();
    assert!(passwd.contains("www"), "{passwd}");
    // One that was made from older rules or half removed.
    fs::remove_file(lab.paths.templates().join(".meta/host.json")).unwrap();
    assert_ne!(ino(), second);
}

#[test]
fn a_host_without_merged_usr_is_refused() {
    let lab = Lab::new();
    fs::create_dir_all(lab.host().join("lib64")).unwrap();
    let e = lab.make().unwrap_err();
    assert!(e.starts_with("this host's /lib64 is no link into /usr"), "{e}");
    assert!(!lab.paths.templates().join("host").exists());
}

#[test]
fn this_machine_itself_makes_one() {
    let lab = Lab::new();
    let dir = host_template(&lab.paths);
    if !Path::new("/bin").is_symlink() {
        assert!(matches!(dir, Err(TemplateError::NotMerged(_))));
        return;
    }
    let dir = dir.unwrap();
    assert!(fs::read_to_string(dir.join("etc/passwd")).unwrap().starts_with("root:x:0:0:"));
    for (path, text) in all(&dir) {
        assert!(!text.contains("PRIVATE KEY"), "{path}");
    }
}
