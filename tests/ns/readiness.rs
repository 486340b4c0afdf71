//! readiness: when a container is ready as its unit says, its health, and its keep-alives.
use crate::can;
use ct_init::proto::{Exec, Handover, Verb};
use nix::sys::wait::WaitStatus;
use std::time::Duration;
use tests::client::{self, Watch};
use tests::pid1::{Options, Pid1};
use tests::rootfs::Rootfs;
use units::schema::{Health, ReadyWhen};

fn boot(told: impl FnOnce(&mut Handover), fill: impl FnOnce(&Rootfs)) -> Pid1 {
    let mut options = Options::default();
    if let Some(handover) = &mut options.handover {
        told(handover);
    }
    Pid1::boot_with(options, fill)
}

fn waiting(pid1: &Pid1, part: &str) -> Watch {
    let mut watch = pid1.watch();
    watch.until(part, |w| w.waits.iter().any(|t| t.contains(part)));
    assert_eq!(watch.ready, None);
    watch
}

fn sh(line: &str) -> Vec<String> {
    ["/bin/sh", "-c", line].map(str::to_owned).to_vec()
}

#[test]
fn a_container_is_ready_when_its_port_is_open() {
    if !can("a_container_is_ready_when_its_port_is_open") {
        return;
    }
    let pid1 = boot(
        |h| h.ready = ReadyWhen::Tcp(8080),
        |root| {
            root.unit("port.service", "[Service]\nExecStart=/bin/nc -l -p 8080\n");
        },
    );
    let mut watch = waiting(&pid1, "waits for port 8080");
    watch.unit("port.service", Verb::Start).expect("start");
    assert_eq!(watch.ready(), Vec::<String>::new());
    assert_eq!(watch.waits, ["waits for port 8080"]);
    // Whoever begins to watch now is told that it is ready, and nothing of waiting.
    let mut late = pid1.ready();
    late.list();
    assert_eq!(late.waits, Vec::<String>::new());
}

#[test]
fn a_container_is_ready_when_its_file_is_there() {
    if !can("a_container_is_ready_when_its_file_is_there") {
        return;
    }
    let check = |path: &str, prepare: &str, make: &str| {
        let pid1 = boot(|h| h.ready = ReadyWhen::File(path.into()), |_| {});
        let mut watch = waiting(&pid1, path);
        pid1.sh(prepare).output();
        watch.list();
        assert_eq!(watch.ready, None, "{prepare}");
        pid1.sh(make).output();
        watch.ready();
    };
    check(
        "/run/app/deep/ready",
        "mkdir /run/app; mkdir /run/app/deep; touch /run/app/deep/other",
        "touch /run/app/deep/ready",
    );
    check("/srv/socket", "touch /srv/other", "mv /srv/other /srv/socket");
    // What a link leads to is not told: the clock finds it.
    check("/srv/link", "ln -s /tmp/far /srv/link", "touch /tmp/far");
}

#[test]
fn a_container_is_ready_when_anybody_inside_says_so() {
    if !can("a_container_is_ready_when_anybody_inside_says_so") {
        return;
    }
    let pid1 = boot(|h| h.ready = ReadyWhen::Notify, |_| {});
    let mut watch = waiting(&pid1, "waits for READY=1 on /run/ct/notify");
    let say = |text: &str, socket: &str| {
        let argv = ["/bin/probe", "notify-and-wait", text].map(str::to_owned).to_vec();
        let environment = vec![("NOTIFY_SOCKET".to_owned(), socket.to_owned())];
        let exec = Exec { argv, environment, user: Some("app".into()), ..Exec::default() };
        client::exec(&pid1.socket(), exec).output();
    };
    say("STATUS=almost", "/run/ct/notify");
    say("READY=1", "/run/systemd/notify");
    watch.list();
    assert_eq!(watch.ready, None);
    say("READY=1", "/run/ct/notify");
    watch.ready();
    // It still listens: nobody who says it again hangs.
    say("READY=1", "/run/ct/notify");
}

#[test]
fn a_word_that_comes_before_the_target_is_reached_is_not_lost() {
    if !can("a_word_that_comes_before_the_target_is_reached_is_not_lost") {
        return;
    }
    let pid1 = boot(
        |h| h.ready = ReadyWhen::Notify,
        |root| {
            root.service(
                "early",
                "Type=oneshot\nEnvironment=NOTIFY_SOCKET=/run/ct/notify\nExecStart=/bin/probe notify READY=1",
            );
        },
    );
    assert_eq!(pid1.watch().ready(), Vec::<String>::new());
}

