//! supervisor: a host-supervisor of a test's own, with a directory and a cgroup that nobody else has. Whatever it
//! leaves behind fails the test.
use crate::groups::{self, unique};
use crate::programs;
use crate::rootfs::Rootfs;
use crate::wait::{Deadline, PATIENCE};
use nix::poll::PollFlags;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// A host-supervisor.
#[derive(Debug)]
pub struct Supervisor {
    root: TempDir,
    /// `--cgroup-parent`.
    pub parent: String,
    process: Option<Process>,
    finished: bool,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Exit code; -N for signal N.
    pub code: i32,
    /// stdout.
    pub out: String,
    /// stderr.
    pub err: String,
}

impl Ran {
    /// What a command that ends well has written.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
    /// That it failed so, and with one sentence that has these words.
    pub fn refused(self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.err.trim_end().lines().count(), 1, "not one sentence: {self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {:?}", self.err);
        }
    }
}

#[derive(Debug, Default)]
struct Lines {
    all: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

#[derive(Debug)]
struct Process {
    child: Child,
    lines: Arc<Lines>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    fn spawn(mut command: Command) -> Process {
        let mut child =
            command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().expect("run host-supervisor");
        let stderr = child.stderr.take().expect("its stderr");
        let lines = Arc::new(Lines::default());
        let to = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                to.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0.push(line);
                to.more.notify_all();
            }
            to.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1 = true;
            to.more.notify_all();
        });
        Process { child, lines, reader: Some(reader) }
    }

    fn log(&self) -> String {
        self.lines.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0.join("\n")
    }

    /// Waits until `so`, which is asked again whenever it has said something.
    fn until(&self, what: &str, so: impl Fn(&[String]) -> bool) {
        let all = self.lines.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (all, late) = self
            .lines
            .more
            .wait_timeout_while(all, PATIENCE, |(lines, over)| !so(lines) && !*over)
            .expect("no panic");
        let (came, said) = (so(&all.0), all.0.join("\n"));
        drop(all);
        let why = if late.timed_out() { "it hangs" } else { "it ended" };
        assert!(came, "never {what} ({why}):\n{said}");
    }

    fn wait(&mut self) -> ExitStatus {
        let pidfd = ct_sys::proc::pidfd_open(self.child.id()).expect("it is our child");
        assert!(
            Deadline::default().ready(pidfd.as_fd(), PollFlags::POLLIN),
            "it never ends:\n{}",
            self.log()
        );
        self.child.wait().expect("its status")
    }
}

impl Supervisor {
    /// Starts one with nothing in it.
    pub fn start() -> Supervisor {
        Supervisor::start_with(|_| {})
    }

    /// Starts one after its directory was filled.
    pub fn start_with(fill: impl FnOnce(&Supervisor)) -> Supervisor {
        let mut s = Supervisor::idle();
        fill(&s);
        s.run();
        s
    }

