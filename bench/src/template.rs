//! Produce requests that are made once and only stamped when they are sent.
//!
//! ```text
//! size .. correlation .. topic .. [partition index | length | batch header | record | record ...] ..
//!         ^^^^^^^^^^^              ^^^^^^^^^^^^^^^            ^^ times, crc  ^^ stamp
//! ```
//! A template is shared; sending copies it into a connection's buffer and writes over the marked places.

use crate::client::{CLIENT_ID, ClientError, Topic};
use crate::stamp::{STAMP_BYTES, Stamp};
use crate::workload::Workload;
use bytes::BytesMut;
use strandline_engine::format::batch::{self, BATCH_HEADER_BYTES};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::format::record::Records;
use strandline_engine::format::varint;
use strandline_engine::types::Timestamp;
use strandline_protocol::messages::{PartitionProduceData, ProduceRequest, TopicProduceData, encode_request};

/// The bytes of a key.
const KEY_BYTES: usize = 8;
/// Where the correlation id stands in a request.
const CORRELATION: usize = 8;
/// Where a batch header has its fields; see [`strandline_engine::format::batch`].
const BASE_TIMESTAMP: usize = 27;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
/// Where a request's body first is in the flexible form.
const FLEXIBLE_FROM: i16 = 9;

/// A request of some batches with the same number of records each.
#[derive(Debug)]
pub(crate) struct Template {
    frame: Vec<u8>,
    batches: Vec<Place>,
    batch_bytes: usize,
    /// Where values start in a batch; none when they are compressed.
    values: Vec<usize>,
    /// How far before its value a key starts: between them is the value's length.
    key_before: Option<usize>,
    /// How many keys there are.
    keys: u64,
}

/// Where the parts of a batch are in the frame.
#[derive(Clone, Copy, Debug)]
struct Place {
    index: usize,
    batch: usize,
}

/// Who sends a batch, as an idempotent producer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    /// The producer id.
    pub(crate) id: i64,
    /// The producer epoch.
    pub(crate) epoch: i16,
}

impl Template {
    /// A request of `batches` batches of `records` records each.
    pub(crate) fn new(
        workload: &Workload,
        topic: &Topic,
        version: i16,
        batches: usize,
        records: usize,
    ) -> Result<Template, ClientError> {
        Template::of(None, workload, topic, version, batches, records)
    }

    /// The same for a producer with a transactional id, whose batches are parts of a transaction.
    pub(crate) fn of(
        transactional_id: Option<&str>,
        workload: &Workload,
        topic: &Topic,
        version: i16,
        batches: usize,
        records: usize,
    ) -> Result<Template, ClientError> {
        let batch = build_batch(workload, records, transactional_id.is_some());
        let values = match workload.codec.into() {
            Codec::None => value_positions(&batch, records),
            _ => Vec::new(),
        };
        let request = ProduceRequest {
            transactional_id: transactional_id.map(str::to_owned),
            acks: workload.acks.code(),
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: topic.name.clone(),
                topic_id: topic.id,
                partition_data: (0..batches)
                    .map(|_| PartitionProduceData { index: 0, records: Some(batch.clone()) })
                    .collect(),
            }],
        };
        let frame = encode_request(version, 0, Some(CLIENT_ID), &request)
            .map_err(|source| ClientError::Encode { api: "Produce", source })?
            .to_vec();
        let mut length = BytesMut::new();
        match version >= FLEXIBLE_FROM {
            true => varint::write_unsigned(&mut length, batch.len() as u32 + 1),
            false => length.extend_from_slice(&[0; 4]),
        }
        let mut places = Vec::with_capacity(batches);
        let mut from = 0;
        while places.len() < batches {
            let found = frame[from..]
                .windows(BATCH_HEADER_BYTES)
                .position(|part| part == &batch[..BATCH_HEADER_BYTES]);
            let at = from + found.expect("the frame has as many batches as were put in");
            places.push(Place { index: at - length.len() - size_of::<i32>(), batch: at });
            from = at + batch.len();
        }
        let length_bytes = varint::varint_bytes(workload.record_bytes as i32);
        let key_before = workload.keys.map(|_| length_bytes + KEY_BYTES);
        let keys = workload.keys.unwrap_or(1);
        Ok(Template { frame, batches: places, batch_bytes: batch.len(), values, key_before, keys })
    }

    /// The bytes of the whole request.
    pub(crate) fn bytes(&self) -> usize {
        self.frame.len()
    }

    /// Appends a copy to `out` and gives it its correlation id. The batches are then to be stamped.
    pub(crate) fn copy<'a>(&'a self, out: &'a mut Vec<u8>, correlation_id: i32) -> Copied<'a> {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        frame[CORRELATION..CORRELATION + 4].copy_from_slice(&correlation_id.to_be_bytes());
        Copied { template: self, frame }
    }
}

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Copied<'a> {
    template: &'a Template,
    frame: &'a mut [u8],
}

