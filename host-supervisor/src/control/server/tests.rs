//! The server against real sockets, with a closure for a daemon.
use super::*;
use crate::control::pass;
use crate::control::protocol::{Body, Outcome};
use mio::{Events, Poll};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// A server in a folder of its own; time stands still unless a test moves it.
struct Rig {
    poll: Poll,
    server: Server,
    path: PathBuf,
    now: Tick,
    gone: Vec<ClientId>,
    held: Vec<ClientId>,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new(limits: Limits) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ct.sock");
        let poll = Poll::new().unwrap();
        let listener = listen::listen(&path, None).unwrap();
        let server = Server::new(listener, poll.registry(), Token(10), limits).unwrap();
        Rig { poll, server, path, now: Tick(0), gone: Vec::new(), held: Vec::new(), _dir: dir }
    }
    fn small() -> Rig {
        Rig::new(Limits { clients: 4, message: 1024, backlog: 64 * 1024, ..Limits::default() })
    }
    fn connect(&mut self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_nonblocking(true).unwrap();
        self.turn();
        stream
    }
    /// Lets the server take in what there is, and answers: `Wait` is held, `Start` fails, the rest succeeds.
    fn turn(&mut self) {
        let mut events = Events::with_capacity(64);
        loop {
            self.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            let due = self.server.deadline().is_some_and(|at| at <= self.now);
            if events.is_empty() && !due {
                return;
            }
            for event in &events {
                assert!(self.server.owns(event.token()));
                self.server.event(event, self.now);
            }
            self.server.tick(self.now);
            self.answer();
        }
    }
    fn answer(&mut self) {
        while let Some(incoming) = self.server.poll() {
            match incoming {
                Incoming::Gone(client) => self.gone.push(client),
                Incoming::Call { client, request, fds, .. } => match request {
                    Request::Wait { .. } => self.held.push(client),
                    Request::Exec { .. } => {
                        let file = std::fs::File::open("/proc/self/status").unwrap();
                        self.server.reply(client, Reply::socket(file.into()), self.now);
                    }
                    Request::TemplateImport { .. } => {
                        let line = format!("{} descriptors", fds.len());
                        self.server.reply(client, Reply::progress("x", line), self.now);
                        self.server.reply(client, Reply::outcomes(vec![Outcome::done("x")]), self.now);
                    }
                    Request::TemplateList {} => {
                        let big = Body::Plan { steps: vec!["x".repeat(1000); 1000], refused: vec![] };
                        self.server.reply(client, Reply::done(big), self.now);
                    }
                    Request::Start { .. } => {
                        let fault = Fault::new(FaultKind::NotFound, "there is no container web");
                        self.server.reply(client, fault.into(), self.now);
                    }
                    _ => self.server.reply(client, Reply::done(Body::List { containers: vec![] }), self.now),
                },
            }
        }
    }
    /// Sends, lets the server work, and returns what has come back, and whether the connection is open still.
    fn say(&mut self, stream: &mut UnixStream, bytes: &[u8]) -> (Vec<Value>, bool) {
        let mut sent = 0;
        let mut got = Vec::new();
        let mut open = true;
        while sent < bytes.len() && open {
            match stream.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.turn();
                    open = drain(stream, &mut got);
                }
                Err(_) => break,
            }
        }
        self.turn();
        while open {
            let before = got.len();
            open = drain(stream, &mut got);
            self.turn();
            if got.len() == before {
                break;
            }
        }
        let messages = got.split(|&b| b == 0).filter(|m| !m.is_empty());
        (messages.map(|m| serde_json::from_slice(m).unwrap()).collect(), open)
    }
}

/// Reads what is there; false: the other side has closed.
fn drain(stream: &mut UnixStream, got: &mut Vec<u8>) -> bool {
    let mut chunk = [0u8; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return false,
            Ok(n) => got.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        }
    }
}

const LIST: &[u8] = b"{\"method\":\"io.ct.Supervisor.List\"}\0";
const WAIT: &[u8] =
    b"{\"method\":\"io.ct.Supervisor.Wait\",\"parameters\":{\"targets\":[\"web\"],\"condition\":\"ready\"}}\0";

