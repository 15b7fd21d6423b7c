//! Every setting that claims an effect has a test that sees it: [`SEEN`] names one for each, and a setting
//! without a row fails.
//!
//! The tests here are for settings whose effect no other test looks at. A setting without an effect says so
//! in its documentation, which `kafka_settings.rs` holds it to.

mod share;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use strandline::config::{BROKER_CONFIGS, BrokerConfig, Settings};
use strandline_engine::config::TOPIC_CONFIGS;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, batch, fetch, now};
use crate::metrics::get;
use crate::transactions::{Level, Producer, code, read, sees};
use strandline_engine::types::Timestamp;

/// A setting, the file of the test that sees its effect, the test, and a word of it that stands for the
/// setting.
const SEEN: &[(&str, &str, &str, &str)] = &[
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
    ("group.consumer.assignors", CONSUMER_GROUPS, CONSUMER, "group.consumer.assignors"),
    (
        "group.consumer.heartbeat.interval.ms",
        CONSUMER_GROUPS,
        CONSUMER,
        "group.consumer.heartbeat.interval.ms",
    ),
    ("group.consumer.max.size", CONSUMER_GROUPS, CONSUMER, "group.consumer.max.size"),
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

const HERE: &str = "server/tests/scenarios/effects.rs";
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
const CONSUMER: &str = "consumer_groups_keep_to_the_settings_of_their_broker";
const LISTENERS: &str = "what_asks_for_other_nodes_or_for_security_is_refused_with_the_reason";
const ENDING: &str = "a_batch_waits_as_long_as_the_broker_says_for_the_transaction_before_it";
const IDS: &str = "transactional_ids_keep_to_the_bounds_of_their_broker";
const UNITS: &str = "the_finer_unit_wins";

#[test]
fn every_setting_with_an_effect_has_a_test_that_sees_it() {
    let of_topics = TOPIC_CONFIGS.iter().filter(|entry| entry.has_effect);
    let claimed: BTreeSet<&str> = of_topics.chain(BROKER_CONFIGS).map(|entry| entry.name).collect();
    let seen: BTreeSet<&str> = SEEN.iter().chain(share::SEEN).map(|(name, ..)| *name).collect();
    assert_eq!(seen.len(), SEEN.len() + share::SEEN.len(), "a setting has one row");
    let unseen: Vec<_> = claimed.difference(&seen).collect();
    assert!(unseen.is_empty(), "no test sees the effect of {unseen:?}: write one and name it here");
    let idle: Vec<_> = seen.difference(&claimed).collect();
    assert!(idle.is_empty(), "{idle:?} claim no effect");
    for (name, file, test, word) in SEEN.iter().chain(share::SEEN) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let (_, body) = source
            .split_once(&format!("fn {test}("))
            .unwrap_or_else(|| panic!("{name}: {file} has no test {test}"));
        let body = body.split("#[test]").next().unwrap();
        assert!(body.contains(word), "{name}: {test} does not speak of {word}");
    }
}

fn produced(client: &mut Client, topic: &str, batch: BytesMut) -> ErrorCode {
    ErrorCode::try_from(client.produce(topic, 0, batch).error_code).unwrap()
}

fn of_time(timestamp: Timestamp) -> BytesMut {
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(timestamp, None, Some(b"value"), &[]);
    batch.build()
}

/// Waits for what comes by itself; how long that takes is not asked.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < give_up, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The files of partition 0 that end so, with their sizes.
fn files(data: &Path, topic: &str, end: &str) -> Vec<u64> {
    let entries = fs::read_dir(data.join(format!("{topic}-0"))).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(end));
    files.map(|entry| entry.metadata().unwrap().len()).collect()
}

