//! context: whom a service runs as and with what, as the service itself sees it.
use crate::can;
use tests::pid1::Pid1;

/// Lines of `[Service]`, a shell line, what it prints.
const CASES: &[(&str, &str, &str)] = &[
    ("", "id -u; id -g; id -G", "0|0|0"),
    ("User=app", "id -u; id -g; id -G", "1000|1000|1000 2000"),
    ("User=1000", "id -u; id -g", "1000|1000"),
    ("User=4321", "id -u", "4321"),
    ("User=app\nGroup=extra", "id -u; id -g", "1000|2000"),
    ("SupplementaryGroups=extra", "id -G", "0 2000"),
    ("", "pwd", "/"),
    ("WorkingDirectory=/srv", "pwd", "/srv"),
    ("WorkingDirectory=-/none", "pwd", "/"),
    ("User=app\nWorkingDirectory=~", "pwd", "/srv"),
    ("", "umask", "0022"),
    ("UMask=0077", "umask", "0077"),
    ("", "cut -d' ' -f19 /proc/self/stat", "0"),
    ("Nice=5", "cut -d' ' -f19 /proc/self/stat", "5"),
    ("LimitNOFILE=77:88", "ulimit -n; ulimit -Hn", "77|88"),
    ("LimitCORE=0", "ulimit -c", "0"),
    ("OOMScoreAdjust=500", "cat /proc/self/oom_score_adj", "500"),
    ("", "echo $(($(cat /proc/self/oom_score_adj) - $(cat /proc/1/oom_score_adj)))", "300"),
    ("CapabilityBoundingSet=CAP_CHOWN", "status CapBnd", "0000000000000001"),
    ("CapabilityBoundingSet=", "status CapBnd", "0000000000000000"),
    ("CapabilityBoundingSet=CAP_CHOWN CAP_KILL", "status CapEff", "0000000000000021"),
    ("User=app", "status CapEff", "0000000000000000"),
    (
        "User=app",
        "status CapPrm; status CapInh; status CapAmb",
        "0000000000000000|0000000000000000|0000000000000000",
    ),
    (
        "User=app\nAmbientCapabilities=CAP_NET_BIND_SERVICE",
        "status CapAmb; status CapEff",
        "0000000000000400|0000000000000400",
    ),
    ("", "status NoNewPrivs", "0"),
    ("NoNewPrivileges=yes", "status NoNewPrivs", "1"),
    ("Environment=A=1 \"B=two words\"", "echo \"$A-$B\"", "1-two words"),
    ("EnvironmentFile=/etc/vars", "echo \"$C $D\"", "three 4 5"),
    ("EnvironmentFile=-/etc/none", "echo ok", "ok"),
    ("Environment=A=1\nUnsetEnvironment=A", "echo \"-$A-\"", "--"),
    ("User=app", "echo $HOME $USER $LOGNAME $SHELL", "/srv app app /bin/sh"),
    ("", "test -n \"$INVOCATION_ID\" && echo set", "set"),
    ("", "echo $FROM_HOST", "yes"),
    ("RuntimeDirectory=one", "stat -c '%a %u' /run/one; echo $RUNTIME_DIRECTORY", "755 0|/run/one"),
    (
        "User=app\nStateDirectory=two\nStateDirectoryMode=0700",
        "stat -c '%a %u %g' /var/lib/two",
        "700 1000 1000",
    ),
    ("User=app\nLogsDirectory=three", "touch /var/log/three/x && echo $LOGS_DIRECTORY", "/var/log/three"),
    ("User=app\nCacheDirectory=four", "echo $CACHE_DIRECTORY", "/var/cache/four"),
    ("PrivateTmp=yes", "ls -A /tmp | wc -l; touch /tmp/x && echo ok", "0|ok"),
    ("", "status SigIgn", "0000000000001000"),
    ("IgnoreSIGPIPE=no", "status SigIgn", "0000000000000000"),
    ("", "status SigBlk; status SigCgt", "0000000000000000|0000000000000000"),
    ("", "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 "),
    ("", "readlink /proc/self/fd/0", "/dev/null"),
    ("StandardInputText=hello", "cat", "hello"),
    ("", "cut -d' ' -f6 /proc/self/stat | grep -c \"^$PPID$\\|^$$$\"", "1"),
    ("", "grep ^0: /proc/self/cgroup | cut -d/ -f2", "units"),
    ("Environment=ME=%n", "echo $ME", "SELF"),
    ("Environment=P=100%%", "echo $P", "100%"),
    ("ExecStartPre=/bin/sh -c 'echo pre > /srv/pre'", "cat /srv/pre", "pre"),
    ("ExecStartPre=-/bin/false", "echo went on", "went on"),
    ("User=app\nExecStartPre=+/bin/sh -c 'id -u > /srv/plus'", "cat /srv/plus", "0"),
    ("Type=idle", "echo idle", "idle"),
];

