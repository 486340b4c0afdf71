//! kinds: the service types, their main process and the moment at which they count as started.
use crate::can;
use tests::pid1::Pid1;
use units::machine::Cause;

#[test]
fn a_simple_service_is_up_at_once() {
    if !can("a_simple_service_is_up_at_once") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("a", "ExecStart=/bin/sleep 1000");
    });
    let status = pid1.ready().state("a.service");
    assert_eq!((status.active.as_str(), status.sub.as_str()), ("active", "running"));
    // It counts as up before its program is executed: that is what simple means.
    let line =
        format!("until tr '\\0' ' ' < /proc/{0}/cmdline | grep '^/bin/sleep 1000 $'; do :; done", status.pid);
    assert_eq!(pid1.sh(&line).output(), "/bin/sleep 1000 \n");
}

#[test]
fn what_comes_after_a_oneshot_waits_for_its_end() {
    if !can("what_comes_after_a_oneshot_waits_for_its_end") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.unit(
            "first.service",
            "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'read x < /srv/fifo; echo done > /srv/first'\n",
        );
        root.unit(
            "second.service",
            "[Unit]\nAfter=first.service\n[Service]\nType=oneshot\nExecStart=/bin/cat /srv/first\n",
        );
        root.unit("side.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo go > /srv/fifo'\n");
        root.enable("first.service").enable("second.service").enable("side.service");
        nix::unistd::mkfifo(&root.at("srv/fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    });
    let mut watch = pid1.ready();
    assert_eq!(watch.state("first.service").sub, "exited");
    let second = watch.state("second.service");
    assert_eq!(
        (second.active.as_str(), second.cause),
        ("inactive", Some(Cause::Exited(units::machine::Exit::Code(0))))
    );
    assert_eq!(pid1.logs("second.service"), ["done"]);
}

#[test]
fn a_notify_service_is_up_when_it_says_so() {
    if !can("a_notify_service_is_up_when_it_says_so") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service(
            "n",
            "Type=notify\nExecStart=/bin/sh -c 'echo go > /srv/begun; exec probe notify-and-stay READY=1 STATUS=serving'",
        );
        root.unit("after.service", "[Unit]\nAfter=n.service\n[Service]\nExecStart=/bin/sleep 1000\n")
            .enable("after.service");
    });
    let mut watch = pid1.ready();
    let n = watch.state("n.service");
    assert_eq!((n.active.as_str(), n.note.as_str()), ("active", "serving"));
    assert_eq!(watch.state("after.service").active, "active");
}

/// READY=1 from an orphan that has ended by the time anyone looks: it is heard before it is reaped.
#[test]
fn ready_from_a_short_lived_child_is_not_lost() {
    if !can("ready_from_a_short_lived_child_is_not_lost") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        for i in 0..8 {
            root.service(
                &format!("n{i}"),
                "Type=notify\nNotifyAccess=all\nExecStart=/bin/sh -c '(probe notify READY=1 &); exec sleep 1000'",
            );
        }
    });
    assert_eq!(pid1.watch().ready(), Vec::<String>::new());
}

/// As systemd-notify does: it waits until it has been heard, so that its parent can't reap it before.
#[test]
fn a_barrier_is_answered_when_all_before_it_was_heard() {
    if !can("a_barrier_is_answered_when_all_before_it_was_heard") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        for i in 0..8 {
            let lines = "Type=notify\nNotifyAccess=all\nExecStart=/bin/sh -c 'probe notify-and-wait READY=1; exec sleep 1000'";
            root.service(&format!("n{i}"), lines);
        }
    });
    assert_eq!(pid1.watch().ready(), Vec::<String>::new());
}

#[test]
fn notify_access_main_ignores_others() {
    if !can("notify_access_main_ignores_others") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service(
            "n",
            "Type=notify\nTimeoutStartSec=1s\nTimeoutStopSec=10s\nExecStart=/bin/sh -c 'probe notify-and-wait READY=1; exec sleep 1000'",
        );
    });
    let mut watch = pid1.ready();
    let n = watch.state("n.service");
    assert_eq!((n.active.as_str(), n.cause), ("failed", Some(Cause::StartTimeout)));
}

