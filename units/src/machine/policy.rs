//! machine: which ends are failures, which are followed by a restart, and after how long. Touches nothing.
use super::{Cause, Exit, Policy, ReadyRule};
use crate::schema::{
    Container, ExecPhase, InitProgram, KillMode, Restart, Service, ServiceType, StatusSet, UnitSection,
};
use crate::values::{Percent, Signal, Span};
use std::time::Duration;

/// The rows of the table in systemd.service(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Clean exit code or signal.
    Clean,
    /// A code that is not clean. Also what could not be executed, as systemd's 203 is a code.
    Code,
    /// A signal that is not clean, with or without a core dump.
    Signal,
    /// A timeout, the OOM killer, a broken start protocol: all but a code, a signal or the watchdog.
    Abnormal,
    /// No keep-alive in time, or unhealthy.
    Watchdog,
    /// The guest halted: clean, and meant to stay so.
    Halt,
    /// Not a death: skipped, refused, limited. Never restarted.
    Never,
}

impl StatusSet {
    fn has(&self, exit: Exit) -> bool {
        match exit {
            Exit::Code(c) => self.codes.contains(&c),
            Exit::Signal(s) | Exit::Dumped(s) => self.signals.contains(&s),
            Exit::Unknown => false,
        }
    }
}

impl Policy {
    /// Of a service; `unit` brings the start limit.
    pub fn of_service(service: &Service, unit: &UnitSection) -> Policy {
        Policy {
            ready: match service.kind {
                ServiceType::Simple | ServiceType::Idle => ReadyRule::Forked,
                ServiceType::Exec | ServiceType::Dbus => ReadyRule::Executed,
                ServiceType::Forking => ReadyRule::Daemonized,
                ServiceType::Oneshot => ReadyRule::Finished,
                ServiceType::Notify | ServiceType::NotifyReload => ReadyRule::Told,
            },
            restart: service.restart,
            restart_sec: service.restart_sec,
            restart_steps: service.restart_steps,
            restart_max_delay: service.restart_max_delay,
            restart_jitter: service.restart_jitter,
            seed: 0,
            success_status: service.success_status.clone(),
            restart_prevent: service.restart_prevent.clone(),
            restart_force: service.restart_force.clone(),
            remain_after_exit: service.remain_after_exit,
            timeout_start: service.timeout_start,
            timeout_stop: service.timeout_stop,
            timeout_abort: service.timeout_abort,
            runtime_max: service.runtime_max,
            watchdog: service.watchdog,
            limit_interval: unit.start_limit_interval,
            limit_burst: unit.start_limit_burst,
            send_sigkill: service.send_sigkill,
            kill_mode: service.kill_mode,
            needs_main: service.pid_file.is_some(),
            reload_told: service.kind == ServiceType::NotifyReload,
            has_condition: !service.exec.condition.is_empty(),
            has_start_pre: !service.exec.start_pre.is_empty(),
            has_start: !service.exec.start.is_empty(),
            has_start_post: !service.exec.start_post.is_empty(),
            has_reload: !service.exec.reload.is_empty() || service.kind == ServiceType::NotifyReload,
            has_stop: !service.exec.stop.is_empty(),
            has_stop_post: !service.exec.stop_post.is_empty(),
        }
    }

    /// Of a container: one phase (`Start`), ready when told, SIGKILL always allowed.
    pub fn of_container(container: &Container, unit: &UnitSection) -> Policy {
        Policy {
            ready: ReadyRule::Told,
            restart: container.restart,
            restart_sec: container.restart_sec,
            restart_steps: container.restart_steps,
            restart_max_delay: container.restart_max_delay,
            restart_jitter: container.restart_jitter,
            timeout_start: container.timeout_start,
            timeout_stop: container.timeout_stop,
            timeout_abort: container.timeout_stop,
            // A guest's own init sends no keep-alive.
            watchdog: container.watchdog.filter(|_| container.init == InitProgram::CtInit),
            limit_interval: unit.start_limit_interval,
            limit_burst: unit.start_limit_burst,
            remain_after_exit: false,
            has_start: true,
            ..Policy::passive()
        }
    }

