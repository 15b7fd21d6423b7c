//! ListGroups (16): the groups that a broker coordinates.

use crate::message;
use crate::messages::Request;

impl Request for ListGroupsRequest {
    type Response = ListGroupsResponse;
}

message! {
    /// Asks for the groups.
    pub struct ListGroupsRequest(ListGroups, 0..=5) {
        /// Empty is all, here and in `types_filter`.
        (4..) states_filter: Vec<String>, else refuse;
        (5..) types_filter: Vec<String>, else refuse;
    }

    /// The groups.
    pub struct ListGroupsResponse(ListGroups, 0..=5) {
        (1..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) groups: Vec<ListedGroup>;
    }

    /// A group.
    pub struct ListedGroup {
        (0..) group_id: String;
        /// "consumer" for consumers; empty when the group has nothing but offsets.
        (0..) protocol_type: String;
        (4..) group_state: String;
        /// "classic", or that of a later group protocol.
        (5..) group_type: String;
    }
}
