//! port: whether somebody accepts on a TCP port of the loopback interface. Never waits for an answer.
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, getpeername, getsockname};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// Calls to both loopback addresses, answered or not.
#[derive(Debug, Default)]
pub struct Call(Vec<OwnedFd>);

impl Call {
    /// Calls 127.0.0.1 and `[::1]`. An address that can't be called (no IPv6) does not answer.
    pub fn to(port: u16) -> Call {
        let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        Call(both.into_iter().filter_map(|ip| call(SocketAddr::new(ip, port)).ok()).collect())
    }

    /// Whether one was accepted by now.
    pub fn is_accepted(&self) -> bool {
        self.0.iter().any(accepted)
    }
}

fn call(to: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&fd, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(e) => Err(e),
    }
}

/// A connection to oneself counts for nothing: a caller whose own port happens to be the one called gets it.
fn accepted(fd: &OwnedFd) -> bool {
    match (getpeername(fd), getsockname(fd)) {
        (Ok(Some(peer)), Ok(own)) => peer != own,
        (Ok(_) | Err(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_port_is_ready_while_somebody_listens() {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(ip) else { continue };
            let port = listener.local_addr().unwrap().port();
            let call = Call::to(port);
            // The handshake is done by the time the listener has the connection.
            listener.accept().unwrap();
            assert!(call.is_accepted(), "{ip}");
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(!Call::to(free).is_accepted());
    }

    #[test]
    fn a_call_that_reaches_itself_is_no_answer() {
        let flags = SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        rustix::net::bind(&fd, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let own = SocketAddr::try_from(getsockname(&fd).unwrap()).unwrap();
        rustix::net::connect(&fd, &own).unwrap();
        assert!(!accepted(&fd));
    }
}
