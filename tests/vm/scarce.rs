//! scarce: a host on which no process can be made, no memory is left, or `/run` is full. What runs goes on, what can't be
//! done is said, and all works again afterwards.
use crate::can;
use crate::host::{Host, shared};

/// Who must not be touched: PID 1 is the same program, supervisor, keeper and these containers are the same processes.
fn untouched(host: &Host, names: &[&str]) -> (Vec<u64>, (u32, u32)) {
    assert_eq!(host.run("cat /proc/1/comm").ok(), "ct-init\n");
    (names.iter().map(|name| host.pid(name)).collect(), host.supervisor())
}

#[test]
fn where_no_process_can_be_made_the_supervisor_says_so_and_goes_on() {
    if !can("where_no_process_can_be_made_the_supervisor_says_so_and_goes_on") {
        return;
    }
    let host = shared();
    host.ending("web", "Restart=always");
    host.ending("db", "Restart=always");
    host.ct("stop --now db").ok();
    let held = host.holding(&["web"]);
    // Of the supervisor itself: it needs a child to map a container's ids.
    let limits = ["/sys/fs/cgroup/units/host-supervisor.service/pids.max", "/sys/fs/cgroup/ct/pids.max"];
    for (round, limit) in (1..).zip(limits) {
        host.run(&format!("echo 0 >{limit}")).ok();
        host.ct("start db").refused(1, &["db", "Try again"]);
        // One that ends now is tried again and again, and others are served meanwhile.
        host.run("echo 3 >/srv/web/srv/code").ok();
        host.until("ct why web | grep -q 'Try again'");
        host.run(&format!("echo max >{limit}")).ok();
        host.until("ct list | grep -q '^web *running'");
        assert_eq!(host.starts("web"), round + 1);
        host.ct("start db").ok();
        host.ct("stop --now db").ok();
    }
    held.kill();
}

#[test]
fn where_no_process_can_be_made_pid_1_says_so_and_goes_on() {
    if !can("where_no_process_can_be_made_pid_1_says_so_and_goes_on") {
        return;
    }
    let host = shared();
    host.ending("web", "");
    let before = untouched(&host, &["web"]);
    for name in ["first", "second"] {
        host.service(
            name,
            "ExecStart=/usr/bin/sleep 1000\nRestart=always\nRestartSec=0\nStartLimitIntervalSec=0",
        );
    }
    host.ct_init("start first").ok();
    // Nothing can be started to ask or to end it: each process is there before, and the shell's own words do the rest.
    let line = "mkfifo go done; exec 8<>go 9<>done; pid=$(cat /sys/fs/cgroup/units/first.service/cgroup.procs); \
        (exec 9>&- 8>&- 7>done; read x <go; exec ct-init start second) 2>said & \
        limit=/proc/sys/kernel/threads-max; old=$(cat $limit); echo 20 >$limit; kill -9 $pid; exec 6<done 9>&-; \
        echo >&8; read x <&6; echo $old >$limit; wait $!; echo $?; cat said; rm go done said";
    let said = host.run(line).out;
    assert!(said.starts_with("1\n") && said.contains("second.service"), "{said}");
    assert!(said.contains("make a process: Resource temporarily unavailable"), "{said}");
    host.until("ct-init status first | grep -q 'main process'");
    host.ct_init("start second").ok();
    assert_eq!(untouched(&host, &["web"]), before);
    host.ct("restart --now web").ok();
    host.ct_init("stop first second").ok();
}

#[test]
fn the_greedy_are_killed_for_memory_and_nobody_else() {
    if !can("the_greedy_are_killed_for_memory_and_nobody_else") {
        return;
    }
    let host = shared();
    host.ending("web", "");
    let before = untouched(&host, &["web"]);
    // In its limit, with all that it needs to go on.
    let script = "/usr/local/bin/greedy";
    host.run(&format!("printf '#!/bin/sh\nexec tail /dev/zero\n' >{script} && chmod 755 {script}")).ok();
    host.container("greedy", &format!("Restart=no\nInit={script}\n[Resources]\nMemoryMax=24M"));
    host.ct("wait greedy --for stopped --timeout 60s");
    let why = host.ct("why greedy").ok();
    assert!(why.contains("killed for memory"), "{why}");
    assert_eq!(untouched(&host, &["web"]), before);
    // Without a limit: all that the machine has, in large pages, which are faster to get.
    host.run("echo always >/sys/kernel/mm/transparent_hugepage/enabled").ok();
    host.service("hog", "ExecStart=/bin/dd if=/dev/zero of=/dev/null bs=950M count=1");
    host.ct_init("start hog").ok();
    host.console_has("killed by the kernel: out of memory, unit: hog.service");
    assert!(host.unit("hog").contains("out of memory"));
    assert_eq!(untouched(&host, &["web"]), before);
    host.ct("restart --now web").ok();
    host.ct_init("reset-failed hog").ok();
    host.run("echo madvise >/sys/kernel/mm/transparent_hugepage/enabled").ok();
}

#[test]
fn with_run_full_nothing_ends_and_nothing_is_forgotten() {
    if !can("with_run_full_nothing_ends_and_nothing_is_forgotten") {
        return;
    }
    let host = shared();
    ["web", "db", "new"].iter().for_each(|name| host.ending(name, "Restart=always"));
    host.ct("stop --now new").ok();
    // Its past is of no interest.
    host.run("rm /run/ct/lives/new.json").ok();
    let held = host.holding(&["web"]);
    let db = host.pid("db");
    let full =
        "mount -o remount,size=$(du -sk /run | cut -f1)k /run; ! head -c 4M /dev/zero >/run/full 2>/dev/null";
    host.run(full).ok();
    // What is written down already can be written down anew: the next supervisor knows of this end.
    host.run("echo 41 >/srv/web/srv/code").ok();
    host.until("ct list | grep -q '^web *running .* 1 '");
    let web = host.pid("web");
    host.until(again());
    assert_eq!([host.pid("web"), host.pid("db")], [web, db]);
    let why = host.ct("status web").ok();
    assert!(why.contains("exited with code 41"), "{why}");
    // So it is with PID 1, which keeps its state in memory.
    host.service("late", "ExecStart=/usr/bin/sleep 1000");
    host.ct_init("start late").ok();
    host.ct_init("reexec").ok();
    assert!(host.unit("late").contains("main process"));
    // A new one has no room, runs all the same, and is written down once there is some.
    host.ct("start new").ok();
    let new = host.pid("new");
    let log = host.run("tail -n 40 /var/log/ct/host-supervisor.service.log").ok();
    assert!(log.contains("could not write the state down, going on in memory"), "{log}");
    host.run("rm /run/full && mount -o remount,size=50% /run").ok();
    host.until("[ -s /run/ct/lives/new.json ]");
    host.until(again());
    assert_eq!([host.pid("web"), host.pid("db"), host.pid("new")], [web, db, new]);
    host.ct("stop --now new").ok();
    host.ct("start new").ok();
    host.ct_init("stop late").ok();
    held.kill();
}

/// The supervisor is killed, and another one answers.
fn again() -> &'static str {
    "sh -c 'old=$(cat /run/ct/supervisor.pid); kill -9 $old; \
     until [ \"$(cat /run/ct/supervisor.pid)\" != $old ] && ct list; do :; done'"
}
