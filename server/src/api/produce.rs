//! Produce: hands record batches to the engine when they arrive, and answers when they are durable.
//!
//! ```text
//! on arrival   request > each partition: rules > Local::append        (in the order of arrival, nothing is waited for)
//! in turn      each PendingAppend::settled > response                 (all of one request together)
//! ```
//!
//! Of a transaction, the first batch in a partition is waited for on arrival, until the coordinator has said
//! that the transaction takes part there ([`super::in_transaction`]).
//!
//! The checks stand in Kafka's order. acks=1 and acks=all mean the same: durable, on the one replica there
//! is. With acks=0 there is no response at all; what fails then closes the connection, so that the client
//! looks again at whom it talks to.

use std::sync::Arc;

use bytes::BytesMut;
use futures_util::future::LocalBoxFuture;
use strandline_engine::error::AppendError;
use strandline_engine::format::batch::BatchHeader;
use strandline_engine::format::check::CheckError;
use strandline_engine::format::compression::Codec;
use strandline_engine::reactor::yield_if_needed;
use strandline_engine::topics::Topic;
use strandline_engine::types::{PartitionId, ProducerId};
use strandline_engine::{Appended, Origin, PendingAppend};
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, RequestHeader, TopicProduceData, TopicProduceResponse, encode_response,
};
use strandline_protocol::wire::{ApiKey, ErrorCode};

use crate::access::Access;
use crate::api::in_transaction::{Asked, Basis, bases};
use crate::api::{append_error, known_to, whole_ms};
use crate::broker::{Broker, TopicKey};
use crate::call::{Answer, Call, CallError, Pending, finish};
use crate::groups::is_internal;
use crate::quotas::QuotaKey;
use crate::refusal::Refusal;
use crate::security::acl::{Operation, Resource};

/// The first version whose readers know zstd.
const ZSTD_FROM: i16 = 7;

/// The answer for so many partitions is short, whatever it says.
const AT_ONCE_MAX: usize = 256;

/// Why a partition's records were not appended.
#[derive(Clone, Debug)]
struct Rejected {
    why: Refusal,
    records: Vec<BatchIndexAndErrorMessage>,
}

impl From<ErrorCode> for Rejected {
    fn from(code: ErrorCode) -> Rejected {
        Rejected { why: Refusal::new(code, code.to_string()), records: Vec::new() }
    }
}

impl From<AppendError> for Rejected {
    fn from(error: AppendError) -> Rejected {
        let records = match &error {
            AppendError::Invalid(CheckError::Rejected(rejected)) => rejected
                .named()
                .iter()
                .map(|record| BatchIndexAndErrorMessage {
                    batch_index: record.index as i32,
                    batch_index_error_message: Some(record.reason.text().to_owned()),
                })
                .collect(),
            _ => Vec::new(),
        };
        Rejected { why: Refusal::new(append_error(&error), error.to_string()), records }
    }
}

/// The first version that gives topics by id.
const BY_ID_FROM: i16 = 13;

/// A topic's partitions that are to be appended to.
struct Arrived {
    name: String,
    topic_id: Uuid,
    partitions: Vec<(i32, Result<Batch, Rejected>)>,
}

/// A batch that may be appended, as far as the protocol goes.
struct Batch {
    partition: PartitionId,
    records: BytesMut,
    basis: Basis,
}

/// A topic's partitions on their way.
struct Sent {
    name: String,
    topic_id: Uuid,
    partitions: Vec<(i32, Result<Handed, Rejected>)>,
}

/// A batch on its way.
struct Handed {
    append: PendingAppend,
    /// The transaction that is remembered to take part in this partition, when the batch relies on that.
    remembered: Option<(PartitionId, ProducerId)>,
}