#[test]
fn a_record_is_from_the_time_that_its_topic_allows() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("open", 1, &[]);
    client.create("past", 1, &[("message.timestamp.before.max.ms", "60000")]);
    client.create("future", 1, &[("message.timestamp.after.max.ms", "7200000")]);
    let (old, early) = (of_time(now().minus(3_600_000)), of_time(now().plus(5_400_000)));
    assert_eq!(produced(&mut client, "open", old.clone()), ErrorCode::None);
    assert_eq!(produced(&mut client, "past", old), ErrorCode::InvalidTimestamp);
    assert_eq!(produced(&mut client, "open", early.clone()), ErrorCode::InvalidTimestamp);
    assert_eq!(produced(&mut client, "future", early), ErrorCode::None);
}

#[test]
fn a_batch_unpacks_to_no_more_than_its_topic_allows() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("wide", 1, &[]);
    client.create("narrow", 1, &[("max.decompressed.message.bytes", "10000")]);
    let mut packed = BatchBuilder::new(Codec::Zstd);
    packed.push(now(), None, Some(&[7; 20_000]), &[]);
    let packed = packed.build();
    assert!(packed.len() < 1000);
    assert_eq!(produced(&mut client, "wide", packed.clone()), ErrorCode::None);
    assert_ne!(produced(&mut client, "narrow", packed), ErrorCode::None);
    assert_eq!(produced(&mut client, "narrow", batch(&["small"])), ErrorCode::None);
}

#[test]
fn a_topic_packs_as_thoroughly_as_its_level_asks_for() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    // Words in an order that no codec finds out.
    let mut state = 1u64;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ["shard ", "journal ", "segment ", "record ", "batch ", "offset ", "broker "]
            [(state >> 33) as usize % 7]
    };
    let text: String = (0..10_000).map(|_| word()).collect();
    for (codec, setting, low, high) in [
        ("gzip", "compression.gzip.level", "1", "9"),
        ("lz4", "compression.lz4.level", "9", "17"),
        ("zstd", "compression.zstd.level", "-100", "19"),
    ] {
        let mut kept = |level: &str| {
            let topic = format!("{codec}{level}");
            client.create(&topic, 1, &[("compression.type", codec), (setting, level)]);
            assert_eq!(produced(&mut client, &topic, batch(&[&text])), ErrorCode::None);
            let answer = client.fetch(12, &fetch(&topic, &[(0, 0)]));
            answer.responses[0].partitions[0].records.len()
        };
        let (low, high) = (kept(low), kept(high));
        assert!(high < low && low < text.len(), "{codec}: {high} bytes of {low} of {}", text.len());
    }
}

#[test]
fn what_was_acknowledged_early_is_synced_when_its_time_is_over() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--shards", "1", "--metrics-listen", "127.0.0.1:0"]);
    let metrics = broker.metrics.unwrap();
    let synced = || {
        let (_, body) = get(metrics, "/metrics");
        let line = body.lines().find(|line| line.starts_with("strandline_background_syncs_total{"));
        line.unwrap().ends_with(" 1")
    };
    let mut client = broker.client();
    client.create("patient", 1, &[("flush.messages", "1000000")]);
    client.create("quick", 1, &[("flush.messages", "1000000"), ("flush.ms", "10")]);
    assert_eq!(produced(&mut client, "patient", batch(&["a"])), ErrorCode::None);
    assert!(!synced());
    assert_eq!(produced(&mut client, "quick", batch(&["a"])), ErrorCode::None);
    until("the one that asks for it is synced", synced);
}

#[test]
fn an_index_has_as_many_entries_as_its_interval_asks_for() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("fine", 1, &[("index.interval.bytes", "0")]);
    client.create("coarse", 1, &[("index.interval.bytes", "100000000")]);
    for topic in ["fine", "coarse"] {
        for _ in 0..100 {
            assert_eq!(produced(&mut client, topic, batch(&["a"])), ErrorCode::None);
        }
    }
    drop(client);
    broker.stop();
    let bytes = |topic: &str| files(dir.path(), topic, ".index").iter().sum::<u64>();
    assert!(bytes("fine") > 10 * bytes("coarse"), "{} and {}", bytes("fine"), bytes("coarse"));
}

