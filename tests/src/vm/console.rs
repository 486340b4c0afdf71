//! console: what a machine says on its serial line, line by line with the time, and what is typed there.
use crate::vm::shared::Shared;
use crate::wait::PATIENCE;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A serial console.
#[derive(Debug)]
pub struct Console {
    line: UnixStream,
    shared: Arc<Shared<Said>>,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<(Duration, String)>,
    /// What has no end yet: a prompt.
    last: String,
    over: bool,
}

impl Said {
    fn add(&mut self, at: Duration, bytes: &[u8]) {
        for c in String::from_utf8_lossy(bytes).chars() {
            match c {
                '\n' => self.lines.push((at, std::mem::take(&mut self.last))),
                '\r' => {}
                c => self.last.push(c),
            }
        }
    }
}

impl Console {
    /// Listens to this line until it is closed.
    pub fn new(line: UnixStream, began: Instant) -> Console {
        let shared = Arc::new(Shared::<Said>::default());
        let (to, mut from) = (Arc::clone(&shared), line.try_clone().expect("a second descriptor"));
        std::thread::spawn(move || {
            let mut bytes = [0u8; 4096];
            while let Ok(n @ 1..) = from.read(&mut bytes) {
                to.lock().add(began.elapsed(), &bytes[..n]);
                to.more.notify_all();
            }
            to.lock().over = true;
            to.more.notify_all();
        });
        Console { line, shared }
    }

    /// All lines so far, each with the seconds since the machine was switched on.
    pub fn text(&self) -> String {
        let said = self.shared.lock();
        let lines = said.lines.iter().map(|(at, line)| format!("{:7.2} {line}\n", at.as_secs_f64()));
        lines.chain([format!("        {}\n", said.last)]).collect()
    }

    /// Whether it has said this.
    pub fn has(&self, part: &str) -> bool {
        times(&self.shared.lock(), part) > 0
    }

    /// Waits until it has said this.
    ///
    /// # Panics
    /// If the machine ends before, or nothing of the kind comes.
    pub fn until(&self, part: &str) {
        self.until_times(part, 1);
    }

    /// Waits until so many lines have said this.
    pub fn until_times(&self, part: &str, count: usize) {
        let said = self.shared.lock();
        let waits = |s: &mut Said| times(s, part) < count && !s.over;
        let (said, _) = self.shared.more.wait_timeout_while(said, PATIENCE * 2, waits).expect("no panic");
        let came = times(&said, part);
        drop(said);
        assert!(came >= count, "the console says {part:?} {came} times, not {count}");
    }

    /// Waits until nothing can follow.
    pub fn over(&self) {
        let said = self.shared.lock();
        let _said = self.shared.more.wait_timeout_while(said, PATIENCE, |s| !s.over).expect("no panic");
    }

    /// Types a text, as if at the machine.
    pub fn types(&self, text: &str) {
        (&self.line).write_all(text.as_bytes()).expect("the console takes it");
    }
}

fn times(said: &Said, part: &str) -> usize {
    let lines = said.lines.iter().map(|(_, l)| l).chain([&said.last]);
    lines.filter(|l| l.contains(part)).count()
}
