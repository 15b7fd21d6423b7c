//! What the engine's threads share, with one body for each property: under loom, which tries every order in
//! which threads can meet, and under the system's threads, often.
//!
//! The code under test is taken in by its path, with loom's locks in the place of the system's, so neither
//! the engine nor its runtime is built for loom.
//!
//! * Snapshots of the topic table and of the settings: `published.rs`.
//! * A shard's sleep, and the wake-ups of other threads: `woken.rs`. On top of it a mailbox, which is
//!   `async-channel` (loom gets one with its contract, [`under_loom`]), and a shard that stops.
//! * The file of a segment, which is an `Arc`: the segment itself lives within its thread.

// Twice on purpose: the same code, with other locks.
#![allow(clippy::duplicate_mod)]

mod under_loom;
mod under_std;
