//! What the broker's settings say of groups.

use super::coordinator::CoordinatorSettings;
use super::group::GroupSettings;
use crate::config::BrokerConfig;

impl From<&BrokerConfig> for CoordinatorSettings {
    fn from(config: &BrokerConfig) -> CoordinatorSettings {
        let session = |name| config.whole(name) as i32;
        CoordinatorSettings {
            group: GroupSettings {
                initial_rebalance_delay_ms: config.whole("group.initial.rebalance.delay.ms"),
                size_max: config.whole("group.max.size") as usize,
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
    }
}
