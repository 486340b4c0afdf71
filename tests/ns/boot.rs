//! boot: what a container finds when it begins, whatever its units are like.
use crate::can;
use tests::pid1::{Options, Pid1};

#[test]
fn boots_with_no_units_at_all_and_stays_up() {
    if !can("boots_with_no_units_at_all_and_stays_up") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    assert_eq!(pid1.watch().ready(), Vec::<String>::new());
    assert_eq!(pid1.sh("hostname").output(), "inside\n");
    assert!(pid1.runs());
}

#[test]
fn boots_without_a_word_from_the_host() {
    if !can("boots_without_a_word_from_the_host") {
        return;
    }
    let pid1 = Pid1::boot_with(Options { handover: None }, |_| {});
    assert_eq!(pid1.watch().ready(), Vec::<String>::new());
}

#[test]
fn boots_with_broken_units_only_and_says_which() {
    if !can("boots_with_broken_units_only_and_says_which") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("garbage", "ExecStart=");
        root.unit("words.service", "this is no unit file\n").enable("words.service");
        root.unit("bytes.service", "[Service]\nExecStart=/bin/\u{0}true\n").enable("bytes.service");
        root.unit("quote.service", "[Service]\nExecStart=/bin/echo \"never closed\n").enable("quote.service");
        std::fs::create_dir(root.at("etc/systemd/system/dir.service")).expect("a directory for a file");
        root.enable("dir.service").enable("missing.service");
        root.service("good", "ExecStart=/bin/sleep 1000");
    });
    let mut watch = pid1.ready();
    assert_eq!(watch.state("good.service").active, "active");
    let log = pid1.logs("ct-init").join("\n");
    for name in ["garbage.service", "words.service", "bytes.service", "quote.service", "dir.service"] {
        assert!(log.contains(name), "the log does not name {name}:\n{log}");
    }
}

#[test]
fn the_system_is_as_services_expect() {
    if !can("the_system_is_as_services_expect") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    pid1.ready();
    let check = |line: &str, expect: &str| {
        assert_eq!(pid1.sh(line).output().trim(), expect, "{line}");
    };
    check("cat /proc/1/comm", "ct-init");
    check("test -d /run/systemd/system && echo yes", "yes");
    check("test -S /run/systemd/notify && echo yes", "yes");
    check("test -S /dev/log && echo yes", "yes");
    check("grep -c . /etc/machine-id", "1");
    check("tr -d '0-9a-f\\n' < /etc/machine-id | wc -c", "0");
    check("stat -f -c %T /proc /sys /dev/pts /dev/shm /run | tr '\\n' ' '", "proc sysfs devpts tmpfs tmpfs");
    check("ip -o link show lo | grep -c 'LOOPBACK,UP'", "1");
    check("for d in null zero full random urandom tty; do test -c /dev/$d || echo $d; done", "");
    check("echo x > /dev/null; head -c 3 /dev/zero | od -An -tx1", "00 00 00");
    check("readlink /dev/stdout", "/proc/self/fd/1");
    check("ls /sys/fs/cgroup | grep -c '^units$'", "1");
    check("cat /proc/self/cgroup | grep '^0:' | cut -d: -f3 | cut -d/ -f2", "exec");
}

#[test]
fn a_machine_id_that_is_there_is_kept() {
    if !can("a_machine_id_that_is_there_is_kept") {
        return;
    }
    let id = "0123456789abcdef0123456789abcdef\n";
    let pid1 = Pid1::boot(|root| {
        root.file("etc/machine-id", id);
    });
    pid1.ready();
    assert_eq!(pid1.sh("cat /etc/machine-id").output(), id);
}

#[test]
fn not_as_pid_1_it_says_so() {
    let Some(program) = tests::programs::path("ct-init") else { return };
    let out = std::process::Command::new(program).output().expect("run ct-init");
    assert_eq!(out.status.code(), Some(2));
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(text.starts_with("ct-init ") && text.contains("PID 1"), "{text}");
}
