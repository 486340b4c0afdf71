//! sockets: `.socket` units: listens for a service that does not run yet, and starts it at the first caller.
use super::unit::Id;
use super::{Engine, Want};
use crate::effect::SetupError;
use crate::passwd::Accounts;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use slog::{info, warn};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use units::machine::{Event, State};
use units::schema::socket::{Address, Listen, ListenKind, Socket};
use units::schema::{Body, Unit};
use units::values::Tick;

/// A service gets at most so many; as many descriptors from 3 on are kept free for them (see [`crate::boot::settle`]).
pub const MAX_SOCKETS: usize = 24;
/// More starts in this time than this, and the unit is stopped: its service does not take what waits.
const MAX_TRIGGERS: u32 = 20;
const TRIGGER_TIME: Duration = Duration::from_secs(2);

/// What a socket unit has in the kernel.
#[derive(Debug, Default)]
pub struct Listening {
    pub(super) sockets: Vec<OwnedFd>,
    /// Since when triggers are counted, and how many there were.
    pub(super) triggers: (Tick, u32),
}

impl Engine {
    /// Opens what a socket unit listens on. Nothing stays open if anything can't be.
    pub(super) fn open_sockets(&mut self, id: Id) -> Result<(), String> {
        let Some(unit) = self.slot(id).map(|s| Rc::clone(&s.unit)) else { return Ok(()) };
        let Body::Socket(socket) = &unit.body else { return Ok(()) };
        if socket.accept {
            return Err("Accept=yes is not done here".to_owned());
        }
        if socket.listen.len() > MAX_SOCKETS {
            return Err(format!("it listens on more than {MAX_SOCKETS} addresses"));
        }
        let mut sockets = Vec::new();
        for listen in &socket.listen {
            let opened = self.listen_on(socket, listen);
            sockets
                .push(opened.map_err(|e| format!("listen on {:?}: {}", listen.address, crate::chain(&e)))?);
        }
        for link in &socket.symlinks {
            let to = socket.listen.iter().find_map(|l| match &l.address {
                Address::Path(path) => Some(path),
                Address::Abstract(_) | Address::Inet(_) | Address::Port(_) => None,
            });
            if let Some(to) = to
                && let Err(e) = std::os::unix::fs::symlink(to, self.root.join(link))
                && e.kind() != std::io::ErrorKind::AlreadyExists
            {
                warn!(self.log, "can't link a socket"; "link" => link, "why" => %e);
            }
        }
        if let Some(slot) = self.slot_mut(id) {
            slot.run.listening = Listening { sockets, triggers: Default::default() };
        }
        self.wants.push_back(Want::Sockets(id));
        Ok(())
    }

