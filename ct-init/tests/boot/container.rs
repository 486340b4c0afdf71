//! container: a tiny container around the real binary, with the machine's own /usr. Removes what it made.
use ct_init::proto::{Exec, HANDOVER_FD, Handover, LISTEN_FD, Report, Request, Session, VERSION, Verb};
use ct_init::wire::{Packet, Wire, decode};
use ct_sys::flags;
use ct_sys::script::{Op, Script};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Nothing in these tests takes longer, or it has failed.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
const MS_BIND: u64 = 4096;
const MS_REC: u64 = 16384;
const MS_RDONLY: u64 = 1;

/// A container that runs.
pub struct Container {
    dir: tempfile::TempDir,
    cgroup: Option<PathBuf>,
    pid: u32,
    pidfd: OwnedFd,
    listener: OwnedFd,
}

/// What the container has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All but users.
    Plain,
    /// Users too: its root is nobody outside.
    Users,
    /// No cgroups.
    NoCgroups,
}

/// Where the ids of a user namespace begin.
const BASE: u32 = 3_000_000;
/// Bound from outside: a user namespace can't make any.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Why a test can't run here; it says so and passes.
pub fn unable() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: making namespaces takes root here");
    }
    !root
}

/// The binary under test; `CT_INIT=PATH` names another build of it.
fn binary() -> String {
    std::env::var("CT_INIT").unwrap_or_else(|_| env!("CARGO_BIN_EXE_ct-init").to_owned())
}

fn c(text: impl AsRef<Path>) -> CString {
    CString::new(text.as_ref().to_str().unwrap()).unwrap()
}

/// A cgroup v2 group for one container, where there is such a hierarchy.
fn make_cgroup() -> Option<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let tops = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let top = tops.iter().find(|t| Path::new(t).join("cgroup.procs").exists())?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(top).join(format!("ct-init-test-{}-{count}", std::process::id()));
    fs::create_dir(&path).ok().map(|()| path)
}

impl Container {
    /// Boots with these unit files (name and text), all wanted by multi-user.target.
    pub fn boot(units: &[(&str, &str)]) -> Container {
        Container::boot_as(Kind::Plain, units)
    }

    /// The same, in a container of another kind.
    pub fn boot_as(kind: Kind, units: &[(&str, &str)]) -> Container {
        Container::boot_with(kind, units, |_| ())
    }

    /// The same, with more files: `prepare` gets the root.
    pub fn boot_with(kind: Kind, units: &[(&str, &str)], prepare: impl FnOnce(&Path)) -> Container {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        make_root(&root, units);
        prepare(&root);
        let address = SocketAddrUnix::new(dir.path().join("sock")).unwrap();
        let flags = SocketFlags::CLOEXEC;
        let listener =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        rustix::net::bind(&listener, &address).unwrap();
        rustix::net::listen(&listener, 16).unwrap();
        let handover = Handover {
            name: "test".into(),
            hostname: "inside".into(),
            unit: "default.target".into(),
            environment: vec![("container".into(), "ct".into())],
            ..Handover::default()
        };
        let memory = rustix::fs::memfd_create(c"handover", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::io::write(&memory, &ct_init::wire::encode(&handover).unwrap()).unwrap();
        let cgroup = make_cgroup();
        if kind == Kind::Users {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
            give_away(&root);
            let files = ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];
            files.iter().flat_map(|f| cgroup.as_ref().map(|c| c.join(f))).for_each(|f| chown(&f));
        }
        let group = cgroup.as_ref().map(|p| fs::File::open(p).unwrap());
        let (wait, go) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let script = script(&root, kind, [&listener, &memory, &wait]);
        let users = if kind == Kind::Users { flags::NEWUSER } else { 0 };
        let namespaces = users
            | flags::NEWPID
            | flags::NEWNS
            | flags::NEWUTS
            | flags::NEWIPC
            | flags::NEWNET
            | flags::NEWCGROUP;
        let spawned = ct_sys::spawn(&script, namespaces, group.as_ref().map(AsFd::as_fd)).unwrap();
        if kind == Kind::Users {
            for map in ["uid_map", "gid_map"] {
                fs::write(format!("/proc/{}/{map}", spawned.pid), format!("0 {BASE} 65536")).unwrap();
            }
        }
        rustix::io::write(&go, b"g").unwrap();
        wait_readable(spawned.errors.as_fd());
        let mut report = [0u8; 8];
        let n = rustix::io::read(&spawned.errors, &mut report).unwrap();
        assert_eq!(script.explain(&report[..n]), None);
        Container { dir, cgroup, pid: spawned.pid, pidfd: spawned.pidfd, listener }
    }