#[test]
fn a_segment_ends_with_its_time() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("long", 1, &[]);
    client.create("short", 1, &[("segment.ms", "1000")]);
    for topic in ["long", "short"] {
        for seconds in [0, 2, 4] {
            assert_eq!(produced(&mut client, topic, of_time(now().plus(1000 * seconds))), ErrorCode::None);
        }
    }
    assert_eq!(files(dir.path(), "long", ".log").len(), 1);
    assert_eq!(files(dir.path(), "short", ".log").len(), 3);
}

#[test]
fn a_partition_keeps_as_many_bytes_as_its_topic_asks_for() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "log.retention.check.interval.ms=20"]);
    let mut client = broker.client();
    client.create("all", 1, &[("segment.bytes", "1048576")]);
    client.create("some", 1, &[("segment.bytes", "1048576"), ("retention.bytes", "1048576")]);
    let value = "x".repeat(600_000);
    for topic in ["all", "some"] {
        for _ in 0..6 {
            assert_eq!(produced(&mut client, topic, batch(&[&value])), ErrorCode::None);
        }
    }
    assert_eq!(files(dir.path(), "all", ".log").len(), 6, "two of them do not fit into a segment");
    until("the oldest segments are gone", || files(dir.path(), "some", ".log").len() <= 3);
    assert_eq!(files(dir.path(), "all", ".log").len(), 6);
}

#[test]
fn a_broker_that_makes_and_deletes_no_topics_says_so() {
    let dir = data_dir();
    let options = ["auto.create.topics.enable=False", "delete.topic.enable=false", "broker.rack=r1"];
    let options = options.iter().flat_map(|option| ["-o", option]).collect::<Vec<_>>();
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    let asked = MetadataRequestTopic { name: Some("t".to_owned()), ..Default::default() };
    let request =
        MetadataRequest { topics: Some(vec![asked]), allow_auto_topic_creation: true, ..Default::default() };
    let metadata = client.call(12, &request);
    assert_eq!(metadata.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    assert_eq!(metadata.brokers[0].rack.as_deref(), Some("r1"));
    let cluster = client.call(2, &DescribeClusterRequest::default());
    assert_eq!(cluster.brokers[0].rack.as_deref(), Some("r1"));
    let made = client.create("t", 1, &[]);
    let topics = vec![DeleteTopicState { name: None, topic_id: made.topic_id }];
    let deleted = client.call(6, &DeleteTopicsRequest { topics, ..Default::default() });
    assert_eq!(deleted.responses[0].error_code, ErrorCode::TopicDeletionDisabled.code());
}

#[test]
fn requests_and_answers_are_as_large_as_the_broker_allows() {
    let dir = data_dir();
    let broker =
        Broker::start(dir.path(), &["-o", "fetch.max.bytes=1024", "-o", "socket.request.max.bytes=4096"]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let value = "x".repeat(700);
    for _ in 0..4 {
        assert_eq!(produced(&mut client, "t", batch(&[&value])), ErrorCode::None);
    }
    let answer = client.fetch(12, &fetch("t", &[(0, 0)]));
    let records = answer.responses[0].partitions[0].records.len();
    assert!((700..=1024).contains(&records), "{records}");
    client.send(11, &crate::client::produce("t", 0, batch(&[&"x".repeat(5000)]), -1));
    assert!(client.is_closed());
}

#[test]
fn groups_keep_to_the_bounds_of_their_broker() {
    let dir = data_dir();
    let options = [
        "group.min.session.timeout.ms=10000",
        "group.max.session.timeout.ms=20000",
        "group.max.size=1",
        "group.initial.rebalance.delay.ms=0",
        "offset.metadata.max.bytes=5",
        "offsets.topic.num.partitions=7",
    ];
    let options = options.iter().flat_map(|option| ["-o", option]).collect::<Vec<_>>();
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let find = FindCoordinatorRequest { coordinator_keys: vec!["g".to_owned()], ..Default::default() };
    client.call(4, &find);
    let metadata = client.call(12, &MetadataRequest { topics: None, ..Default::default() });
    let offsets = metadata.topics.iter().find(|topic| topic.name.as_deref() == Some("__consumer_offsets"));
    assert_eq!(offsets.unwrap().partitions.len(), 7);

    let mut join = |session_timeout_ms: i32, member_id: &str| {
        let request = JoinGroupRequest {
            group_id: "g".to_owned(),
            session_timeout_ms,
            rebalance_timeout_ms: 10_000,
            member_id: member_id.to_owned(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".to_owned(),
                metadata: Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"),
            }],
            ..Default::default()
        };
        let mut answer = client.call(9, &request);
        while answer.error_code == ErrorCode::CoordinatorLoadInProgress.code() {
            std::thread::sleep(Duration::from_millis(10));
            answer = client.call(9, &request);
        }
        (ErrorCode::try_from(answer.error_code).unwrap(), answer.member_id)
    };
    assert_eq!(join(9_999, "").0, ErrorCode::InvalidSessionTimeout);
    assert_eq!(join(20_001, "").0, ErrorCode::InvalidSessionTimeout);
    let (code, member) = join(10_000, "");
    assert_eq!(code, ErrorCode::MemberIdRequired);
    assert_eq!(join(20_000, &member).0, ErrorCode::None);
    let (_, second) = join(20_000, "");
    assert_eq!(join(20_000, &second).0, ErrorCode::GroupMaxSizeReached);

    let mut commit = |metadata: &str| {
        let partition = OffsetCommitRequestPartition {
            committed_metadata: Some(metadata.to_owned()),
            ..Default::default()
        };
        let topics = vec![OffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition] }];
        let request = OffsetCommitRequest { group_id: "other".to_owned(), topics, ..Default::default() };
        ErrorCode::try_from(client.call(8, &request).topics[0].partitions[0].error_code).unwrap()
    };
    until("the group's partition is read", || commit("short") == ErrorCode::None);
    assert_eq!(commit("longer"), ErrorCode::OffsetMetadataTooLarge);
}

