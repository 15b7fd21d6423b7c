//! Binding a listener and accepting from it, without waiting: for the shards, and for a thread that polls.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::config::HostPort;

/// How long a port may be in use. A killed broker's listener is held by its ring, which the kernel takes
/// apart some 10 ms after the process has gone.
const PORT_RELEASE: Duration = Duration::from_secs(2);

/// A non-blocking listener; no host is every address of the machine, of both families where it has both.
/// Waits for a port that is in use, but not for long.
///
/// # Errors
/// The port is taken, the host is not ours, ...
pub fn bind(place: &HostPort) -> io::Result<TcpListener> {
    if place.host.is_empty() {
        return match bind_at("::", place.port) {
            Err(error) if lacks_family(&error) => bind_at("0.0.0.0", place.port),
            bound => bound,
        };
    }
    bind_at(&place.host, place.port)
}

/// Whether the machine has no IPv6, or has it switched off.
fn lacks_family(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(errno, Some(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL))
}

fn bind_at(host: &str, port: u16) -> io::Result<TcpListener> {
    let give_up = Instant::now() + PORT_RELEASE;
    loop {
        match TcpListener::bind((host, port)) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok(listener);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error),
        }
    }
}

/// The next connection that waits, non-blocking; `None` when none does. A connection that has gone before it
/// was taken is passed over. Where a listener is for both families, an address of the older one is one of
/// that.
///
/// # Errors
/// What the system is short of. The connection still waits then.
pub fn accept(listener: &TcpListener) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                return Ok(Some((stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()))));
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn no_host_is_every_address_of_both_families_and_each_peer_is_of_its_own() {
        let listener = bind(&HostPort { host: String::new(), port: 0 }).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut places = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
        // Where the machine has the newer one.
        if listener.local_addr().unwrap().is_ipv6() {
            places.push(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
        }
        for place in places {
            let _client = TcpStream::connect(place).unwrap();
            let (_, peer) = loop {
                match accept(&listener).unwrap() {
                    Some(accepted) => break accepted,
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
            };
            assert_eq!(peer.ip(), place.ip());
        }
    }
}
