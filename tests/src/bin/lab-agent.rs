//! lab-agent: runs inside a machine of the lab what the host asks for. The host is at the other end of a serial port.
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, read_dir, read_to_string};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use tests::vm::wire::{Ask, PORT, Tell, receive, send};

/// The port's writer, and the process groups that run.
#[derive(Clone)]
struct Host(Arc<Mutex<(File, BTreeMap<u32, i32>)>>);

impl Host {
    fn with<T>(&self, work: impl FnOnce(&mut (File, BTreeMap<u32, i32>)) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
    fn tell(&self, tell: &Tell) {
        self.with(|(port, _)| send(port, tell).expect("the host listens"));
    }
}

fn main() {
    let mut from = OpenOptions::new().read(true).write(true).open(port()).expect("open the port");
    let host = Host(Arc::new(Mutex::new((from.try_clone().expect("a second descriptor"), BTreeMap::new()))));
    host.tell(&Tell::Hello);
    while let Ok(ask) = receive(&mut from) {
        match ask {
            Ask::Run(number, line) => run(&host, number, &line),
            Ask::Kill(number) => {
                if let Some(group) = host.with(|(_, groups)| groups.get(&number).copied()) {
                    let group = nix::unistd::Pid::from_raw(group);
                    let _gone = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
                }
            }
        }
    }
}

fn port() -> String {
    let ports = read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten();
    let mut ours = ports.filter(|p| read_to_string(p.path().join("name")).is_ok_and(|n| n.trim() == PORT));
    let port = ours.next().expect("a port of the lab");
    format!("/dev/{}", port.file_name().display())
}

fn run(host: &Host, number: u32, line: &str) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).current_dir("/root").process_group(0);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root").env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match command.spawn() {
        Ok(child) => {
            host.with(|(_, groups)| groups.insert(number, child.id() as i32));
            let host = host.clone();
            std::thread::spawn(move || follow(&host, number, child));
        }
        Err(e) => {
            host.tell(&Tell::Err(number, format!("run a shell: {e}").into_bytes()));
            host.tell(&Tell::Exit(number, 127));
        }
    }
}

/// Its output, and when all of that has come, its end.
fn follow(host: &Host, number: u32, mut child: Child) {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let other = host.clone();
    let errors = std::thread::spawn(move || copy(err, |bytes| other.tell(&Tell::Err(number, bytes))));
    copy(out, |bytes| host.tell(&Tell::Out(number, bytes)));
    let _done = errors.join();
    let status = child.wait().expect("its status");
    host.with(|(_, groups)| groups.remove(&number));
    host.tell(&Tell::Exit(number, status.code().unwrap_or(-status.signal().unwrap_or(0))));
}

fn copy(from: Option<impl Read>, to: impl Fn(Vec<u8>)) {
    let Some(mut from) = from else { return };
    let mut bytes = [0u8; 16384];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        to(bytes[..n].to_vec());
    }
}
