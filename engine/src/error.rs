//! What can go wrong, one enum per operation. Fields say where, what was expected and what was found.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::ConfigError;
use crate::format::batch::BatchError;
use crate::format::check::CheckError;
use crate::format::envelope::EnvelopeError;
use crate::format::record::RecordsError;
use crate::io::{is_no_space, is_out_of_descriptors, is_shortage};
use crate::types::{LeaderEpoch, Offset, PartitionId, Position, ProducerEpoch, ProducerId, Sequence};

/// Why a file, and what it holds, can not be trusted any more (D3, D5). Cheap to clone: one fault answers
/// many requests.
pub type Fault = Arc<FaultKind>;

/// The kinds of [`Fault`].
#[derive(Debug, thiserror::Error)]
pub enum FaultKind {
    /// The operating system refused a write, a sync or a read.
    #[error("{operation} of {path} at position {position} failed: {source}")]
    Io {
        /// "write", "sync", ...
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Where in the file the operation began.
        position: Position,
        /// What the system said.
        source: std::io::Error,
    },
    /// Bytes that were durable once are not what was written.
    #[error(
        "{path} is damaged at position {position}: {what}; the first offset that is not served is {offset}"
    )]
    Damage {
        /// The file.
        path: PathBuf,
        /// The first byte that can not be trusted.
        position: Position,
        /// The first offset that can not be served.
        offset: Offset,
        /// What was found there.
        what: Damage,
    },
    /// Records at the end of a log were acknowledged, and are not in it.
    #[error("{path}: the acknowledged records from {offset} to {} are missing: {cause}", end.get() - 1)]
    Missing {
        /// The file or directory that lacks them.
        path: PathBuf,
        /// The first one that is missing.
        offset: Offset,
        /// The offset behind the last one that is known of.
        end: Offset,
        /// What was found instead.
        cause: MissingCause,
    },
    /// Acknowledged records are in a journal, and the disk was too full to put them into their log.
    #[error("{path}: the disk has no room for the acknowledged records from {offset} to {}, which the journal keeps", end.get() - 1)]
    NoRoom {
        /// The directory of the partition.
        path: PathBuf,
        /// The first one that found no room.
        offset: Offset,
        /// The offset behind the last one that the journal has.
        end: Offset,
    },
}

/// What is wrong with bytes that were durable once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A batch, or its records, cannot be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// A small file cannot be read.
    #[error(transparent)]
    SmallFile(#[from] EnvelopeError),
    /// A file is longer than one of its kind can be.
    #[error("the file has more than {most} bytes")]
    FileTooLarge {
        /// The most that such a file may have.
        most: u64,
    },
    /// A file has lost bytes that were synced.
    #[error("the file has {found} bytes, {synced} were synced")]
    FileTooShort {
        /// How long the file is.
        found: Position,
        /// How much of it was synced.
        synced: Position,
    },
    /// A file has become shorter while it was open.
    #[error("the file ends, {known} bytes were there")]
    FileShortened {
        /// How much was there.
        known: Position,
    },
    /// The file ends inside a batch.
    #[error("the file ends after {found} of {needed} bytes of the batch")]
    BatchCutOff {
        /// The bytes of the batch that are there.
        found: usize,
        /// The bytes that its header speaks of.
        needed: usize,
    },
    /// A batch is longer than what is left of its segment.
    #[error("a batch of {bytes} bytes crosses the end of the segment")]
    BatchTooLong {
        /// The bytes that its header speaks of.
        bytes: usize,
    },
    /// A batch whose offsets do not follow those before it.
    #[error("a batch with the offset {found}, which does not fit")]
    BatchOffset {
        /// Its base offset.
        found: Offset,
    },
    /// A batch whose leader epoch does not follow those before it.
    #[error("a batch of leader epoch {}, which does not fit", found.0)]
    BatchEpoch {
        /// Its leader epoch.
        found: LeaderEpoch,
    },
    /// The last batch of a segment does not reach the next segment.
    #[error("the batches end here, the next ones begin with the offset {next}")]
    BatchesEnd {
        /// Where the next segment begins.
        next: Offset,
    },
    /// The journals contradict each other.
    #[error("the journals hold two batches for the offset {offset}")]
    JournaledTwice {
        /// The offset of both.
        offset: Offset,
    },
    /// A batch of a journal is of an older leader epoch than the log that it continues.
    #[error("the journal continues it with a batch of leader epoch {}, after {}", found.0, last.0)]
    JournaledEpoch {
        /// The batch's leader epoch.
        found: LeaderEpoch,
        /// The last one of the log.
        last: LeaderEpoch,
    },
    /// A batch of a journal was whole when the broker started, and is no more.
    #[error("the batch was whole when the broker started")]
    JournaledBatch,
    /// Rows of the file of aborted transactions.
    #[error("row {row} of the aborted transactions is not whole, or does not follow")]
    AbortedRow {
        /// The number of the row, from 0.
        row: u64,
    },
}

