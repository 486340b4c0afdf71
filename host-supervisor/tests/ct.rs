//! The program `ct` against a supervisor and a ct-init that are played here: exit codes, output, sessions.
use ct_init::proto::{self, Control, Exec, Line, Report, Session};
use ct_init::wire::{decode, encode};
use host_supervisor::control::pass;
use host_supervisor::control::protocol::{
    Body, ContainerRow, ContainerState, EventRow, Fault, FaultKind, LogLine, Outcome, Reply, Request,
    SetResult, SpecEntry, Template,
};
use host_supervisor::control::server::{ClientId, Incoming, Limits, Server, listen};
use host_supervisor::control::target::ContainerName;
use mio::{Events, Poll, Token};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use units::machine::Exit;
use units::values::{Signal, Tick};

/// A supervisor that is played by a thread; ends with the test.
struct Host {
    root: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    fn new() -> Host {
        let root = tempfile::tempdir().unwrap();
        let listener = listen::listen(&listen::socket_path(root.path()), None).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut poll = Poll::new().unwrap();
            let mut server = Server::new(listener, poll.registry(), Token(0), Limits::default()).unwrap();
            let mut events = Events::with_capacity(16);
            while !stopped.load(Ordering::Relaxed) {
                let wait = server.deadline().filter(|at| *at == Tick(0)).map_or(10, |_| 0);
                poll.poll(&mut events, Some(Duration::from_millis(wait))).unwrap();
                events.iter().for_each(|e| server.event(e, Tick(0)));
                server.tick(Tick(0));
                while let Some(incoming) = server.poll() {
                    if let Incoming::Call { client, request, fds, .. } = incoming {
                        answer(&mut server, client, request, fds);
                    }
                }
            }
        });
        Host { root, stop, thread: Some(thread) }
    }
    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ct"));
        command.env("CT_ROOT", self.root.path()).env_remove("NO_COLOR").args(words.split_whitespace());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
    fn ct(&self, words: &str, stdin: &str) -> Output {
        let mut child = self.command(words).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
    /// Exit code, standard output, standard error.
    fn check(&self, words: &str, code: i32, out: &str, err: &str) {
        let got = self.ct(words, "");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(
            (got.status.code(), text(&got.stdout), text(&got.stderr)),
            (Some(code), out.into(), err.into()),
            "ct {words}"
        );
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

fn name(s: &str) -> ContainerName {
    ContainerName::parse(s).unwrap()
}

fn row(s: &str) -> ContainerRow {
    ContainerRow {
        name: name(s),
        state: ContainerState::Running,
        pid: Some(12),
        uptime: Some(61),
        restarts: 0,
        cpu: Some(310_000),
        mem: Some(1 << 20),
        disk: None,
        address: "10.0.0.2".into(),
    }
}

fn template() -> Template {
    let (name, description) = ("debian".into(), "Debian 12".into());
    Template { name, size: 5 << 20, created: Some(0), containers: vec![], description }
}

fn outcome(target: &str) -> Outcome {
    let fault = |kind, message: &str| Outcome::failed(target, Fault::new(kind, message));
    match target {
        "failing" => fault(FaultKind::Failed, "failing: while mapping user ids: EPERM"),
        "absent" => Outcome::failed(target, Fault::no_container(&name("absent"))),
        "refused" => fault(FaultKind::Refused, "no"),
        "late" => fault(FaultKind::TimedOut, "late: not ready in time"),
        "up" => Outcome::noted(target, "already running"),
        _ => Outcome::done(target),
    }
}

fn answer(server: &mut Server, client: ClientId, request: Request, fds: Vec<OwnedFd>) {
    let mut say = |reply: Reply| server.reply(client, reply, Tick(0));
    let line = |n: u64| LogLine { at: n * 1_000_000, unit: "a.service".into(), text: format!("line {n}") };
    match request {
        Request::List {} => say(Reply::done(Body::List { containers: vec![row("web"), row("db")] })),
        Request::Start { targets, .. } => {
            say(Reply::progress(&targets[0], "starting"));
            say(Reply::outcomes(targets.iter().map(|t| outcome(&t.to_string())).collect()));
        }
        Request::Stop { targets, .. } => {
            say(Reply::outcomes(targets.iter().map(|t| outcome(&t.to_string())).collect()));
        }
        Request::Exec { name } if name.as_str() == "absent" => say(Fault::no_container(&name).into()),
        Request::Exec { .. } => say(Reply::socket(ct_init())),
        Request::Logs { target, .. } if target.container.as_str() == "stopped" => {
            say(Reply::More(Body::Line { line: Some(line(1)) }));
            say(Reply::More(Body::Line { line: Some(line(2)) }));
            say(Reply::done(Body::Line { line: None }));
        }
        Request::Logs { .. } => say(Reply::socket(ct_init())),
        Request::TemplateImport { name, file } => {
            let mut text = String::new();
            std::fs::File::from(fds.into_iter().nth(file as usize).unwrap())
                .read_to_string(&mut text)
                .unwrap();
            say(Reply::progress("", format!("{name}: {text}")));
            say(Reply::done(Body::Template { template: template() }));
        }
        Request::TemplateList {} => say(Reply::done(Body::Templates { templates: vec![template()] })),
        Request::Set { settings, .. } => say(Reply::done(Body::Set(SetResult {
            applied: vec![],
            waiting: settings.into_iter().map(|s| s.key).collect(),
            saved: None,
        }))),
        Request::Show { .. } => {
            let (section, key, value) = ("Resources".into(), "CPUs".into(), "2".into());
            say(Reply::done(Body::Show { spec: vec![SpecEntry { section, key, value, origin: None }] }));
        }
        Request::Plan { .. } => {
            let (steps, refused) =
                (vec!["write web/memory.max = 1G".into()], vec!["no io.weight here".into()]);
            say(Reply::done(Body::Plan { steps, refused }));
        }
        Request::Events { .. } => {
            let event = |n| EventRow {
                at: n,
                event: "state".into(),
                container: None,
                unit: None,
                message: "x".into(),
                fields: BTreeMap::new(),
            };
            say(Reply::More(Body::Event { event: Some(event(1)) }));
            say(Reply::More(Body::Event { event: Some(event(2)) }));
            say(Reply::done(Body::Event { event: None }));
        }
        other => say(Fault::new(FaultKind::Refused, format!("not played here: {other:?}")).into()),
    }
}

/// A connection to a ct-init that runs commands right here.
fn ct_init() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC;
    let (theirs, ours) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    std::thread::spawn(move || {
        let hear = |fds: &mut Vec<OwnedFd>| {
            let mut packet = vec![0; proto::MAX_PACKET];
            let n = pass::receive(&ours, &mut packet, fds).unwrap_or(0);
            packet[..n].to_vec()
        };
        let say = |bytes: Vec<u8>| drop(pass::send(&ours, &bytes, &[]));
        assert!(matches!(decode(&hear(&mut Vec::new())), Ok(proto::Request::Hello { .. })));
        say(encode(&Report::Hello { version: proto::VERSION, ready: true }).unwrap());
        let mut fds = Vec::new();
        match decode(&hear(&mut fds)).unwrap() {
            proto::Request::Logs(_) => {
                let line = Line { at: 1_000_000, unit: "a.service".into(), text: "live \x1b[2J".into() };
                say(encode(&Session::Line(line)).unwrap());
            }
            proto::Request::Exec(exec) if exec.tty => {
                let pty = nix::pty::openpty(None, None).unwrap();
                let started = encode(&Session::Started { pid: 7 }).unwrap();
                pass::send(&ours, &started, &[pty.master.as_fd()]).unwrap();
                drop(pty.master);
                let mut inside = std::fs::File::from(pty.slave);
                let (rows, columns) = exec.size.unwrap_or_default();
                writeln!(inside, "{} {rows}x{columns}", exec.argv.join(" ")).unwrap();
                let mut line = [0u8; 64];
                let n = inside.read(&mut line).unwrap();
                inside.write_all(&line[..n]).unwrap();
                if let Ok(Control::Size(rows, columns)) = decode(&hear(&mut Vec::new())) {
                    writeln!(inside, "now {rows}x{columns}").unwrap();
                }
                say(encode(&Session::Ended(Exit::Code(9))).unwrap());
            }
            proto::Request::Exec(exec) => match spawn(&exec, fds) {
                Err(e) => {
                    say(encode(&Session::Refused { code: 127, why: format!("exec {}: {e}", exec.argv[0]) })
                        .unwrap())
                }
                Ok(mut child) => {
                    say(encode(&Session::Started { pid: child.id() }).unwrap());
                    if exec.argv[0] == "cat" || exec.argv[0] == "sh" {
                        say(encode(&Session::Ended(how(&mut child))).unwrap());
                    } else if let Ok(Control::Signal(n)) = decode(&hear(&mut Vec::new())) {
                        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
                        nix::sys::signal::kill(
                            pid,
                            nix::sys::signal::Signal::try_from(i32::from(n)).unwrap(),
                        )
                        .unwrap();
                        say(encode(&Session::Ended(how(&mut child))).unwrap());
                    }
                }
            },
            other => panic!("{other:?}"),
        }
    });
    theirs
}

fn spawn(exec: &Exec, fds: Vec<OwnedFd>) -> std::io::Result<Child> {
    let mut fds = fds.into_iter();
    let mut next = || Stdio::from(fds.next().expect("three descriptors come with exec"));
    let (stdin, stdout, stderr) = (next(), next(), next());
    let mut command = Command::new(&exec.argv[0]);
    command.args(&exec.argv[1..]).envs(exec.environment.iter().cloned());
    command.stdin(stdin).stdout(stdout).stderr(stderr).spawn()
}

fn how(child: &mut Child) -> Exit {
    let status = child.wait().unwrap();
    match status.signal() {
        Some(n) => Exit::Signal(Signal(n as u8)),
        None => Exit::Code(status.code().unwrap() as u8),
    }
}

#[test]
fn commands_print_and_exit_as_promised() {
    let host = Host::new();
    let table = "\
NAME  STATE    PID  UPTIME  RESTARTS    CPU   MEM  DISK  ADDRESS
web   running   12    1m1s         0  0.31s  1.0M     -  10.0.0.2
db    running   12    1m1s         0  0.31s  1.0M     -  10.0.0.2
";
    host.check("list", 0, table, "");
    host.check("-q list", 0, "", "");
    host.check("list nobody", 3, "", "ct: there is no container nobody (ct list shows them all)\n");
    host.check("start web", 0, "", "web: starting\n");
    host.check("-q start web", 0, "", "");
    host.check("-q start up", 0, "", "");
    host.check("stop up web", 0, "up: already running\n", "");
    host.check("stop failing", 1, "", "ct: failing: while mapping user ids: EPERM\n");
    host.check("stop absent", 3, "", "ct: there is no container absent (ct list shows them)\n");
    host.check("stop refused", 5, "", "ct: no\n");
    host.check("stop late", 124, "", "ct: late: not ready in time\n");
    host.check("stop web refused late", 5, "", "ct: refused: no\nct: late: late: not ready in time\n");
    host.check("stop x*", 3, "", "ct: no container's name matches \"x*\" (ct list shows them)\n");
    host.check("stop w*", 0, "", "");
    host.check("set web CPUs=2", 0, "web: CPUs waits for the next start\n", "");
    host.check("show web", 0, "[Resources]\nCPUs=2\n", "");
    host.check("show web CPUs", 0, "2\n", "");
    host.check("plan start web", 5, "write web/memory.max = 1G\n", "ct: no io.weight here\n");
    host.check(
        "template list",
        0,
        "NAME    SIZE  CREATED                   CONTAINERS  DESCRIPTION\ndebian  5.0M  1970-01-01T00:00:00.000Z           0  Debian 12\n",
        "",
    );
    host.check(
        "logs stopped",
        0,
        "1970-01-01T00:00:01.000Z a.service: line 1\n1970-01-01T00:00:02.000Z a.service: line 2\n",
        "",
    );
    host.check("logs stopped --json -n 2", 0, "{\"at\":1000000,\"unit\":\"a.service\",\"text\":\"line 1\"}\n{\"at\":2000000,\"unit\":\"a.service\",\"text\":\"line 2\"}\n", "");
    host.check("logs web", 0, "1970-01-01T00:00:01.000Z a.service: live \\u{1b}[2J\n", "");
}

#[test]
fn the_list_as_json_has_the_keys_of_the_table() {
    let host = Host::new();
    let rows: serde_json::Value = serde_json::from_slice(&host.ct("list --json", "").stdout).unwrap();
    let keys: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["address", "cpu", "disk", "mem", "name", "pid", "restarts", "state", "uptime"]);
    let events = host.ct("events", "").stdout;
    let lines: Vec<&[u8]> = events.split(|&b| b == b'\n').filter(|l| !l.is_empty()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|l| serde_json::from_slice::<serde_json::Value>(l).is_ok()));
}

