//! session: speaks with a container's ct-init over the socket that the supervisor handed out: one command, or one
//! stream of log lines. Blocks until it is over. Never makes a decision about the container.
use super::pass;
use super::terminal::{self, RawMode};
use ct_init::proto::{self, Control, Exec, Line, Logs, Report, Request, Session};
use ct_init::wire::{WireError, decode, encode};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use units::machine::Exit;

/// How long a ct-init may take to say hello: it never blocks, so this is long even on a busy host.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Why a session could not be held.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// It is gone: stopped, or its PID 1 has died.
    #[error("the container ended the session")]
    Lost,
    /// The other side does not speak as agreed.
    #[error("the container's init said something unexpected")]
    Unexpected(#[source] Option<WireError>),
    /// The command can't be sent: it is too long.
    #[error("send the command to the container")]
    Send(#[source] WireError),
    /// The container's init speaks another version.
    #[error("the container's init speaks version {0} of the protocol, this ct {ours} (restart the container)", ours = proto::VERSION)]
    Version(u16),
    /// It does not answer; the time it was given is over.
    #[error("the container's init does not answer (is the container paused? ct list shows it)")]
    Silent,
    /// A step of this side.
    #[error("{0}")]
    Step(&'static str, #[source] io::Error),
    /// The command could not be started.
    #[error("{why}")]
    Refused {
        /// 126 or 127.
        code: u8,
        /// Why.
        why: String,
    },
}

impl SessionError {
    /// What `ct` exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            SessionError::Refused { code, .. } => *code,
            SessionError::Lost | SessionError::Unexpected(_) | SessionError::Send(_) => 1,
            SessionError::Version(_) | SessionError::Step(..) => 1,
            SessionError::Silent => 124,
        }
    }
}

/// What a shell's `$?` says of an end.
pub fn exit_code(how: Exit) -> u8 {
    match how {
        Exit::Code(code) => code,
        Exit::Signal(s) | Exit::Dumped(s) => 128u8.saturating_add(s.0),
        Exit::Unknown => 1,
    }
}

/// A connection on which Hello has been said and answered.
#[derive(Debug)]
pub struct Talk {
    socket: OwnedFd,
}

