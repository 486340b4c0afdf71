//! check: one run of a command that looks whether something inside works: its script, its words, its verdict. Never
//! waits for it.
use crate::cgroup::Group;
use crate::effect::powers::Powers;
use crate::passwd::{Accounts, User};
use crate::proto::Exec;
use crate::resume::fds::{Fd, Kept};
use crate::root::Root;
use ct_sys::script::{Op, Script};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use units::machine::Exit;
use units::values::Tick;

/// Of what a check writes, so much is kept.
const KEPT: usize = 4096;
/// One that writes more is ended.
const MAX_SAID: usize = 1024 * 1024;
/// One turn of the loop reads at most so many pieces of 16 KiB.
const PIECES: usize = 8;

/// What a check is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum For {
    /// `ReadyWhen=exec:`
    Ready,
    /// `HealthCheck=`
    Health,
}

impl For {
    /// The name of its cgroup below the sessions'.
    pub fn group(self) -> &'static str {
        match self {
            For::Ready => "ready",
            For::Health => "health",
        }
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Check {
    /// Its pid, which is its session's too.
    pub pid: i32,
    /// When it is killed.
    pub until: Tick,
    /// Its group, where there are any.
    pub group: Option<Group>,
    /// Why it has failed already, while its end is still to come.
    pub failed: Option<String>,
    /// Where its words come from.
    pub output: Output,
}

/// The pipe it writes to, and the beginning of what came out of it.
#[derive(Debug)]
pub struct Output {
    read: OwnedFd,
    kept: Vec<u8>,
    total: usize,
}

/// How far a look into the pipe has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing is left for now.
    All,
    /// There may be more.
    More,
    /// It writes more than is bearable.
    TooMuch,
}

impl Output {
    /// A pipe; its write end is for the child alone.
    pub fn new() -> Result<(Output, OwnedFd), Errno> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&read, true)?;
        Ok((Output { read, kept: Vec::new(), total: 0 }, write))
    }

    /// All of it, for this program executed anew: the pipe, the words, how many there were.
    pub fn keep(&self, fds: &mut Kept) -> (Fd, Vec<u8>, usize) {
        (fds.add(&self.read), self.kept.clone(), self.total)
    }

    /// Goes on where [`Output::keep`] was called.
    pub fn again(read: OwnedFd, kept: Vec<u8>, total: usize) -> Output {
        Output { read, kept, total }
    }

    /// For the loop.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// Reads what is there.
    pub fn hear(&mut self) -> Heard {
        let mut buffer = [0u8; 16 * 1024];
        for _ in 0..PIECES {
            match rustix::io::read(&self.read, &mut buffer) {
                Ok(0) => return Heard::All,
                Ok(n) => {
                    self.total = self.total.saturating_add(n);
                    let room = KEPT.saturating_sub(self.kept.len()).min(n);
                    self.kept.extend_from_slice(buffer.get(..room).unwrap_or(&[]));
                }
                Err(Errno::INTR) => (),
                Err(_) => return Heard::All,
            }
            if self.total > MAX_SAID {
                return Heard::TooMuch;
            }
        }
        Heard::More
    }

    /// The lines that were kept, fit for a log.
    pub fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.kept);
        let clean = |l: &str| l.chars().filter(|c| !c.is_control()).collect::<String>();
        text.lines().map(clean).filter(|l| !l.trim().is_empty()).collect()
    }
}

impl Check {
    /// What came of it: nothing, or why it has failed.
    pub fn verdict(&self, how: Exit) -> Result<(), String> {
        let what = match (&self.failed, how) {
            (Some(why), _) => return Err(why.clone()),
            (None, Exit::Code(0)) => return Ok(()),
            (None, Exit::Code(code)) => format!("exited with {code}"),
            (None, Exit::Signal(s) | Exit::Dumped(s)) => {
                format!("killed by SIG{}", crate::environment::signal_name(s.0))
            }
            (None, Exit::Unknown) => "ended, nobody saw how".to_owned(),
        };
        Err(match self.output.lines().last() {
            Some(line) => format!("{what} ({})", crate::engine::unit::bounded(line.trim(), 200)),
            None => what,
        })
    }