    /// A path inside, as the test sees it.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join("root").join(inside.trim_start_matches('/'))
    }

    /// Connects and says hello.
    pub fn connect(&self) -> Client {
        let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        rustix::net::connect(&fd, &SocketAddrUnix::new(self.dir.path().join("sock")).unwrap()).unwrap();
        let mut client = Client { wire: Wire::new(fd).unwrap() };
        client.send(&Request::Hello { version: VERSION });
        assert!(matches!(client.report(), Report::Hello { version: VERSION, .. }));
        client
    }

    /// Connects and waits until the default target is reached; the units that have failed.
    pub fn ready(&self) -> (Client, Vec<String>) {
        let mut client = self.connect();
        client.send(&Request::Watch);
        loop {
            if let Report::Ready { failed } = client.report() {
                return (client, failed);
            }
        }
    }

    /// A value of /proc/PID/smaps_rollup, KiB.
    pub fn memory(&self, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends a signal to its PID 1.
    pub fn signal(&self, signal: i32) {
        ct_sys::proc::pidfd_send_signal(self.pidfd.as_fd(), signal).unwrap();
    }

    /// Waits for its end: exit code, or minus the signal.
    pub fn wait(&self) -> i32 {
        wait_readable(self.pidfd.as_fd());
        let options = rustix::process::WaitIdOptions::EXITED;
        let status = rustix::process::waitid(rustix::process::WaitId::PidFd(self.pidfd.as_fd()), options);
        let status = status.unwrap().unwrap();
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => -signal,
            (None, None) => panic!("neither exited nor killed"),
        }
    }

    /// Runs a command inside and returns its output and its end.
    pub fn run(&self, exec: Exec) -> (String, Session) {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let mut client = self.connect();
        let null: OwnedFd = fs::File::open("/dev/null").unwrap().into();
        client.send_with(&Request::Exec(exec), &[null.as_fd(), write.as_fd(), write.as_fd()]);
        drop(write);
        let mut output = Vec::new();
        std::io::Read::read_to_end(&mut fs::File::from(read), &mut output).unwrap();
        let last = loop {
            match client.session() {
                Session::Started { .. } => (),
                other => break other,
            }
        };
        (String::from_utf8_lossy(&output).into_owned(), last)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _gone = ct_sys::proc::pidfd_send_signal(self.pidfd.as_fd(), 9);
        let options = rustix::process::WaitIdOptions::EXITED;
        let _reaped = rustix::process::waitid(rustix::process::WaitId::PidFd(self.pidfd.as_fd()), options);
        let _closed = &self.listener;
        if let Some(path) = &self.cgroup {
            remove_group(path);
        }
    }
}

fn chown(path: &Path) {
    std::os::unix::fs::lchown(path, Some(BASE), Some(BASE)).unwrap();
}

fn give_away(path: &Path) {
    chown(path);
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            give_away(&entry.path());
        } else {
            chown(&entry.path());
        }
    }
}

fn remove_group(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
        remove_group(&entry.path());
    }
    // The last process may be on its way out still.
    for _ in 0..1000 {
        match fs::remove_dir(path) {
            Err(e) if e.kind() == std::io::ErrorKind::ResourceBusy => std::thread::yield_now(),
            Ok(()) | Err(_) => break,
        }
    }
}

