//! client: the host's side of the talk with a ct-init, one packet after the other. Waits, with a deadline.
use crate::wait::Deadline;
use ct_init::proto::{Exec, Line, Logs, MAX_PACKET, Report, Request, Session, UnitStatus, VERSION, Verb};
use ct_init::wire::Wire;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, sendmsg, socket,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{IoSlice, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use units::machine::Exit;

/// A connection to a ct-init.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
}

impl Client {
    /// Connects; says nothing yet.
    pub fn silent(path: &Path) -> Client {
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
            .expect("make a socket");
        connect(socket.as_raw_fd(), &UnixAddr::new(path).expect("a short path")).expect("connect to ct-init");
        Client { socket }
    }

    /// Connects and greets.
    pub fn connect(path: &Path) -> Client {
        let mut client = Client::silent(path);
        client.send(&Request::Hello { version: VERSION }, &[]);
        match client.receive::<Report>() {
            Some(Report::Hello { version: VERSION, .. }) => client,
            other => panic!("instead of a greeting: {other:?}"),
        }
    }

    /// Sends a request with descriptors.
    pub fn send(&mut self, request: &Request, fds: &[RawFd]) {
        self.raw(&postcard::to_stdvec(request).expect("encode"), fds);
    }

    /// Sends a packet of any bytes; that the other side has hung up is no failure here.
    pub fn raw(&mut self, bytes: &[u8], fds: &[RawFd]) {
        let rights = [ControlMessage::ScmRights(fds)];
        let control = if fds.is_empty() { &[][..] } else { &rights[..] };
        let sent = sendmsg::<()>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(bytes)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        );
        match sent {
            Ok(_) | Err(nix::errno::Errno::EPIPE | nix::errno::Errno::ECONNRESET) => {}
            Err(e) => panic!("send to ct-init: {e}"),
        }
    }

    /// The next message; none at the end of the connection.
    pub fn receive<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        assert!(Deadline::default().ready(self.socket.as_fd(), PollFlags::POLLIN), "ct-init says nothing");
        let mut buffer = vec![0u8; MAX_PACKET];
        match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(0) | Err(nix::errno::Errno::ECONNRESET) => None,
            Ok(n) => Some(postcard::from_bytes(&buffer[..n]).expect("decode")),
            Err(e) => panic!("receive from ct-init: {e}"),
        }
    }

    /// The next message and the descriptors that come along.
    fn receive_with_fds<T: serde::de::DeserializeOwned>(&mut self) -> (T, Vec<OwnedFd>) {
        assert!(Deadline::default().ready(self.socket.as_fd(), PollFlags::POLLIN), "ct-init says nothing");
        let mut wire = Wire::new(self.socket.try_clone().expect("copy the socket")).expect("a wire");
        let packet = wire.receive().expect("a packet").expect("a packet");
        (postcard::from_bytes(&packet.bytes).expect("decode"), packet.fds)
    }

    /// Waits until the other side hangs up; what it still says is dropped.
    pub fn closed(self) {
        let mut buffer = vec![0u8; MAX_PACKET];
        loop {
            assert!(Deadline::default().ready(self.socket.as_fd(), PollFlags::POLLIN), "it is not closed");
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

/// A control connection that keeps what it has heard.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    tag: u32,
    /// The last state of each unit.
    pub units: BTreeMap<String, UnitStatus>,
    /// Set by `Report::Ready`: the units that have failed.
    pub ready: Option<Vec<String>>,
    /// Warnings.
    pub notices: Vec<String>,
    /// Every `active/sub` of every unit, in order.
    pub history: Vec<(String, String)>,
    /// What it waited for, in order.
    pub waits: Vec<String>,
    /// Why it was unhealthy, in order.
    pub unhealthy: Vec<String>,
    /// Keep-alives.
    pub alive: u32,
    /// Why ct-init leaves.
    pub leaving: Option<ct_init::proto::Leave>,
    done: BTreeMap<u32, Result<(), String>>,
    listed: Option<u32>,
}

impl Watch {
    /// Greets and watches.
    pub fn connect(path: &Path) -> Watch {
        let mut client = Client::connect(path);
        client.send(&Request::Watch, &[]);
        Watch {
            client,
            tag: 0,
            units: BTreeMap::new(),
            ready: None,
            notices: Vec::new(),
            history: Vec::new(),
            waits: Vec::new(),
            unhealthy: Vec::new(),
            alive: 0,
            leaving: None,
            done: BTreeMap::new(),
            listed: None,
        }
    }

    fn hear(&mut self) -> bool {
        match self.client.receive::<Report>() {
            None => return false,
            Some(Report::Hello { .. }) => {}
            Some(Report::Ready { failed }) => self.ready = Some(failed),
            Some(Report::Unit(status)) => self.note(status),
            Some(Report::Done { tag, result }) => drop(self.done.insert(tag, result)),
            Some(Report::Units { tag, units, last }) => {
                units.into_iter().for_each(|u| drop(self.units.insert(u.name.clone(), u)));
                self.listed = last.then_some(tag).or(self.listed);
            }
            Some(Report::Leaving(why)) => self.leaving = Some(why),
            Some(Report::Notice(text)) => self.notices.push(text),
            Some(Report::Waits(text)) => self.waits.push(text),
            Some(Report::Unhealthy(text)) => self.unhealthy.push(text),
            Some(Report::Alive) => self.alive += 1,
        }
        true
    }

    fn note(&mut self, status: UnitStatus) {
        self.history.push((status.name.clone(), format!("{}/{}", status.active, status.sub)));
        self.units.insert(status.name.clone(), status);
    }

    /// Listens until it is so.
    pub fn until(&mut self, what: &str, so: impl Fn(&Watch) -> bool) {
        let deadline = Deadline::default();
        while !so(self) {
            assert!(!deadline.passed(), "never {what}: {:?}", self.history);
            assert!(self.hear(), "ct-init hung up before {what}: {:?}", self.history);
        }
    }

    /// Waits for the default target; returns the units that have failed.
    pub fn ready(&mut self) -> Vec<String> {
        self.until("ready", |w| w.ready.is_some());
        self.ready.clone().unwrap_or_default()
    }

    /// Asks for something to be done with a unit, and waits for the answer.
    ///
    /// # Errors
    /// ct-init's sentence.
    pub fn unit(&mut self, unit: &str, verb: Verb) -> Result<(), String> {
        self.tag += 1;
        let tag = self.tag;
        self.client.send(&Request::Unit { tag, unit: unit.to_owned(), verb }, &[]);
        self.until("done", |w| w.done.contains_key(&tag));
        self.done.remove(&tag).unwrap_or(Ok(()))
    }

    /// Has ct-init executed anew, from this file or its own, and waits until the new one answers.
    ///
    /// # Errors
    /// ct-init's sentence.
    pub fn reexec(&mut self, file: Option<RawFd>) -> Result<(), String> {
        self.tag += 1;
        let tag = self.tag;
        self.client.send(&Request::Reexec { tag }, file.as_slice());
        self.until("executed anew", |w| w.done.contains_key(&tag));
        self.done.remove(&tag).unwrap_or(Ok(()))
    }

    /// The state of all units now.
    pub fn list(&mut self) -> &BTreeMap<String, UnitStatus> {
        self.tag += 1;
        let tag = self.tag;
        self.client.send(&Request::List { tag }, &[]);
        self.until("listed", |w| w.listed == Some(tag));
        &self.units
    }

    /// The state of one unit now.
    pub fn state(&mut self, unit: &str) -> UnitStatus {
        self.list().get(unit).cloned().unwrap_or_else(|| panic!("{unit} is not known"))
    }

    /// Waits until the unit's `active` is this.
    pub fn active(&mut self, unit: &str, active: &str) -> UnitStatus {
        self.list();
        self.until(&format!("{unit} {active}"), |w| w.units.get(unit).is_some_and(|u| u.active == active));
        self.units[unit].clone()
    }

    /// Asks it to stop everything; then all that it still says is heard.
    pub fn shutdown(mut self) -> Watch {
        self.client.send(&Request::Shutdown, &[]);
        while self.hear() {}
        self
    }
}

/// What a command inside came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended, with what it wrote to stdout and stderr.
    Ended(Exit, String),
    /// It could not be started.
    Refused(u8, String),
}

