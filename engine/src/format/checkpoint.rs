//! A shard's `checkpoint` file: what is known to be durable in the segments, so that recovery reads only the
//! journal and what lies behind.
//!
//! ```text
//! body, version 3: partition after partition up to the end
//! partition  | topic 16 | index u32 | producer count u32 | log start i64 | segment base i64 | position u64 |
//!            | next offset i64 | max timestamp i64 | high watermark i64 | truncations u32 | epoch count u32 |
//!            | last aborted i64 |                                            then each epoch, then each producer
//! epoch      | start i64 | epoch i32 |
//! producer   | id i64 | last timestamp i64 | epoch i16 | batch count u16 | coordinator epoch i32 |
//!            | open start i64 | marker i64 |                                                  then each batch
//! batch      | base offset i64 | timestamp i64 | first sequence i32 | last sequence i32 |
//! ```
//! In version 2 there were no transactions: a partition ends with its epoch count, a producer with its batch
//! count. In version 1 a partition ends with its max timestamp: the high watermark was the next offset, no
//! log was ever truncated, and every batch was of the leader epoch 0.

use bytes::{BufMut, Bytes};
use zerocopy::little_endian::{I16, I32, I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::envelope::{self, Body, EnvelopeError, Kind, Sealer};
use crate::types::{
    EpochStart, LeaderEpoch, Offset, PartitionId, Position, ProducerEpoch, ProducerId, Sequence, Timestamp,
    TopicId,
};

/// The kind of the file.
pub const CHECKPOINT_KIND: Kind = Kind(*b"STRLCHKP");
/// The version that is written.
pub const CHECKPOINT_VERSION: u16 = 3;
/// The batches of a producer that are remembered to tell a retry from a gap; as many as Kafka's clients keep
/// in flight.
pub const PRODUCER_BATCHES_MAX: usize = 5;

/// The recovery point of one partition: everything before it is durable in segments, everything behind it is
/// in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionCheckpoint {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset that may be read.
    pub log_start: Offset,
    /// The base offset of the segment that the recovery point lies in.
    pub segment_base: Offset,
    /// Where in that segment's `.log` file the recovery point lies.
    pub position: Position,
    /// The offset that the batch at the recovery point has, or would have.
    pub next_offset: Offset,
    /// The largest timestamp of that segment's batches before the recovery point; -1 for none.
    pub max_timestamp: Timestamp,
    /// The end of what consumers may read, or what it was a while ago.
    pub high_watermark: Offset,
    /// How often the log was truncated: a journal's batches from before count no more.
    pub truncations: u32,
    /// The offset of the last marker that has aborted a transaction with records: the last row of the
    /// partition's `aborted` file before the recovery point.
    pub last_aborted: Option<Offset>,
    /// The leader epochs of the batches before the recovery point, ascending in both.
    pub epochs: Vec<EpochStart>,
    /// The state of every producer at the recovery point.
    pub producers: Vec<ProducerCheckpoint>,
}

impl PartitionCheckpoint {
    /// What grows from one row of a partition to a newer one. Of two that end at the same offset, the one in
    /// the later segment is newer: the other's segment may be deleted.
    pub fn progress(&self) -> (u32, Offset, Offset) {
        (self.truncations, self.next_offset, self.segment_base)
    }
}

/// What is known of one producer in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerCheckpoint {
    /// The producer id.
    pub id: ProducerId,
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// When it last appended, by which it is forgotten.
    pub last_timestamp: Timestamp,
    /// Its last batches of that epoch, oldest first, at most [`PRODUCER_BATCHES_MAX`].
    pub batches: Vec<ProducerBatch>,
    /// The first offset of its open transaction.
    pub open: Option<Offset>,
    /// The offset of its last marker.
    pub marker: Option<Offset>,
    /// The epoch of the coordinator that has written that marker.
    pub coordinator_epoch: Option<i32>,
}

/// One batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    /// The sequence of its first record.
    pub first_sequence: Sequence,
    /// The sequence of its last record.
    pub last_sequence: Sequence,
    /// The base offset that it got.
    pub base_offset: Offset,
    /// The timestamp that its producer was answered.
    pub timestamp: Timestamp,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct PartitionRow {
    topic: [u8; 16],
    index: U32,
    producer_count: U32,
    log_start: I64,
    segment_base: I64,
    position: U64,
    next_offset: I64,
    max_timestamp: I64,
}

/// What version 2 has behind it.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ReplicaRow {
    high_watermark: I64,
    truncations: U32,
    epoch_count: U32,
}

