//! Kafka's record batch v2, the unit that is produced, stored and fetched without change. All numbers are
//! big-endian.
//!
//! ```text
//!  0        8      12     16 17   21 23     27       35       43       51 53     57     61
//!  | base   |length|leader|m | crc |at|last  | base   | max    |producer|ep|base  |record| records ...
//!  | offset |      |epoch |  |     |  |offset| time-  | time-  | id     |  |seq.  |count | (perhaps compressed)
//!  |        |      |      |  |     |  |delta | stamp  | stamp  |        |  |      |      |
//!                  '------ length counts from here to the end ------------------------------------------>
//!                                '- the CRC-32C covers from here to the end ------------------------------>
//! ```
//! Base offset and leader epoch lie before what the CRC covers, so the log stamps them without touching a
//! record. What a record looks like is in [`record`](super::record); whether a client's batch may be stored
//! is decided in [`check`](super::check).

use bytes::{BufMut, BytesMut};
use zerocopy::big_endian::{I16, I32, I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::compression::Codec;
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// The bytes of a batch before its records.
pub const BATCH_HEADER_BYTES: usize = 61;
/// The bytes that the length field does not count: base offset and the length itself.
pub const BATCH_OVERHEAD_BYTES: usize = 12;
/// The bytes at the front that neither the CRC-32C covers nor is one: base offset, length, leader epoch and
/// version.
pub const BATCH_PREFIX_BYTES: usize = 17;
/// The only record batch version that Kafka 4 takes and gives.
pub const BATCH_MAGIC: u8 = 2;

/// The first byte that the CRC-32C covers.
const CRC_START: usize = 21;
const LENGTH_MIN: i32 = (BATCH_HEADER_BYTES - BATCH_OVERHEAD_BYTES) as i32;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// The fixed part of a batch, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BatchHeader {
    base_offset: I64,
    length: I32,
    leader_epoch: I32,
    magic: u8,
    crc: U32,
    attributes: I16,
    last_offset_delta: I32,
    base_timestamp: I64,
    max_timestamp: I64,
    producer_id: I64,
    producer_epoch: I16,
    base_sequence: I32,
    record_count: I32,
}

const _: () = {
    assert!(size_of::<BatchHeader>() == BATCH_HEADER_BYTES);
    assert!(std::mem::offset_of!(BatchHeader, length) == 8);
    assert!(std::mem::offset_of!(BatchHeader, leader_epoch) == 12);
    assert!(std::mem::offset_of!(BatchHeader, magic) == 16);
    assert!(std::mem::offset_of!(BatchHeader, crc) == 17);
    assert!(std::mem::offset_of!(BatchHeader, attributes) == CRC_START);
    assert!(std::mem::offset_of!(BatchHeader, last_offset_delta) == 23);
    assert!(std::mem::offset_of!(BatchHeader, base_timestamp) == 27);
    assert!(std::mem::offset_of!(BatchHeader, max_timestamp) == 35);
    assert!(std::mem::offset_of!(BatchHeader, producer_id) == 43);
    assert!(std::mem::offset_of!(BatchHeader, producer_epoch) == 51);
    assert!(std::mem::offset_of!(BatchHeader, base_sequence) == 53);
    assert!(std::mem::offset_of!(BatchHeader, record_count) == 57);
};

/// Why bytes are not a record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the batch has.
    #[error("a batch of {needed} bytes is cut off after {found}")]
    Truncated {
        /// The bytes that the header, or the batch, has.
        needed: usize,
        /// The bytes that are there.
        found: usize,
    },
    /// Not a version 2 batch.
    #[error("record batch version {found}, expected {BATCH_MAGIC}")]
    Magic {
        /// The version byte.
        found: u8,
    },
    /// The length is less than that of a batch without records.
    #[error("batch length {found}, expected at least {LENGTH_MIN}")]
    Length {
        /// The length field.
        found: i32,
    },
    /// The base offset is negative.
    #[error("negative base offset {found}")]
    BaseOffset {
        /// The base offset field.
        found: i64,
    },
    /// The last offset delta is negative.
    #[error("negative last offset delta {found}")]
    LastOffsetDelta {
        /// The last offset delta field.
        found: i32,
    },
    /// The offset after the last one does not fit 63 bits.
    #[error(
        "base offset {base_offset} plus last offset delta {last_offset_delta} leaves the range of offsets"
    )]
    OffsetOverflow {
        /// The base offset field.
        base_offset: i64,
        /// The last offset delta field.
        last_offset_delta: i32,
    },
    /// The bytes are not those that the sum was made of.
    #[error("batch CRC-32C {expected:#010x} in the header, {found:#010x} over the bytes")]
    Crc {
        /// The sum in the header.
        expected: u32,
        /// The sum over the bytes.
        found: u32,
    },
    /// The attributes name a codec that does not exist.
    #[error("unknown compression codec {found}")]
    Codec {
        /// The codec bits of the attributes.
        found: u8,
    },
}

