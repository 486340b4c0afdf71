//! parse: the keys of `[Socket]`. Opens none.
use super::line::{Line, Wrong, absolute, add, add_words, number, put_text, set};
use super::{Draft, Key};
use crate::schema::socket::{Address, Listen, ListenKind, Socket};
use crate::values::{Mode, ValueError, boolean};

const MODE: Mode = Mode(0o666);
const DIRECTORY_MODE: Mode = Mode(0o755);
/// systemd leaves it to the kernel's somaxconn.
const BACKLOG: u32 = 4096;

pub(super) const SOCKET: &[Key] = &[
    ("ListenStream", |d, l| listen(d, l, ListenKind::Stream)),
    ("ListenDatagram", |d, l| listen(d, l, ListenKind::Datagram)),
    ("ListenSequentialPacket", |d, l| listen(d, l, ListenKind::SequentialPacket)),
    ("ListenFIFO", |d, l| listen(d, l, ListenKind::Fifo)),
    ("Accept", |d, l| set(&mut d.socket.accept, false, l, boolean)),
    ("Service", |d, l| {
        d.socket.service = l.names()?.into_iter().next();
        Ok(())
    }),
    ("FileDescriptorName", |d, l| put_text(&mut d.socket.descriptor_name, l)),
    ("SocketUser", |d, l| put_text(&mut d.socket.user, l)),
    ("SocketGroup", |d, l| put_text(&mut d.socket.group, l)),
    ("SocketMode", |d, l| set(&mut d.socket.mode, MODE, l, str::parse)),
    ("DirectoryMode", |d, l| set(&mut d.socket.directory_mode, DIRECTORY_MODE, l, str::parse)),
    ("Backlog", |d, l| {
        set(&mut d.socket.backlog, BACKLOG, l, |s| {
            number(s, 0..=i64::from(u32::MAX), "a number of waiting connections", "128")
        })
    }),
    ("RemoveOnStop", |d, l| set(&mut d.socket.remove_on_stop, false, l, boolean)),
    ("PassCredentials", |d, l| set(&mut d.socket.pass_credentials, false, l, boolean)),
    ("Symlinks", |d, l| add_words(&mut d.socket.symlinks, l)),
];

impl Default for Socket {
    /// As an empty `[Socket]`.
    fn default() -> Socket {
        Socket {
            listen: Vec::new(),
            accept: false,
            service: None,
            descriptor_name: None,
            user: None,
            group: None,
            mode: MODE,
            directory_mode: DIRECTORY_MODE,
            backlog: BACKLOG,
            remove_on_stop: false,
            pass_credentials: false,
            symlinks: Vec::new(),
        }
    }
}

/// An empty value of any kind resets the whole list.
fn listen(d: &mut Draft, line: &mut Line<'_>, kind: ListenKind) -> Result<(), Wrong> {
    let more = if line.is_empty() {
        Vec::new()
    } else {
        let text = line.text()?;
        vec![Listen { kind, address: address(&text, kind)? }]
    };
    add(&mut d.socket.listen, line, more);
    Ok(())
}

fn address(text: &str, kind: ListenKind) -> Result<Address, Wrong> {
    if text.starts_with('/') {
        return absolute(text, 0).map(Address::Path);
    }
    let name = text.strip_prefix('@').filter(|name| !name.is_empty());
    let found = match (kind, name) {
        (ListenKind::Fifo, _) => None,
        (_, Some(name)) => Some(Address::Abstract(name.to_owned())),
        (ListenKind::SequentialPacket, None) => None,
        (ListenKind::Stream | ListenKind::Datagram, None) => match (text.parse(), text.parse::<u16>()) {
            (Ok(address), _) => Some(Address::Inet(address)),
            (Err(_), Ok(port)) if port != 0 => Some(Address::Port(port)),
            (Err(_), Ok(_) | Err(_)) => None,
        },
    };
    found.ok_or_else(|| ValueError::new(text, "a path, @name, port or address:port", "/run/x.sock").into())
}
