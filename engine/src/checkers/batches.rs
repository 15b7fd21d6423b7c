//! Record batches: the walk, the sums, what a client may send, the records, and the four codecs.

use std::collections::{BTreeMap, HashMap};

use bytes::BytesMut;

use super::input::Input;
use crate::compaction::{Cleaned, Cleaner, HashKeys, OffsetMap};
use crate::format::batch::{
    self, BATCH_HEADER_BYTES, BATCH_MAGIC, BATCH_OVERHEAD_BYTES, BatchHeader, Batches, TimestampType,
    verify_crc,
};
use crate::format::builder::BatchBuilder;
use crate::format::check::{CheckRules, CheckedBatch, check};
use crate::format::compression::{Codec, DecompressError, compress, decompress};
use crate::format::record::Records;
use crate::format::varint;
use crate::types::{LeaderEpoch, NO_TIMESTAMP, Offset, Timestamp};

/// What records may unpack to here.
pub(super) const UNPACKED_BYTES_MAX: usize = 64 << 10;

/// Any bytes as record batches: walked, and as what a client sends; then once more with magic, length and sum put right.
pub(super) fn record_batch(bytes: &[u8]) {
    walk(bytes);
    as_sent(bytes);
    if bytes.len() >= BATCH_HEADER_BYTES {
        let mended = mend(bytes);
        walk(&mended);
        assert_eq!(verify_crc(&mended), Ok(()));
        one_bit_breaks_the_sum(&mended);
        as_sent(&mended);
    }
}

/// The bytes as one whole batch with a right sum. They are a header at least.
pub(super) fn mend(bytes: &[u8]) -> Vec<u8> {
    const LENGTH: usize = 8;
    const MAGIC: usize = 16;
    let mut bytes = bytes.to_vec();
    let length = (bytes.len() - BATCH_OVERHEAD_BYTES) as u32;
    bytes[LENGTH..LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    bytes[MAGIC] = BATCH_MAGIC;
    batch::refresh_crc(&mut bytes);
    bytes
}

fn walk(bytes: &[u8]) {
    let mut batches = Batches::new(bytes);
    let mut position = 0;
    while let Some(next) = batches.next() {
        let Ok((header, batch)) = next else {
            assert_eq!(batches.consumed(), position, "an error is no progress");
            assert!(batches.next().is_none(), "a walk ends after an error");
            break;
        };
        assert_eq!(BatchHeader::peek(&bytes[position..]).as_ref(), Ok(&header));
        assert_eq!(batch, &bytes[position..position + header.total_bytes()]);
        assert!(header.base_offset() <= header.last_offset() && header.last_offset() < header.next_offset());
        assert_eq!(header.last_offset().plus(1), header.next_offset());
        position += batch.len();
        assert_eq!(batches.consumed(), position);
        if verify_crc(batch).is_ok() {
            stamps_keep_the_sum(batch);
        }
    }
}

fn stamps_keep_the_sum(batch: &[u8]) {
    let mut stamped = batch.to_vec();
    batch::stamp(&mut stamped, Offset::new(77), LeaderEpoch(5));
    assert_eq!(verify_crc(&stamped), Ok(()));
    batch::set_log_append_time(&mut stamped, 99);
    assert_eq!(verify_crc(&stamped), Ok(()));
    let header = BatchHeader::peek(&stamped);
    if let Ok(header) = header {
        assert_eq!(
            (header.base_offset().get(), header.leader_epoch(), header.max_timestamp()),
            (77, LeaderEpoch(5), 99)
        );
        assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    }
}

/// A bit that the batch chooses itself, of all that the sum covers.
fn one_bit_breaks_the_sum(batch: &[u8]) {
    const SUM_START: usize = 17;
    let chosen = batch.iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let bit = chosen % ((batch.len() - SUM_START) * 8);
    let mut broken = batch.to_vec();
    broken[SUM_START + bit / 8] ^= 1 << (bit % 8);
    assert!(verify_crc(&broken).is_err(), "bit {bit} behind byte {SUM_START} is not covered");
}

fn as_sent(bytes: &[u8]) {
    for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
        let rules = CheckRules {
            bytes_max: 1 << 20,
            keys_required: false,
            timestamp_type,
            before_max_ms: i64::MAX,
            after_max_ms: i64::MAX,
            now: 1_000_000,
            decompressed_bytes_max: UNPACKED_BYTES_MAX,
        };
        if let Ok(checked) = check(BytesMut::from(bytes), &rules) {
            taken(checked, bytes, &rules);
        }
    }
}

