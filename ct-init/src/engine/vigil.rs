//! vigil: watches over the container as a whole: whether it is ready as its unit says, its health, and the keep-alive
//! that shows the host that this loop turns. Decides nothing: the host does.
use super::unit::bounded;
use super::{Engine, Owner, Want};
use crate::check::{self, Check, For, Heard, Output};
use crate::health::Count;
use crate::output::pipe::Drained;
use crate::proto::Report;
use crate::ready::notify::{MAX_DATAGRAM, Word, parse};
use crate::ready::path::Watch;
use crate::ready::port::Call;
use crate::ready::rule::{EXEC_TIME, pause, sentence};
use crate::ready::socket::{self, CONTAINER};
use crate::resume::fds::{Arrived, Fd, Kept};
use serde::{Deserialize, Serialize};
use slog::{error, info, warn};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use units::machine::Exit;
use units::schema::ReadyWhen;
use units::values::Tick;

/// No sentence for the host is longer, in bytes.
const MAX_SENTENCE: usize = 512;
/// So many datagrams of the container's socket are read in one turn.
const DATAGRAMS: usize = 64;

/// What the loop listens to for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Ear {
    /// The container's own notify socket.
    Notify,
    /// inotify.
    Path,
    /// The output of a check for readiness.
    Ready,
    /// The output of a health check.
    Health,
}

impl Ear {
    /// The reverse of `as usize`.
    pub fn of(number: usize) -> Ear {
        match number {
            0 => Ear::Notify,
            1 => Ear::Path,
            2 => Ear::Ready,
            _ => Ear::Health,
        }
    }
    fn to(why: For) -> Ear {
        match why {
            For::Ready => Ear::Ready,
            For::Health => Ear::Health,
        }
    }
}

/// How far the container has got.
#[derive(Debug, Default)]
enum Stage {
    /// Its default target is not reached.
    #[default]
    Target,
    /// Its rule does not hold yet.
    Waiting(Waiting),
    /// Ready.
    Ready,
    /// It is on its way out.
    Over,
}

/// A rule that does not hold yet.
#[derive(Debug)]
struct Waiting {
    how: How,
    looks: u32,
    next: Option<Tick>,
    /// What was said to the host.
    told: String,
}

/// What it takes to look.
#[derive(Debug)]
enum How {
    Notify,
    Port(u16, Call),
    File(Watch),
    Exec(Vec<String>),
}

/// The state of all this.
#[derive(Debug, Default)]
pub(super) struct Vigil {
    stage: Stage,
    notify: Option<OwnedFd>,
    /// READY=1 has come.
    said_ready: bool,
    /// The check that runs for readiness.
    ready_check: Option<Check>,
    health: Option<Count>,
    health_check: Option<Check>,
    /// When the next keep-alive is sent.
    alive: Option<Tick>,
}

/// All of it as plain data. A rule that does not hold yet is looked at from its beginning.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptVigil {
    stage: KeptStage,
    notify: Option<Fd>,
    said_ready: bool,
    checks: Vec<KeptCheck>,
    health: Option<Count>,
    alive: Option<Tick>,
}

#[derive(Debug, Serialize, Deserialize)]
enum KeptStage {
    Target,
    Waiting { looks: u32, told: String },
    Ready,
    Over,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptCheck {
    why: For,
    pid: i32,
    until: Tick,
    grouped: bool,
    failed: Option<String>,
    output: (Fd, Vec<u8>, usize),
}

impl Vigil {
    pub(super) fn keep(&self, fds: &mut Kept) -> KeptVigil {
        let both = [(For::Ready, &self.ready_check), (For::Health, &self.health_check)];
        let checks = both.into_iter().filter_map(|(why, check)| {
            let check = check.as_ref()?;
            Some(KeptCheck {
                why,
                pid: check.pid,
                until: check.until,
                grouped: check.group.is_some(),
                failed: check.failed.clone(),
                output: check.output.keep(fds),
            })
        });
        KeptVigil {
            checks: checks.collect(),
            stage: match &self.stage {
                Stage::Target => KeptStage::Target,
                Stage::Waiting(w) => KeptStage::Waiting { looks: w.looks, told: w.told.clone() },
                Stage::Ready => KeptStage::Ready,
                Stage::Over => KeptStage::Over,
            },
            notify: fds.maybe(self.notify.as_ref()),
            said_ready: self.said_ready,
            health: self.health.clone(),
            alive: self.alive,
        }
    }

