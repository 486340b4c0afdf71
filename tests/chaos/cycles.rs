//! cycles: one container starts and stops again and again; nothing adds up.
use crate::tally::{Tally, holders, network, resident};
use crate::{can, number, say};
use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;
use tests::supervisor::Supervisor;

/// So much more memory is not a leak: heaps keep what they had once.
const SLACK: u64 = 2 << 20;
/// Cycles before the first count: what is made once is made then.
const WARM: u64 = 10;

#[test]
fn a_hundred_starts_and_stops_add_up_to_nothing() {
    if !can("a_hundred_starts_and_stops_add_up_to_nothing") {
        return;
    }
    let cycles = number("CT_CHAOS_CYCLES", 100);
    let s = Supervisor::start_with(|s| {
        s.container("web", "StartLimitIntervalSec=0").service("a", "ExecStart=/bin/sleep 1000");
    });
    (0..WARM).for_each(|_| drop(cycle(&s)));
    let before = Tally::of(&s);
    let memory = [resident(s.pid()), resident(s.serving())];
    let all_groups = kernel_groups();
    let began = Instant::now();
    let spaces: BTreeSet<String> = (0..cycles).map(|_| cycle(&s)).collect();
    let took = began.elapsed();
    before.same_again(&s);
    assert_eq!(
        holders(&[s.pid(), s.serving(), std::process::id()], &spaces),
        Vec::<String>::new(),
        "network namespaces are held"
    );
    let now = [resident(s.pid()), resident(s.serving())];
    for ((was, is), who) in memory.iter().zip(now).zip(["keeper", "supervisor"]) {
        assert!(is <= was + SLACK, "the {who} has grown from {was} to {is} bytes in {cycles} cycles");
    }
    say(&format!(
        "cycles: {cycles} in {:.1} s, {:.0} ms each; memory {} → {} KiB; groups of this kernel {all_groups} → {}",
        took.as_secs_f64(),
        took.as_secs_f64() * 1e3 / cycles as f64,
        memory[1] >> 10,
        now[1] >> 10,
        kernel_groups()
    ));
    s.finish();
}

/// Returns the container's network namespace.
fn cycle(s: &Supervisor) -> String {
    s.ct(&["start", "web"]).ok();
    let pid = s.row("web")["pid"].as_u64().expect("a running container has a pid");
    let space = network(u32::try_from(pid).expect("a pid")).expect("its network namespace");
    s.ct(&["stop", "web"]).ok();
    assert_eq!(s.state("web"), "stopped");
    space
}

/// Groups in all hierarchies, as the kernel counts them: for the trend alone, others make groups too.
fn kernel_groups() -> u64 {
    let text = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    let counts = text.lines().filter_map(|l| l.split_whitespace().nth(2)?.parse::<u64>().ok());
    counts.sum()
}
