//! What one thread asks of a shard.

use std::sync::Arc;

use futures_channel::oneshot;

use crate::config::SettingsChange;
use crate::error::{AppendError, DeleteRecordsError, ReadError, TopicError, TruncateError};
use crate::format::batch::Producer;
use crate::format::check::CheckedBatch;
use crate::format::marker::{MARKER_BYTES, Marker};
use crate::log::{ActiveProducer, OffsetAndTimestamp, Origin, Participation};
use crate::partition::{ReadResult, Reader};
use crate::stats::{ShardReport, ShardStats};
use crate::topics::{ConfigChange, NewTopic, Topic, TopicDelta};
use crate::types::{EpochEnd, LeaderEpoch, Offset, PartitionId, ProducerId, Timestamp, TopicId};

/// Where an acknowledged batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The first offset of the log.
    pub log_start: Offset,
    /// The broker's time where the topic stamps records with it, else -1.
    pub log_append_time: Timestamp,
    /// Whether the batch was there before: its producer sent it again.
    pub duplicate: bool,
}

/// What is to be appended.
pub(crate) enum Appending {
    /// A batch, and who sends it.
    Batch(CheckedBatch, Origin),
    /// The marker that ends a transaction.
    Marker(Marker),
}

/// A batch of a client.
impl From<CheckedBatch> for Appending {
    fn from(batch: CheckedBatch) -> Appending {
        Appending::Batch(batch, Origin::Client)
    }
}

impl Appending {
    /// Bytes that wait with it.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Appending::Batch(batch, _) => batch.len(),
            Appending::Marker(_) => MARKER_BYTES,
        }
    }
}

/// What is to be read of one partition.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset wanted.
    pub offset: Offset,
    /// Most bytes of whole batches; the first batch is returned whatever its size.
    pub bytes_max: u64,
    /// Who reads.
    pub reader: Reader,
    /// The leader epoch that the reader believes in; in another one it is refused.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl ReadRequest {
    /// What a consumer reads that takes uncommitted records and any leader.
    pub fn new(partition: PartitionId, offset: Offset, bytes_max: u64) -> ReadRequest {
        ReadRequest { partition, offset, bytes_max, reader: Reader::default(), leader_epoch: None }
    }
}

/// Which offset is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The first one of the log.
    Earliest,
    /// The high watermark.
    Latest,
    /// The last stable offset.
    LatestStable,
    /// The first record with the largest timestamp.
    MaxTimestamp,
    /// The first record with at least this timestamp.
    AtTimestamp(Timestamp),
}

/// Up to where records are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteBefore {
    /// All before this offset.
    Offset(Offset),
    /// All that there are.
    HighWatermark,
}

/// Partitions that are read before others get the thread: some 50 us when nothing is cold.
pub(crate) const READS_AT_ONCE: usize = 64;

pub(crate) type Reply<T> = oneshot::Sender<T>;

/// A request to a shard. Replies whose asker has gone are dropped.
pub(crate) enum Message<F> {
    Append {
        partition: PartitionId,
        what: Appending,
        reply: Reply<Result<Appended, AppendError>>,
    },
    Participation {
        partition: PartitionId,
        producer: Producer,
        reply: Reply<Result<Participation, AppendError>>,
    },
    Read {
        requests: Vec<ReadRequest>,
        reply: Reply<Vec<Result<ReadResult<F>, ReadError>>>,
    },
    Wait {
        reader: Reader,
        beyond: Vec<(PartitionId, Offset)>,
        reply: Reply<()>,
    },
    FindOffset {
        partition: PartitionId,
        query: OffsetQuery,
        leader_epoch: Option<LeaderEpoch>,
        reply: Reply<Result<Option<OffsetAndTimestamp>, ReadError>>,
    },
    EndOfEpoch {
        partition: PartitionId,
        epoch: LeaderEpoch,
        leader_epoch: Option<LeaderEpoch>,
        reply: Reply<Result<Option<EpochEnd>, ReadError>>,
    },
    Producers {
        partition: PartitionId,
        reply: Reply<Result<Vec<ActiveProducer>, ReadError>>,
    },
    DeleteRecords {
        partition: PartitionId,
        before: DeleteBefore,
        reply: Reply<Result<Offset, DeleteRecordsError>>,
    },
    Truncate {
        partition: PartitionId,
        to: Offset,
        reply: Reply<Result<Offset, TruncateError>>,
    },
    Sizes {
        partitions: Vec<PartitionId>,
        reply: Reply<Vec<Result<u64, ReadError>>>,
    },
    /// There is a newer topic table. What follows says so, too.
    RenewTopics {
        reply: Reply<()>,
    },
    /// These topics, or everything.
    Reconfigure {
        topics: Option<Arc<[TopicId]>>,
        reply: Reply<()>,
    },
    /// The table has other roles for partitions of these topics.
    TakeRoles {
        topics: Arc<[TopicId]>,
        reply: Reply<()>,
    },
    CloseTopics {
        topics: Arc<[TopicId]>,
        reply: Reply<()>,
    },
    Catalog(CatalogMessage),
    Stats {
        reply: Reply<ShardStats>,
    },
    Report {
        reply: Reply<ShardReport>,
    },
}

/// A change that the shard makes that keeps the topic table. The answers for several topics stand in the
/// order of the question.
pub(crate) enum CatalogMessage {
    CreateTopics { new: Vec<NewTopic>, reply: Reply<Vec<Result<Arc<Topic>, TopicError>>> },
    AlterTopics { changes: Vec<(TopicId, ConfigChange)>, reply: Reply<Vec<Result<Arc<Topic>, TopicError>>> },
    AlterSettings { change: SettingsChange, reply: Reply<Result<(), TopicError>> },
    GrowTopics { growing: Vec<(TopicId, u32)>, reply: Reply<Vec<Result<Arc<Topic>, TopicError>>> },
    DeleteTopics { ids: Vec<TopicId>, reply: Reply<Vec<Result<(), TopicError>>> },
    Apply { deltas: Vec<TopicDelta>, reply: Reply<Vec<Result<Arc<Topic>, TopicError>>> },
    AllocateProducerId { reply: Reply<Result<ProducerId, TopicError>> },
}