#[test]
fn an_archive_goes_to_the_supervisor_as_a_descriptor() {
    let host = Host::new();
    let file = host.root.path().join("debian.tar");
    std::fs::write(&file, "the archive").unwrap();
    host.check(&format!("template import {}", file.display()), 0, "debian: 5.0M\n", "debian: the archive\n");
    let got = host.ct("template import --name x -", "from a pipe");
    assert_eq!(String::from_utf8_lossy(&got.stderr), "x: from a pipe\n");
}

#[test]
fn a_command_inside_has_the_streams_and_gives_its_exit_code() {
    let host = Host::new();
    let check = |words: &[&str], stdin: &str, expect: (i32, &str, &str)| {
        let mut child = host.command("exec web --env GREETING=hi --").args(words).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        let got = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let got = (got.status.code().unwrap(), text(&got.stdout), text(&got.stderr));
        assert_eq!((got.0, got.1.as_str(), got.2.as_str()), expect, "{words:?}");
    };
    check(&["cat"], "through\n", (0, "through\n", ""));
    check(&["sh", "-c", "echo out; echo err >&2; exit 7"], "", (7, "out\n", "err\n"));
    check(&["sh", "-c", "echo $GREETING"], "", (0, "hi\n", ""));
    check(&["sh", "-c", "kill -9 $$"], "", (137, "", ""));
    check(
        &["/nonexistent"],
        "",
        (127, "", "ct: web: exec /nonexistent: No such file or directory (os error 2)\n"),
    );
    host.check("exec absent true", 3, "", "ct: there is no container absent (ct list shows them)\n");
}

