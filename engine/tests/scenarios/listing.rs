//! Every record that the engine serves, a line of JSON each: what `second_reader.py` prints, byte for byte.

use std::fmt::Write;

use futures_executor::block_on;
use strandline_engine::format::batch::{BatchHeader, Batches, TimestampType};
use strandline_engine::format::compression::Codec;
use strandline_engine::inspect::{Placed, Unpacked};
use strandline_engine::topics::Role;
use strandline_engine::types::PartitionId;
use strandline_engine::{Handle, OffsetQuery, ReadRequest};

/// Topics by name, partitions that are led here by number, records by offset.
pub(crate) fn listing(log: &Handle) -> String {
    let mut lines = String::new();
    let topics = log.topics();
    let mut topics: Vec<_> = topics.iter().collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    for topic in topics {
        let is_led = |id: &PartitionId| topic.replica(id.index).is_some_and(|here| here.role == Role::Leader);
        for partition in topic.partitions_here().filter(is_led) {
            let place = format!("{{\"topic\": \"{}\", \"partition\": {}, ", topic.name, partition.index);
            list_partition(log, partition, &place, &mut lines);
        }
    }
    lines
}

fn list_partition(log: &Handle, partition: PartitionId, place: &str, lines: &mut String) {
    let start = block_on(log.find_offset(partition, OffsetQuery::Earliest, None))
        .unwrap()
        .expect("a log has a start");
    let mut offset = start.offset;
    loop {
        let request = ReadRequest::new(partition, offset, 1 << 20);
        let found = block_on(log.read(&[request])).remove(0).expect("the log can be read");
        let Some(range) = found.batches else { return };
        for batch in Batches::new(&range.read().expect("the file can be read")) {
            let (header, batch) = batch.expect("whole batches");
            offset = header.next_offset();
            list_batch(header, batch, start.offset.get(), place, lines);
        }
    }
}

fn list_batch(header: &BatchHeader, batch: &[u8], start: i64, place: &str, lines: &mut String) {
    let codec = header.codec().expect("a known codec");
    if !matches!(codec, Codec::None | Codec::Gzip) {
        let (base, last, count) = (header.base_offset(), header.last_offset(), header.record_count());
        let codec = codec.id();
        let line = format!("\"offset\": {base}, \"last\": {last}, \"codec\": {codec}, \"count\": {count}}}");
        writeln!(lines, "{place}{line}").unwrap();
        return;
    }
    for placed in Unpacked::new(header, batch).expect("it was packed").records() {
        let Placed { offset, timestamp, record, .. } = placed.expect("whole records");
        if offset.get() < start {
            continue;
        }
        let timestamp = match header.timestamp_type() {
            TimestampType::CreateTime => timestamp,
            TimestampType::LogAppendTime => header.max_timestamp(),
        };
        let headers: Vec<_> = record
            .headers
            .map(|header| header.expect("whole headers"))
            .map(|(name, value)| format!("[{}, {}]", hex(Some(name)), hex(value)))
            .collect();
        let sequence = match header.base_sequence().0 {
            base @ 0.. => (i64::from(base) + i64::from(record.offset_delta)) & i64::from(i32::MAX),
            _ => -1,
        };
        writeln!(
            lines,
            "{place}\"offset\": {offset}, \"timestamp\": {timestamp}, \"key\": {}, \"value\": {}, \"headers\": [{}], \
             \"producer\": {}, \"epoch\": {}, \"sequence\": {sequence}, \"transactional\": {}, \"control\": {}}}",
            hex(record.key),
            hex(record.value),
            headers.join(", "),
            header.producer_id(),
            header.producer_epoch(),
            header.is_transactional(),
            header.is_control(),
        )
        .unwrap();
    }
}

fn hex(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\"{digits}\"")
        }
    }
}
