//! ListPartitionReassignments (46): the partitions that are moving to other brokers.

use crate::message;
use crate::messages::Request;

impl Request for ListPartitionReassignmentsRequest {
    type Response = ListPartitionReassignmentsResponse;
}

message! {
    /// Asks for moving partitions.
    pub struct ListPartitionReassignmentsRequest(ListPartitionReassignments, 0..=0) {
        (0..) timeout_ms: i32 = 60_000;
        /// `None` is all.
        (0..) topics: Option<Vec<ListPartitionReassignmentsTopics>>;
    }

    /// A topic's partitions.
    pub struct ListPartitionReassignmentsTopics {
        (0..) name: String;
        (0..) partition_indexes: Vec<i32>;
    }

    /// The moving partitions.
    pub struct ListPartitionReassignmentsResponse(ListPartitionReassignments, 0..=0) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) topics: Vec<OngoingTopicReassignment>;
    }

    /// A topic's moving partitions.
    pub struct OngoingTopicReassignment {
        (0..) name: String;
        (0..) partitions: Vec<OngoingPartitionReassignment>;
    }

    /// A moving partition.
    pub struct OngoingPartitionReassignment {
        (0..) partition_index: i32;
        (0..) replicas: Vec<i32>;
        (0..) adding_replicas: Vec<i32>;
        (0..) removing_replicas: Vec<i32>;
    }
}
