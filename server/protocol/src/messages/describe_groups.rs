//! DescribeGroups (15): the state and the members of groups.

use crate::message;
use crate::messages::Request;
use bytes::Bytes;

impl Request for DescribeGroupsRequest {
    type Response = DescribeGroupsResponse;
}

message! {
    /// Asks for groups.
    pub struct DescribeGroupsRequest(DescribeGroups, 0..=6) {
        (0..) groups: Vec<String>;
        (3..) include_authorized_operations: bool, else refuse;
    }

    /// The groups.
    pub struct DescribeGroupsResponse(DescribeGroups, 0..=6) {
        (1..) throttle_time_ms: i32;
        (0..) groups: Vec<DescribedGroup>;
    }

    /// A group.
    pub struct DescribedGroup {
        /// For a group that there is not: GROUP_ID_NOT_FOUND, which below version 6 is none.
        (0..) error_code: i16;
        (6..) error_message: Option<String>;
        (0..) group_id: String;
        /// "Dead" for a group that there is not.
        (0..) group_state: String;
        (0..) protocol_type: String;
        /// The assignor; empty unless the group is stable.
        (0..) protocol_data: String;
        (0..) members: Vec<DescribedGroupMember>;
        /// `i32::MIN` when not asked for.
        (3..) authorized_operations: i32 = i32::MIN;
    }

    /// A member.
    pub struct DescribedGroupMember {
        (0..) member_id: String;
        (4..) group_instance_id: Option<String>;
        (0..) client_id: String;
        (0..) client_host: String;
        /// For the assignor; empty unless the group is stable.
        (0..) member_metadata: Bytes;
        /// Empty unless the group is stable.
        (0..) member_assignment: Bytes;
    }
}
