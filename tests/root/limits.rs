//! limits: in the kernel's files, felt inside, changed while it runs, shared fairly.
use crate::can;
use std::fs;
use tests::supervisor::Supervisor;

#[test]
fn limits_are_in_the_kernels_files() {
    if !can("limits_are_in_the_kernels_files") {
        return;
    }
    // Key, the file where a v1 hierarchy has it, the file on v2, what it holds.
    let cases = [
        ("CPUWeight=50", ("cpu.shares", "512"), ("cpu.weight", "50")),
        ("CPUQuota=150%", ("cpu.cfs_quota_us", "150000"), ("cpu.max", "150000 100000")),
        ("AllowedCPUs=0", ("cpuset.cpus", "0"), ("cpuset.cpus", "0")),
        ("MemoryMax=96M", ("memory.limit_in_bytes", "100663296"), ("memory.max", "100663296")),
        ("TasksMax=77", ("pids.max", "77"), ("pids.max", "77")),
    ];
    let s = Supervisor::start_with(|s| {
        let lines: Vec<&str> = cases.iter().map(|c| c.0).collect();
        s.container("web", &format!("[Resources]\n{}", lines.join("\n")));
    });
    s.ct(&["start", "web"]).ok();
    for (key, (v1, value1), (v2, value2)) in cases {
        let on_v1 = s.groups_of("web").iter().any(|g| g.join(v1).exists());
        let (file, value) = if on_v1 { (v1, value1) } else { (v2, value2) };
        assert_eq!(s.cgroup_file("web", file), value, "{key}");
    }
    // Every process is inside, PID 1 too.
    let pid = s.row("web")["pid"].as_i64().expect("a pid");
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its groups");
    for controller in ["cpu", "memory", "pids", "cpuset"] {
        let line = groups
            .lines()
            .find(|l| l.split(':').nth(1).is_some_and(|c| c.split(',').any(|c| c == controller)));
        let line = line.or_else(|| groups.lines().find(|l| l.starts_with("0::"))).unwrap_or_default();
        assert!(line.contains(&format!("/{}/web", s.parent)), "{controller}: {line}");
    }
    s.finish();
}

#[test]
fn memory_over_the_limit_is_taken_back() {
    if !can("memory_over_the_limit_is_taken_back") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "[Resources]\nMemoryMax=24M").service("a", "ExecStart=/bin/sleep 1000");
        s.container("other", "").service("a", "ExecStart=/bin/sleep 1000");
    });
    s.ct(&["start", "web", "other"]).ok();
    let _ = s.sh("web", "head -c 100000000 /dev/zero | tail -n 1 > /dev/null");
    let limits = s.ct(&["status", "web", "--json"]).ok();
    let status: serde_json::Value = serde_json::from_str(&limits).expect("JSON");
    let rows = status["limits"].as_array().expect("limits");
    let memory = rows.iter().find(|l| l["name"] == "MemoryMax");
    let hit = memory.is_some_and(|m| m["failures"].as_u64().is_some_and(|n| n > 0));
    // The kernel chooses whom it kills. Where that was PID 1, the end says why, and the container comes back.
    let ended = status["exits"][0]["cause"].as_str().is_some_and(|c| c.starts_with("killed for memory"));
    assert!(hit || ended, "{status:#}");
    s.ct(&["wait", "web", "--for", "ready", "--timeout", "20s"]).ok();
    assert_eq!(s.state("other"), "running");
    s.finish();
}

/// It happened about once in fifteen runs: the kernel chose PID 1, and with it went the container.
#[test]
fn who_eats_all_memory_again_and_again_never_takes_pid_1_along() {
    if !can("who_eats_all_memory_again_and_again_never_takes_pid_1_along") {
        return;
    }
    let eats = "/bin/busybox dd if=/dev/zero of=/dev/null bs=64M count=1";
    let s = Supervisor::start_with(|s| {
        s.container("web", "Restart=no\n[Resources]\nMemoryMax=24M")
            .service("quiet", "ExecStart=/bin/sleep 1000\nOOMScoreAdjust=7")
            .service(
                "hog",
                &format!("ExecStart={eats}\nRestart=always\nRestartSec=1ms\n[Unit]\nStartLimitIntervalSec=0"),
            );
    });
    s.ct(&["start", "web"]).ok();
    let pid = s.row("web")["pid"].clone();
    let mut watch = tests::client::Watch::connect(&s.init_socket("web"));
    watch.until("killed sixty times", |w| w.units.get("hog.service").is_some_and(|u| u.restarts >= 60));
    // Sessions are no better off than services; a unit's own word counts.
    let scores = "cat /proc/self/oom_score_adj /proc/1/oom_score_adj /proc/$(pidof sleep)/oom_score_adj";
    let told = s.sh("web", scores);
    if told.code == 0 {
        let scores: Vec<i32> = told.out.lines().map(|l| l.parse().expect("a number")).collect();
        assert_eq!(scores, [scores[1] + 300, scores[1], 7.max(scores[1])], "{told:?}");
    } // Else it was the kernel's choice this time.
    let status: serde_json::Value =
        serde_json::from_str(&s.ct(&["status", "web", "--json"]).ok()).expect("JSON");
    assert_eq!((&status["pid"], &status["exits"]), (&pid, &serde_json::json!([])), "{status:#}");
    let rows = status["limits"].as_array().expect("limits");
    let hit = rows.iter().any(|l| l["name"] == "MemoryMax" && l["failures"].as_u64().is_some_and(|n| n > 0));
    assert!(hit, "{rows:#?}");
    s.ct(&["stop", "web"]).ok();
    s.finish();
}

