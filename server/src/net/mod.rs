//! What every front needs of the network, and the protocol of none: a listener accepts, seats are counted, a
//! shard keeps a connection to its end.
//!
//! ```text
//! Listener > accept (shard 0) > Seats > the shard with the fewest > Connection<Transport> > Protocol::serve
//!                                |                                      |
//!                                limits: all, listener, address,        idle, drain: cut, or read no more
//!                                descriptors that are left
//! ```
//!
//! A front has its [`Listeners`], and gives a [`Protocol`] on each shard: what it does with a connection. All
//! fronts of a process share one [`Seats`], so that together they leave files the descriptors that these
//! need. What bytes travel over is a [`Transport`]: a plain socket ([`Plain`]), TLS over one ([`Tls`], by the
//! keys of its listener, [`Keys`]), or whatever else can send and receive.

mod accept;
mod connection;
mod inherited;
mod listener;
mod seats;
mod tls;
mod transport;

pub use accept::{accept, bind};
pub use connection::{Connection, Origin};
pub use inherited::{Inherited, InheritedError};
pub use listener::{Listener, ListenerReport, Listeners, Protocol, Report};
pub use seats::{NoSeat, Seat, Seats};
pub use tls::{Acceptor, Keys, KeysError, Reloads, Tls, Watch};
pub use transport::{Plain, SendRangeError, Transport};
