//! Telling what the shard looks like: its counters, its queues, its partitions.

use super::Shard;
use crate::io::{Disk, yield_now};
use crate::partition::Partition;
use crate::stats::{Compaction, PartitionReport, ShardReport};

/// Partitions that are looked at before others get their turn: each is a dozen reads of memory.
const PARTITIONS_AT_ONCE: usize = 64;

impl<D: Disk> Shard<D> {
    /// The shard at this moment, or rather: each of its partitions at a moment while this is made. What waits
    /// in the mailbox is filled in by who has the mailbox.
    pub(crate) async fn report(&self) -> ShardReport {
        let open = self.open_partitions();
        let mut partitions = Vec::with_capacity(open.len());
        for some in open.chunks(PARTITIONS_AT_ONCE) {
            partitions.extend(some.iter().map(|partition| report(partition)));
            yield_now().await;
        }
        let unopened = |id: &&crate::types::PartitionId| {
            id.shard(self.shards) == self.index && !self.partitions.borrow().contains_key(*id)
        };
        let damaged = self.damaged.keys().filter(|id| self.topics.get().holds(**id)).filter(unopened).count();
        let fenced = partitions.iter().filter(|partition| partition.is_fenced).count();
        let (waiting_batches, waiting_bytes) = self.inbox.waiting();
        let (retention_queue, undeleted_segments) = self.trims.waiting();
        ShardReport {
            stats: self.stats(),
            waiting_batches,
            waiting_bytes,
            waiting_requests: 0,
            journal: self.pool.usage(),
            disk_full: self.disk_full.get(),
            compaction_lag_ms: self.cleaning.behind((self.clock)()).due_ms.unwrap_or(0) as u64,
            background_share: self.cleaning.share(),
            fenced_partitions: (fenced + damaged) as u64,
            retention_queue,
            undeleted_segments,
            open_transactions: partitions.iter().map(|partition| partition.open_transactions).sum(),
            oldest_transaction: partitions.iter().filter_map(|partition| partition.oldest_transaction).min(),
            partitions,
        }
    }
}

fn report<D: Disk>(partition: &Partition<D>) -> PartitionReport {
    let (segments, bytes) = partition.log.size();
    let compaction = partition.config().compacted.then(|| {
        let clean_end = partition.log.compacted().clean_end;
        let mut found = Compaction::default();
        for segment in partition.log.sealed_segments(partition.log.end()) {
            match segment.end().next_offset <= clean_end {
                true => found.clean_bytes += segment.end().position.0,
                false => found.dirty_bytes += segment.end().position.0,
            }
        }
        found
    });
    let (open_transactions, oldest_transaction) = partition.log.open_transactions();
    let watermarks = partition.watermarks();
    PartitionReport {
        id: partition.id,
        log_start: partition.log.log_start(),
        last_stable: watermarks.last_stable,
        log_end: watermarks.log_end,
        segments,
        bytes,
        traffic: partition.traffic(),
        open_transactions,
        oldest_transaction,
        is_fenced: partition.check_fence().is_err(),
        is_uncleanable: partition.is_uncleanable(),
        compaction,
    }
}