#[test]
fn a_broker_listens_where_its_file_says_and_tells_what_its_file_says() {
    let dir = data_dir();
    let file = dir.path().join("server.properties");
    for setting in ["log.dirs", "log.dir"] {
        let data = dir.path().join(setting);
        let text = format!(
            "listeners=CLIENTS://127.0.0.1:0,OTHERS://:9093\n\
             listener.security.protocol.map=CLIENTS:PLAINTEXT,OTHERS:SSL\n\
             controller.listener.names=OTHERS\n\
             advertised.listeners=CLIENTS://broker.example:1234\n\
             metrics.listen=127.0.0.1:0\n\
             {setting}={}\n",
            data.display()
        );
        fs::write(&file, text).unwrap();
        let (broker, _log) = Broker::start_bare(&["--config", file.to_str().unwrap()]);
        let cluster = broker.client().call(2, &DescribeClusterRequest::default());
        let told: Vec<_> = cluster.brokers.iter().map(|broker| (broker.host.as_str(), broker.port)).collect();
        assert_eq!(told, [("broker.example", 1234)]);
        assert_eq!(get(broker.metrics.unwrap(), "/readyz").0, 200);
        assert!(data.join("meta").exists());
    }
}

#[test]
fn what_asks_for_other_nodes_or_for_security_is_refused_with_the_reason() {
    let refusal = |pairs: &[(&str, &str)]| {
        let mut settings = Settings::default();
        for (name, value) in pairs {
            if let Err(error) = settings.set(name, value) {
                return error.to_string();
            }
        }
        BrokerConfig::resolve(settings).map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
    };
    let map = ("listener.security.protocol.map", "IN:PLAINTEXT,OUT:SASL_SSL,CTRL:SSL");
    let maps = ("listener.security.protocol.map", "IN:PLAINTEXT,PLAINTEXT:PLAINTEXT");
    for (pairs, words) in [
        (&[("listeners", "OUT://:1"), map][..], "OUT is SASL_SSL, and there is no TLS"),
        (&[("listeners", "IN://:1,OUT://:2"), map], "OUT is SASL_SSL, and there is no TLS"),
        (&[("listeners", "IN://:1,CTRL://:2"), map], "CTRL is SSL, and there is no TLS"),
        (&[("listeners", "CONTROLLER://:1")], "at least one NAME://HOST:PORT for clients"),
        (&[("listeners", "IN://:1,in://:2"), map], "each name once, and in stands there twice"),
        (&[("listeners", "IN://:1,PLAINTEXT://:1"), maps], "IN and PLAINTEXT have one"),
        (&[("listeners", "IN://:0,PLAINTEXT://:0"), maps], "accepted"),
        (&[("listeners", "IN://:1,PLAINTEXT://:2"), maps, ("advertised.listeners", "IN://h:1")], "accepted"),
        (&[("listeners", "IN://:1,CTRL://:2"), map, ("controller.listener.names", "CTRL")], "accepted"),
        (&[("listeners", "IN://:1")], "expected IN:PLAINTEXT among its pairs"),
        (&[("listeners", "IN://:1"), map, ("advertised.listeners", "OUT://h:1")], "of which OUT is none"),
        (&[("listeners", "in://:1"), map, ("advertised.listeners", "IN://h:1")], "accepted"),
        (&[("listeners", "SSL://:1")], "SSL is SSL, and there is no TLS"),
        (&[("listeners", ":1")], "expected NAME://HOST:PORT"),
        (&[("listener.security.protocol.map", "nonsense")], "expected NAME:PROTOCOL"),
        (&[("process.roles", "broker")], "this node works alone"),
        (&[("process.roles", "controller")], "this node works alone"),
        (&[("process.roles", "controller, broker")], "accepted"),
        (&[("process.roles", "leader")], "expected any of broker, controller"),
        (&[("controller.quorum.voters", "1@a:1,2@b:1")], "it joins no quorum of others"),
        (&[("controller.quorum.voters", "1@a:1")], "accepted"),
        (&[("default.replication.factor", "3")], "expected 1: a single node keeps one replica"),
        (
            &[("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")],
            "requests are not authorized",
        ),
        (&[("create.topic.policy.class.name", "com.example.Policy")], "no classes are loaded"),
        (
            &[("transaction.two.phase.commit.enable", "true")],
            "expected false: no transaction waits for another system",
        ),
        (&[("remote.log.storage.system.enable", "true")], "expected false: there is no tiered storage"),
        (&[("log.cleaner.enable", "false")], "compaction cannot be switched off"),
        (&[("config.providers", "env")], "values are taken as they are written"),
    ] {
        let said = refusal(pairs);
        assert!(said.contains(words), "{pairs:?}: {said}");
        assert!(words == "accepted" || said.split_once('=').is_some(), "it names the setting: {said}");
    }
}

