//! The internal topic that transactional ids are kept in.

use crate::coordination::InternalTopic;

/// The topic that transactional ids are kept in.
pub const STATE_TOPIC: &str = "__transaction_state";

/// The topic, with so many partitions and segments of this size when it is created.
pub(super) fn state_topic(partitions: u32, segment_bytes: u64) -> InternalTopic {
    InternalTopic::compacted(STATE_TOPIC, partitions, segment_bytes, "uncompressed")
}
