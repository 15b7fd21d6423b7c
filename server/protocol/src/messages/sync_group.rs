//! SyncGroup (14): the leader hands in the assignment of a generation, and every member gets its part.

use crate::message;
use crate::messages::Request;
use bytes::Bytes;

impl Request for SyncGroupRequest {
    type Response = SyncGroupResponse;
}

message! {
    /// Asks for the assignment, or brings it.
    pub struct SyncGroupRequest(SyncGroup, 0..=5) {
        (0..) group_id: String;
        (0..) generation_id: i32;
        (0..) member_id: String;
        /// Of a static member (KIP-345).
        (3..) group_instance_id: Option<String>, else refuse;
        (5..) protocol_type: Option<String>;
        (5..) protocol_name: Option<String>;
        /// From the leader for all members, from the others empty.
        (0..) assignments: Vec<SyncGroupRequestAssignment>;
    }

    /// What the leader has assigned to a member.
    pub struct SyncGroupRequestAssignment {
        (0..) member_id: String;
        (0..) assignment: Bytes;
    }

    /// The member's part.
    pub struct SyncGroupResponse(SyncGroup, 0..=5) {
        (1..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (5..) protocol_type: Option<String>;
        (5..) protocol_name: Option<String>;
        /// Empty with an error, and for a member that the leader left out; never null.
        (0..) assignment: Bytes;
    }
}
