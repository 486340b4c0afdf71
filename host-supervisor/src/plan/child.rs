//! child: what the cloned process does up to exec, as ct-sys operations. Touches nothing.
//!
//! Descriptors are not known before apply; [`Slots`] names them, and a printed plan shows them by name.
use super::{Group, Tree};
use crate::facts::Cgroups;
use crate::paths::Paths;
use crate::resolve::CALLS;
use crate::spec::{Init, Root, Spec};
use ct_init::proto::{HANDOVER_FD, Handover, LISTEN_FD};
use ct_sys::flags;
use ct_sys::mount::attr;
use ct_sys::script::{Filter, Lookup, Op, Script, Target};
use std::ffi::CString;
use std::fmt;
use std::os::fd::RawFd;
use std::path::PathBuf;

/// The child of one container.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// What it is made from.
    pub spec: Spec,
    /// The v2 group it is born in; none without a v2 tree.
    pub group: Option<String>,
    /// v1 groups that it joins by itself: nobody can be born in one. A process that moves itself alone through `tasks`
    /// waits for nobody; moved by another, all forks of the host wait for a grace period, 8 to 15 ms a container.
    pub joins: Vec<Join>,
    /// v2 controllers its services can be limited by.
    pub controllers: Vec<String>,
    /// An empty directory of the host to attach its root at.
    pub attach_at: PathBuf,
}

/// A v1 group and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Which.
    pub group: Group,
    /// Where the child writes itself.
    pub tasks: PathBuf,
}

/// The descriptors that apply has made for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Read end: one byte lets it go.
    pub go: RawFd,
    /// The write end, which it must not keep.
    pub go_writer: RawFd,
    /// Detached root mounts, `/` first.
    pub roots: Vec<RawFd>,
    /// Detached binds in the order of the spec; none for one that is optional and missing.
    pub binds: Vec<Option<(RawFd, Target)>>,
    /// The ct-init program.
    pub init: RawFd,
    /// ct-init's listening socket.
    pub listen: RawFd,
    /// A memfd with the handover.
    pub handover: RawFd,
    /// Where stdout and stderr of PID 1 go.
    pub log: RawFd,
    /// /dev/null.
    pub null: RawFd,
    /// Negative CLOCK_MONOTONIC and CLOCK_BOOTTIME in whole seconds.
    pub clocks: (i64, i64),
    /// The compiled system call filter.
    pub filter: Vec<Filter>,
}

impl Child {
    /// Of a spec.
    pub fn of(spec: &Spec, cgroups: &Cgroups, paths: &Paths) -> Child {
        let mut controllers: Vec<_> = spec.delegates.iter().map(|c| c.name(false).to_owned()).collect();
        controllers.sort();
        let join = |(c, mount): (_, &PathBuf)| Join {
            group: Group { tree: Tree::V1(c), path: spec.group.clone() },
            tasks: mount.join(&spec.group).join("tasks"),
        };
        let joins = spec.joins.iter().filter_map(|c| Some((*c, cgroups.v1.get(c)?))).map(join).collect();
        Child {
            joins,
            group: cgroups.unified.as_ref().map(|_| format!("{}/payload", spec.group)),
            controllers,
            attach_at: paths.run_of(&spec.name).join("root"),
            spec: spec.clone(),
        }
    }

    /// The namespaces of clone3. Cgroup and time follow by unshare: the one has to see the group that the child was
    /// put in, and the other takes effect at exec only.
    pub fn namespaces(&self) -> u64 {
        let user = if self.spec.ids.is_some() { flags::NEWUSER } else { 0 };
        flags::NEWNS | flags::NEWPID | flags::NEWUTS | flags::NEWIPC | flags::NEWNET | user
    }

    /// What ct-init is told.
    pub fn handover(&self) -> Handover {
        Handover {
            name: self.spec.name.clone(),
            hostname: self.spec.hostname.clone(),
            unit: self.spec.unit.clone(),
            environment: self.spec.environment.clone(),
            cgroup: self.group.as_ref().map(|_| "/sys/fs/cgroup".to_owned()),
            controllers: self.controllers.clone(),
            notices: self.spec.not_in_force.clone(),
            ready: self.spec.ready.clone(),
            health: self.spec.health.clone(),
            // Twice as often as it has to be: one that comes late is no reason yet.
            keep_alive: self.spec.watchdog.map(|w| w / 2),
        }
    }