    /// A directory without a supervisor.
    pub fn idle() -> Supervisor {
        let root = TempDir::with_prefix("ct-root-").expect("a temporary directory");
        for dir in ["etc/ct", "srv"] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(root.path().join(dir))
                .expect("a directory");
        }
        Supervisor { root, parent: unique(), process: None, finished: false }
    }

    /// The command that starts it.
    pub fn command(&self) -> Command {
        let program =
            programs::path("host-supervisor").expect("it is built (cargo build -p host-supervisor)");
        let mut command = Command::new(program);
        command.arg("--root").arg(self.root()).arg("--cgroup-parent").arg(&self.parent);
        command
    }

    /// Starts it (again), and waits until it answers.
    pub fn run(&mut self) {
        let process = Process::spawn(self.command());
        let socket = self.socket();
        process.until("listening", |_| UnixStream::connect(&socket).is_ok());
        self.process = Some(process);
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.root().join("run/ct/ct.sock")
    }

    /// The socket on which a container's ct-init answers.
    pub fn init_socket(&self, name: &str) -> PathBuf {
        self.root().join("run/ct/containers").join(name).join("init.sock")
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Waits until it says something that contains this.
    pub fn logged(&self, part: &str) {
        let process = self.process.as_ref().expect("it runs");
        process.until(part, |lines| lines.iter().any(|l| l.contains(part)));
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").child.id()
    }

    /// The pid of the one that answers: the same, or its child where it is a keeper.
    pub fn serving(&self) -> u32 {
        self.answering(self.process.as_ref().expect("it runs"))
    }

    fn answering(&self, process: &Process) -> u32 {
        let file = self.root().join("run/ct/supervisor.pid");
        fs::read_to_string(file).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(process.child.id())
    }

    /// Sends the process that was started a signal and waits for its end, and for that of the one that answers.
    /// SIGKILL goes to both.
    pub fn end(&mut self, signal: i32) -> ExitStatus {
        let answering = ct_sys::proc::pidfd_open(self.serving()).expect("it answers");
        let mut process = self.process.take().expect("it runs");
        let pid = nix::unistd::Pid::from_raw(process.child.id() as i32);
        let number = nix::sys::signal::Signal::try_from(signal).expect("a signal");
        nix::sys::signal::kill(pid, number).expect("it runs");
        if signal == nix::libc::SIGKILL {
            // It may have followed by itself already.
            let _ = ct_sys::proc::pidfd_send_signal(answering.as_fd(), signal);
        }
        let status = process.wait();
        assert!(Deadline::default().ready(answering.as_fd(), PollFlags::POLLIN), "it never ends");
        status
    }

    /// Waits for the end of one that was asked to leave.
    pub fn ended(&mut self) {
        let status = self.process.take().expect("it runs").wait();
        assert!(status.success(), "{status}");
    }

    /// Writes a unit file.
    pub fn unit(&self, name: &str, text: &str) -> &Supervisor {
        fs::write(self.root().join("etc/ct").join(name), text).expect("write a unit");
        self
    }

    /// A container on a busybox root of its own: `[Container]` with its Rootfs=, then these lines.
    pub fn container(&self, name: &str, lines: &str) -> Rootfs {
        let rootfs = Rootfs::new(&self.root().join("srv").join(name));
        let text = format!("[Container]\nRootfs={}\n{lines}\n", rootfs.path().display());
        self.unit(&format!("{name}.container"), &text);
        rootfs
    }

    /// Runs ct.
    pub fn ct(&self, arguments: &[&str]) -> Ran {
        self.ct_with("", arguments)
    }

    /// Runs ct with this on stdin.
    pub fn ct_with(&self, input: &str, arguments: &[&str]) -> Ran {
        let mut child = self.ct_command(arguments).stdin(Stdio::piped()).spawn().expect("run ct");
        let mut stdin = child.stdin.take().expect("its stdin");
        // One that reads nothing hangs up.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        ran(child)
    }

    /// The command that runs ct, its output to be read.
    pub fn ct_command(&self, arguments: &[&str]) -> Command {
        let mut command =
            Command::new(programs::path("ct").expect("it is built (cargo build -p host-supervisor)"));
        command.arg("--root").arg(self.root()).args(arguments).env("NO_COLOR", "1").env_remove("CT_ROOT");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// One row of `ct list --json`.
    pub fn row(&self, name: &str) -> Value {
        let rows: Value = serde_json::from_str(&self.ct(&["list", "--json"]).ok()).expect("JSON");
        let rows = rows.as_array().expect("an array").clone();
        rows.into_iter().find(|r| r["name"] == name).unwrap_or_else(|| panic!("{name} is not listed"))
    }

    /// A container's state.
    pub fn state(&self, name: &str) -> String {
        self.row(name)["state"].as_str().expect("a text").to_owned()
    }

    /// A shell line inside.
    pub fn sh(&self, name: &str, line: &str) -> Ran {
        self.ct(&["exec", name, "--", "/bin/sh", "-c", line])
    }

    /// Everything that happens from now on.
    pub fn events(&self) -> Events {
        let mut child = self.ct_command(&["events", "-f"]).stderr(Stdio::null()).spawn().expect("run ct");
        let output = child.stdout.take().expect("its stdout");
        Events { child, output, read: Vec::new(), seen: Vec::new() }
    }

    /// Waits for a state, which may be there already.
    pub fn until(&self, name: &str, state: &str) {
        let mut events = self.events();
        if self.state(name) != state {
            events.until(state, |e| e["container"] == name && e["event"] == "state" && e["message"] == state);
        }
    }

    /// The container's group in every hierarchy that has one.
    pub fn groups_of(&self, name: &str) -> Vec<PathBuf> {
        let all = groups::hierarchies().into_iter().map(|h| h.join(&self.parent).join(name));
        all.filter(|g| g.is_dir()).collect()
    }

    /// One cgroup file of a container, from the hierarchy that has it.
    pub fn cgroup_file(&self, name: &str, file: &str) -> String {
        let mut found =
            self.groups_of(name).into_iter().filter_map(|g| fs::read_to_string(g.join(file)).ok());
        found.next().unwrap_or_else(|| panic!("no group of {name} has {file}")).trim().to_owned()
    }

    /// Processes of a container, by their pids on the host.
    pub fn processes(&self, name: &str) -> Vec<i32> {
        self.groups_of(name).first().map(|g| groups::processes(g)).unwrap_or_default()
    }

    /// Stops everything; what is left is looked at later.
    pub fn leave(mut self) -> Supervisor {
        self.shut_down();
        self
    }

    /// Stops everything, and says what is left.
    pub fn finish(mut self) {
        self.shut_down();
        let left = self.left();
        self.finished = true;
        assert!(left.is_empty(), "left behind:\n  {}", left.join("\n  "));
    }

    fn shut_down(&mut self) {
        if self.process.is_none() {
            return;
        }
        let ran = self.ct(&["shutdown"]);
        assert_eq!(ran.code, 0, "shutdown: {ran:?}\n{}", self.log());
        let mut process = self.process.take().expect("it runs");
        let status = process.wait();
        if let Some(reader) = process.reader.take() {
            reader.join().expect("the reader");
        }
        assert!(status.success(), "{status}: {}", process.log());
        assert!(!process.log().contains("panicked"), "{}", process.log());
    }

    /// Everything that should be gone.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for hierarchy in groups::hierarchies() {
            let parent = hierarchy.join(&self.parent);
            if !parent.is_dir() {
                continue;
            }
            left.extend(
                groups::processes(&parent).iter().map(|p| format!("process {p} in {}", parent.display())),
            );
            for group in groups::below(&parent).iter().filter(|g| **g != parent) {
                left.push(format!("group {}", group.display()));
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read mounts");
        let root = self.root().to_string_lossy().into_owned();
        left.extend(mounts.lines().filter(|l| l.contains(&root)).map(|l| format!("mount {l}")));
        let run = self.root().join("run/ct/containers");
        for entry in fs::read_dir(run).into_iter().flatten().flatten() {
            left.push(format!("file {}", entry.path().display()));
        }
        left
    }

    /// What each PID 1 said last, for the report of a failure.
    fn show_consoles(&self) {
        let all = fs::read_dir(self.root().join("srv")).into_iter().flatten().flatten();
        for dir in all {
            let text = fs::read_to_string(dir.path().join("var/log/ct/ct-init.log")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default();
            eprintln!("{} said last:\n{}", dir.file_name().display(), last.join("\n"));
        }
    }

    fn sweep(&mut self) {
        if let Some(mut process) = self.process.take() {
            if let Ok(answering) = ct_sys::proc::pidfd_open(self.answering(&process)) {
                let _ = ct_sys::proc::pidfd_send_signal(answering.as_fd(), nix::libc::SIGKILL);
            }
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
        for hierarchy in groups::hierarchies() {
            let parent = hierarchy.join(&self.parent);
            if parent.is_dir() {
                groups::kill(&parent);
            }
        }
        for hierarchy in groups::hierarchies() {
            let parent = hierarchy.join(&self.parent);
            groups::below(&parent).iter().for_each(|g| drop(fs::remove_dir(g)));
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the supervisor said:\n{}", self.log());
            self.show_consoles();
            self.sweep();
            return;
        }
        if !self.finished {
            self.shut_down();
            let left = self.left();
            if !left.is_empty() {
                self.sweep();
                panic!("left behind:\n  {}", left.join("\n  "));
            }
        }
        self.sweep();
    }
}

/// `ct events -f`.
#[derive(Debug)]
pub struct Events {
    child: Child,
    output: ChildStdout,
    read: Vec<u8>,
    /// What has come so far.
    pub seen: Vec<Value>,
}

impl Events {
    /// Waits for the next event that is so.
    pub fn until(&mut self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.next(what);
            self.seen.push(event.clone());
            if so(&event) {
                return event;
            }
        }
    }

    fn next(&mut self, what: &str) -> Value {
        loop {
            if let Some(end) = self.read.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return serde_json::from_slice(&line).expect("an event is JSON");
            }
            let ready = Deadline::default().ready(self.output.as_fd(), PollFlags::POLLIN);
            assert!(ready, "never {what}: {:#?}", self.seen);
            let mut bytes = [0u8; 4096];
            let n = self.output.read(&mut bytes).expect("read events");
            assert!(n > 0, "no more events before {what}: {:#?}", self.seen);
            self.read.extend_from_slice(&bytes[..n]);
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a command whose output is read.
///
/// # Panics
/// If it hangs.
pub fn ran(child: Child) -> Ran {
    let pidfd = ct_sys::proc::pidfd_open(child.id()).expect("it is our child");
    let waiter = std::thread::spawn(move || child.wait_with_output());
    let ended = Deadline::default().ready(pidfd.as_fd(), PollFlags::POLLIN);
    if !ended {
        let _ = ct_sys::proc::pidfd_send_signal(pidfd.as_fd(), 9);
    }
    let output = waiter.join().expect("the waiter").expect("its output");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or(0);
    let code = output.status.code().unwrap_or(-signal);
    let ran = Ran { code, out: text(&output.stdout), err: text(&output.stderr) };
    assert!(ended, "it hangs: {ran:?}");
    ran
}
