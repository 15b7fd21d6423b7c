//! What is left of a batch.
//!
//! | a record | stays |
//! |---|---|
//! | at or behind the end of the offset map | yes: nothing is known about it yet |
//! | without a key | no: no topic that is compacted takes one, but it may have been another kind of topic before |
//! | older than its key's newest | no |
//! | a tombstone, newest of its key or of none that is dirty | until its batch's delete horizon |
//! | anything else | yes |
//!
//! | a batch | becomes |
//! |---|---|
//! | of markers, or wholly behind the end of the map | itself, byte for byte |
//! | all records stay | itself, byte for byte; if there is a tombstone and no delete horizon yet, rewritten with one |
//! | some stay | rewritten with those |
//! | none stays | nothing; its header alone if it has its producer's last sequence |
//!
//! The delete horizon (KIP-534) takes the place of the base timestamp, and attribute bit 6 says so; the
//! records' timestamp deltas count from it then, so that every record keeps its timestamp.

use std::collections::HashMap;

use bytes::BytesMut;

use super::unpacked::{Unpacked, verified};
use super::{CompactionError, OffsetMap};
use crate::config::CompressionLevels;
use crate::format::batch::{self, BatchHeader, Remains, TimestampType};
use crate::format::compression::{Codec, compress};
use crate::format::record::{self, Records};
use crate::types::{Offset, ProducerId, Timestamp};

/// The rules of one round.
pub struct Cleaner<'a> {
    /// The newest offset of each key.
    pub map: &'a OffsetMap,
    /// The last offset that each active producer has appended.
    pub producers: &'a HashMap<ProducerId, Offset>,
    /// The time of the round.
    pub now: Timestamp,
    /// Milliseconds that a tombstone stays (`delete.retention.ms`).
    pub delete_retention_ms: i64,
    /// How thoroughly what is left is packed.
    pub levels: CompressionLevels,
}

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleaned {
    /// The batch as it is.
    Same,
    /// This one in its place: fewer records, a delete horizon, or both.
    Rewritten(BytesMut),
    /// Nothing.
    Removed,
}

/// The records that stay.
struct Survivors {
    /// As they stand in the batch; `None` when all of them stay.
    bytes: Option<Vec<u8>>,
    count: i32,
    max_timestamp: Timestamp,
    has_tombstone: bool,
}

impl Cleaner<'_> {
    /// Decides about exactly one batch.
    ///
    /// # Errors
    /// [`CompactionError`] for a batch that is damaged.
    pub fn clean(&self, batch: &[u8]) -> Result<Cleaned, CompactionError> {
        let header = verified(batch)?;
        if header.is_control() || header.base_offset() >= self.map.end() {
            return Ok(Cleaned::Same);
        }
        let unpacked = Unpacked::new(header, batch)?;
        let survivors = self.survivors(&unpacked)?;
        if survivors.count == 0 {
            return Ok(match self.is_last_of_producer(header) {
                true if header.record_count() == 0 => Cleaned::Same,
                true => Cleaned::Rewritten(emptied(header)),
                false => Cleaned::Removed,
            });
        }
        let horizon = (survivors.has_tombstone && !header.has_delete_horizon())
            .then(|| self.now.plus(self.delete_retention_ms));
        if survivors.bytes.is_none() && horizon.is_none() {
            return Ok(Cleaned::Same);
        }
        Ok(Cleaned::Rewritten(rewritten(&unpacked, &survivors, horizon, &self.levels)))
    }

    fn survivors(&self, unpacked: &Unpacked<'_>) -> Result<Survivors, CompactionError> {
        let header = unpacked.header;
        let horizon = header.has_delete_horizon().then(|| header.base_timestamp());
        let keeps_tombstones = horizon.is_none_or(|horizon| self.now < horizon);
        let mut survivors =
            Survivors { bytes: None, count: 0, max_timestamp: Timestamp::NONE, has_tombstone: false };
        let mut passed = 0;
        for record in unpacked.records() {
            let record = record?;
            let is_tombstone = record.record.value.is_none();
            let stays = record.offset >= self.map.end()
                || record.record.key.is_some_and(|key| {
                    let is_newest = self.map.newest(key).is_none_or(|newest| record.offset >= newest);
                    is_newest && (!is_tombstone || keeps_tombstones)
                });
            match (&mut survivors.bytes, stays) {
                (Some(bytes), true) => bytes.extend_from_slice(record.bytes),
                (None, false) => survivors.bytes = Some(unpacked.records[..passed].to_vec()),
                (Some(_), false) | (None, true) => {}
            }
            passed += record.bytes.len();
            if stays {
                survivors.count += 1;
                survivors.max_timestamp = survivors.max_timestamp.max(record.timestamp);
                survivors.has_tombstone |= is_tombstone;
            }
        }
        Ok(survivors)
    }

    /// Whether no later sequence of its producer is in the log.
    pub(super) fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let last = header.producer().and_then(|producer| self.producers.get(&producer.id));
        last.is_some_and(|last| *last == header.last_offset())
    }
}

/// The batch with the records that stay, and with the delete horizon that it is given, if any.
fn rewritten(
    unpacked: &Unpacked<'_>,
    survivors: &Survivors,
    horizon: Option<Timestamp>,
    levels: &CompressionLevels,
) -> BytesMut {
    let header = unpacked.header;
    let kept = survivors.bytes.as_deref().unwrap_or(&unpacked.records);
    let base_timestamp = header.base_timestamp();
    let moved;
    let records = match horizon {
        None => kept,
        Some(horizon) => {
            moved = moved_to(kept, survivors.count, base_timestamp, horizon);
            &moved
        }
    };
    let packed;
    let records = match unpacked.codec {
        Codec::None => records,
        codec => {
            packed = compress(levels.packing(codec), records);
            &packed
        }
    };
    let remains = Remains {
        codec: unpacked.codec,
        record_count: survivors.count,
        base_timestamp: horizon.unwrap_or(base_timestamp),
        max_timestamp: match header.timestamp_type() {
            TimestampType::CreateTime => survivors.max_timestamp,
            TimestampType::LogAppendTime => header.max_timestamp(),
        },
        delete_horizon: horizon.is_some() || header.has_delete_horizon(),
    };
    batch::with_remains(header, &remains, records)
}

/// The records with timestamp deltas that count from `to` instead of `from`.
fn moved_to(records: &[u8], count: i32, from: Timestamp, to: Timestamp) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() + records.len() / 8);
    let mut walk = Records::new(records, count as u32);
    loop {
        let before = walk.rest();
        let Some(record) = walk.next() else { return out };
        let delta = record.expect("it was read before").timestamp_delta;
        let bytes = &before[..before.len() - walk.rest().len()];
        // A sum that leaves 64 bits wraps, here as where it is read.
        record::write_at_delta(&mut out, bytes, from.with_delta(delta).delta_from(to));
    }
}

/// The header alone, as Kafka leaves it: offsets, producer, sequence and largest timestamp stay.
fn emptied(header: &BatchHeader) -> BytesMut {
    let remains = Remains {
        codec: Codec::None,
        record_count: 0,
        base_timestamp: Timestamp::NONE,
        max_timestamp: header.max_timestamp(),
        delete_horizon: false,
    };
    batch::with_remains(header, &remains, &[])
}