impl Talk {
    /// Greets; the answer has to come within `patience`.
    pub fn new(socket: OwnedFd, patience: Duration) -> Result<Talk, SessionError> {
        rustix::io::ioctl_fionbio(&socket, false)
            .map_err(|e| SessionError::Step("use the socket", e.into()))?;
        let talk = Talk { socket };
        talk.send(&Request::Hello { version: proto::VERSION }, &[])?;
        talk.await_answer(patience)?;
        match talk.receive::<Report>(&mut Vec::new())? {
            Some(Report::Hello { version, .. }) if version == proto::VERSION => Ok(talk),
            Some(Report::Hello { version, .. }) => Err(SessionError::Version(version)),
            Some(_) => Err(SessionError::Unexpected(None)),
            None => Err(SessionError::Lost),
        }
    }
    fn await_answer(&self, patience: Duration) -> Result<(), SessionError> {
        let time = Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        let waited =
            rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&time)));
        match waited {
            Ok(0) => Err(SessionError::Silent),
            Ok(_) => Ok(()),
            Err(e) => Err(SessionError::Step("wait for the container", e.into())),
        }
    }
    fn send<T: serde::Serialize>(&self, message: &T, fds: &[BorrowedFd<'_>]) -> Result<(), SessionError> {
        let bytes = encode(message).map_err(SessionError::Send)?;
        match pass::send(&self.socket, &bytes, fds) {
            Ok(_) => Ok(()),
            Err(e) if is_gone(&e) => Err(SessionError::Lost),
            Err(e) => Err(SessionError::Step("send to the container", e)),
        }
    }
    /// None: the other side has closed.
    fn receive<T: serde::de::DeserializeOwned>(
        &self,
        fds: &mut Vec<OwnedFd>,
    ) -> Result<Option<T>, SessionError> {
        let mut packet = vec![0u8; proto::MAX_PACKET];
        match pass::receive(&self.socket, &mut packet, fds) {
            Ok(0) => Ok(None),
            Ok(n) => decode(packet.get(..n).unwrap_or_default())
                .map(Some)
                .map_err(|e| SessionError::Unexpected(Some(e))),
            Err(e) if is_gone(&e) => Ok(None),
            Err(e) => Err(SessionError::Step("receive from the container", e)),
        }
    }

    /// Hands every log line to `each` until the stream ends or `each` has enough.
    pub fn logs(
        self,
        logs: Logs,
        each: &mut dyn FnMut(Line) -> io::Result<()>,
    ) -> Result<io::Result<()>, SessionError> {
        self.send(&Request::Logs(logs), &[])?;
        while let Some(message) = self.receive::<Session>(&mut Vec::new())? {
            match message {
                Session::Line(line) => {
                    if let Err(e) = each(line) {
                        return Ok(Err(e));
                    }
                }
                Session::Refused { code, why } => return Err(SessionError::Refused { code, why }),
                Session::Started { .. } | Session::Ended(_) => return Err(SessionError::Unexpected(None)),
            }
        }
        Ok(Ok(()))
    }

    /// Runs a command with this process' standard streams, or on a terminal made inside; passes signals on.
    pub fn exec(self, exec: Exec) -> Result<Exit, SessionError> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let signals = Signals::catch()?;
        if exec.tty {
            self.send(&Request::Exec(exec), &[])?;
            Relay::new(self, signals, stdin.as_fd(), stdout.as_fd()).run()
        } else {
            self.send(&Request::Exec(exec), &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?;
            self.wait(&signals)
        }
    }
    /// Without a terminal the streams go past us: only signals go in and the end comes out.
    fn wait(&self, signals: &Signals) -> Result<Exit, SessionError> {
        loop {
            let ready = ready(&[(self.socket.as_fd(), PollFlags::IN), (signals.fd.as_fd(), PollFlags::IN)])?;
            if ready.get(1) == Some(&true) {
                for signal in signals.take()? {
                    self.pass_on(signal)?;
                }
            }
            if ready.first() == Some(&true)
                && let Told::Ended(how) = self.hear(&mut Vec::new())?
            {
                return Ok(how);
            }
        }
    }
    fn pass_on(&self, signal: Signal) -> Result<(), SessionError> {
        let control = if signal == Signal::SIGWINCH {
            let Some((rows, columns)) = terminal::size(io::stdin()) else { return Ok(()) };
            Control::Size(rows, columns)
        } else {
            Control::Signal(signal as u8)
        };
        match self.send(&control, &[]) {
            // The command has ended meanwhile; how is said by what waits to be received.
            Err(SessionError::Lost) => Ok(()),
            other => other,
        }
    }
    fn hear(&self, fds: &mut Vec<OwnedFd>) -> Result<Told, SessionError> {
        match self.receive::<Session>(fds)? {
            Some(Session::Started { .. }) => Ok(Told::Started),
            Some(Session::Ended(how)) => Ok(Told::Ended(how)),
            Some(Session::Refused { code, why }) => Err(SessionError::Refused { code, why }),
            Some(Session::Line(_)) => Err(SessionError::Unexpected(None)),
            None => Err(SessionError::Lost),
        }
    }
}

enum Told {
    Started,
    Ended(Exit),
}

/// The signals that are the command's, not ours. Those that this process ignores stay ignored.
struct Signals {
    fd: SignalFd,
}

impl Signals {
    fn catch() -> Result<Signals, SessionError> {
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGWINCH,
        ] {
            set.add(signal);
        }
        let step = |e: nix::Error| SessionError::Step("watch for signals", e.into());
        set.thread_block().map_err(step)?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(step)?;
        Ok(Signals { fd })
    }
    fn take(&self) -> Result<Vec<Signal>, SessionError> {
        let mut came = Vec::new();
        while let Some(info) =
            self.fd.read_signal().map_err(|e| SessionError::Step("read a signal", e.into()))?
        {
            came.extend(i32::try_from(info.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok()));
        }
        Ok(came)
    }
}

/// Bytes between the terminal here and the one inside.
struct Relay<'a> {
    talk: Talk,
    signals: Signals,
    stdin: BorrowedFd<'a>,
    stdout: BorrowedFd<'a>,
    /// The master of the terminal inside; none before it has started and after it was closed.
    master: Option<OwnedFd>,
    /// Typed, and not taken by the terminal inside yet.
    typed: Vec<u8>,
    /// Nothing will be typed any more.
    typed_all: bool,
}

/// What is typed is not read while so much of it waits.
const TYPED_LIMIT: usize = 4096;
/// What a terminal takes for the end of its input.
const END_OF_INPUT: u8 = 4;

