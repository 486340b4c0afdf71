//! host: a machine as a host: its supervisor, a unit of ct-init's, and containers on it. Asks through ct.
use serde_json::Value;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tests::supervisor::Ran;
use tests::vm::{Config, Machine, Running};

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
        let away = "mount -o remount,rw /; ct stop --now --all; for u in /etc/ct/*.container; do ct destroy -y $(basename $u .container); done; \
                    rm -rf /srv/* /var/lib/ct/full-*";
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

/// A machine of its tests' own, as one with a supervisor.
pub(crate) fn guarded(machine: MutexGuard<'static, Machine>) -> Host {
    Host(machine)
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

    /// A container of a busybox alone, whose init ends with the codes that [`Host::end`] says; it runs, with these lines
    /// in its unit.
    pub(crate) fn ending(&self, name: &str, lines: &str) {
        let root = format!("/srv/{name}");
        let init = "#!/bin/sh\necho start >>/srv/starts\nread code </srv/code\nexit $code\n";
        self.run(&format!(
            "cd /srv && mkdir {name} && cd {name} && mkdir bin srv proc dev sys run tmp && cp /bin/busybox bin/ && \
             ln -s busybox bin/sh && mkfifo -m 666 srv/code && : >srv/starts && chmod 666 srv/starts && \
             printf '%s' '{init}' >srv/init && chmod 755 srv/init"
        ))
        .ok();
        let own = format!("Rootfs={root}\nInit=/srv/init\nRestartSec=0\nStartLimitIntervalSec=0\n{lines}");
        self.run(&format!("printf '%s' '[Container]\n{own}\n' >/etc/ct/{name}.container")).ok();
        self.ct(&format!("start {name}")).ok();
    }

    /// Keeps both ends of these containers' pipes open as long as the command runs: nothing that is written is lost.
    pub(crate) fn holding(&self, names: &[&str]) -> Running<'_> {
        let ends: Vec<String> = (3..).zip(names).map(|(fd, n)| format!("{fd}<>/srv/{n}/srv/code")).collect();
        let held = self.run_bg(&format!("exec {}; echo held; exec sleep 100000", ends.join(" ")));
        held.until("held");
        held
    }

    /// How often the init of such a container has begun, as it says itself.
    pub(crate) fn starts(&self, name: &str) -> usize {
        self.run(&format!("cat /srv/{name}/srv/starts")).ok().lines().count()
    }

    /// Its PID 1.
    pub(crate) fn pid(&self, name: &str) -> u64 {
        self.row(name)["pid"].as_u64().unwrap_or_else(|| panic!("{name} does not run: {}", self.row(name)))
    }

    /// What `ct status` says; null while nobody answers.
    pub(crate) fn status(&self, name: &str) -> Value {
        serde_json::from_str(&self.ct(&format!("status {name} --json")).out).unwrap_or_default()
    }

    /// Waits until a line of the shell succeeds inside.
    pub(crate) fn until(&self, line: &str) {
        let ran = self.run(&format!("until {line}; do :; done >/dev/null 2>&1"));
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
    }

    /// A service of the machine's own, which is not started.
    pub(crate) fn service(&self, name: &str, lines: &str) {
        self.file(&format!("/etc/systemd/system/{name}.service"), &format!("[Service]\n{lines}\n"));
    }

    /// A file with these lines.
    pub(crate) fn file(&self, path: &str, lines: &str) {
        self.run(&format!("mkdir -p $(dirname {path}) && cat >{path} <<'END'\n{lines}\nEND")).ok();
    }

    /// Asks PID 1.
    pub(crate) fn ct_init(&self, words: &str) -> Ran {
        self.run(&format!("ct-init {words}"))
    }

    /// How PID 1 sees it: `ct-init status`.
    pub(crate) fn unit(&self, name: &str) -> String {
        self.run(&format!("ct-init status {name}")).ok()
    }

    /// The supervisor and its keeper.
    pub(crate) fn supervisor(&self) -> (u32, u32) {
        let text = self.run("cat /run/ct/supervisor.pid /run/ct/keeper.pid").ok();
        let mut pids = text.lines().map(|l| l.parse().expect("a pid"));
        (pids.next().expect("a supervisor"), pids.next().expect("a keeper"))
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
