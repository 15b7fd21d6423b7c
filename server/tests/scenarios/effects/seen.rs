//! Which test sees the effect of which setting.

/// A setting, the file of the test that sees its effect, the test, and a word of it that stands for the
/// setting.
pub(super) const SEEN: &[(&str, &str, &str, &str)] = &[
    (
        "cleanup.policy",
        "server/tests/scenarios/produce_fetch.rs",
        "what_is_refused_says_why",
        "cleanup.policy",
    ),
    ("compression.gzip.level", HERE, LEVELS, "compression.gzip.level"),
    ("compression.lz4.level", HERE, LEVELS, "compression.lz4.level"),
    (
        "compression.type",
        "server/tests/scenarios/records.rs",
        "a_topic_keeps_its_own_codec_from_the_moment_it_is_set",
        "compression.type",
    ),
    ("compression.zstd.level", HERE, LEVELS, "compression.zstd.level"),
    (
        "delete.retention.ms",
        COMPACTION,
        "a_tombstone_stays_until_the_horizon_that_its_first_round_set",
        "DAY",
    ),
    (
        "flush.messages",
        "engine/tests/scenarios/whole.rs",
        "a_relaxed_topic_survives_a_stop_and_skips_the_journal",
        "flush.messages",
    ),
    ("flush.ms", HERE, "what_was_acknowledged_early_is_synced_when_its_time_is_over", "flush.ms"),
    (
        "index.interval.bytes",
        HERE,
        "an_index_has_as_many_entries_as_its_interval_asks_for",
        "index.interval.bytes",
    ),
    (
        "max.compaction.lag.ms",
        PLAN,
        "a_record_that_waited_for_the_longest_lag_waits_for_no_ratio",
        "lag_max_ms",
    ),
    (
        "max.decompressed.message.bytes",
        HERE,
        "a_batch_unpacks_to_no_more_than_its_topic_allows",
        "max.decompressed.message.bytes",
    ),
    (
        "max.message.bytes",
        "server/tests/scenarios/broker_settings.rs",
        "a_changed_setting_is_in_force_for_live_logs_and_new_connections",
        "message.max.bytes",
    ),
    ("message.timestamp.after.max.ms", HERE, TIMES, "message.timestamp.after.max.ms"),
    ("message.timestamp.before.max.ms", HERE, TIMES, "message.timestamp.before.max.ms"),
    (
        "message.timestamp.type",
        "engine/tests/scenarios/whole.rs",
        "a_topic_of_arrival_times_is_searched_by_these",
        "message.timestamp.type",
    ),
    ("min.cleanable.dirty.ratio", PLAN, "a_log_is_due_when_its_dirty_share_exceeds_the_ratio", "dirty_ratio"),
    (
        "min.compaction.lag.ms",
        PLAN,
        "a_segment_with_a_young_record_stays_and_keeps_all_behind_it",
        "lag_min_ms",
    ),
    ("retention.bytes", HERE, "a_partition_keeps_as_many_bytes_as_its_topic_asks_for", "retention.bytes"),
    (
        "retention.ms",
        "server/tests/scenarios/retention.rs",
        "a_topic_is_kept_in_bounds_by_the_settings_that_it_gets_while_it_is_used",
        "retention.ms",
    ),
    ("segment.bytes", HERE, "a_partition_keeps_as_many_bytes_as_its_topic_asks_for", "segment.bytes"),
    (
        "segment.jitter.ms",
        CONFIG,
        "segments_that_were_begun_together_are_closed_at_different_times",
        "segment.jitter.ms",
    ),
    ("segment.ms", HERE, "a_segment_ends_with_its_time", "segment.ms"),
    (
        "allow.everyone.if.no.acl.found",
        PERMISSIONS,
        "without_rules_everybody_may_what_the_setting_says",
        "allow.everyone.if.no.acl.found",
    ),
    (
        "authorizer.class.name",
        PERMISSIONS,
        "without_an_authorizer_rules_are_kept_and_nobody_is_asked",
        "open",
    ),
    ("controller.quota.window.num", QUOTAS, CHANGES, "controller.quota.window.num"),
    ("controller.quota.window.size.seconds", QUOTAS, CHANGES, "controller.quota.window.size.seconds"),
    ("quota.window.num", QUOTAS, "the_windows_are_those_of_the_broker", "quota.window.num"),
    ("quota.window.size.seconds", QUOTAS, "the_windows_are_those_of_the_broker", "quota.window.size.seconds"),
    (
        "reactor",
        "server/tests/scenarios/refused.rs",
        "a_broker_runs_on_what_it_was_told_to_and_says_so",
        "reactor=",
    ),
    ("sasl.oauthbearer.allow.unverified.audience", BEARER_CONFIG, TOKENS, "allow.unverified.audience"),
    ("sasl.oauthbearer.allow.unverified.issuer", BEARER_CONFIG, TOKENS, "allow.unverified.issuer"),
    ("sasl.oauthbearer.clock.skew.seconds", BEARER_CONFIG, TOKENS, "clock.skew.seconds"),
    ("sasl.oauthbearer.expected.audience", BEARER_CONFIG, TOKENS, "expected.audience"),
    ("sasl.oauthbearer.expected.issuer", BEARER_CONFIG, TOKENS, "expected.issuer"),
    ("sasl.oauthbearer.jwks.endpoint.refresh.ms", BEARER_CONFIG, TOKENS, "jwks.endpoint.refresh.ms"),
    (
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
        BEARER_CONFIG,
        TOKENS,
        "jwks.endpoint.retry.backoff.max.ms",
    ),
    (
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
        BEARER_CONFIG,
        TOKENS,
        "jwks.endpoint.retry.backoff.ms",
    ),
    ("sasl.oauthbearer.jwks.endpoint.url", BEARER_CONFIG, TOKENS, "jwks.endpoint.url"),
    ("sasl.oauthbearer.scope.claim.name", BEARER_CONFIG, TOKENS, "scope.claim.name"),
    ("sasl.oauthbearer.sub.claim.name", BEARER_CONFIG, TOKENS, "sub.claim.name"),
    ("super.users", PERMISSIONS, "rules_name_hosts_and_every_user_and_every_name", "a super user"),
    (
        "advertised.listeners",
        HERE,
        "a_broker_listens_where_its_file_says_and_tells_what_its_file_says",
        "advertised.listeners",
    ),
    (
        "auto.create.topics.enable",
        HERE,
        "a_broker_that_makes_and_deletes_no_topics_says_so",
        "auto.create.topics.enable",
    ),
    (
        "background.time.share",
        "engine/src/reactor/executor.rs",
        "background_tasks_have_their_share_of_a_busy_thread_and_all_of_a_quiet_one",
        "share",
    ),
    (
        "broker.id",
        "server/tests/scenarios/node_id.rs",
        "the_old_name_is_as_good_and_two_names_with_two_numbers_are_refused",
        "broker.id",
    ),
    ("broker.rack", HERE, "a_broker_that_makes_and_deletes_no_topics_says_so", "broker.rack"),
    (
        "connections.max.idle.ms",
        "server/tests/scenarios/hostile.rs",
        "a_silent_connection_is_closed_and_a_busy_one_is_not",
        "connections.max.idle.ms",
    ),
    ("controller.listener.names", HERE, LISTENERS, "controller.listener.names"),
    ("controller.quorum.voters", HERE, LISTENERS, "controller.quorum.voters"),
    ("default.replication.factor", HERE, LISTENERS, "default.replication.factor"),
    ("delete.topic.enable", HERE, "a_broker_that_makes_and_deletes_no_topics_says_so", "delete.topic.enable"),
    ("fetch.max.bytes", HERE, "requests_and_answers_are_as_large_as_the_broker_allows", "fetch.max.bytes"),
    (
        "group.consumer.assignment.interval.ms",
        CONSUMER_GROUPS,
        "members_that_come_within_the_interval_of_their_group_are_taken_together",
        "group.consumer.assignment.interval.ms",
    ),
    ("group.consumer.assignors", CONSUMER_GROUPS, CONSUMER, "group.consumer.assignors"),
    (
        "group.consumer.heartbeat.interval.ms",
        CONSUMER_GROUPS,
        CONSUMER,
        "group.consumer.heartbeat.interval.ms",
    ),
    (
        "group.consumer.max.assignment.interval.ms",
        CONSUMER_GROUPS,
        OF_GROUPS,
        "group.consumer.max.assignment.interval.ms",
    ),
    (
        "group.consumer.max.heartbeat.interval.ms",
        CONSUMER_GROUPS,
        OF_GROUPS,
        "group.consumer.max.heartbeat.interval.ms",
    ),
    (
        "group.consumer.max.session.timeout.ms",
        CONSUMER_GROUPS,
        OF_GROUPS,
        "group.consumer.max.session.timeout.ms",
    ),
    ("group.consumer.max.size", CONSUMER_GROUPS, CONSUMER, "group.consumer.max.size"),
    (
        "group.consumer.migration.policy",
        "server/tests/scenarios/consumer_groups/migration.rs",
        "the_policy_of_the_broker_says_whether_a_group_may_change_its_protocol",
        "group.consumer.migration.policy",
    ),
    (
        "group.consumer.min.assignment.interval.ms",
        CONSUMER_GROUPS,
        OF_GROUPS,
        "group.consumer.min.assignment.interval.ms",
    ),
    (
        "group.consumer.min.heartbeat.interval.ms",
        CONSUMER_GROUPS,
        OF_GROUPS,
        "group.consumer.min.heartbeat.interval.ms",
    ),
    (
        "group.consumer.min.session.timeout.ms",
        CONSUMER_GROUPS,
        OF_GROUPS,
        "group.consumer.min.session.timeout.ms",
    ),
    ("group.consumer.session.timeout.ms", CONSUMER_GROUPS, CONSUMER, "group.consumer.session.timeout.ms"),
    (
        "group.initial.rebalance.delay.ms",
        "server/tests/scenarios/groups.rs",
        "a_group_that_waits_holds_up_no_other_and_a_lost_connection_leaves_nothing_open",
        "group.initial.rebalance.delay.ms",
    ),
    ("group.max.session.timeout.ms", HERE, GROUPS, "group.max.session.timeout.ms"),
    ("group.max.size", HERE, GROUPS, "group.max.size"),
    ("group.min.session.timeout.ms", HERE, GROUPS, "group.min.session.timeout.ms"),
    ("listener.security.protocol.map", HERE, LISTENERS, "listener.security.protocol.map"),
    ("listeners", HERE, "a_broker_listens_where_its_file_says_and_tells_what_its_file_says", "listeners"),
    (
        "log.cleaner.backoff.ms",
        "engine/tests/scenarios/second_reader.rs",
        "a_round_of_compaction_closes_the_gaps_that_an_older_release_has_left",
        "backoff",
    ),
    (
        "log.cleaner.dedupe.buffer.size",
        COMPACTION,
        "a_full_map_ends_the_round_and_nothing_behind_it_is_judged",
        "map_bytes",
    ),
    (
        "log.cleaner.io.max.bytes.per.second",
        "engine/src/shard/rate.rs",
        "what_may_be_moved_is_the_rate_and_one_second_of_it_at_once",
        "Rate::new",
    ),
    ("log.dir", HERE, "a_broker_listens_where_its_file_says_and_tells_what_its_file_says", "log.dir"),
    ("log.dirs", HERE, "a_broker_listens_where_its_file_says_and_tells_what_its_file_says", "log.dirs"),
    (
        "log.retention.check.interval.ms",
        "server/tests/scenarios/retention.rs",
        "a_topic_is_kept_in_bounds_by_the_settings_that_it_gets_while_it_is_used",
        "log.retention.check.interval.ms",
    ),
    ("log.retention.hours", BROKER_CONFIG, UNITS, "log.retention.hours"),
    ("log.retention.minutes", BROKER_CONFIG, UNITS, "log.retention.minutes"),
    ("log.roll.hours", BROKER_CONFIG, UNITS, "log.roll.hours"),
    ("log.roll.jitter.hours", BROKER_CONFIG, UNITS, "log.roll.jitter.hours"),
    (
        "log.scrub.bytes.per.second",
        "engine/src/crash/rot.rs",
        "d5_the_scrub_finds_what_nobody_reads",
        "scrub_bytes_per_second",
    ),
    (
        "max.connection.creation.rate",
        "server/tests/scenarios/fronts.rs",
        "connections_that_come_too_fast_are_accepted_later_and_none_is_refused",
        "max.connection.creation.rate",
    ),
    (
        "http.listen",
        "server/tests/scenarios/http.rs",
        "health_and_metrics_are_answered_and_what_is_not_there_is_told_in_json",
        "http.listen",
    ),
    (
        "http.listener.name",
        "server/tests/scenarios/http.rs",
        "the_front_is_like_the_listener_that_its_setting_names",
        "http.listener.name",
    ),
    (
        "mqtt.default.topic",
        "server/tests/scenarios/mqtt.rs",
        "the_front_is_like_the_listener_and_by_the_rules_that_its_settings_name",
        "mqtt.default.topic",
    ),
    (
        "mqtt.listen",
        "server/tests/scenarios/mqtt.rs",
        "what_is_acknowledged_is_there_after_the_broker_was_killed",
        "--mqtt-listen",
    ),
    (
        "mqtt.listener.name",
        "server/tests/scenarios/mqtt.rs",
        "the_front_is_like_the_listener_and_by_the_rules_that_its_settings_name",
        "mqtt.listener.name",
    ),
    (
        "mqtt.rules",
        "server/tests/scenarios/mqtt.rs",
        "the_front_is_like_the_listener_and_by_the_rules_that_its_settings_name",
        "mqtt.rules",
    ),
    (
        "max.connections",
        "server/tests/scenarios/hostile.rs",
        "connections_above_the_limit_are_closed_at_once",
        "max.connections",
    ),
    (
        "max.connections.per.ip",
        "server/tests/scenarios/fronts.rs",
        "a_listener_and_an_address_have_limits_of_their_own",
        "max.connections.per.ip",
    ),
    (
        "max.connections.per.ip.overrides",
        "server/tests/scenarios/fronts.rs",
        "a_listener_and_an_address_have_limits_of_their_own",
        "max.connections.per.ip.overrides",
    ),
    (
        "metrics.listen",
        HERE,
        "a_broker_listens_where_its_file_says_and_tells_what_its_file_says",
        "metrics.listen",
    ),
    (
        "node.id",
        "server/tests/scenarios/node_id.rs",
        "the_node_is_the_one_that_was_set_everywhere_and_after_every_restart",
        "node.id",
    ),
    (
        "num.partitions",
        "server/tests/scenarios/topics.rs",
        "a_topic_that_is_asked_for_is_created_when_both_sides_allow_it",
        "num.partitions",
    ),
    ("offset.metadata.max.bytes", HERE, GROUPS, "offset.metadata.max.bytes"),
    (
        "offsets.retention.check.interval.ms",
        "server/tests/scenarios/groups.rs",
        "offsets_that_have_expired_go_and_take_their_group_with_them",
        "offsets.retention.check.interval.ms",
    ),
    (
        "offsets.retention.minutes",
        "server/src/groups/offsets.rs",
        "offsets_expire_a_retention_after_their_commit_or_the_end_of_the_group",
        "expired",
    ),
    ("offsets.topic.num.partitions", HERE, GROUPS, "offsets.topic.num.partitions"),
    ("process.roles", HERE, LISTENERS, "process.roles"),
    (
        "connection.failed.authentication.delay.ms",
        SASL,
        "a_wrong_password_is_told_after_a_while_and_ends_the_connection",
        "connection.failed.authentication.delay.ms",
    ),
    (
        "connections.max.reauth.ms",
        SASL,
        "a_client_proves_it_again_in_time_or_is_cut",
        "connections.max.reauth.ms",
    ),
    (
        "sasl.enabled.mechanisms",
        SASL_CONFIG,
        "a_listener_has_its_own_mechanisms_and_lifetimes_or_those_of_all",
        "sasl.enabled.mechanisms",
    ),
    (
        "sasl.server.max.receive.size",
        SASL,
        "a_stranger_has_little_room_and_its_noise_ends_its_connection",
        "sasl.server.max.receive.size",
    ),
    (
        "socket.request.max.bytes",
        HERE,
        "requests_and_answers_are_as_large_as_the_broker_allows",
        "socket.request.max.bytes",
    ),
    (
        "add.partitions.to.txn.retry.backoff.max.ms",
        HERE,
        ENDING,
        "add.partitions.to.txn.retry.backoff.max.ms",
    ),
    ("add.partitions.to.txn.retry.backoff.ms", HERE, ENDING, "add.partitions.to.txn.retry.backoff.ms"),
    (
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        HERE,
        "an_open_transaction_is_looked_for_as_often_as_the_broker_says",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
    ),
    ("transaction.max.timeout.ms", HERE, IDS, "transaction.max.timeout.ms"),
    (
        "transaction.partition.verification.enable",
        HERE,
        "a_partition_that_was_not_added_is_refused_unless_the_broker_does_not_ask",
        "transaction.partition.verification.enable",
    ),
    (
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        HERE,
        IDS,
        "transaction.remove.expired.transaction.cleanup.interval.ms",
    ),
    ("transaction.state.log.num.partitions", HERE, IDS, "transaction.state.log.num.partitions"),
    ("transaction.state.log.segment.bytes", HERE, IDS, "transaction.state.log.segment.bytes"),
    ("transactional.id.expiration.ms", HERE, IDS, "transactional.id.expiration.ms"),
];

