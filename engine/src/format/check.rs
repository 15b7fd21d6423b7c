//! Decides whether a client's bytes may become part of a log. What passes is a [`CheckedBatch`], and only
//! that can be appended.
//!
//! The order is that of Kafka's broker, from cheap to dear: shape, size, sum, header rules, then every
//! record. Two rules are stricter than Kafka's: the offset deltas must be 0, 1, 2, ... in every batch (Kafka
//! numbers the records of a compressed one itself, and lets an uncompressed one pass), and bytes after the
//! batch are refused (Kafka drops a cut batch).
//!
//! ```text
//! Checking::begin (header and sum) > step > step > ... > Done > Checking::finish > CheckedBatch
//!                                    '- unpack a piece > walk over its records > pack it again, if the topic keeps another codec
//! ```
//! A step takes one piece of at most 64 KiB, so that a check of many megabytes can give way, and needs no
//! memory of their size (D11). What compressed records may unpack to is bounded by [`unpacked_bytes_max`].

use bytes::BytesMut;

use super::batch::{self, BATCH_HEADER_BYTES, BATCH_MAGIC, BatchError, BatchHeader, TimestampType};
use super::compression::{Codec, DecompressError, PIECE_BYTES, Packer, Packing, Strictness, Unpacker};
use super::record::RecordError;
use super::walk::{RecordWalk, Seen};
use crate::types::{LeaderEpoch, Offset, ProducerId, Sequence, Timestamp};

/// The rejected records that an error names; the rest are only counted.
pub const REJECTED_RECORDS_MAX: usize = 100;

/// What any batch may unpack to, however few bytes it has: 16 times what a Kafka producer sends at most
/// unless it is told otherwise (`max.request.size`, which counts records before they are packed).
pub const UNPACKED_BYTES_FREE: usize = 16 << 20;

/// How many times its own size a batch may unpack to beyond [`UNPACKED_BYTES_FREE`]. Deflate ends at 1,032,
/// LZ4 at 255, Snappy at 22; only zstd goes further, with data that is the same byte all over.
pub const UNPACKED_RATIO_MAX: usize = 1024;

/// The piece that is unpacked at a time when it is packed again, which takes some ten times longer.
const REPACKED_PIECE_BYTES: usize = 8 << 10;

/// What a topic asks of a batch.
#[derive(Clone, Copy, Debug)]
pub struct CheckRules {
    /// The largest batch, header included (`max.message.bytes`).
    pub bytes_max: usize,
    /// Whether every record needs a key: the topic is compacted.
    pub keys_required: bool,
    /// Who gives the timestamps (`message.timestamp.type`).
    pub timestamp_type: TimestampType,
    /// How many milliseconds before `now` a record may lie (`message.timestamp.before.max.ms`). Not used for
    /// LogAppendTime.
    pub before_max_ms: i64,
    /// How many milliseconds after `now` a record may lie (`message.timestamp.after.max.ms`). Not used for
    /// LogAppendTime.
    pub after_max_ms: i64,
    /// The time of the append.
    pub now: Timestamp,
    /// The most that any compressed records may unpack to; see [`unpacked_bytes_max`].
    pub decompressed_bytes_max: usize,
    /// What the topic keeps records in (`compression.type`); `None` for what the producer has sent.
    pub repack: Option<Repack>,
}

/// How a topic keeps records, whatever the producer has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repack {
    /// The codec, with its level.
    pub packing: Packing,
    /// The largest batch that may come of it, header included.
    pub bytes_max: usize,
}

/// The most that compressed records of so many bytes may unpack to.
pub fn unpacked_bytes_max(packed_bytes: usize, rules: &CheckRules) -> usize {
    let by_ratio = packed_bytes.saturating_mul(UNPACKED_RATIO_MAX);
    by_ratio.max(UNPACKED_BYTES_FREE).min(rules.decompressed_bytes_max)
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
        producer_id: ProducerId,
        /// The base sequence field.
        base_sequence: Sequence,
    },
    /// The attributes name a codec that does not exist.
    #[error("unknown compression codec {found}")]
    Codec {
        /// The codec bits of the attributes.
        found: u8,
    },
    /// Only the log may say LogAppendTime. On a CreateTime topic the word of a client is put right, unless it
    /// leaves the batch without a time.
    #[error("a producer must not set the timestamp type to LogAppendTime")]
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

