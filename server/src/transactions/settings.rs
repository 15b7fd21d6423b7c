//! What the broker's settings say of transactions.

use crate::config::BrokerConfig;

/// The smallest segment that a topic may ask for.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// The settings of transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionSettings {
    /// The longest time that transactions may be open, in milliseconds.
    pub timeout_max_ms: i32,
    /// How long a transactional id is kept that nobody uses, in milliseconds.
    pub expiration_ms: i64,
    /// How often it is looked for transactions whose time is up, in milliseconds.
    pub timeout_check_ms: i64,
    /// How often it is looked for transactional ids to forget, in milliseconds.
    pub expiration_check_ms: i64,
    /// Partitions that the internal topic is made with.
    pub topic_partitions: u32,
    /// Bytes of a segment of the internal topic.
    pub topic_segment_bytes: u64,
}

impl From<&BrokerConfig> for TransactionSettings {
    fn from(config: &BrokerConfig) -> TransactionSettings {
        TransactionSettings {
            timeout_max_ms: config.whole("transaction.max.timeout.ms") as i32,
            expiration_ms: config.whole("transactional.id.expiration.ms"),
            timeout_check_ms: config.whole("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
            expiration_check_ms: config.whole("transaction.remove.expired.transaction.cleanup.interval.ms"),
            topic_partitions: config.whole("transaction.state.log.num.partitions") as u32,
            topic_segment_bytes: (config.whole("transaction.state.log.segment.bytes") as u64)
                .max(SEGMENT_BYTES_MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn every_setting_of_transactions_is_in_the_table() {
        let mut settings = Settings::default();
        settings.set("transaction.max.timeout.ms", "5000").unwrap();
        let config = BrokerConfig::resolve(settings).unwrap();
        let expected = TransactionSettings {
            timeout_max_ms: 5000,
            expiration_ms: 604_800_000,
            timeout_check_ms: 10_000,
            expiration_check_ms: 3_600_000,
            topic_partitions: 50,
            topic_segment_bytes: 104_857_600,
        };
        assert_eq!(TransactionSettings::from(&config), expected);
    }
}
