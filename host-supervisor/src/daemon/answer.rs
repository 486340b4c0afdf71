//! answer: calls that only look. Changes nothing.
use super::Daemon;
use super::fleet::{Container, Run};
use super::now;
use crate::check;
use crate::control::protocol::{
    Action, Body, ContainerRow, ContainerStatus, Fault, FaultKind, LimitRow, LogLine, Measure, Mistake,
    NotInForce, Reply, Setting, SpecEntry, UnitRow, words,
};
use crate::control::server::ClientId;
use crate::control::target::{ContainerName, Target};
use crate::load::unit_name;
use crate::observe::{self, Usage};
use crate::plan;
use std::collections::BTreeSet;
use units::machine::{Cause, State};
use units::schema::unit::Autostart;
use units::values::{Span, capability};

impl Daemon {
    pub(crate) fn list(&mut self, client: ClientId) {
        self.refresh();
        let containers = self.fleet.all.iter().filter_map(|(n, c)| self.row(n, c)).collect();
        self.reply(client, Reply::done(Body::List { containers }));
    }

    fn row(&self, name: &str, c: &Container) -> Option<ContainerRow> {
        let run = c.run.as_ref();
        let usage = run.map_or_else(Usage::default, |r| observe::brief(&self.facts.cgroups, &r.spec));
        Some(ContainerRow {
            name: ContainerName::parse(name).ok()?,
            state: c.state(),
            pid: run.map(|r| r.pid),
            uptime: run.map(|r| now().since(r.started).as_secs()),
            restarts: c.machine.restarts(),
            cpu: usage.cpu,
            mem: usage.memory,
            disk: None,
            address: String::new(),
        })
    }

    pub(crate) fn status(&mut self, client: ClientId, target: &Target, lines: Option<u32>) {
        self.refresh();
        let name = target.container.as_str().to_owned();
        if !self.exists(&name) {
            return self.reply(client, Fault::no_container(&target.container).into());
        }
        let log = self.last_lines(&name, target.unit.as_ref().map(|u| u.as_str()), lines.unwrap_or(10));
        let Some(c) = self.fleet.get(&name) else { return };
        let mut status = self.full(&target.container, c, log);
        if let Some(unit) = &target.unit {
            status.units.retain(|u| u.name == unit.as_str());
            if status.units.is_empty() {
                let fault = Fault::new(FaultKind::NotFound, format!("{name} has no unit {unit}"));
                return self.reply(client, fault.hint(format!("ct status {name} shows them")).into());
            }
        }
        self.reply(client, Reply::done(Body::Status { status: Box::new(status) }));
    }

    fn full(&self, name: &ContainerName, c: &Container, log: Vec<LogLine>) -> ContainerStatus {
        let run = c.run.as_ref();
        let not_in_force = run.map_or(&[][..], |r| &r.spec.not_in_force);
        let autostart = c.unit.as_ref().and_then(|u| u.install.autostart);
        ContainerStatus {
            name: name.clone(),
            description: c.unit.as_ref().and_then(|u| u.unit.description.clone()).unwrap_or_default(),
            state: c.state(),
            why: self.why(c),
            for_secs: now().since(c.since).as_secs(),
            pid: run.map(|r| r.pid),
            uptime: run.map(|r| now().since(r.started).as_secs()),
            restarts: c.machine.restarts(),
            autostart: autostart.map_or("no".to_owned(), |a| format!("{a:?}").to_lowercase()),
            addresses: Vec::new(),
            files: c.files.clone(),
            units: run.map_or_else(Vec::new, unit_rows),
            limits: run.map_or_else(Vec::new, |r| limits(r, &observe::usage(&self.facts.cgroups, &r.spec))),
            not_in_force: not_in_force.iter().map(|text| not_in_force_row(text)).collect(),
            exits: c.durable.exits.clone(),
            log,
        }
    }

