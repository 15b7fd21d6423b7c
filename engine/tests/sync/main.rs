//! What the engine's threads share, with one body for each property: under loom, which tries every order in which threads can meet, and under
//! the system's threads, often.
//!
//! The code under test is taken in by its path, with loom's locks in the place of the system's, so neither the engine nor its runtime is
//! built for loom.
//!
//! Shards share nothing else of ours: mailboxes and answers are `async-channel` and `futures-channel`, open files are an `Arc`, and a segment
//! that is dropped lives, within its thread, as long as a reader holds it.

// Twice on purpose: the same code, with other locks.
#![allow(clippy::duplicate_mod)]

mod under_loom;
mod under_std;
