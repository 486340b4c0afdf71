//! programs: how keeper and supervisor begin and leave.
use crate::host::{Host, can, kill, signal, watch};
use nix::libc::{SIGHUP, SIGINT, SIGPWR, SIGTERM};

#[test]
fn asked_to_leave_both_leave_and_containers_run_on() {
    if !can("asked_to_leave_both_leave_and_containers_run_on") {
        return;
    }
    let mut host = Host::with(&[("web", "")]);
    let web = host.pid("web");
    for asked in [SIGTERM, SIGINT, SIGHUP, SIGPWR] {
        let supervisor = host.supervisor();
        assert_ne!(supervisor, Some(host.keeper()), "they are two");
        signal(host.keeper(), asked);
        assert_eq!(host.left(), Some(0), "signal {asked}");
        assert!(supervisor.and_then(watch).is_none(), "signal {asked}: the supervisor is gone");
        host.run(&[]);
        assert_eq!(host.pid("web"), web, "signal {asked}");
    }
    host.lives("web", "running", 0, &[]);
}

#[test]
fn what_can_not_begin_says_why_once_and_leaves() {
    if !can("what_can_not_begin_says_why_once_and_leaves") {
        return;
    }
    let check = |words: &[&str], code: i32, text: &str| {
        let host = Host::new();
        let status = host.command(words).status().expect("run host-supervisor");
        assert_eq!(status.code(), Some(code), "{words:?}");
        assert_eq!(host.said().matches(text).count(), 1, "{words:?}: {}", host.said());
    };
    check(&["--init", "/nowhere/ct-init"], 1, "open ct-init at /nowhere/ct-init");
    check(&["--root", "/nowhere"], 2, "--root");
    check(&["--no-keeper", "--init", "/nowhere/ct-init"], 1, "open ct-init at /nowhere/ct-init");
    check(&["sing"], 2, "\"sing\" is not a verb");
}

#[test]
fn a_root_has_one_keeper_and_one_supervisor() {
    if !can("a_root_has_one_keeper_and_one_supervisor") {
        return;
    }
    let host = Host::with(&[]);
    for (words, holder) in [(&[][..], host.keeper()), (&["--no-keeper"], host.supervisor().unwrap_or(0))] {
        let status = host.command(words).status().expect("run host-supervisor");
        assert_eq!(status.code(), Some(1));
        let said = host.said();
        assert!(said.contains(&format!("another supervisor (pid {holder}) already serves")), "{said}");
    }
    host.answers();
}

/// The keeper is killed while its supervisor stands still and so can't leave: the next pair waits for it.
#[test]
fn a_supervisor_that_is_slow_to_leave_does_not_keep_the_next_one_out() {
    if !can("a_supervisor_that_is_slow_to_leave_does_not_keep_the_next_one_out") {
        return;
    }
    let mut host = Host::with(&[("web", "")]);
    let (web, old) = (host.pid("web"), host.supervisor().expect("a supervisor runs"));
    signal(old, nix::libc::SIGSTOP);
    kill(host.keeper());
    host.left();
    host.begin(&[]);
    // Longer than the keeper itself waits.
    host.until("the next supervisor meets the lock", |h| h.supervisors() == 2);
    assert_eq!(host.supervisor(), Some(old), "it has the lock");
    signal(old, nix::libc::SIGCONT);
    host.succeeds(Some(old));
    host.answers();
    assert_eq!(host.pid("web"), web);
}
