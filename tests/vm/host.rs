//! host: a machine as a host: its supervisor, a unit of ct-init's, and containers on it. Asks through ct.
use serde_json::Value;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tests::supervisor::Ran;
use tests::vm::{Config, Machine};

/// The one machine of all tests that leave it as it was, for one of them at a time.
pub(crate) struct Host(MutexGuard<'static, Machine>);

impl Deref for Host {
    type Target = Machine;
    fn deref(&self) -> &Machine {
        &self.0
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the machine's console:\n{}", self.console.text());
            let log = self.run_bg("cat /var/log/ct/host-supervisor.service.log");
            let (Ok(said) | Err(said)) = log.ended(Duration::from_secs(10));
            eprintln!("its supervisor's log:\n{}", said.out);
        }
        let away = "ct stop --now --all; for u in $(ls /etc/ct); do ct destroy ${u%.container}; done";
        let _done = self.run_bg(away).ended(Duration::from_secs(60));
    }
}

/// The shared machine, once its supervisor answers.
pub(crate) fn shared() -> Host {
    static MACHINE: OnceLock<Mutex<Machine>> = OnceLock::new();
    let machine = MACHINE.get_or_init(|| {
        let limit = Duration::from_secs(1200);
        let machine = Machine::boot(&Config { limit, ..Config::default() });
        supervised(&machine);
        Mutex::new(machine)
    });
    Host(machine.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Waits until its supervisor answers.
pub(crate) fn supervised(machine: &Machine) {
    machine.console_has("up, unit: host-supervisor.service");
}

impl Host {
    /// Runs ct.
    pub(crate) fn ct(&self, words: &str) -> Ran {
        self.run(&format!("ct {words}"))
    }

    /// A container made of the host's programs that runs, with these lines in its unit.
    pub(crate) fn container(&self, name: &str, lines: &str) {
        let text = format!("[Container]\\nTemplate=host\\n{}\\n", lines.replace('\n', "\\n"));
        self.run(&format!("printf '{text}' > /etc/ct/{name}.container")).ok();
        self.ct(&format!("start {name}")).ok();
    }

    /// A file of its group, with one line.
    pub(crate) fn group(&self, name: &str, file: &str) -> String {
        self.run(&format!("cat /sys/fs/cgroup/ct/{name}/{file}")).ok().trim().to_owned()
    }

    /// One row of `ct list`.
    pub(crate) fn row(&self, name: &str) -> Value {
        let rows: Value = serde_json::from_str(&self.ct("list --json").ok()).expect("JSON");
        let rows = rows.as_array().expect("an array").clone();
        rows.into_iter().find(|r| r["name"] == name).unwrap_or_else(|| panic!("{name} is not listed"))
    }
}
