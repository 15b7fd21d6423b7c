//! Decides whether a client's bytes may become part of a log. What passes is a [`CheckedBatch`], and only that can be appended.
//!
//! The order is that of Kafka's broker, from cheap to dear: shape, size, sum, header rules, then every record. Two rules are
//! stricter than Kafka's, because what is stored here is never rewritten: the offset deltas must be 0, 1, 2, ... in every batch (Kafka
//! rewrites a compressed one and lets an uncompressed one pass), and bytes after the batch are refused (Kafka drops a cut batch).

use bytes::BytesMut;

use super::batch::{self, BATCH_HEADER_BYTES, BATCH_MAGIC, BatchError, BatchHeader, TimestampType};
use super::compression::{self, Codec, DecompressError};
use super::record::{Record, RecordError, RecordProblem, Records};
use crate::types::{LeaderEpoch, NO_TIMESTAMP, Offset, Timestamp};

/// The rejected records that an error names; the rest are only counted.
pub const REJECTED_RECORDS_MAX: usize = 100;

/// What a topic asks of a batch.
#[derive(Clone, Copy, Debug)]
pub struct CheckRules {
    /// The largest batch, header included (`max.message.bytes`).
    pub bytes_max: usize,
    /// Whether every record needs a key: the topic is compacted.
    pub keys_required: bool,
    /// Who gives the timestamps (`message.timestamp.type`).
    pub timestamp_type: TimestampType,
    /// How many milliseconds before `now` a record may lie (`message.timestamp.before.max.ms`). Not used for LogAppendTime.
    pub before_max_ms: i64,
    /// How many milliseconds after `now` a record may lie (`message.timestamp.after.max.ms`). Not used for LogAppendTime.
    pub after_max_ms: i64,
    /// The time of the append.
    pub now: Timestamp,
    /// The most that compressed records may unpack to.
    pub decompressed_bytes_max: usize,
}

/// Why a batch may not be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// There are no bytes.
    #[error("no record batch")]
    NoBatch,
    /// The batch is of an older or unknown version.
    #[error("record batch version {found}, expected {BATCH_MAGIC}")]
    Magic {
        /// The version byte.
        found: u8,
    },
    /// Something follows the first batch.
    #[error("{found} bytes where the one allowed batch has {batch_bytes}")]
    ManyBatches {
        /// The bytes of the first batch.
        batch_bytes: usize,
        /// The bytes that came.
        found: usize,
    },
    /// The batch is larger than the topic allows.
    #[error("a batch of {found} bytes, at most {bytes_max} are allowed")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
        /// The bytes of the batch.
        found: usize,
    },
    /// The bytes are damaged: cut off, an impossible length or offset range, or a wrong sum.
    #[error(transparent)]
    Corrupt(BatchError),
    /// A client numbers its records from 0.
    #[error("base offset {found}, expected 0")]
    BaseOffset {
        /// The base offset field.
        found: i64,
    },
    /// Last offset delta and record count do not fit together.
    #[error("last offset delta {last_offset_delta} with {record_count} records")]
    Counts {
        /// The last offset delta field.
        last_offset_delta: i32,
        /// The record count field.
        record_count: i32,
    },
    /// Markers are the log's own to write.
    #[error("a control batch from a client")]
    Control,
    /// A producer id without a sequence.
    #[error("producer id {producer_id} with base sequence {base_sequence}")]
    Sequence {
        /// The producer id field.
        producer_id: i64,
        /// The base sequence field.
        base_sequence: i32,
    },
    /// The attributes name a codec that does not exist.
    #[error("unknown compression codec {found}")]
    Codec {
        /// The codec bits of the attributes.
        found: u8,
    },
    /// Only the log may say LogAppendTime.
    #[error("a LogAppendTime batch for a CreateTime topic")]
    LogAppendTime,
    /// The records can not be unpacked, or unpack to too much.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// The records can not be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A record has another offset delta than its place in the batch.
    #[error("record {expected} has the offset delta {found}")]
    OffsetDelta {
        /// The number of the record, from 0.
        expected: u32,
        /// Its offset delta.
        found: i32,
    },
    /// The records can be read, but the topic's rules refuse some.
    #[error("{} records refused, the first is number {}: {}", .0.total, .0.first().index, .0.first().reason.text())]
    Rejected(RejectedRecords),
}

