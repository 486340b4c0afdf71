//! agent: runs commands inside a machine and brings out what they come to.
use crate::supervisor::Ran;
use crate::vm::shared::Shared;
use crate::vm::wire::{Ask, Tell, receive, send};
use crate::wait::PATIENCE;
use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// An emulated machine is slow: so long a command may take.
pub const LIMIT: Duration = Duration::from_secs(2 * PATIENCE.as_secs());

/// The host's end.
#[derive(Debug)]
pub struct Agent {
    port: UnixStream,
    shared: Arc<Shared<Said>>,
}

#[derive(Debug, Default)]
struct Said {
    /// How often it has started: once a boot.
    hellos: usize,
    commands: BTreeMap<u32, Progress>,
    next: u32,
    over: bool,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    out: Vec<u8>,
    err: Vec<u8>,
    code: Option<i32>,
}

impl Shared<Said> {
    fn add(&self, tell: Tell) {
        let mut said = self.lock();
        match tell {
            Tell::Hello => said.hellos += 1,
            Tell::Out(n, bytes) => said.commands.entry(n).or_default().out.extend(bytes),
            Tell::Err(n, bytes) => said.commands.entry(n).or_default().err.extend(bytes),
            Tell::Exit(n, code) => said.commands.entry(n).or_default().code = Some(code),
        }
        drop(said);
        self.more.notify_all();
    }
    /// Waits until it is so, and says whether that came.
    fn until(&self, limit: Duration, so: impl Fn(&Said) -> bool) -> bool {
        let waits = |s: &mut Said| !so(s) && !s.over;
        let (said, _) = self.more.wait_timeout_while(self.lock(), limit, waits).expect("no panic");
        so(&said)
    }
}

impl Agent {
    /// Listens at this port.
    pub fn new(port: UnixStream) -> Agent {
        let shared = Arc::new(Shared::<Said>::default());
        let (to, mut from) = (Arc::clone(&shared), port.try_clone().expect("a second descriptor"));
        std::thread::spawn(move || {
            while let Ok(tell) = receive(&mut from) {
                to.add(tell);
            }
            to.lock().over = true;
            to.more.notify_all();
        });
        Agent { port, shared }
    }

    /// Waits until it has started so often; says whether it has.
    pub fn started(&self, times: usize, limit: Duration) -> bool {
        self.shared.until(limit, |s| s.hellos >= times)
    }

    /// How often it has started.
    pub fn starts(&self) -> usize {
        self.shared.lock().hellos
    }

    /// Starts a shell line.
    pub fn start(&self, line: &str) -> Running<'_> {
        let mut said = self.shared.lock();
        said.next += 1;
        let number = said.next;
        said.commands.insert(number, Progress::default());
        drop(said);
        send(&self.port, &Ask::Run(number, line.to_owned())).expect("the machine runs");
        Running { agent: self, number, line: line.to_owned(), seen: 0 }
    }
}

/// A command that has been started inside.
#[derive(Debug)]
pub struct Running<'a> {
    agent: &'a Agent,
    number: u32,
    line: String,
    seen: usize,
}

impl Running<'_> {
    fn progress(&self) -> Progress {
        self.agent.shared.lock().commands.get(&self.number).cloned().unwrap_or_default()
    }

    fn ran(&self) -> Ran {
        let Progress { out, err, code } = self.progress();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Ran { code: code.unwrap_or(i32::MIN), out: text(&out), err: text(&err) }
    }

    /// Waits until its output or its complaints contain this.
    ///
    /// # Panics
    /// If it ends without, or takes too long.
    pub fn until(&self, part: &str) -> &Self {
        let has = |p: &Progress| [&p.out, &p.err].iter().any(|b| String::from_utf8_lossy(b).contains(part));
        let so = |s: &Said| s.commands.get(&self.number).is_some_and(|p| has(p) || p.code.is_some());
        let _came = self.agent.shared.until(LIMIT, so);
        let progress = self.progress();
        assert!(has(&progress), "{:?} never says {part:?}: {:?}", self.line, self.ran());
        self
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it takes too long, or the machine ends first.
    pub fn wait(self) -> Ran {
        self.wait_for(LIMIT)
    }

    /// The same for what may take longer.
    pub fn wait_for(self, limit: Duration) -> Ran {
        self.ended(limit).unwrap_or_else(|ran| panic!("{:?} never ends: {ran:?}", self.line))
    }

    /// Waits for its end; what there is, where the machine or the patience ends first.
    pub fn ended(&self, limit: Duration) -> Result<Ran, Ran> {
        let number = self.number;
        let over = |s: &Said| s.commands.get(&number).is_some_and(|p| p.code.is_some());
        if self.agent.shared.until(limit, over) { Ok(self.ran()) } else { Err(self.ran()) }
    }

    /// Hands on each line of its output as it comes, until it ends.
    pub fn lines(mut self, limit: Duration, mut each: impl FnMut(&str)) -> Ran {
        let number = self.number;
        loop {
            let seen = self.seen;
            let more = |p: &Progress| p.out.get(seen..).unwrap_or_default().contains(&b'\n');
            let so = |s: &Said| s.commands.get(&number).is_some_and(|p| more(p) || p.code.is_some());
            let came = self.agent.shared.until(limit, so);
            let progress = self.progress();
            let text = progress.out.get(seen..).unwrap_or_default();
            let end = text.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
            String::from_utf8_lossy(&text[..end]).lines().for_each(&mut each);
            self.seen += end;
            assert!(came, "{:?} hangs: {:?}", self.line, self.ran());
            if progress.code.is_some() {
                return self.ran();
            }
        }
    }

    /// Kills it.
    pub fn kill(self) -> Ran {
        send(&self.agent.port, &Ask::Kill(self.number)).expect("the machine runs");
        self.wait()
    }
}
