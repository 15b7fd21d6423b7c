//! OffsetCommit (8): how far a group has read.

use crate::message;
use crate::messages::Request;

impl Request for OffsetCommitRequest {
    type Response = OffsetCommitResponse;
}

message! {
    /// Keeps offsets of a group.
    pub struct OffsetCommitRequest(OffsetCommit, 2..=9) {
        (2..)   group_id: String;
        /// -1 from who is not a member: a consumer without group management, or an administrator.
        (2..)   generation_id_or_member_epoch: i32 = -1;
        /// Empty from who is not a member.
        (2..)   member_id: String;
        /// Of a static member (KIP-345).
        (7..)   group_instance_id: Option<String>, else refuse;
        /// How long the offsets are kept; -1 for as long as the broker keeps them.
        (2..=4) retention_time_ms: i64 = -1;
        (2..)   topics: Vec<OffsetCommitRequestTopic>;
    }

    /// A topic's partitions.
    pub struct OffsetCommitRequestTopic {
        (2..) name: String;
        (2..) partitions: Vec<OffsetCommitRequestPartition>;
    }

    /// The offset of a partition.
    pub struct OffsetCommitRequestPartition {
        (2..) partition_index: i32;
        /// Of the next record to read.
        (2..) committed_offset: i64;
        /// Of the record before it; -1 when not known.
        (6..) committed_leader_epoch: i32 = -1;
        /// Whatever the client wants to remember.
        (2..) committed_metadata: Option<String>;
    }

    /// What became of each offset.
    pub struct OffsetCommitResponse(OffsetCommit, 2..=9) {
        (3..) throttle_time_ms: i32;
        (2..) topics: Vec<OffsetCommitResponseTopic>;
    }

    /// A topic's partitions.
    pub struct OffsetCommitResponseTopic {
        (2..) name: String;
        (2..) partitions: Vec<OffsetCommitResponsePartition>;
    }

    /// An offset that is kept, or why not.
    pub struct OffsetCommitResponsePartition {
        (2..) partition_index: i32;
        (2..) error_code: i16;
    }
}
