//! From sockets to requests and back: accepting, framing, the order of answers. What a request means is
//! [`crate::dispatch`]'s to say.
//!
//! ```text
//! listener > acceptor (shard 0) --OwnedFd--> connection (any shard)
//!                                              reader: bytes > frame > queue of answers to be  (bounded)
//!                                              writer:                 queue > bytes, file ranges > socket
//! ```
//!
//! Sockets are plain non-blocking descriptors that wait on the shard's ring; no other runtime is named here.

pub mod acceptor;
mod connection;
mod frame;
mod queue;
