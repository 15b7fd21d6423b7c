//! A client's connection: what its bytes travel over, where it came from, how it ends.
//!
//! It ends from two sides. The front that serves it returns when it is done with it; the listener's sweep and
//! the stop of the broker end it from outside, by the transport, and say why.

use std::cell::Cell;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::transport::Transport;

/// Where a connection came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's end.
    pub peer: SocketAddr,
    /// The name of the listener that it came in by.
    pub listener: Arc<str>,
}

/// A connection over some transport.
pub struct Connection<T> {
    transport: T,
    origin: Origin,
    active: Cell<Instant>,
    closing: Cell<Option<&'static str>>,
}

impl<T: Transport> Connection<T> {
    /// A connection that was accepted just now.
    pub fn new(transport: T, origin: Origin) -> Connection<T> {
        Connection { transport, origin, active: Cell::new(Instant::now()), closing: Cell::new(None) }
    }

    /// What its bytes travel over.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Where it came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Why no more is read, once it was told to end.
    pub fn closing(&self) -> Option<&'static str> {
        self.closing.get()
    }

    /// Notes that something was received, or a part of an answer sent: it is not idle.
    pub fn touch(&self) {
        self.active.set(Instant::now());
    }

    /// Ends one direction or both, and keeps the first reason. When nothing is read any more, what is owed is
    /// still answered.
    pub fn end(&self, reason: &'static str, how: Shutdown) {
        if self.closing.get().is_none() {
            self.closing.set(Some(reason));
        }
        self.transport.end(how);
    }
}

/// A connection as its listener sees it, whatever it travels over.
pub(super) trait Endable {
    /// When something was last received, or a part of an answer sent.
    fn active(&self) -> Instant;

    /// See [`Connection::end`].
    fn end(&self, reason: &'static str, how: Shutdown);
}

impl<T: Transport> Endable for Connection<T> {
    fn active(&self) -> Instant {
        self.active.get()
    }

    fn end(&self, reason: &'static str, how: Shutdown) {
        Connection::end(self, reason, how);
    }
}
