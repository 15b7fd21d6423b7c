//! ListTransactions and DescribeTransactions: there are none, since none can begin.

use std::collections::BTreeSet;

use crate::dispatch::Broker;
use crate::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, DescribedTransaction, ListTransactionsRequest,
    ListTransactionsResponse,
};
use crate::wire::ErrorCode;

/// The states that Kafka's transactions have.
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

/// None; and the filters that name no state.
pub async fn list(_: &Broker, _: i16, request: ListTransactionsRequest) -> ListTransactionsResponse {
    let filters: BTreeSet<String> = request.state_filters.into_iter().collect();
    let unknown = filters.into_iter().filter(|filter| !STATES.contains(&filter.as_str()));
    ListTransactionsResponse { unknown_state_filters: unknown.collect(), ..Default::default() }
}

/// None of those that are asked for.
pub async fn describe(
    _: &Broker,
    _: i16,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let asked: BTreeSet<String> = request.transactional_ids.into_iter().collect();
    let transaction_states = asked.into_iter().map(|transactional_id| DescribedTransaction {
        error_code: ErrorCode::TransactionalIdNotFound.code(),
        transactional_id,
        producer_id: -1,
        producer_epoch: -1,
        transaction_start_time_ms: -1,
        ..Default::default()
    });
    DescribeTransactionsResponse { transaction_states: transaction_states.collect(), ..Default::default() }
}
