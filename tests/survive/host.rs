//! host: a keeper, its supervisor and containers of a test's own. Everything goes with it, also when the test fails.
use nix::sys::prctl;
use nix::unistd::mkfifo;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tests::need::{Need, have};
use tests::rootfs::Rootfs;
use tests::wait::Deadline;
use tests::{groups, programs};

/// What each test here needs.
pub(crate) fn can(test: &str) -> bool {
    have(test, &[Need::Root, Need::Program("/bin/busybox", "busybox-static"), Need::Unified])
}

/// Counts that it was started, then ends with the code that the test writes to its pipe.
const INIT: &str = "echo start >>/srv/starts; read code </srv/code; exit $code";

/// A root, its supervisors and its containers.
pub(crate) struct Host {
    dir: tempfile::TempDir,
    group: String,
    keeper: Option<Child>,
    /// Another host-supervisor than the one that is built.
    program: Option<PathBuf>,
    /// Both ends of each container's pipe, so that nothing that was written is ever lost.
    codes: BTreeMap<String, File>,
}

impl Host {
    /// Nothing runs yet.
    pub(crate) fn new() -> Host {
        // Whoever loses both parents comes to us, and not to a process that may never look.
        prctl::set_child_subreaper(true).expect("become a subreaper");
        let dir = tempfile::Builder::new().prefix("ct-survive-").tempdir().expect("make a directory");
        fs::create_dir_all(dir.path().join("etc/ct")).expect("make a directory");
        Host { dir, group: groups::unique(), keeper: None, program: None, codes: BTreeMap::new() }
    }

    /// With a keeper and these containers, all of them started.
    pub(crate) fn with(containers: &[(&str, &str)]) -> Host {
        let mut host = Host::new();
        containers.iter().for_each(|(name, lines)| host.container(name, lines));
        host.run(&[]);
        for (name, _) in containers {
            host.ok(&["start", name]);
        }
        host
    }