    fn listen_on(&self, socket: &Socket, listen: &Listen) -> Result<OwnedFd, SetupError> {
        let fail = |e: Errno| SetupError::Prepare("a socket", e.into());
        match (&listen.address, listen.kind) {
            (Address::Path(path), kind) => {
                let at = self.root.join(path);
                let parent = at.parent().unwrap_or(Path::new("/"));
                std::fs::create_dir_all(parent).map_err(|e| SetupError::Directory(path.clone(), e))?;
                let fd = match kind {
                    ListenKind::Fifo => open_fifo(&at),
                    ListenKind::Stream | ListenKind::Datagram | ListenKind::SequentialPacket => {
                        match rustix::fs::unlink(&at) {
                            Ok(()) | Err(Errno::NOENT) => bind_unix(SocketAddrUnix::new(&at), socket, kind),
                            Err(e) => Err(e),
                        }
                    }
                };
                let fd = fd.map_err(fail)?;
                self.give(socket, path)?;
                Ok(fd)
            }
            (Address::Abstract(name), kind) => {
                bind_unix(SocketAddrUnix::new_abstract_name(name.as_bytes()), socket, kind).map_err(fail)
            }
            (Address::Inet(address), kind) => bind_inet(*address, false, socket, kind).map_err(fail),
            (Address::Port(port), kind) => {
                let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port));
                let both = bind_inet(all, true, socket, kind);
                // No IPv6 in this kernel or container.
                let one = |_| bind_inet(SocketAddr::from(([0, 0, 0, 0], *port)), false, socket, kind);
                both.or_else(one).map_err(fail)
            }
        }
    }

    /// Owner and mode of a path.
    fn give(&self, socket: &Socket, path: &str) -> Result<(), SetupError> {
        let fail = |e| SetupError::directory(path, e);
        let at = self.root.join(path);
        if socket.user.is_some() || socket.group.is_some() {
            let accounts = Accounts::read(&self.root)?;
            let user = socket.user.as_deref().map(|u| accounts.user(u)).transpose()?;
            let group = socket.group.as_deref().map(|g| accounts.group(g)).transpose()?;
            let uid = user.as_ref().map(|u| Uid::from_raw(u.uid));
            let gid = group.or(user.map(|u| u.gid)).map(Gid::from_raw);
            rustix::fs::chownat(CWD, &at, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
        }
        rustix::fs::chmod(&at, Mode::from_raw_mode(socket.mode.0)).map_err(fail)
    }

    /// For the loop.
    pub fn socket_fds(&self, id: Id) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.slot(id).into_iter().flat_map(|s| s.run.listening.sockets.iter().map(AsFd::as_fd))
    }

    /// Somebody calls: starts the service. From now on it listens itself.
    pub fn called(&mut self, id: Id) {
        let now = crate::clock::now();
        let Some(slot) = self.slot_mut(id).filter(|s| s.machine.is_up()) else { return };
        let unit = Rc::clone(&slot.unit);
        let Some(service) = service_of(&unit) else { return };
        self.wants.push_back(Want::NoSockets(id));
        // It was started by other means meanwhile, and takes its callers itself.
        if self.find(&service).and_then(|s| self.slot(s)).is_some_and(|s| !s.machine.is_at_rest()) {
            return;
        }
        let Some(slot) = self.slot_mut(id) else { return };
        let (since, count) = &mut slot.run.listening.triggers;
        if now.since(*since) > TRIGGER_TIME {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        let too_often = *count > MAX_TRIGGERS;
        let result = match too_often {
            true => Err("its service is started too often and does not take what waits".to_owned()),
            false => self.start(std::slice::from_ref(&service)),
        };
        match result {
            Ok(()) => info!(self.log, "a caller starts the service"; "socket" => %unit.name),
            Err(why) => {
                warn!(self.log, "stops listening"; "socket" => %unit.name, "why" => &why);
                self.note(id, why);
                self.push(id, Event::Stop);
            }
        }
        self.settle();
    }

    /// A service rests: its sockets are ours to watch again, unless it was started too often.
    pub(super) fn listen_again(&mut self, service: Id) {
        let Some(slot) = self.slot(service) else { return };
        let limited = matches!(slot.machine.state(), State::Failed(units::machine::Cause::StartLimit));
        let name = slot.unit.name.clone();
        for id in self.sockets_of(&name) {
            if limited {
                self.note(id, format!("{name} was started too often"));
                self.push(id, Event::Stop);
            } else {
                self.wants.push_back(Want::Sockets(id));
            }
        }
    }

    /// A service that has been handed its sockets takes its callers itself.
    pub(super) fn leave_to(&mut self, service: &units::UnitName) {
        for id in self.sockets_of(service) {
            self.wants.push_back(Want::NoSockets(id));
        }
    }

    /// Taken up from a program before this one: who calls now is told again.
    pub(super) fn watch_sockets(&mut self) {
        for id in self.every_id() {
            let Some(slot) = self.slot(id).filter(|s| !s.run.listening.sockets.is_empty()) else { continue };
            let service = service_of(&slot.unit).and_then(|name| self.find(&name));
            // One that runs, or waits to, takes its callers itself.
            if service.and_then(|s| self.slot(s)).is_none_or(|s| s.machine.is_at_rest()) {
                self.wants.push_back(Want::Sockets(id));
            }
        }
    }

    fn sockets_of(&self, service: &units::UnitName) -> Vec<Id> {
        let is_its = |id: &Id| {
            self.slot(*id).is_some_and(|s| {
                !s.run.listening.sockets.is_empty() && service_of(&s.unit).as_ref() == Some(service)
            })
        };
        self.every_id().filter(is_its).collect()
    }

    /// What a service is handed, with names, in the order of its socket units.
    pub(super) fn handed(&self, service: &units::UnitName) -> Result<(Vec<OwnedFd>, String), SetupError> {
        let mut fds = Vec::new();
        let mut names = Vec::new();
        for id in self.sockets_of(service) {
            let Some(slot) = self.slot(id) else { continue };
            let Body::Socket(socket) = &slot.unit.body else { continue };
            for fd in &slot.run.listening.sockets {
                // Above those that the service will see them as, so that no copy covers another.
                let copy = rustix::io::fcntl_dupfd_cloexec(fd, 3 + i32::try_from(MAX_SOCKETS).unwrap_or(0));
                fds.push(copy.map_err(|e| SetupError::Prepare("a socket", e.into()))?);
                names.push(socket.descriptor_name.clone().unwrap_or_else(|| slot.unit.name.to_string()));
            }
        }
        if fds.len() > MAX_SOCKETS {
            return Err(SetupError::Prepare("so many sockets", std::io::Error::from(Errno::MFILE)));
        }
        Ok((fds, names.join(":")))
    }

    /// A socket unit goes down.
    pub(super) fn close_sockets(&mut self, id: Id) {
        let Some(slot) = self.slot_mut(id) else { return };
        slot.run.listening = Listening::default();
        let unit = Rc::clone(&slot.unit);
        let Body::Socket(socket) = &unit.body else { return };
        if !socket.remove_on_stop {
            return;
        }
        for listen in &socket.listen {
            if let Address::Path(path) = &listen.address {
                let _gone = rustix::fs::unlink(self.root.join(path));
            }
        }
    }
}

