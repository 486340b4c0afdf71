//! parse: what a unit means where it is silent, and what makes it unusable. Touches nothing.
use super::container::{CONTAINER_JITTER, choose_rootfs};
use super::service::{RESTART_SEC, TIMEOUT};
use super::unit::{START_LIMIT_BURST, START_LIMIT_INTERVAL};
use super::{Draft, Given, Kind, exec, mount};
use crate::name::UnitName;
use crate::schema::container::{Health, InitProgram, ReadyWhen, UserNs};
use crate::schema::service::{
    Context, Directory, Exec, Input, KillMode, NotifyAccess, Output, Preserve, Restart, ServiceType,
};
use crate::schema::unit::Action;
use crate::schema::{Body, Container, NotApplied, Resources, Service, StatusSet, Unit, UnitSection};
use crate::values::{Percent, Signal, Span};

/// Sentences about a whole unit that can't be used.
pub(super) fn mistakes(name: &UnitName, kind: Kind, draft: &Draft) -> Vec<&'static str> {
    match kind {
        Kind::Service => service_mistakes(draft),
        Kind::Container => {
            let rootfs = choose_rootfs(draft.given.template.clone(), draft.given.rootfs.clone());
            rootfs.err().into_iter().collect()
        }
        Kind::Mount => mount::mistakes(name, draft),
        Kind::Target | Kind::Socket | Kind::Timer | Kind::Passive => Vec::new(),
    }
}

fn service_mistakes(draft: &Draft) -> Vec<&'static str> {
    // Such a unit does its work by being started: systemd-poweroff.service.
    if draft.unit.success_action != Action::None {
        return Vec::new();
    }
    let service = &draft.service;
    let kind = service_type(&draft.given, service);
    let oneshot = kind == ServiceType::Oneshot;
    let starts = service.exec.start.len();
    let endless = matches!(service.restart, Restart::Always | Restart::OnSuccess | Restart::UnlessStopped);
    let rules = [
        (starts == 0 && service.exec.stop.is_empty(), "[Service] has neither ExecStart= nor ExecStop="),
        (starts == 0 && !oneshot, "[Service] has no ExecStart= (only Type=oneshot can do without)"),
        (
            starts == 0 && oneshot && !service.exec.stop.is_empty() && !service.remain_after_exit,
            "[Service] has no ExecStart= (only RemainAfterExit=yes can do without)",
        ),
        (
            starts > 1 && !oneshot,
            "[Service] has more than one ExecStart= (only Type=oneshot can have several)",
        ),
        (oneshot && endless, "[Service] has Restart=always or on-success, which Type=oneshot can't have"),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, message)| message).take(1).collect()
}

fn service_type(given: &Given, service: &Service) -> ServiceType {
    match given.kind {
        Some(kind) => kind,
        None if service.exec.start.is_empty() => ServiceType::Oneshot,
        None if given.bus_name => ServiceType::Dbus,
        None => ServiceType::Simple,
    }
}

/// Makes the unit of its draft.
pub(super) fn fill(name: &UnitName, path: &str, kind: Kind, draft: Draft) -> Unit {
    let Draft { unit, install, service, container, socket, timer, mount, resources, given, mut not_applied } =
        draft;
    let body = match kind {
        Kind::Service => Body::Service(Box::new(fill_service(service, given, resources, &mut not_applied))),
        Kind::Container => Body::Container(Box::new(fill_container(container, given, resources))),
        Kind::Target => Body::Target,
        Kind::Socket => Body::Socket(Box::new(socket)),
        Kind::Timer => Body::Timer(Box::new(timer)),
        Kind::Mount => Body::Service(Box::new(mount.service(resources))),
        Kind::Passive => Body::Passive,
    };
    Unit { name: name.clone(), path: path.to_owned(), unit, body, install, not_applied }
}

fn fill_service(
    mut service: Service,
    given: Given,
    resources: Resources,
    said: &mut Vec<NotApplied>,
) -> Service {
    service.kind = service_type(&given, &service);
    if service.kind == ServiceType::Dbus {
        said.push(NotApplied { key: "Type".to_owned(), value: "dbus".to_owned(), line: 0 });
    }
    let start = if service.kind == ServiceType::Oneshot { Span::Infinite } else { TIMEOUT };
    service.timeout_start = given.timeout_start.unwrap_or(start);
    service.timeout_abort = given.timeout_abort.unwrap_or(service.timeout_stop);
    service.restart_kill_signal = given.restart_kill_signal.unwrap_or(service.kill_signal);
    let notifies = matches!(service.kind, ServiceType::Notify | ServiceType::NotifyReload);
    service.notify_access = match given.notify_access.unwrap_or(NotifyAccess::None) {
        // Without it the unit could never say that it is ready or alive.
        NotifyAccess::None if notifies || service.watchdog.is_some() => NotifyAccess::Main,
        access => access,
    };
    service.context.stdin = match given.stdin {
        Some(Input::Data(_)) => Input::Data(given.stdin_data),
        None if !given.stdin_data.is_empty() => Input::Data(given.stdin_data),
        Some(input) => input,
        None => Input::Null,
    };
    let mode =
        |kind| given.modes.iter().rev().find(|(k, _)| *k == kind).map_or(exec::DIRECTORY_MODE, |(_, m)| *m);
    let directory = |(kind, name)| Directory { kind, name, mode: mode(kind) };
    service.context.directories = given.directories.into_iter().map(directory).collect();
    service.resources = resources;
    service
}

