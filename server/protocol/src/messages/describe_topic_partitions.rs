//! DescribeTopicPartitions (75): topics and their partitions, a page at a time (KIP-966).

use crate::message;
use crate::messages::Request;
use uuid::Uuid;

impl Request for DescribeTopicPartitionsRequest {
    type Response = DescribeTopicPartitionsResponse;
}

message! {
    /// Asks for a page.
    pub struct DescribeTopicPartitionsRequest(DescribeTopicPartitions, 0..=0) {
        /// Empty is all.
        (0..) topics: Vec<TopicRequest>;
        (0..) response_partition_limit: i32 = 2000;
        /// `None` for the first page.
        (0..) cursor: Option<Cursor>;
    }

    /// A topic.
    pub struct TopicRequest {
        (0..) name: String;
    }

    /// Where a page begins.
    pub struct Cursor {
        (0..) topic_name: String;
        (0..) partition_index: i32;
    }

    /// A page.
    pub struct DescribeTopicPartitionsResponse(DescribeTopicPartitions, 0..=0) {
        (0..) throttle_time_ms: i32;
        /// In the order of their names.
        (0..) topics: Vec<DescribeTopicPartitionsResponseTopic>;
        /// `None` on the last page.
        (0..) next_cursor: Option<Cursor>;
    }

    /// A topic.
    pub struct DescribeTopicPartitionsResponseTopic {
        (0..) error_code: i16;
        (0..) name: Option<String>;
        (0..) topic_id: Uuid;
        (0..) is_internal: bool;
        (0..) partitions: Vec<DescribeTopicPartitionsResponsePartition>;
        /// `i32::MIN` when not known.
        (0..) topic_authorized_operations: i32 = i32::MIN;
    }

    /// A partition.
    pub struct DescribeTopicPartitionsResponsePartition {
        (0..) error_code: i16;
        (0..) partition_index: i32;
        /// -1 without a leader.
        (0..) leader_id: i32;
        (0..) leader_epoch: i32 = -1;
        (0..) replica_nodes: Vec<i32>;
        (0..) isr_nodes: Vec<i32>;
        /// Who may lead though not in sync.
        (0..) eligible_leader_replicas: Option<Vec<i32>>;
        (0..) last_known_elr: Option<Vec<i32>>;
        (0..) offline_replicas: Vec<i32>;
    }
}
