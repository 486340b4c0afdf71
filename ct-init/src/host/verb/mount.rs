//! mount: what a mount unit does: waits for its device, checks or makes what is on it, mounts it, grows it. Uses the
//! system's tools where they are there, the kernel alone where they are not.
use super::device::{is_device, signature, wait_for};
use super::{VerbError, device};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::CString;
use std::os::unix::fs::DirBuilderExt;
use std::process::Command;
use std::time::Duration;
use units::values::Span;

/// systemd's default for `x-systemd.device-timeout=`.
const DEVICE: Duration = Duration::from_secs(90);

/// The options of a line of fstab, told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What the file system is told.
    pub own: Vec<String>,
    /// How long the device is waited for; none: for ever.
    pub device_timeout: Option<Duration>,
    /// `nofail`: the boot goes on without it.
    pub nofail: bool,
    /// `noauto`: only when asked for.
    pub noauto: bool,
    /// `_netdev`: after the network.
    pub netdev: bool,
    /// Checked first (the sixth field of fstab).
    pub fsck: bool,
    /// `x-systemd.makefs`: made where the device is blank.
    pub makefs: bool,
    /// `x-systemd.growfs`: grown to its device.
    pub growfs: bool,
    /// `x-systemd.requires=`, `.after=`, `.before=`, `.requires-mounts-for=`, `.wanted-by=`, `.required-by=`: key, value.
    pub order: Vec<(String, String)>,
    /// Known to systemd, and nothing is done about it here.
    pub not_applied: Vec<String>,
}

/// Reads them. What is of no concern to the kernel is left out of `own`.
pub fn options(text: &str) -> Options {
    let mut all = Options {
        own: Vec::new(),
        device_timeout: Some(DEVICE),
        nofail: false,
        noauto: false,
        netdev: false,
        fsck: false,
        makefs: false,
        growfs: false,
        order: Vec::new(),
        not_applied: Vec::new(),
    };
    for option in text.split(',').filter(|o| !o.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("defaults" | "auto" | "user" | "users" | "nouser" | "owner" | "group" | "comment", _) => (),
            ("nofail", _) => all.nofail = true,
            ("noauto", _) => all.noauto = true,
            ("_netdev", _) => all.netdev = true,
            ("x-ct.fsck", _) => all.fsck = true,
            ("x-systemd.makefs", _) => all.makefs = true,
            ("x-systemd.growfs", _) => all.growfs = true,
            ("x-systemd.device-timeout", value) => match Span::timeout(value) {
                Ok(Span::Finite(time)) => all.device_timeout = Some(time),
                Ok(Span::Infinite) => all.device_timeout = None,
                Err(_) => all.not_applied.push(option.to_owned()),
            },
            ("x-systemd.requires" | "x-systemd.after" | "x-systemd.before", _)
            | ("x-systemd.requires-mounts-for" | "x-systemd.wanted-by" | "x-systemd.required-by", _) => {
                if let Some((key, value)) = option.trim_start_matches("x-systemd.").split_once('=') {
                    all.order.push((key.to_owned(), value.to_owned()));
                }
            }
            (key, _) if key.starts_with("x-systemd.") => all.not_applied.push(option.to_owned()),
            (key, _) if key.starts_with("x-") || key.starts_with("X-") => (),
            (_, _) => all.own.push(option.to_owned()),
        }
    }
    all
}

/// Mounts.
pub(super) fn up(what: &str, at: &str, kind: &str, text: &str, mode: &str) -> Result<(), VerbError> {
    let options = options(text);
    for option in &options.not_applied {
        eprintln!("{at}: {option} has no effect here");
    }
    let (source, kind) = source(what, kind, &options)?;
    let mode = u32::from_str_radix(mode, 8).unwrap_or(0o755);
    let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(at);
    made.map_err(VerbError::io(format!("make the mount point {at}")))?;
    mount(&source, at, &kind, &options.own)?;
    if options.growfs {
        grow(&source, at, &kind);
    }
    Ok(())
}