/// Who gives a record its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer.
    CreateTime,
    /// The log, at append: every record of the batch reads as the batch's max timestamp.
    LogAppendTime,
}

/// An idempotent or transactional producer, as a batch names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Producer {
    /// The producer id, 0 or more.
    pub id: ProducerId,
    /// The producer epoch.
    pub epoch: ProducerEpoch,
}

impl BatchHeader {
    /// The header at the start of `bytes`, which may end before the records or reach beyond the batch.
    ///
    /// # Errors
    /// Everything of [`BatchError`] except `Crc` and `Codec`. The sum over the records is [`verify_crc`]'s.
    pub fn peek(bytes: &[u8]) -> Result<&BatchHeader, BatchError> {
        let (header, _) = BatchHeader::ref_from_prefix(bytes)
            .map_err(|_| BatchError::Truncated { needed: BATCH_HEADER_BYTES, found: bytes.len() })?;
        if header.magic != BATCH_MAGIC {
            return Err(BatchError::Magic { found: header.magic });
        }
        if header.length.get() < LENGTH_MIN {
            return Err(BatchError::Length { found: header.length.get() });
        }
        let (base_offset, last_offset_delta) = (header.base_offset.get(), header.last_offset_delta.get());
        if base_offset < 0 {
            return Err(BatchError::BaseOffset { found: base_offset });
        }
        if last_offset_delta < 0 {
            return Err(BatchError::LastOffsetDelta { found: last_offset_delta });
        }
        if base_offset.checked_add(i64::from(last_offset_delta) + 1).is_none() {
            return Err(BatchError::OffsetOverflow { base_offset, last_offset_delta });
        }
        Ok(header)
    }

    /// The header of a batch without any check; `None` for less than [`BATCH_HEADER_BYTES`].
    pub(super) fn raw(bytes: &[u8]) -> Option<&BatchHeader> {
        BatchHeader::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// The length field of the header at the start of `bytes`, whatever it says.
    pub(crate) fn length_at(bytes: &[u8]) -> Option<i32> {
        BatchHeader::raw(bytes).map(|header| header.length.get())
    }

    /// The fields that [`BatchHeader::peek`] refuses when they are off, as they are.
    pub(super) fn raw_fields(&self) -> RawFields {
        RawFields { base_offset: self.base_offset.get(), length: self.length.get(), magic: self.magic }
    }

    /// The bytes of the whole batch, header included.
    pub fn total_bytes(&self) -> usize {
        BATCH_OVERHEAD_BYTES + self.length.get() as usize
    }

    /// The offset of the first record (or of the first that was there before compaction).
    pub fn base_offset(&self) -> Offset {
        Offset::new(self.base_offset.get())
    }

    /// The offset of the last record.
    pub fn last_offset(&self) -> Offset {
        self.base_offset().plus(i64::from(self.last_offset_delta.get()))
    }

    /// The offset after the last record: the base offset of the next batch when no compaction left a gap.
    pub fn next_offset(&self) -> Offset {
        self.base_offset().plus(i64::from(self.last_offset_delta.get()) + 1)
    }

    /// The leader epoch that was stamped at append.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.get())
    }

    /// The CRC-32C that the header claims.
    pub fn crc(&self) -> u32 {
        self.crc.get()
    }

    /// Bits 0-2 codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon.
    pub fn attributes(&self) -> i16 {
        self.attributes.get()
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// [`BatchError::Codec`].
    pub fn codec(&self) -> Result<Codec, BatchError> {
        let found = (self.attributes.get() & CODEC_MASK) as u8;
        Codec::from_id(found).ok_or(BatchError::Codec { found })
    }

    /// Whether the records belong to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes.get() & TRANSACTIONAL != 0
    }