fn make_root(root: &Path, units: &[(&str, &str)]) {
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    for dir in ["usr", "run", "tmp", "var/log", "var/tmp", "var/lib", "proc", "sys", "dev", "root", "host"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::create_dir_all(&wants).unwrap();
    for device in DEVICES {
        fs::write(root.join("dev").join(device), "").unwrap();
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    for link in ["bin", "sbin", "lib", "lib64"] {
        match fs::read_link(Path::new("/").join(link)) {
            Ok(to) => symlink(to, root.join(link)).unwrap(),
            Err(_) => fs::create_dir(root.join(link)).unwrap(),
        }
    }
    // Not the machine's own units: only what the test has written.
    symlink("/etc/systemd/system/multi-user.target", root.join("etc/systemd/system/default.target")).unwrap();
    for target in
        ["multi-user", "basic", "sysinit", "sockets", "timers", "paths", "local-fs", "swap", "shutdown"]
    {
        let rest = match target {
            "multi-user" => "Requires=basic.target\nAfter=basic.target",
            "basic" => "Requires=sysinit.target\nAfter=sysinit.target",
            _ => "DefaultDependencies=no",
        };
        let path = root.join(format!("etc/systemd/system/{target}.target"));
        fs::write(path, format!("[Unit]\nDescription={target}\n{rest}\n")).unwrap();
    }
    for (name, text) in units {
        fs::write(root.join("etc/systemd/system").join(name), text).unwrap();
        symlink(format!("../{name}"), wants.join(name)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1234:1234::/srv:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\napp:x:1234:\nextra:x:77:app\n").unwrap();
    fs::write(root.join("ct-init"), "").unwrap();
}

fn script(root: &Path, kind: Kind, [listener, handover, wait]: [&OwnedFd; 3]) -> Script {
    let none = CString::default;
    let bind = |from: &str, to: PathBuf, flags: u64| Op::Mount {
        source: c(from),
        target: c(to),
        fstype: none(),
        flags,
        data: none(),
    };
    let mut script = Script::new();
    script.push(Op::WaitFor(wait.as_raw_fd()));
    script.push(Op::NewSession).push(Op::Signals { ignore_pipe: false });
    script.push(Op::Groups(Vec::new())).push(Op::Gid(0)).push(Op::Uid(0)).push(Op::MountsPrivate);
    // A mount of its own, as a container's root always is.
    script.push(bind(root.to_str().unwrap(), root.to_owned(), MS_BIND | MS_REC));
    script.push(bind("/usr", root.join("usr"), MS_BIND | MS_REC));
    for device in DEVICES {
        script.push(bind(&format!("/dev/{device}"), root.join("dev").join(device), MS_BIND));
    }
    if kind == Kind::NoCgroups {
        for (fstype, at, flags) in [("sysfs", "sys", MS_RDONLY), ("tmpfs", "sys/fs/cgroup", 0)] {
            let target = c(root.join(at));
            script.push(Op::Mount { source: none(), target, fstype: c(fstype), flags, data: none() });
        }
    }
    // The units that /usr brings along are not this test's.
    for dir in ["usr/lib/systemd/system", "usr/local/lib/systemd/system"] {
        if Path::new("/").join(dir).is_dir() {
            script.push(bind(root.join("host").to_str().unwrap(), root.join(dir), MS_BIND));
        }
    }
    script.push(bind(&binary(), root.join("ct-init"), MS_BIND));
    script.push(Op::Chroot(c(root)));
    script.push(Op::Dup { from: listener.as_raw_fd(), to: LISTEN_FD });
    script.push(Op::Dup { from: handover.as_raw_fd(), to: HANDOVER_FD });
    script.push(Op::CloseFrom(5));
    script.push(Op::Exec { path: c("/ct-init"), argv: vec![c("ct-init")], env: Vec::new() });
    script
}

fn wait_readable(fd: BorrowedFd<'_>) {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&PATIENCE)).unwrap(), 1, "nothing has come in time");
}

/// A connection to ct-init.
pub struct Client {
    wire: Wire,
}

impl Client {
    pub fn send(&mut self, request: &Request) {
        self.wire.send(request, None).unwrap();
    }
    pub fn send_with(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
        let bytes = ct_init::wire::encode(request).unwrap();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        let io = [std::io::IoSlice::new(&bytes)];
        rustix::net::sendmsg(self.wire.as_fd(), &io, &mut control, SendFlags::NOSIGNAL).unwrap();
    }
    /// The next packet; none at the end.
    pub fn packet(&mut self) -> Option<Packet> {
        loop {
            wait_readable(self.wire.as_fd());
            match self.wire.receive() {
                Ok(Some(packet)) => return Some(packet),
                Ok(None) => (),
                Err(_) => return None,
            }
        }
    }
    pub fn report(&mut self) -> Report {
        decode(&self.packet().expect("a report").bytes).unwrap()
    }
    pub fn session(&mut self) -> Session {
        decode(&self.packet().expect("a session message").bytes).unwrap()
    }
    /// Asks for something to be done with a unit, and waits for the answer.
    pub fn ask(&mut self, unit: &str, verb: Verb) -> Result<(), String> {
        self.send(&Request::Unit { tag: 7, unit: unit.into(), verb });
        loop {
            if let Report::Done { tag: 7, result } = self.report() {
                return result;
            }
        }
    }
    /// `active/sub` of a unit, from the list of all.
    pub fn state(&mut self, unit: &str) -> String {
        self.send(&Request::List { tag: 8 });
        let mut found = "none".to_owned();
        loop {
            if let Report::Units { tag: 8, units, last } = self.report() {
                if let Some(status) = units.iter().find(|u| u.name == unit) {
                    found = format!("{}/{}", status.active, status.sub);
                }
                if last {
                    return found;
                }
            }
        }
    }
    /// Waits until a unit reports this `active/sub`.
    pub fn until(&mut self, unit: &str, state: &str) -> ct_init::proto::UnitStatus {
        loop {
            if let Report::Unit(status) = self.report()
                && status.name == unit
                && format!("{}/{}", status.active, status.sub) == state
            {
                return status;
            }
        }
    }
}
