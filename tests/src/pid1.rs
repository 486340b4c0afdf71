//! pid1: a ct-init as the first process of namespaces of its own, without a host-supervisor.
use crate::client::{self, Outcome, Watch};
use crate::groups::OwnGroup;
use crate::programs;
use crate::rootfs::Rootfs;
use crate::wait::Deadline;
use ct_init::proto::{HANDOVER_FD, Handover, LISTEN_FD, Line, Logs};
use ct_sys::mount::clone_tree;
use ct_sys::script::{Op, Script};
use ct_sys::{FIRST_FREE_FD, Spawned, flags};
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, fcntl, open};
use nix::poll::PollFlags;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use std::ffi::CString;
use std::fs;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A ct-init that runs.
#[derive(Debug)]
pub struct Pid1 {
    spawned: Spawned,
    dir: TempDir,
    /// Its `/`.
    pub rootfs: Rootfs,
    group: OwnGroup,
    gone: bool,
}

/// How to start it.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the host tells it; none: descriptor 4 is not there.
    pub handover: Option<Handover>,
}

impl Default for Options {
    fn default() -> Options {
        let handover = Handover {
            name: "test".into(),
            hostname: "inside".into(),
            unit: "default.target".into(),
            cgroup: Some("/sys/fs/cgroup".into()),
            ..Handover::default()
        };
        Options { handover: Some(handover) }
    }
}

impl Pid1 {
    /// Boots what `fill` has put into the root file system.
    pub fn boot(fill: impl FnOnce(&Rootfs)) -> Pid1 {
        Pid1::boot_with(Options::default(), fill)
    }

    /// Boots with other options.
    pub fn boot_with(options: Options, fill: impl FnOnce(&Rootfs)) -> Pid1 {
        let dir = TempDir::with_prefix("ct-ns-").expect("a temporary directory");
        let rootfs = Rootfs::new(&dir.path().join("root"));
        fill(&rootfs);
        let group = OwnGroup::new().expect("a v2 tree");
        let spawned = spawn(&options, dir.path(), &rootfs, &group);
        let pid1 = Pid1 { spawned, dir, rootfs, group, gone: false };
        pid1.executed();
        pid1
    }

    /// Waits for the exec; a script that fails says where.
    fn executed(&self) {
        assert!(Deadline::default().ready(self.spawned.errors.as_fd(), PollFlags::POLLIN), "no exec");
        let mut report = [0u8; 64];
        let n = nix::unistd::read(&self.spawned.errors, &mut report).unwrap_or(0);
        assert_eq!(n, 0, "the script failed: {:?}", &report[..n]);
    }

    /// The socket on which it answers.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    /// A control connection.
    pub fn watch(&self) -> Watch {
        Watch::connect(&self.socket())
    }

    /// A control connection, once the default target is reached.
    pub fn ready(&self) -> Watch {
        let mut watch = self.watch();
        watch.ready();
        watch
    }

    /// Runs a shell line inside.
    pub fn sh(&self, line: &str) -> Outcome {
        client::sh(&self.socket(), line)
    }

    /// All log lines of a unit so far.
    pub fn logs(&self, unit: &str) -> Vec<String> {
        let wanted = Logs { unit: Some(unit.into()), ..Logs::default() };
        texts(client::logs(&self.socket(), wanted, |_| true))
    }

    /// Log lines of a unit, as they come, until one contains this.
    pub fn logged(&self, unit: &str, part: &str) -> Vec<String> {
        let wanted = Logs { unit: Some(unit.into()), follow: true, ..Logs::default() };
        texts(client::logs(&self.socket(), wanted, |all| all.iter().any(|l| l.text.contains(part))))
    }

    /// Its group on the host.
    pub fn group(&self) -> &Path {
        self.group.path()
    }

    /// Its pid on the host.
    pub fn pid(&self) -> u32 {
        self.spawned.pid
    }

    /// Sends it a signal from outside.
    pub fn signal(&self, signal: i32) {
        ct_sys::proc::pidfd_send_signal(self.spawned.pidfd.as_fd(), signal).expect("it runs");
    }

    /// What it wrote to its console.
    pub fn console(&self) -> String {
        fs::read_to_string(self.dir.path().join("console")).unwrap_or_default()
    }

    /// Waits for its end.
    pub fn wait(self) -> WaitStatus {
        self.wait_keeping(|| ()).0
    }