#[test]
fn what_clients_send_and_get() {
    let check = |bytes: &[u8], expect: &[&str], stays: bool| {
        let mut rig = Rig::small();
        let mut client = rig.connect();
        let (got, open) = rig.say(&mut client, bytes);
        let got: Vec<String> = got
            .iter()
            .map(|v| v["error"].as_str().unwrap_or("ok").rsplit('.').next().unwrap().to_owned())
            .collect();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
        assert_eq!(
            (got.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), open),
            (expect, stays),
            "{text}"
        );
    };
    check(b"", &[], true);
    check(LIST, &["ok"], true);
    check(&LIST[..20], &[], true);
    check(&[LIST, LIST, LIST].concat(), &["ok", "ok", "ok"], true);
    check(&LIST.repeat(5000), &vec!["ok"; 5000], true);
    check(b"{\"method\":\"io.ct.Supervisor.List\",\"oneway\":true}\0", &[], true);
    check(b"{\"method\":\"org.varlink.service.GetInfo\"}\0", &["ok"], true);
    check(b"{\"method\":\"io.ct.Supervisor.Fly\"}\0", &["MethodNotFound"], true);
    check(b"{\"method\":\"a.b\"}\0", &["InterfaceNotFound"], true);
    check(b"{\"method\":\"io.ct.Supervisor.Start\"}\0", &["InvalidParameter"], true);
    check(
        b"{\"method\":\"io.ct.Supervisor.Start\",\"parameters\":{\"targets\":[\"web\"]}}\0",
        &["NotFound"],
        true,
    );
    check(b"{\"method\":\"io.ct.Supervisor.Events\"}\0", &["ExpectedMore"], true);
    check(b"garbage\0", &["InvalidParameter"], false);
    check(b"\0", &["InvalidParameter"], false);
    check(&[b"\xff\xfe\0", LIST].concat(), &["InvalidParameter"], false);
    check(&vec![b'x'; 2000], &["Usage"], false);
    check(&vec![b'x'; 100 << 20], &["Usage"], false);
    check(&[LIST, &vec![b'x'; 2000]].concat(), &["ok", "Usage"], false);
    check(WAIT, &[], true);
}

#[test]
fn the_interface_can_be_introspected() {
    let mut rig = Rig::small();
    let mut client = rig.connect();
    let ask = |name: &str| {
        let call = json!({"method": "org.varlink.service.GetInterfaceDescription", "parameters": {"interface": name}});
        format!("{call}\0").into_bytes()
    };
    let (got, _) = rig.say(&mut client, &ask("io.ct.Supervisor"));
    assert!(got[0]["parameters"]["description"].as_str().unwrap().contains("interface io.ct.Supervisor"));
    let (got, _) = rig.say(&mut client, &ask("org.varlink.service"));
    assert!(got[0]["parameters"]["description"].as_str().unwrap().contains("GetInfo"));
    let (got, _) = rig.say(&mut client, &ask("io.ct.Other"));
    assert_eq!(got[0]["error"], "org.varlink.service.InterfaceNotFound");
}

#[test]
fn three_hundred_idle_clients_do_not_stop_others() {
    let mut rig = Rig::new(Limits::default());
    let idle: Vec<UnixStream> = (0..300).map(|_| rig.connect()).collect();
    assert_eq!(rig.server.clients(), 256);
    let mut client = rig.connect();
    assert_eq!(rig.say(&mut client, LIST).0.len(), 1);
    drop(idle);
    rig.turn();
    assert_eq!(rig.server.clients(), 1);
}

#[test]
fn a_client_too_many_is_told_when_all_others_are_busy() {
    let mut rig = Rig::small();
    let mut busy: Vec<UnixStream> = (0..4).map(|_| rig.connect()).collect();
    for client in &mut busy {
        rig.say(client, WAIT);
    }
    let mut fifth = rig.connect();
    let (got, open) = rig.say(&mut fifth, b"");
    assert_eq!(got[0]["error"], "io.ct.Supervisor.Refused");
    assert_eq!(got[0]["parameters"]["message"], "4 clients wait for an answer already");
    assert!(!open);
    let held = rig.held.clone();
    for client in held {
        rig.server.reply(client, Reply::outcomes(vec![Outcome::done("web")]), rig.now);
    }
    for client in &mut busy {
        assert!(rig.say(client, b"").0[0]["parameters"]["outcomes"].is_array());
    }
}

#[test]
fn the_daemon_hears_of_a_client_that_leaves_its_call() {
    let mut rig = Rig::small();
    let mut client = rig.connect();
    rig.say(&mut client, WAIT);
    assert!(rig.gone.is_empty());
    drop(client);
    rig.turn();
    rig.answer();
    assert_eq!(rig.gone, rig.held);
    assert_eq!(rig.server.clients(), 0);
    // The slot's next owner does not get the reply of the one before.
    let mut other = rig.connect();
    rig.say(&mut other, WAIT);
    rig.server.reply(rig.held[0], Reply::outcomes(vec![Outcome::done("web")]), rig.now);
    assert_eq!(rig.say(&mut other, b""), (vec![], true));
    rig.server.reply(rig.held[1], Reply::outcomes(vec![Outcome::done("web")]), rig.now);
    assert_eq!(rig.say(&mut other, b"").0.len(), 1);
}

