//! What the broker's settings say of share groups.

use strandline_engine::Isolation;

use super::log::Reset;
use super::partition::Limits;
use crate::config::BrokerConfig;

/// The smallest segment that a topic may ask for.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// The settings of share groups, apart from those of their members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSettings {
    /// What holds of a group that has no settings of its own.
    pub group: ShareGroupConfig,
    /// The most share sessions at a time.
    pub sessions_max: usize,
    /// Updates that are written between two snapshots, at the most.
    pub updates_max: u32,
    /// Partitions that the internal topic is made with.
    pub topic_partitions: u32,
    /// Bytes of a segment of the internal topic.
    pub topic_segment_bytes: u64,
}

/// What holds of the records of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareGroupConfig {
    /// Locks and deliveries.
    pub limits: Limits,
    /// Whether it is given records of transactions that are not committed.
    pub isolation: Isolation,
    /// Where it begins when it never fetched.
    pub reset: Reset,
}

impl From<&BrokerConfig> for ShareSettings {
    fn from(config: &BrokerConfig) -> ShareSettings {
        ShareSettings {
            group: ShareGroupConfig {
                limits: Limits {
                    lock_ms: config.whole("group.share.record.lock.duration.ms"),
                    deliveries_max: config.whole("group.share.delivery.count.limit") as u16,
                    locks_max: config.whole("group.share.partition.max.record.locks"),
                    is_renewable: true,
                },
                isolation: Isolation::ReadUncommitted,
                reset: Reset::Latest,
            },
            sessions_max: config.whole("group.share.max.share.sessions") as usize,
            updates_max: config.whole("share.coordinator.snapshot.update.records.per.snapshot") as u32,
            topic_partitions: config.whole("share.coordinator.state.topic.num.partitions") as u32,
            topic_segment_bytes: (config.whole("share.coordinator.state.topic.segment.bytes") as u64)
                .max(SEGMENT_BYTES_MIN),
        }
    }
}
