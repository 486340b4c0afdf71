//! lives: restarts and their limits, dependencies, orphans.
use crate::can;
use ct_init::proto::Verb;
use tests::groups;
use tests::pid1::Pid1;
use units::machine::{Cause, Exit};

#[test]
fn a_service_that_crashes_comes_back() {
    if !can("a_service_that_crashes_comes_back") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.script(
            "srv/run",
            "echo x >> /srv/runs\n[ $(wc -l < /srv/runs) -ge 3 ] && exec sleep 1000\nexit 1",
        );
        root.service("a", "ExecStart=/srv/run\nRestart=on-failure\nRestartSec=1ms");
    });
    let mut watch = pid1.watch();
    watch.list();
    watch.until("started a third time", |w| {
        w.units.get("a.service").is_some_and(|u| u.restarts == 2 && u.active == "active")
    });
    // Up is when it was forked: it may still be on its way to the line.
    assert_eq!(
        pid1.sh("while [ $(wc -l < /srv/runs) -lt 3 ]; do :; done; wc -l < /srv/runs").output().trim(),
        "3"
    );
}

#[test]
fn a_killed_main_process_comes_back() {
    if !can("a_killed_main_process_comes_back") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("a", "ExecStart=/bin/sleep 1000\nRestart=always\nRestartSec=1ms");
    });
    let mut watch = pid1.ready();
    let first = watch.state("a.service").pid;
    for _ in 0..3 {
        let now = watch.state("a.service").pid;
        pid1.sh(&format!("kill -9 {now}")).output();
        watch.until("back", |w| {
            w.units.get("a.service").is_some_and(|u| u.pid != now && u.pid != 0 && u.active == "active")
        });
    }
    assert_ne!(watch.state("a.service").pid, first);
    assert_eq!(watch.state("a.service").restarts, 3);
}

#[test]
fn a_service_that_only_crashes_is_given_up() {
    if !can("a_service_that_only_crashes_is_given_up") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.script("srv/run", "echo x >> /srv/runs; exit 7");
        root.service("a", "ExecStart=/srv/run\nRestart=always\nRestartSec=0");
    });
    let mut watch = pid1.watch();
    let status = watch.active("a.service", "failed");
    assert_eq!(status.cause, Some(Cause::StartLimit));
    assert_eq!(pid1.sh("wc -l < /srv/runs").output().trim(), "5");
}

/// A stop during the back-off takes the pending restart back: nothing may start behind its back.
#[test]
fn a_stop_during_the_back_off_is_final() {
    if !can("a_stop_during_the_back_off_is_final") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("a", "ExecStart=/bin/false\nRestart=always\nRestartSec=1s");
        root.service("clock", "Type=oneshot\nExecStart=/bin/sleep 2\nTimeoutStartSec=60s");
    });
    let mut watch = pid1.watch();
    watch.list();
    watch.until("in its back-off", |w| w.units.get("a.service").is_some_and(|u| u.sub == "auto-restart"));
    watch.unit("a.service", Verb::Stop).expect("it can be stopped");
    let runs =
        watch.history.iter().filter(|(u, s)| u == "a.service" && s.starts_with("activating/start")).count();
    // Longer than the back-off, by a clock inside.
    watch.ready();
    let later =
        watch.history.iter().filter(|(u, s)| u == "a.service" && s.starts_with("activating/start")).count();
    assert_eq!(runs, later, "{:?}", watch.history);
    assert_eq!(watch.state("a.service").active, "inactive");
}

#[test]
fn restart_policies_tell_ends_apart() {
    if !can("restart_policies_tell_ends_apart") {
        return;
    }
    // The policy, how it ends, whether it comes back (a second run stays).
    let cases = [
        ("no", "exit 1", false),
        ("on-failure", "exit 0", false),
        ("on-failure", "exit 1", true),
        ("on-failure", "kill -TERM $$", false),
        ("on-failure", "kill -SEGV $$", true),
        ("on-success", "exit 0", true),
        ("on-success", "exit 1", false),
        ("on-abnormal", "exit 1", false),
        ("on-abnormal", "kill -KILL $$", true),
        ("on-abort", "kill -ABRT $$", true),
        ("on-abort", "exit 1", false),
        ("always", "exit 0", true),
        ("always\nRestartPreventExitStatus=3", "exit 3", false),
        ("no\nRestartForceExitStatus=3", "exit 3", true),
        ("on-failure\nSuccessExitStatus=3", "exit 3", false),
    ];
    let pid1 = Pid1::boot(|root| {
        for (i, (policy, end, _)) in cases.iter().enumerate() {
            root.script(
                &format!("srv/{i}"),
                &format!("[ -e /srv/{i}.ran ] && exec sleep 1000\ntouch /srv/{i}.ran\n{end}"),
            );
            root.service(&format!("s{i}"), &format!("ExecStart=/srv/{i}\nRestartSec=1ms\nRestart={policy}"));
        }
    });
    let mut watch = pid1.watch();
    watch.list();
    for (i, (policy, end, back)) in cases.iter().enumerate() {
        let unit = format!("s{i}.service");
        watch.until(&format!("{policy:?} after {end:?} settled"), |w| {
            w.units.get(&unit).is_some_and(|u| {
                if *back {
                    u.restarts == 1 && u.active == "active"
                } else {
                    ["inactive", "failed"].contains(&u.active.as_str())
                }
            })
        });
    }
    // Those that stay down have had every chance while the others came back.
    for (i, (policy, end, back)) in cases.iter().enumerate().filter(|(_, c)| !c.2) {
        let status = watch.state(&format!("s{i}.service"));
        assert_eq!((status.restarts, *back), (0, false), "{policy:?} after {end:?}: {status:?}");
    }
}

