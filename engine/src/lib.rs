//! A durable, thread-per-core log engine: partitions of Kafka record batches, journaled before they are
//! acknowledged.
//!
//! ```text
//!              your thread                                  a shard's thread (one a core)
//!   Handle::append(partition, batch)          +------------------------------------------------------------+
//!     check the batch (CRC, rules) --mailbox--> inbox > draft: offsets, sequences                           |
//!                                             |           > segment write (page cache)                      |
//!   PendingAppend::settled() <----------------|           > one journal write for all partitions, durable   |
//!                                             |           > high watermark moves, readers wake              |
//!   Handle::read(offset) -------------mailbox--> partition > segment index > range of the segment's file    |
//!     FileRange (sendfile it, or copy it) <---|                                                             |
//!                                             | background: sync segments, checkpoint, recycle the journal  |
//!                                             +------------------------------------------------------------+
//! ```
//!
//! * [`Engine::start`] locks and recovers a data directory and starts the shards, each with a [`Front`] on
//!   its thread ([`NoFront`] when there is none).
//! * [`Handle`] is `Send + Clone` and independent of any runtime; [`Local`] is the same from a shard's own
//!   thread, without a hop for the partitions that the shard owns.
//! * A record batch is made with [`BatchBuilder`](format::builder::BatchBuilder), and taken apart with
//!   [`Batches`](format::batch::Batches) and [`Records`](format::record::Records).
//!
//! The invariants that code and tests cite as D1 to D11 stand in `docs/durability.md`, the files in
//! `docs/format.md`.

mod admission;
mod buffer;
mod catalog;
#[cfg(any(test, feature = "testing"))]
pub mod checkers;
pub mod compaction;
pub mod config;
#[cfg(any(test, feature = "testing"))]
pub mod crash;
mod directories;
mod engine;
pub mod error;
pub mod format;
mod front;
mod handle;
pub mod inspect;
pub mod io;
mod journal;
mod log;
mod message;
mod partition;
pub mod reactor;
mod recovery;
pub mod retention;
mod segment;
mod shard;
#[cfg(any(test, feature = "testing"))]
pub mod sim;
mod stats;
mod sync;
pub mod topics;
pub mod types;

pub use engine::{Engine, StopError, Watch};
pub use format::batch::Producer;
pub use format::marker::{Marker, TransactionResult};
pub use front::{Front, Local, NoFront};
pub use handle::{Handle, PendingAppend};
pub use io::DiskFile as File;
pub use journal::JournalUse;
pub use log::{
    AbortedTransaction, ActiveProducer, FileRange, OffsetAndTimestamp, Origin, Participation,
    VerificationGuard,
};
pub use message::{Appended, DeleteBefore, OffsetQuery, ReadRequest};
pub use partition::{Isolation, ReadResult, Reader, Traffic};
pub use recovery::RecoveryReport;
pub use stats::{Compaction, Durations, PartitionReport, ShardReport, ShardStats};
