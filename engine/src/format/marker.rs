//! The marker that ends a transaction in a partition, byte for byte that of Kafka: a control batch with one
//! record, of the producer whose transaction it ends.
//!
//! ```text
//! batch   transactional and control bits set, not compressed, base sequence -1, the time of the append
//! key     | version i16 = 0 | type i16: 0 abort, 1 commit |
//! value   | version i16 = 0 | epoch of the coordinator i32 |
//! ```
//! Later versions only add fields behind these, so that any version is read.

use bytes::BytesMut;
use zerocopy::big_endian::{I16, I32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::batch::{BATCH_HEADER_BYTES, BatchHeader, Producer};
use super::builder::BatchBuilder;
use super::compression::Codec;
use super::record::Records;
use crate::types::{Sequence, Timestamp};

/// The bytes of a marker with its batch.
pub const MARKER_BYTES: usize = 78;

const VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionResult {
    /// Its records count.
    Commit,
    /// Its records are as good as never sent.
    Abort,
}

/// The end of a producer's transaction, as its coordinator tells it to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The producer, with the epoch that the marker carries.
    pub producer: Producer,
    /// The epoch of the coordinator that has decided.
    pub coordinator_epoch: i32,
    /// What it has decided.
    pub result: TransactionResult,
    /// Whether the coordinator has raised the producer's epoch for the marker (KIP-890): then it must be
    /// larger than the one of the transaction's records. The same is allowed where nothing is open: the
    /// marker was sent again.
    pub bumped: bool,
}

/// What a marker in a log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndMarker {
    /// How the transaction has ended.
    pub result: TransactionResult,
    /// The epoch of the coordinator that has decided.
    pub coordinator_epoch: i32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Key {
    version: I16,
    kind: I16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Value {
    version: I16,
    coordinator_epoch: I32,
}

const _: () = {
    assert!(size_of::<Key>() == 4);
    assert!(size_of::<Value>() == 6);
    assert!(std::mem::offset_of!(Value, coordinator_epoch) == 2);
};

impl Marker {
    /// The control batch, before it has its place in a log.
    pub(crate) fn build(&self, now: Timestamp) -> BytesMut {
        let kind = match self.result {
            TransactionResult::Abort => ABORT,
            TransactionResult::Commit => COMMIT,
        };
        let key = Key { version: I16::new(VERSION), kind: I16::new(kind) };
        let value = Value { version: I16::new(VERSION), coordinator_epoch: I32::new(self.coordinator_epoch) };
        let Producer { id, epoch } = self.producer;
        let mut builder = BatchBuilder::new(Codec::None)
            .producer(id, epoch, Sequence::NONE)
            .transactional(true)
            .control(true);
        builder.push(now, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
        builder.build()
    }
}

impl EndMarker {
    /// What the batch at the front of `bytes` says, which may reach beyond it or end behind its first record;
    /// `None` when it is no marker, or compaction has left its header alone.
    pub fn read(bytes: &[u8]) -> Option<EndMarker> {
        let header = BatchHeader::peek(bytes).ok().filter(|header| header.is_control())?;
        if header.codec() != Ok(Codec::None) || header.record_count() < 1 {
            return None;
        }
        let records = &bytes[BATCH_HEADER_BYTES..bytes.len().min(header.total_bytes())];
        let record = Records::new(records, header.record_count() as u32).next()?.ok()?;
        let (key, _) = Key::ref_from_prefix(record.key?).ok()?;
        let (value, _) = Value::ref_from_prefix(record.value?).ok()?;
        let result = match key.kind.get() {
            ABORT => TransactionResult::Abort,
            COMMIT => TransactionResult::Commit,
            _ => return None,
        };
        let is_known = key.version.get() >= VERSION && value.version.get() >= VERSION;
        is_known.then_some(EndMarker { result, coordinator_epoch: value.coordinator_epoch.get() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::batch::{stamp, verify_crc};
    use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

    fn marker(result: TransactionResult) -> Marker {
        let producer = Producer { id: ProducerId(0x0102), epoch: ProducerEpoch(9) };
        Marker { producer, coordinator_epoch: 0x0304, result, bumped: true }
    }

    /// Worked out by hand from Kafka's description of the formats; the sum by its definition, bit by bit.
    #[test]
    fn a_marker_is_kafkas_byte_for_byte() {
        let mut batch = marker(TransactionResult::Abort).build(Timestamp(0x0506)).to_vec();
        stamp(&mut batch, Offset::new(7), LeaderEpoch(1));
        let mut expected = Vec::new();
        expected.extend([0, 0, 0, 0, 0, 0, 0, 7]); // base offset
        expected.extend([0, 0, 0, 66]); // length
        expected.extend([0, 0, 0, 1]); // leader epoch
        expected.push(2); // magic
        let summed: Vec<u8> = [
            &[0, 0x30][..],             // attributes: control, transactional
            &[0, 0, 0, 0],              // last offset delta
            &[0, 0, 0, 0, 0, 0, 5, 6],  // base timestamp
            &[0, 0, 0, 0, 0, 0, 5, 6],  // max timestamp
            &[0, 0, 0, 0, 0, 0, 1, 2],  // producer id
            &[0, 9],                    // producer epoch
            &[0xff, 0xff, 0xff, 0xff],  // base sequence
            &[0, 0, 0, 1],              // record count
            &[32, 0, 0, 0],             // 16 bytes, attributes, timestamp delta, offset delta
            &[8, 0, 0, 0, 0],           // 4 bytes of key: version 0, abort
            &[12, 0, 0, 0, 0, 3, 4, 0], // 6 bytes of value: version 0, coordinator epoch; no header
        ]
        .concat();
        expected.extend(by_definition(&summed).to_be_bytes());
        expected.extend(summed);
        assert_eq!(batch, expected);
        assert_eq!(batch.len(), MARKER_BYTES);
        verify_crc(&batch).unwrap();
    }

    fn by_definition(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        for result in [TransactionResult::Abort, TransactionResult::Commit] {
            let mut batch = marker(result).build(Timestamp(1)).to_vec();
            let read = Some(EndMarker { result, coordinator_epoch: 0x0304 });
            assert_eq!(EndMarker::read(&batch), read);
            batch.extend([0xff; 9]);
            assert_eq!(EndMarker::read(&batch), read, "something follows");
        }
    }

    #[test]
    fn what_is_no_marker_says_nothing() {
        let batch = marker(TransactionResult::Commit).build(Timestamp(1)).to_vec();
        let (attributes, count, key) = (22, 60, 61 + 4);
        for (what, place, byte) in [
            ("no control batch", attributes, 0x10),
            ("compressed", attributes, 0x31),
            ("emptied", count, 0),
            ("a key that is too short", key, 2),
            ("of a version below 0", key + 1, 0x80),
            ("of another type", key + 4, 2),
        ] {
            let mut other = batch.clone();
            other[place] = byte;
            assert_eq!(EndMarker::read(&other), None, "{what}");
        }
        for length in 0..batch.len() - 1 {
            assert_eq!(EndMarker::read(&batch[..length]), None, "{length} bytes");
        }
    }
}
