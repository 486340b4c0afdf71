//! boot: makes the system that services expect: mounts, loopback, hostname, directories. Skips what is there.
//!
//! What can't be made is a sentence for the log; nothing here keeps the container from starting.
use crate::host::{self, Level};
use crate::proto::{HANDOVER_FD, Handover, LISTEN_FD};
use crate::root::Root;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use std::ffi::CStr;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What PID 1 begins with.
#[derive(Debug, Default)]
pub struct Start {
    /// Whose PID 1 this is.
    pub level: Level,
    /// From the host, or defaults.
    pub handover: Handover,
    /// The host's listening socket.
    pub listener: Option<OwnedFd>,
    /// What went wrong with them.
    pub notices: Vec<String>,
}

/// Finds out what this is the PID 1 of, and what there is to know for that. On a host it makes what even the first
/// word needs: devices, a console.
pub fn begin() -> Start {
    let mut start = take_over();
    let handed = start.listener.is_some() || start.handover != Handover::default();
    if !handed && host::level() == Level::Host {
        let line = host::command_line();
        start.level = Level::Host;
        // Ctrl-Alt-Del is PID 1's to answer, by a clean end.
        let _refused = nix::sys::reboot::set_cad_enabled(false);
        start.notices.extend(host::mounts::early());
        host::console::open();
        if host::initramfs::is_needed(&line) {
            host::initramfs::switch(&line);
        }
        start.handover = Handover { controllers: host::mounts::controllers(), ..host::handover(&line) };
    }
    if start.handover.unit.is_empty() {
        start.handover.unit = "default.target".to_owned();
    }
    start
}

/// Takes what the host has handed in. Without it there are defaults: ct-init was started by hand.
fn take_over() -> Start {
    let mut start = Start::default();
    match ct_sys::proc::inherited(HANDOVER_FD).map(read_handover) {
        Some(Ok(handover)) => start.handover = handover,
        Some(Err(e)) => start.notices.push(format!("descriptor {HANDOVER_FD} is not a handover: {e}")),
        None => (),
    }
    let listens = |fd: &OwnedFd| rustix::net::sockopt::socket_acceptconn(fd) == Ok(true);
    start.listener = ct_sys::proc::inherited(LISTEN_FD).filter(listens);
    if let Some(fd) = &start.listener
        && let Err(e) = rustix::io::ioctl_fionbio(fd, true)
    {
        start.notices.push(format!("use the host's socket: {e}"));
    }
    start
}

/// Where a host's PID 1 is asked things; below /run, so it comes after [`prepare`].
pub fn listen() -> Result<OwnedFd, std::io::Error> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let path = Path::new(host::client::SOCKET);
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    let _stale = std::fs::remove_file(path);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::bind(&fd, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, Mode::from_raw_mode(0o600))?;
    rustix::net::listen(&fd, 64)?;
    Ok(fd)
}

fn read_handover(fd: OwnedFd) -> Result<Handover, String> {
    let stat = rustix::fs::fstat(&fd).map_err(|e| e.to_string())?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Err("it is not a file".to_owned());
    }
    rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(0)).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    let limit = crate::root::MAX_FILE;
    std::fs::File::from(fd).take(limit).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    postcard::from_bytes(&bytes).map_err(|e| e.to_string())
}

/// A file system that services expect.
struct Expected {
    at: &'static CStr,
    kind: &'static CStr,
    flags: MountFlags,
    data: &'static CStr,
    /// statfs(2)'s number for a directory that has it already.
    magic: &'static [i64],
}

const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;

fn expected() -> [Expected; 8] {
    let safe = MountFlags::NOSUID | MountFlags::NODEV;
    let strict = safe | MountFlags::NOEXEC;
    let make = |at, kind, flags, data, magic| Expected { at, kind, flags, data, magic };
    // In this order: /dev before what is below it.
    [
        make(c"/proc", c"proc", strict, c"", &[0x9fa0]),
        make(c"/sys", c"sysfs", strict, c"", &[0x6265_6572]),
        make(c"/sys/fs/cgroup", c"cgroup2", strict, c"", &[0x6367_7270, TMPFS]),
        make(c"/dev", c"tmpfs", MountFlags::NOSUID, c"mode=0755,size=4m", &[TMPFS, RAMFS]),
        make(c"/dev/pts", c"devpts", MountFlags::NOSUID, c"newinstance,ptmxmode=0666,mode=0620", &[0x1cd1]),
        make(c"/dev/shm", c"tmpfs", safe, c"mode=1777", &[TMPFS, RAMFS]),
        make(c"/dev/mqueue", c"mqueue", strict, c"", &[0x1980_0202]),
        make(c"/run", c"tmpfs", safe, c"mode=0755", &[TMPFS, RAMFS]),
    ]
}

