//! DescribeQuorum (55): the voters that keep the metadata of the cluster.

use crate::message;
use crate::messages::Request;
use uuid::Uuid;

impl Request for DescribeQuorumRequest {
    type Response = DescribeQuorumResponse;
}

message! {
    /// Asks for the voters of partitions.
    pub struct DescribeQuorumRequest(DescribeQuorum, 0..=2) {
        (0..) topics: Vec<DescribeQuorumTopic>;
    }

    /// A topic's partitions.
    pub struct DescribeQuorumTopic {
        (0..) topic_name: String;
        (0..) partitions: Vec<DescribeQuorumPartition>;
    }

    /// A partition.
    pub struct DescribeQuorumPartition {
        (0..) partition_index: i32;
    }

    /// The voters.
    pub struct DescribeQuorumResponse(DescribeQuorum, 0..=2) {
        (0..) error_code: i16;
        (2..) error_message: Option<String>;
        (0..) topics: Vec<DescribeQuorumTopicResult>;
        (2..) nodes: Vec<QuorumNode>;
    }

    /// A topic's partitions.
    pub struct DescribeQuorumTopicResult {
        (0..) topic_name: String;
        (0..) partitions: Vec<DescribeQuorumPartitionResult>;
    }

    /// A partition's voters.
    pub struct DescribeQuorumPartitionResult {
        (0..) partition_index: i32;
        (0..) error_code: i16;
        (2..) error_message: Option<String>;
        (0..) leader_id: i32;
        (0..) leader_epoch: i32;
        (0..) high_watermark: i64;
        (0..) current_voters: Vec<QuorumReplica>;
        (0..) observers: Vec<QuorumReplica>;
    }

    /// A voter or an observer, and how far it is.
    pub struct QuorumReplica {
        (0..) replica_id: i32;
        /// Zero where it is not known.
        (2..) replica_directory_id: Uuid;
        (0..) log_end_offset: i64;
        /// -1 when not known.
        (1..) last_fetch_timestamp: i64 = -1;
        /// -1 when not known.
        (1..) last_caught_up_timestamp: i64 = -1;
    }

    /// A voter, and where it listens.
    pub struct QuorumNode {
        (2..) node_id: i32;
        (2..) listeners: Vec<QuorumListener>;
    }

    /// An address.
    pub struct QuorumListener {
        (2..) name: String;
        (2..) host: String;
        (2..) port: u16;
    }
}