    /// Whether the records are markers of the log, which clients do not show.
    pub fn is_control(&self) -> bool {
        self.attributes.get() & CONTROL != 0
    }

    /// Who gave the timestamps.
    pub fn timestamp_type(&self) -> TimestampType {
        match self.attributes.get() & LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    /// Whether the base timestamp is a delete horizon (KIP-534) and not the first record's time.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes.get() & DELETE_HORIZON != 0
    }

    /// What the records' timestamp deltas count from.
    pub fn base_timestamp(&self) -> Timestamp {
        Timestamp(self.base_timestamp.get())
    }

    /// The largest timestamp of the records, or the append time.
    pub fn max_timestamp(&self) -> Timestamp {
        Timestamp(self.max_timestamp.get())
    }

    /// The idempotent producer; `None` when the batch names none.
    pub fn producer(&self) -> Option<Producer> {
        let id = self.producer_id();
        (!id.is_none()).then(|| Producer { id, epoch: self.producer_epoch() })
    }

    /// The producer id, negative for none.
    pub fn producer_id(&self) -> ProducerId {
        ProducerId(self.producer_id.get())
    }

    /// The producer epoch, meaningless without a producer id.
    pub fn producer_epoch(&self) -> ProducerEpoch {
        ProducerEpoch(self.producer_epoch.get())
    }

    /// The sequence of the first record, negative for none.
    pub fn base_sequence(&self) -> Sequence {
        Sequence(self.base_sequence.get())
    }

    /// The sequence of the last record, negative for none.
    pub fn last_sequence(&self) -> Sequence {
        let base = self.base_sequence();
        if base.is_none() { base } else { base.plus(self.last_offset_delta.get()) }
    }

    /// The records in the batch; compaction may have left fewer than the offsets that it spans, or none.
    pub fn record_count(&self) -> i32 {
        self.record_count.get()
    }

    /// The batch's last offset less its base offset; after compaction the records may end before it.
    pub fn last_offset_delta(&self) -> i32 {
        self.last_offset_delta.get()
    }

    /// What stays of the batch when its records are packed with another codec.
    pub(super) fn repacked(&self, codec: Codec) -> Remains {
        Remains {
            codec,
            record_count: self.record_count(),
            base_timestamp: self.base_timestamp(),
            max_timestamp: self.max_timestamp(),
            delete_horizon: self.has_delete_horizon(),
        }
    }

    /// Whether the batch does nothing but hold the place of its offsets.
    pub(crate) fn is_filler(&self) -> bool {
        self.record_count.get() == 0 && self.producer().is_none() && !self.is_control()
    }

    /// Whether a batch with this base offset can end before `end`.
    pub(crate) fn reaches(&self, end: Offset) -> bool {
        end.get() - 1 - self.base_offset.get() <= i64::from(i32::MAX)
    }
}

/// What a client's batch may have wrong before a [`BatchHeader`]'s accessors can be trusted.
pub(super) struct RawFields {
    pub(super) base_offset: i64,
    pub(super) length: i32,
    pub(super) magic: u8,
}

/// What a batch is made of, for [`write_header`].
pub(super) struct HeaderParts {
    pub(super) codec: Codec,
    pub(super) timestamp_type: TimestampType,
    pub(super) transactional: bool,
    pub(super) control: bool,
    pub(super) last_offset_delta: i32,
    pub(super) base_timestamp: Timestamp,
    pub(super) max_timestamp: Timestamp,
    pub(super) producer: Producer,
    pub(super) base_sequence: Sequence,
    pub(super) record_count: i32,
}

/// Fills the first [`BATCH_HEADER_BYTES`] of a whole batch: base offset 0, no leader epoch, right length and
/// sum.
pub(super) fn write_header(batch: &mut [u8], parts: &HeaderParts) {
    let length = batch.len() - BATCH_OVERHEAD_BYTES;
    let mut attributes = i16::from(parts.codec.id());
    for (set, bit) in [
        (parts.timestamp_type == TimestampType::LogAppendTime, LOG_APPEND_TIME),
        (parts.transactional, TRANSACTIONAL),
        (parts.control, CONTROL),
    ] {
        attributes |= if set { bit } else { 0 };
    }
    *header_mut(batch) = BatchHeader {
        base_offset: I64::ZERO,
        length: I32::new(i32::try_from(length).expect("a batch stays below 2 GiB")),
        leader_epoch: I32::new(-1),
        magic: BATCH_MAGIC,
        crc: U32::ZERO,
        attributes: I16::new(attributes),
        last_offset_delta: I32::new(parts.last_offset_delta),
        base_timestamp: I64::new(parts.base_timestamp.0),
        max_timestamp: I64::new(parts.max_timestamp.0),
        producer_id: I64::new(parts.producer.id.0),
        producer_epoch: I16::new(parts.producer.epoch.0),
        base_sequence: I32::new(parts.base_sequence.0),
        record_count: I32::new(parts.record_count),
    };
    refresh_crc(batch);
}

