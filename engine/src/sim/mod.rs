//! A machine in memory: the shipping engine runs on it, loses power, and is asked what it remembers.
//!
//! [`SimDisk`] is a [`Disk`](crate::io::Disk) without a kernel, [`Simulation`] drives futures and that disk
//! in turns. Both take every decision from one `u64` seed: the same seed gives the same run, byte for byte.
//! Nothing here reads a wall clock, sleeps, or touches a real file. What an engine *must* remember is the
//! business of the tests that use it.
//!
//! # The medium that is assumed
//!
//! A journaled file system (ext4 with `data=ordered`, XFS) over a disk with a volatile write-back cache that
//! obeys flushes. Where the two allow different things the model takes the worse one, so that what holds here
//! holds on both:
//!
//! ```text
//!                write, set_len             sync, or an O_DSYNC write
//!   engine ----------------------> cached ----------------------------> durable
//!            create, rename, remove  |               sync_dir              |
//!                                    |                                     |
//!                  reads, kill -9 <--+              power loss <-----------+ plus any part of what lies between
//! ```
//!
//! **The disk** writes sectors of 512 bytes, each whole or not at all. Sectors that no flush covers reach the
//! medium in any order or never, so a write of several sectors tears anywhere, and a later write may survive
//! an earlier one.
//!
//! **A file** has a length and data, and the two are not tied together before a sync. Length changes of one
//! file survive as a prefix (they are journaled); data is any subset of the sectors; a length that survives
//! without its data reads as zeros. An overwritten sector holds any one of the contents that it had since the
//! last sync. What a cut took away comes back when the cut itself was not synced, and never when it was. A
//! sector rewritten behind an unsynced cut may show up in the file as it was before the cut.
//!
//! **`sync`** covers what was written before it started, at the moment it completes, and says nothing about
//! the file's name. **A failed sync** loses at least one sector for ever: the kernel marks the pages clean,
//! the cache goes on showing them, the next sync reports success. The length is not lost, so the hole reads
//! as what was there before, or zeros.
//!
//! **A write to a file opened with [`OpenMode::Durable`](crate::io::OpenMode)** is durable, with the file's
//! length, when it completes. While it is in flight any subset of its sectors may be. A failed write may have
//! left all, a part or none.
//!
//! **A directory's entries** are cached at once and durable after `sync_dir` of that directory. Without it a
//! prefix of its changes survives, so a rename without `sync_dir` may be undone, and **a file made without
//! `sync_dir` of its directory may vanish although its data was synced**: ext4 is kinder (an fsync of a new
//! file commits its name), POSIX is not, and the engine promises nothing that only ext4 gives. A new
//! directory's own name needs `sync_dir` of the directory above it, and each level that `create_dir` makes is
//! a change of its own. A rename is atomic, also between two directories. Removing a directory removes its
//! files one by one. An inode lives while it has a name or is open.
//!
//! **A full disk** fails a write that needs new blocks of 4 KiB, perhaps after a part of it; overwriting
//! never fails for lack of room. Room comes back by removal, by cuts, or with [`SimDisk::set_capacity`].
//!
//! **Operations** complete in any order, also two on one file that are in flight together; one that starts
//! after another has completed sees all of its effect. A dropped future does not stop its operation.
//!
//! **A disk that lies** about flushes is [`Faults::flush_lie`]: it says done and has done nothing.
//!
//! **Not modelled**: sectors that tear inside; misdirected writes; a directory's sync that fails and takes
//! names with it: they stay unsynced, and the next sync covers them. [`SimDisk::flip`] rots bits.

mod disk;
mod executor;
mod file;
mod medium;
mod operation;
#[cfg(test)]
mod tests;

pub use disk::{Faults, SimDisk};
pub use executor::{Clock, Simulation};
pub use file::{BLOCK_BYTES, SECTOR_BYTES};
pub use medium::SimFile;
pub use operation::OperationKind;
