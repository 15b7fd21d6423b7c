//! OffsetDelete (47): a group forgets how far it has read in some partitions. Never in the flexible form.

use crate::message;
use crate::messages::Request;

impl Request for OffsetDeleteRequest {
    type Response = OffsetDeleteResponse;
}

message! {
    /// Deletes offsets of a group.
    pub struct OffsetDeleteRequest(OffsetDelete, 0..=0) {
        (0..) group_id: String;
        (0..) topics: Vec<OffsetDeleteRequestTopic>;
    }

    /// A topic's partitions.
    pub struct OffsetDeleteRequestTopic {
        (0..) name: String;
        (0..) partitions: Vec<OffsetDeleteRequestPartition>;
    }

    /// A partition.
    pub struct OffsetDeleteRequestPartition {
        (0..) partition_index: i32;
    }

    /// What became of each offset.
    pub struct OffsetDeleteResponse(OffsetDelete, 0..=0) {
        (0..) error_code: i16;
        (0..) throttle_time_ms: i32;
        (0..) topics: Vec<OffsetDeleteResponseTopic>;
    }

    /// A topic's partitions.
    pub struct OffsetDeleteResponseTopic {
        (0..) name: String;
        (0..) partitions: Vec<OffsetDeleteResponsePartition>;
    }

    /// An offset that was deleted, or why not.
    pub struct OffsetDeleteResponsePartition {
        (0..) partition_index: i32;
        (0..) error_code: i16;
    }
}
