//! The Kafka protocol as bytes and as messages, for brokers and for clients alike.
//!
//! [`wire`] is how numbers, strings and arrays travel, with the numbers of APIs and of errors; [`messages`]
//! has the requests and the responses, one file an API. No socket, no waiting, nothing of what a broker or a
//! client does with a message.

#![forbid(unsafe_code)]

pub mod messages;
pub mod wire;

/// Kafka's ids of topics, directories and clusters; all zeros is none.
pub use uuid::Uuid;