    /// One sentence about the state a container is in.
    fn why(&self, c: &Container) -> String {
        match c.machine.state() {
            _ if c.broken.is_some() && c.run.is_none() => c.broken.clone().unwrap_or_default(),
            State::Down(None) => "never started, or stopped on request".to_owned(),
            State::Down(Some(cause)) => and(c.reason(*cause), &c.asked),
            State::Starting { .. } => match c.run.as_ref().map(|r| &r.launch) {
                None => "being set up".to_owned(),
                Some(Some(_)) => "on its way to ct-init".to_owned(),
                Some(None) => waits_for(c),
            },
            State::Up { .. } | State::Exited { .. } | State::Reloading { .. } => match c.failed_units() {
                failed if failed.is_empty() => "ready".to_owned(),
                failed => format!("ready, but failed inside: {}", failed.join(" ")),
            },
            State::Stopping { cause: None, .. } => "stopping on request".to_owned(),
            State::Stopping { cause: Some(cause), .. } => format!("stopping: {}", c.reason(*cause)),
            State::Waiting { until, cause, .. } => {
                let left = until.since(now()).as_secs_f32().ceil();
                format!("{}; starts again in {left} s{}", c.reason(*cause), counts(c))
            }
            State::Failed(Cause::StartLimit) => and(limited(c), &c.asked),
            State::Failed(cause) => and(c.reason(*cause), &c.asked),
            State::Stuck { cause, .. } => c.reason(*cause),
        }
    }

    pub(crate) fn show(&mut self, client: ClientId, name: &ContainerName, key: Option<&str>) {
        self.refresh();
        if !self.exists(name.as_str()) {
            return self.reply(client, Fault::no_container(name).into());
        }
        let reply = match self.spec_of(name.as_str()) {
            Err(fault) => fault.into(),
            Ok(spec) => {
                let mut entries = entries(&spec);
                entries.push(self.autostart_entry(name.as_str()));
                if let Some(key) = key {
                    entries.retain(|e| e.key.eq_ignore_ascii_case(key));
                }
                match (entries.is_empty(), key) {
                    (true, Some(key)) => {
                        let fault = Fault::new(
                            FaultKind::NotFound,
                            format!("{name}: {key} is not set and has no default"),
                        );
                        fault.hint(format!("ct show {name}")).into()
                    }
                    (_, _) => Reply::done(Body::Show { spec: entries }),
                }
            }
        };
        self.reply(client, reply);
    }

    /// When it is started is the unit's to say and not part of how.
    fn autostart_entry(&self, name: &str) -> SpecEntry {
        let unit = self.fleet.get(name).and_then(|c| c.unit.as_ref());
        let value = match unit.and_then(|u| u.install.autostart) {
            Some(Autostart::Yes) => "yes",
            Some(Autostart::Last) => "last",
            Some(Autostart::No) | None => "no",
        };
        SpecEntry { section: "Install".into(), key: "Autostart".into(), value: value.into(), origin: None }
    }

    pub(crate) fn check(&mut self, client: ClientId) {
        let found = check::all(&self.paths, &self.facts, &self.cgroup_parent);
        let mistakes = found.iter().map(Mistake::from).collect();
        self.reply(client, Reply::done(Body::Check { mistakes }));
    }

    /// What a plan would do, one line a step.
    pub(crate) fn plan_steps(
        &mut self,
        action: Action,
        targets: &[Target],
        settings: &[Setting],
    ) -> Result<(Vec<String>, Vec<String>), Fault> {
        self.refresh();
        let mut names = Vec::new();
        for target in targets {
            if !self.exists(target.container.as_str()) {
                return Err(Fault::no_container(&target.container));
            }
            names.push(unit_name(target.container.as_str()));
        }
        let (mut steps, mut refused) = (Vec::new(), Vec::new());
        match action {
            Action::Start | Action::Boot => {
                if action == Action::Boot {
                    names = self.to_boot();
                }
                let up: BTreeSet<_> = self
                    .fleet
                    .all
                    .iter()
                    .filter(|(_, c)| c.machine.is_up())
                    .map(|(n, _)| unit_name(n))
                    .collect();
                let transaction = self.graph().transaction(&names, &up);
                refused.extend(transaction.refused.iter().map(|(u, why)| format!("{} {why}", u.stem())));
                steps.extend(transaction.warnings.iter().map(|w| format!("# {w}")));
                for unit in transaction.start {
                    match self.spec_of(unit.stem()) {
                        Ok(spec) => {
                            let plan = plan::start(&spec, &self.facts.cgroups, &self.paths);
                            steps.extend(plan.to_string().lines().map(str::to_owned));
                        }
                        Err(fault) => refused.push(format!("{}: {}", unit.stem(), fault.message)),
                    }
                }
            }
            Action::Stop => {
                for unit in self.graph().stop_set(&names) {
                    let Some(run) = self.fleet.get(unit.stem()).and_then(|c| c.run.as_ref()) else {
                        continue;
                    };
                    let lift = plan::lift(&run.spec, &self.facts.cgroups);
                    steps.extend(lift.to_string().lines().map(str::to_owned));
                    steps.push(format!("ask {} to stop", unit.stem()));
                    let plan = plan::release(&run.spec, &self.facts.cgroups, &self.paths);
                    steps.extend(plan.to_string().lines().map(str::to_owned));
                }
            }
            Action::Set => {
                for unit in names {
                    steps.extend(self.plan_set(unit.stem(), settings)?);
                }
            }
        }
        Ok((steps, refused))
    }
}

