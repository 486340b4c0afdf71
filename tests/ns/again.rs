//! again: ct-init executed anew, on request and out of a crash, and everything goes on.
use crate::can;
use ct_init::proto::{Exec, Leave, Verb};
use nix::libc::{SIGABRT, SIGBUS, SIGCONT, SIGFPE, SIGILL, SIGSEGV, SIGSTOP};
use nix::sys::stat::Mode;
use nix::sys::wait::WaitStatus;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use tests::client::{self, Watch};
use tests::pid1::Pid1;
use tests::rootfs::Rootfs;
use tests::wait::Deadline;
use units::machine::{Cause, Exit};
use units::values::Signal;

/// Executed anew on request, or (`Some`) by this signal from outside, which its handler takes for a bug.
fn anew(pid1: &Pid1, watch: &mut Watch, signal: Option<i32>) {
    match signal {
        None => watch.reexec(None).expect("it is executed anew"),
        Some(signal) => {
            pid1.signal(signal);
            // Its own connection is dropped if the crash found it at work on that.
            *watch = pid1.watch();
            // Answered by the new one: a signal comes before anything that is read after it.
            watch.list();
        }
    }
}

fn crashes(pid1: &Pid1) -> usize {
    pid1.logs("ct-init").iter().filter(|l| l.contains("has crashed and goes on")).count()
}

fn fifo(root: &Rootfs, path: &str) {
    nix::unistd::mkfifo(&root.at(path), Mode::S_IRWXU).expect("a fifo");
}

/// Log files are opened when there is a line for them: they don't count.
fn open_descriptors(pid1: &Pid1) -> usize {
    let all = fs::read_dir(format!("/proc/{}/fd", pid1.pid())).expect("its descriptors");
    let to = all.flatten().filter_map(|e| fs::read_link(e.path()).ok());
    to.filter(|to| to.extension().is_none_or(|e| e != "log")).count()
}

/// Memory of its own, KiB.
fn memory(pid1: &Pid1) -> usize {
    let text = fs::read_to_string(format!("/proc/{}/status", pid1.pid())).expect("its status");
    let line = text.lines().find_map(|l| l.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Every way to be executed anew; each time all of this has to go on.
#[test]
fn everything_goes_on_while_ct_init_is_executed_anew() {
    if !can("everything_goes_on_while_ct_init_is_executed_anew") {
        return;
    }
    for signal in [None, Some(SIGSEGV), Some(SIGABRT), Some(SIGBUS), Some(SIGILL), Some(SIGFPE)] {
        let pid1 = Pid1::boot(|root| {
            root.service("plain", "ExecStart=/bin/sleep 1000\nRestart=always\nRestartSec=1ms");
            root.service("told", "Type=notify\nExecStart=probe notify-and-stay READY=1 STATUS=serving");
            root.service("bad", "ExecStart=/bin/false");
            root.service("once", "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true");
            root.unit("f.socket", "[Socket]\nListenFIFO=/run/f\n");
            root.unit("f.service", "[Service]\nExecStart=/bin/sh -c 'read x <&3; echo got $x'\n");
            root.unit("t.timer", "[Timer]\nOnActiveSec=1s\n");
            root.unit("t.service", "[Service]\nType=oneshot\nExecStart=/bin/echo fired\n");
            root.service(
                "off",
                "ExecStart=/bin/false\nRestart=always\nRestartSec=1s\nStartLimitIntervalSec=0",
            );
            root.enable("f.socket").enable("t.timer");
        });
        let mut watch = pid1.ready();
        // The same counter as before, and one restart more after the next.
        let plain = watch.state("plain.service").pid;
        pid1.sh(&format!("kill -9 {plain}")).output();
        watch.until("restarted", |w| {
            w.units["plain.service"].restarts == 1 && w.units["plain.service"].pid != 0
        });
        watch.until("in its back-off", |w| {
            w.units.get("off.service").is_some_and(|u| u.sub == "auto-restart")
        });
        let before = watch.list().clone();
        anew(&pid1, &mut watch, signal);
        let after = watch.list().clone();
        for unit in ["plain.service", "told.service", "bad.service", "once.service", "f.socket", "t.timer"] {
            let of = |all: &std::collections::BTreeMap<String, ct_init::proto::UnitStatus>| {
                let u = all[unit].clone();
                (u.active, u.sub, u.pid, u.restarts, u.cause, u.note)
            };
            assert_eq!(of(&after), of(&before), "{unit} {signal:?}");
        }
        assert_eq!(crashes(&pid1), usize::from(signal.is_some()));
        // The timer still fires, the socket still starts its service, the back-off still ends.
        assert_eq!(pid1.logged("t.service", "fired"), ["fired"]);
        pid1.sh("echo it > /run/f").output();
        assert_eq!(pid1.logged("f.service", "got"), ["got it"]);
        let restarts = before["off.service"].restarts;
        watch.until("tried again", |w| w.units["off.service"].restarts > restarts);
        // Its own children are its own still.
        pid1.sh(&format!("kill -9 {}", after["plain.service"].pid)).output();
        watch.until("restarted again", |w| w.units["plain.service"].restarts == 2);
        assert_eq!(watch.state("plain.service").cause, Some(Cause::Exited(Exit::Signal(Signal(9)))));
        watch.unit("told.service", Verb::Stop).expect("it stops");
        assert_eq!(watch.state("told.service").active, "inactive");
        assert_eq!(watch.shutdown().leaving, Some(Leave::Shutdown));
        let status = pid1.wait();
        assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    }
}

#[test]
fn no_line_is_lost_or_told_twice_on_request() {
    if !can("no_line_is_lost_or_told_twice_on_request") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        // Half a line at a time: its first half may be on the one side of the exec, its second on the other.
        root.script("srv/count", "i=0\nwhile i=$((i+1)); do printf 'line '; sleep 0.0005; echo $i; done");
        root.service("count", "ExecStart=/srv/count");
    });
    let mut watch = pid1.ready();
    for round in 1..=20 {
        pid1.logged("count.service", &format!("line {}", round * 5));
        watch.reexec(None).expect("it is executed anew");
    }
    watch.unit("count.service", Verb::Stop).expect("it stops");
    let lines = pid1.logs("count.service");
    assert!(lines.len() >= 100);
    for (i, line) in lines.iter().enumerate().take(lines.len() - 1) {
        assert_eq!(*line, format!("line {}", i + 1));
    }
}

