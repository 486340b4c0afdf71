//! Sessions against the other end of a socket pair that plays ct-init.
use super::*;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::io::{Read, Write};
use std::thread;
use units::values::Signal as Number;

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// The other side: says what a test tells it to.
struct Init(Talk);

impl Init {
    fn greet(socket: OwnedFd) -> Init {
        let init = Init(Talk { socket });
        assert_eq!(init.hear(), Request::Hello { version: proto::VERSION });
        init.say(&Report::Hello { version: proto::VERSION, ready: true });
        init
    }
    fn hear(&self) -> Request {
        self.0.receive(&mut Vec::new()).unwrap().unwrap()
    }
    fn say<T: serde::Serialize>(&self, message: &T) {
        self.0.send(message, &[]).unwrap();
    }
}

#[test]
fn ends_read_as_in_a_shell() {
    let check = |how: Exit, expect: u8| assert_eq!(exit_code(how), expect, "{how:?}");
    check(Exit::Code(0), 0);
    check(Exit::Code(255), 255);
    check(Exit::Signal(Number(9)), 137);
    check(Exit::Dumped(Number(11)), 139);
    check(Exit::Signal(Number(200)), 255);
    check(Exit::Unknown, 1);
}

#[test]
fn another_version_is_named() {
    let (ours, theirs) = pair();
    let init = Init(Talk { socket: theirs });
    init.say(&Report::Hello { version: 99, ready: true });
    assert!(matches!(Talk::new(ours, PATIENCE), Err(SessionError::Version(99))));
}

#[test]
fn a_container_that_is_gone_is_no_crash() {
    let (ours, theirs) = pair();
    drop(theirs);
    assert!(matches!(Talk::new(ours, PATIENCE), Err(SessionError::Lost)));
}

#[test]
fn a_paused_container_does_not_hold_its_caller() {
    let (ours, _theirs) = pair();
    assert!(matches!(Talk::new(ours, Duration::ZERO), Err(SessionError::Silent)));
}

#[test]
fn log_lines_arrive_until_the_end() {
    let (ours, theirs) = pair();
    let line = |n: u64| Line { at: n, unit: "a.service".into(), text: "x".into() };
    let asked = Logs { unit: Some("a.service".into()), lines: Some(3), since: None, follow: false };
    let wanted = asked.clone();
    let init = thread::spawn(move || {
        let init = Init::greet(theirs);
        assert_eq!(init.hear(), Request::Logs(wanted));
        (0..3).for_each(|n| init.say(&Session::Line(line(n))));
    });
    let mut got = Vec::new();
    Talk::new(ours, PATIENCE)
        .unwrap()
        .logs(asked, &mut |l| {
            got.push(l.at);
            Ok(())
        })
        .unwrap()
        .unwrap();
    assert_eq!(got, [0, 1, 2]);
    init.join().unwrap();
}

#[test]
fn a_refused_command_brings_its_code() {
    let (ours, theirs) = pair();
    let init = thread::spawn(move || {
        let init = Init::greet(theirs);
        assert!(matches!(init.hear(), Request::Exec(_)));
        init.say(&Session::Refused { code: 127, why: "exec foo: no such file".into() });
    });
    let talk = Talk::new(ours, PATIENCE).unwrap();
    let refused = talk.exec(Exec { argv: vec!["foo".into()], ..Exec::default() }).unwrap_err();
    assert_eq!((refused.exit_code(), refused.to_string().as_str()), (127, "exec foo: no such file"));
    init.join().unwrap();
}

#[test]
fn a_terminal_session_relays_both_ways_and_shows_the_last_words() {
    let (ours, theirs) = pair();
    let init = thread::spawn(move || {
        let init = Init::greet(theirs);
        let pty = nix::pty::openpty(None, None).unwrap();
        init.0.send(&Session::Started { pid: 7 }, &[pty.master.as_fd()]).unwrap();
        let mut inside = std::fs::File::from(pty.slave);
        let mut typed = [0u8; 6];
        inside.read_exact(&mut typed).unwrap();
        assert_eq!(&typed, b"hello\n");
        assert_eq!(inside.read(&mut typed).unwrap(), 0, "the end of the input is the end inside");
        inside.write_all(&b"0123456789".repeat(300)).unwrap();
        init.say(&Session::Ended(Exit::Code(3)));
    });
    let (mut here, stdin) = std::os::unix::net::UnixStream::pair().unwrap();
    let (stdout, mut shown) = std::os::unix::net::UnixStream::pair().unwrap();
    here.write_all(b"hello\n").unwrap();
    drop(here);
    let talk = Talk::new(ours, PATIENCE).unwrap();
    let how = Relay::new(talk, Signals::catch().unwrap(), stdin.as_fd(), stdout.as_fd()).run().unwrap();
    assert_eq!(how, Exit::Code(3));
    drop(stdout);
    let mut text = String::new();
    shown.read_to_string(&mut text).unwrap();
    assert!(text.contains(&"0123456789".repeat(300)), "{text}");
    init.join().unwrap();
}