/// What was let in: its sum holds, its records can be read, it would be let in again as it is, and a cleaner that knows nothing leaves it.
fn taken(checked: CheckedBatch, sent: &[u8], rules: &CheckRules) {
    let batch = checked.as_ref().to_vec();
    assert_eq!(batch.len(), sent.len());
    assert_eq!(batch[BATCH_HEADER_BYTES..], sent[BATCH_HEADER_BYTES..], "records are never changed");
    assert_eq!(verify_crc(&batch), Ok(()));
    let header = *BatchHeader::peek(&batch).expect("what was let in has a header");
    let records = records_of(&header, &batch[BATCH_HEADER_BYTES..]);
    assert_eq!(records.len(), header.record_count() as usize);
    let largest = records.iter().map(|record| record.timestamp).max().expect("a batch has a record");
    match rules.timestamp_type {
        TimestampType::CreateTime => assert_eq!(header.max_timestamp(), largest.max(NO_TIMESTAMP)),
        TimestampType::LogAppendTime => assert_eq!(header.max_timestamp(), rules.now),
    }
    let again = check(BytesMut::from(&batch[..]), rules).expect("what was let in once is let in again");
    assert_eq!(again.as_ref(), &batch[..], "and is not changed again");

    cleaned(&header, &batch, &records, rules.now);
    rebuilt(&header, &records);
}

/// A cleaner leaves of a batch the newest record of each key.
fn cleaned(header: &BatchHeader, batch: &[u8], records: &[Owned], now: Timestamp) {
    let mut map = OffsetMap::new(Offset::ZERO, records.len() as u64, usize::MAX, HashKeys(1, 2));
    assert_eq!(map.note_batch(batch), Ok(true), "what was let in can be read by the cleaner, too");
    let mut newest = BTreeMap::new();
    for (at, record) in records.iter().enumerate().filter(|(_, record)| record.key.is_some()) {
        newest.insert(&record.key, at);
    }
    let keeps_tombstones = !header.has_delete_horizon() || now < header.base_timestamp();
    newest.retain(|_, at| keeps_tombstones || records[*at].value.is_some());
    let producers = HashMap::new();
    let cleaner = Cleaner { map: &map, producers: &producers, now, delete_retention_ms: i64::MAX };
    let left = match cleaner.clean(batch).expect("it was read before") {
        Cleaned::Same => records.len(),
        Cleaned::Removed => 0,
        Cleaned::Rewritten(left) => {
            assert_eq!(verify_crc(&left), Ok(()));
            let left = BatchHeader::peek(&left).expect("a header");
            assert_eq!(
                (left.base_offset(), left.last_offset()),
                (header.base_offset(), header.last_offset())
            );
            left.record_count() as usize
        }
    };
    assert_eq!(left, newest.len(), "one record a key");
}

/// A record, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) timestamp: Timestamp,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The records of a batch that was let in.
pub(super) fn records_of(header: &BatchHeader, packed: &[u8]) -> Vec<Owned> {
    let codec = header.codec().expect("the codec was seen");
    let unpacked = decompress(codec, packed, UNPACKED_BYTES_MAX).expect("it was unpacked before");
    let mut records = Vec::new();
    for (at, record) in Records::new(&unpacked, header.record_count() as u32).enumerate() {
        let record = record.expect("it was read before");
        assert_eq!(record.offset_delta, at as i32);
        let headers = record.headers.map(|pair| {
            let (name, value) = pair.expect("it was read before");
            (name.to_vec(), value.map(<[u8]>::to_vec))
        });
        records.push(Owned {
            timestamp: header.base_timestamp().saturating_add(record.timestamp_delta),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.collect(),
        });
    }
    records
}

