//! heart: tells the init that has started us that we are there, alive, and what of the critical containers has failed
//! (sd_notify(3)). Never waits: a word that is not taken at once is not said.
use super::{Daemon, now};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use units::machine::State;
use units::schema::Body;
use units::values::Tick;

/// Who listens, and how often it wants to hear of us.
#[derive(Debug, Default)]
pub(crate) struct Heart {
    socket: Option<UnixDatagram>,
    every: Option<Duration>,
    next: Option<Tick>,
    /// What was said of the critical containers.
    said: Option<String>,
    /// When a shutdown that still lasts is worth a word.
    word: Option<Tick>,
}

/// A shutdown is spoken of so often: whoever waits at the console wants to know for what.
const PATIENCE: Duration = Duration::from_secs(5);

impl Heart {
    /// As the environment says; nobody listens where it says nothing.
    pub(crate) fn find() -> Heart {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Heart::default() };
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            match path.to_str().and_then(|p| p.strip_prefix('@')) {
                Some(name) => {
                    use std::os::linux::net::SocketAddrExt;
                    socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
                }
                None => socket.connect(&path)?,
            }
            Ok(socket)
        });
        let micros = std::env::var("WATCHDOG_USEC").ok().and_then(|v| v.parse().ok());
        // Twice in its time.
        let every = micros.map(|micros: u64| Duration::from_micros(micros / 2)).filter(|d| !d.is_zero());
        Heart { socket: socket.ok(), every, next: None, said: None, word: None }
    }

    /// When it beats next; none: nobody counts.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.next.into_iter().chain(self.word).min()
    }

    fn say(&self, text: &str) {
        if let Some(socket) = &self.socket {
            // Who does not listen does not care.
            let _not_heard = socket.send(text.as_bytes());
        }
    }
}

impl Daemon {
    /// The API answers, and what was there is taken up.
    pub(crate) fn say_ready(&mut self) {
        self.heart.say("READY=1");
        self.heart.next = self.heart.every.map(|_| now());
        self.beat();
    }

    /// A beat, if it is time for one or something critical has changed.
    pub(crate) fn beat(&mut self) {
        if self.heart.socket.is_none() {
            return;
        }
        let failed = self.failed_critical();
        if self.heart.said.as_ref() != Some(&failed) {
            self.heart.say(&format!("X_CT_CRITICAL={failed}"));
            self.heart.said = Some(failed);
        }
        let now = now();
        if let (Some(every), Some(next)) = (self.heart.every, self.heart.next)
            && next <= now
        {
            self.heart.say("WATCHDOG=1");
            self.heart.next = Some(now.after(every));
        }
        if self.leaving {
            match self.heart.word {
                None => self.heart.word = Some(now.after(PATIENCE)),
                Some(due) if due <= now => {
                    self.heart.word = Some(now.after(PATIENCE));
                    self.heart.say(&format!("STATUS=waits for {}", self.still_there()));
                }
                Some(_) => (),
            }
        }
    }

    /// The containers that have not stopped yet, each by its PID 1 as the kernel sees that.
    fn still_there(&self) -> String {
        let there = self.fleet.all.iter().filter_map(|(name, c)| Some((name, c.run.as_ref()?.pid)));
        let words: Vec<String> = there
            .map(|(name, pid)| format!("container {name}: process {}", ct_init::host::finish::describe(pid)))
            .collect();
        if words.is_empty() { "nothing".to_owned() } else { words.join("; ") }
    }

    /// The names of containers with `Critical=yes` that have failed for good: their own policy does not bring them back.
    fn failed_critical(&self) -> String {
        let failed = self.fleet.all.iter().filter(|(_, c)| {
            let critical = c.unit.as_ref().is_some_and(|u| match &u.body {
                Body::Container(container) => container.critical,
                Body::Service(_) | Body::Target | Body::Socket(_) | Body::Timer(_) | Body::Passive => false,
            });
            critical && matches!(c.machine.state(), State::Failed(_) | State::Stuck { .. })
        });
        failed.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
    }
}
