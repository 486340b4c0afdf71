//! sessions: commands that a person runs inside, and logs.
use crate::can;
use ct_init::proto::{Control, Exec, Logs, Request, Session};
use std::os::fd::AsRawFd;
use tests::client::{self, Client, Outcome, exec};
use tests::groups;
use tests::pid1::Pid1;
use units::machine::Exit;

fn argv(words: &[&str]) -> Exec {
    Exec { argv: words.iter().map(|w| (*w).to_owned()).collect(), ..Exec::default() }
}

#[test]
fn exit_codes_and_signals_come_back() {
    if !can("exit_codes_and_signals_come_back") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.file("srv/text", "x");
    });
    pid1.ready();
    let check = |words: &[&str], expect: &str| {
        let told = match exec(&pid1.socket(), argv(words)) {
            Outcome::Ended(Exit::Code(code), text) => format!("{code} {}", text.trim()),
            Outcome::Ended(Exit::Signal(s) | Exit::Dumped(s), _) => format!("signal {}", s.0),
            Outcome::Ended(Exit::Unknown, _) => "unknown".into(),
            Outcome::Refused(code, _) => format!("refused {code}"),
        };
        assert_eq!(told, expect, "{words:?}");
    };
    check(&["/bin/true"], "0 ");
    check(&["false"], "1 ");
    check(&["sh", "-c", "exit 77"], "77 ");
    check(&["sh", "-c", "kill -9 $$"], "signal 9");
    check(&["sh", "-c", "echo out; echo err >&2"], "0 out\nerr");
    check(&["nothing-of-this-name"], "refused 127");
    check(&["/no/such/file"], "refused 127");
    check(&["/srv/text"], "refused 126");
    check(&["/srv"], "refused 126");
    check(&["pwd"], "0 /");
}

#[test]
fn a_session_runs_as_whom_and_where_it_was_asked() {
    if !can("a_session_runs_as_whom_and_where_it_was_asked") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    pid1.ready();
    let check = |change: &dyn Fn(&mut Exec), line: &str, expect: &str| {
        let mut asked = argv(&["sh", "-c", line]);
        change(&mut asked);
        let said = match exec(&pid1.socket(), asked) {
            Outcome::Ended(Exit::Code(0), text) => text.trim().to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(said, expect, "{line}");
    };
    check(&|_| {}, "id -u", "0");
    check(&|e| e.user = Some("app".into()), "id -u; id -g; id -G", "1000\n1000\n1000 2000");
    check(&|e| e.user = Some("app:extra".into()), "id -u; id -g", "1000\n2000");
    check(&|e| e.user = Some("4321".into()), "id -u", "4321");
    check(&|e| e.directory = Some("/srv".into()), "pwd", "/srv");
    check(&|e| e.environment = vec![("A".into(), "b c".into())], "echo $A", "b c");
    check(&|e| e.user = Some("app".into()), "echo $HOME $USER $SHELL", "/srv app /bin/sh");
    check(&|_| {}, "ls /proc/self/fd | wc -l", "4");
    check(&|_| {}, "grep SigBlk /proc/self/status | cut -f2", "0000000000000000");
    check(&|_| {}, "grep SigIgn /proc/self/status | cut -f2", "0000000000000000");
}

/// A user of this name does not become root, nor anyone else.
#[test]
fn a_strange_user_name_is_refused() {
    if !can("a_strange_user_name_is_refused") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    pid1.ready();
    for user in ["", "none", "0x0", "-1", "4294967295", "4294967296", "root:none", ":", "root\n", "00 "] {
        let asked = Exec { user: Some(user.into()), ..argv(&["id"]) };
        match exec(&pid1.socket(), asked) {
            Outcome::Refused(125, _) => {}
            other => panic!("{user:?}: {other:?}"),
        }
    }
}

#[test]
fn a_terminal_has_its_size_and_follows_changes() {
    if !can("a_terminal_has_its_size_and_follows_changes") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    pid1.ready();
    let (terminal, mut session) = client::terminal(
        &pid1.socket(),
        Exec {
            tty: true,
            size: Some((33, 77)),
            ..argv(&["sh", "-c", "tty; stty size; read x; stty size; exit 3"])
        },
    );
    terminal.until("33 77");
    session.raw(&postcard::to_stdvec(&Control::Size(44, 88)).expect("encode"), &[]);
    terminal.write("go\n");
    terminal.until("44 88");
    let said = terminal.said();
    assert!(said.starts_with("/dev/pts/"), "{said:?}");
    assert!(matches!(session.receive(), Some(Session::Ended(Exit::Code(3)))));
}

#[test]
fn a_signal_reaches_the_command() {
    if !can("a_signal_reaches_the_command") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    pid1.ready();
    let (mut session, mut output) = client::running(&pid1.socket(), argv(&["probe", "await", "it"]));
    assert_eq!(client::line(&mut output), "it up\n");
    session.raw(&postcard::to_stdvec(&Control::Signal(10)).expect("encode"), &[]);
    assert_eq!(client::line(&mut output), "it SIGUSR1\n");
    assert!(matches!(session.receive(), Some(Session::Ended(Exit::Code(0)))));
}

#[test]
fn a_command_ends_when_its_person_is_gone() {
    if !can("a_command_ends_when_its_person_is_gone") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    pid1.ready();
    let (session, mut output) =
        client::running(&pid1.socket(), argv(&["sh", "-c", "echo up; exec sleep 1000"]));
    assert_eq!(client::line(&mut output), "up\n");
    drop(session);
    // The last writer of the pipe has gone.
    assert_eq!(client::line(&mut output), "");
    drop(output);
    let left = || groups::processes(pid1.group());
    pid1.sh("while pidof sleep > /dev/null; do :; done").output();
    assert_eq!(left(), [pid1.pid() as i32]);
}

#[test]
fn all_output_is_there_when_the_end_is_told() {
    if !can("all_output_is_there_when_the_end_is_told") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.unit("a.service", "[Service]\nExecStart=/bin/sh -c 'seq 5000; echo last; exit 4'\n");
        root.unit("half.service", "[Service]\nType=oneshot\nExecStart=/bin/printf 'one\\\\ntwo'\n");
        root.unit("long.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'head -c 20000 /dev/zero | tr \"\\\\0\" x; echo; echo end'\n");
        root.unit("bytes.service", "[Service]\nType=oneshot\nExecStart=/bin/printf 'a\\\\377b\\\\n'\n");
    });
    let mut watch = pid1.ready();
    let _ = watch.unit("a.service", ct_init::proto::Verb::Start);
    watch.active("a.service", "failed");
    let lines = pid1.logs("a.service");
    assert_eq!(lines.len(), 5001);
    assert_eq!((lines[0].as_str(), lines[4999].as_str(), lines[5000].as_str()), ("1", "5000", "last"));
    watch.unit("half.service", ct_init::proto::Verb::Start).expect("it runs");
    assert_eq!(pid1.logs("half.service"), ["one", "two"]);
    watch.unit("long.service", ct_init::proto::Verb::Start).expect("it runs");
    let long = pid1.logs("long.service");
    assert!(
        long.iter().all(|l| l.len() <= 4096) && long.last().is_some_and(|l| l == "end"),
        "{} lines",
        long.len()
    );
    watch.unit("bytes.service", ct_init::proto::Verb::Start).expect("it runs");
    assert_eq!(pid1.logs("bytes.service"), ["a\u{fffd}b"]);
}

