//! wire: what host and agent say to each other over a serial port. Runs nothing.
use serde::{Deserialize, Serialize};
use std::io::{Error, ErrorKind, Read, Result, Write};

/// The port's name in the machine: `/sys/class/virtio-ports/*/name`.
pub const PORT: &str = "lab.agent";
/// Longer messages are none.
const MAX: u32 = 1 << 20;

/// To the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Run `/bin/sh -c LINE` under this number.
    Run(u32, String),
    /// SIGKILL to the process group of that one.
    Kill(u32),
}

/// From the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tell {
    /// It listens. Comes once each time it starts.
    Hello,
    /// Output of the command with this number.
    Out(u32, Vec<u8>),
    /// What it says on stderr.
    Err(u32, Vec<u8>),
    /// Its end: exit code, or -N for signal N; after all its output.
    Exit(u32, i32),
}

/// Writes one message.
///
/// # Errors
/// Those of the port.
pub fn send(mut to: impl Write, message: &impl Serialize) -> Result<()> {
    let body = postcard::to_stdvec(message).map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
    let length = u32::try_from(body.len()).map_err(|e| Error::new(ErrorKind::InvalidData, e))?;
    let mut all = length.to_le_bytes().to_vec();
    all.extend(body);
    to.write_all(&all)?;
    to.flush()
}

/// Waits for one message.
///
/// # Errors
/// Those of the port; its end; what is no message.
pub fn receive<T: for<'a> Deserialize<'a>>(mut from: impl Read) -> Result<T> {
    let mut length = [0u8; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MAX {
        return Err(Error::new(ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    let mut body = vec![0u8; length as usize];
    from.read_exact(&mut body)?;
    postcard::from_bytes(&body).map_err(|e| Error::new(ErrorKind::InvalidData, e))
}

#[test]
fn messages_come_as_they_were_sent() {
    let mut pipe = Vec::new();
    let said = [Tell::Hello, Tell::Out(7, b"a\0b".to_vec()), Tell::Exit(7, -9)];
    said.iter().for_each(|m| send(&mut pipe, m).expect("written"));
    let mut from = pipe.as_slice();
    let heard: Vec<Tell> = said.iter().map(|_| receive(&mut from).expect("read")).collect();
    assert_eq!(heard, said);
    assert!(receive::<Tell>(&mut from).is_err());
}
