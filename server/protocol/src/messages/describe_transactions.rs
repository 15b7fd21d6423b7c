//! DescribeTransactions (65): the state of transactional ids.

use crate::message;
use crate::messages::Request;

impl Request for DescribeTransactionsRequest {
    type Response = DescribeTransactionsResponse;
}

message! {
    /// Asks for transactional ids.
    pub struct DescribeTransactionsRequest(DescribeTransactions, 0..=0) {
        (0..) transactional_ids: Vec<String>;
    }

    /// Their states.
    pub struct DescribeTransactionsResponse(DescribeTransactions, 0..=0) {
        (0..) throttle_time_ms: i32;
        (0..) transaction_states: Vec<DescribedTransaction>;
    }

    /// A transactional id.
    pub struct DescribedTransaction {
        (0..) error_code: i16;
        (0..) transactional_id: String;
        (0..) transaction_state: String;
        (0..) transaction_timeout_ms: i32;
        (0..) transaction_start_time_ms: i64;
        (0..) producer_id: i64;
        (0..) producer_epoch: i16;
        (0..) topics: Vec<TransactionTopic>;
    }

    /// A topic's partitions in the transaction.
    pub struct TransactionTopic {
        (0..) topic: String;
        (0..) partitions: Vec<i32>;
    }
}
