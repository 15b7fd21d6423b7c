//! MQTT 3.1.1 and 5.0 without I/O: what a broker that keeps its messages in a log needs to know of it.
//!
//! ```text
//!  codec          packets as values and as bytes; the one module that knows what they look like
//!  topic          names and filters           subscriptions  filters as a tree
//!  message        a message as a record       rules          MQTT topics and Kafka topics, both ways
//!  session        what is durable of one client, and the records of `__mqtt_sessions`
//!  sessions       all of a partition: who is connected, wills, expiry
//!  retained       messages that are kept, and the records of `__mqtt_retained`
//!  shared         shared subscriptions
//!  connection     one client: bytes in, bytes and actions out
//! ```
//! Whoever has the sockets and the log feeds a [`connection::Connection`] with bytes and with what became of
//! its actions. Time and chance are arguments; nothing here waits, reads or writes.

#![forbid(unsafe_code)]

#[cfg(any(test, feature = "testing"))]
pub mod checkers;
pub mod codec;
pub mod connection;
pub mod message;
#[cfg(test)]
mod model;
pub mod retained;
pub mod rules;
pub mod session;
pub mod sessions;
pub mod shared;
pub mod subscriptions;
pub mod topic;