    /// The operations, in order; the reason for each place stands beside it.
    ///
    /// # Errors
    /// The string that holds a NUL byte.
    pub fn script(&self, slots: &Slots) -> Result<Script, Nul> {
        let spec = &self.spec;
        let mut s = Script::new();
        // Without the writer's end, the parent's death ends the wait.
        s.push(Op::Close(slots.go_writer)).push(Op::WaitFor(slots.go));
        // Before it runs, mounts or makes anything: all of it counts against the container.
        for join in &self.joins {
            s.push(Op::Write { path: c(&join.tasks.to_string_lossy())?, bytes: b"0".to_vec() });
        }
        s.push(Op::NewSession).push(Op::NewKeyring);
        // By now it is in its groups: they become the root of what it sees.
        s.push(Op::Unshare(flags::NEWCGROUP));
        if spec.time_namespace {
            // Before the change of ids, which makes /proc/self the host's.
            s.push(Op::Unshare(flags::NEWTIME));
            let (monotonic, boot) = slots.clocks;
            let text = format!("monotonic {monotonic} 0\nboottime {boot} 0\n");
            s.push(Op::Write { path: c("/proc/self/timens_offsets")?, bytes: text.into_bytes() });
        }
        if spec.oom_score_adjust != 0 {
            s.push(Op::OomScore(c(&spec.oom_score_adjust.to_string())?));
        }
        for (kind, soft, hard) in &spec.rlimits {
            let raw = |v: &Option<u64>| v.unwrap_or(u64::MAX);
            s.push(Op::Rlimit { kind: *kind, soft: raw(soft), hard: raw(hard) });
        }
        s.push(Op::MountsPrivate);
        // The directory is below paths that only the host's root may enter, so before the change of ids.
        let root = slots.roots.first().copied().unwrap_or(-1);
        s.push(Op::AttachRoot { mount: root, at: c(&self.attach_at.to_string_lossy())? });
        if spec.ids.is_some() {
            s.push(Op::Gid(0)).push(Op::Groups(vec![])).push(Op::Uid(0));
        }
        self.file_systems(slots, &mut s)?;
        s.push(Op::Pivot);
        s.push(Op::Hostname(c(&spec.hostname)?));
        self.descriptors(slots, &mut s);
        s.push(Op::Umask(0o022));
        s.push(Op::Bounding(spec.capabilities));
        if spec.no_new_privileges {
            s.push(Op::NoNewPrivs);
        }
        s.push(Op::Signals { ignore_pipe: false });
        // Last, for it may refuse what the operations above need.
        s.push(Op::Seccomp(slots.filter.clone()));
        s.push(self.exec(slots)?);
        Ok(s)
    }