/// Takes what a client sent for one partition, in one go: for threads on which nobody else waits. See
/// [`Checking`].
///
/// # Errors
/// [`CheckError`]; the bytes are dropped then.
pub fn check(bytes: BytesMut, rules: &CheckRules) -> Result<CheckedBatch, CheckError> {
    let mut unpacker = Unpacker::default();
    let mut checking = Checking::begin(bytes, rules)?;
    while checking.step(&mut unpacker)? == Progress::More {}
    checking.finish()
}

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There are more records.
    More,
    /// All of them are seen.
    Done,
    /// They unpack to more than the room that [`Checking::restart`] was given.
    NoRoom,
}

/// What a client sent for one partition, while it is checked.
///
/// A wrong max timestamp is corrected, a LogAppendTime topic's batch gets its time, and the records are
/// packed as the topic keeps them; the sum is right afterwards.
#[derive(Debug)]
pub struct Checking {
    bytes: BytesMut,
    codec: Codec,
    rules: CheckRules,
    has_begun: bool,
    room: usize,
    walk: RecordWalk,
    verdict: Verdict,
    repack: Option<Repack>,
    packer: Option<Packer>,
}

/// What the records have told so far.
#[derive(Debug)]
struct Verdict {
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    rejected: RejectedRecords,
}

impl Checking {
    /// Checks all but the records.
    ///
    /// # Errors
    /// [`CheckError`]; the bytes are dropped then.
    pub fn begin(bytes: BytesMut, rules: &CheckRules) -> Result<Checking, CheckError> {
        let header = check_header(&bytes, rules)?;
        let codec =
            header.codec().map_err(|_| CheckError::Codec { found: (header.attributes() & 7) as u8 })?;
        let walk = RecordWalk::new(header.record_count() as u32);
        let verdict = Verdict::new(header.base_timestamp());
        let repack = rules.repack.filter(|repack| repack.packing.codec != codec);
        Ok(Checking {
            bytes,
            codec,
            rules: *rules,
            has_begun: false,
            room: usize::MAX,
            walk,
            verdict,
            repack,
            packer: None,
        })
    }

    /// Whether the records take more than a walk.
    pub fn is_dear(&self) -> bool {
        self.codec != Codec::None || self.repack.is_some()
    }

    /// Whether the records are packed anew, which takes longest.
    pub fn is_repacked(&self) -> bool {
        self.repack.is_some()
    }

    /// The bytes of the records, as they were sent.
    pub fn packed_bytes(&self) -> usize {
        self.bytes.len() - BATCH_HEADER_BYTES
    }

    /// Forgets the records that were seen: the next step begins anew, and the steps end when `room` bytes are
    /// unpacked.
    pub fn restart(&mut self, room: usize) {
        self.room = room;
        let header = BatchHeader::raw(&self.bytes).expect("a header that was checked");
        self.walk = RecordWalk::new(header.record_count() as u32);
        self.verdict = Verdict::new(header.base_timestamp());
        (self.has_begun, self.packer) = (false, None);
    }