    pub(super) fn deadline(&self) -> Option<Tick> {
        let next = match &self.stage {
            Stage::Waiting(waiting) => waiting.next,
            Stage::Target | Stage::Ready | Stage::Over => None,
        };
        let ends = self.ready_check.iter().chain(&self.health_check).map(|c| c.until);
        let health = self.health.as_ref().and_then(Count::next);
        next.into_iter().chain(ends).chain(health).chain(self.alive).min()
    }

    fn check(&mut self, why: For) -> &mut Option<Check> {
        match why {
            For::Ready => &mut self.ready_check,
            For::Health => &mut self.health_check,
        }
    }
}

impl Engine {
    /// Before the first unit is started: it may already tell.
    pub(super) fn begin_vigil(&mut self) {
        self.vigil.alive = self.handover.keep_alive.map(|_| crate::clock::now());
        if self.handover.ready != ReadyWhen::Notify {
            return;
        }
        let directory = CONTAINER.rsplit_once('/').map_or("/", |(d, _)| d);
        let made = std::fs::create_dir_all(self.root.join(directory));
        match made.and_then(|()| Ok(socket::bind(&self.root, CONTAINER)?)) {
            Ok(fd) => {
                self.vigil.notify = Some(fd);
                self.wants.push_back(Want::Ear(Ear::Notify));
            }
            Err(e) => error!(self.log, "can't make a socket"; "path" => CONTAINER, "why" => %e),
        }
    }

    /// Takes up what was kept.
    pub(super) fn take_up_vigil(&mut self, kept: KeptVigil, fds: &mut Arrived) {
        self.vigil.notify = kept.notify.and_then(|fd| fds.take(fd));
        self.vigil.said_ready = kept.said_ready;
        self.vigil.health = kept.health;
        self.vigil.alive = kept.alive;
        for KeptCheck { why, pid, until, grouped, failed, output: (fd, said, total) } in kept.checks {
            let Some(read) = fds.take(fd) else { continue };
            let tree = self.tree.as_ref().filter(|_| grouped);
            let group = tree.and_then(|t| t.check_again(why.group()).ok());
            let output = Output::again(read, said, total);
            *self.vigil.check(why) = Some(Check { pid, until, group, failed, output });
        }
        self.vigil.stage = match (kept.stage, self.how()) {
            (KeptStage::Target, _) => Stage::Target,
            (KeptStage::Waiting { looks, told }, Some(how)) => {
                Stage::Waiting(Waiting { how, looks, next: Some(crate::clock::now()), told })
            }
            (KeptStage::Ready | KeptStage::Waiting { .. }, _) => Stage::Ready,
            (KeptStage::Over, _) => Stage::Over,
        };
        self.wants.extend([Ear::Notify, Ear::Path, Ear::Ready, Ear::Health].map(Want::Ear));
    }

    /// What it takes to look whether the container's own rule holds; none: it holds with its units.
    fn how(&self) -> Option<How> {
        Some(match &self.handover.ready {
            ReadyWhen::Target => return None,
            ReadyWhen::Notify => How::Notify,
            ReadyWhen::Tcp(port) => How::Port(*port, Call::default()),
            ReadyWhen::File(path) => How::File(Watch::new(path)),
            ReadyWhen::Exec(argv) => How::Exec(argv.clone()),
        })
    }

    /// The default target is reached: now the container's own rule counts.
    pub(super) fn target_reached(&mut self) {
        let Some(how) = self.how() else { return self.become_ready() };
        let is_file = matches!(how, How::File(_));
        let told = bounded(&sentence(&self.handover.ready, ""), MAX_SENTENCE);
        info!(self.log, "its units are up"; "now" => &told);
        self.wants.push_back(Want::TellAll(Report::Waits(told.clone())));
        self.vigil.stage = Stage::Waiting(Waiting { how, looks: 0, next: None, told });
        if is_file {
            self.wants.push_back(Want::Ear(Ear::Path));
        }
        self.look();
    }

    /// Looks whether the rule holds.
    fn look(&mut self) {
        let now = crate::clock::now();
        let Stage::Waiting(waiting) = &mut self.vigil.stage else { return };
        waiting.next = None;
        let pause = pause(waiting.looks);
        waiting.looks = waiting.looks.saturating_add(1);
        let holds = match &mut waiting.how {
            How::Notify => self.vigil.said_ready,
            How::Port(port, call) => {
                // An answer to the last call, or at once to a new one.
                let holds = call.is_accepted() || {
                    *call = Call::to(*port);
                    call.is_accepted()
                };
                waiting.next = Some(now.after(pause));
                holds
            }
            How::File(watch) => {
                let holds = watch.look(&self.root);
                waiting.next = Some(now.after(watch.pause()));
                holds
            }
            How::Exec(argv) => {
                let argv = argv.clone();
                return self.begin_check(For::Ready, &argv, EXEC_TIME);
            }
        };
        if holds {
            self.become_ready();
        }
    }

