//! OffsetFetch (9): how far groups have read.
//!
//! Versions 1 to 7 ask for one group and answer in the response itself; from version 8 on there is a list of
//! groups on both sides (KIP-709), whose topics and partitions have names of their own in Kafka's schema.

use crate::message;
use crate::messages::Request;

impl Request for OffsetFetchRequest {
    type Response = OffsetFetchResponse;
}

message! {
    /// Asks for offsets.
    pub struct OffsetFetchRequest(OffsetFetch, 1..=9) {
        (1..=7) group_id: String, else refuse;
        /// `None` is all that the group has.
        (1..=7) topics: Option<Vec<OffsetFetchRequestTopic>> = Some(Vec::new()), nullable 2, else refuse;
        (8..)   groups: Vec<OffsetFetchRequestGroup>, else refuse;
        /// An error rather than an offset that a transaction is about to change (KIP-447).
        (7..)   require_stable: bool, else refuse;
    }

    /// A topic's partitions.
    pub struct OffsetFetchRequestTopic {
        (1..=7) name: String;
        (1..=7) partition_indexes: Vec<i32>;
    }

    /// A group.
    pub struct OffsetFetchRequestGroup {
        (8..) group_id: String;
        /// With `member_epoch` for the consumer protocol (KIP-848) only.
        (9..) member_id: Option<String>;
        /// -1 in the classic protocol.
        (9..) member_epoch: i32 = -1;
        /// `None` is all that the group has.
        (8..) topics: Option<Vec<OffsetFetchRequestTopics>> = Some(Vec::new());
    }

    /// A topic's partitions.
    pub struct OffsetFetchRequestTopics {
        (8..) name: String;
        (8..) partition_indexes: Vec<i32>;
    }

    /// The offsets.
    pub struct OffsetFetchResponse(OffsetFetch, 1..=9) {
        (3..)   throttle_time_ms: i32;
        (1..=7) topics: Vec<OffsetFetchResponseTopic>, else refuse;
        /// In version 1 there is none: each partition has the error.
        (2..=7) error_code: i16;
        (8..)   groups: Vec<OffsetFetchResponseGroup>, else refuse;
    }

    /// A topic's partitions.
    pub struct OffsetFetchResponseTopic {
        (1..=7) name: String;
        (1..=7) partitions: Vec<OffsetFetchResponsePartition>;
    }

    /// The offset of a partition.
    pub struct OffsetFetchResponsePartition {
        (1..=7) partition_index: i32;
        /// -1 when the group has none, which is no error.
        (1..=7) committed_offset: i64;
        (5..=7) committed_leader_epoch: i32 = -1;
        /// Empty without an offset.
        (1..=7) metadata: Option<String>;
        (1..=7) error_code: i16;
    }

    /// A group.
    pub struct OffsetFetchResponseGroup {
        (8..) group_id: String;
        (8..) topics: Vec<OffsetFetchResponseTopics>;
        (8..) error_code: i16;
    }

    /// A topic's partitions.
    pub struct OffsetFetchResponseTopics {
        (8..) name: String;
        (8..) partitions: Vec<OffsetFetchResponsePartitions>;
    }

    /// The offset of a partition.
    pub struct OffsetFetchResponsePartitions {
        (8..) partition_index: i32;
        /// -1 when the group has none, which is no error.
        (8..) committed_offset: i64;
        (8..) committed_leader_epoch: i32 = -1;
        /// Empty without an offset.
        (8..) metadata: Option<String>;
        (8..) error_code: i16;
    }
}
