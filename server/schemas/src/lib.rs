//! A schema registry without I/O: requests of Confluent's API against a state that is a replay of records.
//!
//! ```text
//!  registry      what each request does: an answer, or records and the answer that they make true once
//!                they are durable; pure, the state is an argument
//!  api           requests as method, path, query and body, and answers
//!  state         what the records of `_schemas` say
//!  compatibility which older schemas count, and what is said of them
//!  parsed        avro, json_schema, protobuf: texts that are understood
//!  values        values of a schema: from JSON to the bytes that serializers write, and back
//!  records       the records, byte for byte as Confluent's registry writes them
//! ```
//! Whoever holds the topic hands in its records ([`State::apply`]), asks ([`answer`]), appends what a change
//! consists of, and answers when that is durable. Nothing here waits, reads or writes.

#![forbid(unsafe_code)]

pub mod api;
pub mod avro;
#[cfg(feature = "testing")]
pub mod checkers;
mod compatibility;
pub mod definition;
mod encoding;
pub mod error;
pub mod json;
pub mod json_schema;
pub mod limits;
pub mod parsed;
pub mod protobuf;
pub mod records;
mod registry;
pub mod settings;
pub mod state;
pub mod subject;
pub mod values;

pub use error::Error;
pub use json::Json;
pub use records::Record;
pub use registry::{answer, values_of};
pub use state::State;

/// The topic of the records.
pub const TOPIC: &str = "_schemas";