#[test]
fn the_last_lines_and_no_others() {
    if !can("the_last_lines_and_no_others") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("a", "Type=oneshot\nExecStart=/bin/seq 10");
        root.service("b", "Type=oneshot\nExecStart=/bin/echo other");
    });
    pid1.ready();
    let last = Logs { unit: Some("a.service".into()), lines: Some(3), ..Logs::default() };
    let lines = client::logs(&pid1.socket(), last, |_| true);
    assert_eq!(lines.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["8", "9", "10"]);
    let since = Logs { since: Some(lines[1].at), unit: Some("a.service".into()), ..Logs::default() };
    let lines = client::logs(&pid1.socket(), since, |_| true);
    assert!(lines.iter().any(|l| l.text == "10") && lines.iter().all(|l| l.unit == "a.service"), "{lines:?}");
}

#[test]
fn a_service_that_floods_its_log_is_not_held_up() {
    if !can("a_service_that_floods_its_log_is_not_held_up") {
        return;
    }
    let pid1 = Pid1::boot(|root| {
        root.service("flood", "Type=oneshot\nTimeoutStartSec=infinity\nExecStart=/bin/sh -c 'yes | head -c 20000000; echo over'");
    });
    let mut watch = pid1.watch();
    for _ in 0..20 {
        watch.list();
    }
    watch.ready();
    let lines = pid1.logs("flood.service");
    assert_eq!(lines.last().map(String::as_str), Some("over"));
    // Rotated, not grown for ever.
    let size: u64 = pid1.sh("cat /var/log/ct/* | wc -c").output().trim().parse().expect("a number");
    assert!(size < 8 << 20, "{size} bytes are kept");
}

#[test]
fn a_second_exec_on_one_connection_is_not_another_session() {
    if !can("a_second_exec_on_one_connection_is_not_another_session") {
        return;
    }
    let pid1 = Pid1::boot(|_| {});
    pid1.ready();
    let mut client = Client::connect(&pid1.socket());
    let null = std::fs::File::open("/dev/null").expect("open /dev/null");
    let fds = [null.as_raw_fd(), null.as_raw_fd(), null.as_raw_fd()];
    client.send(&Request::Exec(argv(&["sleep", "1000"])), &fds);
    assert!(matches!(client.receive(), Some(Session::Started { .. })));
    client.send(&Request::Exec(argv(&["sleep", "2000"])), &fds);
    client.closed();
    assert_eq!(pid1.sh("pidof sleep | wc -w").output().trim().parse::<u32>().map(|n| n <= 1), Ok(true));
}