/// What compaction leaves of a batch, for [`with_remains`].
pub(crate) struct Remains {
    pub(crate) codec: Codec,
    pub(crate) record_count: i32,
    pub(crate) base_timestamp: Timestamp,
    pub(crate) max_timestamp: Timestamp,
    /// Whether the base timestamp is a delete horizon (KIP-534).
    pub(crate) delete_horizon: bool,
}

/// `original` with other records: offsets, leader epoch, producer and sequence stay, length and sum are
/// right. `records` are packed already.
pub(crate) fn with_remains(original: &BatchHeader, remains: &Remains, records: &[u8]) -> BytesMut {
    let length = BATCH_HEADER_BYTES - BATCH_OVERHEAD_BYTES + records.len();
    let horizon = if remains.delete_horizon { DELETE_HORIZON } else { 0 };
    let kept = original.attributes.get() & !(CODEC_MASK | DELETE_HORIZON);
    let header = BatchHeader {
        length: I32::new(i32::try_from(length).expect("a batch stays below 2 GiB")),
        attributes: I16::new(kept | i16::from(remains.codec.id()) | horizon),
        base_timestamp: I64::new(remains.base_timestamp.0),
        max_timestamp: I64::new(remains.max_timestamp.0),
        record_count: I32::new(remains.record_count),
        ..*original
    };
    let mut batch = BytesMut::with_capacity(BATCH_HEADER_BYTES + records.len());
    batch.put_slice(header.as_bytes());
    batch.put_slice(records);
    refresh_crc(&mut batch);
    batch
}

/// A filler: a batch that holds the place of `count` offsets from `base` on, of which no record is left, in
/// the leader epoch of the first.
///
/// # Panics
/// Unless `count` is positive, and the offsets stay below 2^63.
pub(crate) fn without_records(base: Offset, count: i32, epoch: LeaderEpoch) -> BytesMut {
    assert!(count > 0 && base.checked_add(i64::from(count)).is_some(), "a batch has offsets");
    let mut batch = BytesMut::zeroed(BATCH_HEADER_BYTES);
    let parts = HeaderParts {
        codec: Codec::None,
        timestamp_type: TimestampType::CreateTime,
        transactional: false,
        control: false,
        last_offset_delta: count - 1,
        base_timestamp: Timestamp::NONE,
        max_timestamp: Timestamp::NONE,
        producer: Producer { id: ProducerId::NONE, epoch: ProducerEpoch::NONE },
        base_sequence: Sequence::NONE,
        record_count: 0,
    };
    write_header(&mut batch, &parts);
    stamp(&mut batch, base, epoch);
    batch
}

/// Has the whole batch end before `end`, which lies behind it, and renews the sum. The records stay what they
/// are.
///
/// # Panics
/// When the offset delta leaves 31 bits: see [`BatchHeader::reaches`].
pub(crate) fn stretch(batch: &mut [u8], end: Offset) {
    let header = header_mut(batch);
    assert!(header.next_offset() <= end && header.reaches(end), "a batch is only stretched");
    let delta = end.get() - 1 - header.base_offset.get();
    header.last_offset_delta = I32::new(i32::try_from(delta).expect("it was asked for"));
    refresh_crc(batch);
}

/// Compares the sum in the header with the bytes of `batch`, which is exactly one whole batch.
///
/// # Errors
/// [`BatchError::Crc`], and [`BatchError::Truncated`] for less than a header.
pub fn verify_crc(batch: &[u8]) -> Result<(), BatchError> {
    if batch.len() < BATCH_HEADER_BYTES {
        return Err(BatchError::Truncated { needed: BATCH_HEADER_BYTES, found: batch.len() });
    }
    BatchCrc::new(batch).finish()
}