    /// Its time is over, or it says too much: it has failed, and all of it is killed. False where that was done already
    /// and it is still there.
    pub fn cut(&mut self, why: String) -> bool {
        let first = self.failed.is_none();
        self.failed.get_or_insert(why);
        self.kill();
        first
    }

    /// Kills what is left of it.
    pub fn kill(&self) {
        match &self.group {
            Some(group) => group.kill(),
            None => crate::engine::kill::of_sessions(&[self.pid])
                .into_iter()
                .for_each(|pid| crate::reap::send(pid, 9)),
        }
    }
}

/// `took longer than 10 s`.
pub fn too_long(time: Duration) -> String {
    format!("took longer than {}", humantime::format_duration(time))
}

/// The script of a check that writes to `write`, as root, in `/`, in the environment of an exec session.
pub fn script(
    root: &Root,
    argv: &[String],
    environment: &[(String, String)],
    write: &OwnedFd,
    powers: Powers,
) -> Result<(Script, OwnedFd), String> {
    let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| format!("open /dev/null: {}", std::io::Error::from(e)))?;
    let mut script = Script::new();
    script.push(Op::NewSession).push(Op::Signals { ignore_pipe: false }).push(Op::Umask(0o022));
    if let Some(op) = powers.oom_score_op(None) {
        script.push(op);
    }
    script.push(Op::Dup { from: null.as_raw_fd(), to: 0 });
    script.push(Op::Dup { from: write.as_raw_fd(), to: 1 }).push(Op::Dup { from: write.as_raw_fd(), to: 2 });
    let user = Accounts::read(root).ok().and_then(|a| a.user("root").ok()).unwrap_or_else(root_user);
    let exec = Exec { argv: argv.to_vec(), ..Exec::default() };
    crate::session::command(&mut script, root, &exec, &user, environment).map_err(|refusal| refusal.why)?;
    Ok((script, null))
}

/// Who root is where /etc/passwd doesn't say.
fn root_user() -> User {
    User { name: "root".into(), uid: 0, gid: 0, home: "/root".into(), shell: "/bin/sh".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::values::Signal;

    fn check(said: &[u8], failed: Option<&str>) -> Check {
        let (mut output, write) = Output::new().unwrap();
        rustix::io::write(&write, said).unwrap();
        assert_eq!(output.hear(), Heard::All);
        let failed = failed.map(str::to_owned);
        Check { pid: 0, until: Tick(0), group: None, failed, output }
    }

    #[test]
    fn verdicts() {
        let verdict = |said: &str, failed, how, expect: Result<(), &str>| {
            let got = check(said.as_bytes(), failed).verdict(how);
            assert_eq!(got, expect.map_err(str::to_owned), "{said:?}");
        };
        verdict("fine\n", None, Exit::Code(0), Ok(()));
        verdict("", None, Exit::Code(1), Err("exited with 1"));
        verdict("a\nno \x1b[31manswer\n\n", None, Exit::Code(7), Err("exited with 7 (no [31manswer)"));
        verdict("", None, Exit::Signal(Signal(11)), Err("killed by SIGSEGV"));
        verdict("x", Some("took longer than 10s"), Exit::Signal(Signal(9)), Err("took longer than 10s"));
        // Killed at its deadline, but it ended well a moment before: it was late all the same.
        verdict("", Some("took longer than 10s"), Exit::Code(0), Err("took longer than 10s"));
    }

    #[test]
    fn a_flood_is_seen_and_only_its_beginning_kept() {
        let (mut output, write) = Output::new().unwrap();
        rustix::pipe::fcntl_setpipe_size(&write, 1024 * 1024).unwrap();
        let mut heard = Heard::All;
        for _ in 0..20 {
            rustix::io::write(&write, &[b'x'; 64 * 1024]).unwrap();
            heard = output.hear();
        }
        assert_eq!(heard, Heard::TooMuch);
        assert_eq!(output.lines(), ["x".repeat(KEPT)]);
    }
}