impl Outcome {
    /// What a command that ends well has written.
    pub fn output(self) -> String {
        match self {
            Outcome::Ended(Exit::Code(0), text) => text,
            other => panic!("the command failed: {other:?}"),
        }
    }
}

/// Runs a command inside, with nothing on stdin.
pub fn exec(socket: &Path, exec: Exec) -> Outcome {
    let mut client = Client::connect(socket);
    let (mut output, writer) = std::io::pipe().expect("make a pipe");
    let null = std::fs::File::open("/dev/null").expect("open /dev/null");
    client.send(&Request::Exec(exec), &[null.as_raw_fd(), writer.as_raw_fd(), writer.as_raw_fd()]);
    drop(writer);
    match client.receive() {
        Some(Session::Started { .. }) => {}
        Some(Session::Refused { code, why }) => return Outcome::Refused(code, why),
        other => panic!("instead of a start: {other:?}"),
    }
    let mut text = Vec::new();
    let deadline = Deadline::default();
    loop {
        assert!(
            deadline.ready(output.as_fd(), PollFlags::POLLIN),
            "it neither speaks nor ends: {:?}",
            String::from_utf8_lossy(&text)
        );
        let mut bytes = [0u8; 4096];
        match output.read(&mut bytes).expect("read what it writes") {
            0 => break,
            n => text.extend_from_slice(&bytes[..n]),
        }
    }
    match client.receive() {
        Some(Session::Ended(how)) => Outcome::Ended(how, String::from_utf8_lossy(&text).into_owned()),
        other => panic!("instead of an end: {other:?}"),
    }
}