#[test]
fn a_fork_bomb_ends_at_tasks_max() {
    if !can("a_fork_bomb_ends_at_tasks_max") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "[Resources]\nTasksMax=30");
    });
    s.ct(&["start", "web"]).ok();
    let ran =
        s.sh("web", "i=0; while [ $i -lt 60 ]; do sleep 1000 > /dev/null 2>&1 & i=$((i+1)); done; echo all");
    assert!(!ran.out.contains("all") || ran.err.contains("fork"), "{ran:?}");
    assert!(s.processes("web").len() <= 30);
    s.ct(&["stop", "web"]).ok();
    s.finish();
}

#[test]
fn set_changes_limits_of_a_running_container() {
    if !can("set_changes_limits_of_a_running_container") {
        return;
    }
    let mut s = Supervisor::start_with(|s| {
        s.container("web", "[Resources]\nTasksMax=100");
    });
    s.ct(&["start", "web"]).ok();
    s.ct(&["set", "web", "TasksMax=50", "MemoryMax=64M"]).ok();
    assert_eq!(s.cgroup_file("web", "pids.max"), "50");
    assert_eq!(s.ct(&["show", "web", "TasksMax"]).ok().trim(), "50");
    // One that can't be had: none is changed.
    s.ct(&["set", "web", "TasksMax=40", "MemoryMax=16K"]).refused(1, &["memory", "16384"]);
    assert_eq!(s.cgroup_file("web", "pids.max"), "50");
    for (bad, word) in [("TasksMax=many", "TasksMax"), ("NoSuchKey=1", "NoSuchKey"), ("TasksMax", "TasksMax")]
    {
        let ran = s.ct(&["set", "web", bad]);
        assert!([1, 2, 5].contains(&ran.code) && ran.err.contains(word), "{bad}: {ran:?}");
    }
    // It holds until the container stops, or for good if it was saved.
    s.ct(&["restart", "web"]).ok();
    assert_eq!(s.cgroup_file("web", "pids.max"), "50");
    s.ct(&["stop", "web"]).ok();
    s.ct(&["start", "web"]).ok();
    assert_eq!(s.cgroup_file("web", "pids.max"), "100");
    s.ct(&["set", "--save", "web", "TasksMax=60"]).ok();
    s.ct(&["restart", "web"]).ok();
    assert_eq!(s.cgroup_file("web", "pids.max"), "60");
    s.end(9);
    s.run();
    assert_eq!(s.ct(&["show", "web", "TasksMax"]).ok().trim(), "60");
    s.finish();
}

#[test]
fn what_can_t_be_enforced_is_refused_or_listed() {
    if !can("what_can_t_be_enforced_is_refused_or_listed") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("strict", "[Resources]\nAllowedCPUs=4000");
        s.container("lenient", "IgnoreUnsupported=yes\n[Resources]\nAllowedCPUs=4000\nTasksMax=50");
    });
    s.ct(&["start", "strict"]).refused(5, &["AllowedCPUs", "4000"]);
    s.ct(&["start", "lenient"]).ok();
    let status = s.ct(&["status", "lenient"]).ok();
    assert!(status.contains("not in force") && status.contains("AllowedCPUs"), "{status}");
    assert_eq!(s.cgroup_file("lenient", "pids.max"), "50");
    s.finish();
}

/// CPU time of a container so far, in seconds.
fn used(s: &Supervisor, name: &str) -> f64 {
    s.row(name)["cpu"].as_f64().unwrap_or(0.0) / 1e6
}

/// Shares of one CPU, while all of these spin.
fn shares(s: &Supervisor, names: &[&str]) -> Vec<f64> {
    let before: Vec<f64> = names.iter().map(|n| used(s, n)).collect();
    let now = || -> Vec<f64> { names.iter().zip(&before).map(|(n, b)| used(s, n) - b).collect() };
    // By the containers' own clock, not the machine's.
    let deadline = tests::wait::Deadline::default();
    while now().iter().sum::<f64>() < 2.0 {
        assert!(!deadline.passed(), "they don't spin");
        deadline.pass(std::time::Duration::from_millis(100));
    }
    let all = now();
    let sum: f64 = all.iter().sum();
    all.iter().map(|u| u / sum).collect()
}

#[test]
fn twenty_spinners_get_no_more_than_one() {
    if !can("twenty_spinners_get_no_more_than_one") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        let lines = "[Resources]\nAllowedCPUs=0";
        s.container("one", lines).service("spin", "ExecStart=/bin/sh -c 'while :; do :; done'");
        let many = s.container("many", lines);
        for i in 0..20 {
            many.service(&format!("spin{i}"), "ExecStart=/bin/sh -c 'while :; do :; done'");
        }
        s.container("double", &format!("{lines}\nCPUWeight=200"))
            .service("spin", "ExecStart=/bin/sh -c 'while :; do :; done'");
    });
    s.ct(&["start", "one", "many"]).ok();
    let equal = shares(&s, &["one", "many"]);
    assert!((equal[0] - 0.5).abs() < 0.12, "one against twenty: {equal:?}");
    s.ct(&["stop", "--now", "many"]).ok();
    s.ct(&["start", "double"]).ok();
    let double = shares(&s, &["one", "double"]);
    assert!((double[1] - 0.667).abs() < 0.12, "weight 100 against 200: {double:?}");
    s.ct(&["set", "double", "CPUWeight=100"]).ok();
    let equal = shares(&s, &["one", "double"]);
    assert!((equal[1] - 0.5).abs() < 0.12, "after set: {equal:?}");
    s.ct(&["stop", "--now", "--all"]).ok();
    s.finish();
}
