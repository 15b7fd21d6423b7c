//! TxnOffsetCommit: offsets that count when the transaction is committed. Answered when they are durable
//! (D9).

use std::time::{SystemTime, UNIX_EPOCH};

use strandline_engine::types::{ProducerEpoch, ProducerId};
use strandline_engine::{Participation, Producer};
use strandline_protocol::messages::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestTopic, TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::allowed_topics;
use crate::api::in_transaction::{Asked, Way, participations};
use crate::broker::Broker;
use crate::call::Call;
use crate::coordination::Transactional;
use crate::groups::records::OffsetValue;
use crate::groups::{ByPartition, Commit, Identity, OFFSETS_TOPIC};
use crate::security::acl::{Operation, Resource};

/// The first version whose clients know what it means that a coordinator loads (KAFKA-7296).
const LOADING_FROM: i16 = 2;

/// The first version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 4;

/// The first version that makes the group part of the transaction (KIP-890).
const ADDS_FROM: i16 = 5;

/// What became of each offset.
pub async fn handle(call: &Call, mut request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let (broker, version) = (&call.broker, call.header.version);
    let named = std::mem::take(&mut request.topics).into_iter().map(|topic| (topic.name.clone(), topic));
    let may = call
        .may(Operation::Write, Resource::transactional_id(&request.transactional_id))
        .and_then(|()| call.may(Operation::Read, Resource::group(&request.group_id)));
    let (allowed, denied) = match may {
        Ok(()) => allowed_topics(call, Operation::Read, named),
        Err(error) => (Vec::new(), named.map(|(name, topic)| (name, topic, error)).collect()),
    };
    let topics: Vec<_> = allowed.into_iter().map(|(_, topic)| topic).collect();
    let asked: ByPartition<()> = topics
        .iter()
        .map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| (partition.partition_index, ()));
            (topic.name.clone(), partitions.collect())
        })
        .collect();
    let committed = match may.is_err() || (topics.is_empty() && !denied.is_empty()) {
        true => Ok(ByPartition::new()),
        false => commit(broker, version, request, topics).await,
    };
    let mut codes = match committed {
        Ok(codes) => codes,
        Err(error) => {
            let all = asked.into_iter().map(|(topic, partitions)| {
                (topic, partitions.into_iter().map(|(at, ())| (at, error)).collect())
            });
            all.collect()
        }
    };
    codes.extend(denied.into_iter().map(|(name, topic, error)| {
        (name, topic.partitions.into_iter().map(|partition| (partition.partition_index, error)).collect())
    }));
    let topics = codes.into_iter().map(|(name, partitions)| TxnOffsetCommitResponseTopic {
        name,
        partitions: partitions
            .into_iter()
            .map(|(partition_index, code)| TxnOffsetCommitResponsePartition {
                partition_index,
                error_code: known_to(version, code).code(),
            })
            .collect(),
    });
    TxnOffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

async fn commit(
    broker: &Broker,
    version: i16,
    request: TxnOffsetCommitRequest,
    topics: Vec<TxnOffsetCommitRequestTopic>,
) -> Result<ByPartition<ErrorCode>, ErrorCode> {
    if !is_any_there(broker, &topics) {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let producer =
        Producer { id: ProducerId(request.producer_id), epoch: ProducerEpoch(request.producer_epoch) };
    let verified = verify(broker, version, &request, producer).await?;
    let identity = Identity {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
    };
    let commit = Commit {
        identity,
        unknown: ErrorCode::IllegalGeneration,
        offsets: offsets(topics),
        transaction: Some(Transactional { producer, verified }),
    };
    broker.groups.commit(&broker.shard, request.group_id, commit).await
}

/// Whether an offset is of a partition that exists: without one, nobody asks who commits it.
fn is_any_there(broker: &Broker, topics: &[TxnOffsetCommitRequestTopic]) -> bool {
    let known = broker.shard.topics();
    topics.iter().any(|topic| {
        let known = known.by_name(&topic.name);
        let is_there = |at| known.is_some_and(|topic| topic.partition(at).is_some());
        topic.partitions.iter().any(|partition| is_there(partition.partition_index))
    })
}

/// Whether the group's partition is part of the transaction, as its coordinator says, or has become so.
async fn verify(
    broker: &Broker,
    version: i16,
    request: &TxnOffsetCommitRequest,
    producer: Producer,
) -> Result<Option<Participation>, ErrorCode> {
    if request.transactional_id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let partition = broker.groups.partition(&broker.shard, &request.group_id).await.map_err(|error| {
        tracing::warn!(%error, "the topic that groups are kept in was not made");
        ErrorCode::CoordinatorNotAvailable
    })?;
    let way = if version >= ADDS_FROM { Way::Add } else { Way::Verify };
    let asked = [Asked { topic: OFFSETS_TOPIC.to_owned(), partition, producer }];
    let mut found = participations(broker, way, &request.transactional_id, &asked).await;
    found.pop().expect("one answer to one question").map(Some).map_err(|error| translated(version, error))
}

/// What the coordinator of the transaction has said, as a client that asks the one of its group knows it.
fn translated(version: i16, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < ABORTABLE_FROM => ErrorCode::InvalidTxnState,
        ErrorCode::ConcurrentTransactions if version >= ADDS_FROM => error,
        // It looks for the coordinator of its group again, and comes back.
        ErrorCode::ConcurrentTransactions
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::NotCoordinator => ErrorCode::CoordinatorNotAvailable,
        error => error,
    }
}

/// The code as this version knows it.
fn known_to(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::CoordinatorLoadInProgress if version < LOADING_FROM => ErrorCode::CoordinatorNotAvailable,
        code => code,
    }
}

fn offsets(topics: Vec<TxnOffsetCommitRequestTopic>) -> ByPartition<OffsetValue> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let commit_timestamp = since.map_or(0, |since| since.as_millis() as i64);
    let topics = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|asked| {
            let value = OffsetValue {
                offset: asked.committed_offset,
                leader_epoch: asked.committed_leader_epoch,
                metadata: asked.committed_metadata.unwrap_or_default(),
                commit_timestamp,
                ..Default::default()
            };
            (asked.partition_index, value)
        });
        (topic.name, partitions.collect())
    });
    topics.collect()
}
