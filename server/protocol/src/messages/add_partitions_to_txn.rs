//! AddPartitionsToTxn (24): what a transaction is to write to. Clients speak versions 0 to 3; from version 4
//! on it is between brokers, for several transactions at once, and may only ask.

use crate::message;
use crate::messages::Request;

impl Request for AddPartitionsToTxnRequest {
    type Response = AddPartitionsToTxnResponse;
}

message! {
    /// Adds partitions to a transaction.
    pub struct AddPartitionsToTxnRequest(AddPartitionsToTxn, 0..=5) {
        (4..)   transactions: Vec<AddPartitionsToTxnTransaction>, else refuse;
        (0..=3) v3_and_below_transactional_id: String, else refuse;
        (0..=3) v3_and_below_producer_id: i64, else refuse;
        (0..=3) v3_and_below_producer_epoch: i16, else refuse;
        (0..=3) v3_and_below_topics: Vec<AddPartitionsToTxnTopic>, else refuse;
    }

    /// A transaction.
    pub struct AddPartitionsToTxnTransaction {
        (0..) transactional_id: String;
        (0..) producer_id: i64;
        (0..) producer_epoch: i16;
        /// Whether it is asked only if the partitions were added.
        (0..) verify_only: bool;
        (0..) topics: Vec<AddPartitionsToTxnTopic>;
    }

    /// A topic's partitions.
    pub struct AddPartitionsToTxnTopic {
        (0..) name: String;
        (0..) partitions: Vec<i32>;
    }

    /// What became of each partition.
    pub struct AddPartitionsToTxnResponse(AddPartitionsToTxn, 0..=5) {
        (0..)   throttle_time_ms: i32;
        (4..)   error_code: i16;
        (4..)   results_by_transaction: Vec<AddPartitionsToTxnResult>, else refuse;
        (0..=3) results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult>, else refuse;
    }

    /// A transaction.
    pub struct AddPartitionsToTxnResult {
        (0..) transactional_id: String;
        (0..) topic_results: Vec<AddPartitionsToTxnTopicResult>;
    }

    /// A topic's partitions.
    pub struct AddPartitionsToTxnTopicResult {
        (0..) name: String;
        (0..) results_by_partition: Vec<AddPartitionsToTxnPartitionResult>;
    }

    /// A partition that was added, or why not.
    pub struct AddPartitionsToTxnPartitionResult {
        (0..) partition_index: i32;
        (0..) partition_error_code: i16;
    }
}