impl From<BatchError> for Damage {
    fn from(error: BatchError) -> Damage {
        Damage::Records(error.into())
    }
}

/// What tells that acknowledged records are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingCause {
    /// A checkpoint has records of the partition, whose directory is gone.
    #[error("the directory is not there")]
    Directory,
    /// They lie before the recovery point, and in no segment.
    #[error("they were synced, and no segment has them")]
    Segment,
    /// The journal goes on behind them.
    #[error("the journal has what comes behind them")]
    BeforeJournal,
}

impl FaultKind {
    /// Whether bytes are not what was written; else the system has refused something.
    pub fn is_damage(&self) -> bool {
        matches!(self, FaultKind::Damage { .. })
    }

    /// Whether the system was short of something that comes back: then nothing is wrong with any file,
    /// nothing was lost, and the same may succeed later. A failed sync is never one of these, unless there
    /// was no descriptor to begin it with (D3).
    pub fn is_shortage(&self) -> bool {
        match self {
            FaultKind::Damage { .. } | FaultKind::Missing { .. } | FaultKind::NoRoom { .. } => false,
            FaultKind::Io { operation: "sync", source, .. } => is_out_of_descriptors(source),
            FaultKind::Io { source, .. } => is_shortage(source),
        }
    }

    /// Whether there was no room on the disk (D7). A failed sync is never one of these (D3).
    pub fn is_no_space(&self) -> bool {
        matches!(self, FaultKind::Io { operation, source, .. } if *operation != "sync" && is_no_space(source))
    }
}

/// Why batches were not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// No such topic or partition, or it was deleted meanwhile.
    #[error("partition {0} does not exist")]
    UnknownPartition(PartitionId),
    /// Another broker leads the partition, or none.
    #[error("partition {0} is not led here")]
    NotLeader(PartitionId),
    /// The batch breaks a rule of the format or of the topic's configuration.
    #[error(transparent)]
    Invalid(#[from] CheckError),
    /// The producer's sequence has a gap, or a duplicate that is older than the window of five batches.
    #[error("producer {producer_id} sent sequence {found}, expected {expected}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// The sequence that would have followed.
        expected: Sequence,
        /// The sequence that came.
        found: Sequence,
    },
    /// A newer instance of the producer has written already.
    #[error("producer {producer_id} has epoch {current}, the batch carries {found}")]
    StaleProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The newest epoch seen.
        current: ProducerEpoch,
        /// The batch's epoch.
        found: ProducerEpoch,
    },
    /// A transactional batch outside of a transaction that is open here, or another one inside of it.
    #[error("producer {producer_id} sent a batch that does not fit its transaction, {}", open(*transaction_start))]
    InvalidTransactionState {
        /// The producer.
        producer_id: ProducerId,
        /// The first offset of its open transaction; `None` when none is open, or the guard that came with
        /// the batch is stale.
        transaction_start: Option<Offset>,
    },
    /// A newer coordinator has ended a transaction of the producer here already.
    #[error(
        "coordinator epoch {current} has ended a transaction of producer {producer_id}, {found} is older"
    )]
    CoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// The newest epoch of a coordinator.
        current: i32,
        /// That of the one that has sent the marker.
        found: i32,
    },
    /// The disk is full: nothing was lost, the same request may succeed later (D7).
    #[error("no space left for partition {0}")]
    NoSpace(PartitionId),
    /// The system is short of descriptors or of memory: nothing was lost, the same request may succeed later.
    #[error("partition {partition} can not be written for the moment: {fault}")]
    Shortage {
        /// The partition.
        partition: PartitionId,
        /// What was not to be had.
        fault: Fault,
    },
    /// A write or a sync failed earlier: the partition takes no appends until the next start (D3).
    #[error("partition {partition} is fenced: {fault}")]
    Fenced {
        /// The partition.
        partition: PartitionId,
        /// What happened.
        fault: Fault,
    },
    /// The engine is stopping; whether the batch is kept is not known.
    #[error("the engine is stopping")]
    Stopping,
}