#[test]
fn transactional_ids_keep_to_the_bounds_of_their_broker() {
    let dir = data_dir();
    let options = [
        "transaction.max.timeout.ms=1000",
        "transaction.remove.expired.transaction.cleanup.interval.ms=50",
        "transaction.state.log.num.partitions=3",
        "transaction.state.log.segment.bytes=1048576",
        "transactional.id.expiration.ms=300",
    ];
    let options = options.iter().flat_map(|option| ["-o", option]).collect::<Vec<_>>();
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    let producer = Producer::with_timeout(&broker, "x", Level::New, 1000);
    let longer = InitProducerIdRequest {
        transactional_id: Some("x".to_owned()),
        transaction_timeout_ms: 1001,
        ..Default::default()
    };
    assert_eq!(code(client.call(5, &longer).error_code), ErrorCode::InvalidTransactionTimeout);
    let metadata = client.call(12, &MetadataRequest { topics: None, ..Default::default() });
    let state = metadata.topics.iter().find(|topic| topic.name.as_deref() == Some("__transaction_state"));
    assert_eq!(state.unwrap().partitions.len(), 3);
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: "__transaction_state".to_owned(),
        configuration_keys: Some(vec!["segment.bytes".to_owned()]),
    };
    let described =
        client.call(4, &DescribeConfigsRequest { resources: vec![resource], ..Default::default() });
    assert_eq!(described.results[0].configs[0].value.as_deref(), Some("1048576"));
    until("the id is forgotten", || {
        let transactional_ids = vec!["x".to_owned()];
        let told = client.call(0, &DescribeTransactionsRequest { transactional_ids }).transaction_states;
        code(told[0].error_code) == ErrorCode::TransactionalIdNotFound
    });
    let again = Producer::with_timeout(&broker, "x", Level::New, 1000);
    assert_ne!(again.producer_id, producer.producer_id);
}