/// The same records in a batch of ours are the same records again.
fn rebuilt(header: &BatchHeader, records: &[Owned]) {
    let mut builder = BatchBuilder::new(header.codec().expect("the codec was seen"));
    for record in records {
        let names: Option<Vec<&str>> =
            record.headers.iter().map(|(name, _)| std::str::from_utf8(name).ok()).collect();
        // Names that are no text are somebody else's to make.
        let Some(names) = names else { return };
        let headers: Vec<_> =
            names.into_iter().zip(record.headers.iter().map(|(_, value)| value.as_deref())).collect();
        builder.push(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    // Two timestamps can lie further apart than a delta can say.
    let first = records[0].timestamp;
    if records.iter().any(|record| record.timestamp.checked_sub(first).is_none()) {
        return;
    }
    let batch = builder.build();
    let ours = BatchHeader::peek(&batch).expect("a batch of ours");
    assert_eq!(verify_crc(&batch), Ok(()));
    assert_eq!(records_of(ours, &batch[BATCH_HEADER_BYTES..]), records);
}

/// A codec, a count, and packed records: unpacked within bounds, packed again, and walked.
pub(super) fn records(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let codec = input.choose(&Codec::ALL);
    let count = u32::from(input.byte());
    let packed = input.rest();
    numbers(packed);
    let Ok(unpacked) = decompress(codec, packed, UNPACKED_BYTES_MAX) else { return };
    assert!(unpacked.len() <= UNPACKED_BYTES_MAX);
    assert_eq!(decompress(codec, packed, unpacked.len()).as_ref(), Ok(&unpacked), "the limit may be exact");
    if let Some(limit) = unpacked.len().checked_sub(1) {
        assert_eq!(decompress(codec, packed, limit), Err(DecompressError::TooLarge { codec, limit }));
    }
    let again = compress(codec, &unpacked);
    assert_eq!(decompress(codec, &again, unpacked.len()).as_ref(), Ok(&unpacked));
    walk_records(&unpacked, count);
}

/// A walk gives so many records or ends with an error, and takes the bytes from front to back.
fn walk_records(bytes: &[u8], count: u32) {
    let mut walk = Records::new(bytes, count);
    let mut given = 0;
    let mut left = bytes.len();
    loop {
        let next = walk.next();
        let Some(record) = next else {
            assert_eq!((given, left), (count, 0), "a walk without an error takes all");
            break;
        };
        let Ok(record) = record else {
            assert!(walk.next().is_none(), "a walk ends after an error");
            break;
        };
        given += 1;
        assert!(given <= count && walk.rest().len() < left);
        let taken = left - walk.rest().len();
        left = walk.rest().len();
        let held = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        assert!(held < taken);
        let headers: Vec<_> = record.headers.collect();
        assert_eq!(headers.iter().all(Result::is_ok), record.headers.check().is_ok());
    }
}

/// What is read as a number is written as the same number, in no more bytes.
fn numbers(bytes: &[u8]) {
    let mut rest = bytes;
    let mut out = Vec::new();
    if let Ok(value) = varint::read_varint(&mut rest) {
        varint::write_varint(&mut out, value);
        assert_eq!(out.len(), varint::varint_bytes(value));
        assert!(out.len() <= bytes.len() - rest.len());
        assert_eq!(varint::read_varint(&mut &out[..]), Ok(value));
    } else {
        assert_eq!(rest, bytes, "nothing is taken on an error");
    }
    let mut rest = bytes;
    out.clear();
    if let Ok(value) = varint::read_varlong(&mut rest) {
        varint::write_varlong(&mut out, value);
        assert_eq!(out.len(), varint::varlong_bytes(value));
        assert!(out.len() <= bytes.len() - rest.len());
        assert_eq!(varint::read_varlong(&mut &out[..]), Ok(value));
    } else {
        assert_eq!(rest, bytes, "nothing is taken on an error");
    }
    let mut rest = bytes;
    if let Ok(value) = varint::read_unsigned(&mut rest) {
        out.clear();
        varint::write_unsigned(&mut out, value);
        assert_eq!(varint::read_unsigned(&mut &out[..]), Ok(value));
    }
}
