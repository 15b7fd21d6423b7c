//! LeaveGroup (13): members leave, or an administrator removes them (from version 3 on, KIP-345).

use crate::message;
use crate::messages::Request;

impl Request for LeaveGroupRequest {
    type Response = LeaveGroupResponse;
}

message! {
    /// Removes members.
    pub struct LeaveGroupRequest(LeaveGroup, 0..=5) {
        (0..)   group_id: String;
        (0..=2) member_id: String, else refuse;
        (3..)   members: Vec<MemberIdentity>, else refuse;
    }

    /// A member, by its id or as the administrator knows a static one: by its instance id, with an empty
    /// member id.
    pub struct MemberIdentity {
        (3..) member_id: String;
        (3..) group_instance_id: Option<String>;
        (5..) reason: Option<String>;
    }

    /// What became of each member.
    pub struct LeaveGroupResponse(LeaveGroup, 0..=5) {
        (1..) throttle_time_ms: i32;
        /// Below version 3 that of the one member.
        (0..) error_code: i16;
        (3..) members: Vec<MemberResponse>, else refuse;
    }

    /// A member that has left, or why not.
    pub struct MemberResponse {
        (3..) member_id: String;
        (3..) group_instance_id: Option<String>;
        (3..) error_code: i16;
    }
}
