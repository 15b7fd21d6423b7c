//! ListTransactions and DescribeTransactions: there are none, since none can begin.

use strandline_engine::reactor::yield_if_needed;
use strandline_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, DescribedTransaction, ListTransactionsRequest,
    ListTransactionsResponse,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct;
use crate::broker::Broker;

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
    let filters = distinct(request.state_filters).await;
    let unknown = filters.into_iter().filter(|filter| !STATES.contains(&filter.as_str()));
    ListTransactionsResponse { unknown_state_filters: unknown.collect(), ..Default::default() }
}

/// None of those that are asked for.
pub async fn describe(
    _: &Broker,
    _: i16,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let asked = distinct(request.transactional_ids).await;
    let mut transaction_states = Vec::with_capacity(asked.len());
    for transactional_id in asked {
        transaction_states.push(DescribedTransaction {
            error_code: ErrorCode::TransactionalIdNotFound.code(),
            transactional_id,
            producer_id: -1,
            producer_epoch: -1,
            transaction_start_time_ms: -1,
            ..Default::default()
        });
        yield_if_needed().await;
    }
    DescribeTransactionsResponse { transaction_states, ..Default::default() }
}