/// Hands the batches over; the future that comes back waits for them.
pub fn arrive(call: Call) -> LocalBoxFuture<'static, Result<Pending, CallError>> {
    Box::pin(async move {
        let Call { broker, header, body, access, standing, .. } = call;
        let bytes = body.len() as u64;
        let request = ProduceRequest::decode(body, header.version)?;
        let (acks, transactional_id) = (request.acks, request.transactional_id.clone());
        let mut arrived = look(&broker, &access, header.version, request).await;
        if let Some(id) = transactional_id {
            ask_coordinator(&broker, header.version, &id, &mut arrived).await;
        }
        let mut sent = Vec::with_capacity(arrived.len());
        for Arrived { name, topic_id, partitions: batches } in arrived {
            let mut partitions = Vec::with_capacity(batches.len());
            for (index, batch) in batches {
                let outcome = match batch {
                    Ok(batch) => hand_over(&broker, batch).await,
                    Err(rejected) => Err(rejected),
                };
                partitions.push((index, outcome));
                yield_if_needed().await;
            }
            sent.push(Sent { name, topic_id, partitions });
        }
        Ok(Box::pin(async move {
            let response = settle(&broker, &header, sent).await;
            let wait = broker.used(QuotaKey::ProducerByteRate, &access.session, &standing, bytes);
            broker.requests.throttled(header.key, QuotaKey::ProducerByteRate, wait);
            standing.mute(wait);
            answer(&broker, header, acks, ProduceResponse { throttle_time_ms: whole_ms(wait), ..response })
                .await
        }) as Pending)
    })
}

async fn hand_over(broker: &Broker, batch: Batch) -> Result<Handed, Rejected> {
    let Batch { partition, records, basis } = batch;
    let producer =
        BatchHeader::peek(&records).ok().filter(|_| basis.is_remembered).and_then(BatchHeader::producer);
    let remembered = producer.map(|producer| (partition, producer.id));
    let append = broker.shard.append_as(partition, records, basis.origin).await?;
    Ok(Handed { append, remembered })
}

/// Waits until the batch is durable.
async fn settle_one(broker: &Broker, handed: Handed) -> Result<Appended, Rejected> {
    let settled = handed.append.settled().await;
    match (&settled, handed.remembered) {
        (Err(AppendError::InvalidTransactionState { .. }), Some((partition, producer))) => {
            // Somebody has ended the transaction, and left the epoch: the client comes again, and then its
            // coordinator is asked.
            broker.confirmed.forget(partition, producer);
            Err(ErrorCode::ConcurrentTransactions.into())
        }
        _ => settled.map_err(Rejected::from),
    }
}

/// Finds the partitions, and holds the batches against the protocol's rules.
async fn look(broker: &Broker, access: &Access, version: i16, request: ProduceRequest) -> Vec<Arrived> {
    let may = |id: &str| access.may(broker, Operation::Write, Resource::transactional_id(id));
    let whole = refuse_whole(&request, may);
    let mut arrived = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        let found = match whole {
            Some(code) => Err(code),
            None => access.topic(broker, Operation::Write, key(version, &topic)),
        };
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for partition in topic.partition_data {
            let index = partition.index;
            partitions.push((index, resolve(broker, version, &found, partition)));
            yield_if_needed().await;
        }
        // By its id, the request does not name it.
        let name = found.map_or(topic.name, |found| found.name.clone());
        arrived.push(Arrived { name, topic_id: topic.topic_id, partitions });
    }
    arrived
}

