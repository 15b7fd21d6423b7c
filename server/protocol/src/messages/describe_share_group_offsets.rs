//! DescribeShareGroupOffsets (90): how far share groups (KIP-932) have come.

use uuid::Uuid;

use crate::message;
use crate::messages::Request;

impl Request for DescribeShareGroupOffsetsRequest {
    type Response = DescribeShareGroupOffsetsResponse;
}

message! {
    /// Asks for groups.
    pub struct DescribeShareGroupOffsetsRequest(DescribeShareGroupOffsets, 0..=1) {
        (0..) groups: Vec<DescribeShareGroupOffsetsRequestGroup>;
    }

    /// Asks for a group.
    pub struct DescribeShareGroupOffsetsRequestGroup {
        (0..) group_id: String;
        /// Null for all that it has.
        (0..) topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>>;
    }

    /// Asks for a topic's partitions.
    pub struct DescribeShareGroupOffsetsRequestTopic {
        (0..) topic_name: String;
        (0..) partitions: Vec<i32>;
    }

    /// The groups.
    pub struct DescribeShareGroupOffsetsResponse(DescribeShareGroupOffsets, 0..=1) {
        (0..) throttle_time_ms: i32;
        (0..) groups: Vec<DescribeShareGroupOffsetsResponseGroup>;
    }

    /// A group.
    pub struct DescribeShareGroupOffsetsResponseGroup {
        (0..) group_id: String;
        (0..) topics: Vec<DescribeShareGroupOffsetsResponseTopic>;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
    }

    /// A topic's partitions.
    pub struct DescribeShareGroupOffsetsResponseTopic {
        (0..) topic_name: String;
        (0..) topic_id: Uuid;
        (0..) partitions: Vec<DescribeShareGroupOffsetsResponsePartition>;
    }

    /// A partition.
    pub struct DescribeShareGroupOffsetsResponsePartition {
        (0..) partition_index: i32;
        /// The first offset that is not done with; -1 when nobody has fetched yet.
        (0..) start_offset: i64;
        (0..) leader_epoch: i32;
        /// Records that are not done with; -1 when that is not known.
        (1..) lag: i64 = -1;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
    }
}