/// What version 3 has behind it.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct AbortedRow {
    last_aborted: I64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct EpochRow {
    start: I64,
    epoch: I32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ProducerRow {
    id: I64,
    last_timestamp: I64,
    epoch: I16,
    batch_count: U16,
}

/// What version 3 has behind it.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TransactionRow {
    coordinator_epoch: I32,
    open: I64,
    marker: I64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct BatchRow {
    base_offset: I64,
    timestamp: I64,
    first_sequence: I32,
    last_sequence: I32,
}

const _: () = {
    assert!(size_of::<PartitionRow>() == 64);
    assert!(std::mem::offset_of!(PartitionRow, log_start) == 24);
    assert!(std::mem::offset_of!(PartitionRow, max_timestamp) == 56);
    assert!(size_of::<ReplicaRow>() == 16);
    assert!(std::mem::offset_of!(ReplicaRow, truncations) == 8);
    assert!(std::mem::offset_of!(ReplicaRow, epoch_count) == 12);
    assert!(size_of::<EpochRow>() == 12);
    assert!(std::mem::offset_of!(EpochRow, epoch) == 8);
    assert!(size_of::<ProducerRow>() == 20);
    assert!(std::mem::offset_of!(ProducerRow, epoch) == 16);
    assert!(size_of::<TransactionRow>() == 20);
    assert!(std::mem::offset_of!(TransactionRow, open) == 4);
    assert!(std::mem::offset_of!(TransactionRow, marker) == 12);
    assert!(size_of::<AbortedRow>() == 8);
    assert!(size_of::<BatchRow>() == 24);
    assert!(std::mem::offset_of!(BatchRow, first_sequence) == 16);
};

/// A checkpoint in the making. Partitions may be pushed over several turns of the shard.
#[derive(Debug)]
pub struct CheckpointEncoder {
    file: Sealer,
}

impl Default for CheckpointEncoder {
    fn default() -> CheckpointEncoder {
        CheckpointEncoder::new()
    }
}

impl CheckpointEncoder {
    /// A checkpoint without partitions.
    pub fn new() -> CheckpointEncoder {
        CheckpointEncoder { file: Sealer::new(CHECKPOINT_KIND, CHECKPOINT_VERSION) }
    }

    /// Appends one partition.
    ///
    /// # Panics
    /// For more than [`PRODUCER_BATCHES_MAX`] batches, or a negative producer id: the log keeps neither.
    pub fn push(&mut self, checkpoint: &PartitionCheckpoint) {
        let body = self.file.body();
        let row = PartitionRow {
            topic: checkpoint.partition.topic.to_bytes(),
            index: U32::new(checkpoint.partition.index),
            producer_count: U32::new(checkpoint.producers.len() as u32),
            log_start: I64::new(checkpoint.log_start.get()),
            segment_base: I64::new(checkpoint.segment_base.get()),
            position: U64::new(checkpoint.position.0),
            next_offset: I64::new(checkpoint.next_offset.get()),
            max_timestamp: I64::new(checkpoint.max_timestamp.0),
        };
        body.put_slice(row.as_bytes());
        let row = ReplicaRow {
            high_watermark: I64::new(checkpoint.high_watermark.get()),
            truncations: U32::new(checkpoint.truncations),
            epoch_count: U32::new(checkpoint.epochs.len() as u32),
        };
        body.put_slice(row.as_bytes());
        body.put_slice(AbortedRow { last_aborted: field(checkpoint.last_aborted) }.as_bytes());
        for EpochStart { epoch, start } in &checkpoint.epochs {
            let row = EpochRow { start: I64::new(start.get()), epoch: I32::new(epoch.0) };
            body.put_slice(row.as_bytes());
        }
        for producer in &checkpoint.producers {
            assert!(producer.batches.len() <= PRODUCER_BATCHES_MAX, "at most five batches are remembered");
            assert!(!producer.id.is_none(), "a producer has an id");
            let row = ProducerRow {
                id: I64::new(producer.id.0),
                last_timestamp: I64::new(producer.last_timestamp.0),
                epoch: I16::new(producer.epoch.0),
                batch_count: U16::new(producer.batches.len() as u16),
            };
            body.put_slice(row.as_bytes());
            let row = TransactionRow {
                coordinator_epoch: I32::new(producer.coordinator_epoch.unwrap_or(-1)),
                open: field(producer.open),
                marker: field(producer.marker),
            };
            body.put_slice(row.as_bytes());
            for batch in &producer.batches {
                let row = BatchRow {
                    base_offset: I64::new(batch.base_offset.get()),
                    timestamp: I64::new(batch.timestamp.0),
                    first_sequence: I32::new(batch.first_sequence.0),
                    last_sequence: I32::new(batch.last_sequence.0),
                };
                body.put_slice(row.as_bytes());
            }
        }
    }

    /// The whole file.
    pub fn finish(self) -> Bytes {
        self.file.finish()
    }
}

/// Reads a whole file.
///
/// # Errors
/// [`EnvelopeError`]; `Body` also for a negative offset, epoch or producer id, for too many batches, for a
/// recovery point before the log start or before its segment, for epochs that do not ascend or begin behind
/// the recovery point, and for transactions and markers that do not lie before it.
pub fn decode(bytes: &[u8]) -> Result<Vec<PartitionCheckpoint>, EnvelopeError> {
    let (version, mut body) = envelope::open_upto(CHECKPOINT_KIND, CHECKPOINT_VERSION, bytes)?;
    let mut partitions = Vec::new();
    while !body.is_empty() {
        partitions.push(decode_partition(version, &mut body)?);
    }
    Ok(partitions)
}

fn decode_partition(version: u16, body: &mut Body<'_>) -> Result<PartitionCheckpoint, EnvelopeError> {
    let row = body.row::<PartitionRow>()?;
    let mut checkpoint = PartitionCheckpoint {
        partition: PartitionId::new(TopicId::from_bytes(row.topic), row.index.get()),
        log_start: offset(body, row.log_start)?,
        segment_base: offset(body, row.segment_base)?,
        position: Position(row.position.get()),
        next_offset: offset(body, row.next_offset)?,
        max_timestamp: Timestamp(row.max_timestamp.get()),
        high_watermark: offset(body, row.next_offset)?,
        truncations: 0,
        last_aborted: None,
        epochs: Vec::new(),
        producers: Vec::new(),
    };
    // What is durable reaches beyond the log start and the base of its last segment, or this is not a
    // recovery point of ours.
    if checkpoint.next_offset < checkpoint.log_start.max(checkpoint.segment_base) {
        return Err(body.malformed());
    }
    match version {
        1 => checkpoint.epochs.push(EpochStart { epoch: LeaderEpoch::FIRST, start: checkpoint.log_start }),
        _ => decode_replica(version, body, &mut checkpoint)?,
    }
    // The count is not trusted with memory: the list grows only by what was read.
    for _ in 0..row.producer_count.get() {
        let producer = decode_producer(version, body, checkpoint.next_offset)?;
        checkpoint.producers.push(producer);
    }
    Ok(checkpoint)
}

fn decode_replica(
    version: u16,
    body: &mut Body<'_>,
    checkpoint: &mut PartitionCheckpoint,
) -> Result<(), EnvelopeError> {
    let row = body.row::<ReplicaRow>()?;
    checkpoint.high_watermark = offset(body, row.high_watermark)?;
    checkpoint.truncations = row.truncations.get();
    if version >= 3 {
        let last_aborted = body.row::<AbortedRow>()?.last_aborted;
        checkpoint.last_aborted = offset_before(body, last_aborted, checkpoint.next_offset)?;
    }
    for _ in 0..row.epoch_count.get() {
        let row = body.row::<EpochRow>()?;
        let next = EpochStart { epoch: LeaderEpoch(row.epoch.get()), start: offset(body, row.start)? };
        let ascends = |last: &EpochStart| last.epoch < next.epoch && last.start < next.start;
        let fits = next.epoch >= LeaderEpoch::FIRST && next.start <= checkpoint.next_offset;
        if !fits || !checkpoint.epochs.last().is_none_or(ascends) {
            return Err(body.malformed());
        }
        checkpoint.epochs.push(next);
    }
    Ok(())
}

fn decode_producer(
    version: u16,
    body: &mut Body<'_>,
    next_offset: Offset,
) -> Result<ProducerCheckpoint, EnvelopeError> {
    let row = body.row::<ProducerRow>()?;
    let (id, batch_count) = (ProducerId(row.id.get()), usize::from(row.batch_count.get()));
    if batch_count > PRODUCER_BATCHES_MAX || id.is_none() {
        return Err(body.malformed());
    }
    let (mut open, mut marker, mut coordinator_epoch) = (None, None, None);
    if version >= 3 {
        let row = body.row::<TransactionRow>()?;
        coordinator_epoch = Some(row.coordinator_epoch.get()).filter(|epoch| *epoch >= 0);
        open = offset_before(body, row.open, next_offset)?;
        marker = offset_before(body, row.marker, next_offset)?;
    }
    let mut batches = Vec::with_capacity(batch_count);
    for _ in 0..batch_count {
        let row = body.row::<BatchRow>()?;
        batches.push(ProducerBatch {
            first_sequence: Sequence(row.first_sequence.get()),
            last_sequence: Sequence(row.last_sequence.get()),
            base_offset: offset(body, row.base_offset)?,
            timestamp: Timestamp(row.timestamp.get()),
        });
    }
    Ok(ProducerCheckpoint {
        id,
        epoch: ProducerEpoch(row.epoch.get()),
        last_timestamp: Timestamp(row.last_timestamp.get()),
        batches,
        open,
        marker,
        coordinator_epoch,
    })
}

fn offset(body: &Body<'_>, field: I64) -> Result<Offset, EnvelopeError> {
    Offset::checked(field.get()).ok_or_else(|| body.malformed())
}

/// An offset before `end`, or -1 for none.
fn offset_before(body: &Body<'_>, field: I64, end: Offset) -> Result<Option<Offset>, EnvelopeError> {
    match field.get() {
        -1 => Ok(None),
        _ => offset(body, field).and_then(|found| match found < end {
            true => Ok(Some(found)),
            false => Err(body.malformed()),
        }),
    }
}

fn field(offset: Option<Offset>) -> I64 {
    I64::new(offset.map_or(-1, Offset::get))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_and_markers_lie_before_the_recovery_point() {
        let file = |last_aborted: i64, open: i64, marker: i64| {
            let [last_aborted, open, marker] = [last_aborted, open, marker].map(Offset::checked);
            let mut encoder = CheckpointEncoder::new();
            encoder.push(&PartitionCheckpoint {
                partition: PartitionId::new(TopicId::from_bytes([1; 16]), 0),
                log_start: Offset::ZERO,
                segment_base: Offset::ZERO,
                position: Position::ZERO,
                next_offset: Offset::new(10),
                max_timestamp: Timestamp::NONE,
                high_watermark: Offset::new(10),
                truncations: 0,
                last_aborted,
                epochs: Vec::new(),
                producers: vec![ProducerCheckpoint {
                    id: ProducerId(7),
                    epoch: ProducerEpoch(1),
                    last_timestamp: Timestamp(1),
                    batches: Vec::new(),
                    open,
                    marker,
                    coordinator_epoch: None,
                }],
            });
            decode(&encoder.finish())
        };
        for good in [[-1, -1, -1], [0, 0, 0], [9, 9, 9]] {
            assert!(file(good[0], good[1], good[2]).is_ok(), "{good:?}");
        }
        for bad in [[10, -1, -1], [-1, 10, -1], [-1, -1, 10]] {
            let read = file(bad[0], bad[1], bad[2]);
            assert!(matches!(read, Err(EnvelopeError::Body { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_recovery_point_lies_not_before_its_log_start_or_its_segment() {
        let file = |log_start, segment_base, next_offset| {
            let mut encoder = CheckpointEncoder::new();
            encoder.push(&PartitionCheckpoint {
                partition: PartitionId::new(TopicId::from_bytes([1; 16]), 0),
                log_start: Offset::new(log_start),
                segment_base: Offset::new(segment_base),
                position: Position::ZERO,
                next_offset: Offset::new(next_offset),
                max_timestamp: Timestamp::NONE,
                high_watermark: Offset::new(next_offset),
                truncations: 0,
                last_aborted: None,
                epochs: Vec::new(),
                producers: Vec::new(),
            });
            encoder.finish()
        };
        assert!(decode(&file(5, 5, 5)).is_ok());
        for broken in [file(6, 5, 5), file(5, 6, 5)] {
            assert_eq!(decode(&broken), Err(EnvelopeError::Body { position: size_of::<PartitionRow>() }));
        }
    }

    #[test]
    fn epochs_ascend_and_begin_before_the_recovery_point() {
        let file = |epochs: &[(i32, i64)]| {
            let row = |(epoch, start): &(i32, i64)| EpochStart {
                epoch: LeaderEpoch(*epoch),
                start: Offset::new(*start),
            };
            let mut encoder = CheckpointEncoder::new();
            encoder.push(&PartitionCheckpoint {
                partition: PartitionId::new(TopicId::from_bytes([1; 16]), 0),
                log_start: Offset::ZERO,
                segment_base: Offset::ZERO,
                position: Position::ZERO,
                next_offset: Offset::new(10),
                max_timestamp: Timestamp::NONE,
                high_watermark: Offset::new(10),
                truncations: 3,
                last_aborted: None,
                epochs: epochs.iter().map(row).collect(),
                producers: Vec::new(),
            });
            decode(&encoder.finish())
        };
        for good in [&[][..], &[(0, 0)], &[(4, 0), (9, 3), (10, 10)]] {
            assert_eq!(file(good).expect("they ascend")[0].epochs.len(), good.len());
        }
        for bad in [&[(-1, 0)][..], &[(0, 11)], &[(4, 0), (4, 3)], &[(4, 3), (5, 3)], &[(5, 0), (4, 3)]] {
            assert!(matches!(file(bad), Err(EnvelopeError::Body { .. })), "{bad:?}");
        }
    }
}