/// What a crash finds in the pipe, and who has ended that nobody was told of, comes with the new one.
#[test]
fn what_happens_while_ct_init_crashes_is_not_lost() {
    if !can("what_happens_while_ct_init_crashes_is_not_lost") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        fifo(root, "srv/go");
        fifo(root, "srv/done");
        root.script("srv/lines", "read x < /srv/go; seq 1 500; echo done > /srv/done; exit 7");
        root.service("lines", "ExecStart=/srv/lines");
        root.service("back", "ExecStart=/bin/sleep 1000\nRestart=always\nRestartSec=1ms");
    });
    let mut watch = pid1.watch();
    watch.active("lines.service", "active");
    let pid = watch.active("back.service", "active").pid;
    // PID 1 stands still while all this happens; the crash is the first thing that it does.
    let back = host_pid(&pid1, "back.service");
    pid1.signal(SIGSTOP);
    fs::write(pid1.rootfs.at("srv/go"), "go\n").expect("go");
    let mut done = String::new();
    fs::File::open(pid1.rootfs.at("srv/done")).expect("open").read_to_string(&mut done).expect("read");
    nix::sys::signal::kill(back, nix::sys::signal::Signal::SIGKILL).expect("kill");
    pid1.signal(SIGSEGV);
    pid1.signal(SIGCONT);
    let mut watch = pid1.watch();
    watch.list();
    watch.until("back", |w| w.units["back.service"].restarts == 1);
    assert_ne!(watch.active("back.service", "active").pid, pid);
    let lines = watch.active("lines.service", "failed");
    assert_eq!(lines.cause, Some(Cause::Exited(Exit::Code(7))));
    let expect: Vec<String> = (1..=500).map(|i| i.to_string()).collect();
    assert_eq!(pid1.logs("lines.service"), expect);
    assert_eq!(crashes(&pid1), 1);
}

fn host_pid(pid1: &Pid1, unit: &str) -> nix::unistd::Pid {
    let path = pid1.group().join("units").join(unit).join("cgroup.procs");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    nix::unistd::Pid::from_raw(text.lines().next().expect("a process").parse().expect("a pid"))
}