    fn file_systems(&self, slots: &Slots, s: &mut Script) -> Result<(), Nul> {
        let spec = &self.spec;
        if let Root::Overlay(all) = &spec.root {
            for (layers, &mount) in all.iter().zip(&slots.roots).skip(1) {
                s.push(bind_fd(mount, &layers.target, Target::Directory, Lookup::NoLinks)?);
            }
        }
        // Never through a link: a root file system whose /dev leads elsewhere is refused (CVE-2026-41579).
        let fresh = |fstype: &str, target: &str, attrs: u64, options: &[(&str, &str)]| {
            new_fs(fstype, target, attrs, options, false)
        };
        let quiet = attr::NOSUID | attr::NOEXEC;
        s.push(fresh("proc", "proc", quiet | attr::NODEV, &[])?);
        s.push(fresh("tmpfs", "dev", attr::NOSUID, &[("mode", "755"), ("size", "64k")])?);
        for node in ["null", "zero", "full", "random", "urandom", "tty"] {
            s.push(device(&format!("/dev/{node}"), true, false)?);
        }
        s.push(fresh("devpts", "dev/pts", quiet, &[("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")])?);
        s.push(fresh("tmpfs", "dev/shm", attr::NOSUID | attr::NODEV, &[("mode", "1777")])?);
        s.push(new_fs("mqueue", "dev/mqueue", quiet | attr::NODEV, &[], true)?);
        for (link, to) in [
            ("dev/ptmx", "pts/ptmx"),
            ("dev/fd", "/proc/self/fd"),
            ("dev/stdin", "/proc/self/fd/0"),
            ("dev/stdout", "/proc/self/fd/1"),
            ("dev/stderr", "/proc/self/fd/2"),
            ("dev/core", "/proc/kcore"),
        ] {
            s.push(Op::Symlink { to: c(to)?, link: c(link)? });
        }
        for d in &spec.devices {
            s.push(device(&d.path, d.writable, false)?);
        }
        s.push(fresh("sysfs", "sys", quiet | attr::NODEV | attr::RDONLY, &[])?);
        if self.group.is_some() {
            s.push(fresh("cgroup2", "sys/fs/cgroup", quiet | attr::NODEV, &[])?);
        }
        s.push(fresh("tmpfs", "run", attr::NOSUID | attr::NODEV, &[("mode", "755")])?);
        for (path, options) in &spec.tmpfs {
            s.push(tmpfs(path, options)?);
        }
        for (bind, prepared) in spec.binds.iter().zip(&slots.binds) {
            if let Some((mount, make)) = prepared {
                s.push(bind_fd(*mount, &bind.target, *make, Lookup::InRoot)?);
            }
        }
        for path in MASKED {
            s.push(Op::Mask(c(path)?));
        }
        for path in READ_ONLY {
            s.push(Op::ReadOnly(c(path)?));
        }
        if spec.ids.is_none() {
            // With a user namespace the kernel itself refuses what is not the container's own.
            s.push(Op::ReadOnly(c("proc/sys")?));
        }
        Ok(())
    }

    fn descriptors(&self, slots: &Slots, s: &mut Script) {
        s.push(Op::Dup { from: slots.null, to: 0 });
        s.push(Op::Dup { from: slots.log, to: 1 });
        s.push(Op::Dup { from: slots.log, to: 2 });
        match &self.spec.init {
            Init::CtInit => {
                s.push(Op::Dup { from: slots.listen, to: LISTEN_FD });
                s.push(Op::Dup { from: slots.handover, to: HANDOVER_FD });
                s.push(Op::CloseFrom(HANDOVER_FD + 1));
            }
            // Nothing of the host survives but 0, 1 and 2 (CVE-2024-21626).
            Init::Guest(_) => {
                s.push(Op::CloseFrom(3));
            }
        }
    }

    fn exec(&self, slots: &Slots) -> Result<Op, Nul> {
        let mut env = vec![c("container=ct")?];
        if let Init::Guest(path) = &self.spec.init {
            for (k, v) in &self.spec.environment {
                env.push(c(&format!("{k}={v}"))?);
            }
            env.push(c("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")?);
            return Ok(Op::Exec { path: c(path)?, argv: vec![c(path)?], env });
        }
        Ok(Op::ExecFd { fd: slots.init, argv: vec![c("ct-init")?], env })
    }
}

/// Covered: they show the host, or let it be changed. As runc has them, and what units of this kernel add.
const MASKED: [&str; 10] = [
    "proc/acpi",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/firmware",
    "sys/devices/virtual/powercap",
];

/// Readable, not writable.
const READ_ONLY: [&str; 4] = ["proc/bus", "proc/fs", "proc/irq", "proc/sysrq-trigger"];

/// A string of a unit that holds a NUL byte.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} holds a NUL byte")]
pub struct Nul(pub String);

fn c(s: &str) -> Result<CString, Nul> {
    CString::new(s).map_err(|_| Nul(s.to_owned()))
}