/// The device that is meant and what is on it, waited for, checked, and made if that is asked for.
fn source(what: &str, kind: &str, options: &Options) -> Result<(String, String), VerbError> {
    let binds = options.own.iter().any(|o| o == "bind" || o == "rbind");
    if !is_device(what) || binds {
        return Ok((what.to_owned(), kind.to_owned()));
    }
    let source = wait_for(what, options.device_timeout)?;
    let on_it = signature(&source).map(|s| s.kind);
    if on_it.is_none() && options.makefs {
        let kind = if kind.is_empty() || kind == "auto" { "ext4" } else { kind };
        make(&source, kind)?;
        return Ok((source, kind.to_owned()));
    }
    let kind = match (kind, on_it) {
        ("" | "auto", Some(found)) => found,
        (kind, _) => kind,
    };
    if options.fsck {
        check(&source, kind)?;
    }
    Ok((source, kind.to_owned()))
}

/// A program in one of the places where system tools are.
pub(crate) fn tool(name: &str) -> Option<String> {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    places.iter().map(|dir| format!("{dir}/{name}")).find(|path| std::path::Path::new(path).exists())
}

fn run(program: &str, words: &[&str]) -> Result<i32, VerbError> {
    let status =
        Command::new(program).args(words).status().map_err(VerbError::io(format!("run {program}")))?;
    status.code().ok_or_else(|| VerbError::Said(format!("{program} was killed")))
}

/// Makes a file system on a blank device.
fn make(device: &str, kind: &str) -> Result<(), VerbError> {
    let name = format!("mkfs.{kind}");
    let Some(program) = tool(&name) else {
        return Err(VerbError::Said(format!(
            "{device} is blank, and there is no {name} to make a file system with"
        )));
    };
    eprintln!("{device} is blank: makes {kind} on it");
    // Without a terminal ext's asks nothing; -q for all that know it.
    let quiet: &[&str] = if kind == "vfat" { &[] } else { &["-q"] };
    match run(&program, &[quiet, &[device]].concat())? {
        0 => Ok(()),
        code => Err(VerbError::Said(format!("{name} {device} ended with {code}"))),
    }
}

/// fsck(8)'s codes: 1 is mended, 2 wants a reboot, from 4 on it needs a person.
pub(super) fn check(device: &str, kind: &str) -> Result<(), VerbError> {
    let Some(program) = tool(&format!("fsck.{kind}")) else {
        eprintln!("{device} is not checked: there is no fsck.{kind}");
        return Ok(());
    };
    let mend = if kind.starts_with("ext") { "-p" } else { "-a" };
    let code = run(&program, &[mend, device])?;
    match code {
        0 => Ok(()),
        1 => {
            eprintln!("{device} had errors, which are mended");
            Ok(())
        }
        code if code & 2 != 0 && code < 4 => {
            let done = super::super::power::run("reboot", &[]);
            Err(VerbError::Said(format!("{device} was mended, the host has to start again: {done:?}")))
        }
        code => Err(VerbError::Said(format!(
            "{device} has errors that can't be mended without a person (fsck.{kind} ended with {code}; run fsck.{kind} {device})"
        ))),
    }
}

/// mount(8) knows helpers and network file systems; without it there is the system call.
fn mount(source: &str, at: &str, kind: &str, own: &[String]) -> Result<(), VerbError> {
    let kind = if kind == "auto" { "" } else { kind };
    if let Some(program) = tool("mount") {
        let list = own.join(",");
        let mut words = Vec::new();
        if !kind.is_empty() {
            words.extend(["-t", kind]);
        }
        if !list.is_empty() {
            words.extend(["-o", list.as_str()]);
        }
        words.extend([source, at]);
        return match run(&program, &words)? {
            0 => Ok(()),
            code => Err(VerbError::Said(format!("mount {source} on {at}: mount ended with {code}"))),
        };
    }
    by_kernel(source, at, kind, own).map_err(VerbError::errno(format!("mount {source} on {at}")))
}

