//! session: one command that a person runs inside, on their descriptors or on a terminal made here. Never waits for it.
use crate::effect::{c, program};
use crate::engine::Engine;
use crate::environment;
use crate::passwd::{Accounts, User};
use crate::proto::{Control, Exec};
use crate::root::Root;
use ct_sys::script::{Failure, Op, Script};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use units::machine::Exit;

/// How far a session has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The command runs.
    Executed,
    /// It could not be started.
    Refused(Refusal),
    /// It has ended.
    Ended(Exit),
}

/// Why a session can't be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 127: no such program; 126: not executable; 125: anything else.
    pub code: u8,
    /// A sentence.
    pub why: String,
}

impl Progress {
    /// What a child's failure means to the person at the other end.
    pub fn refused(failure: &Failure) -> Progress {
        let code = match (failure.exec, failure.errno as i32) {
            (true, 2 | 20) => 127,
            (true, _) => 126,
            (false, _) => 125,
        };
        Progress::Refused(Refusal { code, why: failure.to_string() })
    }
}

/// A command that runs, or is about to.
#[derive(Debug)]
pub struct Session {
    /// Its pid, which is its session's and process group's too.
    pub pid: i32,
    /// The terminal's other side, if it has one.
    pub master: Option<OwnedFd>,
}

impl Session {
    /// Does what the person's side asks for.
    pub fn control(&self, control: Control) {
        match (control, &self.master) {
            (Control::Signal(signal), _) => self.signal(signal),
            (Control::Size(rows, columns), Some(master)) => {
                // A terminal that is gone has no size.
                let _gone = rustix::termios::tcsetwinsize(master, size(rows, columns));
            }
            (Control::Size(..), None) => (),
        }
    }

    /// To its whole process group.
    pub fn signal(&self, signal: u8) {
        if self.pid > 1
            && let Ok(signal) = nix::sys::signal::Signal::try_from(i32::from(signal))
        {
            // ESRCH means that it has ended.
            let _gone = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(self.pid), signal);
        }
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Starts a command for the connection `link`. `fds` are its stdin, stdout and stderr, or none with a terminal.
pub fn start(engine: &mut Engine, link: usize, exec: &Exec, fds: &[OwnedFd]) -> Result<Session, Refusal> {
    let other = |why: String| Refusal { code: 125, why };
    let accounts = Accounts::read(&engine.root).map_err(|e| other(crate::chain(&e)))?;
    let (user, gid, groups) = who(&accounts, exec.user.as_deref()).map_err(other)?;
    let mut script = Script::new();
    script.push(Op::NewSession).push(Op::Signals { ignore_pipe: false }).push(Op::Umask(0o022));
    if let Some(op) = engine.powers.oom_score_op(None) {
        script.push(op);
    }
    let mut master = None;
    let (slave, null);
    if exec.tty {
        let (m, s) = terminal(exec.size, user.uid).map_err(|e| other(format!("make a terminal: {e}")))?;
        slave = s;
        master = Some(m);
        (0..3).for_each(|to| {
            script.push(Op::Dup { from: slave.as_raw_fd(), to });
        });
        script.push(Op::ControllingTty);
    } else if let [input, output, error] = fds {
        for (from, to) in [(input, 0), (output, 1), (error, 2)] {
            script.push(Op::Dup { from: from.as_raw_fd(), to });
        }
    } else {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        null = rustix::fs::openat(CWD, "/dev/null", flags, Mode::empty())
            .map_err(|e| other(format!("open /dev/null: {e}")))?;
        (0..3).for_each(|to| {
            script.push(Op::Dup { from: null.as_raw_fd(), to });
        });
    }
    script.push(Op::Groups(groups)).push(Op::Gid(gid)).push(Op::Uid(user.uid));
    command(&mut script, &engine.root, exec, &user, &engine.handover.environment)?;
    let pid = engine.spawn_session(link, script).map_err(other)?;
    Ok(Session { pid, master })
}

/// `name`, `uid`, `name:group`.
fn who(accounts: &Accounts, asked: Option<&str>) -> Result<(User, u32, Vec<u32>), String> {
    let (name, group) = match asked.unwrap_or("root").split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (asked.unwrap_or("root"), None),
    };
    let user = accounts.user(name).map_err(|e| e.to_string())?;
    let gid = group.map_or(Ok(user.gid), |g| accounts.group(g)).map_err(|e| e.to_string())?;
    let groups = accounts.groups_of(&user.name, gid);
    Ok((user, gid, groups))
}

