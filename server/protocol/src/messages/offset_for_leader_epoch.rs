//! OffsetForLeaderEpoch (23): where a leader epoch ends, so that a reader sees whether the log behind it has
//! been truncated (KIP-320).

use crate::message;
use crate::messages::Request;

impl Request for OffsetForLeaderEpochRequest {
    type Response = OffsetForLeaderEpochResponse;
}

message! {
    /// Asks for ends of epochs.
    pub struct OffsetForLeaderEpochRequest(OffsetForLeaderEpoch, 2..=4) {
        /// -1 for a client, -2 when not told.
        (3..) replica_id: i32 = -2;
        (2..) topics: Vec<OffsetForLeaderTopic>;
    }

    /// A topic's partitions.
    pub struct OffsetForLeaderTopic {
        (2..) topic: String;
        (2..) partitions: Vec<OffsetForLeaderPartition>;
    }

    /// An epoch of a partition.
    pub struct OffsetForLeaderPartition {
        (2..) partition: i32;
        /// -1 when the client does not know it.
        (2..) current_leader_epoch: i32 = -1;
        /// The epoch whose end is asked for.
        (2..) leader_epoch: i32;
    }

    /// The ends.
    pub struct OffsetForLeaderEpochResponse(OffsetForLeaderEpoch, 2..=4) {
        (2..) throttle_time_ms: i32;
        (2..) topics: Vec<OffsetForLeaderTopicResult>;
    }

    /// A topic's partitions.
    pub struct OffsetForLeaderTopicResult {
        (2..) topic: String;
        (2..) partitions: Vec<OffsetForLeaderPartitionResult>;
    }

    /// The end of an epoch of a partition. In Kafka's schema this is an EpochEndOffset, as another struct of
    /// Fetch is.
    pub struct OffsetForLeaderPartitionResult {
        (2..) error_code: i16;
        (2..) partition: i32;
        /// The largest epoch that is not above the one asked for; -1 when there is none.
        (2..) leader_epoch: i32 = -1;
        /// Of the first record after that epoch, or the log end offset; -1 when there is no such epoch.
        (2..) end_offset: i64 = -1;
    }
}
