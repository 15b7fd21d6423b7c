//! DeleteShareGroupOffsets (92): has a share group (KIP-932) that nobody is in forget how far it has come in
//! topics.

use uuid::Uuid;

use crate::message;
use crate::messages::Request;

impl Request for DeleteShareGroupOffsetsRequest {
    type Response = DeleteShareGroupOffsetsResponse;
}

message! {
    /// What is to be forgotten.
    pub struct DeleteShareGroupOffsetsRequest(DeleteShareGroupOffsets, 0..=0) {
        (0..) group_id: String;
        (0..) topics: Vec<DeleteShareGroupOffsetsRequestTopic>;
    }

    /// A topic.
    pub struct DeleteShareGroupOffsetsRequestTopic {
        (0..) topic_name: String;
    }

    /// What became of it.
    pub struct DeleteShareGroupOffsetsResponse(DeleteShareGroupOffsets, 0..=0) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) responses: Vec<DeleteShareGroupOffsetsResponseTopic>;
    }

    /// A topic.
    pub struct DeleteShareGroupOffsetsResponseTopic {
        (0..) topic_name: String;
        (0..) topic_id: Uuid;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
    }
}
