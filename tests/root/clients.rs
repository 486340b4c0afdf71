//! clients: of the supervisor's socket, that speak half, too much, nonsense, or nothing. Everything else goes on.
use crate::can;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use tests::supervisor::Supervisor;
use tests::wait::PATIENCE;

fn connect(s: &Supervisor) -> UnixStream {
    let stream = UnixStream::connect(s.socket()).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Reads to the end, or to the first NUL.
fn answer(mut stream: &UnixStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0u8];
    while stream.read(&mut byte).unwrap_or(0) == 1 && byte[0] != 0 {
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn descriptors(s: &Supervisor) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", s.serving())).expect("list descriptors").count()
}

#[test]
fn half_a_message_garbage_too_much_and_nothing() {
    if !can("half_a_message_garbage_too_much_and_nothing") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "");
    });
    s.ct(&["start", "web"]).ok();
    let before = descriptors(&s);
    let half = b"{\"method\":\"io.ct.Supervisor.Li";
    let cases: [(&str, Vec<u8>); 7] = [
        ("half a message", half.to_vec()),
        ("garbage", b"\xff\xfe\xfd garbage\0".to_vec()),
        ("an empty message", b"\0".to_vec()),
        ("another type", b"[1,2,3]\0".to_vec()),
        ("no method", b"{}\0".to_vec()),
        ("an unknown method", b"{\"method\":\"io.ct.Supervisor.None\"}\0".to_vec()),
        ("deep nesting", [vec![b'['; 30_000], vec![0]].concat()),
    ];
    for (what, bytes) in &cases {
        let mut stream = connect(&s);
        stream.write_all(bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(s.state("web"), "running", "{what}");
    }
    // 100 MB without an end: it hangs up long before.
    let mut stream = connect(&s);
    let megabyte = vec![b'a'; 1 << 20];
    let sent = (0..100).take_while(|_| stream.write_all(&megabyte).is_ok()).count();
    assert!(sent < 100, "it took 100 MB");
    drop(stream);
    // Nothing, and hang up.
    drop(connect(&s));
    assert_eq!(s.state("web"), "running");
    // Whoever asked last may not be seen to have gone yet.
    let deadline = tests::wait::Deadline::default();
    while descriptors(&s) > before {
        assert!(!deadline.passed(), "{} descriptors, {before} before", descriptors(&s));
        std::thread::yield_now();
    }
    s.finish();
}

#[test]
fn errors_are_varlink_errors() {
    if !can("errors_are_varlink_errors") {
        return;
    }
    let s = Supervisor::start();
    let check = |call: &str, word: &str| {
        let mut stream = connect(&s);
        stream.write_all(call.as_bytes()).expect("write");
        stream.write_all(&[0]).expect("write");
        let said = answer(&stream);
        assert!(said.contains(word), "{call}: {said:?}");
    };
    check("{\"method\":\"org.varlink.service.GetInfo\"}", "io.ct.Supervisor");
    check("{\"method\":\"io.ct.Supervisor.None\"}", "org.varlink.service.MethodNotFound");
    check("{\"method\":\"no.such.Interface\"}", "org.varlink.service.InterfaceNotFound");
    check("{\"method\":\"io.ct.Supervisor.List\"}", "\"parameters\"");
    check(
        "{\"method\":\"io.ct.Supervisor.Status\",\"parameters\":{\"name\":7}}",
        "org.varlink.service.InvalidParameter",
    );
    s.finish();
}

#[test]
fn three_hundred_idle_clients_do_not_stop_the_next() {
    if !can("three_hundred_idle_clients_do_not_stop_the_next") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("web", "");
    });
    let before = descriptors(&s);
    let idle: Vec<UnixStream> = (0..300).map(|_| connect(&s)).collect();
    s.ct(&["start", "web"]).ok();
    assert_eq!(s.state("web"), "running");
    let open = descriptors(&s);
    assert!(open < before + 280, "{open} descriptors are open");
    drop(idle);
    assert_eq!(s.state("web"), "running");
    s.finish();
}

#[test]
fn a_client_that_never_reads_is_dropped() {
    if !can("a_client_that_never_reads_is_dropped") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        for i in 0..20 {
            s.container(&format!("c{i}"), "");
        }
    });
    let mut stream = connect(&s);
    let call = b"{\"method\":\"io.ct.Supervisor.List\"}\0";
    let sent = (0..200_000).take_while(|_| stream.write_all(call).is_ok()).count();
    assert!(sent < 200_000, "it answers into the void");
    assert_eq!(s.state("c0"), "stopped");
    s.finish();
}

#[test]
fn the_socket_is_for_root_and_its_group() {
    if !can("the_socket_is_for_root_and_its_group") {
        return;
    }
    let s = Supervisor::start();
    let mode = std::fs::metadata(s.socket()).expect("the socket").permissions().mode() & 0o777;
    assert!([0o660, 0o600].contains(&mode), "{mode:o}");
    s.finish();
}

/// A client that goes in the middle of something long harms neither it nor the supervisor.
#[test]
fn a_client_that_is_killed_while_it_waits() {
    if !can("a_client_that_is_killed_while_it_waits") {
        return;
    }
    let s = Supervisor::start_with(|s| {
        s.container("slow", "").service(
            "wait",
            "Type=oneshot\nTimeoutStartSec=infinity\nExecStart=/bin/sh -c 'read x < /srv/fifo'",
        );
        let fifo = s.root().join("srv/slow/srv/fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    });
    let mut child = s.ct_command(&["start", "slow"]).spawn().expect("run ct");
    s.until("slow", "starting");
    child.kill().expect("kill it");
    child.wait().expect("its end");
    assert_eq!(s.state("slow"), "starting");
    std::fs::write(s.root().join("srv/slow/srv/fifo"), "go\n").expect("let it go");
    s.until("slow", "running");
    s.finish();
}