    /// Of a unit that runs nothing (a target): up as soon as it is started, down as soon as it is stopped.
    pub fn passive() -> Policy {
        Policy {
            ready: ReadyRule::Finished,
            restart: Restart::No,
            restart_sec: Duration::from_millis(100),
            restart_steps: 0,
            restart_max_delay: Span::Infinite,
            restart_jitter: Percent(0),
            seed: 0,
            success_status: StatusSet::default(),
            restart_prevent: StatusSet::default(),
            restart_force: StatusSet::default(),
            remain_after_exit: true,
            timeout_start: Span::Infinite,
            timeout_stop: Span::Infinite,
            timeout_abort: Span::Infinite,
            runtime_max: Span::Infinite,
            watchdog: None,
            limit_interval: Span::Infinite,
            limit_burst: 0,
            send_sigkill: true,
            kill_mode: KillMode::ControlGroup,
            needs_main: false,
            reload_told: false,
            has_condition: false,
            has_start_pre: false,
            has_start: false,
            has_start_post: false,
            has_reload: false,
            has_stop: false,
            has_stop_post: false,
        }
    }

    /// Whether it never runs anything, so that nothing has to be ended either.
    pub fn is_passive(&self) -> bool {
        !(self.has_condition
            || self.has_start_pre
            || self.has_start
            || self.has_start_post
            || self.has_reload
            || self.has_stop
            || self.has_stop_post)
    }

    /// Whether there is anything to run in this phase.
    pub fn has(&self, phase: ExecPhase) -> bool {
        match phase {
            ExecPhase::Condition => self.has_condition,
            ExecPhase::StartPre => self.has_start_pre,
            ExecPhase::Start => self.has_start,
            ExecPhase::StartPost => self.has_start_post,
            ExecPhase::Reload => self.has_reload,
            ExecPhase::Stop => self.has_stop,
            ExecPhase::StopPost => self.has_stop_post,
        }
    }

    /// Whether the main process ended well: 0 or SuccessExitStatus=; for all but oneshot also HUP, INT, TERM, PIPE.
    pub fn clean_main(&self, exit: Exit) -> bool {
        const DAEMON: [Signal; 4] = [Signal(1), Signal(2), Signal(15), Signal(13)];
        match (self.ready, exit) {
            (ReadyRule::Finished, _) => self.clean_command(exit),
            (_, Exit::Signal(s)) if DAEMON.contains(&s) => true,
            (ReadyRule::Forked | ReadyRule::Executed | ReadyRule::Daemonized | ReadyRule::Told, _) => {
                self.clean_command(exit)
            }
        }
    }

    /// Whether a command ended well: 0 or SuccessExitStatus=; a signal only if that names it.
    pub fn clean_command(&self, exit: Exit) -> bool {
        exit == Exit::Code(0) || self.success_status.has(exit)
    }

    /// Whether a unit that ended so rests in `Failed`, not in `Down`.
    pub fn is_failure(&self, cause: Cause) -> bool {
        match cause {
            Cause::Exited(exit) => !self.clean_main(exit),
            Cause::Command(_, exit) => !self.clean_command(exit),
            Cause::GuestReboot | Cause::GuestHalt | Cause::Skipped => false,
            Cause::OomKill(_)
            | Cause::Watchdog
            | Cause::Unhealthy
            | Cause::StartTimeout
            | Cause::StopTimeout
            | Cause::Setup(_)
            | Cause::NeverReady
            | Cause::Protocol
            | Cause::RuntimeMax
            | Cause::StartLimit
            | Cause::Assert
            | Cause::Dependency => true,
        }
    }

    fn class(&self, cause: Cause, main: Option<Exit>) -> Class {
        match cause {
            Cause::Exited(exit) if self.clean_main(exit) => Class::Clean,
            Cause::Command(_, exit) if self.clean_command(exit) => Class::Clean,
            Cause::Exited(exit) | Cause::Command(_, exit) => Class::of_exit(exit),
            // Not ready is a broken protocol only if it ended well otherwise.
            Cause::NeverReady => match main {
                Some(exit) if !self.clean_main(exit) => Class::of_exit(exit),
                Some(_) | None => Class::Abnormal,
            },
            Cause::Setup(_) => Class::Code,
            Cause::OomKill(_)
            | Cause::StartTimeout
            | Cause::StopTimeout
            | Cause::Protocol
            | Cause::RuntimeMax => Class::Abnormal,
            Cause::Watchdog | Cause::Unhealthy => Class::Watchdog,
            Cause::GuestReboot => Class::Clean,
            Cause::GuestHalt => Class::Halt,
            Cause::StartLimit | Cause::Assert | Cause::Dependency | Cause::Skipped => Class::Never,
        }
    }

