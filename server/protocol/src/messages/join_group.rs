//! JoinGroup (11): a member enters a group, or comes back for its next generation.

use crate::message;
use crate::messages::Request;
use bytes::Bytes;

impl Request for JoinGroupRequest {
    type Response = JoinGroupResponse;
}

message! {
    /// Asks to be a member of the next generation.
    pub struct JoinGroupRequest(JoinGroup, 0..=9) {
        (0..) group_id: String;
        /// How long the member lives without a heartbeat.
        (0..) session_timeout_ms: i32;
        /// How long the others wait for this member to rejoin; -1, as always in version 0, is the session
        /// timeout.
        (1..) rebalance_timeout_ms: i32 = -1;
        /// Empty for a new member.
        (0..) member_id: String;
        /// Of a static member (KIP-345).
        (5..) group_instance_id: Option<String>, else refuse;
        /// "consumer" for consumers.
        (0..) protocol_type: String;
        /// The member's assignors, the one it likes most first.
        (0..) protocols: Vec<JoinGroupRequestProtocol>;
        (8..) reason: Option<String>;
    }

    /// An assignor that a member can work with.
    pub struct JoinGroupRequestProtocol {
        (0..) name: String;
        /// For a consumer its subscription, in a format that clients agree on among themselves.
        (0..) metadata: Bytes;
    }

    /// The generation, once every member is there.
    pub struct JoinGroupResponse(JoinGroup, 0..=9) {
        (2..) throttle_time_ms: i32;
        (0..) error_code: i16;
        /// -1 with an error.
        (0..) generation_id: i32 = -1;
        (7..) protocol_type: Option<String>;
        /// The assignor that all members can work with. `None` with an error, which below version 7 is empty.
        (0..) protocol_name: Option<String> = Some(String::new()), nullable 7;
        /// The member id of the leader, which assigns.
        (0..) leader: String;
        /// The leader keeps the assignment that there is (KIP-814).
        (9..) skip_assignment: bool, else refuse;
        /// The id to come back with, also with MEMBER_ID_REQUIRED (KIP-394).
        (0..) member_id: String;
        /// For the leader all members, for the others empty.
        (0..) members: Vec<JoinGroupResponseMember>;
    }

    /// A member, for the leader.
    pub struct JoinGroupResponseMember {
        (0..) member_id: String;
        (5..) group_instance_id: Option<String>;
        /// The member's for the chosen assignor.
        (0..) metadata: Bytes;
    }
}
