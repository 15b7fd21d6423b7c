//! The topic of the registry: found or created, read, appended to, and who may do which.
//!
//! Kafka knows no rights of schemas, so those of topics hold. Whoever may read `_schemas` may look at all
//! schemas, whoever may write it may change them; who creates it may create topics. Who may read or write the
//! topic of a subject, which is its name without `-key` and `-value`, may look at that subject.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use strandline_engine::error::ReadError;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, BatchHeader, Batches, TimestampType, verify_crc};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::{Codec, decompress};
use strandline_engine::format::record::Records;
use strandline_engine::types::{Offset, PartitionId, Timestamp};
use strandline_engine::{Handle, OffsetQuery, ReadRequest};
use strandline_protocol::messages::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, MetadataRequest, MetadataRequestTopic,
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use strandline_protocol::wire::ErrorCode;
use strandline_schemas::api::Access;
use strandline_schemas::{Record, State, TOPIC};

use super::of_topic;
use crate::fronts::http::ask::Asker;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::topics::check;
use crate::security::acl::Operation;

/// The versions of what is asked: the last ones that name topics.
const METADATA: i16 = 12;
const PRODUCE: i16 = 12;
const CREATE_TOPICS: i16 = 7;

/// For all replicas; here, for the disk.
const ALL: i16 = -1;

/// Bytes that are read at once, unless one batch is larger.
const READ_BYTES: u64 = 1 << 20;

/// No batch of the topic unpacks to more.
const UNPACKED_BYTES_MAX: usize = 64 << 20;

/// A batch is full with so many bytes; a single record may make it larger, below the default of
/// `max.message.bytes`.
const BATCH_BYTES: usize = 900 << 10;

/// What is set for the topic. It is durable whatever other topics are (D9).
const CONFIGS: [(&str, &str); 2] = [("cleanup.policy", "compact"), ("flush.messages", "1")];

/// The partition of the topic, if there is one, and its shape is what the registry needs.
///
/// # Errors
/// 50001 for a topic that would lose schemas, or that another registry would not read.
pub(super) fn find(engine: &Handle) -> Result<Option<PartitionId>, Problem> {
    let topics = engine.topics();
    let Some(topic) = topics.by_name(TOPIC) else { return Ok(None) };
    if topic.partitions != 1 {
        let count = topic.partitions;
        return Err(unusable(format!("topic {TOPIC} has {count} partitions, and the registry needs one")));
    }
    if !topic.config.compacted || topic.config.deleted {
        let words = format!("topic {TOPIC} would lose schemas: its cleanup.policy is not compact");
        return Err(unusable(words));
    }
    Ok(topic.partition(0))
}

/// The registry's own words for a store that it cannot use.
fn unusable(words: String) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Some(1), words)
}

/// Where the topic ends.
///
/// # Errors
/// [`Problem`].
pub(super) async fn end(engine: &Handle, partition: PartitionId) -> Result<Offset, Problem> {
    let found = engine.find_offset(partition, OffsetQuery::Latest, None).await.map_err(unread)?;
    Ok(found.map_or(Offset::ZERO, |found| found.offset))
}

/// Reads from an offset on.
///
/// # Errors
/// [`Problem`].
pub(super) async fn read(engine: &Handle, partition: PartitionId, from: Offset) -> Result<Read, Problem> {
    let mut from = from;
    loop {
        let request = ReadRequest::new(partition, from, READ_BYTES);
        let Some(result) = engine.read(&[request]).await.pop() else {
            return Err(Problem::away("the broker stops"));
        };
        match result {
            // What was there is deleted: what is left says all that counts.
            Err(ReadError::OffsetOutOfRange { log_start, .. }) if from < log_start => from = log_start,
            Err(error) => return Err(unread(error)),
            Ok(result) => {
                let Some(range) = result.batches else {
                    return Ok(Read { bytes: Bytes::new(), from: result.readable_end.max(from) });
                };
                let bytes = tokio::task::spawn_blocking(move || range.read()).await;
                let bytes = bytes.map_err(|_| Problem::away("the broker stops"))?;
                let bytes = bytes.map_err(|error| unusable(format!("{}: {error}", of_topic())))?;
                return Ok(Read { bytes, from });
            }
        }
    }
}

