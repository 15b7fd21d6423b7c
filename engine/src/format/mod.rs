//! Every byte that the engine keeps, as pure functions: no file, no clock, no task.
//!
//! ```text
//! varint > record, walk > batch      what travels on the wire and lies in a `.log` file (Kafka's record batch v2, big-endian)
//! compression, builder, check        what is done with a batch: unpack it, make one, decide whether a client's may be stored
//! marker                             the end of a transaction                              (Kafka's control batch)
//! journal                            the shard's write-ahead journal                        (ours, little-endian)
//! index                              a segment's sparse index by offset and by time         (ours, little-endian)
//! aborted                            a partition's aborted transactions, row by row         (ours, little-endian)
//! envelope > meta, topics, settings,           small files that are replaced whole                    (ours, little-endian)
//!            checkpoint, producer_ids,
//!            compacted
//! names                              what the files are called
//! ```
//!
//! `docs/format.md` is the normative description; golden bytes hold the two together. Whatever bytes come in,
//! nothing here panics, and nothing allocates by a number that was read but not yet compared with the bytes
//! that are there.

pub mod aborted;
pub mod batch;
pub mod builder;
pub mod check;
pub mod checkpoint;
pub mod compacted;
pub mod compression;
pub mod envelope;
pub mod index;
pub mod journal;
pub mod marker;
pub mod meta;
pub mod names;
pub mod producer_ids;
pub mod record;
pub mod settings;
mod topic_name;
pub mod topics;
pub mod varint;
pub mod walk;

#[cfg(test)]
mod tests;
