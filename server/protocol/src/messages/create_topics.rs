//! CreateTopics (19).

use crate::message;
use crate::messages::Request;
use uuid::Uuid;

impl Request for CreateTopicsRequest {
    type Response = CreateTopicsResponse;
}

message! {
    /// Creates topics.
    pub struct CreateTopicsRequest(CreateTopics, 2..=7) {
        (2..) topics: Vec<CreatableTopic>;
        (2..) timeout_ms: i32 = 60_000;
        /// Checks, but creates nothing.
        (2..) validate_only: bool;
    }

    /// A topic to create.
    pub struct CreatableTopic {
        (2..) name: String;
        /// -1 with `assignments`, and from version 4 on for the broker's default.
        (2..) num_partitions: i32;
        /// -1 with `assignments`, and from version 4 on for the broker's default.
        (2..) replication_factor: i16;
        (2..) assignments: Vec<CreatableReplicaAssignment>;
        (2..) configs: Vec<CreatableTopicConfig>;
    }

    /// Where the replicas of a partition shall be.
    pub struct CreatableReplicaAssignment {
        (2..) partition_index: i32;
        (2..) broker_ids: Vec<i32>;
    }

    /// A setting of a topic to create.
    pub struct CreatableTopicConfig {
        (2..) name: String;
        (2..) value: Option<String>;
    }

    /// What became of each topic.
    pub struct CreateTopicsResponse(CreateTopics, 2..=7) {
        (2..) throttle_time_ms: i32;
        (2..) topics: Vec<CreatableTopicResult>;
    }

    /// A topic that was created, or why not.
    pub struct CreatableTopicResult {
        (2..) name: String;
        (7..) topic_id: Uuid;
        (2..) error_code: i16;
        (2..) error_message: Option<String>;
        /// Why `configs` is `None`.
        (5..) topic_config_error_code: i16, tag 0;
        (5..) num_partitions: i32 = -1;
        (5..) replication_factor: i16 = -1;
        (5..) configs: Option<Vec<CreatableTopicConfigs>> = Some(Vec::new());
    }

    /// A setting of a created topic.
    pub struct CreatableTopicConfigs {
        (5..) name: String;
        (5..) value: Option<String>;
        (5..) read_only: bool;
        (5..) config_source: i8 = -1;
        (5..) is_sensitive: bool;
    }
}
