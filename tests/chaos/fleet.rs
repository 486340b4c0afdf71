//! fleet: twenty containers on one supervisor, what was last asked of each, and what was done to it. Draws no lots.
use crate::tally::reap;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::PollFlags;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tests::rootfs::Rootfs;
use tests::supervisor::{Ran, Supervisor};
use tests::wait::{Deadline, PATIENCE};

/// Containers; each fourth forgets its files at every stop.
pub(crate) const CONTAINERS: usize = 20;

/// Writes numbered lines, and after each one how far it has come: what is in that file has been written for sure.
const TICK: &str = "read run </proc/sys/kernel/random/uuid\nn=0\nwhile :; do n=$((n+1)); echo tick $run $n; \
                    echo $n >/srv/ticks/$run; sleep 0.3; done";
/// Counts its starts and says what it is about to exit with.
const CRASH: &str = "echo s >>/run/starts\nsleep 0.5\nn=$(wc -l </run/starts)\ncode=$((n % 120 + 1))\n\
                     echo $code >>/run/ends\nexit $code";

/// How an end that the test brought about may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The keeper or the supervisor was there to see it.
    Exactly,
    /// Both were dead: unknown is the truth, too.
    OrUnknown,
}

/// One container, as the test knows it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) root: PathBuf,
    /// Its files go at every stop.
    pub(crate) ephemeral: bool,
    /// What was last asked.
    pub(crate) up: bool,
    /// Its PID 1 was killed, the last time last.
    pub(crate) killed: Vec<Told>,
    /// Its keeper was killed while it ran: its PID 1 became a child of the test, and its end may stay unknown.
    pub(crate) orphaned: bool,
    /// Runs of the ticker that were killed together with PID 1: their last lines may be lost.
    pub(crate) cut: BTreeSet<String>,
}

impl Member {
    /// Runs of the ticker, by when each wrote last, and how far they came.
    pub(crate) fn runs(&self) -> BTreeMap<String, u64> {
        let entries = fs::read_dir(self.root.join("srv/ticks")).into_iter().flatten().flatten();
        let count = |e: &fs::DirEntry| fs::read_to_string(e.path()).ok()?.trim().parse().ok();
        entries.map(|e| (e.file_name().to_string_lossy().into_owned(), count(&e).unwrap_or(0))).collect()
    }

    /// The last run was cut off.
    pub(crate) fn cut_off(&mut self) {
        let entries = fs::read_dir(self.root.join("srv/ticks")).into_iter().flatten().flatten();
        let last = entries.max_by_key(|e| e.metadata().and_then(|m| m.modified()).ok());
        self.cut.extend(last.map(|e| e.file_name().to_string_lossy().into_owned()));
    }
}

/// A small file system of its own, so that it can be full.
#[derive(Debug)]
pub(crate) struct Small(PathBuf);

