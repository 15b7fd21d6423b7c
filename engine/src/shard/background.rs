//! What a shard does behind its appends: syncing segments, writing its checkpoint, recycling journal files,
//! deleting records (`trim`), compacting logs (`clean`), looking for rot (`scrub`).
//!
//! A journal file is used again in this order, each step durable before the next: the segments that it covers
//! are synced, with their directories; the checkpoint with the new recovery points replaces the old one; the
//! file is fresh. A crash in between repeats some of it at the next start.

use std::rc::Rc;

use futures_util::StreamExt;
use futures_util::future::{Either, join, join_all, select};
use futures_util::stream;

use super::{Shard, replace_checkpoint};
use crate::error::{Fault, io_fault};
use crate::format::checkpoint::{CheckpointEncoder, PartitionCheckpoint};
use crate::format::names;
use crate::io::{Disk, is_no_space};
use crate::journal::{Journal, PoolFailure};
use crate::partition::Partition;
use crate::types::{Position, Timestamp};

/// Segments that are synced at the same time: measured, 16 in parallel take a fifth of the time of 16 in a
/// row.
const SYNCS_AT_ONCE: usize = 16;

impl<D: Disk> Shard<D> {
    /// Compacts and scrubs, until [`Shard::end_background`]. Neither this nor [`Shard::run_recycling`] is
    /// ever dropped instead: a sync whose result nobody waits for has failed as far as anybody knows, and
    /// fences its file.
    pub(crate) async fn run_background(self: Rc<Self>) {
        join(self.run_cleaning(), self.run_scrubbing()).await;
    }

    /// Recycles journal files, syncs relaxed partitions and deletes, until [`Shard::end_background`]. Commits
    /// may wait for it.
    pub(crate) async fn run_recycling(self: Rc<Self>) {
        while !self.background_ended.get() {
            {
                let recycling = std::pin::pin!(self.pool.wanted());
                let flushing = std::pin::pin!(self.flushes.signal.wait());
                let trimming = std::pin::pin!(self.trims.signal.wait());
                let crowding = std::pin::pin!(self.files.crowded());
                match select(select(recycling, crowding), select(flushing, trimming)).await {
                    Either::Left(_) | Either::Right(_) => {}
                }
            }
            let _round = self.background.lock().await;
            let due = std::mem::take(&mut *self.flushes.due.borrow_mut());
            let due: Vec<_> = due.into_iter().filter(|partition| !partition.is_closed()).collect();
            let has_new = due.iter().any(|partition| !partition.is_noted() || partition.awaits_checkpoint());
            // One that fails is fenced, or due again.
            let _ = self.sync_all(due).await;
            self.relieve_files().await;
            // What no journal has would be nowhere but in the partition's directory, and nobody would miss
            // that.
            if has_new && let Err(PoolFailure::Fault(fault)) = self.write_checkpoint().await {
                tracing::error!(%fault, "the checkpoint was not written");
            }
            // A step of what may wait comes after all of what commits wait for.
            self.recycle_all().await;
            self.trim().await;
        }
    }

    /// Closes the files that were used least recently, when there are too many: most of them have to be
    /// synced before.
    async fn relieve_files(&self) {
        if !self.files.is_crowded() {
            return;
        }
        let mut partitions = self.open_partitions();
        partitions.retain(|partition| partition.log.is_dirty());
        let _ = self.sync_all(partitions).await;
        self.files.relieve();
    }

    /// Has the system write segments out while they grow, for ever.
    pub(crate) async fn run_write_backs(self: Rc<Self>) {
        loop {
            self.write_backs.signal.wait().await;
            let due = std::mem::take(&mut *self.write_backs.due.borrow_mut());
            join_all(due.iter().map(|segment| segment.write_back())).await;
        }
    }

    async fn recycle_all(&self) {
        // What finds no room refuses a commit that waits, unless something is recycled below.
        let made = self.pool.make_missing().await;
        if let Err(refusal) = made
            && self.pool.oldest_retired().is_none()
        {
            self.pool.refuse(refusal);
        }
        while let Some(covered) = self.pool.oldest_retired() {
            let partitions: Vec<_> = {
                let open = self.partitions.borrow();
                covered.iter().filter_map(|id| open.get(id).cloned()).collect()
            };
            let all_synced = self.sync_all(partitions.clone()).await;
            for partition in &partitions {
                if let Err(error) = partition.log.persist_indexes(&partition.durable()).await {
                    tracing::warn!(partition = %partition.id, %error, "the index was not written; it is kept in memory");
                }
            }
            let recycled = match (self.write_checkpoint().await, all_synced) {
                (Ok(()), Ok(())) => self.pool.recycle_oldest().await,
                // It may be recycled later.
                (Ok(()), Err(fault)) if fault.is_shortage() => Err(PoolFailure::Fault(fault)),
                (Ok(()), Err(_)) => self.pool.set_oldest_aside().await,
                (Err(refusal), _) => Err(refusal),
            };
            if let Err(refusal) = recycled {
                self.pool.refuse(refusal);
                return;
            }
        }
    }

