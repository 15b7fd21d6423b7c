//! ListTransactions and DescribeTransactions: the transactional ids that there are. And what all requests of
//! transactional producers share.

use std::collections::HashSet;

use strandline_engine::reactor::yield_if_needed;
use strandline_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, DescribedTransaction, ListTransactionsRequest,
    ListTransactionsResponse, ListedTransaction, TransactionTopic,
};
use strandline_protocol::wire::ErrorCode;
use strandline_protocol::wire::writer::PART_BYTES;

use crate::api::distinct::distinct;
use crate::call::Call;
use crate::expression::{Expression, Letters};
use crate::room::{Gathered, Seat};
use crate::security::acl::{Operation, Resource};
use crate::transactions::{Listed, Transaction};

/// The states that Kafka's transactions have; the last two are never seen.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

/// About what a transactional id takes of the memory until the answer has left.
const LISTED_BYTES: usize = 256;

/// The code as this version of a request knows it: before `fenced_from`, a client that is fenced is told of
/// its epoch.
pub(crate) fn known_to(version: i16, fenced_from: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced if version < fenced_from => ErrorCode::InvalidProducerEpoch,
        code => code,
    }
}

/// The transactional ids that are asked for, by name; and the filters that name no state.
pub async fn list(
    call: &Call,
    request: ListTransactionsRequest,
    seat: &mut Seat,
) -> ListTransactionsResponse {
    let broker = &call.broker;
    let filters = distinct(request.state_filters).await;
    let (states, unknown): (Vec<_>, Vec<_>) =
        filters.into_iter().partition(|filter| STATES.contains(&filter.as_str()));
    let response = ListTransactionsResponse { unknown_state_filters: unknown, ..Default::default() };
    let refused =
        |error: ErrorCode| ListTransactionsResponse { error_code: error.code(), ..response.clone() };
    let pattern = request.transactional_id_pattern.filter(|pattern| !pattern.is_empty());
    let pattern = pattern.map(|pattern| Expression::new(&pattern, Letters::All));
    let Ok(pattern) = pattern.transpose() else { return refused(ErrorCode::InvalidRegularExpression) };
    let count = broker.transactions.report().await.ids as usize;
    if count * LISTED_BYTES > PART_BYTES {
        seat.reserve(count * LISTED_BYTES).await;
    }
    let listed = match broker.transactions.list().await {
        Ok(listed) => listed,
        Err(error) => return refused(error),
    };
    let all_states = states.is_empty() && response.unknown_state_filters.is_empty();
    let producers: HashSet<i64> = request.producer_id_filters.into_iter().collect();
    let is_wanted = |listed: &Listed| {
        (all_states || states.iter().any(|state| state == listed.state.name()))
            && (producers.is_empty() || producers.contains(&listed.producer_id.0))
            && (request.duration_filter < 0 || listed.age_ms > request.duration_filter)
            && pattern.as_ref().is_none_or(|pattern| pattern.matches(&listed.id))
            && call.shows(Operation::Describe, Resource::transactional_id(&listed.id))
    };
    let wanted = listed.into_iter().filter(is_wanted);
    let mut transaction_states: Vec<_> = wanted
        .map(|listed| ListedTransaction {
            transactional_id: listed.id,
            producer_id: listed.producer_id.0,
            transaction_state: listed.state.name().to_owned(),
        })
        .collect();
    transaction_states.sort_by(|one, other| one.transactional_id.cmp(&other.transactional_id));
    ListTransactionsResponse { transaction_states, ..response }
}

/// What is known of each transactional id, once.
pub async fn describe(
    call: &Call,
    request: DescribeTransactionsRequest,
    seat: &mut Seat,
) -> DescribeTransactionsResponse {
    let broker = &call.broker;
    let mut gathered = Gathered::new(seat);
    let asked = distinct(request.transactional_ids).await;
    let mut transaction_states = Vec::with_capacity(asked.len());
    for transactional_id in asked {
        let found = match call.may(Operation::Describe, Resource::transactional_id(&transactional_id)) {
            Err(error) => Err(error),
            Ok(()) if transactional_id.is_empty() => Err(ErrorCode::InvalidRequest),
            Ok(()) => broker.transactions.describe(&broker.shard, transactional_id.clone()).await,
        };
        // Without the topic of transactions there is no transactional id.
        let found = match found {
            Err(ErrorCode::NotCoordinator) => Ok(None),
            found => found,
        };
        let found = found.and_then(|found| found.ok_or(ErrorCode::TransactionalIdNotFound));
        let described =
            found.map(|found| described(call, found)).unwrap_or_else(|error| DescribedTransaction {
                error_code: error.code(),
                producer_id: -1,
                producer_epoch: -1,
                transaction_start_time_ms: -1,
                ..Default::default()
            });
        let bytes = footprint(&described);
        if bytes > gathered.left() {
            gathered.make_room(bytes).await;
        }
        gathered.add(bytes);
        transaction_states.push(DescribedTransaction { transactional_id, ..described });
        yield_if_needed().await;
    }
    DescribeTransactionsResponse { transaction_states, ..Default::default() }
}

fn described(call: &Call, transaction: Transaction) -> DescribedTransaction {
    let topics = transaction
        .partitions
        .into_iter()
        .filter(|(topic, _)| call.shows(Operation::Describe, Resource::topic(topic)))
        .map(|(topic, indexes)| TransactionTopic { topic, partitions: indexes.into_iter().collect() });
    DescribedTransaction {
        transaction_state: transaction.state.name().to_owned(),
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_start_time_ms: transaction.started,
        producer_id: transaction.producer.id.0,
        producer_epoch: transaction.producer.epoch.0,
        topics: topics.collect(),
        ..Default::default()
    }
}

fn footprint(described: &DescribedTransaction) -> usize {
    let topic = |topic: &TransactionTopic| {
        size_of::<TransactionTopic>() + topic.topic.len() + size_of::<i32>() * topic.partitions.len()
    };
    size_of::<DescribedTransaction>() + described.topics.iter().map(topic).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transactions::State;

    #[test]
    fn every_state_is_one_of_kafkas() {
        assert!(State::ALL.iter().all(|state| STATES.contains(&state.name())));
    }

    #[test]
    fn an_old_client_is_told_of_its_epoch() {
        assert_eq!(known_to(1, 2, ErrorCode::ProducerFenced), ErrorCode::InvalidProducerEpoch);
        assert_eq!(known_to(2, 2, ErrorCode::ProducerFenced), ErrorCode::ProducerFenced);
        assert_eq!(known_to(0, 2, ErrorCode::InvalidTxnState), ErrorCode::InvalidTxnState);
    }
}
