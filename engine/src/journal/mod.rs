//! A shard's write-ahead journal: what makes an append durable before the segments are synced.
//!
//! ```text
//! journal-0   [commit][commit][commit]..............     in use: one O_DIRECT|O_DSYNC write per turn of the shard
//! journal-1   [commit][commit][commit][commit][commit]   retired: waits until the segments it covers are synced
//! journal-2   ......................................     fresh: takes over when the first is full
//! ```
//!
//! * Files are written full of zeros before they are used, so that a commit changes no metadata and needs no
//!   second disk write.
//! * Commits are written one after the other: when a commit is there, all before it are. A file's commits
//!   carry its generation, which is new at each use, and a sequence; reading stops at the first that does not
//!   fit.
//! * A file is used again only when the segments it covers are synced and the shard's checkpoint says so
//!   durably ([`Recycler`]).
//! * Files start small and grow as they fill, so that an empty broker does not write hundreds of megabytes
//!   before its first answer.
//! * A failed write is never repeated: the file takes no more commits and what the write held is fenced by
//!   the caller (D3).

mod pool;
pub(crate) mod replay;

use std::collections::BTreeSet;
use std::rc::Rc;

pub use pool::JournalUse;
pub(crate) use pool::{JournalFile, JournalPool, PoolFailure, Retired};

use crate::error::{Fault, io_fault};
use crate::format::journal::{
    COMMIT_BYTES_MAX, NewBatch, TRUNCATION_BYTES, Truncation, commit_bytes, encode_commit, encode_truncation,
};
use crate::io::{AlignedBuffer, Disk};
use crate::types::{PartitionId, Position};

/// The writing end of the journal.
pub(crate) struct Journal<D: Disk> {
    disk: D,
    pool: Rc<JournalPool<D>>,
    /// `None` until there is room for one.
    active: Option<JournalFile<D>>,
    position: Position,
    sequence: u64,
    /// A write to the active file has failed: it takes no more.
    broken: bool,
    /// Partitions with batches in the active file.
    covered: BTreeSet<PartitionId>,
    buffer: AlignedBuffer,
}

/// Why a commit was not written.
#[derive(Debug)]
pub(crate) enum CommitFailure {
    /// There is no room for a next journal file, and no file can be recycled, because the disk is full:
    /// nothing was written.
    NoSpace,
    /// There is no next journal file for another reason: nothing was written, and the segments can still be
    /// synced.
    Unavailable(Fault),
    /// The system was short of something when it wrote, and the file takes no more. Whether the commit will
    /// be there after a restart is not known, but the segments can still be synced; nothing else may be
    /// written in their place before.
    Shortage(Fault),
    /// The write failed; whether the commit will be there after a restart is not known.
    Fault(Fault),
}

impl<D: Disk> Journal<D> {
    pub(crate) fn new(disk: D, pool: Rc<JournalPool<D>>, active: Option<JournalFile<D>>) -> Journal<D> {
        pool.note_active(active.as_ref().map_or(0, |active| active.bytes), 0);
        Journal {
            disk,
            pool,
            active,
            position: Position::ZERO,
            sequence: 0,
            broken: false,
            covered: BTreeSet::new(),
            buffer: AlignedBuffer::new(),
        }
    }

    /// Whether a commit of that size fits a file of the present size. One that does not is made durable by
    /// syncing its segments.
    pub(crate) fn fits(&self, entries: usize, bytes: usize) -> bool {
        let length = commit_bytes(entries, bytes);
        let most = self.active.as_ref().map_or(self.pool.file_bytes_first(), |active| active.bytes);
        length <= COMMIT_BYTES_MAX && length as u64 <= most
    }

    /// Writes the batches in one commit; they are durable when it returns.
    pub(crate) async fn commit(&mut self, batches: &[NewBatch<'_>]) -> Result<(), CommitFailure> {
        let bytes = batches.iter().map(|(.., batch)| batch.len()).sum();
        let length = commit_bytes(batches.len(), bytes);
        self.make_room(length).await?;
        self.covered.extend(batches.iter().map(|(partition, ..)| *partition));
        self.write(length, |buffer, generation, sequence| {
            encode_commit(buffer, generation, sequence, batches);
        })
        .await
    }

    /// Makes sure that the next [`Journal::commit_truncation`] needs no other file: whoever recycles one may
    /// wait for its caller.
    pub(crate) async fn make_room_for_truncation(&mut self) -> Result<(), CommitFailure> {
        self.make_room(commit_bytes(1, TRUNCATION_BYTES)).await
    }

    /// Writes a truncation; it is durable when it returns. There is room for it.
    pub(crate) async fn commit_truncation(&mut self, truncation: &Truncation) -> Result<(), CommitFailure> {
        self.covered.insert(truncation.partition);
        self.write(commit_bytes(1, TRUNCATION_BYTES), |buffer, generation, sequence| {
            encode_truncation(buffer, generation, sequence, truncation);
        })
        .await
    }

    async fn make_room(&mut self, bytes: usize) -> Result<(), CommitFailure> {
        let has_room = !self.broken
            && self.active.as_ref().is_some_and(|active| self.position.0 + bytes as u64 <= active.bytes);
        if has_room { Ok(()) } else { self.rotate().await }
    }

    async fn write(
        &mut self,
        bytes: usize,
        encode: impl FnOnce(&mut AlignedBuffer, u64, u64),
    ) -> Result<(), CommitFailure> {
        let active = self.active.as_ref().expect("there was one, or it was just taken");
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        encode(&mut buffer, active.generation, self.sequence);
        assert_eq!(buffer.len(), bytes, "a commit has the size that was planned");
        let (result, buffer) = self.disk.write_aligned(&active.file, self.position, buffer).await;
        self.buffer = buffer;
        match result {
            Ok(()) => {
                self.position += bytes as u64;
                self.pool.note_active(active.bytes, self.position.0);
                self.sequence += 1;
                Ok(())
            }
            Err(error) => {
                let fault = io_fault("write", self.pool.path(active.number), self.position, error);
                // The next commit goes to another file.
                self.broken = true;
                match fault.is_shortage() {
                    true => Err(CommitFailure::Shortage(fault)),
                    false => Err(CommitFailure::Fault(fault)),
                }
            }
        }
    }

    /// Removes the journal's files: all that they hold is synced, and the checkpoint says so.
    pub(crate) async fn remove(self) -> Result<(), Fault> {
        self.pool.remove_all(self.active).await
    }

    /// Hands the active file over for recycling and goes on in a fresh one.
    async fn rotate(&mut self) -> Result<(), CommitFailure> {
        let fresh = self.pool.take_fresh().await?;
        self.pool.note_active(fresh.bytes, 0);
        let full = self.active.replace(fresh);
        let (partitions, broken) = (std::mem::take(&mut self.covered), std::mem::take(&mut self.broken));
        if let Some(file) = full {
            self.pool.retire(Retired { file, partitions, broken });
        }
        self.position = Position::ZERO;
        self.sequence = 0;
        Ok(())
    }
}
