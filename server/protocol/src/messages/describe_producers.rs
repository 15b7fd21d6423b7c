//! DescribeProducers (61): the producers that a partition remembers.

use crate::message;
use crate::messages::Request;

impl Request for DescribeProducersRequest {
    type Response = DescribeProducersResponse;
}

message! {
    /// Asks for producers.
    pub struct DescribeProducersRequest(DescribeProducers, 0..=0) {
        (0..) topics: Vec<DescribeProducersTopic>;
    }

    /// A topic's partitions.
    pub struct DescribeProducersTopic {
        (0..) name: String;
        (0..) partition_indexes: Vec<i32>;
    }

    /// The producers.
    pub struct DescribeProducersResponse(DescribeProducers, 0..=0) {
        (0..) throttle_time_ms: i32;
        (0..) topics: Vec<DescribeProducersTopicResult>;
    }

    /// A topic's partitions.
    pub struct DescribeProducersTopicResult {
        (0..) name: String;
        (0..) partitions: Vec<DescribeProducersPartitionResult>;
    }

    /// A partition's producers.
    pub struct DescribeProducersPartitionResult {
        (0..) partition_index: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) active_producers: Vec<ActiveProducer>;
    }

    /// A producer.
    pub struct ActiveProducer {
        (0..) producer_id: i64;
        (0..) producer_epoch: i32;
        /// Of its newest record; -1 when not known.
        (0..) last_sequence: i32 = -1;
        /// The largest of its records, in milliseconds; -1 when not known.
        (0..) last_timestamp: i64 = -1;
        (0..) coordinator_epoch: i32;
        /// -1 outside a transaction.
        (0..) current_txn_start_offset: i64 = -1;
    }
}