fn fill_container(mut container: Container, given: Given, resources: Resources) -> Container {
    container.rootfs = choose_rootfs(given.template, given.rootfs).ok();
    container.resources = resources;
    container
}

impl Default for UnitSection {
    /// As an empty `[Unit]`. What `DefaultDependencies=` adds depends on other units: see [`crate::graph`].
    fn default() -> UnitSection {
        UnitSection {
            description: None,
            documentation: Vec::new(),
            after: Vec::new(),
            before: Vec::new(),
            requires: Vec::new(),
            requisite: Vec::new(),
            wants: Vec::new(),
            binds_to: Vec::new(),
            part_of: Vec::new(),
            conflicts: Vec::new(),
            on_failure: Vec::new(),
            on_success: Vec::new(),
            reload_propagated_from: Vec::new(),
            propagates_reload_to: Vec::new(),
            default_dependencies: true,
            conditions: Vec::new(),
            asserts: Vec::new(),
            start_limit_interval: START_LIMIT_INTERVAL,
            start_limit_burst: START_LIMIT_BURST,
            start_limit_action: Action::None,
            failure_action: Action::None,
            success_action: Action::None,
            start_priority: 0,
        }
    }
}

impl Default for Service {
    /// As an empty `[Service]`.
    fn default() -> Service {
        Service {
            kind: ServiceType::Simple,
            exec: Exec::default(),
            restart: Restart::No,
            restart_sec: RESTART_SEC,
            restart_steps: 0,
            restart_max_delay: Span::Infinite,
            restart_jitter: Percent(0),
            success_status: StatusSet::default(),
            restart_prevent: StatusSet::default(),
            restart_force: StatusSet::default(),
            remain_after_exit: false,
            timeout_start: TIMEOUT,
            timeout_stop: TIMEOUT,
            timeout_abort: TIMEOUT,
            runtime_max: Span::Infinite,
            watchdog: None,
            pid_file: None,
            guess_main_pid: true,
            notify_access: NotifyAccess::None,
            kill_mode: KillMode::ControlGroup,
            kill_signal: Signal::TERM,
            restart_kill_signal: Signal::TERM,
            final_kill_signal: Signal::KILL,
            watchdog_signal: Signal::ABRT,
            send_sigkill: true,
            send_sighup: false,
            context: Context::default(),
            resources: Resources::default(),
        }
    }
}

impl Default for Context {
    /// As a service that says nothing of it.
    fn default() -> Context {
        Context {
            user: None,
            group: None,
            supplementary_groups: Vec::new(),
            working_directory: None,
            root_directory: None,
            umask: exec::UMASK,
            environment: Vec::new(),
            environment_files: Vec::new(),
            pass_environment: Vec::new(),
            unset_environment: Vec::new(),
            stdin: Input::Null,
            stdout: Output::Log,
            stderr: Output::Inherit,
            syslog_identifier: None,
            limits: Vec::new(),
            nice: None,
            oom_score_adjust: None,
            ignore_sigpipe: true,
            no_new_privileges: false,
            bounding: None,
            ambient: 0,
            private_tmp: false,
            directories: Vec::new(),
            runtime_preserve: Preserve::No,
            permissions_start_only: false,
        }
    }
}

impl Default for Container {
    /// As an empty `[Container]`; it still lacks its files.
    fn default() -> Container {
        Container {
            rootfs: None,
            ephemeral: false,
            hostname: None,
            init: InitProgram::CtInit,
            unit: UnitName::default_target(),
            ready_when: ReadyWhen::Target,
            health: Health::default(),
            binds: Vec::new(),
            tmpfs: Vec::new(),
            environment: Vec::new(),
            environment_files: Vec::new(),
            user_namespace: UserNs::Auto,
            bounding: Vec::new(),
            no_new_privileges: true,
            system_call_filter: Vec::new(),
            devices: Vec::new(),
            restart: Restart::OnFailure,
            restart_sec: RESTART_SEC,
            restart_steps: 0,
            restart_max_delay: Span::Infinite,
            restart_jitter: CONTAINER_JITTER,
            timeout_start: TIMEOUT,
            timeout_stop: TIMEOUT,
            watchdog: None,
            timezone: None,
            locale: None,
            ignore_unsupported: false,
            critical: false,
            resources: Resources::default(),
        }
    }
}
