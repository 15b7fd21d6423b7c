//! Every setting that claims an effect has a test that sees it: [`SEEN`] names one for each, and a setting
//! without a row fails.
//!
//! The tests here are for settings whose effect no other test looks at. A setting without an effect says so
//! in its documentation, which `kafka_settings.rs` holds it to.

mod seen;
mod share;
mod streams;
mod tls;

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
use seen::SEEN;
use strandline_engine::types::Timestamp;

#[test]
fn every_setting_with_an_effect_has_a_test_that_sees_it() {
    let of_topics = TOPIC_CONFIGS.iter().filter(|entry| entry.has_effect);
    let claimed: BTreeSet<&str> = of_topics.chain(BROKER_CONFIGS).map(|entry| entry.name).collect();
    let rows = || SEEN.iter().chain(share::SEEN).chain(streams::SEEN).chain(tls::SEEN);
    let seen: BTreeSet<&str> = rows().map(|(name, ..)| *name).collect();
    assert_eq!(seen.len(), rows().count(), "a setting has one row");
    let unseen: Vec<_> = claimed.difference(&seen).collect();
    assert!(unseen.is_empty(), "no test sees the effect of {unseen:?}: write one and name it here");
    let idle: Vec<_> = seen.difference(&claimed).collect();
    assert!(idle.is_empty(), "{idle:?} claim no effect");
    for (name, file, test, word) in rows() {
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
        (&[("listeners", "OUT://:1"), map][..], "expected mechanisms among PLAIN"),
        (&[("listeners", "IN://:1"), ("listener.security.protocol.map", "IN:TLS")], "behind IN, and not TLS"),
        (&[("listeners", "CONTROLLER://:1")], "at least one NAME://HOST:PORT for clients"),
        (&[("listeners", "IN://:1,in://:2"), map], "each name once, and in stands there twice"),
        (&[("listeners", "IN://:1,PLAINTEXT://:1"), maps], "IN and PLAINTEXT have one"),
        (&[("listeners", "IN://:0,PLAINTEXT://:0"), maps], "accepted"),
        (&[("listeners", "IN://:1,PLAINTEXT://:2"), maps, ("advertised.listeners", "IN://h:1")], "accepted"),
        (&[("listeners", "IN://:1,CTRL://:2"), map, ("controller.listener.names", "CTRL")], "accepted"),
        (&[("listeners", "IN://:1")], "expected IN:PLAINTEXT among its pairs"),
        (&[("listeners", "IN://:1"), map, ("advertised.listeners", "OUT://h:1")], "of which OUT is none"),
        (&[("listeners", "in://:1"), map, ("advertised.listeners", "IN://h:1")], "accepted"),
        (&[("listeners", ":1")], "expected NAME://HOST:PORT"),
        (&[("listener.security.protocol.map", "nonsense")], "expected NAME:PROTOCOL"),
        (&[("process.roles", "broker")], "this node works alone"),
        (&[("process.roles", "controller")], "this node works alone"),
        (&[("process.roles", "controller, broker")], "accepted"),
        (&[("process.roles", "leader")], "expected any of broker, controller"),
        (&[("controller.quorum.voters", "1@a:1,2@b:1")], "it joins no quorum of others"),
        (&[("controller.quorum.voters", "1@a:1")], "accepted"),
        (&[("default.replication.factor", "3")], "expected 1: a single node keeps one replica"),
        (&[("authorizer.class.name", "kafka.security.authorizer.AclAuthorizer")], "StandardAuthorizer"),
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
    let with_open_one = |interval: &str| {
        let dir = data_dir();
        let option = format!("transaction.abort.timed.out.transaction.cleanup.interval.ms={interval}");
        let broker = Broker::start(dir.path(), &["-o", &option]);
        let mut client = broker.client();
        client.create("t", 1, &[]);
        // Long enough to write in it, wherever the machine is busy.
        let mut producer = Producer::with_timeout(&broker, "x", Level::New, 1500);
        producer.write("t", 0, &["lost"]);
        client.produce("t", 0, batch(&["plain"]));
        (dir, broker, client)
    };
    let (_dir, _broker, mut client) = with_open_one("60000");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(read(&mut client, "t", 0, true), [""; 0], "nobody has looked for it yet");
    let (_dir, _broker, mut client) = with_open_one("20");
    // Ten seconds are the default.
    let since = Instant::now();
    sees(&mut client, "t", 0, &["plain"]);
    assert!(since.elapsed() < Duration::from_secs(8));
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
