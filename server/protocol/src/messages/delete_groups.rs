//! DeleteGroups (42): groups without members, and their offsets, go.

use crate::message;
use crate::messages::Request;

impl Request for DeleteGroupsRequest {
    type Response = DeleteGroupsResponse;
}

message! {
    /// Deletes groups.
    pub struct DeleteGroupsRequest(DeleteGroups, 0..=2) {
        (0..) groups_names: Vec<String>;
    }

    /// What became of each group.
    pub struct DeleteGroupsResponse(DeleteGroups, 0..=2) {
        (0..) throttle_time_ms: i32;
        (0..) results: Vec<DeletableGroupResult>;
    }

    /// A group that was deleted, or why not.
    pub struct DeletableGroupResult {
        (0..) group_id: String;
        (0..) error_code: i16;
    }
}