/// Starts a command inside and doesn't wait for it: the session, and what the command writes.
pub fn running(socket: &Path, exec: Exec) -> (Client, PipeReader) {
    let mut client = Client::connect(socket);
    let (output, writer) = std::io::pipe().expect("make a pipe");
    let null = std::fs::File::open("/dev/null").expect("open /dev/null");
    client.send(&Request::Exec(exec), &[null.as_raw_fd(), writer.as_raw_fd(), writer.as_raw_fd()]);
    match client.receive() {
        Some(Session::Started { .. }) => (client, output),
        other => panic!("instead of a start: {other:?}"),
    }
}

/// Starts a shell line inside; whether it has begun before the other side was gone.
pub fn start(socket: &Path, line: &str) -> bool {
    let mut client = Client::connect(socket);
    let null = std::fs::File::open("/dev/null").expect("open /dev/null");
    let argv = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
    client.send(&Request::Exec(Exec { argv, ..Exec::default() }), &[null.as_raw_fd(); 3]);
    let begun = client.receive::<Session>().is_some();
    // Until it has ended, or PID 1 has.
    while client.receive::<Session>().is_some() {}
    begun
}

/// One line of a command's output, with its newline; empty at the end.
pub fn line(output: &mut PipeReader) -> String {
    let mut text = Vec::new();
    let mut byte = [0u8];
    while text.last() != Some(&b'\n') && output.read(&mut byte).expect("read what it writes") == 1 {
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The near side of a terminal that was made inside.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
    said: RefCell<String>,
}

impl Terminal {
    /// Reads until it has said this.
    pub fn until(&self, part: &str) {
        while !self.said.borrow().contains(part) {
            assert!(
                Deadline::default().ready(self.master.as_fd(), PollFlags::POLLIN),
                "never {part}: {:?}",
                self.said
            );
            let mut bytes = [0u8; 1024];
            let n = nix::unistd::read(&self.master, &mut bytes).unwrap_or(0);
            assert!(n > 0, "the terminal is gone before {part}: {:?}", self.said);
            self.said.borrow_mut().push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
    }
    /// Types.
    pub fn write(&self, text: &str) {
        nix::unistd::write(&self.master, text.as_bytes()).expect("type");
    }
    /// All that was said so far.
    pub fn said(&self) -> String {
        self.said.borrow().clone()
    }
}

/// Starts a command inside on a terminal.
pub fn terminal(socket: &Path, exec: Exec) -> (Terminal, Client) {
    let mut client = Client::connect(socket);
    client.send(&Request::Exec(exec), &[]);
    let (message, fds) = client.receive_with_fds();
    assert!(matches!(message, Session::Started { .. }), "instead of a start: {message:?}");
    let master = fds.into_iter().next().expect("the terminal comes along");
    (Terminal { master, said: RefCell::default() }, client)
}

/// Runs a shell line inside.
pub fn sh(socket: &Path, line: &str) -> Outcome {
    let argv = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
    exec(socket, Exec { argv, ..Exec::default() })
}

/// The log lines that match, until the stream ends; with `follow`, until `enough`.
pub fn logs(socket: &Path, wanted: Logs, enough: impl Fn(&[Line]) -> bool) -> Vec<Line> {
    let mut client = Client::connect(socket);
    let follow = wanted.follow;
    client.send(&Request::Logs(wanted), &[]);
    let mut lines = Vec::new();
    while !(follow && enough(&lines)) {
        match client.receive() {
            Some(Session::Line(line)) => lines.push(line),
            Some(other) => panic!("instead of a line: {other:?}"),
            None => break,
        }
    }
    lines
}