impl<'a> Relay<'a> {
    fn new(talk: Talk, signals: Signals, stdin: BorrowedFd<'a>, stdout: BorrowedFd<'a>) -> Relay<'a> {
        Relay { talk, signals, stdin, stdout, master: None, typed: Vec::new(), typed_all: false }
    }
    fn run(mut self) -> Result<Exit, SessionError> {
        let _raw =
            RawMode::enter(self.stdin).map_err(|e| SessionError::Step("put the terminal in raw mode", e))?;
        loop {
            if let Some(how) = self.turn()? {
                // What the command wrote last is in the terminal's buffer still.
                while self.show()? {}
                return Ok(how);
            }
        }
    }
    fn turn(&mut self) -> Result<Option<Exit>, SessionError> {
        let none = PollFlags::empty();
        let read_typed = if self.typed_all || self.typed.len() >= TYPED_LIMIT { none } else { PollFlags::IN };
        let write_typed = if self.typed.is_empty() { none } else { PollFlags::OUT };
        let mut watch =
            vec![(self.talk.socket.as_fd(), PollFlags::IN), (self.signals.fd.as_fd(), PollFlags::IN)];
        if let Some(master) = &self.master {
            watch.push((master.as_fd(), PollFlags::IN | write_typed));
            if !read_typed.is_empty() {
                watch.push((self.stdin, read_typed));
            }
        }
        let ready = ready(&watch)?;
        let is_ready = |n: usize| ready.get(n) == Some(&true);
        if is_ready(1) {
            for signal in self.signals.take()? {
                self.talk.pass_on(signal)?;
            }
        }
        if is_ready(2) {
            self.write_typed()?;
            self.show()?;
        }
        if is_ready(3) {
            self.read_typed()?;
        }
        if is_ready(0) { self.hear() } else { Ok(None) }
    }
    fn hear(&mut self) -> Result<Option<Exit>, SessionError> {
        let mut fds = Vec::new();
        match self.talk.hear(&mut fds)? {
            Told::Ended(how) => Ok(Some(how)),
            Told::Started => {
                let master = fds.pop().ok_or(SessionError::Unexpected(None))?;
                rustix::io::ioctl_fionbio(&master, true)
                    .map_err(|e| SessionError::Step("use the terminal inside", e.into()))?;
                self.master = Some(master);
                Ok(None)
            }
        }
    }
    fn read_typed(&mut self) -> Result<(), SessionError> {
        let mut chunk = [0u8; 1024];
        match rustix::io::read(self.stdin, &mut chunk) {
            // The terminal here is gone, or the input was a file: its end is the end inside.
            Ok(0) | Err(Errno::IO) => {
                self.typed.push(END_OF_INPUT);
                self.typed_all = true;
            }
            Ok(n) => self.typed.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(e) => return Err(SessionError::Step("read standard input", e.into())),
        }
        Ok(())
    }
    fn write_typed(&mut self) -> Result<(), SessionError> {
        let Some(master) = &self.master else { return Ok(()) };
        match rustix::io::write(master, &self.typed) {
            Ok(n) => drop(self.typed.drain(..n)),
            Err(Errno::INTR | Errno::AGAIN | Errno::IO) => {}
            Err(e) => return Err(SessionError::Step("write to the terminal inside", e.into())),
        }
        Ok(())
    }
    /// Shows one piece of what the command wrote; whether there may be more.
    fn show(&mut self) -> Result<bool, SessionError> {
        let Some(master) = &self.master else { return Ok(false) };
        let mut chunk = [0u8; 8192];
        match rustix::io::read(master, &mut chunk) {
            // EIO: nobody has the other end open any more.
            Ok(0) | Err(Errno::IO) => {
                self.master = None;
                Ok(false)
            }
            Ok(n) => self.write_out(chunk.get(..n).unwrap_or_default()).map(|()| true),
            Err(Errno::INTR) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(e) => Err(SessionError::Step("read from the terminal inside", e.into())),
        }
    }
    fn write_out(&self, mut bytes: &[u8]) -> Result<(), SessionError> {
        while !bytes.is_empty() {
            match rustix::io::write(self.stdout, bytes) {
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => drop(ready(&[(self.stdout, PollFlags::OUT)])?),
                Err(e) => return Err(SessionError::Step("write to standard output", e.into())),
            }
        }
        Ok(())
    }
}

/// Waits until one of the descriptors is ready (or hung up); tells which are.
fn ready(watch: &[(BorrowedFd<'_>, PollFlags)]) -> Result<Vec<bool>, SessionError> {
    let mut fds: Vec<PollFd<'_>> =
        watch.iter().map(|&(fd, flags)| PollFd::from_borrowed_fd(fd, flags)).collect();
    loop {
        match poll(&mut fds, None) {
            Ok(_) => return Ok(fds.iter().map(|f| !f.revents().is_empty()).collect()),
            Err(Errno::INTR) => {}
            Err(e) => return Err(SessionError::Step("wait for the session", e.into())),
        }
    }
}

fn is_gone(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests;
