//! Makes a record batch out of records: for embedders, the command line producer and tests.
//!
//! What comes out is what a client would send: base offset 0, no leader epoch, the CRC right.

use bytes::{BufMut, BytesMut};

use super::batch::{self, BATCH_HEADER_BYTES, HeaderParts, Producer, TimestampType};
use super::compression::{self, Codec};
use super::varint;
use crate::types::{ProducerEpoch, ProducerId, Sequence, Timestamp};

/// A batch in the making. Records get the offset deltas 0, 1, 2, ...
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    codec: Codec,
    timestamp_type: TimestampType,
    transactional: bool,
    control: bool,
    producer: Producer,
    base_sequence: Sequence,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    count: i32,
    records: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch whose records will be packed with `codec`.
    pub fn new(codec: Codec) -> BatchBuilder {
        BatchBuilder {
            codec,
            timestamp_type: TimestampType::CreateTime,
            transactional: false,
            control: false,
            producer: Producer { id: ProducerId::NONE, epoch: ProducerEpoch::NONE },
            base_sequence: Sequence::NONE,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::NONE,
            count: 0,
            records: Vec::new(),
        }
    }

    /// Names the idempotent producer and the sequence of the first record.
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: Sequence) -> BatchBuilder {
        self.producer = Producer { id, epoch };
        self.base_sequence = base_sequence;
        self
    }

    /// Says who gave the timestamps; the producer, when nothing is said.
    pub fn timestamp_type(mut self, timestamp_type: TimestampType) -> BatchBuilder {
        self.timestamp_type = timestamp_type;
        self
    }

    /// Makes the batch part of a transaction.
    pub fn transactional(mut self, transactional: bool) -> BatchBuilder {
        self.transactional = transactional;
        self
    }

    /// Makes the records markers of the log. No client may send such a batch.
    pub fn control(mut self, control: bool) -> BatchBuilder {
        self.control = control;
        self
    }

    /// Appends a record.
    ///
    /// # Panics
    /// When a key, a value or the whole record reaches 2 GiB.
    pub fn push(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.delta_from(self.base_timestamp);
        let header_count = length_field(headers.len());

        let bytes = 1
            + varint::varlong_bytes(timestamp_delta)
            + varint::varint_bytes(self.count)
            + nullable_bytes(key)
            + nullable_bytes(value)
            + varint::varint_bytes(header_count)
            + headers
                .iter()
                .map(|(name, value)| nullable_bytes(Some(name.as_bytes())) + nullable_bytes(*value))
                .sum::<usize>();

        varint::write_varint(&mut self.records, length_field(bytes));
        let start = self.records.len();
        self.records.put_u8(0);
        varint::write_varlong(&mut self.records, timestamp_delta);
        varint::write_varint(&mut self.records, self.count);
        write_nullable(&mut self.records, key);
        write_nullable(&mut self.records, value);
        varint::write_varint(&mut self.records, header_count);
        for (name, value) in headers {
            write_nullable(&mut self.records, Some(name.as_bytes()));
            write_nullable(&mut self.records, *value);
        }
        assert_eq!(self.records.len() - start, bytes, "a record is as long as it says");
        self.count += 1;
    }

    /// The records so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes of the batch as it is now, before compression.
    pub fn bytes_estimate(&self) -> usize {
        BATCH_HEADER_BYTES + self.records.len()
    }

    /// The whole batch.
    ///
    /// # Panics
    /// Without a record: an empty batch is something that only compaction leaves.
    pub fn build(self) -> BytesMut {
        assert!(self.count > 0, "a batch has a record");
        let packed;
        let records = match self.codec {
            Codec::None => &self.records,
            codec => {
                packed = compression::compress(codec, &self.records);
                &packed
            }
        };
        let mut batch = BytesMut::with_capacity(BATCH_HEADER_BYTES + records.len());
        batch.put_bytes(0, BATCH_HEADER_BYTES);
        batch.put_slice(records);
        let parts = HeaderParts {
            codec: self.codec,
            timestamp_type: self.timestamp_type,
            transactional: self.transactional,
            control: self.control,
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer: self.producer,
            base_sequence: self.base_sequence,
            record_count: self.count,
        };
        batch::write_header(&mut batch, &parts);
        batch
    }
}

fn length_field(length: usize) -> i32 {
    i32::try_from(length).expect("a record stays below 2 GiB")
}

fn nullable_bytes(field: Option<&[u8]>) -> usize {
    match field {
        Some(bytes) => varint::varint_bytes(length_field(bytes.len())) + bytes.len(),
        None => 1,
    }
}

fn write_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        Some(bytes) => {
            varint::write_varint(out, length_field(bytes.len()));
            out.extend_from_slice(bytes);
        }
        None => varint::write_varint(out, -1),
    }
}
