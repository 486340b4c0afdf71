//! script: what a child does between clone and exec, as a flat list. No allocation and no lock in the child.
//!
//! Strings and pointer arrays are made beforehand; the interpreter in [`Ready::run`] only makes system calls and
//! reports the first one that fails as `(operation, errno)` on a close-on-exec pipe.
use crate::Errno;
use std::ffi::CString;
use std::os::fd::RawFd;

mod run;

/// One instruction of a classic BPF program, `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Filter {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// How a target inside the new root is found. Never outside the root, never by a magic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Any symbolic link on the way is an error (ELOOP): for /dev, /proc, /sys.
    NoLinks,
    /// Links are followed as the container would, inside its root.
    InRoot,
}

/// What a missing mount target is made as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Target {
    Directory,
    File,
}

/// One operation. Paths "in the root" are relative to what [`Op::AttachRoot`] attached, without a leading slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Waits for one byte; end of file means the parent is gone, and so goes the child.
    WaitFor(RawFd),
    /// Closes an inherited descriptor.
    Close(RawFd),
    /// setsid.
    NewSession,
    /// SIGKILL at the end of the thread that has cloned it.
    DieWithParent,
    /// Unblocks all signals; SIGPIPE is ignored from here on if so asked. (Handlers are default since clone3.)
    Signals {
        /// `IgnoreSIGPIPE=yes`.
        ignore_pipe: bool,
    },
    /// dup2, and the copy survives exec.
    Dup {
        /// This.
        from: RawFd,
        /// Here.
        to: RawFd,
    },
    /// Marks every descriptor from this one on close-on-exec.
    CloseFrom(RawFd),
    /// setrlimit; `u64::MAX` is infinity.
    Rlimit {
        /// The kernel's number.
        kind: u8,
        /// Soft.
        soft: u64,
        /// Hard.
        hard: u64,
    },
    /// setpriority.
    Nice(i32),
    /// Writes the text to /proc/self/oom_score_adj.
    OomScore(CString),
    /// umask.
    Umask(u32),
    /// chdir.
    Chdir(CString),
    /// chroot, then chdir to its /.
    Chroot(CString),
    /// setgroups.
    Groups(Vec<u32>),
    /// setresgid.
    Gid(u32),
    /// setresuid.
    Uid(u32),
    /// Capabilities survive the next change of uid.
    KeepCaps,
    /// Drops every capability that is not in these bits from the bounding set (and, once exec'd, for good).
    Bounding(u64),
    /// Makes exactly these permitted, effective, inheritable and ambient.
    Ambient(u64),
    /// prctl no_new_privs.
    NoNewPrivs,
    /// A session keyring of its own.
    NewKeyring,
    /// sethostname.
    Hostname(CString),
    /// unshare with these flags.
    Unshare(u64),
    /// open, write, close; the file must exist.
    Write {
        /// Where.
        path: CString,
        /// What.
        bytes: Vec<u8>,
    },
    /// Makes every mount of this namespace private, so that nothing goes back to the host.
    MountsPrivate,
    /// mount(2), in the present root.
    Mount {
        /// As mount(8) knows it; empty for none.
        source: CString,
        /// Absolute.
        target: CString,
        /// Empty for a bind.
        fstype: CString,
        /// MS_*.
        flags: u64,
        /// Comma separated.
        data: CString,
    },
    /// Attaches a detached mount at a directory of the present root and makes it "the root" of what follows.
    AttachRoot {
        /// The detached mount.
        mount: RawFd,
        /// An empty directory.
        at: CString,
    },
    /// Makes a directory in the root unless it is there.
    MakeDir {
        /// In the root.
        path: CString,
        /// Permission bits.
        mode: u32,
    },
    /// A new file system instance, mounted in the root.
    NewFs {
        /// `proc`, `tmpfs` …
        fstype: CString,
        /// Keys and values; a key without a value is a flag.
        options: Vec<(CString, Option<CString>)>,
        /// MOUNT_ATTR_*.
        attrs: u64,
        /// In the root.
        target: CString,
        /// How it is found.
        lookup: Lookup,
        /// On EPERM, ENODEV, EBUSY go on without it.
        optional: bool,
    },
    /// Clones a path of the present root (the host's, before Pivot) and attaches it in the root.
    Bind {
        /// Of the present root.
        source: CString,
        /// In the root.
        target: CString,
        /// As what the target is made if it is missing.
        make: Target,
        /// With all that is mounted below.
        recursive: bool,
        /// MOUNT_ATTR_* to set.
        attrs: u64,
        /// How the target is found.
        lookup: Lookup,
        /// A missing source is no error.
        optional: bool,
    },
    /// Attaches a detached mount that the parent has prepared.
    BindFd {
        /// The detached mount.
        mount: RawFd,
        /// In the root.
        target: CString,
        /// As what the target is made if it is missing.
        make: Target,
        /// How the target is found.
        lookup: Lookup,
    },
    /// Covers a path of the root: a file with /dev/null, a directory with an empty read-only tmpfs. Missing: nothing.
    Mask(CString),
    /// Makes a path of the root read-only with all below it. Missing: nothing.
    ReadOnly(CString),
    /// A symbolic link in the root; already there: nothing.
    Symlink {
        /// What it says.
        to: CString,
        /// In the root.
        link: CString,
    },
    /// The root becomes `/`; the old one is detached.
    Pivot,
    /// Descriptor 0 becomes the controlling terminal.
    ControllingTty,
    /// Installs a system call filter.
    Seccomp(Vec<Filter>),
    /// execve: the last operation.
    Exec {
        /// What.
        path: CString,
        /// argv.
        argv: Vec<CString>,
        /// envp.
        env: Vec<CString>,
    },
    /// execveat of a descriptor: the last operation.
    ExecFd {
        /// O_PATH will do.
        fd: RawFd,
        /// argv.
        argv: Vec<CString>,
        /// envp.
        env: Vec<CString>,
    },
}

