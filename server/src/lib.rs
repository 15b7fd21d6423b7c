//! The Kafka front of the Strandline engine, as a library.

pub mod client;
pub mod messages;
pub mod wire;
