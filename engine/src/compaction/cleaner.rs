//! What is left of a batch.
//!
//! | a record | stays |
//! |---|---|
//! | at or behind the end of the offset map | yes: nothing is known about it yet |
//! | without a key | no: no topic that is compacted takes one, but it may have been another kind of topic before |
//! | of an aborted transaction | no |
//! | older than its key's newest | no |
//! | a tombstone, newest of its key or of none that is dirty | until its batch's delete horizon |
//! | anything else | yes |
//!
//! | a batch | becomes |
//! |---|---|
//! | of markers that are needed, or wholly behind the end of the map | itself, byte for byte |
//! | of a marker that is not needed | itself, with a delete horizon; behind that nothing, unless it has the last epoch of its producer |
//! | all records stay | itself, byte for byte; if there is a tombstone and no delete horizon yet, rewritten with one |
//! | some stay | rewritten with those |
//! | none stays | nothing; its header alone if it has its producer's last sequence |
//!
//! The delete horizon (KIP-534) takes the place of the base timestamp, and attribute bit 6 says so; the
//! records' timestamp deltas count from it then, so that every record keeps its timestamp.

use std::collections::HashMap;

use bytes::BytesMut;

use super::unpacked::{Unpacked, verified};
use super::{OffsetMap, Part};
use crate::config::CompressionLevels;
use crate::format::batch::{self, BatchHeader, Remains, TimestampType};
use crate::format::compression::{Codec, compress};
use crate::format::record::{self, Records, RecordsError};
use crate::types::{Offset, ProducerEpoch, ProducerId, Timestamp};

/// The rules of one round.
pub struct Cleaner<'a> {
    /// The newest offset of each key.
    pub map: &'a OffsetMap,
    /// What has to stay of each active producer.
    pub producers: &'a HashMap<ProducerId, LastOfProducer>,
    /// The time of the round.
    pub now: Timestamp,
    /// Milliseconds that a tombstone stays (`delete.retention.ms`).
    pub delete_retention_ms: i64,
    /// How thoroughly what is left is packed.
    pub levels: CompressionLevels,
}

/// The last that the log has of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastOfProducer {
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The last offset that it has appended in this epoch; `None` where the epoch has come with a marker.
    pub offset: Option<Offset>,
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
    /// [`RecordsError`] for a batch that is damaged.
    pub fn clean(&self, batch: &[u8], part: Part) -> Result<Cleaned, RecordsError> {
        let header = verified(batch)?;
        if part == Part::Marker || header.base_offset() >= self.map.end() {
            return Ok(Cleaned::Same);
        }
        if part == Part::Aborted {
            return Ok(self.without_records(header));
        }
        let unpacked = Unpacked::new(header, batch)?;
        if part == Part::SpentMarker {
            return self.spent(&unpacked);
        }
        let survivors = self.survivors(&unpacked)?;
        if survivors.count == 0 {
            return Ok(self.without_records(header));
        }
        let horizon = (survivors.has_tombstone && !header.has_delete_horizon())
            .then(|| self.now.plus(self.delete_retention_ms));
        if survivors.bytes.is_none() && horizon.is_none() {
            return Ok(Cleaned::Same);
        }
        Ok(Cleaned::Rewritten(rewritten(&unpacked, &survivors, horizon, &self.levels)))
    }

    /// What is left of a batch without any record.
    fn without_records(&self, header: &BatchHeader) -> Cleaned {
        match self.is_last_of_producer(header) {
            true if header.record_count() == 0 => Cleaned::Same,
            true => Cleaned::Rewritten(emptied(header)),
            false => Cleaned::Removed,
        }
    }

    /// What is left of a marker whose transaction has no record any more.
    fn spent(&self, unpacked: &Unpacked<'_>) -> Result<Cleaned, RecordsError> {
        let header = unpacked.header;
        if header.record_count() > 0 && !header.has_delete_horizon() {
            let mut all = Survivors::none();
            for record in unpacked.records() {
                all.count += 1;
                all.max_timestamp = all.max_timestamp.max(record?.timestamp);
            }
            let horizon = Some(self.now.plus(self.delete_retention_ms));
            return Ok(Cleaned::Rewritten(rewritten(unpacked, &all, horizon, &self.levels)));
        }
        let is_over = header.record_count() == 0 || self.now >= header.base_timestamp();
        Ok(match is_over && !self.is_last_of_producer(header) {
            true => Cleaned::Removed,
            false => Cleaned::Same,
        })
    }

    fn survivors(&self, unpacked: &Unpacked<'_>) -> Result<Survivors, RecordsError> {
        let header = unpacked.header;
        let horizon = header.has_delete_horizon().then(|| header.base_timestamp());
        let keeps_tombstones = horizon.is_none_or(|horizon| self.now < horizon);
        let mut survivors = Survivors::none();
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

    /// Whether no later batch in the log has the last sequence of its producer, or else the last epoch.
    pub(super) fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let Some(producer) = header.producer() else { return false };
        self.producers.get(&producer.id).is_some_and(|last| match last.offset {
            Some(offset) => offset == header.last_offset(),
            None => header.is_control() && producer.epoch == last.epoch,
        })
    }
}

impl Survivors {
    fn none() -> Survivors {
        Survivors { bytes: None, count: 0, max_timestamp: Timestamp::NONE, has_tombstone: false }
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
