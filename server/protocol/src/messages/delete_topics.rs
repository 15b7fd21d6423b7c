//! DeleteTopics (20).

use crate::message;
use crate::messages::Request;
use uuid::Uuid;

impl Request for DeleteTopicsRequest {
    type Response = DeleteTopicsResponse;
}

message! {
    /// Deletes topics.
    pub struct DeleteTopicsRequest(DeleteTopics, 1..=6) {
        (6..)   topics: Vec<DeleteTopicState>, else refuse;
        (1..=5) topic_names: Vec<String>, else refuse;
        (1..)   timeout_ms: i32;
    }

    /// A topic by name or, without one, by id.
    pub struct DeleteTopicState {
        (6..) name: Option<String>;
        (6..) topic_id: Uuid;
    }

    /// What became of each topic.
    pub struct DeleteTopicsResponse(DeleteTopics, 1..=6) {
        (1..) throttle_time_ms: i32;
        (1..) responses: Vec<DeletableTopicResult>;
    }

    /// A topic that was deleted, or why not.
    pub struct DeletableTopicResult {
        (1..) name: Option<String>, nullable 6;
        (6..) topic_id: Uuid;
        (1..) error_code: i16;
        (5..) error_message: Option<String>;
    }
}