fn and(mut sentence: String, more: &str) -> String {
    if !more.is_empty() {
        sentence.push_str("; ");
        sentence.push_str(more);
    }
    sentence
}

/// How far its back-off and its start limit have got: ` (3 restarts in a row; start 4 of 5 in 10s)`.
fn counts(c: &Container) -> String {
    let limit = limit_of(c).map(|(burst, span)| {
        let next = c.machine.starts(now()).saturating_add(1);
        match next > burst {
            true => format!("more than {burst} starts in {span}, so it will stay down"),
            false => format!("start {next} of {burst} in {span}"),
        }
    });
    let row = Some(c.machine.tries()).filter(|n| *n > 0).map(|n| format!("restarts in a row: {n}"));
    let all: Vec<String> = row.into_iter().chain(limit).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join("; ")) }
}

/// Why it is not started any more, and what it last died of.
fn limited(c: &Container) -> String {
    let allowed = limit_of(c).map(|(burst, span)| format!(" (allowed: {burst} in {span})"));
    let sentence = words::cause(Cause::StartLimit) + &allowed.unwrap_or_default();
    let last = c.durable.exits.first().map(|e| format!("before that: {}", e.cause));
    and(sentence, &last.unwrap_or_default())
}

/// Starts, and the time in which no more than these are allowed.
fn limit_of(c: &Container) -> Option<(u32, String)> {
    let policy = c.machine.policy();
    match policy.limit_interval {
        Span::Finite(span) if !span.is_zero() && policy.limit_burst > 0 => {
            Some((policy.limit_burst, humantime::format_duration(span).to_string()))
        }
        Span::Finite(_) | Span::Infinite => None,
    }
}

fn unit_rows(run: &Run) -> Vec<UnitRow> {
    let row = |(unit, told): &(ct_init::proto::UnitStatus, units::values::Tick)| {
        let mut row = UnitRow::from(unit);
        row.for_secs += now().since(*told).as_secs();
        row
    };
    run.units.values().map(row).collect()
}

fn waits_for(c: &Container) -> String {
    if let Some(waits) = c.run.as_ref().and_then(|r| r.waits.clone()) {
        return waits;
    }
    let units = c.run.iter().flat_map(|r| r.units.values());
    let busy: Vec<&str> =
        units.filter(|(u, _)| u.active == "activating").map(|(u, _)| u.name.as_str()).take(5).collect();
    match busy.is_empty() {
        true => "waits for ct-init to be ready".to_owned(),
        false => format!("waits for {}", busy.join(" ")),
    }
}

fn not_in_force_row(text: &str) -> NotInForce {
    let (key, why) = text.split_once(": ").unwrap_or((text, ""));
    NotInForce { key: key.to_owned(), why: why.to_owned() }
}

