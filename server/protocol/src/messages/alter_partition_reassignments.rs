//! AlterPartitionReassignments (45): partitions that have to move to other brokers.

use crate::message;
use crate::messages::Request;

impl Request for AlterPartitionReassignmentsRequest {
    type Response = AlterPartitionReassignmentsResponse;
}

message! {
    /// Moves partitions.
    pub struct AlterPartitionReassignmentsRequest(AlterPartitionReassignments, 0..=1) {
        (0..) timeout_ms: i32 = 60_000;
        (1..) allow_replication_factor_change: bool = true, else refuse;
        (0..) topics: Vec<ReassignableTopic>;
    }

    /// A topic's partitions.
    pub struct ReassignableTopic {
        (0..) name: String;
        (0..) partitions: Vec<ReassignablePartition>;
    }

    /// A partition, and where it has to be.
    pub struct ReassignablePartition {
        (0..) partition_index: i32;
        /// The brokers that it moves to; `None` ends a move that is under way.
        (0..) replicas: Option<Vec<i32>>;
    }

    /// What became of each move.
    pub struct AlterPartitionReassignmentsResponse(AlterPartitionReassignments, 0..=1) {
        (0..) throttle_time_ms: i32;
        (1..) allow_replication_factor_change: bool = true;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) responses: Vec<ReassignableTopicResponse>;
    }

    /// A topic's partitions.
    pub struct ReassignableTopicResponse {
        (0..) name: String;
        (0..) partitions: Vec<ReassignablePartitionResponse>;
    }

    /// What became of one move.
    pub struct ReassignablePartitionResponse {
        (0..) partition_index: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
    }
}
