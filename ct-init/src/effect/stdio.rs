//! stdio: what a service's descriptors 0, 1 and 2 are. Never waits for the other end of anything.
use super::SetupError;
use crate::root::Root;
use ct_sys::script::{Op, Script};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use units::schema::service::{Context, Input, Output};

/// Open descriptors for one launch.
#[derive(Debug)]
pub struct Stdio {
    input: OwnedFd,
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
    log: RawFd,
}

impl Stdio {
    /// Opens what the unit says; `log` is the write end of its pipe.
    pub fn open(root: &Root, context: &Context, log: RawFd) -> Result<Stdio, SetupError> {
        let input = match &context.stdin {
            Input::Null => open(root, "/dev/null", OFlags::RDONLY, "StandardInput="),
            Input::Tty => open(root, "/dev/console", OFlags::RDWR, "StandardInput="),
            Input::File(path) => open(root, path, OFlags::RDONLY, "StandardInput="),
            Input::Data(bytes) => data(bytes).map_err(|e| stdio("the input text", "StandardInput=", e)),
        }?;
        let output = match &context.stdout {
            Output::Inherit => match &context.stdin {
                Input::Null | Input::Data(_) => Ok(None),
                Input::Tty | Input::File(_) => {
                    input.try_clone().map(Some).map_err(|e| SetupError::Stdio("stdin".into(), "StandardOutput=", e))
                }
            },
            other => target(root, other, "StandardOutput="),
        }?;
        let error = match &context.stderr {
            Output::Inherit => match &output {
                Some(fd) => Some(
                    fd.try_clone().map_err(|e| SetupError::Stdio("stdout".into(), "StandardError=", e))?,
                ),
                None => None,
            },
            other => target(root, other, "StandardError=")?,
        };
        Ok(Stdio { input, output, error, log })
    }

    /// The operations that put them in place.
    pub fn push(&self, script: &mut Script) {
        let or_log = |fd: &Option<OwnedFd>| fd.as_ref().map_or(self.log, AsRawFd::as_raw_fd);
        script.push(Op::Dup { from: self.input.as_raw_fd(), to: 0 });
        script.push(Op::Dup { from: or_log(&self.output), to: 1 });
        script.push(Op::Dup { from: or_log(&self.error), to: 2 });
    }
}

/// None is the log.
fn target(root: &Root, output: &Output, key: &'static str) -> Result<Option<OwnedFd>, SetupError> {
    let create = OFlags::WRONLY | OFlags::CREATE;
    match output {
        Output::Log | Output::Inherit => Ok(None),
        Output::Null => open(root, "/dev/null", OFlags::WRONLY, key).map(Some),
        Output::Tty => open(root, "/dev/console", OFlags::WRONLY, key).map(Some),
        Output::File(path) => open(root, path, create, key).map(Some),
        Output::Append(path) => open(root, path, create | OFlags::APPEND, key).map(Some),
        Output::Truncate(path) => open(root, path, create | OFlags::TRUNC, key).map(Some),
    }
}

fn open(root: &Root, path: &str, flags: OFlags, key: &'static str) -> Result<OwnedFd, SetupError> {
    // Opened without waiting for a pipe's reader, then blocking as programs expect.
    let quiet = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    let opened = rustix::fs::openat(CWD, root.join(path), flags | quiet, mode);
    let fd = opened.map_err(|e| stdio(path, key, e))?;
    rustix::io::ioctl_fionbio(&fd, false).map_err(|e| stdio(path, key, e))?;
    Ok(fd)
}

fn data(bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let fd = rustix::fs::memfd_create(c"stdin", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let n = rustix::io::write(&fd, rest)?;
        rest = rest.get(n..).unwrap_or(&[]);
    }
    rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(0))?;
    Ok(fd)
}

fn stdio(path: &str, key: &'static str, e: Errno) -> SetupError {
    SetupError::Stdio(path.to_owned(), key, e.into())
}