    /// Waits for its end, and looks at something before its files go.
    pub fn wait_keeping<T>(mut self, look: impl FnOnce() -> T) -> (WaitStatus, T) {
        assert!(Deadline::default().ready(self.spawned.pidfd.as_fd(), PollFlags::POLLIN), "it never ends");
        self.gone = true;
        let status = waitid(Id::PIDFd(self.spawned.pidfd.as_fd()), WaitPidFlag::WEXITED).expect("its status");
        (status, look())
    }

    /// Whether it has not ended.
    pub fn runs(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        waitid(Id::PIDFd(self.spawned.pidfd.as_fd()), flags) == Ok(WaitStatus::StillAlive)
    }
}

impl Drop for Pid1 {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("console of ct-init:\n{}", self.console());
        }
        if !self.gone {
            let _ = ct_sys::proc::pidfd_send_signal(self.spawned.pidfd.as_fd(), nix::libc::SIGKILL);
            let _ = waitid(Id::PIDFd(self.spawned.pidfd.as_fd()), WaitPidFlag::WEXITED);
        }
    }
}

fn texts(lines: Vec<Line>) -> Vec<String> {
    lines.into_iter().map(|l| l.text).collect()
}

fn spawn(options: &Options, dir: &Path, rootfs: &Rootfs, group: &OwnGroup) -> Spawned {
    let c = |s: &Path| CString::new(s.as_os_str().as_encoded_bytes()).expect("no NUL");
    let init = programs::path("ct-init").expect("ct-init is built (cargo build -p ct-init)");
    let init = open(&init, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).expect("open ct-init");
    let root = clone_tree(AT_FDCWD, &c(rootfs.path()), false).expect("clone the root");
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).expect("open /dev/null");
    let console =
        fs::OpenOptions::new().append(true).create(true).open(dir.join("console")).expect("a console");
    let listener = listener(&dir.join("sock"));
    let handover = options.handover.as_ref().map(handover);
    let at = dir.join("at");
    fs::create_dir(&at).expect("a directory");
    let mut high = Vec::new();
    let mut lift = |fd: &dyn AsFd| -> RawFd {
        let raw =
            fcntl(fd.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(FIRST_FREE_FD)).expect("duplicate a descriptor");
        high.push(ct_sys::proc::inherited(raw));
        raw
    };
    let mut s = Script::new();
    s.push(Op::NewSession).push(Op::Unshare(flags::NEWCGROUP)).push(Op::MountsPrivate);
    s.push(Op::AttachRoot { mount: lift(&root), at: c(&at) }).push(Op::Pivot);
    s.push(Op::Dup { from: lift(&null), to: 0 });
    let console = lift(&console);
    s.push(Op::Dup { from: console, to: 1 }).push(Op::Dup { from: console, to: 2 });
    s.push(Op::Dup { from: lift(&listener), to: LISTEN_FD });
    match &handover {
        Some(fd) => s.push(Op::Dup { from: lift(fd), to: HANDOVER_FD }),
        None => s.push(Op::Close(HANDOVER_FD)),
    };
    s.push(Op::CloseFrom(HANDOVER_FD + 1)).push(Op::Umask(0o022)).push(Op::Signals { ignore_pipe: false });
    s.push(Op::ExecFd { fd: lift(&init), argv: vec![c"ct-init".into()], env: vec![c"container=ct".into()] });
    let namespaces = flags::NEWNS | flags::NEWPID | flags::NEWUTS | flags::NEWIPC | flags::NEWNET;
    let group = fs::File::open(group.path()).expect("open the group");
    ct_sys::spawn(&s, namespaces, Some(group.as_fd())).expect("clone")
}

fn listener(path: &Path) -> OwnedFd {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).expect("make a socket");
    bind(fd.as_raw_fd(), &UnixAddr::new(path).expect("a short path")).expect("bind");
    listen(&fd, Backlog::new(64).expect("a backlog")).expect("listen");
    fd
}

fn handover(handover: &Handover) -> OwnedFd {
    let fd = memfd_create(c"handover", MFdFlags::MFD_CLOEXEC).expect("a memfd");
    let mut file = fs::File::from(fd);
    file.write_all(&postcard::to_stdvec(handover).expect("encode")).expect("write the handover");
    file.rewind().expect("rewind");
    file.into()
}
