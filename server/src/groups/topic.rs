//! The internal topic that groups are kept in.

use crate::coordination::InternalTopic;

/// The topic that groups and their offsets are kept in.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Topics that coordinators keep their state in: clients may read them, and neither write, make nor delete
/// them.
const INTERNAL_TOPICS: [&str; 3] = [OFFSETS_TOPIC, "__transaction_state", "__share_group_state"];

/// Kafka's settings of the topic, and two of ours: it is durable whatever other topics are (D9), and takes
/// the record of a group of some ten thousand members, where Kafka's general limit refuses one of a thousand.
const CONFIGS: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("compression.type", "producer"),
    ("flush.messages", "1"),
    ("max.message.bytes", "16777216"),
    ("segment.bytes", "104857600"),
];

/// Whether the topic is a coordinator's.
pub fn is_internal(topic: &str) -> bool {
    INTERNAL_TOPICS.contains(&topic)
}

/// The topic, with so many partitions when it is created.
pub(super) fn offsets_topic(partitions: u32) -> InternalTopic {
    let configs = CONFIGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    InternalTopic { name: OFFSETS_TOPIC, partitions, configs: configs.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_settings() {
        use strandline_engine::config::{TopicConfig, TopicDefaults};
        let mut defaults = TopicDefaults::default();
        defaults.set("flush.messages", "1000").unwrap();
        let config = TopicConfig::resolve(&defaults, &offsets_topic(1).configs).unwrap();
        assert!(config.is_durable() && config.compacted, "D9");
    }
}
