//! DeleteRecords (21): moves the log start offset of partitions.

use crate::message;
use crate::messages::Request;

impl Request for DeleteRecordsRequest {
    type Response = DeleteRecordsResponse;
}

message! {
    /// Deletes the records before an offset.
    pub struct DeleteRecordsRequest(DeleteRecords, 0..=2) {
        (0..) topics: Vec<DeleteRecordsTopic>;
        (0..) timeout_ms: i32;
    }

    /// A topic's partitions.
    pub struct DeleteRecordsTopic {
        (0..) name: String;
        (0..) partitions: Vec<DeleteRecordsPartition>;
    }

    /// A partition.
    pub struct DeleteRecordsPartition {
        (0..) partition_index: i32;
        /// The first offset to keep; -1 is the high watermark.
        (0..) offset: i64;
    }

    /// What became of each partition.
    pub struct DeleteRecordsResponse(DeleteRecords, 0..=2) {
        (0..) throttle_time_ms: i32;
        (0..) topics: Vec<DeleteRecordsTopicResult>;
    }

    /// A topic's partitions.
    pub struct DeleteRecordsTopicResult {
        (0..) name: String;
        (0..) partitions: Vec<DeleteRecordsPartitionResult>;
    }

    /// A partition whose records were deleted, or why not.
    pub struct DeleteRecordsPartitionResult {
        (0..) partition_index: i32;
        /// The least log start offset of all replicas; -1 with an error.
        (0..) low_watermark: i64;
        (0..) error_code: i16;
    }
}
