//! The settings of share groups, and the tests that see their effect.

/// As [`super::SEEN`].
pub(super) const SEEN: &[(&str, &str, &str, &str)] = &[
    (
        "errors.deadletterqueue.auto.create.topics.enable",
        DEAD_LETTERS,
        "a_queue_is_created_where_the_broker_allows_it_and_takes_the_partition_of_its_record",
        "errors.deadletterqueue.auto.create.topics.enable",
    ),
    ("errors.deadletterqueue.group.enable", DEAD_LETTERS, MAY_BE, "ENABLED"),
    ("errors.deadletterqueue.topic.name.prefix", DEAD_LETTERS, MAY_BE, "PREFIX"),
    ("group.share.delivery.count.limit", SHARE_GROUPS, SHARE, "group.share.delivery.count.limit"),
    ("group.share.heartbeat.interval.ms", SHARE_GROUPS, SHARE, "group.share.heartbeat.interval.ms"),
    ("group.share.max.delivery.count.limit", SHARE_GROUPS, OF_GROUPS, "group.share.max.delivery.count.limit"),
    (
        "group.share.max.heartbeat.interval.ms",
        SHARE_GROUPS,
        OF_GROUPS,
        "group.share.max.heartbeat.interval.ms",
    ),
    (
        "group.share.max.partition.max.record.locks",
        SHARE_GROUPS,
        OF_GROUPS,
        "group.share.max.partition.max.record.locks",
    ),
    (
        "group.share.max.record.lock.duration.ms",
        SHARE_GROUPS,
        OF_GROUPS,
        "group.share.max.record.lock.duration.ms",
    ),
    ("group.share.max.session.timeout.ms", SHARE_GROUPS, OF_GROUPS, "group.share.max.session.timeout.ms"),
    ("group.share.max.share.sessions", SHARE_GROUPS, SHARE, "group.share.max.share.sessions"),
    ("group.share.max.size", SHARE_GROUPS, SHARE, "group.share.max.size"),
    ("group.share.min.delivery.count.limit", SHARE_GROUPS, OF_GROUPS, "group.share.min.delivery.count.limit"),
    (
        "group.share.min.heartbeat.interval.ms",
        SHARE_GROUPS,
        OF_GROUPS,
        "group.share.min.heartbeat.interval.ms",
    ),
    (
        "group.share.min.partition.max.record.locks",
        SHARE_GROUPS,
        OF_GROUPS,
        "group.share.min.partition.max.record.locks",
    ),
    (
        "group.share.min.record.lock.duration.ms",
        SHARE_GROUPS,
        OF_GROUPS,
        "group.share.min.record.lock.duration.ms",
    ),
    ("group.share.min.session.timeout.ms", SHARE_GROUPS, OF_GROUPS, "group.share.min.session.timeout.ms"),
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

const DEAD_LETTERS: &str = "server/tests/scenarios/dead_letters.rs";
const MAY_BE: &str = "d9_a_record_stays_until_its_queue_may_be_written_and_its_group_is_told_of_nothing";
const SHARE_GROUPS: &str = "server/tests/scenarios/share_groups.rs";
const SHARE: &str = "share_groups_keep_to_the_settings_of_their_broker";
const OF_GROUPS: &str =
    "d9_a_share_group_has_settings_of_its_own_within_the_bounds_of_its_broker_and_keeps_them";
