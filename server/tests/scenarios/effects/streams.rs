//! The settings of streams groups, and the tests that see their effect.

/// As [`super::SEEN`].
pub(super) const SEEN: &[(&str, &str, &str, &str)] = &[
    ("group.streams.assignment.interval.ms", STREAMS_GROUPS, STREAMS, "group.streams.assignment.interval.ms"),
    ("group.streams.heartbeat.interval.ms", STREAMS_GROUPS, STREAMS, "group.streams.heartbeat.interval.ms"),
    (
        "group.streams.initial.rebalance.delay.ms",
        STREAMS_GROUPS,
        STREAMS,
        "group.streams.initial.rebalance.delay.ms",
    ),
    (
        "group.streams.max.assignment.interval.ms",
        STREAMS_GROUPS,
        OWN,
        "group.streams.max.assignment.interval.ms",
    ),
    (
        "group.streams.max.heartbeat.interval.ms",
        STREAMS_GROUPS,
        OWN,
        "group.streams.max.heartbeat.interval.ms",
    ),
    ("group.streams.max.session.timeout.ms", STREAMS_GROUPS, OWN, "group.streams.max.session.timeout.ms"),
    ("group.streams.max.size", STREAMS_GROUPS, STREAMS, "group.streams.max.size"),
    ("group.streams.max.standby.replicas", STREAMS_GROUPS, OWN, "group.streams.max.standby.replicas"),
    (
        "group.streams.min.assignment.interval.ms",
        STREAMS_GROUPS,
        OWN,
        "group.streams.min.assignment.interval.ms",
    ),
    (
        "group.streams.min.heartbeat.interval.ms",
        STREAMS_GROUPS,
        OWN,
        "group.streams.min.heartbeat.interval.ms",
    ),
    ("group.streams.min.session.timeout.ms", STREAMS_GROUPS, OWN, "group.streams.min.session.timeout.ms"),
    ("group.streams.num.standby.replicas", STREAMS_GROUPS, STREAMS, "group.streams.num.standby.replicas"),
    ("group.streams.session.timeout.ms", STREAMS_GROUPS, STREAMS, "group.streams.session.timeout.ms"),
];

const STREAMS_GROUPS: &str = "server/tests/scenarios/streams_groups.rs";
const STREAMS: &str = "streams_groups_keep_to_the_settings_of_their_broker";
const OWN: &str = "a_streams_group_has_settings_of_its_own_within_the_bounds_of_its_broker";
