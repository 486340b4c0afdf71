//! suite: host-supervisor as a service under a process supervisor, with the scripts as they are installed.
use crate::prefix::Prefix;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use tests::need::Need;
use tests::supervisor::{Supervisor, ran};
use tests::wait::PATIENCE;

/// How one of them is spoken to. In a command `@` is the service directory and `^` the directory above it.
#[derive(Debug)]
pub struct Suite {
    pub need: Need,
    supervise: &'static str,
    /// Where the service directory is below the prefix.
    service: &'static str,
    pub restart: &'static str,
    pub down: &'static str,
    pub up: &'static str,
    /// What is shipped for the shutdown of the host.
    pub shutdown: &'static str,
    /// Whether it would not be started again.
    pub stays_down: &'static str,
}

pub const RUNIT: Suite = Suite {
    need: Need::Program("/usr/bin/runsv", "runit"),
    supervise: "exec runsv @",
    service: "share/ct/runit/ct",
    restart: "sv -w 60 restart @",
    down: "sv -v -w 60 down @",
    up: "sv -v -w 60 up @",
    shutdown: "SVDIR=^ ^/shutdown",
    stays_down: "sv status @ | grep -E '^down: .* normally up$|want down'",
};

pub const S6: Suite = Suite {
    need: Need::Program("/usr/bin/s6-supervise", "s6"),
    supervise: "exec s6-supervise @",
    service: "share/ct/s6/ct",
    restart: "s6-svc -r @",
    down: "s6-svc -d -wD -T 60000 @",
    up: "s6-svc -u -wu -T 60000 @",
    shutdown: "sed s,/run/service/ct,@, ^/ct-containers/down >^/down && execlineb -P ^/down",
    stays_down: "test \"$(s6-svstat -o wantedup @)\" = false",
};

/// A supervisor that something else starts.
#[derive(Debug)]
pub struct Supervised {
    pub s: Supervisor,
    service: PathBuf,
    process: Child,
    lines: Receiver<String>,
    started: usize,
    _prefix: Prefix,
}

impl Supervised {
    /// Has the suite start it, with one container in its root.
    pub fn start(suite: &Suite, prefix: Prefix) -> Supervised {
        let s = Supervisor::idle();
        s.container("web", "").service("a", "ExecStart=/bin/sleep 1000");
        let service = prefix.at(suite.service);
        let conf = format!("CT_ROOT={}\nCT_OPTIONS='--cgroup-parent {}'\n", s.root().display(), s.parent);
        fs::write(service.join("conf"), conf).expect("write conf");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = shell(suite.supervise, &service);
        command.stdin(Stdio::null()).stdout(writer.try_clone().expect("a descriptor")).stderr(writer);
        let process = command.spawn().expect("run the suite");
        drop(command);
        let (to, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(reader).lines().map_while(Result::ok).try_for_each(|l| to.send(l))
        });
        Supervised { s, service, process, lines, started: 0, _prefix: prefix }
    }

    /// Waits until it has started so many times.
    pub fn started(&mut self, times: usize) {
        while self.started < times {
            let line = self.lines.recv_timeout(PATIENCE).expect("it starts");
            self.heard(&line);
        }
    }

    fn heard(&mut self, line: &str) {
        eprintln!("{line}");
        self.started += usize::from(line.contains("supervisor started"));
    }

    /// Kills the process that a file in run/ct names.
    pub fn kill(&self, file: &str) {
        let text = fs::read_to_string(self.s.root().join("run/ct").join(file)).expect("its pid");
        let pid = Pid::from_raw(text.trim().parse().expect("a number"));
        kill(pid, Signal::SIGKILL).expect("it runs");
    }

    /// Runs a command of the suite, which has to end well.
    pub fn tell(&self, command: &str) {
        let mut command = shell(command, &self.service);
        command.env("CT_ROOT", self.s.root());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        ran(child.expect("run the suite's command")).ok();
    }

    /// Ends the suite, and says how often the supervisor has been started.
    pub fn end(mut self) -> usize {
        self.leave();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.heard(&line);
        }
        self.started
    }

    fn leave(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _ = kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM);
            let _ = self.process.wait();
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.leave();
    }
}

fn shell(command: &str, service: &std::path::Path) -> Command {
    let above = service.parent().expect("it is below the prefix");
    let line =
        command.replace('@', &service.display().to_string()).replace('^', &above.display().to_string());
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(line);
    shell
}
