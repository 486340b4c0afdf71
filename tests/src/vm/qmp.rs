//! qmp: QEMU's control socket: what is done to a machine from outside, and what QEMU says has happened to it.
use crate::vm::shared::Shared;
use crate::wait::PATIENCE;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// A connection.
#[derive(Debug)]
pub struct Qmp {
    socket: UnixStream,
    shared: Arc<Shared<Said>>,
}

#[derive(Debug, Default)]
struct Said {
    events: Vec<Value>,
    answers: Vec<Value>,
    over: bool,
}

impl Shared<Said> {
    fn add(&self, message: Value) {
        let mut said = self.lock();
        if message.get("event").is_some() {
            said.events.push(message);
        } else if message.get("return").is_some() || message.get("error").is_some() {
            said.answers.push(message);
        }
        drop(said);
        self.more.notify_all();
    }
}

impl Qmp {
    /// Begins to talk.
    pub fn new(socket: UnixStream) -> Qmp {
        let shared = Arc::new(Shared::<Said>::default());
        let (to, from) = (Arc::clone(&shared), socket.try_clone().expect("a second descriptor"));
        std::thread::spawn(move || {
            let lines = BufReader::new(from).lines().map_while(Result::ok);
            lines.filter_map(|l| serde_json::from_str(&l).ok()).for_each(|m| to.add(m));
            to.lock().over = true;
            to.more.notify_all();
        });
        let qmp = Qmp { socket, shared };
        qmp.run("qmp_capabilities", &json!({}));
        qmp
    }

    /// Runs a command and returns what it returns.
    ///
    /// # Panics
    /// If it is refused.
    pub fn run(&self, command: &str, arguments: &Value) -> Value {
        let answer = self.ask(command, arguments).unwrap_or_else(|| panic!("QEMU ended before {command}"));
        assert!(answer.get("error").is_none(), "{command} {arguments}: {answer}");
        answer["return"].clone()
    }

    /// The same for commands after which QEMU may be gone.
    pub fn ask(&self, command: &str, arguments: &Value) -> Option<Value> {
        let before = self.shared.lock().answers.len();
        let line = json!({"execute": command, "arguments": arguments});
        (&self.socket).write_all(format!("{line}\n").as_bytes()).ok()?;
        let said = self.shared.lock();
        let waits = |s: &mut Said| s.answers.len() == before && !s.over;
        let (said, _) = self.shared.more.wait_timeout_while(said, PATIENCE, waits).expect("no panic");
        said.answers.get(before).cloned()
    }

    /// Presses these keys together, by QEMU's names for them: `ctrl-alt-delete`.
    pub fn keys(&self, keys: &str) {
        let keys: Vec<Value> = keys.split('-').map(|k| json!({"type": "qcode", "data": k})).collect();
        self.run("send-key", &json!({"keys": keys}));
    }

    /// What has happened so far.
    pub fn events(&self) -> Vec<Value> {
        self.shared.lock().events.clone()
    }

    /// Waits until something of this name has happened.
    ///
    /// # Panics
    /// If it never does.
    pub fn until(&self, event: &str) -> Value {
        let find = |s: &Said| s.events.iter().find(|e| e["event"] == event).cloned();
        let said = self.shared.lock();
        let waits = |s: &mut Said| find(s).is_none() && !s.over;
        let (said, _) = self.shared.more.wait_timeout_while(said, PATIENCE * 2, waits).expect("no panic");
        let found = find(&said);
        let all = said.events.clone();
        drop(said);
        found.unwrap_or_else(|| panic!("never {event}: {all:?}"))
    }

    /// Waits until nothing can follow.
    pub fn over(&self) {
        let said = self.shared.lock();
        let _said = self.shared.more.wait_timeout_while(said, PATIENCE, |s| !s.over).expect("no panic");
    }
}