#[test]
fn a_client_that_reads_nothing_is_dropped_sooner_than_an_idle_one() {
    let mut rig = Rig::small();
    let mut client = rig.connect();
    let limits = Limits::default();
    assert_eq!(rig.server.deadline(), Some(Tick(0).after(limits.idle)));
    client.write_all(b"{\"method\":\"io.ct.Supervisor.TemplateList\"}\0").unwrap();
    rig.turn();
    assert_eq!(rig.server.deadline(), Some(Tick(0).after(limits.stall)));
    rig.server.tick(Tick(0).after(limits.stall));
    assert_eq!(rig.server.clients(), 0);
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let mut rig = Rig::small();
    let mut client = rig.connect();
    rig.say(&mut client, WAIT);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    rig.turn();
    assert!(rig.gone.is_empty());
    rig.server.reply(rig.held[0], Reply::outcomes(vec![Outcome::done("web")]), rig.now);
    let (got, open) = rig.say(&mut client, b"");
    assert_eq!((got.len(), open), (1, false));
}

#[test]
fn idle_half_spoken_and_slow_clients_are_dropped_in_time() {
    let check = |bytes: &[u8], reads: bool, lives: bool| {
        let mut rig = Rig::small();
        let mut client = rig.connect();
        client.write_all(bytes).unwrap();
        if reads {
            rig.say(&mut client, b"");
        }
        rig.turn();
        while let Some(at) = rig.server.deadline() {
            rig.now = at;
            rig.server.tick(at);
        }
        assert_eq!(rig.server.clients(), usize::from(lives), "{}", String::from_utf8_lossy(bytes));
    };
    check(b"", true, false);
    check(LIST, true, false);
    check(&LIST[..10], true, false);
    check(WAIT, true, true);
    check(b"{\"method\":\"io.ct.Supervisor.TemplateList\"}\0", false, false);
}

#[test]
fn a_client_that_drips_bytes_is_idle() {
    let mut rig = Rig::small();
    let mut client = rig.connect();
    let first = rig.server.deadline().unwrap();
    rig.now = rig.now.after(Duration::from_secs(100));
    rig.say(&mut client, b"{");
    assert_eq!(rig.server.deadline(), Some(first));
    rig.say(&mut client, b"}\0");
    assert_ne!(rig.server.deadline(), Some(first));
}

#[test]
fn a_follower_that_does_not_read_is_dropped() {
    let mut rig = Rig::small();
    let mut client = rig.connect();
    let call = b"{\"method\":\"io.ct.Supervisor.Wait\",\"more\":true,\"parameters\":{\"targets\":[\"web\"],\"condition\":\"ready\"}}\0";
    client.write_all(call).unwrap();
    rig.turn();
    for _ in 0..2000 {
        rig.server.reply(rig.held[0], Reply::progress("web", "x".repeat(1000)), rig.now);
    }
    rig.answer();
    assert_eq!((rig.server.clients(), rig.gone.len()), (0, 1));
}

#[test]
fn a_disconnect_in_the_middle_of_a_reply_is_survived() {
    let mut rig = Rig::small();
    let mut client = rig.connect();
    client.write_all(b"{\"method\":\"io.ct.Supervisor.TemplateList\"}\0").unwrap();
    rig.turn();
    let mut few = [0u8; 100];
    client.read_exact(&mut few).unwrap();
    drop(client);
    rig.turn();
    assert_eq!(rig.server.clients(), 0);
    let mut other = rig.connect();
    assert_eq!(rig.say(&mut other, LIST).0.len(), 1);
}

#[test]
fn a_reply_larger_than_the_socket_takes_arrives_whole() {
    let mut rig = Rig::small();
    let mut client = rig.connect();
    let (got, open) = rig.say(&mut client, b"{\"method\":\"io.ct.Supervisor.TemplateList\"}\0");
    assert_eq!(got[0]["parameters"]["steps"].as_array().unwrap().len(), 1000);
    assert!(open);
}

#[test]
fn progress_goes_to_those_who_asked_for_more() {
    let check = |more: bool, expect: usize| {
        let mut rig = Rig::small();
        let mut client = rig.connect();
        let call = json!({"method": "io.ct.Supervisor.TemplateImport", "more": more, "parameters": {"name": "x", "file": 0}});
        assert_eq!(rig.say(&mut client, format!("{call}\0").as_bytes()).0.len(), expect);
    };
    check(false, 1);
    check(true, 2);
}

/// The inodes of files this test made are what is counted, since other tests run beside it.
fn open_copies(of: &std::fs::File) -> usize {
    use std::os::unix::fs::MetadataExt;
    let inode = of.metadata().unwrap().ino();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter_map(|e| std::fs::metadata(e.path()).ok()).filter(|m| m.ino() == inode).count()
}

