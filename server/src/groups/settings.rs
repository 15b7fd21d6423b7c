//! What the broker's settings say of groups.

use strandline_engine::config::DynamicSettings;

use super::consumer::{Assignor, ConsumerSettings};
use super::coordinator::CoordinatorSettings;
use super::group::GroupSettings;
use super::migration::MigrationPolicy;
use super::share::ShareGroupSettings;
use super::streams::StreamsSettings;
use crate::config::BrokerConfig;

impl From<&BrokerConfig> for CoordinatorSettings {
    fn from(config: &BrokerConfig) -> CoordinatorSettings {
        let assignors = config.set_value("group.consumer.assignors");
        let assignor = assignors.and_then(|names| names.split(',').next()).map(str::trim);
        let session = |name| config.whole(name) as i32;
        CoordinatorSettings {
            group: GroupSettings {
                initial_rebalance_delay_ms: config.whole("group.initial.rebalance.delay.ms"),
                size_max: config.whole("group.max.size") as usize,
            },
            consumer: ConsumerSettings {
                session_timeout_ms: config.whole("group.consumer.session.timeout.ms"),
                heartbeat_interval_ms: session("group.consumer.heartbeat.interval.ms"),
                size_max: config.whole("group.consumer.max.size") as usize,
                assignor: assignor.and_then(Assignor::by_name).unwrap_or(Assignor::Uniform),
                assignment_interval_ms: config.whole("group.consumer.assignment.interval.ms"),
                ..ConsumerSettings::default()
            },
            migration: MigrationPolicy::by_name(config.text("group.consumer.migration.policy"))
                .expect("checked against the table"),
            share: ShareGroupSettings {
                session_timeout_ms: config.whole("group.share.session.timeout.ms"),
                heartbeat_interval_ms: session("group.share.heartbeat.interval.ms"),
                size_max: config.whole("group.share.max.size") as usize,
            },
            streams: StreamsSettings {
                session_timeout_ms: config.whole("group.streams.session.timeout.ms"),
                heartbeat_interval_ms: session("group.streams.heartbeat.interval.ms"),
                size_max: config.whole("group.streams.max.size") as usize,
                standbys: config.whole("group.streams.num.standby.replicas") as u32,
                initial_rebalance_delay_ms: config.whole("group.streams.initial.rebalance.delay.ms"),
                assignment_interval_ms: config.whole("group.streams.assignment.interval.ms"),
                ..StreamsSettings::default()
            },
            session_timeout_ms: session("group.min.session.timeout.ms")
                ..=session("group.max.session.timeout.ms"),
            offsets_retention_ms: config.whole("offsets.retention.minutes") * 60_000,
            retention_check_ms: config.whole("offsets.retention.check.interval.ms"),
            offset_metadata_max: config.whole("offset.metadata.max.bytes") as usize,
            topic_partitions: config.whole("offsets.topic.num.partitions") as u32,
        }
    }
}

impl ConsumerSettings {
    /// Those of one group, as they are in force.
    pub fn of(config: &BrokerConfig, dynamic: &DynamicSettings, group: &str) -> ConsumerSettings {
        let whole = |name| config.whole_of_group(dynamic, group, name);
        ConsumerSettings {
            session_timeout_ms: whole("consumer.session.timeout.ms"),
            heartbeat_interval_ms: whole("consumer.heartbeat.interval.ms") as i32,
            assignment_interval_ms: whole("consumer.assignment.interval.ms"),
            ..CoordinatorSettings::from(config).consumer
        }
    }
}

impl ShareGroupSettings {
    /// Those of one group, as they are in force.
    pub fn of(config: &BrokerConfig, dynamic: &DynamicSettings, group: &str) -> ShareGroupSettings {
        let whole = |name| config.whole_of_group(dynamic, group, name);
        ShareGroupSettings {
            session_timeout_ms: whole("share.session.timeout.ms"),
            heartbeat_interval_ms: whole("share.heartbeat.interval.ms") as i32,
            ..CoordinatorSettings::from(config).share
        }
    }
}

impl StreamsSettings {
    /// Those of one group, as they are in force.
    pub fn of(config: &BrokerConfig, dynamic: &DynamicSettings, group: &str) -> StreamsSettings {
        let whole = |name| config.whole_of_group(dynamic, group, name);
        StreamsSettings {
            session_timeout_ms: whole("streams.session.timeout.ms"),
            heartbeat_interval_ms: whole("streams.heartbeat.interval.ms") as i32,
            standbys: whole("streams.num.standby.replicas") as u32,
            initial_rebalance_delay_ms: whole("streams.initial.rebalance.delay.ms"),
            assignment_interval_ms: whole("streams.assignment.interval.ms"),
            ..CoordinatorSettings::from(config).streams
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn every_setting_of_groups_is_in_the_table() {
        let mut settings = Settings::default();
        settings.set("offsets.retention.minutes", "2").unwrap();
        let config = BrokerConfig::resolve(settings).unwrap();
        let groups = CoordinatorSettings::from(&config);
        assert_eq!((groups.offsets_retention_ms, groups.topic_partitions), (120_000, 50));
        assert_eq!(groups.session_timeout_ms, 6000..=1_800_000);
        assert_eq!(groups.migration, MigrationPolicy::Bidirectional);
    }
}
