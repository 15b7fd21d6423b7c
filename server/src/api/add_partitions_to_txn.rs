//! AddPartitionsToTxn: what a transaction is to write to, as clients before KIP-890 say it, and as brokers
//! ask each other.
//!
//! A partition that does not exist fails all others of its transaction: nothing is added then.

use std::collections::BTreeSet;

use strandline_engine::format::batch::Producer;
use strandline_engine::reactor::yield_if_needed;
use strandline_engine::types::{ProducerEpoch, ProducerId};
use strandline_protocol::messages::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct_by_name;
use crate::api::transactions::known_to;
use crate::broker::{Broker, TopicKey};
use crate::call::Call;
use crate::groups::{OFFSETS_TOPIC, is_internal};
use crate::security::acl::{Operation, Resource};
use crate::transactions::{BUMPING_LEVEL, ByTopic};

/// The first version whose clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

/// The first version for several transactions, which comes from a broker whose client knows KIP-890.
const MANY_FROM: i16 = 4;

type Topics = Vec<(String, Vec<i32>)>;

/// What became of each partition.
pub async fn handle(call: &Call, request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse {
    let version = call.header.version;
    if version < MANY_FROM {
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id,
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            verify_only: false,
            topics: request.v3_and_below_topics,
        };
        let results_by_topic_v3_and_below = add(call, transaction).await;
        return AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() };
    }
    // Brokers ask for their clients, of whom they know that they may.
    if let Err(error) = call.may(Operation::ClusterAction, Resource::CLUSTER) {
        return AddPartitionsToTxnResponse { error_code: error.code(), ..Default::default() };
    }
    let mut results_by_transaction = Vec::with_capacity(request.transactions.len());
    for transaction in request.transactions {
        let transactional_id = transaction.transactional_id.clone();
        let topic_results = add(call, transaction).await;
        results_by_transaction.push(AddPartitionsToTxnResult { transactional_id, topic_results });
        yield_if_needed().await;
    }
    AddPartitionsToTxnResponse { results_by_transaction, ..Default::default() }
}

async fn add(
    call: &Call,
    mut transaction: AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let named = std::mem::take(&mut transaction.topics);
    let named = named.into_iter().map(|AddPartitionsToTxnTopic { name, partitions }| (name, partitions));
    let asked = distinct_by_name(named.collect(), |index: &i32| *index).await;
    let version = call.header.version;
    let codes = outcomes(call, transaction, &asked).await;
    let mut codes = codes.into_iter().map(|code| known_to(version, FENCED_FROM, code).code());
    let results = asked.into_iter().map(|(name, partitions)| AddPartitionsToTxnTopicResult {
        name,
        results_by_partition: partitions
            .into_iter()
            .zip(&mut codes)
            .map(|(partition_index, partition_error_code)| AddPartitionsToTxnPartitionResult {
                partition_index,
                partition_error_code,
            })
            .collect(),
    });
    results.collect()
}

/// A code for each partition, in their order.
async fn outcomes(call: &Call, transaction: AddPartitionsToTxnTransaction, asked: &Topics) -> Vec<ErrorCode> {
    let AddPartitionsToTxnTransaction { transactional_id: id, verify_only, .. } = transaction;
    let all = || asked.iter().flat_map(|(topic, indexes)| indexes.iter().map(move |at| (topic, *at)));
    let of_all = |code: ErrorCode| all().map(|_| code).collect();
    let (broker, version) = (&call.broker, call.header.version);
    let is_of_client = version < MANY_FROM;
    if is_of_client && let Err(error) = call.may(Operation::Write, Resource::transactional_id(&id)) {
        return of_all(error);
    }
    if id.is_empty() {
        return of_all(ErrorCode::InvalidRequest);
    }
    let may = |topic: &str| match is_of_client && !is_internal(topic) {
        true => call.may(Operation::Write, Resource::topic(topic)),
        false => Ok(()),
    };
    let mut places = Vec::new();
    for (topic, indexes) in asked {
        let may = may(topic);
        places.extend(indexes.iter().map(|at| may.and_then(|()| place(broker, topic, *at))));
    }
    if places.iter().any(Result::is_err) {
        let code = |place: Result<(), ErrorCode>| place.err().unwrap_or(ErrorCode::OperationNotAttempted);
        return places.into_iter().map(code).collect();
    }
    let producer = Producer {
        id: ProducerId(transaction.producer_id),
        epoch: ProducerEpoch(transaction.producer_epoch),
    };
    if verify_only {
        let asked = all().map(|(topic, at)| (topic.clone(), at)).collect();
        return match broker.transactions.verify_partitions(&broker.shard, id, producer, asked).await {
            Ok(verified) => verified.into_iter().map(|one| one.err().unwrap_or(ErrorCode::None)).collect(),
            Err(error) => of_all(error),
        };
    }
    let added: ByTopic = asked
        .iter()
        .map(|(topic, at)| (topic.clone(), at.iter().copied().collect::<BTreeSet<_>>()))
        .collect();
    let level = if version < MANY_FROM { 0 } else { BUMPING_LEVEL };
    let added = broker.transactions.add_partitions(&broker.shard, id, producer, added, level).await;
    of_all(added.err().unwrap_or(ErrorCode::None))
}

/// Whether a transaction may write there. Of the coordinators' topics, it may to that of offsets.
fn place(broker: &Broker, topic: &str, index: i32) -> Result<(), ErrorCode> {
    if is_internal(topic) && topic != OFFSETS_TOPIC {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    let topic = broker.topic(TopicKey::Name(topic))?;
    broker.partition(&topic, index).map(drop)
}