    /// Whether a unit that ended so by itself is started again; `main` is how its main process ended, if it did.
    /// RestartPreventExitStatus= beats RestartForceExitStatus= beats Restart=.
    pub fn restarts_after(&self, cause: Cause, main: Option<Exit>) -> bool {
        let class = self.class(cause, main);
        if class == Class::Never || main.is_some_and(|e| self.restart_prevent.has(e)) {
            return false;
        }
        main.is_some_and(|e| self.restart_force.has(e)) || class.restarts(self.restart)
    }

    /// How long to wait before the automatic restart that follows `tries` others:
    /// RestartSec × (RestartMaxDelaySec ÷ RestartSec)^(tries ÷ RestartSteps), as in systemd.service(5).
    pub fn delay(&self, tries: u32) -> Duration {
        let first = self.restart_sec;
        let Span::Finite(last) = self.restart_max_delay else { return first };
        if tries == 0 || self.restart_steps == 0 || first.is_zero() || first >= last {
            return first;
        }
        if tries >= self.restart_steps {
            return last;
        }
        let part = f64::from(tries) / f64::from(self.restart_steps);
        let grown = first.as_secs_f64() * (last.as_secs_f64() / first.as_secs_f64()).powf(part);
        Duration::try_from_secs_f64(grown).map_or(last, |d| d.min(last))
    }

    /// The wait before the automatic restart that follows `tries` others: [`Policy::delay`], and up to RestartJitter= of
    /// it on top, so that what failed together does not come back together. The same unit waits the same each time.
    pub fn wait(&self, tries: u32) -> Duration {
        let delay = self.delay(tries);
        // Of the share, as many 2³²ths as the draw says.
        let part = u128::from(draw(self.seed, tries) >> 32) * u128::from(self.restart_jitter.0);
        let more = delay.as_nanos().saturating_mul(part) / (10_000_u128 << 32);
        delay.saturating_add(Duration::from_nanos(u64::try_from(more).unwrap_or(u64::MAX)))
    }

    /// How long a run has to be up for the count of tries to start again from none: StartLimitIntervalSec=, or ten
    /// times the delay that came before this run, whichever is longer.
    pub fn healthy(&self, tries: u32) -> Duration {
        let waited = self.delay(tries.saturating_sub(1)).saturating_mul(10);
        match self.limit_interval {
            Span::Finite(interval) => waited.max(interval),
            Span::Infinite => waited,
        }
    }
}

/// A number for what these words name, the same everywhere: for [`Policy::seed`]. (FNV-1a, 64 bits.)
pub fn seed(words: &[&str]) -> u64 {
    let byte = |hash: u64, b: u8| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    let word = |hash, w: &&str| byte(w.bytes().fold(hash, byte), 0);
    words.iter().fold(0xcbf2_9ce4_8422_2325, word)
}

/// A number that looks random and is the same for the same arguments (splitmix64).
fn draw(seed: u64, tries: u32) -> u64 {
    let mut z = seed.wrapping_add(u64::from(tries).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Class {
    fn of_exit(exit: Exit) -> Class {
        match exit {
            // Nobody saw how: a failure, but not known to be a signal.
            Exit::Code(_) | Exit::Unknown => Class::Code,
            Exit::Signal(_) | Exit::Dumped(_) => Class::Signal,
        }
    }

    /// The table of systemd.service(5).
    fn restarts(self, restart: Restart) -> bool {
        match restart {
            Restart::No => false,
            Restart::Always | Restart::UnlessStopped => self != Class::Never,
            Restart::OnSuccess => self == Class::Clean,
            Restart::OnFailure => {
                matches!(self, Class::Code | Class::Signal | Class::Abnormal | Class::Watchdog)
            }
            Restart::OnAbnormal => matches!(self, Class::Signal | Class::Abnormal | Class::Watchdog),
            Restart::OnAbort => self == Class::Signal,
            Restart::OnWatchdog => self == Class::Watchdog,
        }
    }
}
