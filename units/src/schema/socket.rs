//! schema: `[Socket]`. Touches nothing.
use crate::name::UnitName;
use crate::values::Mode;
use serde::{Deserialize, Serialize};

/// `[Socket]`: what is listened on before the service runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// `ListenStream=` and its kin, in order: the order in which the service gets them.
    pub listen: Vec<Listen>,
    /// `Accept=`: one service instance a connection. Not done here; such a unit can't be started.
    pub accept: bool,
    /// `Service=`; none: the service of the same name.
    pub service: Option<UnitName>,
    /// `FileDescriptorName=`; none: the unit's name.
    pub descriptor_name: Option<String>,
    /// `SocketUser=`.
    pub user: Option<String>,
    /// `SocketGroup=`.
    pub group: Option<String>,
    /// `SocketMode=`; default 0666.
    pub mode: Mode,
    /// `DirectoryMode=`; default 0755.
    pub directory_mode: Mode,
    /// `Backlog=`.
    pub backlog: u32,
    /// `RemoveOnStop=`.
    pub remove_on_stop: bool,
    /// `PassCredentials=`.
    pub pass_credentials: bool,
    /// `Symlinks=`.
    pub symlinks: Vec<String>,
}

/// One thing to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// How.
    pub kind: ListenKind,
    /// Where.
    pub address: Address,
}

/// The kind of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ListenKind {
    Stream,
    Datagram,
    SequentialPacket,
    /// A named pipe.
    Fifo,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// A path in the file system.
    Path(String),
    /// A name in the abstract namespace, without its `@`.
    Abstract(String),
    /// An address and a port.
    Inet(core::net::SocketAddr),
    /// A port alone: on all addresses, of both families.
    Port(u16),
}

impl Socket {
    /// The service it starts.
    pub fn service_of(&self, own: &UnitName) -> Option<UnitName> {
        self.service.clone().or_else(|| UnitName::parse(&format!("{}.service", own.stem())).ok())
    }
}