    /// Checks the next piece of the records. One unpacker serves from the first step to the last.
    ///
    /// # Errors
    /// [`CheckError`]; nothing more may be done with it then.
    pub fn step(&mut self, unpacker: &mut Unpacker) -> Result<Progress, CheckError> {
        let packed = &self.bytes[BATCH_HEADER_BYTES..];
        let limit = match self.codec {
            Codec::None => usize::MAX,
            _ => unpacked_bytes_max(packed.len(), &self.rules),
        };
        if !self.has_begun {
            self.has_begun = true;
            let piece_bytes = if self.repack.is_some() { REPACKED_PIECE_BYTES } else { PIECE_BYTES };
            unpacker.begin(self.codec, limit.min(self.room), piece_bytes, Strictness::Admit);
            self.packer = self.repack.map(|repack| Packer::new(repack.packing));
        }
        let piece = match unpacker.next(packed) {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                self.walk.clone().finish()?;
                return Ok(Progress::Done);
            }
            Err(DecompressError::TooLarge { .. }) if self.room < limit => return Ok(Progress::NoRoom),
            Err(error) => return Err(error.into()),
        };
        let (verdict, rules) = (&mut self.verdict, &self.rules);
        self.walk.feed(piece, |record| verdict.see(record, rules))?;
        if let (Some(packer), Some(repack)) = (&mut self.packer, self.repack) {
            packer.write(piece);
            repack.fits(packer.packed_bytes())?;
        }
        Ok(Progress::More)
    }

    /// The batch, after the last step.
    ///
    /// # Errors
    /// The topic's rules refuse records, or the batch is too large as the topic keeps it.
    pub fn finish(self) -> Result<CheckedBatch, CheckError> {
        let Checking { mut bytes, rules, verdict, repack, packer, .. } = self;
        if verdict.rejected.total > 0 {
            return Err(CheckError::Rejected(verdict.rejected));
        }
        let max_timestamp = verdict.max_timestamp;
        let header = BatchHeader::raw(&bytes).expect("a header that was checked");
        let is_time_right =
            header.max_timestamp() == max_timestamp && header.timestamp_type() == TimestampType::CreateTime;
        if let (Some(packer), Some(repack)) = (packer, repack) {
            let packed = packer.finish();
            repack.fits(packed.len())?;
            bytes = batch::with_remains(header, &header.repacked(repack.packing.codec), &packed);
        }
        match rules.timestamp_type {
            TimestampType::LogAppendTime => batch::set_log_append_time(&mut bytes, rules.now),
            TimestampType::CreateTime if !is_time_right => {
                batch::set_create_time(&mut bytes, max_timestamp);
            }
            TimestampType::CreateTime => {}
        }
        Ok(CheckedBatch { bytes })
    }
}

impl Repack {
    fn fits(&self, packed_bytes: usize) -> Result<(), CheckError> {
        let (bytes_max, found) = (self.bytes_max, BATCH_HEADER_BYTES + packed_bytes);
        if found > bytes_max { Err(CheckError::TooLarge { bytes_max, found }) } else { Ok(()) }
    }
}

impl Verdict {
    fn new(base_timestamp: Timestamp) -> Verdict {
        let rejected = RejectedRecords { named: Vec::new(), total: 0, any_timestamp: false };
        Verdict { base_timestamp, max_timestamp: Timestamp::NONE, rejected }
    }

    #[inline]
    fn see(&mut self, record: Seen, rules: &CheckRules) -> Result<(), CheckError> {
        let Seen { index, offset_delta, timestamp_delta, has_key } = record;
        if offset_delta as u32 != index {
            return Err(CheckError::OffsetDelta { expected: index, found: offset_delta });
        }
        // What every reader makes of it, Kafka's among them: a sum that leaves 64 bits wraps.
        let timestamp = self.base_timestamp.with_delta(timestamp_delta);
        if let Some(reason) = reject(has_key, timestamp, rules) {
            self.rejected.add(index, reason);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }
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
    if !producer_id.is_none() && base_sequence.is_none() {
        return Err(CheckError::Sequence { producer_id, base_sequence });
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        let is_mended =
            rules.timestamp_type == TimestampType::CreateTime && header.max_timestamp() != Timestamp::NONE;
        if !is_mended {
            return Err(CheckError::LogAppendTime);
        }
    }
    Ok(header)
}

fn reject(has_key: bool, timestamp: Timestamp, rules: &CheckRules) -> Option<RejectReason> {
    if rules.keys_required && !has_key {
        return Some(RejectReason::MissingKey);
    }
    if rules.timestamp_type == TimestampType::LogAppendTime || timestamp == Timestamp::NONE {
        return None;
    }
    if rules.now.since(timestamp) > rules.before_max_ms {
        return Some(RejectReason::TimestampTooOld);
    }
    if timestamp.since(rules.now) > rules.after_max_ms {
        return Some(RejectReason::TimestampTooNew);
    }
    None
}

#[cfg(test)]
mod tests;