/// A process of another service that claims to be ready for it.
#[test]
fn a_stranger_can_t_make_a_service_ready() {
    if !can("a_stranger_can_t_make_a_service_ready") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service(
            "victim",
            "Type=notify\nNotifyAccess=all\nTimeoutStartSec=1s\nExecStart=/bin/sleep 1000",
        );
        root.service(
            "stranger",
            "Type=oneshot\nNotifyAccess=all\nExecStart=/bin/probe notify READY=1 MAINPID=1",
        );
    });
    let mut watch = pid1.ready();
    assert_eq!(watch.state("victim.service").active, "failed");
}

#[test]
fn a_notify_service_that_ends_before_it_is_ready_has_failed() {
    if !can("a_notify_service_that_ends_before_it_is_ready_has_failed") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("n", "Type=notify\nExecStart=/bin/true");
    });
    let mut watch = pid1.ready();
    let n = watch.state("n.service");
    assert_eq!((n.active.as_str(), n.cause), ("failed", Some(Cause::NeverReady)));
}

#[test]
fn a_forking_service_is_up_when_its_parent_has_ended() {
    if !can("a_forking_service_is_up_when_its_parent_has_ended") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service(
            "file",
            "Type=forking\nPIDFile=/run/f.pid\nExecStart=/bin/sh -c 'sleep 1000 & sleep 2000 & echo $! > /run/f.pid'",
        );
        root.service("guess", "Type=forking\nExecStart=/bin/sh -c 'sleep 3000 &'");
    });
    let mut watch = pid1.ready();
    for (unit, seconds) in [("file.service", "2000"), ("guess.service", "3000")] {
        let status = watch.state(unit);
        assert_eq!(status.active, "active", "{unit}: {status:?}");
        let line = pid1.sh(&format!("tr '\\0' ' ' < /proc/{}/cmdline", status.pid)).output();
        assert_eq!(line, format!("sleep {seconds} "), "{unit}");
    }
}

/// A PID file that names PID 1 or a process of another service is not believed.
#[test]
fn a_pid_file_that_names_a_stranger_is_not_believed() {
    if !can("a_pid_file_that_names_a_stranger_is_not_believed") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service(
            "one",
            "Type=forking\nPIDFile=/run/one.pid\nTimeoutStartSec=1s\nExecStart=/bin/sh -c 'sleep 1000 & echo 1 > /run/one.pid'",
        );
        root.service("other", "ExecStart=/bin/sleep 1000");
    });
    let mut watch = pid1.ready();
    assert_ne!(watch.state("one.service").pid, 1);
    assert!(pid1.runs());
}

#[test]
fn a_program_that_can_t_be_executed_is_told_in_a_sentence() {
    if !can("a_program_that_can_t_be_executed_is_told_in_a_sentence") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.file("srv/text", "not a program\n").file("srv/binary", "\u{7f}ELF what\n");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(root.at("srv/binary"), mode).expect("set a mode");
        for (name, lines) in [
            ("missing", "ExecStart=/bin/nothing-here"),
            ("noexec", "ExecStart=/srv/text"),
            ("format", "ExecStart=/srv/binary"),
            ("user", "User=nobody-of-this-name\nExecStart=/bin/true"),
            ("group", "Group=no-group-of-this-name\nExecStart=/bin/true"),
            ("directory", "WorkingDirectory=/no/such/place\nExecStart=/bin/true"),
        ] {
            root.service(name, lines);
        }
    });
    let mut watch = pid1.ready();
    let mut check = |unit: &str, parts: &[&str]| {
        let status = watch.active(&format!("{unit}.service"), "failed");
        for part in parts {
            assert!(status.note.contains(part), "{unit}: {:?} does not name {part}", status.note);
        }
    };
    check("missing", &["/bin/nothing-here", "No such file"]);
    check("noexec", &["/srv/text", "ermission denied"]);
    check("format", &["/srv/binary", "Exec format error"]);
    check("user", &["nobody-of-this-name"]);
    check("group", &["no-group-of-this-name"]);
    check("directory", &["/no/such/place", "No such file"]);
}