/// What makes all of a request fail. `may` tells whether the client may write by a transactional id.
fn refuse_whole(
    request: &ProduceRequest,
    may: impl FnOnce(&str) -> Result<(), ErrorCode>,
) -> Option<ErrorCode> {
    if !(-1..=1).contains(&request.acks) {
        return Some(ErrorCode::InvalidRequiredAcks);
    }
    let batches = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let headers = batches.filter_map(|partition| BatchHeader::peek(partition.records.as_deref()?).ok());
    let mut producers = headers.filter(|header| header.is_transactional()).map(BatchHeader::producer);
    let first = producers.next()?;
    let may = request.transactional_id.as_deref().map(may);
    if !matches!(may, Some(Ok(()))) {
        return Some(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    // A transaction has one producer.
    producers.any(|other| other != first).then_some(ErrorCode::InvalidProducerIdMapping)
}

/// Has the coordinator of a transaction say which batches may be its first in their partitions.
async fn ask_coordinator(broker: &Broker, version: i16, id: &str, arrived: &mut [Arrived]) {
    let (mut asked, mut batches) = (Vec::new(), Vec::new());
    for Arrived { name, partitions, .. } in arrived {
        for (_, outcome) in partitions {
            let Ok(batch) = outcome else { continue };
            let header = BatchHeader::peek(&batch.records).ok().filter(|header| header.is_transactional());
            // One without a producer is no batch.
            let Some(producer) = header.and_then(BatchHeader::producer) else { continue };
            asked.push(Asked { topic: name.clone(), partition: batch.partition, producer });
            batches.push(outcome);
        }
    }
    for (outcome, basis) in batches.into_iter().zip(bases(broker, version, id, asked).await) {
        match (outcome, basis) {
            (Ok(batch), Ok(basis)) => batch.basis = basis,
            (outcome, Err(code)) => *outcome = Err(code.into()),
            (Err(_), Ok(_)) => unreachable!("only batches are asked for"),
        }
    }
}

/// The topic by its name, or by its id, where the version has that.
fn key(version: i16, topic: &TopicProduceData) -> TopicKey<'_> {
    match version {
        BY_ID_FROM.. => TopicKey::Id(topic.topic_id),
        _ => TopicKey::Name(&topic.name),
    }
}

fn resolve(
    broker: &Broker,
    version: i16,
    topic: &Result<Arc<Topic>, ErrorCode>,
    data: PartitionProduceData,
) -> Result<Batch, Rejected> {
    let topic = topic.as_ref().map_err(|code| *code)?;
    let partition = broker.partition(topic, data.index)?;
    // What a coordinator keeps in memory would not be what its log says.
    if is_internal(&topic.name) {
        return Err(ErrorCode::InvalidTopic.into());
    }
    let records = data.records.unwrap_or_default();
    check_front_rules(&records, version, topic)?;
    Ok(Batch { partition, records, basis: Basis::asked(Origin::Client) })
}

/// The rules that are the protocol's; those of the format and of the topic are the engine's.
fn check_front_rules(records: &[u8], version: i16, topic: &Topic) -> Result<(), Rejected> {
    let Ok(header) = BatchHeader::peek(records) else { return Ok(()) };
    let is_one = header.total_bytes() >= records.len();
    if is_one && version < ZSTD_FROM && header.codec().is_ok_and(|codec| codec == Codec::Zstd) {
        return Err(ErrorCode::UnsupportedCompressionType.into());
    }
    let fits_topic = header.total_bytes() <= topic.config.max_message_bytes;
    if is_one && fits_topic && header.total_bytes() as u64 > topic.config.segment_bytes {
        return Err(ErrorCode::RecordListTooLarge.into());
    }
    Ok(())
}

/// Waits for all batches, which are all under way, and makes the response.
async fn settle(broker: &Broker, header: &RequestHeader, sent: Vec<Sent>) -> ProduceResponse {
    let mut responses = Vec::with_capacity(sent.len());
    for topic in sent {
        let mut partition_responses = Vec::with_capacity(topic.partitions.len());
        for (index, outcome) in topic.partitions {
            let settled = match outcome {
                Ok(handed) => settle_one(broker, handed).await,
                Err(rejected) => Err(rejected),
            };
            partition_responses.push(partition_response(header, &topic.name, index, settled));
        }
        responses.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses,
        });
    }
    ProduceResponse { responses, ..Default::default() }
}

/// The response as it leaves, if it does.
async fn answer(
    broker: &Broker,
    header: RequestHeader,
    acks: i16,
    response: ProduceResponse,
) -> Result<Answer, CallError> {
    if acks == 0 {
        broker.requests.note_errors(header.key, &response);
        let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        return match partitions.find(|partition| partition.error_code != 0) {
            None => Ok(Answer::Nothing),
            Some(failed) => {
                let code = ErrorCode::try_from(failed.error_code).unwrap_or(ErrorCode::UnknownServerError);
                Err(CallError::Unacknowledged(code))
            }
        };
    }
    let partitions: usize = response.responses.iter().map(|topic| topic.partition_responses.len()).sum();
    if partitions <= AT_ONCE_MAX {
        broker.requests.note_errors(header.key, &response);
        return Ok(Answer::Frame(encode_response(header.version, header.correlation_id, &response)?));
    }
    let seat = broker.room.seat();
    finish(broker, &header, response, seat).await
}

fn partition_response(
    header: &RequestHeader,
    topic: &str,
    index: i32,
    settled: Result<Appended, Rejected>,
) -> PartitionProduceResponse {
    match settled {
        Ok(appended) => PartitionProduceResponse {
            index,
            base_offset: appended.base_offset.get(),
            log_append_time_ms: appended.log_append_time.0,
            log_start_offset: appended.log_start.get(),
            ..Default::default()
        },
        Err(Rejected { why: Refusal { code, message }, records }) => {
            tracing::debug!(topic, partition = index, reason = message, "not appended");
            PartitionProduceResponse {
                index,
                error_code: known_to(ApiKey::Produce, header.version, code).code(),
                base_offset: -1,
                record_errors: records,
                error_message: message,
                ..Default::default()
            }
        }
    }
}
