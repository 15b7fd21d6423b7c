//! What a shard counts, and what it looks like at one moment.

mod durations;

use std::cell::RefCell;

pub use self::durations::Durations;
use crate::journal::JournalUse;
use crate::partition::Traffic;
use crate::types::{Offset, PartitionId, Timestamp};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A shard's counters since its start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct ShardStats {
            $($(#[$doc])* pub $name: u64,)*
            /// How long the syncs took that somebody waited for: journal writes and direct ones.
            pub sync_durations: Durations,
            /// When retention last began to look at all partitions, in milliseconds since 1970; 0 for never.
            pub retention_looked_at: Timestamp,
            /// When a round of compaction last reached its end, in milliseconds since 1970; 0 for never.
            pub compacted_at: Timestamp,
        }

        impl ShardStats {
            /// The counters of several shards together; of times the latest.
            pub fn sum(shards: &[ShardStats]) -> ShardStats {
                let mut sum = ShardStats::default();
                for shard in shards {
                    $(sum.$name += shard.$name;)*
                    sum.sync_durations.merge(&shard.sync_durations);
                    sum.retention_looked_at = sum.retention_looked_at.max(shard.retention_looked_at);
                    sum.compacted_at = sum.compacted_at.max(shard.compacted_at);
                }
                sum
            }
        }
    };
}

counters! {
    /// Batches that were appended.
    batches,
    /// Records that were appended.
    records,
    /// Bytes of the batches that were appended.
    bytes,
    /// Batches that were refused because the disk was full.
    refused_batches,
    /// Times that the system was short of descriptors or memory, and something was refused for it.
    shortages,
    /// Reads of partitions.
    reads,
    /// Bytes of the batches that they gave out.
    read_bytes,
    /// Requests that came through the mailbox: from other shards, and from threads that are none.
    hops,
    /// Journal writes, each of which made a group of batches durable.
    journal_commits,
    /// Records that journal writes made durable; divided by `journal_commits`, the records that each sync
    /// carried.
    journal_records,
    /// Bytes that journal writes carried.
    journal_bytes,
    /// Groups too large for the journal, made durable by syncing their segments.
    direct_syncs,
    /// Segment syncs in the background: journal files recycled, `flush.messages` and `flush.ms`.
    background_syncs,
    /// Times that retention has begun to look at all partitions.
    retention_looks,
    /// Segments that were deleted: by retention, or because their records were.
    deleted_segments,
    /// Bytes of those segments.
    deleted_bytes,
    /// Rounds of compaction that have reached their end.
    compactions,
    /// Rounds of compaction that something wrong in the log, or a full disk, has ended.
    failed_compactions,
    /// Bytes of the segments that compaction has replaced.
    compacted_bytes,
    /// Bytes of those that stand in their places.
    compacted_bytes_left,
    /// Records that compaction has read to rewrite segments.
    compacted_records,
    /// Those of them that it has kept.
    compacted_records_left,
    /// Partitions that are open.
    open_partitions,
    /// Bytes that the scrub has read.
    scrubbed_bytes,
    /// Rounds of the scrub that have reached their end.
    scrubs,
    /// Damaged places that were found in the files of open partitions, and damaged small files; the log names
    /// each.
    damages,
}

impl ShardStats {
    /// Records that each sync on the acknowledging path carried, on average.
    pub fn records_per_sync(&self) -> f64 {
        self.journal_records as f64 / (self.journal_commits.max(1)) as f64
    }
}

/// Counters that a shard's tasks add to.
#[derive(Default)]
pub(crate) struct Counters(RefCell<ShardStats>);

impl Counters {
    pub(crate) fn add(&self, change: impl FnOnce(&mut ShardStats)) {
        change(&mut self.0.borrow_mut());
    }

    pub(crate) fn get(&self) -> ShardStats {
        *self.0.borrow()
    }
}

/// A shard at one moment.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// What it has counted.
    pub stats: ShardStats,
    /// Batches that wait for the next turn.
    pub waiting_batches: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Requests that wait in the mailbox.
    pub waiting_requests: u64,
    /// The journal's files.
    pub journal: JournalUse,
    /// Whether the last append that needed room was refused because the disk is full.
    pub disk_full: bool,
    /// Milliseconds that the log has waited for compaction which has waited longest; 0 when none waits.
    pub compaction_lag_ms: u64,
    /// Part of the thread's time that background tasks may take.
    pub background_share: f64,
    /// Partitions that take no appends until the next start, opened or not.
    pub fenced_partitions: u64,
    /// Partitions that retention has still to look at in this round.
    pub retention_queue: u64,
    /// Segments that are out of their logs, and whose files are still there.
    pub undeleted_segments: u64,
    /// Transactions that are open in partitions that are open; one is counted in each that it takes part in.
    pub open_transactions: u64,
    /// The smallest timestamp with which one of them began.
    pub oldest_transaction: Option<Timestamp>,
    /// The partitions that are open, in the order of their ids.
    pub partitions: Vec<PartitionReport>,
}

/// A partition at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionReport {
    /// Which one.
    pub id: PartitionId,
    /// The first offset.
    pub log_start: Offset,
    /// The end of what a `read_committed` consumer may read: that it stays far behind the log end tells of a
    /// transaction that hangs.
    pub last_stable: Offset,
    /// The offset behind the last record.
    pub log_end: Offset,
    /// Segments of the log.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What came and went since the start.
    pub traffic: Traffic,
    /// Transactions that are open.
    pub open_transactions: u64,
    /// The smallest timestamp with which one of them began: the largest of its first batch here, or of a
    /// later one where the broker was started since.
    pub oldest_transaction: Option<Timestamp>,
    /// Whether it takes no appends until the next start.
    pub is_fenced: bool,
    /// Whether compaction leaves it alone until the next start.
    pub is_uncleanable: bool,
    /// Where the topic is compacted: how much of it is.
    pub compaction: Option<Compaction>,
}

/// How much of a log is compacted, in bytes of closed segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Behind the point up to which it is.
    pub dirty_bytes: u64,
    /// Before it.
    pub clean_bytes: u64,
}
