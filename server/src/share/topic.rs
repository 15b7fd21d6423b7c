//! The internal topic that the state of share partitions is kept in.

use crate::coordination::InternalTopic;

/// The topic that the state of share partitions is kept in.
pub const STATE_TOPIC: &str = "__share_group_state";

/// The topic, with so many partitions and segments of this size when it is created. It is compacted where
/// Kafka's is not, see `records`; it is durable whatever other topics are (D9), and takes the state of a
/// share partition of the largest window.
pub(super) fn state_topic(partitions: u32, segment_bytes: u64) -> InternalTopic {
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("compression.type", "uncompressed".to_owned()),
        ("flush.messages", "1".to_owned()),
        ("max.message.bytes", "16777216".to_owned()),
        ("segment.bytes", segment_bytes.to_string()),
    ];
    let configs = configs.map(|(name, value)| (name.to_owned(), value));
    InternalTopic { name: STATE_TOPIC, partitions, configs: configs.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_settings() {
        use strandline_engine::config::{TopicConfig, TopicDefaults};
        let mut defaults = TopicDefaults::default();
        defaults.set("flush.messages", "1000").unwrap();
        let config = TopicConfig::resolve(&defaults, &state_topic(1, 1 << 20).configs).unwrap();
        assert!(config.is_durable() && config.compacted, "D9");
        assert_eq!(config.segment_bytes, 1 << 20);
    }
}
