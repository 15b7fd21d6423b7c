//! Sockets that the process was started with (socket activation): a supervisor such as systemd listens,
//! starts the broker, and hands over what it listens on. Connections that come while no broker runs wait for
//! the next.
//!
//! ```text
//! LISTEN_PID      the process that is meant: for any other one there are no sockets
//! LISTEN_FDS      how many there are, from descriptor 3 on
//! LISTEN_FDNAMES  their names, with colons between: that of a listener, or of nothing here
//! ```
//!
//! As sd_listen_fds(3) says. A listener has the socket of its name, else the one that listens at its place;
//! one for which there is none is bound as usual. A socket that nobody takes is a mistake, which ends the
//! start.

#![allow(unsafe_code)]

use std::io;
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Once;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::socket_acceptconn;

use crate::config::HostPort;

/// The descriptor of the first socket.
const FIRST: RawFd = 3;

/// The most sockets: more than anybody has listeners.
const SOCKETS_MAX: RawFd = 1024;

/// Sockets that the process was started with, and that nobody has taken yet.
#[derive(Debug, Default)]
pub struct Inherited(Vec<Socket>);

#[derive(Debug)]
struct Socket {
    name: String,
    address: SocketAddr,
    listener: TcpListener,
}

/// What is wrong with the sockets that the process was started with.
#[derive(Debug, thiserror::Error)]
pub enum InheritedError {
    /// A number is none.
    #[error("LISTEN_FDS={value}: expected a number of sockets")]
    Count {
        /// What it is instead.
        value: String,
    },
    /// A descriptor is something else.
    #[error("descriptor {descriptor}, with which the process was started, does not listen for TCP: {source}")]
    NotListening {
        /// Its number.
        descriptor: RawFd,
        /// What the system says of it.
        source: io::Error,
    },
    /// A socket that belongs to no listener.
    #[error("a socket with which the process was started is for no listener: {name} at {address}")]
    NotWanted {
        /// Its name.
        name: String,
        /// Where it listens.
        address: SocketAddr,
    },
}

impl Inherited {
    /// Those of this process. The first call takes them; there are none for later ones.
    ///
    /// # Errors
    /// [`InheritedError::Count`] and [`InheritedError::NotListening`].
    pub fn of_process() -> Result<Inherited, InheritedError> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let mut found = Ok(Inherited::default());
        static TAKEN: Once = Once::new();
        TAKEN.call_once(|| {
            if variable("LISTEN_PID") == std::process::id().to_string() {
                found = take_descriptors(&variable("LISTEN_FDS"), &variable("LISTEN_FDNAMES"));
            }
        });
        found
    }

    /// The socket of a listener: the one with its name, or else at its place.
    pub fn take(&mut self, name: &str, place: &HostPort) -> Option<TcpListener> {
        let by_name = self.0.iter().position(|socket| socket.name.eq_ignore_ascii_case(name));
        let by_place = || self.0.iter().position(|socket| is_at(socket.address, place));
        let found = by_name.or_else(by_place)?;
        Some(self.0.remove(found).listener)
    }

    /// That all were taken.
    ///
    /// # Errors
    /// [`InheritedError::NotWanted`], of the first that was not.
    pub fn all_taken(self) -> Result<(), InheritedError> {
        match self.0.into_iter().next() {
            Some(Socket { name, address, .. }) => Err(InheritedError::NotWanted { name, address }),
            None => Ok(()),
        }
    }
}

fn is_at(address: SocketAddr, place: &HostPort) -> bool {
    if address.port() != place.port {
        return false;
    }
    if place.is_any() {
        return address.ip().is_unspecified();
    }
    // A name that nobody knows is no reason not to listen: binding it says so.
    let mut places = (&*place.host, place.port).to_socket_addrs().into_iter().flatten();
    places.any(|place| place.ip() == address.ip())
}

fn take_descriptors(count: &str, names: &str) -> Result<Inherited, InheritedError> {
    let number = count.parse().ok().filter(|count| (0..=SOCKETS_MAX).contains(count));
    let number: RawFd = number.ok_or_else(|| InheritedError::Count { value: count.to_owned() })?;
    let mut names = names.split(':');
    let sockets = (FIRST..FIRST + number).map(|descriptor| {
        let name = names.next().unwrap_or_default().to_owned();
        let refused = |source| InheritedError::NotListening { descriptor, source };
        let listener = listener(descriptor).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Socket { name, address, listener })
    });
    Ok(Inherited(sockets.collect::<Result<_, _>>()?))
}

/// A non-blocking listener.
fn listener(descriptor: RawFd) -> io::Result<TcpListener> {
    // SAFETY: the supervisor has opened the descriptor for this process alone, as LISTEN_PID says, so nothing
    // else here owns it; and `of_process` comes here once. Where it is not open, it is not closed either.
    let descriptor = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(descriptor) });
    if !socket_acceptconn(&*descriptor)? {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    fcntl_setfd(&*descriptor, FdFlags::CLOEXEC)?;
    let listener = TcpListener::from(ManuallyDrop::into_inner(descriptor));
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(name: &str, at: &str) -> Socket {
        let listener = TcpListener::bind(at).unwrap();
        Socket { name: name.to_owned(), address: listener.local_addr().unwrap(), listener }
    }

    #[test]
    fn a_listener_has_the_socket_of_its_name_or_else_the_one_at_its_place() {
        let sockets = vec![socket("broker.socket", "127.0.0.1:0"), socket("out", "127.0.0.1:0")];
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.address.port()).collect();
        let mut inherited = Inherited(sockets);
        let place = |host: &str, port| HostPort { host: host.to_owned(), port };
        let mut take = |name, place: HostPort| {
            inherited.take(name, &place).map(|listener| listener.local_addr().unwrap().port())
        };
        assert_eq!(take("IN", place("127.0.0.1", 1)), None);
        assert_eq!(take("IN", place("", ports[0])), None, "it does not listen everywhere");
        assert_eq!(take("OUT", place("127.0.0.1", ports[0])), Some(ports[1]), "the name counts first");
        assert_eq!(take("IN", place("127.0.0.1", ports[0])), Some(ports[0]));
        assert!(inherited.all_taken().is_ok());
    }

    #[test]
    fn a_socket_that_no_listener_takes_is_named() {
        let inherited = Inherited(vec![socket("strange", "127.0.0.1:0")]);
        let said = inherited.all_taken().unwrap_err().to_string();
        assert!(said.contains("strange at 127.0.0.1:"), "{said}");
    }

    #[test]
    fn a_number_of_sockets_that_is_none_is_refused() {
        for bad in ["", "-1", "many", "5000"] {
            assert!(take_descriptors(bad, "").is_err(), "{bad}");
        }
        assert!(take_descriptors("0", "").is_ok_and(|inherited| inherited.0.is_empty()));
    }
}
