//! Record batches: the walk, the sums, what a client may send, the records, and the four codecs.

use std::collections::{BTreeMap, HashMap};

use bytes::BytesMut;

use super::input::Input;
use crate::compaction::{Cleaned, Cleaner, HashKeys, OffsetMap, Part};
use crate::config::CompressionLevels;
use crate::format::batch::{
    self, BATCH_HEADER_BYTES, BATCH_MAGIC, BATCH_OVERHEAD_BYTES, BatchHeader, Batches, TimestampType,
    verify_crc,
};
use crate::format::builder::BatchBuilder;
use crate::format::check::{CheckError, CheckRules, CheckedBatch, Checking, Progress, Repack, check};
use crate::format::compression::{
    Codec, DecompressError, PIECE_BYTES, Strictness, Unpacker, compress, decompress,
};
use crate::format::record::{RecordError, Records};
use crate::format::varint;
use crate::format::walk::{RecordWalk, Seen};
use crate::types::{LeaderEpoch, Offset, Timestamp};

/// What records may unpack to here.
pub(super) const UNPACKED_BYTES_MAX: usize = 64 << 10;

/// Any bytes as record batches: walked, and as what a client sends; then once more with magic, length and sum
/// put right.
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
    batch::set_log_append_time(&mut stamped, Timestamp(99));
    assert_eq!(verify_crc(&stamped), Ok(()));
    let header = BatchHeader::peek(&stamped);
    if let Ok(header) = header {
        assert_eq!(
            (header.base_offset().get(), header.leader_epoch(), header.max_timestamp()),
            (77, LeaderEpoch(5), Timestamp(99))
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
            now: Timestamp(1_000_000),
            decompressed_bytes_max: UNPACKED_BYTES_MAX,
            repack: None,
        };
        let checked = check(BytesMut::from(bytes), &rules);
        in_steps(bytes, &rules, &checked);
        if let Ok(checked) = checked {
            packed_anew(&checked, bytes, &rules);
            taken(checked, bytes, &rules);
        }
    }
}

/// A check that is broken off and begun anew, with decoders that have seen something else, ends as one in one
/// go.
fn in_steps(bytes: &[u8], rules: &CheckRules, whole: &Result<CheckedBatch, CheckError>) {
    let mut unpacker = Unpacker::default();
    let Ok(mut checking) = Checking::begin(BytesMut::from(bytes), rules) else {
        assert!(whole.is_err());
        return;
    };
    for room in [100, usize::MAX] {
        checking.restart(room);
        let ended = loop {
            match checking.step(&mut unpacker) {
                Ok(Progress::More) => {}
                ended => break ended,
            }
        };
        match (ended, whole) {
            (Ok(Progress::NoRoom), _) => assert!(room < usize::MAX),
            (Err(error), whole) => assert_eq!(Some(&error), whole.as_ref().err()),
            (Ok(_), _) if room < usize::MAX => assert!(unpacker.unpacked() <= room || bytes.len() > room),
            (Ok(_), whole) => {
                let finished = checking.finish();
                let bytes = |checked: &CheckedBatch| checked.as_ref().to_vec();
                assert_eq!(
                    finished.as_ref().map(bytes).map_err(Clone::clone),
                    whole.as_ref().map(bytes).map_err(Clone::clone)
                );
                return;
            }
        }
    }
}

/// What was let in is let in by a topic that keeps another codec, if it fits there, and the records are the
/// same.
fn packed_anew(checked: &CheckedBatch, sent: &[u8], rules: &CheckRules) {
    let header = *checked.header();
    let before = records_of(&header, &checked.as_ref()[BATCH_HEADER_BYTES..]);
    for codec in [Codec::None, Codec::Lz4] {
        let repack = Some(Repack { packing: codec.into(), bytes_max: UNPACKED_BYTES_MAX });
        match check(BytesMut::from(sent), &CheckRules { repack, ..*rules }) {
            Ok(kept) => {
                assert_eq!(verify_crc(kept.as_ref()), Ok(()));
                let kept_header = *kept.header();
                assert_eq!(kept_header.codec(), Ok(codec));
                assert_eq!(records_of(&kept_header, &kept.as_ref()[BATCH_HEADER_BYTES..]), before);
                let stays = |header: &BatchHeader| {
                    (
                        header.producer(),
                        header.base_sequence(),
                        header.last_offset_delta(),
                        header.max_timestamp(),
                    )
                };
                assert_eq!(stays(&kept_header), stays(&header));
            }
            Err(CheckError::TooLarge { .. }) => {}
            Err(error) => panic!("taken as it was, and refused for {codec:?}: {error}"),
        }
    }
}

