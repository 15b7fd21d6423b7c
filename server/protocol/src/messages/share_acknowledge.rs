//! ShareAcknowledge (79): what became of records that a member of a share group (KIP-932) had.

use uuid::Uuid;

use crate::message;
use crate::messages::{NodeEndpoint, Request};

impl Request for ShareAcknowledgeRequest {
    type Response = ShareAcknowledgeResponse;
}

message! {
    /// What became of records.
    pub struct ShareAcknowledgeRequest(ShareAcknowledge, 1..=2) {
        (0..) group_id: Option<String>;
        (0..) member_id: Option<String>;
        /// That of the share session; -1 closes it.
        (0..) share_session_epoch: i32;
        /// Whether locks are renewed by it (KIP-1222).
        (2..) is_renew_ack: bool, else refuse;
        (0..) topics: Vec<ShareAcknowledgeTopic>;
    }

    /// A topic's partitions.
    pub struct ShareAcknowledgeTopic {
        (0..) topic_id: Uuid;
        (0..) partitions: Vec<ShareAcknowledgePartition>;
    }

    /// A partition's records.
    pub struct ShareAcknowledgePartition {
        (0..) partition_index: i32;
        (0..) acknowledgement_batches: Vec<ShareAcknowledgementBatch>;
    }

    /// Records that stand behind each other.
    pub struct ShareAcknowledgementBatch {
        (0..) first_offset: i64;
        /// The last of them.
        (0..) last_offset: i64;
        /// One for all, or one for each: 0 gap, 1 accept, 2 release, 3 reject, 4 renew.
        (0..) acknowledge_types: Vec<i8>;
    }

    /// What was taken in.
    pub struct ShareAcknowledgeResponse(ShareAcknowledge, 1..=2) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        /// How long records are locked, in milliseconds.
        (2..) acquisition_lock_timeout_ms: i32;
        (0..) responses: Vec<ShareAcknowledgeTopicResponse>;
        (0..) node_endpoints: Vec<NodeEndpoint>;
    }

    /// A topic's partitions.
    pub struct ShareAcknowledgeTopicResponse {
        (0..) topic_id: Uuid;
        (0..) partitions: Vec<ShareAcknowledgePartitionData>;
    }

    /// A partition.
    pub struct ShareAcknowledgePartitionData {
        (0..) partition_index: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) current_leader: ShareLeaderIdAndEpoch;
    }

    /// The leader of a partition; both are 0 when nobody has to be told.
    pub struct ShareLeaderIdAndEpoch {
        (0..) leader_id: i32;
        (0..) leader_epoch: i32;
    }
}
