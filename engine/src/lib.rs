//! A durable, thread-per-core log engine.

pub mod io;
pub mod types;
