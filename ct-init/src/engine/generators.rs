//! generators: programs of packages that write unit files, run before the first unit is loaded and before all are read
//! again. Never waits for one longer than its time.
use super::{Engine, Owner, Want};
use crate::effect::{SetupError, c};
use crate::host::Level;
use crate::proto::Report;
use crate::resume::snapshot::Entry;
use ct_sys::script::{Op, Script};
use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};
use slog::{info, warn};
use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::time::Duration;
use units::values::Tick;

/// Where generators are; a name in an earlier directory hides the same one in a later.
const DIRECTORIES: [&str; 4] = [
    "/run/systemd/system-generators",
    "/etc/systemd/system-generators",
    "/usr/local/lib/systemd/system-generators",
    "/usr/lib/systemd/system-generators",
];
/// Where they write: of normal, of higher and of lower priority than /etc.
pub const OUTPUT: [&str; 3] =
    ["/run/systemd/generator", "/run/systemd/generator.early", "/run/systemd/generator.late"];
/// All of them together have so long.
const TIME: Duration = Duration::from_secs(15);

/// Generators that run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Running {
    pids: BTreeSet<i32>,
    until: Tick,
    then: Then,
    /// Connections that wait for it, with their tags.
    askers: Vec<(usize, u32)>,
}

/// What follows once they have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Then {
    /// The first units.
    #[default]
    Boot,
    /// All unit files are read again; then a host may go to a unit.
    Reload(Option<String>),
}

impl Running {
    pub(super) fn deadline(&self) -> Option<Tick> {
        (!self.pids.is_empty()).then_some(self.until)
    }
}

impl Engine {
    /// Has all unit files written and read again, as a person, a signal or a way out of a shell asks; and then goes to
    /// `go`.
    pub fn read_again(&mut self, go: Option<&str>, asker: Option<(usize, u32)>) {
        self.generating.askers.extend(asker);
        if !self.begun {
            // The boot is about to read them all.
            return;
        }
        match &mut self.generating.then {
            Then::Reload(goal) if !self.generating.pids.is_empty() => *goal = go.map(str::to_owned),
            Then::Boot | Then::Reload(_) => {
                self.generating.then = Then::Reload(go.map(str::to_owned));
                for directory in OUTPUT {
                    // What can't be removed is written over.
                    let _left = std::fs::remove_dir_all(self.root.join(directory));
                }
                if !self.generate() {
                    self.generated();
                }
            }
        }
    }

    fn generated(&mut self) {
        let result = match std::mem::take(&mut self.generating.then) {
            Then::Boot => {
                self.boot_units();
                Ok(())
            }
            Then::Reload(go) => {
                let result = self.daemon_reload();
                if let Err(why) = &result {
                    warn!(self.log, "can't read unit files again"; "why" => why);
                }
                if let Some(unit) = go {
                    self.isolate(&unit);
                }
                result
            }
        };
        for (link, tag) in std::mem::take(&mut self.generating.askers) {
            let report = Report::Done { tag, result: result.clone() };
            self.wants.push_back(Want::Tell(link, report));
        }
        self.settle();
    }

    /// Starts all generators; whether there are any to wait for.
    pub(super) fn generate(&mut self) -> bool {
        let programs = self.generators();
        if programs.is_empty() {
            return false;
        }
        for directory in OUTPUT {
            if let Err(e) = std::fs::create_dir_all(self.root.join(directory)) {
                warn!(self.log, "generators can't write"; "directory" => directory, "why" => %e);
                return false;
            }
        }
        self.generating.until = crate::clock::now().after(TIME);
        for program in programs {
            match self.spawn_generator(&program) {
                Ok(pid) => {
                    self.generating.pids.insert(pid);
                }
                Err(e) => {
                    warn!(self.log, "generator"; "program" => program.first(), "why" => crate::chain(&e));
                }
            }
        }
        !self.generating.pids.is_empty()
    }

    /// systemd's own are about what ct-init does here, on a host by a generator of its own.
    fn generators(&self) -> Vec<Vec<String>> {
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        if self.level == Level::Host {
            all.push(["/proc/self/exe", "ct-init", "generate"].map(str::to_owned).to_vec());
        }
        for directory in DIRECTORIES {
            for name in self.root.list(directory).unwrap_or_default() {
                let path = format!("{directory}/{name}");
                let can_run = self.root.stat(&path).is_some_and(|s| s.st_mode & 0o111 != 0 && s.st_size > 0);
                if seen.insert(name.clone()) && can_run && !name.starts_with("systemd-") {
                    all.push(vec![path.clone(), path]);
                }
            }
        }
        all
    }

    /// A path, and the words that it is called with before the directories.
    fn spawn_generator(&mut self, program: &[String]) -> Result<i32, SetupError> {
        let Some((path, words)) = program.split_first() else {
            return Err(SetupError::NoProgram(String::new()));
        };
        let prepare = |e: rustix::io::Errno| SetupError::Prepare("a generator", e.into());
        let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let null = null.map_err(prepare)?;
        let mut script = Script::new();
        script.push(Op::NewSession).push(Op::Signals { ignore_pipe: false }).push(Op::Umask(0o022));
        if let Some(op) = self.powers.oom_score_op(None) {
            script.push(op);
        }
        script.push(Op::Dup { from: null.as_raw_fd(), to: 0 });
        // What the host's own finds wrong is said where the boot is watched; packages' are silent.
        let own = words.first().is_some_and(|w| w == "ct-init");
        for to in 1..3 {
            script.push(Op::Dup { from: if own { 2 } else { null.as_raw_fd() }, to });
        }
        script.push(Op::Chdir(c("/")?)).push(Op::CloseFrom(3));
        let mut argv = words.iter().map(|w| c(w)).collect::<Result<Vec<_>, _>>()?;
        for directory in OUTPUT {
            argv.push(c(directory)?);
        }
        let mut env = vec![c(&format!("PATH={}", crate::environment::PATH))?, c("SYSTEMD_SCOPE=system")?];
        for (key, value) in &self.handover.environment {
            env.push(c(&format!("{key}={value}"))?);
        }
        script.push(Op::Exec { path: c(path)?, argv, env });
        let spawned = ct_sys::spawn(&script, 0, None)
            .map_err(|e| SetupError::Clone(std::io::Error::from_raw_os_error(e as i32)))?;
        let pid = i32::try_from(spawned.pid).unwrap_or(0);
        self.jot(&Entry::Born(pid));
        self.owners.insert(pid, Owner::Generator);
        Ok(pid)
    }

    /// One has ended; after the last, units are loaded.
    pub(super) fn generator_ended(&mut self, pid: i32) {
        if self.generating.pids.remove(&pid) && self.generating.pids.is_empty() {
            self.generated();
        }
    }

    /// Their time is over: those that still run are killed, and the boot goes on.
    pub(super) fn generators_late(&mut self, now: Tick) {
        if self.generating.deadline().is_none_or(|t| t > now) {
            return;
        }
        for pid in std::mem::take(&mut self.generating.pids) {
            info!(self.log, "a generator takes too long and is killed"; "pid" => pid);
            crate::reap::send(pid, 9);
        }
        self.generated();
    }
}
