//! The bytes of the Kafka protocol: numbers, strings, arrays, tagged fields. No socket, no engine, no
//! waiting.
//!
//! ```text
//!           classic                 flexible ("compact", KIP-482)
//! string    i16 length, bytes       varint length + 1, bytes
//! bytes     i32 length, bytes       varint length + 1, bytes
//! array     i32 count, elements     varint count + 1, elements
//! null      -1                      0
//! struct    fields                  fields, varint count of tags, (varint tag, varint size, value)*
//! ```
//!
//! Numbers are big-endian in both. Which of the two forms a message takes follows from its API and version
//! ([`ApiKey::flexible_from`](crate::wire::ApiKey::flexible_from)), so a [`Reader`] or [`Writer`] is told
//! once and every field follows.
//!
//! * [`reader`] promises that bad bytes end in a [`WireError`], never in a panic, and that a request costs no
//!   more memory than about twice its size.
//! * [`writer`] promises that what could not be written faithfully ends in an [`EncodeError`]. A long message
//!   is written in parts ([`Encode::write_part`]).
//! * [`message`] declares a message once and derives both directions.
//! * [`error_code`] names the numbers in which a broker says no.
//!
//! What the messages are is in [`crate::messages`].

mod api_key;
pub mod error_code;
pub mod message;
pub mod reader;
pub mod writer;

pub use api_key::ApiKey;
pub use error_code::ErrorCode;
pub use message::{Decode, Encode, Fields, Message, Place};
pub use reader::{Reader, WireError};
pub use writer::{EncodeError, Writer};