#[test]
fn a_unit_whose_requirement_fails_is_not_started() {
    if !can("a_unit_whose_requirement_fails_is_not_started") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.unit("base.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n");
        let needs = |how: &str| {
            format!("[Unit]\n{how}=base.service\nAfter=base.service\n[Service]\nExecStart=/bin/sleep 1000\n")
        };
        root.unit("needs.service", &needs("Requires")).enable("needs.service");
        root.unit("wants.service", &needs("Wants")).enable("wants.service");
    });
    let mut watch = pid1.watch();
    let failed = watch.ready();
    assert!(failed.contains(&"base.service".to_owned()), "{failed:?}");
    assert_eq!(watch.state("wants.service").active, "active");
    let needs = watch.state("needs.service");
    assert_ne!(needs.active, "active");
    assert_eq!(needs.cause, Some(Cause::Dependency), "{needs:?}");
}

#[test]
fn a_cycle_is_cut_and_named_and_both_start() {
    if !can("a_cycle_is_cut_and_named_and_both_start") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        let after = |other: &str| format!("[Unit]\nAfter={other}\n[Service]\nExecStart=/bin/sleep 1000\n");
        root.unit("chicken.service", &after("egg.service")).enable("chicken.service");
        root.unit("egg.service", &after("chicken.service")).enable("egg.service");
    });
    let mut watch = pid1.ready();
    let states = [watch.state("chicken.service").active, watch.state("egg.service").active];
    let log = pid1.logs("ct-init").join("\n");
    assert!(log.contains("chicken.service") && log.contains("egg.service"), "the cycle is not named:\n{log}");
    assert_eq!(states, ["active", "active"], "{log}");
}

#[test]
fn on_failure_starts_its_unit_with_the_reason() {
    if !can("on_failure_starts_its_unit_with_the_reason") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.unit(
            "a.service",
            "[Unit]\nOnFailure=mail@%n.service\n[Service]\nExecStart=/bin/sh -c 'exit 9'\n",
        )
        .enable("a.service");
        root.unit("mail@.service", "[Service]\nType=oneshot\nExecStart=/bin/echo %i $MONITOR_EXIT_STATUS\n");
    });
    pid1.ready();
    assert_eq!(pid1.logged("mail@a.service.service", "a.service"), ["a.service 9"]);
}

#[test]
fn conditions_skip_and_asserts_fail() {
    if !can("conditions_skip_and_asserts_fail") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        let unit = |line: &str| format!("[Unit]\n{line}\n[Service]\nExecStart=/bin/sleep 1000\n");
        for (name, line) in [
            ("met", "ConditionPathExists=/bin/sh"),
            ("unmet", "ConditionPathExists=/bin/none"),
            ("negated", "ConditionPathExists=!/bin/none"),
            ("asserted", "AssertPathExists=/bin/none"),
        ] {
            root.unit(&format!("{name}.service"), &unit(line)).enable(&format!("{name}.service"));
        }
    });
    let mut watch = pid1.watch();
    let failed = watch.ready();
    let mut check = |unit: &str, active: &str| assert_eq!(watch.state(unit).active, active, "{unit}");
    check("met.service", "active");
    check("unmet.service", "skipped");
    check("negated.service", "active");
    check("asserted.service", "failed");
    assert_eq!(failed, ["asserted.service"]);
}

#[test]
fn strangers_are_reaped() {
    if !can("strangers_are_reaped") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    pid1.ready();
    pid1.sh("for i in $(seq 50); do (true & true &); done").output();
    let zombies = "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z '";
    pid1.sh(&format!("while [ \"$({zombies})\" != 0 ]; do :; done")).output();
}

#[test]
fn a_zombie_storm_does_not_keep_pid_1_from_answering() {
    if !can("a_zombie_storm_does_not_keep_pid_1_from_answering") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.script(
            "srv/storm",
            "i=0\nwhile [ $i -lt 1500 ]; do (sleep 0 & true &); i=$((i+1)); done\necho over",
        );
        root.service("storm", "Type=oneshot\nExecStart=/srv/storm\nTimeoutStartSec=infinity");
        root.service("steady", "ExecStart=/bin/sleep 1000");
    });
    let mut watch = pid1.watch();
    for _ in 0..50 {
        assert!(watch.list().contains_key("storm.service"));
    }
    watch.ready();
    assert_eq!(pid1.logs("storm.service"), ["over"]);
    assert_eq!(watch.state("steady.service").active, "active");
    assert_eq!(watch.state("storm.service").cause, Some(Cause::Exited(Exit::Code(0))));
}

#[test]
fn fork_bomb_inside_a_limit_leaves_pid_1_in_command() {
    if !can("fork_bomb_inside_a_limit_leaves_pid_1_in_command") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.script("srv/bomb", "ulimit -u 60\nf() { f | f & }\nf\nsleep 1000");
        root.service("bomb", "User=app\nExecStart=/srv/bomb");
    });
    let mut watch = pid1.ready();
    watch.unit("bomb.service", Verb::Stop).expect("it can be stopped");
    assert_eq!(groups::processes(pid1.group()), [pid1.pid() as i32]);
}