/// The sum over a batch that comes in parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchCrc {
    expected: u32,
    found: u32,
}

impl BatchCrc {
    /// The sum of the batch's first part.
    ///
    /// # Panics
    /// When it is shorter than a header.
    pub(crate) fn new(first: &[u8]) -> BatchCrc {
        let header = BatchHeader::raw(first).expect("the first part has the whole header");
        BatchCrc { expected: header.crc.get(), found: crc32c::crc32c(&first[CRC_START..]) }
    }

    /// Adds the next part.
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.found = crc32c::crc32c_append(self.found, part);
    }

    /// Holds the sum over all parts against the one in the header.
    ///
    /// # Errors
    /// [`BatchError::Crc`].
    pub(crate) fn finish(self) -> Result<(), BatchError> {
        let BatchCrc { expected, found } = self;
        if expected == found { Ok(()) } else { Err(BatchError::Crc { expected, found }) }
    }
}

/// Gives a batch its place in the log. The CRC covers neither field.
///
/// # Panics
/// When `batch` is shorter than a header: only checked batches get here.
pub fn stamp(batch: &mut [u8], base_offset: Offset, epoch: LeaderEpoch) {
    let header = header_mut(batch);
    header.base_offset = I64::new(base_offset.get());
    header.leader_epoch = I32::new(epoch.0);
}

/// Gives a whole batch the length and the version that it has. The CRC covers neither field.
///
/// # Panics
/// When `batch` is shorter than a header, or longer than a batch can be.
pub(crate) fn resize(batch: &mut [u8]) {
    let length = i32::try_from(batch.len() - BATCH_OVERHEAD_BYTES).expect("a batch stays below 2 GiB");
    let header = header_mut(batch);
    (header.length, header.magic) = (I32::new(length), BATCH_MAGIC);
}

/// Makes `now` the time of every record of the whole batch, and renews the sum.
///
/// # Panics
/// When `batch` is shorter than a header: only checked batches get here.
pub fn set_log_append_time(batch: &mut [u8], now: Timestamp) {
    let header = header_mut(batch);
    header.attributes = I16::new(header.attributes.get() | LOG_APPEND_TIME);
    header.max_timestamp = I64::new(now.0);
    refresh_crc(batch);
}

/// Says that the records of the whole batch have the times that their producer gave them, of which this is
/// the largest, and renews the sum.
///
/// # Panics
/// When `batch` is shorter than a header: only checked batches get here.
pub fn set_create_time(batch: &mut [u8], max_timestamp: Timestamp) {
    let header = header_mut(batch);
    header.attributes = I16::new(header.attributes.get() & !LOG_APPEND_TIME);
    header.max_timestamp = I64::new(max_timestamp.0);
    refresh_crc(batch);
}

/// Corrects the largest timestamp of the whole batch, and renews the sum.
///
/// # Panics
/// When `batch` is shorter than a header: only checked batches get here.
pub fn set_max_timestamp(batch: &mut [u8], max_timestamp: Timestamp) {
    header_mut(batch).max_timestamp = I64::new(max_timestamp.0);
    refresh_crc(batch);
}

fn header_mut(batch: &mut [u8]) -> &mut BatchHeader {
    BatchHeader::mut_from_prefix(batch).expect("a batch has a header").0
}

/// Renews the sum of a whole batch.
pub(crate) fn refresh_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CRC_START..]);
    header_mut(batch).crc = U32::new(crc);
}

/// The whole batches at the front of a slice. A cut last batch ends the walk without an error; see
/// [`Batches::consumed`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    consumed: usize,
    failed: bool,
}

impl<'a> Batches<'a> {
    /// A walk over `bytes`, which start with a batch.
    pub fn new(bytes: &'a [u8]) -> Batches<'a> {
        Batches { bytes, consumed: 0, failed: false }
    }

    /// The bytes of the whole batches that were given out so far: where the next one starts.
    pub fn consumed(&self) -> usize {
        self.consumed
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(&'a BatchHeader, &'a [u8]), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.consumed..];
        if self.failed || rest.len() < BATCH_HEADER_BYTES {
            return None;
        }
        match BatchHeader::peek(rest) {
            Ok(header) => {
                let batch = rest.get(..header.total_bytes())?;
                self.consumed += batch.len();
                Some(Ok((header, batch)))
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}
