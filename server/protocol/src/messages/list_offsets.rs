//! ListOffsets (2): the offset of a point in time, or of a partition's start or end.

use crate::message;
use crate::messages::Request;

impl Request for ListOffsetsRequest {
    type Response = ListOffsetsResponse;
}

message! {
    /// Asks for offsets.
    pub struct ListOffsetsRequest(ListOffsets, 1..=11) {
        /// -1 for a client.
        (1..)  replica_id: i32 = -1;
        /// 0 reads uncommitted, 1 reads committed.
        (2..)  isolation_level: i8, else refuse;
        (1..)  topics: Vec<ListOffsetsTopic>;
        (10..) timeout_ms: i32;
    }

    /// A topic's partitions.
    pub struct ListOffsetsTopic {
        (1..) name: String;
        (1..) partitions: Vec<ListOffsetsPartition>;
    }

    /// A point in a partition.
    pub struct ListOffsetsPartition {
        (1..) partition_index: i32;
        /// -1 when the client does not know it.
        (4..) current_leader_epoch: i32 = -1;
        /// Milliseconds since 1970, or -1 latest, -2 earliest, -3 of the largest timestamp (from version 7
        /// on), -4 earliest local (8), -5 latest tiered (9), -6 the first that is yet to be tiered (11).
        (1..) timestamp: i64;
    }

    /// The offsets.
    pub struct ListOffsetsResponse(ListOffsets, 1..=11) {
        (2..) throttle_time_ms: i32;
        (1..) topics: Vec<ListOffsetsTopicResponse>;
    }

    /// A topic's partitions.
    pub struct ListOffsetsTopicResponse {
        (1..) name: String;
        (1..) partitions: Vec<ListOffsetsPartitionResponse>;
    }

    /// The offset found in a partition; -1 when there is none.
    pub struct ListOffsetsPartitionResponse {
        (1..) partition_index: i32;
        (1..) error_code: i16;
        (1..) timestamp: i64 = -1;
        (1..) offset: i64 = -1;
        (4..) leader_epoch: i32 = -1;
    }
}
