//! An internal topic: its name, its shape, and which of its partitions a key belongs to.

use std::sync::Arc;

use strandline_engine::error::TopicError;
use strandline_engine::topics::{NewTopic, Topic};

use super::partitions::Partitions;

/// The topic that a kind of coordinator keeps its state in.
#[derive(Clone, Debug)]
pub struct InternalTopic {
    /// The name.
    pub name: &'static str,
    /// Partitions that it is created with; it keeps those.
    pub partitions: u32,
    /// Settings of its own, by Kafka's names.
    pub configs: Vec<(String, String)>,
}

/// The largest batch that an internal topic takes: the record of a group of some ten thousand members, of a
/// transaction with some hundred thousand partitions, or of the largest window of a share partition. Kafka's
/// general limit refuses a group of a thousand.
const MESSAGE_BYTES_MAX: u32 = 16 << 20;

impl InternalTopic {
    /// A topic of which the last record of each key counts. `codec` is a `compression.type`. It is durable
    /// whatever other topics are (D9).
    pub fn compacted(
        name: &'static str,
        partitions: u32,
        segment_bytes: u64,
        codec: &'static str,
    ) -> InternalTopic {
        let configs = [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", codec.to_owned()),
            ("flush.messages", "1".to_owned()),
            ("max.message.bytes", MESSAGE_BYTES_MAX.to_string()),
            ("segment.bytes", segment_bytes.to_string()),
        ];
        let configs = configs.map(|(name, value)| (name.to_owned(), value)).to_vec();
        InternalTopic { name, partitions, configs }
    }

    /// Creates the topic. Somebody else may have been faster.
    pub(super) async fn create(&self, partitions: &impl Partitions) -> Result<Arc<Topic>, TopicError> {
        let new = NewTopic {
            name: self.name.to_owned(),
            partitions: self.partitions,
            configs: self.configs.clone(),
        };
        match partitions.create_topic(new).await {
            Err(TopicError::Exists(name)) => {
                partitions.topics().by_name(&name).cloned().ok_or(TopicError::Exists(name))
            }
            result => result,
        }
    }
}

/// The partition that a key belongs to: as in Kafka, that of Java's hash of it.
pub(super) fn partition_of(key: &str, partitions: u32) -> u32 {
    let hash = key.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    // The one number without an absolute value counts as 0.
    hash.checked_abs().unwrap_or(0) as u32 % partitions
}

#[cfg(test)]
mod tests {
    use strandline_engine::config::{TopicConfig, TopicDefaults};

    use super::*;

    #[test]
    fn a_compacted_one_is_durable_whatever_other_topics_are() {
        let mut defaults = TopicDefaults::default();
        defaults.set("flush.messages", "1000").unwrap();
        let topic = InternalTopic::compacted("__state", 1, 1 << 20, "uncompressed");
        let config = TopicConfig::resolve(&defaults, &topic.configs).unwrap();
        assert!(config.is_durable() && config.compacted, "D9");
        assert_eq!((config.segment_bytes, config.max_message_bytes), (1 << 20, 16 << 20));
    }

    #[test]
    fn a_key_is_where_kafka_puts_it() {
        // In Java, "".hashCode() is 0, that of "g" is 103, and that of "polygenelubricants" the least of all
        // numbers.
        assert_eq!(partition_of("", 50), 0);
        assert_eq!(partition_of("g", 50), 3);
        assert_eq!(partition_of("polygenelubricants", 50), 0);
        // Beyond the basic plane, Java counts two units.
        assert_eq!(partition_of("\u{1f69a}", 1_000_000), (0xd83d * 31 + 0xde9a) % 1_000_000);
    }
}
