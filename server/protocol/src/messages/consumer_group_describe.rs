//! ConsumerGroupDescribe (69): what consumer groups (KIP-848) do.

use uuid::Uuid;

use crate::message;
use crate::messages::Request;

impl Request for ConsumerGroupDescribeRequest {
    type Response = ConsumerGroupDescribeResponse;
}

message! {
    /// Asks for groups.
    pub struct ConsumerGroupDescribeRequest(ConsumerGroupDescribe, 0..=1) {
        (0..) group_ids: Vec<String>;
        (0..) include_authorized_operations: bool;
    }

    /// The groups.
    pub struct ConsumerGroupDescribeResponse(ConsumerGroupDescribe, 0..=1) {
        (0..) throttle_time_ms: i32;
        (0..) groups: Vec<ConsumerGroupDescribedGroup>;
    }

    /// A group.
    pub struct ConsumerGroupDescribedGroup {
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) group_id: String;
        (0..) group_state: String;
        (0..) group_epoch: i32;
        /// The group epoch that the target assignment was computed for.
        (0..) assignment_epoch: i32;
        (0..) assignor_name: String;
        (0..) members: Vec<ConsumerGroupDescribedMember>;
        (0..) authorized_operations: i32 = i32::MIN;
    }

    /// A member.
    pub struct ConsumerGroupDescribedMember {
        (0..) member_id: String;
        (0..) instance_id: Option<String>;
        (0..) rack_id: Option<String>;
        (0..) member_epoch: i32;
        (0..) client_id: String;
        (0..) client_host: String;
        (0..) subscribed_topic_names: Vec<String>;
        (0..) subscribed_topic_regex: Option<String>;
        /// What it has.
        (0..) assignment: ConsumerGroupDescribedAssignment;
        /// What it shall have.
        (0..) target_assignment: ConsumerGroupDescribedAssignment;
        /// 0 in the classic protocol, 1 in the consumer protocol; -1 when it is not known.
        (1..) member_type: i8 = -1;
    }

    /// Partitions.
    pub struct ConsumerGroupDescribedAssignment {
        (0..) topic_partitions: Vec<ConsumerGroupDescribedTopicPartitions>;
    }

    /// A topic's partitions.
    pub struct ConsumerGroupDescribedTopicPartitions {
        (0..) topic_id: Uuid;
        (0..) topic_name: String;
        (0..) partitions: Vec<i32>;
    }
}