/// Records that a topic's rules refuse, in the order of the batch; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecords {
    named: Vec<RejectedRecord>,
    total: usize,
    any_timestamp: bool,
}

impl RejectedRecords {
    /// The first [`REJECTED_RECORDS_MAX`] of them.
    pub fn named(&self) -> &[RejectedRecord] {
        &self.named
    }

    /// How many there are in all.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Whether any was refused for its timestamp, which then is the answer for the batch.
    pub fn any_timestamp(&self) -> bool {
        self.any_timestamp
    }

    fn first(&self) -> RejectedRecord {
        self.named[0]
    }

    fn add(&mut self, index: u32, reason: RejectReason) {
        self.total += 1;
        self.any_timestamp |= reason != RejectReason::MissingKey;
        if self.named.len() < REJECTED_RECORDS_MAX {
            self.named.push(RejectedRecord { index, reason });
        }
    }
}

/// One refused record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Its number in the batch, from 0.
    pub index: u32,
    /// Why it is refused.
    pub reason: RejectReason,
}

/// Why a record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// A compacted topic keeps records by their keys.
    MissingKey,
    /// Older than the topic allows.
    TimestampTooOld,
    /// Further in the future than the topic allows.
    TimestampTooNew,
}

impl RejectReason {
    /// The sentence that travels to the client.
    pub const fn text(self) -> &'static str {
        match self {
            RejectReason::MissingKey => "a compacted topic takes no record without a key",
            RejectReason::TimestampTooOld => {
                "the timestamp is older than message.timestamp.before.max.ms allows"
            }
            RejectReason::TimestampTooNew => {
                "the timestamp is further ahead than message.timestamp.after.max.ms allows"
            }
        }
    }
}

/// Exactly one whole batch that passed [`check`], with a right sum and a right max timestamp.
#[derive(Debug)]
pub struct CheckedBatch {
    bytes: BytesMut,
}

impl CheckedBatch {
    /// The header.
    pub fn header(&self) -> &BatchHeader {
        BatchHeader::raw(&self.bytes).expect("a checked batch has a header")
    }

    /// The bytes of the batch, header included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a batch has a header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Gives the batch its place in the log.
    ///
    /// # Panics
    /// When its last offset would leave the range of offsets.
    pub fn stamp(&mut self, base_offset: Offset, epoch: LeaderEpoch) {
        let span = i64::from(self.header().last_offset_delta()) + 1;
        assert!(base_offset.checked_add(span).is_some(), "a log ends below 2^63");
        batch::stamp(&mut self.bytes, base_offset, epoch);
    }

    /// The bytes.
    pub fn into_bytes_mut(self) -> BytesMut {
        self.bytes
    }
}

