//! run: the interpreter in the child. System calls only: no allocation, no lock, no panic, no return.
use super::{Lookup, Op, Ready, Target};
use libc::{c_char, c_int, c_long, syscall};
use std::ffi::CStr;
use std::os::fd::RawFd;

/// What the child keeps between operations.
struct Child<'a> {
    ready: &'a Ready<'a>,
    /// O_PATH descriptor of the new root, once attached.
    root: RawFd,
    report: RawFd,
}

/// An errno as a plain number: the child makes nothing richer.
type Done = Result<(), c_int>;

const OPEN_TREE_CLONE: u32 = 1;
const AT_RECURSIVE: u32 = 0x8000;
const AT_EMPTY: u32 = 0x1000;
const F_EMPTY_PATH: u32 = 0x04;
const T_EMPTY_PATH: u32 = 0x40;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const MOUNT_ATTR_RDONLY: u64 = 1;
const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_BENEATH: u64 = 0x08;
const RESOLVE_IN_ROOT: u64 = 0x10;
const EMPTY: *const c_char = c"".as_ptr();

fn errno() -> c_int {
    // SAFETY: returns this thread's errno location, which lives as long as the thread.
    unsafe { *libc::__errno_location() }
}

fn ok(r: c_long) -> Result<c_long, c_int> {
    if r < 0 { Err(errno()) } else { Ok(r) }
}

fn done(r: c_long) -> Done {
    ok(r).map(|_| ())
}

impl Ready<'_> {
    /// Carries out all operations; exec replaces the process, anything else ends in `_exit`.
    pub(crate) fn run(&self, report: RawFd) -> ! {
        let mut child = Child { ready: self, root: -1, report };
        for (i, op) in self.ops.iter().enumerate() {
            if let Err(e) = child.step(op) {
                child.fail(i as u32, e);
            }
        }
        child.fail(self.ops.len().saturating_sub(1) as u32, libc::ENOEXEC)
    }
}