fn unread(error: ReadError) -> Problem {
    unusable(format!("{}: {error}", of_topic()))
}

/// Batches that were read.
pub(super) struct Read {
    bytes: Bytes,
    from: Offset,
}

impl Read {
    /// Takes the records in. One that cannot be read is passed over, as in Confluent's registry.
    ///
    /// # Errors
    /// 500 for batches that are none.
    pub(super) fn apply(self, state: &mut State, position: &mut Offset) -> Result<(), Problem> {
        *position = self.from.max(*position);
        for batch in Batches::new(&self.bytes) {
            let at = *position;
            let broken = |why: &dyn Display| unusable(format!("{}, offset {at}: {why}", of_topic()));
            let (header, batch) = batch.map_err(|why| broken(&why))?;
            if header.next_offset() > *position && !header.is_control() {
                verify_crc(batch).map_err(|why| broken(&why))?;
                apply_batch(header, &batch[BATCH_HEADER_BYTES..], state, *position, &broken)?;
            }
            *position = header.next_offset().max(*position);
        }
        Ok(())
    }
}

fn apply_batch(
    header: &BatchHeader,
    packed: &[u8],
    state: &mut State,
    from: Offset,
    broken: &dyn Fn(&dyn Display) -> Problem,
) -> Result<(), Problem> {
    let records = match header.codec().map_err(|why| broken(&why))? {
        Codec::None => Cow::Borrowed(packed),
        codec => Cow::Owned(decompress(codec, packed, UNPACKED_BYTES_MAX).map_err(|why| broken(&why))?),
    };
    let is_stamped = header.timestamp_type() == TimestampType::LogAppendTime;
    for record in Records::new(&records, header.record_count().max(0) as u32) {
        let record = record.map_err(|why| broken(&why))?;
        let offset = header.base_offset().plus(i64::from(record.offset_delta));
        if offset < from {
            continue;
        }
        let timestamp = match is_stamped {
            true => header.max_timestamp(),
            false => header.base_timestamp().with_delta(record.timestamp_delta),
        };
        match Record::parse(record.key.unwrap_or_default(), record.value) {
            Ok(record) => state.apply(&record, timestamp.0),
            Err(reason) => tracing::warn!(%offset, %reason, "a record of {TOPIC} is passed over"),
        }
    }
    Ok(())
}

