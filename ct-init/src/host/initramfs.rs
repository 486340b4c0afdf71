//! initramfs: what ct-init does as the first program of all: finds the root file system, switches to it and executes
//! the host's init there. Never ends; where there is no root file system it says so and goes on looking.
use super::cmdline::CommandLine;
use super::console;
use super::verb::{device, modules, mount};
use crate::root::Root;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Where the root file system is mounted before it becomes `/`.
const NEW: &str = "/root";
/// After this time without a root file system a shell is offered, and the search goes on behind it.
const PATIENCE: Duration = Duration::from_secs(30);
/// The kernel's numbers for the two file systems that an initramfs is unpacked to.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];
/// Where a system's init is looked for.
const INITS: [&str; 4] = ["/sbin/ct-init", "/usr/sbin/ct-init", "/sbin/init", "/usr/local/sbin/ct-init"];

/// Whether there is a root file system to switch to: `/` is in memory, and the kernel was told of another.
pub fn is_needed(line: &CommandLine) -> bool {
    let in_memory = rustix::fs::statfs("/").is_ok_and(|s| IN_MEMORY.contains(&s.f_type));
    in_memory && line.root.is_some()
}

/// Switches over. Returns only if nothing there can be executed.
pub fn switch(line: &CommandLine) -> ! {
    let root = Root::new("/");
    let names = modules::configured_names(&root);
    if let Err(e) = modules::load(&root, &names) {
        say(&crate::chain(&e));
    }
    let what = line.root.clone().unwrap_or_default();
    loop {
        match find_and_mount(line, &what) {
            Ok(()) => say(&execute(line)),
            Err(why) => say(&why),
        }
        shell();
    }
}

fn find_and_mount(line: &CommandLine, what: &str) -> Result<(), String> {
    let source = match device::is_device(what) {
        true => device::wait_for(what, Some(PATIENCE)).map_err(|e| crate::chain(&e))?,
        false => what.to_owned(),
    };
    let found = device::signature(&source).map(|s| s.kind);
    let kind = line.root_type.as_deref().or(found).unwrap_or("ext4");
    let mut options: Vec<String> = line
        .root_flags
        .iter()
        .flat_map(|f| f.split(','))
        .filter(|o| !o.is_empty())
        .map(str::to_owned)
        .collect();
    options.push(if line.root_writable { "rw" } else { "ro" }.to_owned());
    // The driver may be a module of its own.
    if !known(kind)
        && let Err(e) = modules::load(&Root::new("/"), &[kind.to_owned()])
    {
        say(&crate::chain(&e));
    }
    let _exists = rustix::fs::mkdir(NEW, Mode::from_raw_mode(0o755));
    mount::by_kernel(&source, NEW, kind, &options)
        .map_err(|e| format!("mount the root file system {source} ({kind}): {}", std::io::Error::from(e)))
}

fn known(kind: &str) -> bool {
    let all = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    all.lines().any(|l| l.split_whitespace().last() == Some(kind))
}

/// Makes it `/` and becomes its init. What comes back is why that failed.
fn execute(line: &CommandLine) -> String {
    let inside = Root::new(NEW);
    let wanted = line.init.iter().map(String::as_str).filter(|i| *i != "/init");
    let Some(init) = wanted.chain(INITS).find(|path| inside.exists(path)) else {
        return format!("the root file system has no init: neither {}", INITS.join(" nor "));
    };
    let init = init.to_owned();
    for at in ["/dev", "/proc", "/sys", "/run"] {
        let to = format!("{NEW}{at}");
        // What can't go along is mounted anew over there.
        if rustix::mount::mount_move(at, to.as_str()).is_err() {
            let _gone = rustix::mount::unmount(at, rustix::mount::UnmountFlags::DETACH);
        }
    }
    if let Err(e) = rustix::process::chdir(NEW) {
        return format!("enter the root file system: {}", std::io::Error::from(e));
    }
    // The memory of what was here before is given back; this program runs from a file that is open.
    empty("/", 32);
    let moved = rustix::mount::mount_move(".", "/")
        .and_then(|()| rustix::process::chroot("."))
        .and_then(|()| rustix::process::chdir("/"));
    if let Err(e) = moved {
        return format!("switch to the root file system: {}", std::io::Error::from(e));
    }
    // As the kernel calls it: its own name, and nothing else.
    let e = Command::new(&init).exec();
    format!("execute {init} of the root file system: {e}")
}

/// Removes all that lies on the file system of `/`, and nothing that is mounted below.
fn empty(path: &str, depth: u8) {
    let device = rustix::fs::stat("/").map(|s| s.st_dev);
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(stat) = rustix::fs::lstat(&path) else { continue };
        if Ok(stat.st_dev) != device {
            continue;
        }
        let is_directory =
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory;
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        if is_directory && depth > 0 {
            empty(&path.to_string_lossy(), depth - 1);
        }
        // A mount point stays.
        let _stays = rustix::fs::unlinkat(CWD, &path, flags);
    }
}

/// A shell, if the initramfs has one; its end is a reason to try again.
fn shell() {
    say("tries again; without a shell in the initramfs there is nothing else to do");
    let Some(program) = mount::tool("sh").or_else(|| mount::tool("busybox")) else {
        // Whoever attaches a disk now is still in time.
        let _in_time = device::wait_for("/dev/none", Some(PATIENCE));
        return;
    };
    let terminal = console::terminals().pop().unwrap_or_else(|| "console".to_owned());
    let open = || rustix::fs::openat(CWD, format!("/dev/{terminal}"), OFlags::RDWR, Mode::empty());
    let (Ok(stdin), Ok(stdout), Ok(stderr)) = (open(), open(), open()) else { return };
    let mut command = Command::new(&program);
    if program.ends_with("busybox") {
        command.arg("sh");
    }
    let status = command.stdin(stdin).stdout(stdout).stderr(stderr).status();
    say(&format!("the shell has ended: {status:?}"));
}

fn say(line: &str) {
    crate::log::say(&format!("ct-init: initramfs: {line}\n"));
}