/// Why nothing was read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// No such topic or partition, or it was deleted meanwhile.
    #[error("partition {0} does not exist")]
    UnknownPartition(PartitionId),
    /// Another broker leads the partition, or none.
    #[error("partition {0} is not led here")]
    NotLeader(PartitionId),
    /// The offset lies outside of the log.
    #[error("offset {requested} is outside of {log_start}..={high_watermark}")]
    OffsetOutOfRange {
        /// The offset asked for.
        requested: Offset,
        /// The first offset there is.
        log_start: Offset,
        /// The end of what may be read.
        high_watermark: Offset,
    },
    /// The bytes can not be read, or are not what was written (D5).
    #[error("partition {partition}: {fault}")]
    Faulty {
        /// The partition.
        partition: PartitionId,
        /// What happened.
        fault: Fault,
    },
    /// The answer lies behind the end of what the log has, and acknowledged records are missing there: nobody
    /// is told a shorter log (D2).
    #[error("partition {partition} is not whole: {fault}")]
    Incomplete {
        /// The partition.
        partition: PartitionId,
        /// What is missing, and why.
        fault: Fault,
    },
    /// The reader believes in a leader of before.
    #[error("partition {partition} is in leader epoch {current}, {expected} was expected")]
    FencedLeaderEpoch {
        /// The partition.
        partition: PartitionId,
        /// The present epoch.
        current: LeaderEpoch,
        /// What the reader expected.
        expected: LeaderEpoch,
    },
    /// The reader believes in a leader that is yet to come here.
    #[error("partition {partition} is in leader epoch {current}, {expected} was expected")]
    UnknownLeaderEpoch {
        /// The partition.
        partition: PartitionId,
        /// The present epoch.
        current: LeaderEpoch,
        /// What the reader expected.
        expected: LeaderEpoch,
    },
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopping,
}

/// Why records were not deleted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeleteRecordsError {
    /// No such topic or partition, or it was deleted meanwhile.
    #[error("partition {0} does not exist")]
    UnknownPartition(PartitionId),
    /// Another broker leads the partition, or none.
    #[error("partition {0} is not led here")]
    NotLeader(PartitionId),
    /// The offset lies behind the end of the log.
    #[error("offset {requested} is beyond the high watermark {high_watermark}")]
    OffsetOutOfRange {
        /// The offset asked for.
        requested: Offset,
        /// The end of what may be deleted.
        high_watermark: Offset,
    },
    /// The topic is compacted and not deleted (`cleanup.policy`): its records stay until newer ones of the
    /// same key replace them.
    #[error("partition {0} is compacted: its records can not be deleted")]
    Compacted(PartitionId),
    /// The disk is full, and the new start could not be made durable: nothing has changed (D7).
    #[error("no space left for partition {0}")]
    NoSpace(PartitionId),
    /// The log is damaged, or the new start could not be made durable: nothing has changed for readers (D3).
    #[error("partition {partition}: {fault}")]
    Faulty {
        /// The partition.
        partition: PartitionId,
        /// What happened.
        fault: Fault,
    },
    /// The engine is stopping; whether the records are deleted is not known.
    #[error("the engine is stopping")]
    Stopping,
}

/// Why a log was not truncated.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TruncateError {
    /// No such topic or partition, or it was deleted meanwhile.
    #[error("partition {0} does not exist")]
    UnknownPartition(PartitionId),
    /// The offset lies before the log start.
    #[error("offset {requested} lies before the log start {log_start}")]
    OffsetOutOfRange {
        /// The offset asked for.
        requested: Offset,
        /// The first offset there is.
        log_start: Offset,
    },
    /// The disk is full: the log is what it was, or is truncated and takes appends again as soon as there is
    /// room (D7).
    #[error("no space left for partition {0}")]
    NoSpace(PartitionId),
    /// The log is damaged or fenced, or the truncation could not be made durable: the log is what it was, or
    /// is fenced and truncated by the next start (D3).
    #[error("partition {partition}: {fault}")]
    Faulty {
        /// The partition.
        partition: PartitionId,
        /// What happened.
        fault: Fault,
    },
    /// The engine is stopping; whether the log is truncated is not known.
    #[error("the engine is stopping")]
    Stopping,
}

