//! client: one connection to the supervisor; a call and its replies. Blocks until they are there. Never prints.
use super::codec::Decoder;
use super::protocol::wire::{self, Answer};
use super::protocol::{Fault, Request};
use super::{pass, server::listen};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// A reply of the supervisor may be long; its bytes are trusted, its length is bounded all the same.
const REPLY_LIMIT: usize = 256 * 1024 * 1024;

/// Why there is no answer, or an error for one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No socket, or nobody listens on it.
    #[error("no supervisor answers at {0} (start it with: host-supervisor)")]
    Absent(PathBuf),
    /// The socket's mode keeps this user out.
    #[error("you may not talk to the supervisor at {path} (only root and {group} may)", path = .0.display(), group = .1)]
    Denied(PathBuf, String),
    /// Something else keeps from connecting.
    #[error("connect to the supervisor at {0}")]
    Connect(PathBuf, #[source] io::Error),
    /// It went away in the middle.
    #[error("the supervisor closed the connection before it answered (its own log tells why)")]
    Lost(#[source] Option<io::Error>),
    /// What came is no reply.
    #[error("the supervisor's answer can't be read (is it of another version than this ct?)")]
    Answer(#[source] serde_json::Error),
    /// A reply that has to bring a descriptor has none.
    #[error("the supervisor's answer lacks the socket that belongs to it")]
    NoSocket,
    /// The call can't be written.
    #[error("write the call")]
    Call(#[source] serde_json::Error),
    /// The supervisor says no.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl ClientError {
    /// What `ct` exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            ClientError::Absent(_) | ClientError::Denied(..) | ClientError::Connect(..) => 4,
            ClientError::Lost(_) | ClientError::Answer(_) | ClientError::NoSocket => 4,
            ClientError::Call(_) => 1,
            ClientError::Fault(fault) => fault.kind.exit_code(),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    decoder: Decoder,
    fds: Vec<OwnedFd>,
}

impl Client {
    /// Connects to the supervisor of this root directory.
    pub fn connect(root: &Path) -> Result<Client, ClientError> {
        let path = listen::socket_path(root);
        match UnixStream::connect(&path) {
            Ok(stream) => Ok(Client::over(stream)),
            Err(e) => Err(match e.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::Absent(path),
                io::ErrorKind::PermissionDenied => {
                    let group = group_of(&path);
                    ClientError::Denied(path, group)
                }
                _ => ClientError::Connect(path, e),
            }),
        }
    }
    /// Speaks over a socket that is connected already.
    pub fn over(stream: UnixStream) -> Client {
        Client { stream, decoder: Decoder::new(REPLY_LIMIT), fds: Vec::new() }
    }
    /// Calls, hands every reply but the last to `more`, and returns the last one's parameters.
    pub fn call<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
        more: &mut dyn FnMut(Value),
    ) -> Result<T, ClientError> {
        self.send(request, fds)?;
        loop {
            let answer = self.receive()?;
            let value = answer.result?;
            if !answer.continues {
                return wire::parameters(value).map_err(ClientError::Answer);
            }
            more(value);
        }
    }
    /// Sends a call; its replies are for [`Client::receive`].
    pub fn send(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        let bytes = wire::write_call(request, true).map_err(ClientError::Call)?;
        let mut rest = bytes.as_slice();
        let mut fds = fds;
        while !rest.is_empty() {
            let sent = match pass::send(&self.stream, rest, fds) {
                Ok(n) => n,
                // It may have said why before it closed.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => break,
                Err(e) => return Err(ClientError::Lost(Some(e))),
            };
            rest = rest.get(sent..).unwrap_or_default();
            fds = &[];
        }
        Ok(())
    }
    /// The next reply.
    pub fn receive(&mut self) -> Result<Answer, ClientError> {
        let mut chunk = vec![0u8; 64 * 1024];
        loop {
            if let Some(message) = self.decoder.next_message() {
                let (_, message) = message
                    .map_err(|e| ClientError::Lost(Some(io::Error::new(io::ErrorKind::InvalidData, e))))?;
                return wire::read_answer(&message).map_err(ClientError::Answer);
            }
            match pass::receive(&self.stream, &mut chunk, &mut self.fds) {
                Ok(0) => return Err(ClientError::Lost(None)),
                Ok(n) => self.decoder.feed(chunk.get(..n).unwrap_or_default()),
                Err(e) => return Err(ClientError::Lost(Some(e))),
            }
        }
    }
    /// The descriptor that came with the last reply.
    pub fn take_socket(&mut self) -> Result<OwnedFd, ClientError> {
        self.fds.pop().ok_or(ClientError::NoSocket)
    }
}

/// Who may use the socket, for people: `members of the group ct`.
fn group_of(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = std::fs::metadata(path) else { return "members of its group".to_owned() };
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(meta.gid())).then(|| name.to_owned())
    });
    format!("members of the group {}", name.unwrap_or_else(|| meta.gid().to_string()))
}