/// The limits of a running container beside what it holds.
fn limits(run: &Run, usage: &Usage) -> Vec<LimitRow> {
    let row = |limit: &crate::spec::Limit| {
        let number = limit.writes.last().and_then(|w| w.value.parse().ok());
        let (measure, held, max, failures) = match limit.key.as_str() {
            "MemoryMax" => (Measure::Bytes, usage.memory, usage.memory_peak, usage.memory_failures),
            "MemoryMin" | "MemoryLow" | "MemoryHigh" => {
                (Measure::Bytes, usage.memory, usage.memory_peak, None)
            }
            "MemorySwapMax" => (Measure::Bytes, None, None, None),
            "TasksMax" => (Measure::Count, usage.tasks, None, usage.task_failures),
            // Percent of one CPU: a share of time, of which nothing is held.
            "CPUQuota" => (Measure::Weight, None, None, None),
            _ => (Measure::Weight, None, None, None),
        };
        let limit_value = match measure {
            Measure::Weight => limit.asked.trim_end_matches('%').parse().ok(),
            Measure::Bytes | Measure::Count | Measure::Microseconds | Measure::Rate => number,
        };
        LimitRow { name: limit.key.clone(), measure, held, max, limit: limit_value, failures }
    };
    run.spec.limits.iter().map(row).collect()
}

/// A spec as rows of a unit file, every default filled in.
fn entries(spec: &crate::spec::Spec) -> Vec<SpecEntry> {
    let mut all = Vec::new();
    let mut add = |section: &str, key: &str, value: String| {
        all.push(SpecEntry { section: section.into(), key: key.into(), value, origin: None });
    };
    add("Unit", "Description", spec.description.clone());
    match &spec.root {
        crate::spec::Root::Directory(d) => add("Container", "Rootfs", d.display().to_string()),
        crate::spec::Root::Overlay(layers) => {
            for l in layers {
                add(
                    "Container",
                    "Root",
                    format!("{} on {}, changes in {}", l.target, l.lower.display(), l.changes.display()),
                );
            }
        }
    }
    add("Container", "Ephemeral", yes_no(spec.ephemeral));
    add("Container", "Hostname", spec.hostname.clone());
    let init = match &spec.init {
        crate::spec::Init::CtInit => "ct-init",
        crate::spec::Init::Guest(path) => path,
    };
    add("Container", "Init", init.to_owned());
    add("Container", "Unit", spec.unit.clone());
    add("Container", "ReadyWhen", spec.ready.to_string());
    let time = |t: std::time::Duration| humantime::format_duration(t).to_string();
    if let Some(health) = &spec.health {
        add("Container", "HealthCheck", health.command.join(" "));
        add("Container", "HealthIntervalSec", time(health.interval));
        add("Container", "HealthTimeoutSec", time(health.timeout));
        add("Container", "HealthRetries", health.retries.to_string());
        add("Container", "HealthStartPeriodSec", time(health.start_period));
    }
    if let Some(watchdog) = spec.watchdog {
        add("Container", "WatchdogSec", time(watchdog));
    }
    for b in &spec.binds {
        let key = if b.read_only { "BindReadOnly" } else { "Bind" };
        add("Container", key, format!("{}:{}", b.source.display(), b.target));
    }
    for (path, options) in &spec.tmpfs {
        add("Container", "Tmpfs", format!("{path}:{options}"));
    }
    for (k, v) in &spec.environment {
        add("Container", "Environment", format!("{k}={v}"));
    }
    let ids = spec.ids.map_or("no".to_owned(), |r| format!("{}:{}", r.base, r.size));
    add("Container", "UserNamespace", ids);
    add("Container", "CapabilityBoundingSet", capability::names(spec.capabilities));
    add("Container", "NoNewPrivileges", yes_no(spec.no_new_privileges));
    add("Container", "SystemCallFilter", format!("~{}", spec.denied_calls.join(" ")));
    for d in &spec.devices {
        add("Container", "DeviceAllow", format!("{} {}", d.path, if d.writable { "rw" } else { "r" }));
    }
    for limit in &spec.limits {
        add("Resources", &limit.key, limit.asked.clone());
    }
    add("Resources", "OOMScoreAdjust", spec.oom_score_adjust.to_string());
    all
}

fn yes_no(b: bool) -> String {
    if b { "yes" } else { "no" }.to_owned()
}