/// Why a topic was not made, changed or deleted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TopicError {
    /// The name breaks Kafka's rules.
    #[error(transparent)]
    Name(#[from] crate::format::names::TopicNameError),
    /// There is a topic of that name. In Kafka's words, which its tools' users look for.
    #[error("Topic '{0}' already exists.")]
    Exists(String),
    /// There is a topic whose name differs in '.' and '_' only.
    #[error("topic '{name}' collides with '{other}': '.' and '_' count as the same character")]
    Collides {
        /// The name asked for.
        name: String,
        /// The topic there is.
        other: String,
    },
    /// There is no such topic.
    #[error("topic '{0}' does not exist")]
    Unknown(String),
    /// Zero partitions, or more than [`crate::config::PARTITIONS_MAX`].
    #[error("a topic has 1 to {max} partitions, not {found}")]
    Partitions {
        /// The number asked for.
        found: u32,
        /// The most there can be.
        max: u32,
    },
    /// A topic only grows.
    #[error("topic '{name}' has {current} partitions, which {found} would not increase")]
    DoesNotGrow {
        /// The topic.
        name: String,
        /// The partitions that it has.
        current: u32,
        /// The number asked for.
        found: u32,
    },
    /// The topic has no such partition.
    #[error("partition {0} does not exist")]
    UnknownPartition(PartitionId),
    /// The partition has its role in a later leader epoch already.
    #[error("partition {partition} is in leader epoch {}, {} is older", current.0, found.0)]
    StaleLeaderEpoch {
        /// The partition.
        partition: PartitionId,
        /// The present epoch.
        current: LeaderEpoch,
        /// The one asked for.
        found: LeaderEpoch,
    },
    /// A configuration has no such name or does not take the value.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The topic table could not be made durable (D9): nothing has changed.
    #[error("the topic table could not be written: {0}")]
    Storage(Fault),
    /// The disk is full: nothing has changed, the same may succeed later (D7).
    #[error("the disk is full: {0}")]
    NoSpace(Fault),
    /// The engine is stopping; whether what was asked for is done is not known.
    #[error("the engine is stopping")]
    Stopping,
}

/// Why a file of a data directory can not be read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It is not what was written.
    #[error(
        "the file is damaged: {source}; `strandline log verify {data_dir}` says what is, `strandline log repair {data_dir}` what can be put right"
    )]
    Damaged {
        /// The data directory.
        data_dir: PathBuf,
        /// What is wrong.
        source: EnvelopeError,
    },
    /// It has a version that is not known.
    #[error("{source}: a newer release has written the file")]
    Newer {
        /// Which one.
        source: EnvelopeError,
    },
    /// It says whose directory this is, and is gone.
    #[error(
        "the file is missing, but {beside} is there, so that it was there, too: put it back, or have `strandline log repair {data_dir} --apply` make it anew, with another cluster id"
    )]
    NoMeta {
        /// The data directory.
        data_dir: PathBuf,
        /// What was made behind it.
        beside: PathBuf,
    },
    /// The topic table is gone: no record would belong to any topic.
    #[error(
        "the topic table is missing, but {beside} is there: put it back, or have `strandline log salvage {data_dir} --to NEW` take over what is there without it"
    )]
    NoTopics {
        /// The data directory.
        data_dir: PathBuf,
        /// What belongs to a topic.
        beside: PathBuf,
    },
    /// A topic has settings that can not be.
    #[error(transparent)]
    Topics(#[from] ConfigError),
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process holds the data directory.
    #[error("{path} is in use by another process")]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The data directory was written by something newer, or a file that can not be rebuilt is damaged, or
    /// gone.
    #[error("{path}: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What was found.
        source: FormatError,
    },
    /// The data directory belongs to another node than the one that is to be started.
    #[error(
        "{path}: the data directory belongs to node {found}, and node.id={asked} was set: a directory keeps the id it was made with"
    )]
    NodeId {
        /// The file that says so.
        path: PathBuf,
        /// The node that it belongs to.
        found: i32,
        /// The node that was set.
        asked: i32,
    },
    /// The data directory belongs to another cluster.
    #[error(
        "{path}: the data directory belongs to the cluster {found}, and {asked} was asked for: a directory keeps the id it was made with"
    )]
    ClusterId {
        /// The file that says so.
        path: PathBuf,
        /// The cluster that it belongs to.
        found: String,
        /// The cluster that was asked for.
        asked: String,
    },
    /// The system refused something.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was done.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Threads can not have what they are to run on, an io_uring most likely.
    #[error("{source}")]
    Reactor {
        /// What is refused, and what to do about it.
        source: std::io::Error,
    },
    /// The thread that checks large batches could not be made.
    #[error("a thread can not be made: {source}")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
    /// A shard could not start.
    #[error("shard {shard} did not start: {source}")]
    Shard {
        /// The shard.
        shard: usize,
        /// Why.
        source: std::io::Error,
    },
    /// The number of shards is 0 or above [`crate::config::SHARDS_MAX`].
    #[error("an engine has 1 to {max} shards, not {found}")]
    Shards {
        /// The number asked for.
        found: usize,
        /// The most there can be.
        max: usize,
    },
}

/// Since when a transaction is open, for those who read.
fn open(transaction_start: Option<Offset>) -> Cow<'static, str> {
    match transaction_start {
        Some(first) => Cow::Owned(format!("which is open from offset {first} on")),
        None => Cow::Borrowed("and none is open"),
    }
}

pub(crate) fn io_fault(
    operation: &'static str,
    path: impl Into<PathBuf>,
    position: Position,
    source: std::io::Error,
) -> Fault {
    Arc::new(FaultKind::Io { operation, path: path.into(), position, source })
}
