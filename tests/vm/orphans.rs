//! orphans: thousands of processes lose their parents and end. PID 1 reaps each, answers meanwhile and does not grow.
use crate::can;
use crate::host::{Host, shared};

/// What PID 1 holds that is not a file's, KiB.
fn held(host: &Host) -> i64 {
    let text = host.run("sed -n 's/^RssAnon:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/1/status").ok();
    text.trim().parse().expect("a number")
}

#[test]
fn a_storm_of_orphans_leaves_no_zombie_and_pid_1_as_small_as_it_was() {
    if !can("a_storm_of_orphans_leaves_no_zombie_and_pid_1_as_small_as_it_was") {
        return;
    }
    let host = shared();
    host.ending("web", "");
    let pid = host.pid("web");
    // Each shell in between ends before its hundred children are reaped: they all become PID 1's, as zombies.
    let round = "(i=0; while [ $i -lt 100 ]; do : & i=$((i+1)); done)";
    let storm = |rounds: u32| format!("n=0; while [ $n -lt {rounds} ]; do {round}; n=$((n+1)); done");
    // What a storm takes it takes once.
    host.run(&storm(5)).ok();
    let before = held(&host);
    let storms = [(); 2].map(|()| host.run_bg(&storm(25)));
    let mut answers = 0;
    while storms.iter().any(|s| s.ended(std::time::Duration::ZERO).is_err()) {
        assert!(host.ct_init("list").ok().contains("host-supervisor.service"));
        answers += 1;
    }
    assert!(answers > 1, "only {answers} answers while it lasts");
    host.until("! ps -eo stat= | grep -q ^Z");
    let after = held(&host);
    assert!((after - before).abs() <= 128, "{before} KiB, {after} KiB after 5000 orphans");
    assert_eq!(host.pid("web"), pid);
}