// SAFETY (whole block): every call below passes pointers to C strings or plain structs that were made before the
// clone and live in this copy of the address space, descriptors that are numbers, and flags; results are checked.
// None of the calls allocates or takes a lock (raw syscalls and glibc's thin wrappers only).
impl Child<'_> {
    fn fail(&self, op: u32, errno: c_int) -> ! {
        let (a, b) = (op.to_le_bytes(), errno.to_le_bytes());
        let bytes = [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]];
        // SAFETY: see above.
        unsafe {
            libc::write(self.report, bytes.as_ptr().cast(), bytes.len());
            libc::_exit(127)
        }
    }

    fn step(&mut self, op: &Op) -> Done {
        match op {
            Op::WaitFor(fd) => wait_for(*fd),
            Op::Close(fd) => done(unsafe { syscall(libc::SYS_close, *fd) }),
            Op::DieWithParent => prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0),
            Op::NewSession => done(unsafe { syscall(libc::SYS_setsid) }),
            Op::Signals { ignore_pipe } => signals(*ignore_pipe),
            Op::Dup { from, to } => dup(*from, *to),
            Op::CloseFrom(fd) => close_from(*fd),
            Op::Rlimit { kind, soft, hard } => rlimit(*kind, *soft, *hard),
            Op::Nice(n) => done(unsafe { syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, *n) }),
            Op::OomScore(text) => write_file(c"/proc/self/oom_score_adj", text.as_bytes()),
            Op::Umask(m) => done(unsafe { syscall(libc::SYS_umask, *m) }),
            Op::Chdir(p) => done(unsafe { syscall(libc::SYS_chdir, p.as_ptr()) }),
            Op::Chroot(p) => {
                done(unsafe { syscall(libc::SYS_chroot, p.as_ptr()) })?;
                done(unsafe { syscall(libc::SYS_chdir, c"/".as_ptr()) })
            }
            Op::Groups(g) => done(unsafe { syscall(libc::SYS_setgroups, g.len(), g.as_ptr()) }),
            Op::Gid(g) => done(unsafe { syscall(libc::SYS_setresgid, *g, *g, *g) }),
            Op::Uid(u) => done(unsafe { syscall(libc::SYS_setresuid, *u, *u, *u) }),
            Op::KeepCaps => prctl(libc::PR_SET_KEEPCAPS, 1, 0),
            Op::Bounding(keep) => bounding(*keep),
            Op::Ambient(bits) => ambient(*bits),
            Op::NoNewPrivs => prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0),
            // KEYCTL_JOIN_SESSION_KEYRING is 1; without keyrings in the kernel there is nothing to leave.
            Op::NewKeyring => match done(unsafe { syscall(libc::SYS_keyctl, 1, 0, 0, 0, 0) }) {
                Err(libc::ENOSYS) => Ok(()),
                other => other,
            },
            Op::Hostname(h) => {
                done(unsafe { syscall(libc::SYS_sethostname, h.as_ptr(), h.as_bytes().len()) })
            }
            Op::Unshare(f) => done(unsafe { syscall(libc::SYS_unshare, *f) }),
            Op::Write { path, bytes } => write_file(path, bytes),
            Op::MountsPrivate => {
                let flags = libc::MS_REC | libc::MS_PRIVATE;
                done(unsafe { syscall(libc::SYS_mount, EMPTY, c"/".as_ptr(), EMPTY, flags, EMPTY) })
            }
            Op::Mount { source, target, fstype, flags, data } => done(unsafe {
                syscall(
                    libc::SYS_mount,
                    source.as_ptr(),
                    target.as_ptr(),
                    fstype.as_ptr(),
                    *flags,
                    data.as_ptr(),
                )
            }),
            Op::AttachRoot { mount, at } => self.attach_root(*mount, at),
            Op::MakeDir { path, mode } => self.make_dir(path, *mode),
            Op::NewFs { fstype, options, attrs, target, lookup, optional } => {
                match self.new_fs(fstype, options, *attrs, target, *lookup) {
                    Err(libc::EPERM | libc::ENODEV | libc::EBUSY | libc::EINVAL) if *optional => Ok(()),
                    other => other,
                }
            }
            Op::Bind { source, target, make, recursive, attrs, lookup, optional } => {
                let flags = if *recursive { AT_RECURSIVE } else { 0 };
                match clone_tree(libc::AT_FDCWD, source, flags) {
                    Err(libc::ENOENT) if *optional => Ok(()),
                    Err(e) => Err(e),
                    Ok(tree) => {
                        set_attrs(tree, *attrs, flags)?;
                        self.attach(tree, target, *make, *lookup)
                    }
                }
            }
            Op::BindFd { mount, target, make, lookup } => self.attach(*mount, target, *make, *lookup),
            Op::Mask(path) => self.mask(path),
            Op::ReadOnly(path) => self.read_only(path),
            Op::Symlink { to, link } => self.symlink(to, link),
            Op::Pivot => self.pivot(),
            Op::ControllingTty => done(unsafe { syscall(libc::SYS_ioctl, 0, libc::TIOCSCTTY, 0) }),
            Op::Seccomp(program) => seccomp(program),
            Op::Exec { path, .. } => done(unsafe {
                syscall(libc::SYS_execve, path.as_ptr(), self.ready.argv.as_ptr(), self.ready.env.as_ptr())
            }),
            Op::ExecFd { fd, .. } => done(unsafe {
                let (argv, env) = (self.ready.argv.as_ptr(), self.ready.env.as_ptr());
                syscall(libc::SYS_execveat, *fd, EMPTY, argv, env, libc::AT_EMPTY_PATH)
            }),
        }
    }

    fn attach_root(&mut self, mount: RawFd, at: &CStr) -> Done {
        let flags = F_EMPTY_PATH;
        done(unsafe { syscall(libc::SYS_move_mount, mount, EMPTY, libc::AT_FDCWD, at.as_ptr(), flags) })?;
        self.root = open_how(libc::AT_FDCWD, at, libc::O_PATH | libc::O_DIRECTORY, 0)?;
        Ok(())
    }

    /// Opens a path of the root with O_PATH.
    fn find(&self, path: &CStr, lookup: Lookup) -> Result<RawFd, c_int> {
        let resolve = match lookup {
            Lookup::NoLinks => RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
            Lookup::InRoot => RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
        };
        open_how(self.root, path, libc::O_PATH, resolve)
    }

    /// Opens a mount target; makes it and the directories above it, one component at a time, if it is missing.
    fn target(&self, path: &CStr, make: Target, lookup: Lookup) -> Result<RawFd, c_int> {
        match self.find(path, lookup) {
            Err(libc::ENOENT) => {}
            found => return found,
        }
        let mut name = [0u8; 256];
        let mut dir = self.root;
        let mut rest = path.to_bytes();
        loop {
            let cut = rest.iter().position(|&b| b == b'/');
            let (part, next) = match cut {
                Some(i) => (&rest[..i], Some(&rest[i + 1..])),
                None => (rest, None),
            };
            if !part.is_empty() {
                let part = bounded(part, &mut name)?;
                let last = next.is_none_or(<[u8]>::is_empty);
                let step = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
                let made = if last && make == Target::File {
                    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
                    let fd = unsafe { syscall(libc::SYS_openat, dir, part.as_ptr(), flags, 0o644) };
                    ok(fd).map(|fd| close(fd as RawFd))
                } else {
                    ok(unsafe { syscall(libc::SYS_mkdirat, dir, part.as_ptr(), 0o755) }).map(|_| ())
                };
                match made {
                    Ok(()) | Err(libc::EEXIST) => {}
                    Err(e) => return Err(e),
                }
                let below = open_how(dir, part, libc::O_PATH, step)?;
                if dir != self.root {
                    close(dir);
                }
                dir = below;
            }
            match next {
                Some(more) => rest = more,
                None => return Ok(dir),
            }
        }
    }

    fn attach(&self, mount: RawFd, path: &CStr, make: Target, lookup: Lookup) -> Done {
        let target = self.target(path, make, lookup)?;
        let flags = F_EMPTY_PATH | T_EMPTY_PATH;
        let moved = done(unsafe { syscall(libc::SYS_move_mount, mount, EMPTY, target, EMPTY, flags) });
        close(mount);
        close(target);
        moved
    }

    fn make_dir(&self, path: &CStr, mode: u32) -> Done {
        let fd = self.target(path, Target::Directory, Lookup::InRoot)?;
        // fchmodat on an O_PATH descriptor goes through /proc, which need not be there: only a fresh one is ours.
        let r = unsafe { syscall(libc::SYS_fchmodat2, fd, EMPTY, mode, libc::AT_EMPTY_PATH) };
        close(fd);
        match done(r) {
            Err(libc::ENOSYS | libc::EPERM | libc::EROFS) => Ok(()),
            other => other,
        }
    }

    fn new_fs(
        &self,
        fstype: &CStr,
        options: &[(std::ffi::CString, Option<std::ffi::CString>)],
        attrs: u64,
        target: &CStr,
        lookup: Lookup,
    ) -> Done {
        let mount = new_mount(fstype, options, attrs)?;
        self.attach(mount, target, Target::Directory, lookup)
    }

    fn mask(&self, path: &CStr) -> Done {
        let fd = match self.find(path, Lookup::NoLinks) {
            Err(libc::ENOENT | libc::ELOOP | libc::EACCES) => return Ok(()),
            found => found?,
        };
        let cover = if is_directory(fd)? {
            new_mount(c"tmpfs", &[], MOUNT_ATTR_RDONLY)?
        } else {
            clone_tree(libc::AT_FDCWD, c"/dev/null", 0)?
        };
        let flags = F_EMPTY_PATH | T_EMPTY_PATH;
        let moved = done(unsafe { syscall(libc::SYS_move_mount, cover, EMPTY, fd, EMPTY, flags) });
        close(cover);
        close(fd);
        moved
    }

    fn read_only(&self, path: &CStr) -> Done {
        let fd = match self.find(path, Lookup::NoLinks) {
            Err(libc::ENOENT | libc::ELOOP) => return Ok(()),
            found => found?,
        };
        let tree = clone_tree(fd, c"", AT_EMPTY | AT_RECURSIVE)?;
        set_attrs(tree, MOUNT_ATTR_RDONLY, AT_RECURSIVE)?;
        let flags = F_EMPTY_PATH | T_EMPTY_PATH;
        let moved = done(unsafe { syscall(libc::SYS_move_mount, tree, EMPTY, fd, EMPTY, flags) });
        close(tree);
        close(fd);
        moved
    }

    fn symlink(&self, to: &CStr, link: &CStr) -> Done {
        let mut parent = [0u8; 256];
        let bytes = link.to_bytes();
        let (dir, name) = match bytes.iter().rposition(|&b| b == b'/') {
            Some(i) => {
                let fd = self.find(bounded(&bytes[..i], &mut parent)?, Lookup::NoLinks)?;
                (fd, unsafe { link.as_ptr().add(i + 1) })
            }
            None => (self.root, link.as_ptr()),
        };
        let made = done(unsafe { syscall(libc::SYS_symlinkat, to.as_ptr(), dir, name) });
        if dir != self.root {
            close(dir);
        }
        match made {
            Err(libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    fn pivot(&mut self) -> Done {
        done(unsafe { syscall(libc::SYS_fchdir, self.root) })?;
        // With both paths the same, the old root ends up on top of the new one and is detached from there.
        done(unsafe { syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
        done(unsafe { syscall(libc::SYS_umount2, c".".as_ptr(), libc::MNT_DETACH) })?;
        close(self.root);
        self.root = -1;
        done(unsafe { syscall(libc::SYS_chdir, c"/".as_ptr()) })
    }
}

fn close(fd: RawFd) {
    // SAFETY: closing a descriptor number of this process; an error changes nothing.
    unsafe { syscall(libc::SYS_close, fd) };
}

/// Copies a path part into a buffer with a NUL behind it.
fn bounded<'b>(part: &[u8], buffer: &'b mut [u8; 256]) -> Result<&'b CStr, c_int> {
    if part.len() >= buffer.len() {
        return Err(libc::ENAMETOOLONG);
    }
    buffer[..part.len()].copy_from_slice(part);
    buffer[part.len()] = 0;
    CStr::from_bytes_until_nul(buffer).map_err(|_| libc::EINVAL)
}

fn open_how(dir: RawFd, path: &CStr, flags: c_int, resolve: u64) -> Result<RawFd, c_int> {
    // SAFETY: open_how is three integers.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.resolve = resolve;
    let size = size_of::<libc::open_how>();
    // SAFETY: a C string and a struct of the size we say.
    ok(unsafe { syscall(libc::SYS_openat2, dir, path.as_ptr(), &raw const how, size) }).map(|fd| fd as RawFd)
}

fn clone_tree(dir: RawFd, path: &CStr, flags: u32) -> Result<RawFd, c_int> {
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | flags;
    // SAFETY: a C string and flags.
    ok(unsafe { syscall(libc::SYS_open_tree, dir, path.as_ptr(), flags) }).map(|fd| fd as RawFd)
}

fn set_attrs(tree: RawFd, attrs: u64, flags: u32) -> Done {
    if attrs == 0 {
        return Ok(());
    }
    let attr = libc::mount_attr { attr_set: attrs, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let size = size_of::<libc::mount_attr>();
    // SAFETY: a struct of the size we say.
    done(unsafe { syscall(libc::SYS_mount_setattr, tree, EMPTY, AT_EMPTY | flags, &raw const attr, size) })
}

fn new_mount(
    fstype: &CStr,
    options: &[(std::ffi::CString, Option<std::ffi::CString>)],
    attrs: u64,
) -> Result<RawFd, c_int> {
    // SAFETY: C strings and flags; descriptors are checked.
    unsafe {
        let fs = ok(syscall(libc::SYS_fsopen, fstype.as_ptr(), 1))? as RawFd;
        let none: *const c_char = std::ptr::null();
        for (key, value) in options {
            let r = match value {
                Some(v) => syscall(libc::SYS_fsconfig, fs, FSCONFIG_SET_STRING, key.as_ptr(), v.as_ptr(), 0),
                None => syscall(libc::SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key.as_ptr(), none, 0),
            };
            done(r)?;
        }
        done(syscall(libc::SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, none, none, 0))?;
        let mount = ok(syscall(libc::SYS_fsmount, fs, 1, attrs))? as RawFd;
        close(fs);
        Ok(mount)
    }
}

fn is_directory(fd: RawFd) -> Result<bool, c_int> {
    // SAFETY: fstat fills the struct or fails.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        done(libc::fstat(fd, &raw mut stat).into())?;
        Ok(stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
    }
}

fn wait_for(fd: RawFd) -> Done {
    let mut byte = 0u8;
    loop {
        // SAFETY: one byte into a local.
        match ok(unsafe { syscall(libc::SYS_read, fd, &raw mut byte, 1) }) {
            Ok(0) => return Err(libc::EPIPE),
            Ok(_) => return Ok(()),
            Err(libc::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// The kernel's own struct sigaction; glibc's wrapper keeps signals 32 and 33 to itself.
#[repr(C)]
struct KernelSigaction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// Every signal gets its default (clone3 has cleared handlers, but what was ignored stays so), then all are unblocked.
fn signals(ignore_pipe: bool) -> Done {
    let act = |handler| KernelSigaction { handler, flags: 0, restorer: 0, mask: 0 };
    let null: *mut KernelSigaction = std::ptr::null_mut();
    for signal in 1..=64 {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        let ignore = ignore_pipe && signal == libc::SIGPIPE;
        let new = act(if ignore { libc::SIG_IGN } else { libc::SIG_DFL });
        // SAFETY: the kernel reads a struct of its own layout; the mask is 8 bytes.
        done(unsafe { syscall(libc::SYS_rt_sigaction, signal, &raw const new, null, 8) })?;
    }
    let none = 0u64;
    let old: *mut u64 = std::ptr::null_mut();
    // SAFETY: as above.
    done(unsafe { syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const none, old, 8) })
}

fn dup(from: RawFd, to: RawFd) -> Done {
    // SAFETY: descriptor numbers only.
    unsafe {
        if from == to {
            done(libc::fcntl(from, libc::F_SETFD, 0).into())
        } else {
            done(syscall(libc::SYS_dup3, from, to, 0))
        }
    }
}

fn close_from(first: RawFd) -> Done {
    const CLOEXEC: u32 = 4;
    // SAFETY: a range of descriptor numbers.
    done(unsafe { syscall(libc::SYS_close_range, first, u32::MAX, CLOEXEC) })
}

fn rlimit(kind: u8, soft: u64, hard: u64) -> Done {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let null: *mut libc::rlimit64 = std::ptr::null_mut();
    // SAFETY: a struct of two integers.
    done(unsafe { syscall(libc::SYS_prlimit64, 0, c_long::from(kind), &raw const limit, null) })
}

fn write_file(path: &CStr, bytes: &[u8]) -> Done {
    let fd = open_how(libc::AT_FDCWD, path, libc::O_WRONLY, 0)?;
    // SAFETY: a buffer and its length.
    let wrote = done(unsafe { syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) });
    close(fd);
    wrote
}

fn prctl(what: c_int, a: u64, b: u64) -> Done {
    // SAFETY: integers only.
    done(unsafe { syscall(libc::SYS_prctl, c_long::from(what), a, b, 0, 0) })
}

fn bounding(keep: u64) -> Done {
    for cap in 0..64u64 {
        if keep & (1 << cap) != 0 {
            continue;
        }
        match prctl(libc::PR_CAPBSET_DROP, cap, 0) {
            // EINVAL: past the last capability of this kernel.
            Err(libc::EINVAL) => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapHeader {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn ambient(bits: u64) -> Done {
    let header = CapHeader { version: 0x2008_0522, pid: 0 };
    let half = |w: u32| CapData { effective: w, permitted: w, inheritable: w };
    let data = [half(bits as u32), half((bits >> 32) as u32)];
    // SAFETY: the header asks for version 3, which has two halves.
    done(unsafe { syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    for cap in 0..64u64 {
        if bits & (1 << cap) != 0 {
            prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, cap)?;
        }
    }
    Ok(())
}

#[repr(C)]
struct Program {
    len: u16,
    filter: *const super::Filter,
}

fn seccomp(filter: &[super::Filter]) -> Done {
    let program = Program { len: filter.len() as u16, filter: filter.as_ptr() };
    // SAFETY: SECCOMP_SET_MODE_FILTER (1) reads the program, which is laid out as struct sock_fprog.
    done(unsafe { syscall(libc::SYS_seccomp, 1, 0, &raw const program) })
}
