//! machine: one that is switched on, does what it is told, and is off at the end of its test in any case.
use crate::supervisor::Ran;
use crate::vm::agent::{Agent, LIMIT, Running};
use crate::vm::config::Config;
use crate::vm::console::Console;
use crate::vm::image::image;
use crate::vm::process::{End, Process};
use crate::vm::qmp::Qmp;
use serde_json::json;
use std::cell::OnceCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::time::Instant;
use tempfile::TempDir;

/// A machine.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    /// What it says and what is typed there.
    pub console: Console,
    /// What is done to it from outside.
    pub qmp: Qmp,
    agent: Agent,
    /// What QEMU complains about.
    complaints: File,
    end: OnceCell<End>,
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Down {
    /// It switched itself off.
    Off,
    /// It reset itself: a reboot.
    Reset,
    /// Its kernel gave up.
    Panicked,
    /// Nobody fed the watchdog.
    Watchdog,
    /// The test cut the power.
    Cut,
    /// It was killed when its time was over.
    Late,
    /// QEMU itself failed, with what it said.
    Failed(String),
}

impl Machine {
    /// Switches one on and waits until its agent answers.
    ///
    /// # Panics
    /// If that never happens; what it said on its console is shown.
    pub fn boot(config: &Config) -> Machine {
        let machine = Machine::on(config);
        machine.booted(1);
        machine
    }

    /// Switches one on, and does not wait for anything.
    pub fn on(config: &Config) -> Machine {
        let dir = TempDir::with_prefix("ct-vm-").expect("a temporary directory");
        let listen = |name: &str| UnixListener::bind(dir.path().join(name)).expect("a socket");
        let [console, qmp, agent] = ["console", "qmp", "agent"].map(listen);
        let words = config.words(config.image.as_ref().unwrap_or_else(|| image()), dir.path());
        let complaints = tempfile::tempfile().expect("a temporary file");
        let began = Instant::now();
        let process = Process::start(words, &complaints, config.limit);
        let connect = |to: &UnixListener| {
            process.connection(to).unwrap_or_else(|e| {
                process.kill();
                process.wait();
                panic!("{e}: {}", text(&complaints));
            })
        };
        let console = Console::new(connect(&console), began);
        let (qmp, agent) = (connect(&qmp), Agent::new(connect(&agent)));
        // What is connected needs no names any more: nothing is left behind, however this ends.
        drop(dir);
        Machine { console, qmp: Qmp::new(qmp), agent, process, complaints, end: OnceCell::new() }
    }

    /// Waits until its agent has answered once in so many boots.
    pub fn booted(&self, times: usize) {
        assert!(self.agent.started(times, LIMIT), "boot {times}: the agent never answers");
    }

    /// How often it has booted.
    pub fn boots(&self) -> usize {
        self.agent.starts()
    }

    /// Runs a shell line inside.
    pub fn run(&self, line: &str) -> Ran {
        self.agent.start(line).wait()
    }

    /// Starts a shell line inside.
    pub fn run_bg(&self, line: &str) -> Running<'_> {
        self.agent.start(line)
    }

    /// Waits until the console has said this.
    pub fn console_has(&self, part: &str) {
        self.console.until(part);
    }

    /// Presses keys together: `ctrl-alt-delete`.
    pub fn keys(&self, keys: &str) {
        self.qmp.keys(keys);
    }

    /// Presses the power button.
    pub fn power_button(&self) {
        self.qmp.run("system_powerdown", &json!({}));
    }

    /// Presses the reset button.
    pub fn reset(&self) {
        self.qmp.run("system_reset", &json!({}));
    }

    /// Cuts the power: what it has not written by now it never will.
    pub fn cut_power(&self) -> Down {
        let _gone = self.qmp.ask("quit", &json!({}));
        self.down()
    }

    /// Waits for its end.
    pub fn down(&self) -> Down {
        let end = self.end.get_or_init(|| self.process.wait());
        self.console.over();
        self.qmp.over();
        let events = self.qmp.events();
        let reason =
            events.iter().rfind(|e| e["event"] == "SHUTDOWN").and_then(|e| e["data"]["reason"].as_str());
        let watchdog = events.iter().any(|e| e["event"] == "WATCHDOG");
        match reason {
            _ if end.late => Down::Late,
            Some("guest-shutdown") => Down::Off,
            Some("guest-reset") if watchdog => Down::Watchdog,
            Some("guest-reset") if self.console.has("Kernel panic") => Down::Panicked,
            Some("guest-reset") => Down::Reset,
            Some("host-qmp-quit") => Down::Cut,
            other => Down::Failed(format!("{:?}, {other:?}: {}", end.status, text(&self.complaints))),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.process.kill();
        self.end.get_or_init(|| self.process.wait());
        if std::thread::panicking() {
            eprintln!("the machine's console:\n{}{}", self.console.text(), text(&self.complaints));
        }
    }
}

fn text(file: &File) -> String {
    let mut bytes = vec![0u8; 4096];
    let read = file.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}