fn terminal(asked: Option<(u16, u16)>, uid: u32) -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = |path: &str| rustix::fs::openat(CWD, path, flags, Mode::empty());
    let master = open("/dev/pts/ptmx").or_else(|_| open("/dev/ptmx"))?;
    rustix::pty::unlockpt(&master)?;
    // The peer by descriptor: a path below /dev could be anything by now.
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, peer)?;
    if let Some((rows, columns)) = asked {
        rustix::termios::tcsetwinsize(&master, size(rows, columns))?;
    }
    rustix::fs::fchown(&slave, Some(rustix::fs::Uid::from_raw(uid)), None)?;
    Ok((master, slave))
}

/// The end of a script: environment, directory, program.
pub(crate) fn command(
    script: &mut Script,
    root: &Root,
    exec: &Exec,
    user: &User,
    container: &[(String, String)],
) -> Result<(), Refusal> {
    let other = |why: String| Refusal { code: 125, why };
    let mut env: BTreeMap<&str, &str> = BTreeMap::from([("PATH", environment::PATH)]);
    env.extend(container.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    env.extend([
        ("USER", user.name.as_str()),
        ("LOGNAME", user.name.as_str()),
        ("HOME", user.home.as_str()),
        ("SHELL", user.shell.as_str()),
    ]);
    env.extend(exec.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let login = exec.argv.is_empty();
    let path = match exec.argv.first() {
        Some(name) => program(root, name).map_err(|e| Refusal { code: 127, why: e.to_string() })?,
        None => user.shell.clone(),
    };
    let argv = if login {
        let name = path.rsplit('/').next().unwrap_or("sh");
        vec![format!("-{name}")]
    } else {
        exec.argv.clone()
    };
    let directory = match &exec.directory {
        Some(directory) => directory.as_str(),
        None if login && root.exists(&user.home) => user.home.as_str(),
        None => "/",
    };
    let text = |t: &str| c(t).map_err(|e| other(e.to_string()));
    script.push(Op::Chdir(text(directory)?)).push(Op::CloseFrom(3));
    script.push(Op::Exec {
        path: text(&path)?,
        argv: argv.iter().map(|a| text(a)).collect::<Result<_, _>>()?,
        env: env.iter().map(|(k, v)| text(&format!("{k}={v}"))).collect::<Result<_, _>>()?,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_sessions() {
        let accounts = Accounts::parse("app:x:5:6::/srv:/bin/bash\n", "app:x:6:\nweb:x:9:app\n");
        let check = |asked: Option<&str>, expect: Option<(u32, u32, Vec<u32>)>| {
            let got = who(&accounts, asked).ok().map(|(u, g, all)| (u.uid, g, all));
            assert_eq!(got, expect, "{asked:?}");
        };
        check(None, Some((0, 0, vec![0])));
        check(Some("app"), Some((5, 6, vec![6, 9])));
        check(Some("5"), Some((5, 6, vec![6, 9])));
        check(Some("app:web"), Some((5, 9, vec![9])));
        check(Some("77:88"), Some((77, 88, vec![88])));
        check(Some("app:none"), None);
        check(Some("none"), None);
        // A user name that looks like a number with a tail must not become that number.
        check(Some("0x"), None);
        check(Some(""), None);
    }

    #[test]
    fn a_login_shell_is_told_by_its_dash_and_starts_at_home() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("srv")).unwrap();
        let root = Root::new(dir.path());
        let user =
            User { name: "app".into(), uid: 5, gid: 6, home: "/srv".into(), shell: "/bin/bash".into() };
        let mut script = Script::new();
        command(&mut script, &root, &Exec::default(), &user, &[]).unwrap();
        let shown: Vec<String> = script.ops().iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["change to directory /srv", "close descriptors from 3 on at exec", "execute /bin/bash"]
        );
        assert!(matches!(script.ops().last(), Some(Op::Exec { argv, .. }) if argv[0].as_c_str() == c"-bash"));
        let exec = Exec { argv: vec!["nothing-of-this-name".into()], ..Exec::default() };
        assert_eq!(command(&mut Script::new(), &root, &exec, &user, &[]).unwrap_err().code, 127);
    }
}
