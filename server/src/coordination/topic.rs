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

impl InternalTopic {
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
    use super::*;

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
