//! ConsumerGroupHeartbeat (68): the one request of a member of a consumer group (KIP-848): it joins, says
//! that it is alive and what it has, and leaves.
//!
//! What has not changed since the member's last request is null, or -1.

use uuid::Uuid;

use crate::message;
use crate::messages::Request;

impl Request for ConsumerGroupHeartbeatRequest {
    type Response = ConsumerGroupHeartbeatResponse;
}

message! {
    /// What a member wants and has.
    pub struct ConsumerGroupHeartbeatRequest(ConsumerGroupHeartbeat, 0..=1) {
        (0..) group_id: String;
        /// The member's own choice from version 1 on; empty in version 0 until the broker has given one.
        (0..) member_id: String;
        /// 0 joins, -1 leaves, -2 leaves for a while, as a static member may.
        (0..) member_epoch: i32;
        /// Of a static member (KIP-345).
        (0..) instance_id: Option<String>;
        (0..) rack_id: Option<String>;
        /// How long the member may take to give partitions up, in milliseconds.
        (0..) rebalance_timeout_ms: i32 = -1;
        (0..) subscribed_topic_names: Option<Vec<String>>;
        /// In the syntax of RE2.
        (1..) subscribed_topic_regex: Option<String>, else refuse;
        /// The assignor that the member prefers.
        (0..) server_assignor: Option<String>;
        /// The partitions that the member has.
        (0..) topic_partitions: Option<Vec<ConsumerGroupHeartbeatTopicPartitions>>;
    }

    /// A topic's partitions.
    pub struct ConsumerGroupHeartbeatTopicPartitions {
        (0..) topic_id: Uuid;
        (0..) partitions: Vec<i32>;
    }

    /// What the member shall have.
    pub struct ConsumerGroupHeartbeatResponse(ConsumerGroupHeartbeat, 0..=1) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) member_id: Option<String>;
        (0..) member_epoch: i32;
        (0..) heartbeat_interval_ms: i32;
        /// Null when it has not changed.
        (0..) assignment: Option<ConsumerGroupHeartbeatAssignment>;
    }

    /// Partitions that can be used at once.
    pub struct ConsumerGroupHeartbeatAssignment {
        (0..) topic_partitions: Vec<ConsumerGroupHeartbeatTopicPartitions>;
    }
}