impl AsRef<[u8]> for CheckedBatch {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Takes what a client sent for one partition.
///
/// Uncompressed records are walked in place; compressed ones are unpacked into memory that is dropped on return. A wrong max
/// timestamp is corrected, and a LogAppendTime topic's batch gets its time, both with a new sum.
///
/// # Errors
/// [`CheckError`]; the bytes are dropped then.
pub fn check(mut bytes: BytesMut, rules: &CheckRules) -> Result<CheckedBatch, CheckError> {
    let header = check_header(&bytes, rules)?;
    let base_timestamp = header.base_timestamp();
    let claimed_max = header.max_timestamp();
    let count = header.record_count() as u32;
    let codec = header.codec().map_err(|_| CheckError::Codec { found: (header.attributes() & 7) as u8 })?;

    let packed = &bytes[BATCH_HEADER_BYTES..];
    let max_timestamp = match codec {
        Codec::None => check_records(packed, count, base_timestamp, rules)?,
        codec => {
            let records = compression::decompress(codec, packed, rules.decompressed_bytes_max)?;
            check_records(&records, count, base_timestamp, rules)?
        }
    };
    match rules.timestamp_type {
        TimestampType::LogAppendTime => batch::set_log_append_time(&mut bytes, rules.now),
        TimestampType::CreateTime if max_timestamp != claimed_max => {
            batch::set_max_timestamp(&mut bytes, max_timestamp);
        }
        TimestampType::CreateTime => {}
    }
    Ok(CheckedBatch { bytes })
}

fn check_header<'a>(bytes: &'a [u8], rules: &CheckRules) -> Result<&'a BatchHeader, CheckError> {
    if bytes.is_empty() {
        return Err(CheckError::NoBatch);
    }
    let Some(header) = BatchHeader::raw(bytes) else {
        let error = BatchError::Truncated { needed: BATCH_HEADER_BYTES, found: bytes.len() };
        return Err(CheckError::Corrupt(error));
    };
    let raw = header.raw_fields();
    if raw.magic != BATCH_MAGIC {
        return Err(CheckError::Magic { found: raw.magic });
    }
    if raw.length < (BATCH_HEADER_BYTES - batch::BATCH_OVERHEAD_BYTES) as i32 {
        return Err(CheckError::Corrupt(BatchError::Length { found: raw.length }));
    }
    let batch_bytes = header.total_bytes();
    if batch_bytes < bytes.len() {
        return Err(CheckError::ManyBatches { batch_bytes, found: bytes.len() });
    }
    if batch_bytes > rules.bytes_max {
        return Err(CheckError::TooLarge { bytes_max: rules.bytes_max, found: batch_bytes });
    }
    if batch_bytes > bytes.len() {
        let error = BatchError::Truncated { needed: batch_bytes, found: bytes.len() };
        return Err(CheckError::Corrupt(error));
    }
    batch::verify_crc(bytes).map_err(CheckError::Corrupt)?;

    if raw.base_offset != 0 {
        return Err(CheckError::BaseOffset { found: raw.base_offset });
    }
    let (last_offset_delta, record_count) = (header.last_offset_delta(), header.record_count());
    if record_count <= 0 || last_offset_delta != record_count - 1 {
        return Err(CheckError::Counts { last_offset_delta, record_count });
    }
    if header.is_control() {
        return Err(CheckError::Control);
    }
    let (producer_id, base_sequence) = (header.producer_id(), header.base_sequence());
    if producer_id >= 0 && base_sequence < 0 {
        return Err(CheckError::Sequence { producer_id, base_sequence });
    }
    let claims_log_time = header.timestamp_type() == TimestampType::LogAppendTime;
    if claims_log_time && rules.timestamp_type == TimestampType::CreateTime {
        return Err(CheckError::LogAppendTime);
    }
    Ok(header)
}

/// Walks all records and returns the largest timestamp.
fn check_records(
    records: &[u8],
    count: u32,
    base_timestamp: Timestamp,
    rules: &CheckRules,
) -> Result<Timestamp, CheckError> {
    let mut max_timestamp = NO_TIMESTAMP;
    let mut rejected = RejectedRecords { named: Vec::new(), total: 0, any_timestamp: false };
    for (index, record) in (0..).zip(Records::new(records, count)) {
        let record = record?;
        let in_record = |problem: RecordProblem| RecordError { record: index, problem };
        record.headers.check().map_err(in_record)?;
        if record.offset_delta as u32 != index {
            return Err(CheckError::OffsetDelta { expected: index, found: record.offset_delta });
        }
        // A sum that leaves 64 bits saturates: outside of every window that has a bound on that side.
        let timestamp = base_timestamp.saturating_add(record.timestamp_delta);
        if let Some(reason) = reject(&record, timestamp, rules) {
            rejected.add(index, reason);
        }
        max_timestamp = max_timestamp.max(timestamp);
    }
    if rejected.total > 0 { Err(CheckError::Rejected(rejected)) } else { Ok(max_timestamp) }
}

fn reject(record: &Record<'_>, timestamp: Timestamp, rules: &CheckRules) -> Option<RejectReason> {
    if rules.keys_required && record.key.is_none() {
        return Some(RejectReason::MissingKey);
    }
    if rules.timestamp_type == TimestampType::LogAppendTime || timestamp == NO_TIMESTAMP {
        return None;
    }
    if rules.now.saturating_sub(timestamp) > rules.before_max_ms {
        return Some(RejectReason::TimestampTooOld);
    }
    if timestamp.saturating_sub(rules.now) > rules.after_max_ms {
        return Some(RejectReason::TimestampTooNew);
    }
    None
}

#[cfg(test)]
mod tests;