    /// A container with these lines in its unit.
    pub(crate) fn container(&mut self, name: &str, lines: &str) {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).expect("make a directory");
        let root = Rootfs::new(&dir);
        root.script("srv/init", INIT).file("srv/starts", "");
        let pipe = root.at("srv/code");
        mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("make a pipe");
        for file in ["srv/starts", "srv/code"] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
            fs::set_permissions(root.at(file), mode).expect("set a mode");
        }
        let ends = OpenOptions::new().read(true).write(true).open(pipe).expect("open a pipe");
        self.codes.insert(name.to_owned(), ends);
        let own = "Init=/srv/init\nRestartSec=0\nStartLimitIntervalSec=0";
        let unit = format!("[Container]\nRootfs={}\n{own}\n{lines}\n", dir.display());
        fs::write(self.dir.path().join(format!("etc/ct/{name}.container")), unit).expect("write a unit");
    }

    /// Starts host-supervisor and waits until it answers.
    pub(crate) fn run(&mut self, words: &[&str]) {
        self.begin(words);
        self.answers();
    }

    /// Starts host-supervisor.
    pub(crate) fn begin(&mut self, words: &[&str]) {
        self.keeper = Some(self.command(words).spawn().expect("start host-supervisor"));
    }

    /// host-supervisor for this root.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let log = OpenOptions::new().append(true).create(true).open(self.log()).expect("open a log");
        let built = programs::path("host-supervisor").expect("host-supervisor is built");
        let mut command = Command::new(self.program.as_ref().unwrap_or(&built));
        command.arg("--root").arg(self.dir.path()).args(["--cgroup-parent", &self.group]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    /// From now on host-supervisor is a copy in the test's own directory, which is returned.
    pub(crate) fn copied(&mut self) -> PathBuf {
        let bin = self.dir.path().join("bin");
        fs::create_dir(&bin).expect("make a directory");
        for name in ["host-supervisor", "ct-init"] {
            fs::copy(programs::path(name).expect("it is built"), bin.join(name)).expect("copy a program");
        }
        self.program = Some(bin.join("host-supervisor"));
        bin
    }

    /// A container's life, as it is written down.
    pub(crate) fn life_of(&self, name: &str) -> PathBuf {
        self.dir.path().join("run/ct/lives").join(format!("{name}.json"))
    }

    /// `ct` that is still at it.
    pub(crate) fn asking(&self, words: &[&str]) -> Child {
        let mut command = Command::new(programs::path("ct").expect("ct is built"));
        command.arg("--root").arg(self.dir.path()).args(words).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("run ct")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What the programs have said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Waits until a supervisor answers.
    pub(crate) fn answers(&self) {
        self.until("an answer", |h| h.ct(&["list"]).status.success());
    }

    /// `ct` with these words.
    pub(crate) fn ct(&self, words: &[&str]) -> Output {
        let mut command = Command::new(programs::path("ct").expect("ct is built"));
        command.arg("--root").arg(self.dir.path()).args(words).stdin(Stdio::null());
        command.output().expect("run ct")
    }

    /// `ct`, which has to succeed.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let out = self.ct(words);
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        assert!(out.status.success(), "ct {words:?}: {}\n{}", text(&out.stderr), self.said());
        text(&out.stdout)
    }

    /// What `ct status` says; none while nobody answers.
    pub(crate) fn status(&self, name: &str) -> Option<Value> {
        let out = self.ct(&["status", name, "--json"]);
        serde_json::from_slice(&out.stdout).ok()
    }

    /// State, automatic restarts, and how it ended, the last end first.
    pub(crate) fn life(&self, name: &str) -> Option<(String, u64, Vec<String>)> {
        let status = self.status(name)?;
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let exits = status.get("exits")?.as_array()?.iter();
        let causes = exits.filter_map(|e| text(e.get("cause")?)).collect();
        Some((text(status.get("state")?)?, status.get("restarts")?.as_u64()?, causes))
    }

    /// Waits until its life looks like this.
    pub(crate) fn lives(&self, name: &str, state: &str, restarts: u64, exits: &[&str]) {
        let wanted = (state.to_owned(), restarts, exits.iter().map(|e| (*e).to_owned()).collect());
        let deadline = Deadline::default();
        loop {
            let life = self.life(name);
            if life.as_ref() == Some(&wanted) {
                return;
            }
            assert!(!deadline.passed(), "{name}: {life:?}, not {wanted:?}\n{}", self.said());
        }
    }

    /// Its PID 1.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        let pid = self.status(name).and_then(|s| u32::try_from(s.get("pid")?.as_u64()?).ok());
        pid.unwrap_or_else(|| panic!("{name} runs\n{}", self.said()))
    }

    /// How often its init has begun, as it says itself.
    pub(crate) fn starts(&self, name: &str) -> usize {
        let text = fs::read_to_string(self.dir.path().join(name).join("srv/starts"));
        text.expect("it counts its starts").lines().count()
    }

    /// Lets its init end with this code.
    pub(crate) fn end(&self, name: &str, code: u8) {
        let mut pipe = &self.codes[name];
        pipe.write_all(format!("{code}\n").as_bytes()).expect("write to a pipe");
    }

    /// Waits until it is so.
    pub(crate) fn until(&self, what: &str, so: impl Fn(&Host) -> bool) {
        let deadline = Deadline::default();
        while !so(self) {
            assert!(!deadline.passed(), "never {what}:\n{}", self.said());
        }
    }

    /// The supervisor that has the lock now.
    pub(crate) fn supervisor(&self) -> Option<u32> {
        fs::read_to_string(self.dir.path().join("run/ct/supervisor.pid")).ok()?.trim().parse().ok()
    }

    /// The first process: the keeper, or with --no-keeper the supervisor itself.
    pub(crate) fn keeper(&self) -> u32 {
        self.keeper.as_ref().expect("it was started").id()
    }

    /// SIGKILL to the supervisor; returns once it has ended.
    pub(crate) fn kill_supervisor(&self) {
        let pid = self.supervisor().expect("a supervisor has the lock");
        kill(pid);
    }

    /// Kills the supervisor and lets `then` happen before the keeper sees any of it.
    pub(crate) fn without_supervisor(&self, then: impl Fn(&Host)) {
        let before = self.supervisor();
        signal(self.keeper(), nix::libc::SIGSTOP);
        self.kill_supervisor();
        then(self);
        signal(self.keeper(), nix::libc::SIGCONT);
        self.succeeds(before);
        self.answers();
    }

    /// Waits until another supervisor than this one has the lock.
    pub(crate) fn succeeds(&self, before: Option<u32>) {
        self.until("another supervisor", |h| h.supervisor().is_some_and(|pid| Some(pid) != before));
    }

    /// Waits for the first process; its exit code.
    pub(crate) fn left(&mut self) -> Option<i32> {
        let mut keeper = self.keeper.take().expect("it was started");
        keeper.wait().expect("wait for host-supervisor").code()
    }
}

/// A descriptor that is readable once the process has ended; none if it is gone already.
pub(crate) fn watch(pid: u32) -> Option<OwnedFd> {
    ct_sys::proc::pidfd_open(pid).ok()
}

/// Waits until it has ended.
pub(crate) fn ended(pidfd: &OwnedFd) {
    assert!(Deadline::default().ready(pidfd.as_fd(), nix::poll::PollFlags::POLLIN), "it does not end");
}

pub(crate) fn signal(pid: u32, signal: i32) {
    let pidfd = watch(pid).unwrap_or_else(|| panic!("process {pid} is there"));
    ct_sys::proc::pidfd_send_signal(pidfd.as_fd(), signal).expect("send a signal");
}

/// SIGKILL; returns once it has ended.
pub(crate) fn kill(pid: u32) {
    let Some(pidfd) = watch(pid) else { return };
    // ESRCH: it has ended by itself.
    let _gone = ct_sys::proc::pidfd_send_signal(pidfd.as_fd(), nix::libc::SIGKILL);
    ended(&pidfd);
}

impl Drop for Host {
    fn drop(&mut self) {
        let supervisor = self.supervisor().and_then(watch);
        if let Some(mut keeper) = self.keeper.take() {
            // A stopped one takes SIGKILL too; without it the supervisor leaves by itself.
            let _gone = keeper.kill();
            let _reaped = keeper.wait();
        }
        if let Some(supervisor) = supervisor {
            ended(&supervisor);
        }
        for mount in groups::hierarchies() {
            let group = mount.join(&self.group);
            groups::kill(&group);
            remove(&group);
        }
    }
}

fn remove(group: &Path) {
    if group.is_dir() && !std::thread::panicking() {
        groups::remove(group);
    }
}
