//! Tests of the keys: one line of a unit file in, one field out.
use crate::merge::{Fragment, assemble};
use crate::name::UnitName;
use crate::parse::specifier::Context;
use crate::schema::{Body, Container, Service, Unit};
use crate::values::{Mode, capability};
use proptest::prelude::*;
use std::fmt::Debug;

fn read(name: &str, text: &str) -> (Option<Unit>, Vec<String>) {
    let name = UnitName::parse(name).unwrap();
    let fragment = Fragment { path: name.to_string(), bytes: text.as_bytes().to_vec() };
    let context = Context { hostname: Some("host".to_owned()), ..Context::default() };
    let (unit, found) = assemble(&name, &[fragment], &context);
    (unit, found.0.iter().map(ToString::to_string).collect())
}

/// A service with these lines in `[Service]`, read without a word.
fn service(lines: &str) -> (Service, Unit) {
    let (unit, said) = read("a-b@c.service", &format!("[Service]\nExecStart=/bin/true\n{lines}\n"));
    assert_eq!(said, [""; 0], "{lines:?}");
    let unit = unit.unwrap();
    match &unit.body {
        Body::Service(service) => ((**service).clone(), unit),
        other => panic!("{other:?} is no service"),
    }
}

fn container(lines: &str) -> (Container, Unit) {
    let (unit, said) = read("web.container", &format!("[Container]\nTemplate=t\n{lines}\n"));
    assert_eq!(said, [""; 0], "{lines:?}");
    let unit = unit.unwrap();
    match &unit.body {
        Body::Container(container) => ((**container).clone(), unit),
        other => panic!("{other:?} is no container"),
    }
}

fn show(value: &dyn Debug) -> String {
    format!("{value:?}")
}

