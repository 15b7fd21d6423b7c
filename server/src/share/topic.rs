//! The internal topic that the state of share partitions is kept in.

use crate::coordination::InternalTopic;

/// The topic that the state of share partitions is kept in.
pub const STATE_TOPIC: &str = "__share_group_state";

/// The topic, with so many partitions and segments of this size when it is created. It is compacted where
/// Kafka's is not, see `records`.
pub(super) fn state_topic(partitions: u32, segment_bytes: u64) -> InternalTopic {
    InternalTopic::compacted(STATE_TOPIC, partitions, segment_bytes, "uncompressed")
}
