//! A durable, thread-per-core log engine.

pub mod format;
pub mod io;
pub mod shard;
pub mod sim;
pub mod types;
