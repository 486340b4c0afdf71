//! A supervisor without descriptors left. Alone in its program, since the limit is the whole process'.
use host_supervisor::control::protocol::{Body, Reply};
use host_supervisor::control::server::{Incoming, Limits, Server, listen};
use mio::{Events, Poll, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use units::values::Tick;

const LIST: &[u8] = b"{\"method\":\"io.ct.Supervisor.List\"}\0";

/// Serves until nothing more happens.
fn serve(poll: &mut Poll, server: &mut Server) {
    let mut events = Events::with_capacity(64);
    loop {
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        events.iter().for_each(|e| server.event(e, Tick(0)));
        let due = server.deadline() == Some(Tick(0));
        server.tick(Tick(0));
        while let Some(incoming) = server.poll() {
            if let Incoming::Call { client, .. } = incoming {
                server.reply(client, Reply::done(Body::List { containers: vec![] }), Tick(0));
            }
        }
        if events.is_empty() && !due {
            return;
        }
    }
}

/// What a client has been told; none: nothing yet.
fn told(client: &mut UnixStream) -> Option<String> {
    let mut bytes = [0u8; 4096];
    match client.read(&mut bytes) {
        Ok(n) => Some(String::from_utf8_lossy(&bytes[..n]).into_owned()),
        Err(e) if e.kind() == ErrorKind::WouldBlock => None,
        Err(e) => panic!("{e}"),
    }
}

#[test]
fn a_supervisor_without_descriptors_says_so_and_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ct.sock");
    let mut poll = Poll::new().unwrap();
    let listener = listen::listen(&path, None).unwrap();
    let mut server = Server::new(listener, poll.registry(), Token(0), Limits::default()).unwrap();
    let connect = || {
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_nonblocking(true).unwrap();
        client.write_all(LIST).unwrap();
        client
    };
    let mut clients: Vec<UnixStream> = (0..10).map(|_| connect()).collect();

    let before = getrlimit(Resource::Nofile);
    let highest = std::fs::File::open("/dev/null").map(|f| std::os::fd::AsRawFd::as_raw_fd(&f)).unwrap();
    let room = u64::try_from(highest).unwrap() + 3;
    setrlimit(Resource::Nofile, Rlimit { current: Some(room), maximum: before.maximum }).unwrap();
    serve(&mut poll, &mut server);
    setrlimit(Resource::Nofile, before).unwrap();

    let answers: Vec<String> =
        clients.iter_mut().map(|c| told(c).expect("nobody is left without a word")).collect();
    let served = answers.iter().filter(|a| a.contains("containers")).count();
    let refused = answers.iter().filter(|a| a.contains("no file descriptors left")).count();
    assert_eq!((served, refused), (3, 7));

    clients.clear();
    let mut later = connect();
    serve(&mut poll, &mut server);
    assert!(told(&mut later).is_some_and(|a| a.contains("containers")));
}