impl Copied<'_> {
    /// Makes batch `number` one for `partition`; `stamp` is asked for each record's stamp in turn (never when
    /// compressed).
    pub(crate) fn batch(
        &mut self,
        number: usize,
        partition: i32,
        identity: Option<(Identity, u64)>,
        wall_ms: i64,
        mut stamp: impl FnMut() -> Stamp,
    ) {
        let place = self.template.batches[number];
        self.frame[place.index..place.index + 4].copy_from_slice(&partition.to_be_bytes());
        let batch = &mut self.frame[place.batch..place.batch + self.template.batch_bytes];
        for &value in &self.template.values {
            let stamp = stamp();
            stamp.write(&mut batch[value..value + STAMP_BYTES]);
            if let Some(key_before) = self.template.key_before {
                let key = value - key_before;
                let word = crate::schedule::mix(stamp.sequence ^ stamp.chain) % self.template.keys;
                batch[key..key + KEY_BYTES].copy_from_slice(&word.to_be_bytes());
            }
        }
        batch[BASE_TIMESTAMP..BASE_TIMESTAMP + 8].copy_from_slice(&wall_ms.to_be_bytes());
        if let Some((identity, sequence)) = identity {
            let sequence = (sequence & 0x7fff_ffff) as i32;
            batch[PRODUCER_ID..PRODUCER_ID + 8].copy_from_slice(&identity.id.to_be_bytes());
            batch[PRODUCER_EPOCH..PRODUCER_EPOCH + 2].copy_from_slice(&identity.epoch.to_be_bytes());
            batch[BASE_SEQUENCE..BASE_SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
        }
        batch::set_max_timestamp(batch, Timestamp(wall_ms));
    }

    /// Batch `number` as it is now.
    pub(crate) fn records(&self, number: usize) -> &[u8] {
        let start = self.template.batches[number].batch;
        &self.frame[start..start + self.template.batch_bytes]
    }
}

fn build_batch(workload: &Workload, records: usize, transactional: bool) -> BytesMut {
    let mut builder = BatchBuilder::new(workload.codec.into()).transactional(transactional);
    for record in 0..records {
        let value = filler(workload.record_bytes as usize, record as u64);
        let key = workload.keys.map(|_| [0; KEY_BYTES]);
        builder.push(Timestamp::default(), key.as_ref().map(|key| &key[..]), Some(&value), &[]);
    }
    builder.build()
}

/// Text-like bytes that compress to about half: 16 random hexadecimal digits at a time.
fn filler(bytes: usize, seed: u64) -> Vec<u8> {
    (0..bytes.div_ceil(16))
        .flat_map(|word| format!("{:016x}", crate::schedule::mix(seed << 32 | word as u64)).into_bytes())
        .take(bytes)
        .collect()
}