/// Creates the topic, unless there is one.
///
/// # Errors
/// [`Problem`], also where the client may not.
pub(super) async fn ensure(asker: &Asker) -> Result<(), Problem> {
    if find(asker.engine()?)?.is_some() {
        return Ok(());
    }
    let config = |(name, value): (&str, &str)| CreatableTopicConfig {
        name: name.to_owned(),
        value: Some(value.to_owned()),
    };
    let topic = CreatableTopic {
        name: TOPIC.to_owned(),
        num_partitions: 1,
        replication_factor: -1,
        configs: CONFIGS.map(config).to_vec(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
    let answer = asker.ask(CREATE_TOPICS, &request).await?;
    let code = answer.topics.first().map_or(0, |topic| topic.error_code);
    match ErrorCode::try_from(code) {
        Ok(ErrorCode::TopicAlreadyExists) => Ok(()),
        _ => check(code, &of_topic()),
    }
}

/// Appends records for the client; answers the offset of the first once all are durable.
///
/// # Errors
/// [`Problem`], also where the client may not.
pub(super) async fn append(asker: &Asker, records: &[Record]) -> Result<Offset, Problem> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let mut first = None;
    for batch in batches(records, now) {
        let partition_data = vec![PartitionProduceData { index: 0, records: Some(batch) }];
        let data = TopicProduceData { name: TOPIC.to_owned(), partition_data, ..Default::default() };
        let request =
            ProduceRequest { acks: ALL, timeout_ms: 30_000, topic_data: vec![data], ..Default::default() };
        let answer = asker.ask(PRODUCE, &request).await?;
        let answers = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        for answer in answers {
            check(answer.error_code, &of_topic())?;
            first = first.or(Offset::checked(answer.base_offset));
        }
    }
    first.ok_or_else(|| Problem::away("the broker has said nothing of the topic"))
}

/// Records as batches, those of one change in one as far as it goes.
fn batches(records: &[Record], now: i64) -> Vec<BytesMut> {
    let mut batches = Vec::new();
    let mut batch = BatchBuilder::new(Codec::None);
    for record in records {
        let (key, value) = (record.key().to_bytes(), record.value());
        let bytes = key.len() + value.as_ref().map_or(0, Vec::len);
        if !batch.is_empty() && batch.bytes_estimate() + bytes > BATCH_BYTES {
            batches.push(std::mem::replace(&mut batch, BatchBuilder::new(Codec::None)).build());
        }
        batch.push(Timestamp(now), Some(&key), value.as_deref(), &[]);
    }
    if !batch.is_empty() {
        batches.push(batch.build());
    }
    batches
}

/// Holds what a request needs against what its client may.
///
/// # Errors
/// 403.
pub(super) async fn check_rights(asker: &Asker, access: &Access<'_>) -> Result<(), Problem> {
    let of_subject = access.subject.filter(|_| !access.is_write).map(topic_of);
    let names = std::iter::once(TOPIC.to_owned()).chain(of_subject);
    let topics = names.map(|name| MetadataRequestTopic { name: Some(name), ..Default::default() });
    let request = MetadataRequest {
        topics: Some(topics.collect()),
        allow_auto_topic_creation: false,
        include_topic_authorized_operations: true,
        ..Default::default()
    };
    let answer = asker.ask(METADATA, &request).await?;
    let may = |topic: &strandline_protocol::messages::MetadataResponseTopic, operations: &[Operation]| {
        match ErrorCode::try_from(topic.error_code) {
            Ok(ErrorCode::None) => {
                let bits = topic.topic_authorized_operations as u32;
                operations.iter().any(|operation| bits & operation.bit() != 0)
            }
            // Where there is none, there is nothing to see, and whoever creates it has to be allowed to.
            Ok(ErrorCode::UnknownTopicOrPartition) => topic.name.as_deref() == Some(TOPIC),
            _ => false,
        }
    };
    let operations = match access.is_write {
        true => &[Operation::Write][..],
        false => &[Operation::Read],
    };
    let is_allowed = answer.topics.iter().any(|topic| match topic.name.as_deref() {
        Some(TOPIC) => may(topic, operations),
        _ => may(topic, &[Operation::Read, Operation::Write]),
    });
    is_allowed
        .then_some(())
        .ok_or_else(|| Problem::of_kafka(ErrorCode::TopicAuthorizationFailed, &of_topic()))
}

/// The topics whose subjects a client may look at.
///
/// # Errors
/// [`Problem`].
pub(super) async fn readable_topics(asker: &Asker) -> Result<BTreeSet<String>, Problem> {
    let request = MetadataRequest {
        topics: None,
        allow_auto_topic_creation: false,
        include_topic_authorized_operations: true,
        ..Default::default()
    };
    let answer = asker.ask(METADATA, &request).await?;
    let bits = Operation::Read.bit() | Operation::Write.bit();
    let readable =
        answer.topics.into_iter().filter(|topic| topic.topic_authorized_operations as u32 & bits != 0);
    Ok(readable.filter_map(|topic| topic.name).collect())
}

/// The topic of a subject, as serializers name subjects by default.
pub(super) fn topic_of(subject: &str) -> String {
    let name = strandline_schemas::subject::Subject::parse(subject).name;
    let topic = name.strip_suffix("-value").or_else(|| name.strip_suffix("-key"));
    topic.unwrap_or(&name).to_owned()
}