#[test]
fn service_keys() {
    let check = |lines: &str, field: fn(&Service) -> &dyn Debug, expect: &str| {
        assert_eq!(show(field(&service(lines).0)), expect, "{lines:?}");
    };
    check("", |s| &s.kind, "Simple");
    check("BusName=org.x", |s| &s.kind, "Dbus");
    check("Type=notify", |s| &s.notify_access, "Main");
    check("Type=notify\nNotifyAccess=all", |s| &s.notify_access, "All");
    check("WatchdogSec=20", |s| &s.notify_access, "Main");
    check("Type=oneshot", |s| &s.timeout_start, "Infinite");
    check("Type=oneshot\nTimeoutStartSec=1min", |s| &s.timeout_start, "Finite(60s)");
    check("", |s| &s.timeout_start, "Finite(90s)");
    check("TimeoutSec=0", |s| &s.timeout_stop, "Infinite");
    check("TimeoutStopSec=1h", |s| &s.timeout_abort, "Finite(3600s)");
    check("TimeoutStopSec=1h\nTimeoutAbortSec=5", |s| &s.timeout_abort, "Finite(5s)");
    check("TimeoutStopSec=1h\nTimeoutStopSec=", |s| &s.timeout_stop, "Finite(90s)");
    check("RestartSec=250ms", |s| &s.restart_sec, "250ms");
    check("RestartJitter=12.5%", |s| &s.restart_jitter, "Percent(1250)");
    check("Restart=on-abnormal", |s| &s.restart, "OnAbnormal");
    check("Restart=unless-stopped", |s| &s.restart, "UnlessStopped");
    check("WatchdogSec=0", |s| &s.watchdog, "None");
    check("PIDFile=x.pid", |s| &s.pid_file, r#"Some("/run/x.pid")"#);
    check("PIDFile=%t/%p/%i.pid", |s| &s.pid_file, r#"Some("/run/a-b/c.pid")"#);
    check("KillSignal=SIGINT", |s| &s.restart_kill_signal, "Signal(2)");
    check("KillMode=mixed", |s| &s.kill_mode, "Mixed");
    check("SendSIGKILL=no", |s| &s.send_sigkill, "false");
    check(
        "SuccessExitStatus=1 SIGKILL TEMPFAIL",
        |s| &s.success_status,
        "StatusSet { codes: [1, 75], signals: [Signal(9)] }",
    );
    check("SuccessExitStatus=1\nSuccessExitStatus=\nSuccessExitStatus=2", |s| &s.success_status.codes, "[2]");
    check("MemoryMax=1G", |s| &s.resources.memory_max, "Some(Amount(1073741824))");
    check("MemoryLimit=50%", |s| &s.resources.memory_max, "Some(Share(5000))");
    check("TasksMax=99%", |s| &s.resources.tasks_max, "Some(Share(9900))");
    check("TasksMax=infinity", |s| &s.resources.tasks_max, "Some(Infinity)");
    check("CPUShares=2048", |s| &s.resources.cpu_weight, "Some(Weight(200))");
    check("CPUQuota=150%", |s| &s.resources.cpu_quota, "Some(Percent(15000))");
}

#[test]
fn what_processes_run_with() {
    let check = |lines: &str, field: fn(&Service) -> &dyn Debug, expect: &str| {
        assert_eq!(show(field(&service(lines).0)), expect, "{lines:?}");
    };
    check("User=www-data", |s| &s.context.user, r#"Some("www-data")"#);
    check("User=%i\nUser=", |s| &s.context.user, "None");
    check(
        "SupplementaryGroups=a b\nSupplementaryGroups=c",
        |s| &s.context.supplementary_groups,
        r#"["a", "b", "c"]"#,
    );
    check(
        "WorkingDirectory=-/srv/x/",
        |s| &s.context.working_directory,
        r#"Some(WorkDir { path: "/srv/x", optional: true })"#,
    );
    check(
        "WorkingDirectory=~",
        |s| &s.context.working_directory,
        r#"Some(WorkDir { path: "~", optional: false })"#,
    );
    check("UMask=007", |s| &s.context.umask, "Mode(7)");
    check(
        r#"Environment=A=1 "B=x y" C='%i'"#,
        |s| &s.context.environment,
        r#"[("A", "1"), ("B", "x y"), ("C", "'c'")]"#.replace("'c'", "c").leak(),
    );
    check("Environment=A=1\nEnvironment=\nEnvironment=B=", |s| &s.context.environment, r#"[("B", "")]"#);
    check(
        "EnvironmentFile=-/etc/default/x\nEnvironmentFile=/y",
        |s| &s.context.environment_files,
        r#"[("/etc/default/x", true), ("/y", false)]"#,
    );
    check("StandardOutput=null", |s| &s.context.stdout, "Null");
    check("StandardOutput=syslog", |s| &s.context.stdout, "Log");
    check("StandardError=append:/var/log/%p.log", |s| &s.context.stderr, r#"Append("/var/log/a-b.log")"#);
    check("StandardInputText=hi\\n%%", |s| &s.context.stdin, "Data([104, 105, 92, 110, 37, 10])");
    check("StandardInput=data\nStandardInputData=aGk=", |s| &s.context.stdin, "Data([104, 105])");
    check(
        "LimitNOFILE=1024:4096",
        |s| &s.context.limits,
        "[(Nofile, Rlimit { soft: Some(1024), hard: Some(4096) })]",
    );
    check(
        "LimitCORE=infinity\nLimitCORE=0",
        |s| &s.context.limits,
        "[(Core, Rlimit { soft: Some(0), hard: Some(0) })]",
    );
    check("LimitCORE=infinity\nLimitCORE=", |s| &s.context.limits, "[]");
    check("Nice=-5", |s| &s.context.nice, "Some(-5)");
    check("OOMScoreAdjust=-1000", |s| &s.context.oom_score_adjust, "Some(-1000)");
    check("IgnoreSIGPIPE=false", |s| &s.context.ignore_sigpipe, "false");
    check(
        "CapabilityBoundingSet=CAP_CHOWN CAP_KILL\nCapabilityBoundingSet=CAP_FOWNER",
        |s| &s.context.bounding,
        "Some(41)",
    );
    check("CapabilityBoundingSet=", |s| &s.context.bounding, "Some(0)");
    check("AmbientCapabilities=CAP_NET_BIND_SERVICE", |s| &s.context.ambient, "1024");
    check("PrivateTmp=true", |s| &s.context.private_tmp, "true");
    check(
        "RuntimeDirectory=x y/z\nRuntimeDirectoryMode=2755\nStateDirectory=s",
        |s| &s.context.directories,
        "[Directory { kind: Runtime, name: \"x\", mode: Mode(1517) }, \
         Directory { kind: Runtime, name: \"y/z\", mode: Mode(1517) }, \
         Directory { kind: State, name: \"s\", mode: Mode(493) }]",
    );
    check("RuntimeDirectoryPreserve=restart", |s| &s.context.runtime_preserve, "Restart");
    let all_but_kill = service("CapabilityBoundingSet=~CAP_KILL").0.context.bounding;
    assert_eq!(all_but_kill, Some(capability::ALL & !(1 << 5)));
}

#[test]
fn commands_of_a_service() {
    let check = |lines: &str, expect: &[&str]| {
        let (service, _) = service(lines);
        let shown = |c: &crate::schema::Command| crate::parse::command::render(c);
        let exec = &service.exec;
        let all = [&exec.condition, &exec.start_pre, &exec.start, &exec.start_post, &exec.reload, &exec.stop];
        let got: Vec<String> = all.into_iter().flatten().map(shown).collect();
        assert_eq!(got, expect, "{lines:?}");
    };
    check("", &["/bin/true"]);
    check("ExecStart=\nExecStart=/bin/b %n", &["/bin/b a-b@c.service"]);
    check("ExecReload=/bin/kill -HUP $MAINPID", &["/bin/true", "/bin/kill -HUP $MAINPID"]);
    check("ExecStartPre=-/a\nExecStartPre=+/b \\\n  -c", &["-/a", "+/b -c", "/bin/true"]);
    check("Type=oneshot\nExecStart=/bin/c", &["/bin/true", "/bin/c"]);
}

#[test]
fn the_unit_section() {
    let check = |text: &str, field: fn(&Unit) -> &dyn Debug, expect: &str| {
        let (unit, said) = read("a@b.target", text);
        assert_eq!(said, [""; 0], "{text:?}");
        assert_eq!(show(field(&unit.unwrap())), expect, "{text:?}");
    };
    check("[Unit]\nDescription=%H: %i", |u| &u.unit.description, r#"Some("host: b")"#);
    check(
        "[Unit]\nBefore=x.service y@%i.service z@.service",
        |u| &u.unit.before,
        "[x.service, y@b.service, z@b.service]",
    );
    check("[Unit]\nWants=x.service\nRequires=y.service", |u| &u.unit.after, "[]");
    check("[Unit]\nDefaultDependencies=no", |u| &u.unit.default_dependencies, "false");
    check("[Unit]\nWants=x.service\nWants=\nWants=y.service", |u| &u.unit.wants, "[y.service]");
    check("", |u| &u.unit.default_dependencies, "true");
    check(
        "[Unit]\nConditionPathExists=|!/x/%i",
        |u| &u.unit.conditions,
        r#"[Check { kind: PathExists, negate: true, trigger: true, value: "/x/b" }]"#,
    );
    check("[Unit]\nConditionPathExists=/x\nConditionHost=", |u| &u.unit.conditions, "[]");
    check("[Unit]\nAssertPathExists=/x", |u| &u.unit.asserts[0].value, r#""/x""#);
    check("[Unit]\nStartLimitIntervalSec=0", |u| &u.unit.start_limit_interval, "Finite(0ns)");
    check("[Unit]\nStartLimitAction=reboot-force", |u| &u.unit.start_limit_action, "Reboot(Forced)");
    check("[Unit]\nFailureAction=poweroff", |u| &u.unit.failure_action, "PowerOff(Orderly)");
    check("[Unit]\nSuccessAction=exit-force", |u| &u.unit.success_action, "PowerOff(Forced)");
    check("[Unit]\nFailureAction=reboot-immediate", |u| &u.unit.failure_action, "Reboot(Immediate)");
    check("[Unit]\nFailureAction=reboot\nFailureAction=", |u| &u.unit.failure_action, "None");
    check(
        "[Install]\nWantedBy=multi-user.target\nAlias=x.target",
        |u| &u.install.wanted_by,
        "[multi-user.target]",
    );
    check("[X-Vendor]\nAnything=1\n[Unit]\nX-Note=2", |u| &u.not_applied, "[]");
    check("[Unit]\nRequiresMountsFor=/var\nRefuseManualStart=no", |u| &u.not_applied, "[]");
}

#[test]
fn what_is_not_applied_is_listed() {
    let check = |lines: &str, expect: &str| {
        let (_, unit) = service(lines);
        let listed: Vec<String> =
            unit.not_applied.iter().map(|n| format!("{}={}@{}", n.key, n.value, n.line)).collect();
        assert_eq!(listed.join(" "), expect, "{lines:?}");
    };
    check("ProtectSystem=full", "ProtectSystem=full@3");
    check("ProtectSystem=no\nProtectHome=false\nReadWritePaths=", "");
    check("ProtectProc=default\nDelegate=no\nOOMPolicy=stop\nTasksAccounting=yes", "");
    check("SystemCallFilter=@system-service", "SystemCallFilter=@system-service@3");
    check("Type=dbus\nBusName=x.y", "Type=dbus@0");
    check("StandardInput=socket", "StandardInput=socket@3");
    check("[Unit]\nUpholds=x.service", "Upholds=x.service@4");
}

#[test]
fn container_keys() {
    let check = |lines: &str, field: fn(&Container) -> &dyn Debug, expect: &str| {
        assert_eq!(show(field(&container(lines).0)), expect, "{lines:?}");
    };
    check("", |c| &c.rootfs, r#"Some(Template("t"))"#);
    check("Template=\nRootfs=/srv/%N/", |c| &c.rootfs, r#"Some(Directory("/srv/web"))"#);
    check("", |c| &c.restart, "OnFailure");
    check("", |c| &c.restart_jitter, "Percent(2500)");
    check("RestartJitter=0%", |c| &c.restart_jitter, "Percent(0)");
    check("", |c| &c.no_new_privileges, "true");
    check("", |c| &c.unit, "default.target");
    check("Unit=web.target", |c| &c.unit, "web.target");
    check("Init=/sbin/init", |c| &c.init, r#"Path("/sbin/init")"#);
    check("Init=ct-init", |c| &c.init, "CtInit");
    check("ReadyWhen=tcp:80", |c| &c.ready_when, "Tcp(80)");
    check("ReadyWhen=file:/run/x", |c| &c.ready_when, r#"File("/run/x")"#);
    check("ReadyWhen=exec:/bin/check -q", |c| &c.ready_when, r#"Exec(["/bin/check", "-q"])"#);
    check("ReadyWhen=exec:sh -c 'exit $N; %N'", |c| &c.ready_when, r#"Exec(["sh", "-c", "exit $N; web"])"#);
    check("ReadyWhen=notify", |c| &c.ready_when, "Notify");
    check("HealthCheck=wget -q \"a b\"", |c| &c.health.command, r#"["wget", "-q", "a b"]"#);
    check("HealthCheck=x\nHealthCheck=", |c| &c.health.command, "[]");
    check(
        "",
        |c| &c.health,
        "Health { command: [], interval: 30s, timeout: 10s, retries: 3, start_period: 0ns }",
    );
    check("HealthIntervalSec=1min", |c| &c.health.interval, "60s");
    check("HealthTimeoutSec=500ms", |c| &c.health.timeout, "500ms");
    check("HealthRetries=1", |c| &c.health.retries, "1");
    check("HealthStartPeriodSec=5", |c| &c.health.start_period, "5s");
    check(
        "Bind=-/a:/b /c\nBindReadOnly=/d",
        |c| &c.binds,
        "[Bind { source: \"/a\", target: \"/b\", read_only: false, optional: true }, \
         Bind { source: \"/c\", target: \"/c\", read_only: false, optional: false }, \
         Bind { source: \"/d\", target: \"/d\", read_only: true, optional: false }]",
    );
    check("Tmpfs=/tmp:size=1G /run", |c| &c.tmpfs, r#"[("/tmp", "size=1G"), ("/run", "")]"#);
    check("UserNamespace=no", |c| &c.user_namespace, "No");
    check("UserNamespace=200000:65536", |c| &c.user_namespace, "Range { base: 200000, size: 65536 }");
    check(
        "SystemCallFilter=~mount @clock\nSystemCallFilter=bpf",
        |c| &c.system_call_filter,
        r#"[(true, "mount"), (true, "@clock"), (false, "bpf")]"#,
    );
    check(
        "DeviceAllow=/dev/fuse rw\nDeviceAllow=/dev/kvm",
        |c| &c.devices,
        r#"[("/dev/fuse", "rw"), ("/dev/kvm", "rwm")]"#,
    );
    check("WatchdogSec=30", |c| &c.watchdog, "Some(30s)");
    check("Timezone=Europe/Berlin", |c| &c.timezone, r#"Some("Europe/Berlin")"#);
    check("[Resources]\nCPUUnits=2000", |c| &c.resources.cpu_weight, "Some(Weight(200))");
    check("[Resources]\nIOPriority=7", |c| &c.resources.io_weight, "Some(Weight(160))");
    check("[Resources]\nAllowedCPUs=0-2", |c| &c.resources.allowed_cpus, "Some(CpuSet([0, 1, 2]))");
    check(
        "[Resources]\nLimitNOFILE=99",
        |c| &c.resources.limits,
        "[(Nofile, Rlimit { soft: Some(99), hard: Some(99) })]",
    );
    check("[Resources]\nOOMScoreAdjust=5", |c| &c.resources.oom_score_adjust, "Some(5)");
    let (_, unit) = container(
        "[Unit]\nAfter=db\n[Install]\nAutostart=last\n[Interface]\nAddress=pool\n[Resources]\nDiskSpace=1G:2G",
    );
    assert_eq!(show(&unit.unit.after), "[db.container]");
    assert_eq!(show(&unit.install.autostart), "Some(Last)");
    let listed: Vec<&str> = unit.not_applied.iter().map(|n| n.key.as_str()).collect();
    assert_eq!(listed, ["Address", "DiskSpace"]);
}

#[test]
fn mistakes_of_a_container_are_errors() {
    let check = |text: &str, expect: &[&str]| {
        let (unit, said) = read("web.container", &format!("[Container]\nTemplate=t\n{text}\n"));
        assert_eq!(said, expect, "{text:?}");
        assert_eq!(unit.is_none(), said.iter().any(|d| !d.contains(" warning: ")), "{text:?}");
    };
    check(
        "[Resources]\nMemoryMax=512Q",
        &[r#"web.container:4:11: MemoryMax: "512Q" is not a size (try 512M)"#],
    );
    check(
        "[Resources]\n  MemroyMax = 512M",
        &[r#"web.container:4:3: warning: unknown key "MemroyMax" in [Resources] (did you mean MemoryMax?)"#],
    );
    check(
        "[Resource]",
        &["web.container:3:1: warning: unknown section [Resource] (did you mean Resources?)"],
    );
    check("[Banana]", &["web.container:3:1: warning: unknown section [Banana]"]);
    check(
        "MemoryMax=1G",
        &[
            r#"web.container:3:1: warning: unknown key "MemoryMax" in [Container] (it belongs in [Resources])"#,
        ],
    );
    check("Zzzz=1", &[r#"web.container:3:1: warning: unknown key "Zzzz" in [Container]"#]);
    check("Rootfs=/x", &["web.container: [Container] has both Template= and Rootfs= (keep one of them)"]);
    check(
        "Template=",
        &["web.container: [Container] has neither Template= nor Rootfs= (one says where its files are)"],
    );
    check(
        "Template=../x",
        &[r#"web.container:3:10: Template: "../x" is not the name of a template (try debian-12)"#][..],
    );
    check(
        "Bind=/a /b/../c",
        &[r#"web.container:3:9: Bind: "/b/../c" has a .. in it (write the path without)"#],
    );
    check("Bind=/a b", &[r#"web.container:3:9: Bind: "b" is not an absolute path (try /srv/data)"#]);
    check("Ephemeral=maybe", &[r#"web.container:3:11: Ephemeral: "maybe" is not a yes or no (try yes)"#]);
    check(
        "Environment=A=1 2",
        &[r#"web.container:3:17: Environment: "2" sets no variable (try NAME=value)"#],
    );
    check(
        "Hostname=%z",
        &[
            "web.container:3:10: Hostname: %z is no specifier (a literal percent sign is written %%)",
            r#"web.container:3:10: Hostname: "%z" is not a host name (try web.example.org)"#,
        ],
    );
    check("junk", &["web.container:3:1: neither a [Section] nor Key=value"]);
    check(
        "Restart=perhaps\nTimeoutStopSec=soon",
        &[
            r#"web.container:3:9: Restart: "perhaps" is not a restart policy (try no, on-failure or always)"#,
            r#"web.container:4:16: TimeoutStopSec: "soon" is not a length of time (try 1min 30s)"#,
        ],
    );
    check(
        "[Unit]\nAfter=db \\\n  d/b",
        &[
            r#"web.container:5:3: After: "d/b" is no unit name: '/' can't stand in a unit name (letters, digits and :-_.\@ can)"#,
        ],
    );
}

#[test]
fn mistakes_of_a_service_cost_their_line_only() {
    let check = |text: &str, usable: bool, expect: &[&str]| {
        let (unit, said) = read("a.service", text);
        assert_eq!(said, expect, "{text:?}");
        assert_eq!(unit.is_some(), usable, "{text:?}");
    };
    let start = "[Service]\nExecStart=/a\n";
    check(
        &format!("{start}Restart=perhaps"),
        true,
        &[
            r#"a.service:3:9: warning: Restart: "perhaps" is not a restart policy (try no, on-failure or always)"#,
        ],
    );
    check(
        &format!("{start}Restrat=always"),
        true,
        &[r#"a.service:3:1: warning: unknown key "Restrat" in [Service] (did you mean Restart?)"#],
    );
    check(
        "[Service]\nExecStart=/a %z",
        true,
        &["a.service:2:14: warning: ExecStart: %z is no specifier (a literal percent sign is written %%)"],
    );
    check("[Service]", false, &["a.service: [Service] has neither ExecStart= nor ExecStop="]);
    check("[Service]\nSuccessAction=poweroff", true, &[]);
    check("[Service]\nExecStop=/a\nRemainAfterExit=yes", true, &[]);
    check(
        "[Service]\nExecStop=/a",
        false,
        &["a.service: [Service] has no ExecStart= (only RemainAfterExit=yes can do without)"],
    );
    check(
        "[Service]\nType=simple\nExecStop=/a",
        false,
        &["a.service: [Service] has no ExecStart= (only Type=oneshot can do without)"],
    );
    check(
        &format!("{start}ExecStart=/b"),
        false,
        &["a.service: [Service] has more than one ExecStart= (only Type=oneshot can have several)"],
    );
    check(
        &format!("{start}Type=oneshot\nRestart=always"),
        false,
        &["a.service: [Service] has Restart=always or on-success, which Type=oneshot can't have"],
    );
    check(
        "[Service]\nExecStart=/a 'b",
        false,
        &[
            "a.service:2:14: ExecStart: the ' that opens here is never closed",
            "a.service: [Service] has neither ExecStart= nor ExecStop=",
        ],
    );
    check(
        "[Service]\nExecStart=/a\0",
        false,
        &[
            "a.service:2:13: a NUL byte stands here; this is not a text file",
            "a.service: [Service] has neither ExecStart= nor ExecStop=",
        ],
    );
}

#[test]
fn a_megabyte_of_mistakes_stays_small() {
    let check = |start: &str, mistake: &str, usable: bool| {
        let text = format!("{start}{}", mistake.repeat(1_000_000 / mistake.len()));
        let (unit, said) = read("a.service", &text);
        assert!(said.len() <= 201, "{} mistakes are listed", said.len());
        assert_eq!(unit.is_some(), usable, "{mistake:?}");
    };
    let start = "[Service]\nExecStart=/a\n";
    check(start, "junk\n", true);
    check(start, "Restrat=1\n", true);
    check(start, "Restart=1\n", true);
    check(&format!("{start}Environment="), "1 \\\n", true);
    check(&format!("{start}Environment="), "%z ", true);
    check(&format!("{start}[Unit]\nAfter="), "a.service \\\n", true);
    check("[Service]\n", "Restart=1\n", false);
}

#[test]
fn passive_units_keep_their_dependencies() {
    let (unit, said) =
        read("x.path", "[Unit]\nAfter=a.service\n[Path]\nPathExists=/dev/x\nUnit=a.service\nNoSuchThing=1\n");
    assert_eq!(said, [r#"x.path:6:1: warning: unknown key "NoSuchThing" in [Path]"#]);
    let unit = unit.unwrap();
    assert_eq!(unit.body, Body::Passive);
    assert_eq!(show(&unit.unit.after), "[a.service]");
    assert_eq!(unit.not_applied.len(), 2);
}

#[test]
fn an_escaped_name_in_a_list_stays_escaped() {
    let (unit, said) =
        read("a.service", "[Unit]\nAfter=srv-a\\x20b.mount 'c.service'\n[Service]\nExecStart=/a\n");
    assert_eq!(said, [""; 0]);
    assert_eq!(show(&unit.unwrap().unit.after), r"[srv-a\x20b.mount, c.service]");
}

#[test]
fn a_mount_is_a_service_of_ct_inits_own_verbs() {
    let check = |name: &str, text: &str, expect: Result<(&str, &str), &str>| {
        let (unit, said) = read(name, text);
        let words = |list: &[crate::schema::Command]| {
            list.iter().map(|c| c.argv.join(" ")).collect::<Vec<_>>().join("; ")
        };
        let got = match unit.map(|u| u.body) {
            Some(Body::Service(s)) => Ok((words(&s.exec.start), words(&s.exec.stop))),
            other => Err(format!("{other:?} {said:?}")),
        };
        match expect {
            Ok((up, down)) => assert_eq!(got, Ok((up.to_owned(), down.to_owned())), "{said:?}"),
            Err(why) => assert!(said.iter().any(|s| s.contains(why)), "{said:?}"),
        }
    };
    let mount = "[Mount]\nWhat=/dev/vdb\nWhere=/srv/my data\nType=ext4\nOptions=ro,nosuid\n";
    check(
        r"srv-my\x20data.mount",
        mount,
        Ok(("ct-init mount /dev/vdb /srv/my data ext4 ro,nosuid 755", "ct-init unmount /srv/my data")),
    );
    check("srv.mount", mount, Err("is not the unit's name"));
    check("srv.mount", "[Mount]\nWhere=/srv\n", Err("has no What="));
    check("srv.mount", "[Mount]\nWhat=tmpfs\n", Err("has no Where="));
    check(
        "srv.mount",
        "[Mount]\nWhat=tmpfs\nWhere=/srv\nDirectoryMode=0700\nLazyUnmount=yes\n",
        Ok(("ct-init mount tmpfs /srv  defaults 700", "ct-init unmount --lazy /srv")),
    );
    check(
        "dev-vdb.swap",
        "[Swap]\nWhat=/dev/vdb\nPriority=5\nOptions=discard\n",
        Ok(("ct-init swapon /dev/vdb pri=5,discard", "ct-init swapoff /dev/vdb")),
    );
}

#[test]
fn no_key_is_listed_twice() {
    let sections =
        ["Unit", "Service", "Install", "Container", "Resources", "Interface", "Socket", "Timer", "Path"];
    for section in sections {
        let mut keys: Vec<&str> = super::keys(section).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "[{section}]");
    }
}

proptest! {
    #[test]
    fn any_value_of_any_key_is_read_or_refused(
        pick in any::<proptest::sample::Index>(),
        value in "[-@:+!/a0%~|.,;\\\\\"'$={}A-C ]{0,12}|\\PC{0,8}",
    ) {
        for (name, section) in [("a@b.service", "Service"), ("a.service", "Unit"), ("a.container", "Container"), ("a.container", "Resources")] {
            let keys: Vec<&str> = super::keys(section).collect();
            let key = keys[pick.index(keys.len())];
            let (unit, said) = read(name, &format!("[{section}]\n{key}={value}\n[Service]\nExecStart=/a\n[Container]\nTemplate=t\n"));
            prop_assert_eq!(unit.is_none(), said.iter().any(|d| !d.contains(": warning: ")));
        }
    }
}

#[test]
fn sockets() {
    use crate::schema::socket::Address;
    let check = |text: &str, expect: Option<Address>| {
        let (unit, said) = read("x.socket", &format!("[Socket]\nListenStream={text}\n"));
        let Body::Socket(socket) = unit.unwrap().body else { panic!("no socket") };
        assert_eq!(socket.listen.first().map(|l| l.address.clone()), expect, "{text}");
        assert_eq!(said.is_empty(), expect.is_some() || text.is_empty(), "{text}: {said:?}");
    };
    check("/run/x.sock", Some(Address::Path("/run/x.sock".to_owned())));
    check("%t/x.sock", Some(Address::Path("/run/x.sock".to_owned())));
    check("@name", Some(Address::Abstract("name".to_owned())));
    check("80", Some(Address::Port(80)));
    check("127.0.0.1:80", Some(Address::Inet(([127, 0, 0, 1], 80).into())));
    check("[::1]:80", Some(Address::Inet("[::1]:80".parse().unwrap())));
    check("0", None);
    check("host:80", None);
    check("@", None);
    check("", None);
    let text = "[Socket]\nListenStream=1\nListenStream=\nListenFIFO=/run/p\nSocketMode=0600\nService=y.service\nAccept=yes\n";
    let (unit, said) = read("x.socket", text);
    let Body::Socket(socket) = unit.unwrap().body else { panic!("no socket") };
    assert_eq!((socket.listen.len(), socket.mode, socket.accept), (1, Mode(0o600), true));
    assert_eq!(socket.service.as_ref().map(UnitName::as_str), Some("y.service"));
    assert_eq!(said, [""; 0]);
}
