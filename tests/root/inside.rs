//! inside: exec and logs through ct: codes, streams, signals, terminals.
use crate::can;
use std::io::{Read, Write};
use std::process::Stdio;
use tests::supervisor::{Supervisor, ran};

fn web() -> Supervisor {
    let s = Supervisor::start_with(|s| {
        let web = s.container("web", "Environment=FROM_UNIT=yes");
        web.service("a", "ExecStart=/bin/sh -c 'echo one; echo two; exec sleep 1000'");
        web.file("srv/text", "x");
    });
    s.ct(&["start", "web"]).ok();
    s
}

#[test]
fn exec_exit_codes() {
    if !can("exec_exit_codes") {
        return;
    }
    let s = web();
    let check = |command: &[&str], code: i32, out: &str| {
        let ran = s.ct(&[&["exec", "web", "--"], command].concat());
        assert_eq!((ran.code, ran.out.as_str()), (code, out), "{command:?}: {ran:?}");
    };
    check(&["true"], 0, "");
    check(&["false"], 1, "");
    check(&["sh", "-c", "exit 255"], 255, "");
    check(&["sh", "-c", "kill -9 $$"], 137, "");
    check(&["sh", "-c", "kill -TERM $$"], 143, "");
    check(&["no-such-program"], 127, "");
    check(&["/no/such/file"], 127, "");
    check(&["/srv/text"], 126, "");
    check(&["echo", "a b", "$HOME", "--flag"], 0, "a b $HOME --flag\n");
    check(&["sh", "-c", "echo $FROM_UNIT"], 0, "yes\n");
    s.finish();
}

#[test]
fn exec_options() {
    if !can("exec_options") {
        return;
    }
    let s = web();
    let check = |options: &[&str], line: &str, out: &str| {
        let ran = s.ct(&[&["exec"], options, &["web", "--", "sh", "-c", line]].concat());
        assert_eq!((ran.code, ran.out.as_str()), (0, out), "{options:?}: {ran:?}");
    };
    check(&["--user", "app"], "id -u", "1000\n");
    check(&["--user", "app:extra"], "id -g", "2000\n");
    check(&["--env", "A=1", "--env", "B=2 3"], "echo $A $B", "1 2 3\n");
    check(&["-w", "/srv"], "pwd", "/srv\n");
    s.ct(&["exec", "--user", "none", "web", "--", "true"]).refused(125, &["none"]);
    s.finish();
}

#[test]
fn streams_are_passed_through_and_kept_apart() {
    if !can("streams_are_passed_through_and_kept_apart") {
        return;
    }
    let s = web();
    let ran = s.ct_with("through\n", &["exec", "web", "--", "sh", "-c", "cat; echo err >&2"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("through\n", "err\n"));
    // Every byte, and much of it.
    let ran = s.ct(&["exec", "web", "--", "sh", "-c", "yes | head -c 3000000 | wc -c; printf '\\000\\377'"]);
    assert!(ran.out.starts_with("3000000\n\0"), "{:?}", ran.out);
    let text = "x".repeat(300_000);
    assert_eq!(s.ct_with(&text, &["exec", "web", "--", "wc", "-c"]).ok().trim(), "300000");
    s.finish();
}

#[test]
fn a_signal_to_ct_reaches_the_command() {
    if !can("a_signal_to_ct_reaches_the_command") {
        return;
    }
    let s = web();
    for (signal, name) in [(15, "SIGTERM"), (1, "SIGHUP"), (2, "SIGINT"), (3, "SIGQUIT")] {
        let mut child = s.ct_command(&["exec", "web", "--", "probe", "await", "it"]).spawn().expect("run ct");
        let mut output = child.stdout.take().expect("its stdout");
        let mut first = [0u8; 6];
        output.read_exact(&mut first).expect("it is up");
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::try_from(signal).expect("a signal"))
            .expect("it runs");
        let mut rest = String::new();
        output.read_to_string(&mut rest).expect("its words");
        assert_eq!(rest.trim(), format!("it {name}"));
        assert_eq!(ran(child).code, 0);
    }
    s.finish();
}

#[test]
fn a_terminal_is_made_inside_where_it_is_asked_for() {
    if !can("a_terminal_is_made_inside_where_it_is_asked_for") {
        return;
    }
    let s = web();
    let with = s.ct(&["exec", "-t", "web", "--", "tty"]);
    assert_eq!(with.code, 0, "{with:?}");
    assert!(with.out.starts_with("/dev/pts/"), "{with:?}");
    assert_eq!(s.ct(&["exec", "-T", "web", "--", "tty"]).out.trim(), "not a tty");
    assert_eq!(s.ct(&["exec", "web", "--", "tty"]).out.trim(), "not a tty");
    // What is typed arrives, what is said comes back.
    let mut child = s.ct_command(&["exec", "-t", "web", "--", "sh", "-c", "read x; echo got $x; exit 7"]);
    let mut child = child.stdin(Stdio::piped()).spawn().expect("run ct");
    child.stdin.take().expect("its stdin").write_all(b"words\n").expect("type");
    let ran = ran(child);
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(ran.out.contains("got words"), "{ran:?}");
    s.finish();
}

#[test]
fn logs_come_from_a_running_and_from_a_stopped_container() {
    if !can("logs_come_from_a_running_and_from_a_stopped_container") {
        return;
    }
    let s = web();
    let mut child = s.ct_command(&["logs", "-f", "web/a"]).spawn().expect("run ct");
    let mut output = std::io::BufReader::new(child.stdout.take().expect("its stdout"));
    let mut all = String::new();
    while !all.contains("two") {
        std::io::BufRead::read_line(&mut output, &mut all).expect("a line");
    }
    child.kill().expect("end it");
    child.wait().expect("its end");
    let texts = |s: &Supervisor| -> Vec<String> {
        let out = s.ct(&["logs", "web/a"]).ok();
        out.lines().map(|l| l.rsplit(' ').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(texts(&s), ["one", "two"]);
    assert_eq!(s.ct(&["logs", "-n", "1", "web/a"]).ok().lines().count(), 1);
    s.ct(&["stop", "web"]).ok();
    assert_eq!(texts(&s), ["one", "two"]);
    s.finish();
}

#[test]
fn units_inside_are_addressed_through_their_container() {
    if !can("units_inside_are_addressed_through_their_container") {
        return;
    }
    let s = web();
    s.ct(&["stop", "web/a.service"]).ok();
    assert_eq!(s.sh("web", "pidof sleep | wc -w").ok(), "0\n");
    s.ct(&["start", "web/a"]).ok();
    assert_eq!(s.state("web"), "running");
    s.ct(&["restart", "web/a"]).ok();
    assert_eq!(s.sh("web", "pidof sleep | wc -w").ok(), "1\n");
    s.ct(&["start", "web/none"]).refused(1, &["none.service"]);
    s.finish();
}