#[test]
fn an_open_transaction_is_looked_for_as_often_as_the_broker_says() {
    let seen_after = |interval: &str| {
        let dir = data_dir();
        let option = format!("transaction.abort.timed.out.transaction.cleanup.interval.ms={interval}");
        let broker = Broker::start(dir.path(), &["-o", &option]);
        let mut client = broker.client();
        client.create("t", 1, &[]);
        let mut producer = Producer::with_timeout(&broker, "x", Level::New, 1);
        let since = Instant::now();
        producer.write("t", 0, &["lost"]);
        client.produce("t", 0, batch(&["plain"]));
        sees(&mut client, "t", 0, &["plain"]);
        since.elapsed()
    };
    assert!(seen_after("3000") > Duration::from_millis(1500));
    // Ten seconds are the default.
    assert!(seen_after("20") < Duration::from_secs(8));
}

#[test]
fn a_partition_that_was_not_added_is_refused_unless_the_broker_does_not_ask() {
    for (is_asked, expected) in [("true", ErrorCode::TransactionAbortable), ("false", ErrorCode::None)] {
        let dir = data_dir();
        let option = format!("transaction.partition.verification.enable={is_asked}");
        let broker = Broker::start(dir.path(), &["-o", &option]);
        let mut client = broker.client();
        client.create("t", 1, &[]);
        let mut producer = Producer::begin(&broker, "x", Level::Old);
        let request = producer.produce_request("t", 0, &["a"]);
        let mut answer = client.call(11, &request);
        let partition = answer.responses.remove(0).partition_responses.remove(0);
        assert_eq!(code(partition.error_code), expected);
    }
}

/// While a transaction is being ended, the first batch of the next one waits, up to a bound.
#[test]
fn a_batch_waits_as_long_as_the_broker_says_for_the_transaction_before_it() {
    let dir = data_dir();
    let options = [
        "-o",
        "add.partitions.to.txn.retry.backoff.max.ms=20000",
        "-o",
        "add.partitions.to.txn.retry.backoff.ms=1",
    ];
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    client.create("t", 64, &[]);
    let mut producer = Producer::begin(&broker, "x", Level::New);
    for round in 0..5 {
        for partition in 0..64 {
            producer.write("t", partition, &["a"]);
        }
        producer.commit();
        let request = producer.produce_request("t", 0, &["b"]);
        let mut answer = client.call(12, &request);
        let partition = answer.responses.remove(0).partition_responses.remove(0);
        assert_eq!(code(partition.error_code), ErrorCode::None, "round {round}");
    }
    producer.abort();
    let kept = ["a", "b", "a", "b", "a", "b", "a", "b", "a"];
    until("all is ended", || read(&mut client, "t", 0, true) == kept);
}
