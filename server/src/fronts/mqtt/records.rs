//! Records as they come out of a fetch, as messages.

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, BatchHeader, Batches, TimestampType, verify_crc};
use strandline_engine::format::compression::{Codec, decompress};
use strandline_engine::format::marker::{EndMarker, TransactionResult};
use strandline_engine::format::record::{Record, Records};
use strandline_mqtt::connection::Offered;
use strandline_mqtt::message::Message;
use strandline_mqtt::rules::Rules;
use strandline_protocol::messages::AbortedTransaction;

use super::machines::or_empty;

/// No batch unpacks to more here.
const UNPACKED_BYTES_MAX: usize = 64 << 20;

/// Records of one fetch that are looked at before the shard does something else.
const RECORDS_MAX: usize = 1000;

/// What was found behind an offset.
pub(super) struct Found {
    pub(super) records: Vec<Offered>,
    /// The offset behind the last one that was looked at.
    pub(super) next: i64,
}

/// The records of a Kafka topic from an offset on, without those of aborted transactions, as messages.
/// `None` when the bytes are no records.
pub(super) fn walk(
    batches: &[u8],
    aborted: &[AbortedTransaction],
    from: i64,
    topic: &str,
    rules: &Rules,
) -> Option<Found> {
    let mut found = Found { records: Vec::new(), next: from };
    let mut open = HashSet::new();
    let mut to_come = aborted.iter().peekable();
    for batch in Batches::new(batches) {
        let (header, batch) = batch.ok()?;
        while let Some(aborted) = to_come.next_if(|it| it.first_offset <= header.last_offset().get()) {
            open.insert(aborted.producer_id);
        }
        let producer = header.producer_id().0;
        if header.is_control() {
            let is_abort = EndMarker::read(batch).is_some_and(|it| it.result == TransactionResult::Abort);
            if is_abort {
                open.remove(&producer);
            }
        }
        let is_aborted = header.is_transactional() && open.contains(&producer);
        if header.next_offset().get() <= found.next {
            continue;
        }
        if !header.is_control() && !is_aborted {
            unpack(header, batch, topic, rules, &mut found)?;
            if found.records.len() >= RECORDS_MAX {
                break;
            }
        }
        found.next = header.next_offset().get();
    }
    Some(found)
}

fn unpack(header: &BatchHeader, batch: &[u8], topic: &str, rules: &Rules, found: &mut Found) -> Option<()> {
    verify_crc(batch).ok()?;
    let packed = &batch[BATCH_HEADER_BYTES..];
    let records = match header.codec().ok()? {
        Codec::None => Cow::Borrowed(packed),
        codec => Cow::Owned(decompress(codec, packed, UNPACKED_BYTES_MAX).ok()?),
    };
    let is_stamped = header.timestamp_type() == TimestampType::LogAppendTime;
    for record in Records::new(&records, header.record_count().max(0) as u32) {
        let record = record.ok()?;
        let offset = header.base_offset().get().wrapping_add(i64::from(record.offset_delta));
        if offset < found.next {
            continue;
        }
        let timestamp = match is_stamped {
            true => header.max_timestamp(),
            false => header.base_timestamp().with_delta(record.timestamp_delta),
        };
        let message = message_of(&record, topic, rules);
        found.records.push(Offered { offset, timestamp: timestamp.0, message });
        found.next = offset.wrapping_add(1);
    }
    Some(())
}

fn message_of(record: &Record<'_>, topic: &str, rules: &Rules) -> Option<Message> {
    let headers = record.headers.filter_map(|header| {
        let (name, value) = header.ok()?;
        Some((std::str::from_utf8(name).ok()?, value))
    });
    let payload: Bytes = or_empty(record.value);
    let mut message = Message::of_record(payload, headers);
    message.topic = rules.topic_of(&message.topic, topic, record.key)?;
    Some(message)
}