    fn become_ready(&mut self) {
        self.vigil.stage = Stage::Ready;
        let failed = self.failed();
        info!(self.log, "ready"; "failed units" => failed.len());
        self.wants.push_back(Want::TellAll(Report::Ready { failed }));
        let now = crate::clock::now();
        self.vigil.health = self.handover.health.clone().map(|rule| Count::new(rule, now));
    }

    /// Whether the container is ready as its unit says.
    pub fn is_ready(&self) -> bool {
        matches!(self.vigil.stage, Stage::Ready)
    }

    /// What the host has to know of it when it begins to watch, besides readiness.
    pub fn standing(&self) -> Option<Report> {
        match &self.vigil.stage {
            Stage::Waiting(waiting) => Some(Report::Waits(waiting.told.clone())),
            Stage::Ready => {
                let verdict = self.vigil.health.as_ref().and_then(Count::verdict);
                verdict.map(|why| Report::Unhealthy(bounded(why, MAX_SENTENCE)))
            }
            Stage::Target | Stage::Over => None,
        }
    }

    /// Everything stops: nothing is waited for or checked any more. Keep-alives go on.
    pub(super) fn end_vigil(&mut self) {
        for check in self.vigil.ready_check.iter().chain(&self.vigil.health_check) {
            check.kill();
        }
        self.vigil.stage = Stage::Over;
        self.vigil.health = None;
    }

    /// Does what is due.
    pub(super) fn vigil_timers(&mut self, now: Tick) {
        if let (Some(every), Some(at)) = (self.handover.keep_alive, self.vigil.alive)
            && at <= now
        {
            self.vigil.alive = Some(now.after(every));
            self.wants.push_back(Want::TellAll(Report::Alive));
        }
        for (why, time) in [(For::Ready, EXEC_TIME), (For::Health, self.health_time())] {
            let Some(check) = self.vigil.check(why).as_mut().filter(|c| c.until <= now) else { continue };
            check.until = now.after(time);
            if !check.cut(check::too_long(time)) {
                // It stays the only one, and each further period is a failure too.
                self.judge(why, Err("does not end, not even by SIGKILL".to_owned()), &[]);
            }
        }
        let is_due = matches!(&self.vigil.stage, Stage::Waiting(w) if w.next.is_some_and(|t| t <= now));
        if is_due {
            self.look();
        }
        if let Some(count) = self.vigil.health.as_mut().filter(|c| c.next().is_some_and(|t| t <= now)) {
            count.begun();
            let rule = count.rule().clone();
            self.begin_check(For::Health, &rule.command, rule.timeout);
        }
    }

    fn health_time(&self) -> Duration {
        self.handover.health.as_ref().map_or(Duration::ZERO, |h| h.timeout)
    }

    /// Starts one, unless the one before is still there.
    fn begin_check(&mut self, why: For, argv: &[String], time: Duration) {
        if self.vigil.check(why).is_some() {
            return;
        }
        if let Err(reason) = self.spawn_check(why, argv, time) {
            self.judge(why, Err(reason), &[]);
        }
    }

    fn spawn_check(&mut self, why: For, argv: &[String], time: Duration) -> Result<(), String> {
        let (output, write) =
            Output::new().map_err(|e| format!("make a pipe: {}", std::io::Error::from(e)))?;
        let (script, _null) =
            check::script(&self.root, argv, &self.handover.environment, &write, self.powers)?;
        let group =
            self.tree.as_ref().map(|t| t.check(why.group())).transpose().map_err(|e| crate::chain(&e))?;
        let cgroup = group.as_ref().map(crate::cgroup::Group::directory);
        let spawned =
            ct_sys::spawn(&script, 0, cgroup).map_err(|e| format!("make a process: {}", e.desc()))?;
        let pid = i32::try_from(spawned.pid).unwrap_or(0);
        let until = crate::clock::now().after(time);
        *self.vigil.check(why) = Some(Check { pid, until, group, failed: None, output });
        self.born(pid, spawned.errors, script, Owner::Check(why));
        self.wants.push_back(Want::Ear(Ear::to(why)));
        Ok(())
    }

    /// Its command could not be executed.
    pub(super) fn check_refused(&mut self, why: For, reason: &str) {
        if let Some(check) = self.vigil.check(why) {
            check.failed.get_or_insert(reason.to_owned());
        }
    }

    /// The process of a check has ended; so does whatever it has left behind.
    pub(super) fn check_ended(&mut self, why: For, how: Exit) {
        let Some(mut check) = self.vigil.check(why).take() else { return };
        check.kill();
        check.output.hear();
        let lines = check.output.lines();
        self.judge(why, check.verdict(how), &lines);
    }