fn service_of(unit: &Unit) -> Option<units::UnitName> {
    match &unit.body {
        Body::Socket(socket) => socket.service_of(&unit.name),
        Body::Service(_) | Body::Target | Body::Timer(_) | Body::Container(_) | Body::Passive => None,
    }
}

fn kind_of(kind: ListenKind) -> SocketType {
    match kind {
        ListenKind::Stream | ListenKind::Fifo => SocketType::STREAM,
        ListenKind::Datagram => SocketType::DGRAM,
        ListenKind::SequentialPacket => SocketType::SEQPACKET,
    }
}

fn open_fifo(at: &Path) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkfifoat(CWD, at, Mode::from_raw_mode(0o600)) {
        Ok(()) | Err(Errno::EXIST) => (),
        Err(e) => return Err(e),
    }
    // For writing too: a reader alone would see the end after each writer.
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, at, flags, Mode::empty())
}

fn bind_unix(
    address: Result<SocketAddrUnix, Errno>,
    socket: &Socket,
    kind: ListenKind,
) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, kind_of(kind), flags, None)?;
    sockopt::set_socket_passcred(&fd, socket.pass_credentials)?;
    rustix::net::bind(&fd, &address?)?;
    listen(&fd, socket, kind)?;
    Ok(fd)
}

fn bind_inet(
    address: SocketAddr,
    both_families: bool,
    socket: &Socket,
    kind: ListenKind,
) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = rustix::net::socket_with(family, kind_of(kind), flags, None)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, !both_families)?;
    }
    rustix::net::bind(&fd, &address)?;
    listen(&fd, socket, kind)?;
    Ok(fd)
}

fn listen(fd: &OwnedFd, socket: &Socket, kind: ListenKind) -> Result<(), Errno> {
    match kind {
        ListenKind::Stream | ListenKind::SequentialPacket => {
            rustix::net::listen(fd, i32::try_from(socket.backlog).unwrap_or(i32::MAX))
        }
        ListenKind::Datagram | ListenKind::Fifo => Ok(()),
    }
}
