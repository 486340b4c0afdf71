//! stops: order, signals, deadlines, and that nothing escapes.
use crate::can;
use ct_init::proto::Verb;
use std::fs;
use tests::groups;
use tests::pid1::Pid1;
use units::machine::Cause;

#[test]
fn shutdown_stops_in_the_reverse_order() {
    if !can("shutdown_stops_in_the_reverse_order") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        let unit = |name: &str, after: &str| {
            let text = format!(
                "[Unit]\n{after}\n[Service]\nExecStart=/bin/sleep 1000\nExecStop=/bin/sh -c 'echo {name} >> /srv/order'\n"
            );
            root.unit(&format!("{name}.service"), &text).enable(&format!("{name}.service"));
        };
        unit("a", "");
        unit("b", "After=a.service");
        unit("c", "After=b.service");
        unit("d", "Before=a.service");
    });
    let watch = pid1.ready().shutdown();
    assert_eq!(watch.leaving, Some(ct_init::proto::Leave::Shutdown));
    let order = pid1.rootfs.at("srv/order");
    assert_eq!(fs::read_to_string(order).expect("the order"), "c\nb\na\nd\n");
    pid1.wait();
}

#[test]
fn a_service_gets_its_own_signal() {
    if !can("a_service_gets_its_own_signal") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("a", "KillSignal=SIGUSR1\nExecStart=/bin/probe await it");
    });
    let mut watch = pid1.ready();
    pid1.logged("a.service", "up");
    watch.unit("a.service", Verb::Stop).expect("it can be stopped");
    assert_eq!(pid1.logs("a.service"), ["it up", "it SIGUSR1"]);
}

#[test]
fn what_does_not_stop_is_killed_at_the_deadline() {
    if !can("what_does_not_stop_is_killed_at_the_deadline") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.script("srv/run", "trap '' TERM\necho up\nwhile :; do sleep 1000; done");
        root.service("a", "TimeoutStopSec=300ms\nExecStart=/srv/run");
    });
    let mut watch = pid1.ready();
    pid1.logged("a.service", "up");
    // Whether that is a failure of the stop is the policy's; that it has an end is not.
    let _ = watch.unit("a.service", Verb::Stop);
    let status = watch.state("a.service");
    assert_eq!((status.active.as_str(), status.cause), ("failed", Some(Cause::StopTimeout)), "{status:?}");
    assert_eq!(groups::processes(pid1.group()), [pid1.pid() as i32]);
}

#[test]
fn a_double_forked_daemon_can_t_escape_a_stop() {
    if !can("a_double_forked_daemon_can_t_escape_a_stop") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.script("srv/run", "setsid sh -c 'trap \"\" TERM HUP; (setsid sleep 1000 &) ; echo away; exec sleep 1001' & exec sleep 1002");
        root.service("a", "ExecStart=/srv/run\nTimeoutStopSec=300ms");
    });
    let mut watch = pid1.ready();
    pid1.logged("a.service", "away");
    let _ = watch.unit("a.service", Verb::Stop);
    assert_eq!(groups::processes(pid1.group()), [pid1.pid() as i32]);
}

#[test]
fn kill_modes_reach_whom_they_should() {
    if !can("kill_modes_reach_whom_they_should") {
        return;
    }
    let run = "probe await child &\nexec probe await main";
    let check = |mode: &str, expect: &[&str], left: usize| {
        let pid1 = Pid1::boot(|root| {
            root.script("srv/run", run);
            root.service("a", &format!("KillMode={mode}\nTimeoutStopSec=500ms\nExecStart=/srv/run"));
        });
        let mut watch = pid1.ready();
        pid1.logged("a.service", "main up");
        pid1.logged("a.service", "child up");
        let _ = watch.unit("a.service", Verb::Stop);
        let mut said = pid1.logs("a.service");
        said.retain(|l| !l.ends_with("up"));
        said.sort();
        assert_eq!(said, expect, "KillMode={mode}");
        let processes = groups::processes(pid1.group()).len() - 1;
        assert_eq!(processes > 0, left > 0, "KillMode={mode}: {processes} are left");
    };
    check("control-group", &["child SIGTERM", "main SIGTERM"], 0);
    check("mixed", &["main SIGTERM"], 0);
    check("process", &["main SIGTERM"], 1);
}

#[test]
fn exec_stop_and_stop_post_know_the_result() {
    if !can("exec_stop_and_stop_post_know_the_result") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service(
            "a",
            "ExecStart=/bin/sleep 1000\nExecStop=/bin/sh -c 'echo stop $MAINPID; kill $MAINPID'\nExecStopPost=/bin/sh -c 'echo post $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS'",
        );
        root.service("b", "ExecStart=/bin/sh -c 'exit 5'\nExecStopPost=/bin/sh -c 'echo post $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS'");
    });
    let mut watch = pid1.ready();
    let pid = watch.state("a.service").pid;
    watch.unit("a.service", Verb::Stop).expect("it can be stopped");
    assert_eq!(pid1.logs("a.service"), [format!("stop {pid}"), "post success killed TERM".into()]);
    watch.active("b.service", "failed");
    assert_eq!(pid1.logs("b.service"), ["post exit-code exited 5"]);
}

#[test]
fn a_shutdown_ends_though_a_service_ignores_everything() {
    if !can("a_shutdown_ends_though_a_service_ignores_everything") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.script("srv/run", "trap '' TERM HUP INT\necho up\nwhile :; do sleep 1000; done");
        root.service("a", "TimeoutStopSec=300ms\nExecStart=/srv/run");
        root.service("b", "Type=oneshot\nExecStart=/bin/true\nRemainAfterExit=yes\nExecStop=/bin/sleep 1000\nTimeoutStopSec=300ms");
    });
    let watch = pid1.ready();
    pid1.logged("a.service", "up");
    watch.shutdown();
    pid1.wait();
}

#[test]
fn a_service_that_took_sigkill_to_stop_runs_its_stop_post_and_starts_again() {
    if !can("a_service_that_took_sigkill_to_stop_runs_its_stop_post_and_starts_again") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service(
            "deaf",
            "TimeoutStopSec=100ms\nExecStart=/bin/sh -c \"trap '' TERM; echo begun >> /srv/log; while :; do sleep 1000; done\"\n\
             ExecStopPost=/bin/sh -c 'echo post >> /srv/log'",
        );
    });
    let mut watch = pid1.ready();
    let log = || fs::read_to_string(pid1.rootfs.at("srv/log")).unwrap_or_default();
    for _ in 0..2 {
        pid1.sh("until test -s /srv/log; do sleep 0.01; done").output();
        watch.unit("deaf.service", Verb::Restart).expect("restart");
        pid1.sh("until tail -n 1 /srv/log | grep -q begun; do sleep 0.01; done").output();
    }
    assert_eq!(log(), "begun\npost\nbegun\npost\nbegun\n");
    assert_eq!(watch.state("deaf.service").active, "active");
}