    fn judge(&mut self, why: For, result: Result<(), String>, lines: &[String]) {
        match why {
            For::Ready => self.judge_ready(result, lines),
            For::Health => self.judge_health(result, lines),
        }
    }

    fn judge_ready(&mut self, result: Result<(), String>, lines: &[String]) {
        let Stage::Waiting(waiting) = &mut self.vigil.stage else { return };
        let Err(reason) = result else { return self.become_ready() };
        waiting.next = Some(crate::clock::now().after(pause(waiting.looks)));
        let told = bounded(&sentence(&self.handover.ready, &reason), MAX_SENTENCE);
        // Said when it changes: it may fail every second for a long time.
        if told != waiting.told {
            waiting.told.clone_from(&told);
            self.wants.push_back(Want::TellAll(Report::Waits(told)));
            warn!(self.log, "not ready"; "check" => &reason);
            self.keep_lines("readiness check", lines);
        }
    }

    fn judge_health(&mut self, result: Result<(), String>, lines: &[String]) {
        let Some(count) = &mut self.vigil.health else { return };
        let reason = result.as_ref().err().cloned();
        let verdict = count.ended(crate::clock::now(), result).map(|v| bounded(v, MAX_SENTENCE));
        let failures = count.failures();
        if let Some(reason) = reason {
            warn!(self.log, "a health check has failed"; "why" => reason, "in a row" => failures);
            self.keep_lines("health check", lines);
        }
        if let Some(verdict) = verdict {
            warn!(self.log, "unhealthy"; "why" => &verdict);
            self.wants.push_back(Want::TellAll(Report::Unhealthy(verdict)));
        }
    }

    /// What a check has written, among ct-init's own lines.
    fn keep_lines(&mut self, who: &str, lines: &[String]) {
        let lines: Vec<String> = lines.iter().map(|l| format!("{who}: {l}")).collect();
        self.store.keep(crate::log::NAME, crate::clock::wall(), lines.iter().map(String::as_bytes));
    }

    /// What the loop listens to.
    pub fn ear(&self, ear: Ear) -> Option<BorrowedFd<'_>> {
        match (ear, &self.vigil.stage) {
            (Ear::Notify, _) => self.vigil.notify.as_ref().map(AsFd::as_fd),
            (Ear::Path, Stage::Waiting(Waiting { how: How::File(watch), .. })) => watch.fd(),
            (Ear::Path, Stage::Target | Stage::Waiting(_) | Stage::Ready | Stage::Over) => None,
            (Ear::Ready, _) => self.vigil.ready_check.as_ref().map(|c| c.output.fd()),
            (Ear::Health, _) => self.vigil.health_check.as_ref().map(|c| c.output.fd()),
        }
    }

    /// One of them has something to tell.
    pub fn hear(&mut self, ear: Ear) -> Drained {
        match ear {
            Ear::Notify => self.hear_ready(),
            Ear::Path => self.hear_path(),
            Ear::Ready => self.hear_check(For::Ready),
            Ear::Health => self.hear_check(For::Health),
        }
    }

    fn hear_ready(&mut self) -> Drained {
        for _ in 0..DATAGRAMS {
            let Some(fd) = &self.vigil.notify else { return Drained::Empty };
            match socket::receive(fd, MAX_DATAGRAM) {
                Ok(Some(datagram)) => {
                    let words = parse(&datagram.bytes).unwrap_or_default();
                    self.vigil.said_ready |= words.contains(&Word::Ready);
                }
                Ok(None) => {
                    if self.vigil.said_ready {
                        self.look();
                    }
                    return Drained::Empty;
                }
                Err(e) => {
                    error!(self.log, "stops listening to notifications"; "path" => CONTAINER, "why" => %e);
                    self.vigil.notify = None;
                }
            }
        }
        Drained::More
    }

    fn hear_path(&mut self) -> Drained {
        let Stage::Waiting(Waiting { how: How::File(watch), .. }) = &self.vigil.stage else {
            return Drained::Empty;
        };
        let more = watch.drain();
        self.look();
        if more { Drained::More } else { Drained::Empty }
    }

    fn hear_check(&mut self, why: For) -> Drained {
        let Some(check) = self.vigil.check(why) else { return Drained::Empty };
        match check.output.hear() {
            Heard::All => Drained::Empty,
            Heard::More => Drained::More,
            Heard::TooMuch => {
                check.cut("wrote more than 1 MiB".to_owned());
                Drained::Empty
            }
        }
    }
}