fn new_fs(
    fstype: &str,
    target: &str,
    attrs: u64,
    options: &[(&str, &str)],
    optional: bool,
) -> Result<Op, Nul> {
    let pair = |&(k, v): &(&str, &str)| Ok((c(k)?, Some(c(v)?)));
    Ok(Op::NewFs {
        fstype: c(fstype)?,
        options: options.iter().map(pair).collect::<Result<_, Nul>>()?,
        attrs,
        target: c(target)?,
        lookup: Lookup::NoLinks,
        optional,
    })
}

/// `Tmpfs=PATH:OPTIONS`: mount flags by their names in mount(8), all else is the file system's.
fn tmpfs(path: &str, options: &str) -> Result<Op, Nul> {
    let mut attrs = attr::NOSUID | attr::NODEV;
    let mut own = Vec::new();
    for option in options.split(',').filter(|o| !o.is_empty()) {
        match option {
            "ro" => attrs |= attr::RDONLY,
            "noexec" => attrs |= attr::NOEXEC,
            "noatime" => attrs |= attr::NOATIME,
            "nosuid" | "nodev" | "rw" | "exec" => {}
            other => match other.split_once('=') {
                Some((key, value)) => own.push((c(key)?, Some(c(value)?))),
                None => own.push((c(other)?, None)),
            },
        }
    }
    let (fstype, target) = (c("tmpfs")?, c(path.trim_start_matches('/'))?);
    Ok(Op::NewFs { fstype, options: own, attrs, target, lookup: Lookup::NoLinks, optional: false })
}

fn device(path: &str, writable: bool, optional: bool) -> Result<Op, Nul> {
    Ok(Op::Bind {
        source: c(path)?,
        target: c(path.trim_start_matches('/'))?,
        make: Target::File,
        recursive: false,
        attrs: attr::NOSUID | attr::NOEXEC | if writable { 0 } else { attr::RDONLY },
        lookup: Lookup::NoLinks,
        optional,
    })
}

fn bind_fd(mount: RawFd, target: &str, make: Target, lookup: Lookup) -> Result<Op, Nul> {
    Ok(Op::BindFd { mount, target: c(target.trim_start_matches('/'))?, make, lookup })
}

/// Numbers of the calls to refuse; names that this machine's kernel doesn't have are none.
pub fn denied_numbers(spec: &Spec) -> Vec<i64> {
    spec.denied_calls.iter().filter_map(|n| CALLS.iter().find(|(c, _)| c == n)).map(|(_, nr)| *nr).collect()
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = &self.spec;
        let init = match &spec.init {
            Init::CtInit => "ct-init",
            Init::Guest(path) => path,
        };
        let user = if spec.ids.is_some() { " user" } else { "" };
        let time = if spec.time_namespace { " time" } else { "" };
        let group = self.group.as_ref().map_or(String::new(), |g| format!(" in v2:/{g}"));
        write!(f, "clone {init}{group}, namespaces pid mount uts ipc net cgroup{user}{time}; it will:")?;
        let slots = Slots {
            go: -1,
            go_writer: -1,
            roots: vec![-1; 4],
            binds: spec.binds.iter().map(|_| Some((-1, Target::Directory))).collect(),
            init: -1,
            listen: -1,
            handover: -1,
            log: -1,
            null: -1,
            clocks: (0, 0),
            filter: vec![],
        };
        let Ok(script) = self.script(&slots) else { return write!(f, " nothing (a NUL byte in the unit)") };
        for join in &self.joins {
            write!(f, "\n    join {}", join.group)?;
        }
        for op in script.ops() {
            match op {
                // Bookkeeping of descriptors shows no one anything.
                Op::Close(_) | Op::WaitFor(_) | Op::Dup { .. } => {}
                // Shown above by the group's name.
                Op::Write { path, .. } if path.as_bytes().ends_with(b"/tasks") => {}
                Op::Bind { source, .. } if source.as_bytes().starts_with(b"/dev/") => {
                    write!(f, "\n    show {}", source.to_string_lossy())?;
                }
                Op::Seccomp(_) => {
                    write!(
                        f,
                        "\n    refuse {} system calls: {}",
                        spec.denied_calls.len(),
                        spec.denied_calls.join(" ")
                    )?;
                }
                other => write!(f, "\n    {other}")?,
            }
        }
        Ok(())
    }
}