#[test]
fn a_session_and_a_log_stream_go_on() {
    if !can("a_session_and_a_log_stream_go_on") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    let mut watch = pid1.ready();
    for signal in [None, Some(SIGSEGV)] {
        let argv =
            ["/bin/sh", "-c", "echo up; read x < /srv/go; echo $x; exit 9"].map(str::to_owned).to_vec();
        let _gone = fs::remove_file(pid1.rootfs.at("srv/go"));
        fifo(&pid1.rootfs, "srv/go");
        let (mut session, mut output) = client::running(&pid1.socket(), Exec { argv, ..Exec::default() });
        assert_eq!(client::line(&mut output), "up\n");
        let argv = vec!["/bin/sh".to_owned()];
        let (terminal, mut on_it) =
            client::terminal(&pid1.socket(), Exec { argv, tty: true, ..Exec::default() });
        terminal.until("# ");
        // What has begun is written down by now: this is another turn.
        watch.list();
        anew(&pid1, &mut watch, signal);
        fs::File::options()
            .write(true)
            .open(pid1.rootfs.at("srv/go"))
            .expect("open")
            .write_all(b"on\n")
            .expect("go");
        assert_eq!(client::line(&mut output), "on\n");
        let ended = |how| ct_init::proto::Session::Ended(how);
        assert_eq!(session.receive(), Some(ended(Exit::Code(9))));
        let size = postcard::to_stdvec(&ct_init::proto::Control::Size(33, 44)).expect("encode");
        on_it.raw(&size, &[]);
        terminal.write("stty size; exit 3\n");
        terminal.until("33 44");
        assert_eq!(on_it.receive(), Some(ended(Exit::Code(3))));
    }
}

#[test]
fn fifty_times_under_load_leak_nothing() {
    if !can("fifty_times_under_load_leak_nothing") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        for i in 0..10 {
            root.service(&format!("s{i}"), "ExecStart=/bin/sh -c 'while :; do echo x; sleep 0.002; done'");
        }
        for i in 0..3 {
            let lines = "ExecStart=/bin/sleep 0.02\nRestart=always\nRestartSec=1ms\nStartLimitIntervalSec=0";
            root.service(&format!("r{i}"), lines);
        }
        root.unit("f.socket", "[Socket]\nListenFIFO=/run/f\n");
        root.unit("f.service", "[Service]\nExecStart=/bin/true\n");
        root.enable("f.socket");
    });
    let mut watch = pid1.ready();
    let pids = |w: &mut Watch| (0..10).map(|i| w.state(&format!("s{i}.service")).pid).collect::<Vec<_>>();
    let before = pids(&mut watch);
    let mut measured = Vec::new();
    for _ in 0..50 {
        watch.reexec(None).expect("it is executed anew");
        watch.list();
        measured.push((open_descriptors(&pid1), memory(&pid1)));
    }
    assert_eq!(pids(&mut watch), before);
    // A child on its way to its exec has a descriptor of its own for a moment.
    let least = |part: &[(usize, usize)]| {
        (part.iter().map(|m| m.0).min().unwrap_or(0), part.iter().map(|m| m.1).min().unwrap_or(0))
    };
    let (first, last) = (least(&measured[..10]), least(&measured[40..]));
    assert_eq!(first.0, last.0, "{measured:?}");
    assert!(last.1 <= first.1 + first.1 / 4, "{measured:?}");
    let restarts = watch.state("r0.service").restarts;
    watch.until("still restarted", |w| w.units["r0.service"].restarts > restarts + 3);
}

#[test]
fn too_many_crashes_are_the_end() {
    if !can("too_many_crashes_are_the_end") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("a", "ExecStart=/bin/sleep 1000");
    });
    let mut watch = pid1.ready();
    for _ in 0..5 {
        anew(&pid1, &mut watch, Some(SIGSEGV));
    }
    assert_eq!(crashes(&pid1), 5);
    pid1.signal(SIGSEGV);
    let status = pid1.wait();
    assert!(matches!(status, WaitStatus::Exited(_, 70)), "{status:?}");
}

/// A crash in the middle of anything: what was begun and not written down is begun again, never twice.
#[test]
fn a_crash_amid_restarts_makes_no_process_twice_and_loses_none() {
    if !can("a_crash_amid_restarts_makes_no_process_twice_and_loses_none") {
        return;
    }
    const UNITS: usize = 6;
    for round in 0..4 {
        let pid1 = Pid1::boot(|root| {
            for i in 0..UNITS {
                let lines = "Restart=always\nRestartSec=1ms\nStartLimitIntervalSec=0\nExecStart=/bin/sh -c";
                root.service(&format!("r{i}"), &format!("{lines} 'echo begins; exec sleep 0.01'"));
            }
        });
        let mut watch = pid1.ready();
        let name = |i: usize| format!("r{i}.service");
        for nth in 0..5 {
            // Any moment will do, a different one each time.
            let heard = watch.history.len() + 3 + 7 * nth + round;
            watch.until("some more restarts", |w| w.history.len() >= heard);
            anew(&pid1, &mut watch, Some(SIGSEGV));
        }
        let before: Vec<u32> = (0..UNITS).map(|i| watch.state(&name(i)).restarts).collect();
        watch.until("all go on", |w| (0..UNITS).all(|i| w.units[&name(i)].restarts > before[i] + 2));
        for i in 0..UNITS {
            watch.unit(&name(i), Verb::Stop).expect("it stops");
            let path = pid1.group().join("units").join(name(i)).join("cgroup.procs");
            assert_eq!(fs::read_to_string(&path).unwrap_or_default(), "", "something of it is left");
        }
        assert_eq!(watch.list().values().filter(|u| u.pid != 0).count(), 0);
        assert_eq!(watch.shutdown().leaving, Some(Leave::Shutdown));
        let log = pid1.console();
        let status = pid1.wait();
        assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
        assert_eq!(log.matches("has crashed and goes on").count(), 5, "{log}");
        assert!(!log.contains("nobody saw how"), "{log}");
    }
}

