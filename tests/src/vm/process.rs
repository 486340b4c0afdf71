//! process: a QEMU that ends with its time limit, with its machine's owner, and with whoever runs the tests.
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A QEMU that runs.
#[derive(Debug)]
pub struct Process {
    pidfd: OwnedFd,
    end: Receiver<End>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its status.
    pub status: ExitStatus,
    /// Whether it was killed at its time limit.
    pub late: bool,
}

impl Process {
    /// Starts it; what it has to complain about goes to this file.
    pub fn start(words: Vec<String>, complaints: &File, limit: Duration) -> Process {
        let complaints = complaints.try_clone().expect("a second descriptor");
        let (tell, end) = channel();
        let (send, started) = channel();
        // The signal comes with the end of the thread that started it, which therefore stays as long.
        std::thread::spawn(move || {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]).args(words);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints);
            let child = command.spawn().expect("run setpriv");
            let pidfd = ct_sys::proc::pidfd_open(child.id()).expect("it is our child");
            send.send(pidfd.try_clone().expect("a second descriptor")).expect("somebody waits");
            // Nobody may want to know.
            let _ = tell.send(watch(child, &pidfd, limit));
        });
        Process { pidfd: started.recv().expect("it was started"), end }
    }

    /// Waits until it has connected to this socket.
    ///
    /// # Errors
    /// Where it ends before that.
    pub fn connection(&self, listener: &UnixListener) -> Result<UnixStream, String> {
        let mut fds = [
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut fds, PollTimeout::try_from(crate::wait::PATIENCE).unwrap_or(PollTimeout::MAX))
            .map_err(|e| e.to_string())?;
        if fds[0].any() != Some(true) {
            return Err("QEMU does not connect".to_owned());
        }
        listener.accept().map(|(stream, _)| stream).map_err(|e| e.to_string())
    }

    /// Kills it, if it is still there.
    pub fn kill(&self) {
        let _ = ct_sys::proc::pidfd_send_signal(self.pidfd.as_fd(), nix::libc::SIGKILL);
    }

    /// Waits for its end, which its time limit makes sure of.
    pub fn wait(&self) -> End {
        self.end.recv().expect("its end is told once")
    }
}

fn watch(mut child: Child, pidfd: &OwnedFd, limit: Duration) -> End {
    let deadline = Instant::now() + limit;
    let mut late = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(1..) => break,
            _ if left.is_zero() => {
                late = true;
                let _ = child.kill();
                break;
            }
            _ => {}
        }
    }
    End { status: child.wait().expect("its status"), late }
}