    /// Syncs the partitions, several at a time. The error is that of one that failed: it is fenced now,
    /// unless all that failed were short of something.
    pub(super) async fn sync_all(&self, partitions: Vec<Rc<Partition<D>>>) -> Result<(), Fault> {
        let syncs = stream::iter(partitions).map(|partition| async move {
            let synced = partition.sync().await;
            self.counters.add(|stats| stats.background_syncs += 1);
            if let Err(fault) = &synced
                && fault.is_shortage()
            {
                self.note_shortage(fault);
            }
            synced
        });
        let worse = |all: Result<(), Fault>, synced: Result<(), Fault>| async move {
            match (&all, &synced) {
                (Ok(()), _) => synced,
                (Err(known), Err(fault)) if known.is_shortage() && !fault.is_shortage() => synced,
                (Err(_), _) => all,
            }
        };
        syncs.buffer_unordered(SYNCS_AT_ONCE).fold(Ok(()), worse).await
    }

    /// Replaces the shard's checkpoint by what is durable now.
    pub(crate) async fn write_checkpoint(&self) -> Result<(), PoolFailure> {
        let mut encoder = CheckpointEncoder::new();
        let is_others = |point: &&PartitionCheckpoint| point.partition.shard(self.shards) != self.index;
        for point in self.others.iter().flat_map(|others| others.rows.iter().filter(is_others)) {
            encoder.push(point);
        }
        for point in self.closed.borrow().values() {
            encoder.push(point);
        }
        let mut bases = Vec::new();
        for partition in self.partitions.borrow().values() {
            partition.log.expire_producers((self.clock)());
            let point = partition.durable();
            encoder.push(&point);
            bases.push((partition.clone(), point.segment_base, point.next_offset));
        }
        let path = self.directory.join(names::CHECKPOINT_FILE);
        let content = encoder.finish();
        replace_checkpoint(&self.disk, &path, content).await.map_err(|error| {
            if is_no_space(&error) {
                PoolFailure::NoSpace
            } else {
                PoolFailure::Fault(io_fault("write", &*path, Position::ZERO, error))
            }
        })?;
        self.unwritten.take();
        for (partition, base, next_offset) in bases {
            partition.set_checkpointed(base, next_offset);
        }
        Ok(())
    }

    /// Asks for the syncs that `flush.ms` wants, and for retention when it is time. Called every now and
    /// then.
    pub(crate) fn tick(&self, now: Timestamp) {
        for partition in self.partitions.borrow().values() {
            if partition.is_flush_due(now) || partition.awaits_checkpoint() {
                self.flushes.push(partition.clone());
            }
        }
        if self.wants_room(now) {
            self.inbox.wake();
        }
        self.look_for_old_records(now);
        self.cleaning.tick(now);
        self.scrubbing.rate.tick(now);
    }

    /// The part of the thread's time that [`Shard::run_background`] may take now: more while compaction falls
    /// behind.
    pub(crate) fn background_share(&self) -> f64 {
        self.cleaning.share()
    }

    /// Ends [`Shard::run_background`] and [`Shard::run_recycling`] after what they are doing. The turns have
    /// ended before: they may wait for it.
    pub(crate) fn end_background(&self) {
        self.background_ended.set(true);
        self.flushes.signal.notify();
        self.cleaning.end();
        self.scrubbing.rate.end();
    }

    /// Takes no more appends.
    pub(crate) fn close(&self) {
        self.inbox.close();
    }

    /// Leaves a data directory that needs no recovery: everything synced, the checkpoint says so, the journal
    /// is not needed any more.
    pub(crate) async fn shut_down(&self, journal: Journal<D>) -> Result<(), Fault> {
        let partitions = self.open_partitions();
        let all_synced = self.sync_all(partitions.clone()).await;
        for partition in &partitions {
            // What stays behind is cut off by the next start.
            let _ = partition.log.clear_leftovers().await;
            // What is not written is made again by reading.
            let _ = partition.log.persist_indexes(&partition.durable()).await;
        }
        if let Err(PoolFailure::Fault(fault)) = self.write_checkpoint().await {
            return Err(fault);
        }
        while self.remove_some().await {}
        // A truncation that the checkpoint does not say is in the journal only.
        let is_needed = partitions.iter().any(|partition| partition.awaits_checkpoint());
        if all_synced.is_ok() && !is_needed { journal.remove().await } else { Ok(()) }
    }
}
