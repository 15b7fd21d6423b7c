//! The internal topic that groups are kept in.

use crate::coordination::InternalTopic;

/// The topic that groups and their offsets are kept in.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Topics that coordinators keep their state in: clients may read them, and neither write, make nor delete
/// them.
const INTERNAL_TOPICS: [&str; 5] =
    [OFFSETS_TOPIC, "__transaction_state", "__share_group_state", "__mqtt_sessions", "__mqtt_retained"];

/// Bytes of its segments, as in Kafka.
const SEGMENT_BYTES: u64 = 100 << 20;

/// Whether the topic is a coordinator's.
pub fn is_internal(topic: &str) -> bool {
    INTERNAL_TOPICS.contains(&topic)
}

/// The topic, with so many partitions when it is created.
pub(super) fn offsets_topic(partitions: u32) -> InternalTopic {
    InternalTopic::compacted(OFFSETS_TOPIC, partitions, SEGMENT_BYTES, "producer")
}