const QUOTAS: &str = "server/tests/scenarios/quotas.rs";
const CHANGES: &str =
    "who_changes_too_many_partitions_is_refused_and_one_that_does_not_know_the_code_is_served_and_waits";
const PERMISSIONS: &str = "server/tests/scenarios/permissions.rs";
const HERE: &str = "server/tests/scenarios/effects.rs";
const BEARER_CONFIG: &str = "server/src/config/bearer.rs";
const TOKENS: &str = "a_listener_has_its_own_issuer_or_that_of_all";
const SASL: &str = "server/tests/scenarios/sasl.rs";
const SASL_CONFIG: &str = "server/src/config/sasl.rs";
const CONFIG: &str = "engine/src/config/topic.rs";
const BROKER_CONFIG: &str = "server/src/config/mod.rs";
const PLAN: &str = "engine/src/compaction/plan.rs";
const COMPACTION: &str = "engine/src/compaction/tests.rs";
const TIMES: &str = "a_record_is_from_the_time_that_its_topic_allows";
const LEVELS: &str = "a_topic_packs_as_thoroughly_as_its_level_asks_for";
const GROUPS: &str = "groups_keep_to_the_bounds_of_their_broker";
const CONSUMER_GROUPS: &str = "server/tests/scenarios/consumer_groups.rs";
const OF_GROUPS: &str = "d9_a_group_has_settings_of_its_own_within_the_bounds_of_its_broker_and_keeps_them";
const CONSUMER: &str = "consumer_groups_keep_to_the_settings_of_their_broker";
const LISTENERS: &str = "what_asks_for_other_nodes_or_for_security_is_refused_with_the_reason";
const ENDING: &str = "a_batch_waits_as_long_as_the_broker_says_for_the_transaction_before_it";
const IDS: &str = "transactional_ids_keep_to_the_bounds_of_their_broker";
const UNITS: &str = "the_finer_unit_wins";