/// A list of operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    ops: Vec<Op>,
}

/// A failure as the child reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it tried: `changing to /srv`.
    pub tried: String,
    /// What the kernel said.
    pub errno: Errno,
    /// Whether it was the exec itself (the program is missing, not executable, of a wrong format).
    pub exec: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.tried, self.errno.desc())
    }
}

/// The operation and the errno of a failure report.
pub fn parse_report(report: &[u8]) -> Option<(u32, Errno)> {
    let (index, errno) = report.get(..REPORT_LEN)?.split_at(4);
    let index = u32::from_le_bytes(index.try_into().ok()?);
    Some((index, Errno::from_raw(i32::from_le_bytes(errno.try_into().ok()?))))
}

/// Bytes of a failure report: operation index and errno, both little endian.
pub const REPORT_LEN: usize = 8;

impl Script {
    /// An empty one.
    pub fn new() -> Script {
        Script::default()
    }
    /// Adds an operation at the end.
    pub fn push(&mut self, op: Op) -> &mut Script {
        self.ops.push(op);
        self
    }
    /// What is in it, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }
    /// What the bytes from the error pipe mean; none for anything that is not a report.
    pub fn explain(&self, report: &[u8]) -> Option<Failure> {
        let (index, errno) = parse_report(report)?;
        let op = self.ops.get(usize::try_from(index).ok()?)?;
        let exec = matches!(op, Op::Exec { .. } | Op::ExecFd { .. });
        Some(Failure { tried: op.to_string(), errno, exec })
    }
    /// Pointer arrays for exec, made before the clone because the child must not allocate.
    pub(crate) fn prepare(&self) -> Ready<'_> {
        let pointers = |list: &[CString]| {
            list.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect::<Vec<_>>()
        };
        let exec = self.ops.iter().rev().find_map(|op| match op {
            Op::Exec { argv, env, .. } | Op::ExecFd { argv, env, .. } => {
                Some((pointers(argv), pointers(env)))
            }
            _ => None,
        });
        let (argv, env) = exec.unwrap_or_else(|| (vec![std::ptr::null()], vec![std::ptr::null()]));
        Ready { ops: &self.ops, argv, env }
    }
}