/// On a host nothing may end PID 1: where it can't go on, it reaps.
#[test]
fn a_pid_1_that_must_not_end_reaps_after_too_many_crashes() {
    if !can("a_pid_1_that_must_not_end_reaps_after_too_many_crashes") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("a", "ExecStart=/bin/sleep 1000");
    });
    let mut watch = pid1.ready();
    let service = host_pid(&pid1, "a.service");
    let (book, at) = (book(&pid1), ct_init::resume::book::FLAGS_AT);
    book.write_all_at(&ct_init::resume::book::STAYS.to_le_bytes(), at).expect("write");
    for _ in 0..5 {
        anew(&pid1, &mut watch, Some(SIGSEGV));
    }
    pid1.signal(SIGSEGV);
    nix::sys::signal::kill(service, nix::sys::signal::Signal::SIGKILL).expect("kill");
    // Nobody restarts it, and it does not stay a zombie.
    let deadline = Deadline::default();
    while nix::sys::signal::kill(service, None).is_ok() {
        assert!(!deadline.passed(), "it is not reaped");
        deadline.pass(std::time::Duration::from_millis(10));
    }
    assert!(pid1.runs());
    assert!(pid1.console().contains("gives up"), "{}", pid1.console());
}

fn book(pid1: &Pid1) -> fs::File {
    let all = fs::read_dir(format!("/proc/{}/fd", pid1.pid())).expect("its descriptors").flatten();
    let is_book =
        |path: &PathBuf| fs::read_link(path).is_ok_and(|to| to.ends_with("memfd:ct-init-book (deleted)"));
    let path = all.map(|e| e.path()).find(is_book).expect("its book");
    fs::File::options().write(true).open(path).expect("open its book")
}

#[test]
fn another_file_takes_over_and_one_that_can_not_changes_nothing() {
    if !can("another_file_takes_over_and_one_that_can_not_changes_nothing") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("a", "ExecStart=/bin/sleep 1000\nRestart=always\nRestartSec=1ms");
        root.service("gone", "ExecStart=/bin/sleep 1000");
    });
    let mut watch = pid1.ready();
    let before = watch.state("a.service").pid;
    let program = tests::programs::path("ct-init").expect("ct-init is built");
    let copy = pid1.rootfs.at("srv/ct-init");
    fs::copy(&program, &copy).expect("copy ct-init");
    // Another program reads the unit files itself: one has changed, one is gone.
    pid1.rootfs.unit("a.service", "[Service]\nExecStart=/bin/sleep 1001\nRestart=no\n");
    fs::remove_file(pid1.rootfs.at("etc/systemd/system/gone.service")).expect("remove");
    let file = fs::File::open(&copy).expect("open the copy");
    watch.reexec(Some(file.as_raw_fd())).expect("it takes over");
    assert_eq!(watch.state("a.service").pid, before);
    let exe = fs::read_link(format!("/proc/{}/exe", pid1.pid())).expect("its file");
    assert!(exe.ends_with("srv/ct-init"), "{exe:?}");
    assert_eq!(watch.state("gone.service").active, "active");
    watch.unit("gone.service", Verb::Stop).expect("it stops");
    // One that can't read what is handed to it gives the process back to the file that it came from.
    let book = book(&pid1);
    book.write_all_at(&99u32.to_le_bytes(), ct_init::resume::book::FORMAT_AT).expect("write");
    let file = fs::File::open(&program).expect("open ct-init");
    let why = watch.reexec(Some(file.as_raw_fd())).expect_err("another form");
    assert!(why.contains("can't read the state"), "{why}");
    let exe = fs::read_link(format!("/proc/{}/exe", pid1.pid())).expect("its file");
    assert!(exe.ends_with("srv/ct-init"), "{exe:?}");
    // What is no program is refused, and all goes on.
    let text = fs::File::open("/etc/hostname").expect("a file");
    let why = watch.reexec(Some(text.as_raw_fd())).expect_err("no program");
    assert!(why.starts_with("execute ct-init anew: "), "{why}");
    assert_eq!(watch.state("a.service").pid, before);
    pid1.sh(&format!("kill -9 {before}")).output();
    assert_eq!(watch.active("a.service", "failed").restarts, 0);
}
