//! What a shard counts.

use std::cell::Cell;

/// A shard's counters since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Batches that were appended.
    pub batches: u64,
    /// Records that were appended.
    pub records: u64,
    /// Bytes of the batches that were appended.
    pub bytes: u64,
    /// Journal writes, each of which made a group of batches durable.
    pub journal_commits: u64,
    /// Records that journal writes made durable; divided by `journal_commits`, the records that each sync carried.
    pub journal_records: u64,
    /// Bytes that journal writes carried.
    pub journal_bytes: u64,
    /// Groups too large for the journal, made durable by syncing their segments.
    pub direct_syncs: u64,
    /// Segment syncs in the background: journal files recycled, `flush.messages` and `flush.ms`.
    pub background_syncs: u64,
    /// Segments that were deleted: by retention, or because their records were.
    pub deleted_segments: u64,
    /// Bytes of those segments.
    pub deleted_bytes: u64,
    /// Rounds of compaction that have reached their end.
    pub compactions: u64,
    /// Bytes of the segments that compaction has replaced.
    pub compacted_bytes: u64,
    /// Bytes of those that stand in their places.
    pub compacted_bytes_left: u64,
    /// Partitions that are open.
    pub open_partitions: u64,
    /// Damaged places that were found in the files of open partitions; the log names each.
    pub damages: u64,
}

impl ShardStats {
    /// The counters of several shards together.
    pub fn sum(shards: &[ShardStats]) -> ShardStats {
        shards.iter().fold(ShardStats::default(), |sum, shard| ShardStats {
            batches: sum.batches + shard.batches,
            records: sum.records + shard.records,
            bytes: sum.bytes + shard.bytes,
            journal_commits: sum.journal_commits + shard.journal_commits,
            journal_records: sum.journal_records + shard.journal_records,
            journal_bytes: sum.journal_bytes + shard.journal_bytes,
            direct_syncs: sum.direct_syncs + shard.direct_syncs,
            background_syncs: sum.background_syncs + shard.background_syncs,
            deleted_segments: sum.deleted_segments + shard.deleted_segments,
            deleted_bytes: sum.deleted_bytes + shard.deleted_bytes,
            compactions: sum.compactions + shard.compactions,
            compacted_bytes: sum.compacted_bytes + shard.compacted_bytes,
            compacted_bytes_left: sum.compacted_bytes_left + shard.compacted_bytes_left,
            open_partitions: sum.open_partitions + shard.open_partitions,
            damages: sum.damages + shard.damages,
        })
    }

    /// Records that each sync on the acknowledging path carried, on average.
    pub fn records_per_sync(&self) -> f64 {
        self.journal_records as f64 / (self.journal_commits.max(1)) as f64
    }
}

/// Counters that a shard's tasks add to.
#[derive(Default)]
pub(crate) struct Counters(Cell<ShardStats>);

impl Counters {
    pub(crate) fn add(&self, change: impl FnOnce(&mut ShardStats)) {
        let mut stats = self.0.get();
        change(&mut stats);
        self.0.set(stats);
    }

    pub(crate) fn get(&self) -> ShardStats {
        self.0.get()
    }
}