fn value_positions(batch: &[u8], records: usize) -> Vec<usize> {
    Records::new(&batch[BATCH_HEADER_BYTES..], records as u32)
        .map(|record| {
            let value = record.expect("the batch was just built").value.expect("every record has a value");
            value.as_ptr().addr() - batch.as_ptr().addr()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Stream;
    use clap::Parser;
    use std::collections::BTreeSet;
    use strandline_engine::format::batch::Batches;
    use strandline_engine::types::{ProducerEpoch, ProducerId, Sequence};
    use strandline_protocol::Uuid;
    use strandline_protocol::messages::RequestHeader;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        workload: Workload,
    }

    #[test]
    fn a_stamped_copy_is_a_valid_request_with_the_records_meant() {
        for (version, keyed, id) in [
            (8, false, None),
            (9, true, None),
            (13, false, None),
            (13, true, None),
            (12, false, Some("orders-1")),
        ] {
            let mut line = vec!["x", "--record-bytes", "100"];
            line.extend(keyed.then_some(["--keys", "3"]).into_iter().flatten());
            let workload = Line::parse_from(line).workload;
            let topic = Topic { name: "t".into(), id: Uuid::from_u128(1), leaders: Vec::new() };
            let template = Template::of(id, &workload, &topic, version, 2, 70).expect("it can be encoded");
            let mut out = vec![1, 2, 3];
            let mut copied = template.copy(&mut out, 77);
            for number in 0..2 {
                let stream = Stream { producer: 5, partition: number as u32 + 3 };
                let mut sequence = 0;
                copied.batch(
                    number,
                    number as i32 + 3,
                    Some((Identity { id: 9, epoch: 1 }, 4)),
                    1_234,
                    || {
                        sequence += 1;
                        Stamp::after(0, stream, sequence, 42)
                    },
                );
            }
            let mut keys = BTreeSet::new();
            assert_eq!(&out[..3], [1, 2, 3]);
            let frame = &out[7..];
            assert_eq!(i32::from_be_bytes(out[3..7].try_into().expect("4 bytes")) as usize, frame.len());
            let (header, body) = RequestHeader::decode(frame).expect("a header");
            assert_eq!((header.version, header.correlation_id), (version, 77));
            let request = ProduceRequest::decode(BytesMut::from(&frame[body..]), version).expect("a body");
            assert_eq!(request.transactional_id.as_deref(), id);
            let partitions = &request.topic_data[0].partition_data;
            assert_eq!(partitions.len(), 2);
            for (number, partition) in partitions.iter().enumerate() {
                assert_eq!(partition.index, number as i32 + 3);
                let bytes = partition.records.as_ref().expect("records");
                batch::verify_crc(bytes).expect("the sum was renewed");
                let (header, bytes) = Batches::new(bytes).next().expect("a batch").expect("a valid one");
                assert_eq!(header.is_transactional(), id.is_some());
                assert_eq!(
                    (header.base_timestamp(), header.max_timestamp()),
                    (Timestamp(1_234), Timestamp(1_234))
                );
                assert_eq!(
                    (header.producer_id(), header.producer_epoch(), header.base_sequence()),
                    (ProducerId(9), ProducerEpoch(1), Sequence(4))
                );
                let mut count = 0;
                for (record, sequence) in Records::new(&bytes[BATCH_HEADER_BYTES..], 70).zip(1..) {
                    let record = record.expect("a valid record");
                    let stamp = Stamp::read(record.value.expect("a value")).expect("a stamp");
                    assert_eq!((stamp.sequence, stamp.stream.partition), (sequence, number as u32 + 3));
                    keys.insert(record.key.map(<[u8]>::to_vec));
                    count += 1;
                }
                assert_eq!(count, 70);
            }
            let expected = if keyed {
                (0..3u64).map(|key| Some(key.to_be_bytes().to_vec())).collect()
            } else {
                [None].into()
            };
            assert_eq!(keys, expected);
        }
    }
}