#[test]
fn a_service_sees_what_its_unit_says() {
    if !can("a_service_sees_what_its_unit_says") {
        return;
    }
    let mut options = tests::pid1::Options::default();
    if let Some(handover) = &mut options.handover {
        handover.environment = vec![("FROM_HOST".into(), "yes".into())];
    }
    let pid1 = Pid1::boot_with(options, |root| {
        root.file("etc/vars", "# a comment\nC=three\nD='4 5'\n").file("tmp/there", "");
        for (i, (lines, shell, _)) in CASES.iter().enumerate() {
            root.script(
                &format!("srv/{i}"),
                &format!("status() {{ grep \"^$1:\" /proc/self/status | cut -f2; }}\n{shell}"),
            );
            let kind = if lines.contains("Type=") { "" } else { "Type=oneshot\n" };
            root.service(&format!("s{i}"), &format!("{kind}{lines}\nExecStart=/srv/{i}"));
        }
    });
    let mut watch = pid1.ready();
    let mut wrong = Vec::new();
    for (i, (lines, shell, expect)) in CASES.iter().enumerate() {
        let unit = format!("s{i}.service");
        watch.until("all have run", |w| w.units.get(&unit).is_none_or(|u| u.active != "activating"));
        let expect = expect.replace("SELF", &unit);
        let said =
            if lines.contains("Type=idle") { pid1.logged(&unit, "idle") } else { pid1.logs(&unit) }.join("|");
        if said.trim() != expect.trim() {
            wrong
                .push(format!("{lines:?} {shell:?}: {said:?}, not {expect:?} ({})", watch.state(&unit).note));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn output_goes_where_the_unit_says() {
    if !can("output_goes_where_the_unit_says") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.file("srv/old", "before\n").file("srv/cut", "before, and longer than after\n");
        let say = "Type=oneshot\nExecStart=/bin/sh -c 'echo out; echo err >&2'\n";
        root.service("null", &format!("{say}StandardOutput=null"));
        root.service("file", &format!("{say}StandardOutput=file:/srv/new\nStandardError=null"));
        root.service("append", &format!("{say}StandardOutput=append:/srv/old\nStandardError=inherit"));
        root.service("truncate", &format!("{say}StandardOutput=truncate:/srv/cut"));
        root.service("log", say);
    });
    pid1.ready();
    let check = |line: &str, expect: &str| assert_eq!(pid1.sh(line).output(), expect, "{line}");
    check("cat /srv/new", "out\n");
    check("cat /srv/old", "before\nout\nerr\n");
    check("head -n 1 /srv/cut", "out\n");
    assert_eq!(pid1.logs("null.service"), Vec::<String>::new());
    let mut both = pid1.logs("log.service");
    both.sort();
    assert_eq!(both, ["err", "out"]);
}

#[test]
fn runtime_directories_go_with_the_service() {
    if !can("runtime_directories_go_with_the_service") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("a", "RuntimeDirectory=a\nExecStart=/bin/sleep 1000");
        root.service(
            "keep",
            "RuntimeDirectory=keep\nRuntimeDirectoryPreserve=yes\nExecStart=/bin/sleep 1000",
        );
    });
    let mut watch = pid1.ready();
    assert_eq!(pid1.sh("touch /run/a/x; ls -d /run/a /run/keep").output(), "/run/a\n/run/keep\n");
    watch.unit("a.service", ct_init::proto::Verb::Stop).expect("it can be stopped");
    watch.unit("keep.service", ct_init::proto::Verb::Stop).expect("it can be stopped");
    assert_eq!(pid1.sh("ls -d /run/a /run/keep 2>/dev/null; true").output(), "/run/keep\n");
}

#[test]
fn limits_of_a_service_are_in_its_group() {
    if !can("limits_of_a_service_are_in_its_group") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("a", "MemoryMax=64M\nTasksMax=20\nExecStart=/bin/sleep 1000");
    });
    let mut watch = pid1.ready();
    assert_eq!(watch.state("a.service").active, "active");
    // On this machine's layout the controllers may be elsewhere: then it is said, not forgotten.
    let inside = pid1.sh("cat /sys/fs/cgroup/cgroup.controllers").output();
    let log = pid1.logs("ct-init").join("\n");
    for (controller, file, key, value) in
        [("memory", "memory.max", "MemoryMax", "67108864"), ("pids", "pids.max", "TasksMax", "20")]
    {
        if inside.split_whitespace().any(|c| c == controller) {
            assert_eq!(pid1.sh(&format!("cat /sys/fs/cgroup/units/a.service/{file}")).output().trim(), value);
        } else {
            assert!(log.contains(key) || log.contains(controller), "{key} is dropped in silence:\n{log}");
        }
    }
}