impl Small {
    pub(crate) fn mount(at: &Path, options: &str) -> Small {
        fs::create_dir_all(at).expect("make a directory");
        mount(Some("none"), at, Some("tmpfs"), MsFlags::empty(), Some(options)).expect("mount a tmpfs");
        Small(at.to_path_buf())
    }
    /// Leaves no byte.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).expect("make a file");
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    }
    pub(crate) fn drain(&self) {
        let _ = fs::remove_file(self.0.join("filler"));
    }
    /// Nobody writes to it any more, or again.
    pub(crate) fn read_only(&self, so: bool) {
        let flag = if so { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        let flags = MsFlags::MS_REMOUNT | flag;
        let again = || mount(None::<&str>, &self.0, None::<&str>, flags, None::<&str>);
        let deadline = Deadline::default();
        // Busy as long as a container that has just ended has its files open.
        while let Err(e) = again() {
            assert!(!deadline.passed(), "mount {:?} again: {e}", self.0);
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// All of it. The small file system goes before the directory that it is in.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) small: Small,
    pub(crate) s: Supervisor,
    pub(crate) members: Vec<Member>,
    /// PID 1s that may have become children of the test.
    pub(crate) orphans: BTreeSet<i32>,
    pub(crate) killed_supervisors: Cell<u32>,
    pub(crate) killed_keepers: u32,
    began: Instant,
}

impl Fleet {
    /// Starts the supervisor; every container has been up and down once.
    pub(crate) fn new() -> Fleet {
        nix::sys::prctl::set_child_subreaper(true).expect("become a subreaper");
        let mut s = Supervisor::idle();
        let small = Small::mount(&s.root().join("var/lib/ct"), "size=4m,mode=755");
        let base = s.root().join("srv/base");
        Rootfs::new(&base);
        let members = (0..CONTAINERS).map(|i| member(&s, &base, i)).collect();
        s.run();
        let f = Fleet {
            small,
            s,
            members,
            orphans: BTreeSet::new(),
            killed_supervisors: Cell::new(0),
            killed_keepers: 0,
            began: Instant::now(),
        };
        let names: Vec<&str> = f.members.iter().map(|m| m.name.as_str()).collect();
        f.s.ct(&[&["start"], names.as_slice()].concat()).ok();
        names.iter().for_each(|n| drop(f.s.ct(&["set", n, "CPUWeight=100"]).ok()));
        f.s.ct(&[&["stop"], names.as_slice()].concat()).ok();
        f
    }

    /// One line of the record of what was done.
    pub(crate) fn note(&self, what: &str) {
        // Shown when the test fails: with the seed, enough to see it again.
        eprintln!("{:8.2} {what}", self.began.elapsed().as_secs_f64());
    }

    /// Asks until a supervisor has answered: what it has taken must hold.
    pub(crate) fn ask(&self, words: &[&str]) -> Ran {
        let deadline = Deadline::default();
        loop {
            let ran = self.s.ct(words);
            // 4: nobody there. A supervisor that dies in the middle hangs up.
            let again = ran.code == 4 || ran.err.contains("hung up") || ran.err.contains("closed");
            if !again {
                return ran;
            }
            assert!(!deadline.passed(), "nobody answers ct {words:?}: {ran:?}");
        }
    }

    /// Waits until it runs, and returns its PID 1: the process behind this descriptor for sure.
    pub(crate) fn running(&mut self, i: usize) -> Option<(i32, std::os::fd::OwnedFd)> {
        let name = self.members[i].name.clone();
        let ran = self.ask(&["wait", &name, "--for", "ready", "--timeout", "50s"]);
        assert_eq!(ran.code, 0, "{name} was asked up: {ran:?}");
        let rows: serde_json::Value = serde_json::from_str(&self.ask(&["list", "--json"]).ok()).ok()?;
        let row = rows.as_array()?.iter().find(|r| r["name"] == *name)?.clone();
        let pid = u32::try_from(row["pid"].as_u64()?).ok()?;
        let pidfd = ct_sys::proc::pidfd_open(pid).ok()?;
        let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let ours = group.contains(&format!("/{}/{name}/", self.s.parent));
        ours.then_some((i32::try_from(pid).ok()?, pidfd))
    }

    /// SIGKILL to its PID 1; returns when it has ended.
    pub(crate) fn kill(&mut self, i: usize, pid: i32, pidfd: &std::os::fd::OwnedFd, told: Told) {
        ct_sys::proc::pidfd_send_signal(pidfd.as_fd(), nix::libc::SIGKILL).expect("it runs");
        assert!(Deadline::default().ready(pidfd.as_fd(), PollFlags::POLLIN), "PID 1 outlives SIGKILL");
        let orphan = parent(u32::try_from(pid).unwrap_or(0)) == Some(std::process::id());
        let told = if orphan { Told::OrUnknown } else { told };
        self.orphans.insert(pid);
        // As an init would: what nobody reaps the kernel keeps to itself.
        reap(&mut self.orphans);
        let member = &mut self.members[i];
        member.killed.push(told);
        member.cut_off();
    }

    /// SIGKILL to the supervisor; the keeper starts another one.
    pub(crate) fn kill_supervisor(&self) {
        let pid = self.s.serving();
        let Ok(pidfd) = ct_sys::proc::pidfd_open(pid) else { return };
        // Between two supervisors the file may name the dead one, and its number may be another's.
        if parent(pid) != Some(self.s.pid()) {
            return;
        }
        let _ended_already = ct_sys::proc::pidfd_send_signal(pidfd.as_fd(), nix::libc::SIGKILL);
        assert!(Deadline::default().ready(pidfd.as_fd(), PollFlags::POLLIN), "it outlives SIGKILL");
        self.killed_supervisors.set(self.killed_supervisors.get() + 1);
    }

    /// SIGKILL to the keeper: its supervisor leaves, and its containers run on.
    pub(crate) fn kill_keeper(&mut self) {
        let rows: serde_json::Value =
            serde_json::from_str(&self.ask(&["list", "--json"]).ok()).expect("JSON");
        let pids = rows.as_array().into_iter().flatten().filter_map(|r| r["pid"].as_i64());
        self.orphans.extend(pids.filter_map(|pid| i32::try_from(pid).ok()));
        for member in &mut self.members {
            member.orphaned = true;
            // Who has died last may be known to the keeper alone.
            if let Some(told) = member.killed.last_mut() {
                *told = Told::OrUnknown;
            }
        }
        self.s.end(nix::libc::SIGKILL);
        self.killed_keepers += 1;
    }

    /// The supervisor, or the keeper, stands still while `then` happens.
    pub(crate) fn halted(&self, pid: u32, then: impl FnOnce(&Fleet)) {
        let Ok(pidfd) = ct_sys::proc::pidfd_open(pid) else { return };
        let ours = pid == self.s.pid() || parent(pid) == Some(self.s.pid());
        let signal = |n| ct_sys::proc::pidfd_send_signal(pidfd.as_fd(), n);
        if ours && signal(nix::libc::SIGSTOP).is_ok() {
            then(self);
            let _ended_already = signal(nix::libc::SIGCONT);
        }
    }

    /// Waits until each one is as it was last asked to be.
    pub(crate) fn settle(&mut self) {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            reap(&mut self.orphans);
            let wrong = self.wrong();
            if wrong.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "not as asked:\n  {}", wrong.join("\n  "));
        }
    }

    fn wrong(&self) -> Vec<String> {
        let rows = self.ask(&["list", "--json"]).ok();
        let rows: serde_json::Value = serde_json::from_str(&rows).expect("JSON");
        let state = |name: &str| {
            let row = rows.as_array().into_iter().flatten().find(|r| r["name"] == name);
            row.and_then(|r| r["state"].as_str()).unwrap_or("not listed").to_owned()
        };
        let right = |m: &Member, is: &str| match m.up {
            true => is == "running" || is == "degraded",
            // An end that nobody saw is no success, also where it was asked for.
            false => is == "stopped" || m.orphaned && is == "failed",
        };
        let all = self.members.iter().map(|m| (m, state(&m.name)));
        all.filter(|(m, is)| !right(m, is)).map(|(m, is)| format!("{}: {is}, up: {}", m.name, m.up)).collect()
    }
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn member(s: &Supervisor, base: &Path, i: usize) -> Member {
    let name = format!("c{i:02}");
    let root = s.root().join("srv").join(&name);
    let ephemeral = i % 4 == 3;
    // Hard links: twenty roots cost the space of one.
    let copied = Command::new("cp").arg("-al").arg(base).arg(&root).status().expect("run cp");
    assert!(copied.success(), "copy a root");
    let rootfs = Linked(&root);
    rootfs.service("tick", "ExecStart=/bin/sh /srv/tick\nRestart=always\nRestartSec=0.1", TICK);
    rootfs.service("crash", "ExecStart=/bin/sh /srv/crash\nRestart=always\nRestartSec=0.3", CRASH);
    rootfs.service("quiet", "ExecStart=/bin/sh /srv/quiet\nRestart=always", "exec sleep 100000");
    fs::create_dir(root.join("srv/ticks")).expect("make a directory");
    let mut lines = "Restart=always\nRestartSec=0.1\nStartLimitIntervalSec=0\nTimeoutStopSec=20".to_owned();
    if ephemeral {
        lines.push_str("\nEphemeral=yes");
    }
    let text = format!("[Container]\nRootfs={}\n{lines}\n[Install]\nAutostart=no\n", root.display());
    s.unit(&format!("{name}.container"), &text);
    Member { name, root, ephemeral, up: false, killed: Vec::new(), orphaned: false, cut: BTreeSet::new() }
}

/// A root that shares its files with others: only new ones are written.
struct Linked<'a>(&'a Path);

impl Linked<'_> {
    fn service(&self, name: &str, lines: &str, script: &str) {
        let etc = self.0.join("etc/systemd/system");
        let text = format!("[Unit]\nStartLimitIntervalSec=0\n[Service]\n{lines}\n");
        fs::write(etc.join(format!("{name}.service")), text).expect("write a unit");
        fs::write(self.0.join("srv").join(name), script).expect("write a script");
        let wants = etc.join("multi-user.target.wants");
        fs::create_dir_all(&wants).expect("make a directory");
        let link = wants.join(format!("{name}.service"));
        std::os::unix::fs::symlink(format!("../{name}.service"), link).expect("enable a unit");
    }
}
