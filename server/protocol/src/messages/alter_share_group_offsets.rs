//! AlterShareGroupOffsets (91): has a share group (KIP-932) that nobody is in begin elsewhere.

use uuid::Uuid;

use crate::message;
use crate::messages::Request;

impl Request for AlterShareGroupOffsetsRequest {
    type Response = AlterShareGroupOffsetsResponse;
}

message! {
    /// Where the group begins from now on.
    pub struct AlterShareGroupOffsetsRequest(AlterShareGroupOffsets, 0..=0) {
        (0..) group_id: String;
        (0..) topics: Vec<AlterShareGroupOffsetsRequestTopic>;
    }

    /// A topic's partitions.
    pub struct AlterShareGroupOffsetsRequestTopic {
        (0..) topic_name: String;
        (0..) partitions: Vec<AlterShareGroupOffsetsRequestPartition>;
    }

    /// A partition.
    pub struct AlterShareGroupOffsetsRequestPartition {
        (0..) partition_index: i32;
        (0..) start_offset: i64;
    }

    /// What became of it.
    pub struct AlterShareGroupOffsetsResponse(AlterShareGroupOffsets, 0..=0) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) responses: Vec<AlterShareGroupOffsetsResponseTopic>;
    }

    /// A topic's partitions.
    pub struct AlterShareGroupOffsetsResponseTopic {
        (0..) topic_name: String;
        (0..) topic_id: Uuid;
        (0..) partitions: Vec<AlterShareGroupOffsetsResponsePartition>;
    }

    /// A partition.
    pub struct AlterShareGroupOffsetsResponsePartition {
        (0..) partition_index: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
    }
}