/// Makes what is missing; returns what could not be made.
pub fn prepare(handover: &Handover) -> Vec<String> {
    let mut notices = Vec::new();
    let mut note = |what: &str, done: Result<(), Errno>| {
        if let Err(e) = done {
            notices.push(format!("{what}: {}", std::io::Error::from(e)));
        }
    };
    rustix::process::umask(Mode::empty());
    for fs in expected() {
        note(&format!("mount {} on {}", fs.kind.to_string_lossy(), fs.at.to_string_lossy()), mount(&fs));
    }
    for (link, to) in [
        (c"/dev/fd", c"/proc/self/fd"),
        (c"/dev/stdin", c"/proc/self/fd/0"),
        (c"/dev/stdout", c"/proc/self/fd/1"),
        (c"/dev/stderr", c"/proc/self/fd/2"),
        (c"/dev/ptmx", c"pts/ptmx"),
    ] {
        note(&format!("link {}", link.to_string_lossy()), unless_there(rustix::fs::symlink(to, link)));
    }
    for directory in ["/run/systemd", "/run/systemd/system", "/run/systemd/journal", "/run/user"] {
        let made = rustix::fs::mkdir(directory, Mode::from_raw_mode(0o755));
        note(&format!("make {directory}"), unless_there(made));
    }
    note("make /run/lock", unless_there(rustix::fs::mkdir("/run/lock", Mode::from_raw_mode(0o1777))));
    rustix::process::umask(Mode::from_raw_mode(0o022));
    note(
        "bring up the loopback interface",
        ct_sys::net::if_up("lo").map_err(|e| Errno::from_raw_os_error(e as i32)),
    );
    if !handover.hostname.is_empty() {
        let set = rustix::system::sethostname(handover.hostname.as_bytes());
        note(&format!("set the hostname {}", handover.hostname), set);
    }
    if let Err(e) = machine_id(&Root::new("/")) {
        notices.push(format!("make /etc/machine-id: {e}"));
    }
    notices
}

/// What a process started by PID 1 inherits: 0, 1 and 2 open, as many descriptors as the host allows for itself.
pub fn settle() -> Vec<String> {
    let mut notices = Vec::new();
    loop {
        match rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR, Mode::empty()) {
            Ok(fd) if fd.as_raw_fd() <= 2 => {
                // Stays open for good: it is one of the three.
                let _fd = std::os::fd::IntoRawFd::into_raw_fd(fd);
            }
            Ok(_) | Err(_) => break,
        }
    }
    // Descriptors that a service is handed sockets as stay taken, so that no other has such a number in a child.
    let last = 2 + i32::try_from(crate::engine::sockets::MAX_SOCKETS).unwrap_or(0);
    while let Ok(fd) = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), 3) {
        if fd.as_raw_fd() > last {
            break;
        }
        let _fd = std::os::fd::IntoRawFd::into_raw_fd(fd);
    }
    // A blocked SIGCHLD would leave every service's end unseen.
    let none = nix::sys::signal::SigSet::empty();
    let unblocked =
        nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&none), None);
    if let Err(e) = unblocked {
        notices.push(format!("unblock signals: {e}"));
    }
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit) {
        notices.push(format!("raise the limit of open files: {e}"));
    }
    if let Err(e) = ct_sys::proc::cloexec_from(5) {
        notices.push(format!("keep inherited descriptors from services: {e}"));
    }
    notices
}

fn mount(fs: &Expected) -> Result<(), Errno> {
    let path = Path::new(fs.at.to_str().unwrap_or("/"));
    // Devices that somebody has bound there are better than any that could be made here.
    if fs.at == c"/dev" && Path::new("/dev/null").metadata().is_ok_and(|m| m.file_type().is_char_device()) {
        return Ok(());
    }
    match rustix::fs::statfs(path) {
        Ok(stat) if fs.magic.contains(&stat.f_type) => return Ok(()),
        Ok(_) => (),
        Err(Errno::NOENT) => unless_there(rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)))?,
        Err(e) => return Err(e),
    }
    let data = (!fs.data.is_empty()).then_some(fs.data);
    match rustix::mount::mount(fs.kind, fs.at, fs.kind, fs.flags, data) {
        // A container that is shown no cgroups or devices of its own lives without.
        Err(Errno::PERM) if fs.kind == c"cgroup2" => Ok(()),
        Ok(()) if fs.at == c"/dev" => devices(),
        other => other,
    }
}

/// The devices every program counts on; bound from nothing, so they need mknod.
fn devices() -> Result<(), Errno> {
    use rustix::fs::{FileType, makedev, mknodat};
    let mut first = Ok(());
    for (name, minor) in [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)] {
        let mode = Mode::from_raw_mode(0o666);
        let made = mknodat(CWD, format!("/dev/{name}"), FileType::CharacterDevice, mode, makedev(1, minor));
        first = first.and(made);
    }
    let mode = Mode::from_raw_mode(0o666);
    first.and(mknodat(CWD, "/dev/tty", FileType::CharacterDevice, mode, makedev(5, 0)))
}

fn unless_there(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// Writes an id where the file is missing or empty; a read-only /etc keeps what it has.
fn machine_id(root: &Root) -> std::io::Result<()> {
    let path = "/etc/machine-id";
    let has_one = root.read(path).is_ok_and(|b| b.iter().any(u8::is_ascii_hexdigit));
    if has_one || !root.exists("/etc") {
        return Ok(());
    }
    match std::fs::write(root.join(path), format!("{}\n", new_id())) {
        Err(e) if e.kind() == std::io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        other => other,
    }
}

/// 128 random bits as 32 hexadecimal digits, marked as a version 4 UUID.
pub fn new_id() -> String {
    let mut bytes = [0u8; 16];
    // Never blocks: without randomness yet, the clock must do.
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    if got != Ok(16) {
        bytes = (u128::from(crate::clock::wall()) << 64 | u128::from(crate::clock::now().0)).to_le_bytes();
    }
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        machine_id(&root).unwrap();
        assert!(!root.exists("/etc/machine-id"));
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/machine-id"), "").unwrap();
        machine_id(&root).unwrap();
        let first = root.read("/etc/machine-id").unwrap();
        assert_eq!(first.len(), 33);
        machine_id(&root).unwrap();
        assert_eq!(root.read("/etc/machine-id").unwrap(), first);
        assert_ne!(new_id(), new_id());
    }
}