#[test]
fn descriptors_reach_the_daemon_and_none_stays_open() {
    let check = |sent: usize, call: &str, expect: Option<&str>| {
        let mut rig = Rig::small();
        let mut client = rig.connect();
        let file = tempfile::tempfile().unwrap();
        let fds: Vec<_> = (0..sent).map(|_| std::os::fd::AsFd::as_fd(&file)).collect();
        pass::send(&client, format!("{call}\0").as_bytes(), &fds).unwrap();
        let (got, _) = rig.say(&mut client, b"");
        let line = got[0]["parameters"]["progress"]["line"].as_str();
        assert_eq!(line, expect);
        drop(client);
        rig.turn();
        assert_eq!(open_copies(&file), 1);
    };
    let import =
        r#"{"method":"io.ct.Supervisor.TemplateImport","more":true,"parameters":{"name":"x","file":0}}"#;
    check(0, import, Some("0 descriptors"));
    check(1, import, Some("1 descriptors"));
    check(4, import, Some("4 descriptors"));
    check(4, r#"{"method":"io.ct.Supervisor.List"}"#, None);
    check(4, "garbage", None);
}

#[test]
fn descriptors_go_with_their_own_call() {
    let mut rig = Rig::small();
    let mut client = rig.connect();
    let file = tempfile::tempfile().unwrap();
    let import = "{\"method\":\"io.ct.Supervisor.TemplateImport\",\"more\":true,\"parameters\":{\"name\":\"x\",\"file\":0}}\0";
    client.write_all(import.as_bytes()).unwrap();
    pass::send(&client, import.as_bytes(), &[std::os::fd::AsFd::as_fd(&file)]).unwrap();
    let (got, _) = rig.say(&mut client, b"");
    let lines: Vec<_> = got.iter().filter_map(|v| v["parameters"]["progress"]["line"].as_str()).collect();
    assert_eq!(lines, ["0 descriptors", "1 descriptors"]);
}

#[test]
fn descriptors_that_pile_up_before_a_message_ends_close_the_connection() {
    let mut rig = Rig::small();
    let mut client = rig.connect();
    let file = tempfile::tempfile().unwrap();
    for _ in 0..6 {
        pass::send(&client, b"x", &[std::os::fd::AsFd::as_fd(&file)]).unwrap();
    }
    let (got, open) = rig.say(&mut client, b"");
    assert_eq!((got[0]["error"].as_str(), open), (Some("io.ct.Supervisor.Usage"), false));
    rig.turn();
    assert_eq!(open_copies(&file), 1);
}

#[test]
fn a_descriptor_comes_with_the_reply() {
    let mut rig = Rig::small();
    let mut client = rig.connect();
    client.write_all(b"{\"method\":\"io.ct.Supervisor.Exec\",\"parameters\":{\"name\":\"web\"}}\0").unwrap();
    rig.turn();
    let (mut buffer, mut fds) = ([0u8; 512], Vec::new());
    let n = pass::receive(&client, &mut buffer, &mut fds).unwrap();
    assert!(buffer[..n].ends_with(b"\0"));
    let mut text = String::new();
    std::fs::File::from(fds.pop().unwrap()).read_to_string(&mut text).unwrap();
    assert!(text.starts_with("Name:"));
}

#[test]
fn one_client_that_asks_without_end_does_not_keep_the_turn() {
    let mut rig = Rig::small();
    let info = b"{\"method\":\"org.varlink.service.Nothing\"}\0";
    let mut greedy = rig.connect();
    for bytes in [LIST.repeat(200), info.repeat(200)] {
        greedy.write_all(&bytes).unwrap();
        let mut events = Events::with_capacity(8);
        rig.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        events.iter().for_each(|e| rig.server.event(e, rig.now));
        rig.answer();
        let mut got = Vec::new();
        drain(&mut greedy, &mut got);
        let replies = got.iter().filter(|&&b| b == 0).count();
        assert!((1..=16).contains(&replies), "{replies} replies in one turn");
        assert_eq!(rig.server.deadline(), Some(Tick(0)), "it goes on in the next turn");
        rig.turn();
        drain(&mut greedy, &mut got);
        assert_eq!(got.iter().filter(|&&b| b == 0).count(), 200);
    }
}

#[test]
fn the_caller_is_known() {
    let mut rig = Rig::small();
    let mut client = UnixStream::connect(&rig.path).unwrap();
    client.write_all(LIST).unwrap();
    let mut events = Events::with_capacity(8);
    loop {
        rig.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        events.iter().for_each(|e| rig.server.event(e, rig.now));
        if let Some(Incoming::Call { peer, .. }) = rig.server.poll() {
            assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
            assert_eq!(peer.pid, nix::unistd::getpid().as_raw());
            return;
        }
        assert!(!events.is_empty(), "the call did not arrive");
    }
}
