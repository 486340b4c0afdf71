//! mounts: the file systems that a host's PID 1 needs before it can read a unit. Skips what is there.
use rustix::io::Errno;
use rustix::mount::MountFlags;
use std::ffi::CStr;

/// The kernel's number for a cgroup v2 file system.
const CGROUP2: i64 = 0x6367_7270;
/// And for tmpfs, which devtmpfs says it is.
const TMPFS: i64 = 0x0102_1994;
const PROC: i64 = 0x9fa0;

/// /proc, without which nobody can be told apart from anybody.
pub fn proc() {
    if !is("/proc", PROC) {
        let _exists = rustix::fs::mkdir("/proc", rustix::fs::Mode::from_raw_mode(0o555));
        // What fails here is said when the rest is mounted.
        let strict = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let _failed = rustix::mount::mount("proc", "/proc", "proc", strict, None::<&CStr>);
    }
}

/// The host's own: the kernel's devices, all cgroup controllers in one tree. What can't be had comes back as sentences.
pub fn early() -> Vec<String> {
    let mut notices = Vec::new();
    let strict = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if !is("/dev", TMPFS) {
        mount(&mut notices, "/dev", "devtmpfs", MountFlags::NOSUID, c"mode=0755,size=4m");
    }
    if !is("/sys", 0x6265_6572) {
        mount(&mut notices, "/sys", "sysfs", strict, c"");
    }
    if !is("/sys/fs/cgroup", CGROUP2) {
        // nsdelegate: a container's own tree ends at its namespace. memory_recursiveprot: what protects a container
        // protects what is in it. An older kernel knows neither.
        let options = c"nsdelegate,memory_recursiveprot";
        let mut refused = Vec::new();
        mount(&mut refused, "/sys/fs/cgroup", "cgroup2", strict, options);
        if !refused.is_empty() {
            mount(&mut notices, "/sys/fs/cgroup", "cgroup2", strict, c"");
        }
    }
    // Kernels are built without them.
    let mut absent = Vec::new();
    for (at, kind, magic, data) in [
        ("/sys/kernel/security", "securityfs", 0x7363_6673, c""),
        ("/sys/fs/bpf", "bpf", 0xcafe_4a11, c"mode=0700"),
    ] {
        if !is(at, magic) {
            mount(&mut absent, at, kind, strict, data);
        }
    }
    notices
}

/// The controllers that this host's cgroup tree has.
pub fn controllers() -> Vec<String> {
    let all = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    all.split_whitespace().map(str::to_owned).collect()
}

fn is(path: &str, magic: i64) -> bool {
    rustix::fs::statfs(path).is_ok_and(|s| s.f_type == magic)
}

fn mount(notices: &mut Vec<String>, at: &str, kind: &str, flags: MountFlags, data: &CStr) {
    match rustix::fs::mkdir(at, rustix::fs::Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => (),
        // A read-only root without the directory: the mount says so.
        Err(_) => (),
    }
    let data = (!data.is_empty()).then_some(data);
    match rustix::mount::mount(kind, at, kind, flags, data) {
        Ok(()) | Err(Errno::BUSY) => (),
        Err(e) => notices.push(format!("mount {kind} on {at}: {}", std::io::Error::from(e))),
    }
}
