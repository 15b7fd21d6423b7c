//! ShareGroupHeartbeat (76): the one request of a member of a share group (KIP-932) to the coordinator of its
//! group: it joins, says that it is alive, and leaves.

use uuid::Uuid;

use crate::message;
use crate::messages::Request;

impl Request for ShareGroupHeartbeatRequest {
    type Response = ShareGroupHeartbeatResponse;
}

message! {
    /// What a member wants.
    pub struct ShareGroupHeartbeatRequest(ShareGroupHeartbeat, 1..=1) {
        (0..) group_id: String;
        /// The member's own choice.
        (0..) member_id: String;
        /// 0 joins, -1 leaves.
        (0..) member_epoch: i32;
        (0..) rack_id: Option<String>;
        /// Null when that has not changed since the last request.
        (0..) subscribed_topic_names: Option<Vec<String>>;
    }

    /// What the member shall have.
    pub struct ShareGroupHeartbeatResponse(ShareGroupHeartbeat, 1..=1) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) member_id: Option<String>;
        (0..) member_epoch: i32;
        (0..) heartbeat_interval_ms: i32;
        /// Null when it has not changed.
        (0..) assignment: Option<ShareGroupHeartbeatAssignment>;
    }

    /// Partitions that the member fetches from, beside others.
    pub struct ShareGroupHeartbeatAssignment {
        (0..) topic_partitions: Vec<ShareGroupHeartbeatTopicPartitions>;
    }

    /// A topic's partitions.
    pub struct ShareGroupHeartbeatTopicPartitions {
        (0..) topic_id: Uuid;
        (0..) partitions: Vec<i32>;
    }
}