/// A script with all its pointers in place.
pub(crate) struct Ready<'a> {
    ops: &'a [Op],
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
}

impl std::fmt::Display for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = |c: &CString| c.to_string_lossy().into_owned();
        match self {
            Op::WaitFor(_) => write!(f, "wait for the parent"),
            Op::Close(fd) => write!(f, "close descriptor {fd}"),
            Op::NewSession => write!(f, "make a session"),
            Op::DieWithParent => write!(f, "be killed at the end of the parent"),
            Op::Signals { ignore_pipe } => {
                write!(f, "reset signals{}", if *ignore_pipe { ", ignore SIGPIPE" } else { "" })
            }
            Op::Dup { from, to } => write!(f, "make descriptor {from} descriptor {to}"),
            Op::CloseFrom(fd) => write!(f, "close descriptors from {fd} on at exec"),
            Op::Rlimit { kind, soft, hard } => write!(f, "set resource limit {kind} to {soft}:{hard}"),
            Op::Nice(n) => write!(f, "set nice to {n}"),
            Op::OomScore(n) => write!(f, "set oom_score_adj to {}", s(n)),
            Op::Umask(m) => write!(f, "set umask {m:04o}"),
            Op::Chdir(p) => write!(f, "change to directory {}", s(p)),
            Op::Chroot(p) => write!(f, "change root to {}", s(p)),
            Op::Groups(g) => write!(f, "set supplementary groups {g:?}"),
            Op::Gid(g) => write!(f, "set group id {g}"),
            Op::Uid(u) => write!(f, "set user id {u}"),
            Op::KeepCaps => write!(f, "keep capabilities"),
            Op::Bounding(b) => write!(f, "limit capabilities to {b:#x}"),
            Op::Ambient(b) => write!(f, "set ambient capabilities {b:#x}"),
            Op::NoNewPrivs => write!(f, "set no_new_privs"),
            Op::NewKeyring => write!(f, "make a session keyring"),
            Op::Hostname(h) => write!(f, "set hostname {}", s(h)),
            Op::Unshare(n) => write!(f, "unshare namespaces {n:#x}"),
            Op::Write { path, .. } => write!(f, "write {}", s(path)),
            Op::MountsPrivate => write!(f, "make mounts private"),
            Op::Mount { source, target, fstype, .. } if fstype.is_empty() => {
                write!(f, "bind {} on {}", s(source), s(target))
            }
            Op::Mount { target, fstype, .. } => write!(f, "mount {} on {}", s(fstype), s(target)),
            Op::AttachRoot { at, .. } => write!(f, "attach the root file system at {}", s(at)),
            Op::MakeDir { path, .. } => write!(f, "make directory /{}", s(path)),
            Op::NewFs { fstype, target, .. } => write!(f, "mount {} on /{}", s(fstype), s(target)),
            Op::Bind { source, target, .. } => write!(f, "bind {} on /{}", s(source), s(target)),
            Op::BindFd { target, .. } => write!(f, "attach a mount on /{}", s(target)),
            Op::Mask(p) => write!(f, "mask /{}", s(p)),
            Op::ReadOnly(p) => write!(f, "make /{} read-only", s(p)),
            Op::Symlink { to, link } => write!(f, "link /{} to {}", s(link), s(to)),
            Op::Pivot => write!(f, "pivot to the new root"),
            Op::ControllingTty => write!(f, "take the controlling terminal"),
            Op::Seccomp(p) => write!(f, "install a system call filter of {} instructions", p.len()),
            Op::Exec { path, .. } => write!(f, "execute {}", s(path)),
            Op::ExecFd { argv, .. } => {
                write!(f, "execute {}", argv.first().map(s).unwrap_or_default())
            }
        }
    }
}