#[test]
fn signals_reach_the_command_inside() {
    let host = Host::new();
    for (number, expect) in [(15, 143), (2, 130), (1, 129), (3, 131)] {
        let mut child = host
            .command("exec web --")
            .args(["env", "sh", "-c", "echo ready; exec sleep 600"])
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let signal = nix::sys::signal::Signal::try_from(number).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), signal).unwrap();
        let _stdin = child.stdin.take();
        assert_eq!(child.wait().unwrap().code(), Some(expect), "{signal}");
    }
}

#[test]
fn a_terminal_is_raw_while_the_session_lasts_and_as_before_after_it() {
    use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
    let host = Host::new();
    let pty = nix::pty::openpty(None, None).unwrap();
    let size = |rows, columns| Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&pty.slave, size(24, 80)).unwrap();
    let before = tcgetattr(&pty.slave).unwrap();
    let slave = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut child =
        host.command("exec web top").stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
    let mut here = BufReader::new(std::fs::File::from(pty.master.try_clone().unwrap()));
    let mut until = |word: &str| {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert!(here.read_line(&mut line).unwrap() > 0);
        }
        line.trim().to_owned()
    };
    assert_eq!(until("top"), "top 24x80");
    assert_ne!(tcgetattr(&pty.slave).unwrap().local_modes, before.local_modes);
    // The terminal inside echoes what is typed, and the program there says it again.
    std::fs::File::from(pty.master.try_clone().unwrap()).write_all(b"typed\n").unwrap();
    assert_eq!((until("typed"), until("typed")), ("typed".into(), "typed".into()));
    tcsetwinsize(&pty.slave, size(50, 100)).unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGWINCH).unwrap();
    assert_eq!(until("now"), "now 50x100");
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert_eq!(tcgetattr(&pty.slave).unwrap().local_modes, before.local_modes);
}

#[test]
fn a_closed_pipe_ends_output_without_a_word() {
    let host = Host::new();
    let mut child = host.command("list").spawn().unwrap();
    drop(child.stdout.take());
    let got = child.wait_with_output().unwrap();
    let quiet = String::from_utf8_lossy(&got.stderr).into_owned();
    assert!(matches!((got.status.code(), quiet.as_str()), (Some(141 | 0), "")), "{quiet}");
}

#[test]
fn an_absent_supervisor_is_named() {
    let root = tempfile::tempdir().unwrap();
    let got =
        Command::new(env!("CARGO_BIN_EXE_ct")).args(["list", "--root"]).arg(root.path()).output().unwrap();
    let expect = format!(
        "ct: no supervisor answers at {}/run/ct/ct.sock (start it with: host-supervisor)\n",
        root.path().display()
    );
    assert_eq!((got.status.code(), String::from_utf8_lossy(&got.stderr).into_owned()), (Some(4), expect));
}
