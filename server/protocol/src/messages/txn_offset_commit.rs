//! TxnOffsetCommit (28): how far a group has read, once a transaction is committed.

use crate::message;
use crate::messages::Request;

impl Request for TxnOffsetCommitRequest {
    type Response = TxnOffsetCommitResponse;
}

message! {
    /// Keeps offsets of a group as part of a transaction.
    pub struct TxnOffsetCommitRequest(TxnOffsetCommit, 0..=5) {
        (0..) transactional_id: String;
        (0..) group_id: String;
        (0..) producer_id: i64;
        (0..) producer_epoch: i16;
        /// -1 from who is not a member, and from old clients that do not say.
        (3..) generation_id: i32 = -1, else refuse;
        /// Empty from who is not a member, and from old clients that do not say.
        (3..) member_id: String, else refuse;
        /// Of a static member (KIP-345).
        (3..) group_instance_id: Option<String>, else refuse;
        (0..) topics: Vec<TxnOffsetCommitRequestTopic>;
    }

    /// A topic's partitions.
    pub struct TxnOffsetCommitRequestTopic {
        (0..) name: String;
        (0..) partitions: Vec<TxnOffsetCommitRequestPartition>;
    }

    /// The offset of a partition.
    pub struct TxnOffsetCommitRequestPartition {
        (0..) partition_index: i32;
        /// Of the next record to read.
        (0..) committed_offset: i64;
        /// Of the record before it; -1 when not known.
        (2..) committed_leader_epoch: i32 = -1;
        /// Whatever the client wants to remember.
        (0..) committed_metadata: Option<String>;
    }

    /// What became of each offset.
    pub struct TxnOffsetCommitResponse(TxnOffsetCommit, 0..=5) {
        (0..) throttle_time_ms: i32;
        (0..) topics: Vec<TxnOffsetCommitResponseTopic>;
    }

    /// A topic's partitions.
    pub struct TxnOffsetCommitResponseTopic {
        (0..) name: String;
        (0..) partitions: Vec<TxnOffsetCommitResponsePartition>;
    }

    /// An offset that is kept, or why not.
    pub struct TxnOffsetCommitResponsePartition {
        (0..) partition_index: i32;
        (0..) error_code: i16;
    }
}
