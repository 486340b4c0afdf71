//! leave: how PID 1 ends, and what the one who waits for it sees.
use crate::can;
use nix::sys::wait::WaitStatus;
use tests::client::Watch;
use tests::pid1::Pid1;

/// The status as words.
fn end(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("exit {code}"),
        WaitStatus::Signaled(_, signal, _) => format!("{signal}"),
        other => format!("{other:?}"),
    }
}

/// Boots a service that says when it is stopped, does something, and returns how PID 1 ended and whether the service
/// was stopped before.
fn left(what: impl FnOnce(&Pid1)) -> (String, bool) {
    let pid1 = Pid1::boot(|root| {
        root.service("a", "ExecStart=/bin/sleep 1000\nExecStop=/bin/touch /srv/stopped");
    });
    let watch: Watch = pid1.ready();
    what(&pid1);
    drop(watch);
    let stopped = pid1.rootfs.at("srv/stopped");
    let status = pid1.wait_keeping(|| stopped.exists());
    (end(status.0), status.1)
}

#[test]
fn the_host_sees_why_it_ended() {
    if !can("the_host_sees_why_it_ended") {
        return;
    }
    let check = |what: &str, action: &dyn Fn(&Pid1), expect: (&str, bool)| {
        let (status, stopped) = left(action);
        assert_eq!((status.as_str(), stopped), expect, "{what}");
    };
    let inside = |line: &'static str| {
        move |p: &Pid1| {
            let _ = tests::client::start(&p.socket(), line);
        }
    };
    check("the host asks", &|p| drop(p.watch().shutdown()), ("exit 0", true));
    check("SIGTERM from the host", &|p| p.signal(15), ("exit 0", true));
    check("SIGRTMIN+3 from the host", &|p| p.signal(nix::libc::SIGRTMIN() + 3), ("exit 0", true));
    check("SIGPWR from the host", &|p| p.signal(nix::libc::SIGPWR), ("exit 0", true));
    check("SIGINT, as Ctrl-Alt-Del", &|p| p.signal(2), ("SIGHUP", true));
    check("reboot inside, polite", &inside("kill -39 1"), ("SIGHUP", true));
    check("power off inside, polite", &inside("kill -38 1"), ("SIGINT", true));
    check("reboot inside, at once", &inside("reboot -f"), ("SIGHUP", false));
    check("power off inside, at once", &inside("/bin/busybox poweroff -f"), ("SIGINT", false));
    check("killed", &|p| p.signal(9), ("SIGKILL", false));
}

#[test]
fn signals_from_inside_can_t_end_or_stop_it() {
    if !can("signals_from_inside_can_t_end_or_stop_it") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    pid1.ready();
    pid1.sh("for s in 9 19 6 11 8 4 13 14 10 12 16 20 21 22 24 25 26 27 31; do kill -$s 1; done; echo sent")
        .output();
    assert_eq!(pid1.sh("echo still here").output(), "still here\n");
}

/// Processes that ignore every signal don't keep it from leaving, and nothing outlives it.
#[test]
fn nothing_outlives_it() {
    if !can("nothing_outlives_it") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    let watch = pid1.ready();
    pid1.sh("trap '' TERM HUP INT; (setsid sleep 1000 &) > /dev/null 2>&1; (setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' &) > /dev/null 2>&1").output();
    let group = pid1.group().to_path_buf();
    watch.shutdown();
    let (status, left) = pid1.wait_keeping(|| !tests::groups::processes(&group).is_empty());
    assert_eq!((end(status).as_str(), left), ("exit 0", false));
}
