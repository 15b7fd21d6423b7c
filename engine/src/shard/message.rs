//! What one thread asks of a shard.

use std::sync::Arc;

use futures_channel::oneshot;

use super::stats::{ShardReport, ShardStats};
use crate::catalog::SettingsChange;
use crate::error::{AppendError, DeleteRecordsError, ReadError, TopicError};
use crate::format::check::CheckedBatch;
use crate::log::{ActiveProducer, OffsetAndTimestamp};
use crate::partition::ReadResult;
use crate::topics::{ConfigChange, NewTopic, Topic};
use crate::types::{Offset, PartitionId, Timestamp, TopicId};

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

/// What is to be read of one partition.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset wanted.
    pub offset: Offset,
    /// Most bytes of whole batches; the first batch is returned whatever its size.
    pub bytes_max: u64,
}

/// Which offset is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The first one of the log.
    Earliest,
    /// The high watermark.
    Latest,
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

pub(crate) type Reply<T> = oneshot::Sender<T>;

/// A request to a shard. Replies whose asker has gone are dropped.
pub(crate) enum Message<F> {
    Append {
        partition: PartitionId,
        batch: CheckedBatch,
        reply: Reply<Result<Appended, AppendError>>,
    },
    Read {
        requests: Vec<ReadRequest>,
        reply: Reply<Vec<Result<ReadResult<F>, ReadError>>>,
    },
    Wait {
        beyond: Vec<(PartitionId, Offset)>,
        reply: Reply<()>,
    },
    FindOffset {
        partition: PartitionId,
        query: OffsetQuery,
        reply: Reply<Result<Option<OffsetAndTimestamp>, ReadError>>,
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
    Sizes {
        partitions: Vec<PartitionId>,
        reply: Reply<Vec<Result<u64, ReadError>>>,
    },
    /// One topic, or everything.
    Reconfigure {
        topic: Option<TopicId>,
        reply: Reply<()>,
    },
    CloseTopic {
        topic: TopicId,
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

/// A change that the shard makes that keeps the topic table.
pub(crate) enum CatalogMessage {
    CreateTopic { new: NewTopic, reply: Reply<Result<Arc<Topic>, TopicError>> },
    CreateTopics { new: Vec<NewTopic>, reply: Reply<Vec<Result<Arc<Topic>, TopicError>>> },
    AlterTopic { id: TopicId, change: ConfigChange, reply: Reply<Result<Arc<Topic>, TopicError>> },
    AlterSettings { change: SettingsChange, reply: Reply<Result<(), TopicError>> },
    GrowTopic { id: TopicId, partitions: u32, reply: Reply<Result<Arc<Topic>, TopicError>> },
    DeleteTopic { id: TopicId, reply: Reply<Result<(), TopicError>> },
    AllocateProducerId { reply: Reply<Result<i64, TopicError>> },
}
