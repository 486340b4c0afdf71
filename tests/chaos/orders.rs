//! orders: that contradict each other, at the same time.
use crate::can;
use tests::supervisor::{Supervisor, ran};

#[test]
fn contradicting_orders_at_once_all_get_an_answer_and_leave_one_state() {
    if !can("contradicting_orders_at_once_all_get_an_answer_and_leave_one_state") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "StartLimitIntervalSec=0").service("a", "ExecStart=/bin/sleep 1000");
    });
    let pairs = [
        ["start", "stop"],
        ["stop", "start"],
        ["restart", "stop"],
        ["start", "restart"],
        ["restart", "restart"],
        ["pause", "stop"],
        ["stop", "stop"],
        ["start", "start"],
    ];
    for pair in pairs {
        let clients = pair.map(|verb| s.ct_command(&[verb, "web"]).spawn().expect("run ct"));
        for (client, verb) in clients.into_iter().zip(pair) {
            let ran = ran(client);
            // Done, or a sentence that says who was in the way.
            let refused = [1, 5].contains(&ran.code) && ran.err.trim_end().lines().count() == 1;
            assert!(ran.code == 0 || refused, "{verb} of {pair:?}: {ran:?}");
        }
        let state = s.state("web");
        assert!(["running", "stopped", "paused"].contains(&state.as_str()), "after {pair:?}: {state}");
        s.ct(&["resume", "web"]);
        s.ct(&["start", "web"]).ok();
        assert_eq!(s.state("web"), "running", "after {pair:?}");
        assert_eq!(s.sh("web", "pidof sleep | wc -w").ok(), "1\n", "after {pair:?}");
    }
    s.finish();
}

/// Whether it can start, and who runs then: [Unit] lines of `a`; what `ct start a` comes to.
const GRAPHS: &[(&str, &str, i32, &[&str])] = &[
    ("itself", "Requires=itself.container\nAfter=itself.container", 0, &[]),
    ("missing", "Requires=nobody.container", 1, &["missing", "nobody"]),
    ("wanting", "Wants=nobody.container\nAfter=nobody.container", 0, &[]),
    ("broken", "Requires=bad.container\nAfter=bad.container", 1, &["broken", "bad"]),
    ("easy", "Wants=bad.container\nAfter=bad.container", 0, &[]),
    ("masked", "Requires=off.container", 1, &["masked", "off"]),
    ("failing", "Requires=fails.container\nAfter=fails.container", 1, &["failing", "fails"]),
    ("one", "Requires=two.container\nAfter=two.container", 0, &[]),
    ("two", "Requires=one.container\nAfter=one.container", 0, &[]),
];

#[test]
fn what_depends_on_nothing_that_works_is_refused_or_runs_and_never_hangs() {
    if !can("what_depends_on_nothing_that_works_is_refused_or_runs_and_never_hangs") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        let base = tests::rootfs::Rootfs::new(&s.root().join("srv/base"));
        for (name, lines, ..) in GRAPHS {
            let root = base.path().display();
            s.unit(
                &format!("{name}.container"),
                &format!("[Unit]\n{lines}\n[Container]\nRootfs={root}\nEphemeral=yes\n"),
            );
        }
        s.unit("bad.container", "[Container]\nRootfs=relative\nRestart=sometimes\n");
        s.unit("fails.container", "[Container]\nRootfs=/no/such/place\n");
        std::os::unix::fs::symlink("/dev/null", s.root().join("etc/ct/off.container")).expect("mask it");
    });
    for (name, lines, code, words) in GRAPHS {
        let ran = s.ct(&["start", name]);
        assert_eq!(ran.code, *code, "{name} ({lines}): {ran:?}");
        assert!(words.iter().all(|w| ran.err.contains(w)), "{name}: {words:?} in {:?}", ran.err);
        assert_eq!(s.state(name) == "running", *code == 0, "{name}: {}", s.state(name));
    }
    let check = s.ct(&["check"]);
    let said = check.out + &check.err;
    for word in ["one.container", "bad.container", "nobody"] {
        assert!(said.contains(word), "ct check is silent about {word}: {said}");
    }
    s.ct(&["stop", "--all"]).ok();
    s.finish();
}
