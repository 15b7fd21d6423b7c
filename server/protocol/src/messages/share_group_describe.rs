//! ShareGroupDescribe (77): what share groups (KIP-932) are doing.

use uuid::Uuid;

use crate::message;
use crate::messages::Request;

impl Request for ShareGroupDescribeRequest {
    type Response = ShareGroupDescribeResponse;
}

message! {
    /// Asks for groups.
    pub struct ShareGroupDescribeRequest(ShareGroupDescribe, 1..=1) {
        (0..) group_ids: Vec<String>;
        (0..) include_authorized_operations: bool;
    }

    /// The groups.
    pub struct ShareGroupDescribeResponse(ShareGroupDescribe, 1..=1) {
        (0..) throttle_time_ms: i32;
        (0..) groups: Vec<ShareGroupDescribedGroup>;
    }

    /// A group.
    pub struct ShareGroupDescribedGroup {
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) group_id: String;
        (0..) group_state: String;
        (0..) group_epoch: i32;
        (0..) assignment_epoch: i32;
        (0..) assignor_name: String;
        (0..) members: Vec<ShareGroupDescribedMember>;
        /// A bit field; the least number when nobody asked.
        (0..) authorized_operations: i32 = i32::MIN;
    }

    /// A member.
    pub struct ShareGroupDescribedMember {
        (0..) member_id: String;
        (0..) rack_id: Option<String>;
        (0..) member_epoch: i32;
        (0..) client_id: String;
        (0..) client_host: String;
        (0..) subscribed_topic_names: Vec<String>;
        (0..) assignment: ShareGroupDescribedAssignment;
    }

    /// Partitions of a member.
    pub struct ShareGroupDescribedAssignment {
        (0..) topic_partitions: Vec<ShareGroupDescribedTopicPartitions>;
    }

    /// A topic's partitions.
    pub struct ShareGroupDescribedTopicPartitions {
        (0..) topic_id: Uuid;
        (0..) topic_name: String;
        (0..) partitions: Vec<i32>;
    }
}