/// What was let in: its sum holds, its records can be read, it would be let in again as it is, and a cleaner
/// that knows nothing leaves it.
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
        TimestampType::CreateTime => assert_eq!(header.max_timestamp(), largest.max(Timestamp::NONE)),
        TimestampType::LogAppendTime => assert_eq!(header.max_timestamp(), rules.now),
    }
    let again = check(BytesMut::from(&batch[..]), rules);
    match rules.timestamp_type {
        TimestampType::CreateTime => {
            let again = again.expect("what was let in once is let in again");
            assert_eq!(again.as_ref(), &batch[..], "and is not changed again");
        }
        TimestampType::LogAppendTime => {
            assert_eq!(again.err(), Some(CheckError::LogAppendTime), "only the log says so");
        }
    }

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
    let cleaner = Cleaner {
        map: &map,
        producers: &producers,
        now,
        delete_retention_ms: i64::MAX,
        levels: CompressionLevels::default(),
    };
    let is_control = BatchHeader::peek(batch).expect("it was read before").is_control();
    let part = if is_control { Part::Marker } else { Part::Data };
    let left = match cleaner.clean(batch, part).expect("it was read before") {
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
            timestamp: header.base_timestamp().plus(record.timestamp_delta),
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
    if records.iter().any(|record| record.timestamp.0.checked_sub(first.0).is_none()) {
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
    unpacked_in_pieces(codec, packed);
    let Ok(unpacked) = decompress(codec, packed, UNPACKED_BYTES_MAX) else { return };
    assert!(unpacked.len() <= UNPACKED_BYTES_MAX);
    assert_eq!(decompress(codec, packed, unpacked.len()).as_ref(), Ok(&unpacked), "the limit may be exact");
    if let Some(limit) = unpacked.len().checked_sub(1) {
        assert_eq!(decompress(codec, packed, limit), Err(DecompressError::TooLarge { codec, limit }));
    }
    let again = compress(codec, &unpacked);
    assert_eq!(decompress(codec, &again, unpacked.len()).as_ref(), Ok(&unpacked));
    walk_records(&unpacked, count);
    walks_agree(&unpacked, count);
}

/// What a client may send can be read afterwards, and is the same in pieces of any size.
fn unpacked_in_pieces(codec: Codec, packed: &[u8]) {
    let read = decompress(codec, packed, UNPACKED_BYTES_MAX);
    let mut unpacker = Unpacker::default();
    let mut unpacked = |piece_bytes| {
        unpacker.begin(codec, UNPACKED_BYTES_MAX, piece_bytes, Strictness::Admit);
        let mut out = Vec::new();
        while let Some(piece) = unpacker.next(packed)? {
            assert!(piece.len() <= piece_bytes);
            out.extend_from_slice(piece);
        }
        Ok::<_, DecompressError>(out)
    };
    let whole = unpacked(PIECE_BYTES);
    assert_eq!(unpacked(13), whole);
    if whole.is_ok() {
        assert_eq!(whole, read);
    }
}

/// The walk over records that come in pieces sees what the walk over all of them sees, and ends at the same
/// one.
fn walks_agree(bytes: &[u8], count: u32) {
    let mut expected = Vec::new();
    let mut ended = Ok(());
    for (index, record) in (0..).zip(Records::new(bytes, count)) {
        let checked = record.and_then(|record| {
            let in_record = |problem| RecordError { record: index, problem };
            record.headers.check().map_err(in_record).map(|()| record)
        });
        match checked {
            Ok(record) => expected.push(Seen {
                index,
                offset_delta: record.offset_delta,
                timestamp_delta: record.timestamp_delta,
                has_key: record.key.is_some(),
            }),
            Err(error) => {
                ended = Err(error.record);
                break;
            }
        }
    }
    for piece_bytes in [1, 2, 7, 64, bytes.len().max(1)] {
        let mut walk = RecordWalk::new(count);
        let mut seen = Vec::new();
        let fed = bytes.chunks(piece_bytes).try_for_each(|piece| {
            walk.feed(piece, |record| {
                seen.push(record);
                Ok::<_, RecordError>(())
            })
        });
        let walked = fed.and_then(|()| walk.finish()).map_err(|error| error.record);
        assert_eq!((&seen, walked), (&expected, ended), "pieces of {piece_bytes}");
    }
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