#[test]
fn a_container_is_ready_when_its_command_succeeds() {
    if !can("a_container_is_ready_when_its_command_succeeds") {
        return;
    }
    let line = "test -e /tmp/up && exit 0; echo first; echo not yet; exit 3";
    let pid1 = boot(|h| h.ready = ReadyWhen::Exec(sh(line)), |_| {});
    let mut watch = waiting(&pid1, "to succeed: exited with 3 (not yet)");
    pid1.logged("ct-init", "readiness check: first");
    pid1.sh("touch /tmp/up").output();
    watch.ready();
    // Said once however often it was tried.
    let told = pid1.logs("ct-init").iter().filter(|l| l.contains("readiness check: first")).count();
    assert_eq!(told, 1);
}

#[test]
fn a_command_for_readiness_that_floods_or_is_not_there_is_told() {
    if !can("a_command_for_readiness_that_floods_or_is_not_there_is_told") {
        return;
    }
    let check = |argv: Vec<String>, expect: &str| {
        let pid1 = boot(|h| h.ready = ReadyWhen::Exec(argv), |_| {});
        waiting(&pid1, expect);
        assert!(pid1.runs());
    };
    check(sh("yes"), "wrote more than 1 MiB");
    check(vec!["no-such-program".into()], "no-such-program");
    check(vec!["/etc/passwd".into()], "execute /etc/passwd");
    check(sh("kill -9 $$"), "killed by SIGKILL");
}

#[test]
fn a_container_that_waits_can_be_stopped() {
    if !can("a_container_that_waits_can_be_stopped") {
        return;
    }
    let pid1 = boot(|h| h.ready = ReadyWhen::Exec(sh("echo > /tmp/begun; sleep 1000")), |_| {});
    let mut watch = pid1.watch();
    watch.until("waiting", |w| !w.waits.is_empty());
    watch.shutdown();
    assert!(matches!(pid1.wait(), WaitStatus::Exited(_, 0)));
}

fn health(command: &str, retries: u32) -> Option<Health> {
    let millis = Duration::from_millis;
    let (interval, timeout) = (millis(200), Duration::from_secs(20));
    Some(Health { command: sh(command), interval, timeout, retries, ..Health::default() })
}

#[test]
fn an_unhealthy_container_is_told_with_the_reason() {
    if !can("an_unhealthy_container_is_told_with_the_reason") {
        return;
    }
    let command = "test ! -e /tmp/sick && exit 0; echo no answer; exit 1";
    let pid1 = boot(|h| h.health = health(command, 2), |_| {});
    let mut watch = pid1.ready();
    assert_eq!(watch.unhealthy, Vec::<String>::new());
    pid1.sh("touch /tmp/sick").output();
    watch.until("unhealthy", |w| !w.unhealthy.is_empty());
    assert_eq!(watch.unhealthy[0], "health check failed 2 times in a row: exited with 1 (no answer)");
    pid1.logged("ct-init", "health check: no answer");
    // Whoever begins to watch is told at once.
    let mut late = pid1.watch();
    late.until("unhealthy", |w| !w.unhealthy.is_empty());
}

#[test]
fn a_health_check_that_hangs_or_floods_has_failed() {
    if !can("a_health_check_that_hangs_or_floods_has_failed") {
        return;
    }
    let check = |command: &str, timeout, expect: &str| {
        let rule = health(command, 1).map(|h| Health { timeout, ..h });
        let pid1 = boot(|h| h.health = rule, |_| {});
        let mut watch = pid1.watch();
        watch.until("unhealthy", |w| !w.unhealthy.is_empty());
        assert_eq!(watch.unhealthy[0], format!("health check failed once: {expect}"));
    };
    check("trap '' TERM; sleep 1000", Duration::from_millis(100), "took longer than 100ms");
    check("yes >&2", Duration::from_secs(60), "wrote more than 1 MiB");
}

#[test]
fn a_health_check_leaves_no_process_behind() {
    if !can("a_health_check_leaves_no_process_behind") {
        return;
    }
    // What the first one leaves in a session of its own is gone when the second one looks.
    let command = "test -e /tmp/first || { > /tmp/first; setsid sleep 1000 & exit 0; }; echo left: $(pidof sleep); exit 1";
    let pid1 = boot(|h| h.health = health(command, 1), |_| {});
    let mut watch = pid1.watch();
    watch.until("unhealthy", |w| !w.unhealthy.is_empty());
    assert_eq!(watch.unhealthy[0], "health check failed once: exited with 1 (left:)");
}

#[test]
fn keep_alives_come() {
    if !can("keep_alives_come") {
        return;
    }
    let pid1 = boot(|h| h.keep_alive = Some(Duration::from_millis(20)), |_| {});
    pid1.watch().until("alive", |w| w.alive >= 3);
}
