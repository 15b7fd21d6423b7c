//! The settings of share groups, and the tests that see their effect.

/// As [`super::SEEN`].
pub(super) const SEEN: &[(&str, &str, &str, &str)] = &[
    ("group.share.delivery.count.limit", SHARE_GROUPS, SHARE, "group.share.delivery.count.limit"),
    ("group.share.heartbeat.interval.ms", SHARE_GROUPS, SHARE, "group.share.heartbeat.interval.ms"),
    ("group.share.max.share.sessions", SHARE_GROUPS, SHARE, "group.share.max.share.sessions"),
    ("group.share.max.size", SHARE_GROUPS, SHARE, "group.share.max.size"),
    ("group.share.partition.max.record.locks", SHARE_GROUPS, SHARE, "group.share.partition.max.record.locks"),
    ("group.share.record.lock.duration.ms", SHARE_GROUPS, SHARE, "group.share.record.lock.duration.ms"),
    ("group.share.session.timeout.ms", SHARE_GROUPS, SHARE, "group.share.session.timeout.ms"),
    (
        "share.coordinator.state.topic.num.partitions",
        SHARE_GROUPS,
        SHARE,
        "share.coordinator.state.topic.num.partitions",
    ),
    (
        "share.coordinator.state.topic.segment.bytes",
        SHARE_GROUPS,
        SHARE,
        "share.coordinator.state.topic.segment.bytes",
    ),
    (
        "share.coordinator.snapshot.update.records.per.snapshot",
        SHARE_GROUPS,
        "no_more_updates_are_written_between_two_snapshots_than_the_broker_says",
        "share.coordinator.snapshot.update.records.per.snapshot",
    ),
];

const SHARE_GROUPS: &str = "server/tests/scenarios/share_groups.rs";
const SHARE: &str = "share_groups_keep_to_the_settings_of_their_broker";
