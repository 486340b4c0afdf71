//! limits: on cgroup v2 with all controllers, felt inside and told as what they are.
use crate::can;
use crate::host::{Host, shared};
use std::time::Duration;
use tests::wait::Deadline;

#[test]
fn every_controller_is_in_a_containers_tree() {
    if !can("every_controller_is_in_a_containers_tree") {
        return;
    }
    let host = shared();
    host.container(
        "all",
        "[Resources]\nMemoryMax=64M\nTasksMax=77\nCPUWeight=50\nIOWeight=60\nAllowedCPUs=1",
    );
    let there = host.group("all", "cgroup.controllers");
    for controller in ["cpu", "cpuset", "io", "memory", "pids"] {
        assert!(there.split(' ').any(|c| c == controller), "{controller}: {there}");
    }
    let files = [
        ("memory.max", "67108864"),
        ("pids.max", "77"),
        ("cpu.weight", "50"),
        ("io.weight", "default 60"),
        ("cpuset.cpus", "1"),
    ];
    for (file, value) in files {
        assert_eq!(host.group("all", file), value, "{file}");
    }
    assert_eq!(host.ct("exec all -- nproc").ok(), "1\n");
    let inside = host.ct("exec all -- cat /sys/fs/cgroup/cgroup.controllers").ok();
    assert!(inside.contains("memory") && inside.contains("pids"), "{inside}");
    // Services inside have limits of their own.
    assert!(host.group("all", "payload/cgroup.subtree_control").contains("memory"));
}

#[test]
fn what_is_killed_for_memory_is_told_so() {
    if !can("what_is_killed_for_memory_is_told_so") {
        return;
    }
    let host = shared();
    host.container("other", "");
    // Its PID 1 reads what has no end, to find the last line of it.
    let script = "/usr/local/bin/greedy";
    host.run(&format!("printf '#!/bin/sh\\nexec tail /dev/zero\\n' > {script} && chmod 755 {script}")).ok();
    let lines = format!("Restart=no\nInit={script}\n[Resources]\nMemoryMax=24M\nMemorySwapMax=0");
    host.container("web", &lines);
    host.ct("wait web --for stopped --timeout 60s");
    let why = host.ct("why web").ok();
    assert!(why.contains("killed for memory"), "{why}");
    assert_eq!(host.row("other")["state"], "running");
}

#[test]
fn tasks_end_at_their_limit() {
    if !can("tasks_end_at_their_limit") {
        return;
    }
    let host = shared();
    host.container("few", "[Resources]\nTasksMax=20");
    let bomb = "i=0; while [ $i -lt 40 ]; do sleep 1000 > /dev/null 2>&1 & i=$((i+1)); done; echo all";
    let ran = host.ct(&format!("exec few -- sh -c '{bomb}'"));
    assert!(!ran.out.contains("all"), "{ran:?}");
    let count: u32 = host.group("few", "pids.current").parse().expect("a number");
    assert!(count <= 20, "{count}");
    let hits = host.group("few", "pids.events");
    assert!(!hits.starts_with("max 0"), "{hits}");
}

#[test]
fn set_holds_at_once() {
    if !can("set_holds_at_once") {
        return;
    }
    let host = shared();
    host.container("live", "");
    host.ct("set live MemoryMax=64M TasksMax=30 CPUWeight=20 CPUQuota=50% AllowedCPUs=0 IOWeight=30").ok();
    let files = [
        ("memory.max", "67108864"),
        ("pids.max", "30"),
        ("cpu.weight", "20"),
        ("cpu.max", "50000 100000"),
        ("cpuset.cpus", "0"),
        ("io.weight", "default 30"),
    ];
    for (file, value) in files {
        assert_eq!(host.group("live", file), value, "{file}");
    }
    // The kernel would kill for a limit below what is held; ct asks first.
    host.ct("set live MemoryMax=8K").refused(1, &["memory", "8192"]);
    assert_eq!(host.group("live", "memory.max"), "67108864");
    assert_eq!(host.row("live")["state"], "running");
    host.ct("set live MemoryMax=infinity TasksMax=infinity CPUQuota=").ok();
    for (file, value) in [("memory.max", "max"), ("pids.max", "max"), ("cpu.max", "max 100000")] {
        assert_eq!(host.group("live", file), value, "{file}");
    }
}

/// Shares of the CPU time of these while they spin, by the kernel's own count.
fn shares(host: &Host, names: &[&str]) -> Vec<f64> {
    let used = || -> Vec<f64> {
        let files: Vec<String> = names.iter().map(|n| format!("/sys/fs/cgroup/ct/{n}/cpu.stat")).collect();
        let text = host.run(&format!("sed -n 's/^usage_usec //p' {}", files.join(" "))).ok();
        text.lines().map(|l| l.parse::<f64>().expect("a number") / 1e6).collect()
    };
    let before = used();
    let deadline = Deadline::default();
    loop {
        deadline.pass(Duration::from_millis(500));
        let all: Vec<f64> = used().iter().zip(&before).map(|(now, then)| now - then).collect();
        let sum: f64 = all.iter().sum();
        if sum > 4.0 {
            return all.iter().map(|u| u / sum).collect();
        }
        assert!(!deadline.passed(), "they don't spin: {all:?}");
    }
}

/// So many endless loops in a container.
fn spin(host: &Host, name: &str, count: u32) {
    let line = format!("exec > /dev/null 2>&1; for i in $(seq {count}); do (while :; do :; done) & done");
    host.ct(&format!("exec {name} -- sh -c '{line}'")).ok();
}

#[test]
fn fifty_spinners_get_no_more_than_one() {
    if !can("fifty_spinners_get_no_more_than_one") {
        return;
    }
    let host = shared();
    for name in ["one", "many"] {
        host.container(name, "[Resources]\nAllowedCPUs=0");
    }
    spin(&host, "one", 1);
    spin(&host, "many", 50);
    let equal = shares(&host, &["one", "many"]);
    assert!((equal[0] - 0.5).abs() < 0.05, "one against fifty: {equal:?}");
    host.ct("set one CPUWeight=200").ok();
    let double = shares(&host, &["one", "many"]);
    assert!((double[0] - 0.667).abs() < 0.06, "weight 200 against 100: {double:?}");
    // A quota holds although nobody else wants the CPU so much.
    host.ct("set one CPUQuota=20%").ok();
    let quota = shares(&host, &["one", "many"]);
    assert!((quota[0] - 0.2).abs() < 0.05, "a fifth of the CPU: {quota:?}");
    let throttled = host.group("one", "cpu.stat");
    assert!(!throttled.contains("nr_throttled 0"), "{throttled}");
}
