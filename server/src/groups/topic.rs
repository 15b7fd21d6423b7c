//! The internal topic that groups are kept in: its name, its shape, and which of its partitions a group belongs to.

use std::sync::Arc;

use strandline_engine::Local;
use strandline_engine::error::TopicError;
use strandline_engine::topics::{NewTopic, Topic};

/// The topic that groups and their offsets are kept in.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Topics that coordinators keep their state in: clients may read them, and neither write, make nor delete them.
const INTERNAL_TOPICS: [&str; 3] = [OFFSETS_TOPIC, "__transaction_state", "__share_group_state"];

/// Kafka's settings of the topic, and two of ours: it is durable whatever other topics are (D9), and takes the record of a group of
/// some ten thousand members, where Kafka's general limit refuses one of a thousand.
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

/// The partition that a group belongs to: as in Kafka, that of Java's hash of its id.
pub(super) fn partition_of(group: &str, partitions: u32) -> u32 {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    // The one number without an absolute value counts as 0.
    hash.checked_abs().unwrap_or(0) as u32 % partitions
}

/// Makes the topic. Somebody else may have been faster.
pub(super) async fn create(shard: &Local, partitions: u32) -> Result<Arc<Topic>, TopicError> {
    let configs = CONFIGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    match shard.create_topic(NewTopic { name: OFFSETS_TOPIC.to_owned(), partitions, configs }).await {
        Err(TopicError::Exists(name)) => {
            let topics = shard.topics();
            topics.by_name(&name).cloned().ok_or(TopicError::Exists(name))
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_where_kafka_puts_it() {
        // In Java, "".hashCode() is 0, that of "g" is 103, and that of "polygenelubricants" the least of all numbers.
        assert_eq!(partition_of("", 50), 0);
        assert_eq!(partition_of("g", 50), 3);
        assert_eq!(partition_of("polygenelubricants", 50), 0);
        // Beyond the basic plane, Java counts two units.
        assert_eq!(partition_of("\u{1f69a}", 1_000_000), (0xd83d * 31 + 0xde9a) % 1_000_000);
    }

    #[test]
    fn the_settings_are_settings() {
        use strandline_engine::config::{TopicConfig, TopicDefaults};
        let own = CONFIGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut defaults = TopicDefaults::default();
        defaults.set("flush.messages", "1000").unwrap();
        let config = TopicConfig::resolve(&defaults, &own).unwrap();
        assert!(config.is_durable() && config.compacted, "D9");
    }
}
