//! Binding a listener and accepting from it, without waiting: for the shards, and for a thread that polls.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::config::HostPort;

/// How long a port may be in use. A killed broker's listener is held by its ring, which the kernel takes
/// apart some 10 ms after the process has gone.
const PORT_RELEASE: Duration = Duration::from_secs(2);

/// A non-blocking listener; no host is every address of the machine. Waits for a port that is in use, but not
/// for long.
///
/// # Errors
/// The port is taken, the host is not ours, ...
pub fn bind(place: &HostPort) -> io::Result<TcpListener> {
    let host = if place.host.is_empty() { "0.0.0.0" } else { &place.host };
    let give_up = Instant::now() + PORT_RELEASE;
    loop {
        match TcpListener::bind((host, place.port)) {
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
/// was taken is passed over.
///
/// # Errors
/// What the system is short of. The connection still waits then.
pub fn accept(listener: &TcpListener) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                return Ok(Some((stream, peer)));
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
}