/// What mount(2) takes as flags, and what it hands to the file system.
pub(crate) fn by_kernel(source: &str, at: &str, kind: &str, own: &[String]) -> Result<(), Errno> {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in own {
        match option.as_str() {
            "ro" => flags |= MountFlags::RDONLY,
            "rw" => flags -= MountFlags::RDONLY,
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            "sync" => flags |= MountFlags::SYNCHRONOUS,
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "strictatime" => flags |= MountFlags::STRICTATIME,
            "lazytime" => flags |= MountFlags::LAZYTIME,
            "suid" | "dev" | "exec" | "async" | "atime" | "diratime" => (),
            "bind" => return rustix::mount::mount_bind(source, at),
            "rbind" => return rustix::mount::mount_bind_recursive(source, at),
            other => data.push(other),
        }
    }
    let data = CString::new(data.join(",")).map_err(|_| Errno::INVAL)?;
    rustix::mount::mount(source, at, kind, flags, Some(data.as_c_str()))
}

/// What can't be grown stays as it is: said, no failure.
fn grow(device: &str, at: &str, kind: &str) {
    let (program, words): (&str, Vec<&str>) = match kind {
        "ext2" | "ext3" | "ext4" => ("resize2fs", vec![device]),
        "xfs" => ("xfs_growfs", vec![at]),
        "btrfs" => ("btrfs", vec!["filesystem", "resize", "max", at]),
        other => return eprintln!("{at} is not grown: {other} can't be"),
    };
    match tool(program).map(|path| run(&path, &words)) {
        Some(Ok(0)) => (),
        Some(Ok(code)) => eprintln!("{at} is not grown: {program} ended with {code}"),
        Some(Err(e)) => eprintln!("{at} is not grown: {}", crate::chain(&e)),
        None => eprintln!("{at} is not grown: there is no {program}"),
    }
}

/// Unmounts. What is not mounted is as it should be.
pub(super) fn down(flags: &[&str], at: &str) -> Result<(), VerbError> {
    let mut how = UnmountFlags::NOFOLLOW;
    for flag in flags {
        match *flag {
            "--lazy" => how |= UnmountFlags::DETACH,
            "--force" => how |= UnmountFlags::FORCE,
            other => return Err(VerbError::Said(format!("unmount: unknown option {other}"))),
        }
    }
    match rustix::mount::unmount(at, how) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(e) => Err(VerbError::errno(format!("unmount {at}"))(e)),
    }
}

/// Checks the root file system while it is read-only, then gives it the options of its line in fstab.
pub(super) fn root(what: &str, kind: &str, text: &str, pass: &str) -> Result<(), VerbError> {
    let options = options(text);
    let is_read_only =
        rustix::fs::statvfs("/").is_ok_and(|s| s.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    if pass != "0"
        && is_read_only
        && is_device(what)
        && let Some(device) = device::find(what)
    {
        let kind = if kind == "auto" { signature(&device).map_or("auto", |s| s.kind) } else { kind };
        check(&device, kind)?;
    }
    if let Some(program) = tool("mount") {
        let list = [&["remount".to_owned()][..], &options.own].concat().join(",");
        return match run(&program, &["-o", &list, "/"])? {
            0 => Ok(()),
            code => Err(VerbError::Said(format!("remount / with {list}: mount ended with {code}"))),
        };
    }
    let mut flags = MountFlags::empty();
    if options.own.iter().any(|o| o == "ro") {
        flags |= MountFlags::RDONLY;
    }
    rustix::mount::mount_remount("/", flags, c"").map_err(VerbError::errno("remount /"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_apart() {
        let all = options("defaults,noatime,nofail,x-systemd.device-timeout=5s,x-gvfs-show,data=ordered");
        assert_eq!(all.own, ["noatime", "data=ordered"]);
        assert!(all.nofail && !all.noauto);
        assert_eq!(all.device_timeout, Some(Duration::from_secs(5)));
        assert_eq!(options("x-systemd.device-timeout=0").device_timeout, None);
        assert_eq!(options("").device_timeout, Some(DEVICE));
        assert_eq!(options("x-systemd.automount").not_applied, ["x-systemd.automount"]);
        let order = options("x-systemd.requires=a.service,x-systemd.after=b.service").order;
        assert_eq!(order, [("requires".into(), "a.service".into()), ("after".into(), "b.service".into())]);
    }
}
