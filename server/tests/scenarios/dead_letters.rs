//! Dead letter queues of share groups (KIP-1191) through the protocol: what goes there, with what, when it
//! may not, and what a kill leaves of it.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::format::record::Records;
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, PATIENCE, batch, fetch, now};
use crate::consumer_groups::set;
use crate::metrics::get;
use crate::share_groups::{
    ACCEPT, GROUP, GROUPS, Member, REJECT, RELEASE, TOPIC, find_coordinator, offsets, progress,
};
use crate::transactions::{Level, Producer};

const QUEUE: &str = "dlq.g";
const NAME: &str = "errors.deadletterqueue.topic.name";
const COPIES: &str = "errors.deadletterqueue.copy.record.enable";
const ENABLED: &str = "errors.deadletterqueue.group.enable";
const PREFIX: &str = "errors.deadletterqueue.topic.name.prefix";
const CREATES: &str = "errors.deadletterqueue.auto.create.topics.enable";

const TOPICS: i8 = 2;
const BROKERS: i8 = 4;

/// A record of a queue.
#[derive(Debug, PartialEq)]
struct Letter {
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, String)>,
}

impl Letter {
    fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        &found.next_back().unwrap_or_else(|| panic!("{self:?} has no {name}")).1
    }

    fn offset(&self) -> i64 {
        self.header("__dlq.errors.offset").parse().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What is in a partition of a queue.
fn letters(client: &mut Client, queue: &str, partition: i32) -> Vec<Letter> {
    let mut letters = Vec::new();
    let mut next = 0;
    loop {
        let answer = client.fetch(12, &fetch(queue, &[(partition, next)]));
        let data = &answer.responses[0].partitions[0];
        let before = next;
        for batch in Batches::new(&data.records) {
            let (header, batch) = batch.unwrap();
            next = header.next_offset().get();
            for record in Records::new(&batch[BATCH_HEADER_BYTES..], header.record_count() as u32) {
                let record = record.unwrap();
                let headers = record.headers.map(Result::unwrap);
                letters.push(Letter {
                    key: record.key.map(text),
                    value: record.value.map(text),
                    headers: headers
                        .map(|(name, value)| (text(name), text(value.unwrap_or(b"(null)"))))
                        .collect(),
                });
            }
        }
        if next == before {
            return letters;
        }
    }
}

/// Waits for so many letters.
fn wait_for(client: &mut Client, queue: &str, count: usize) -> Vec<Letter> {
    let begun = Instant::now();
    loop {
        let found = letters(client, queue, 0);
        if found.len() >= count {
            assert_eq!(found.len(), count, "{found:?}");
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{} of {count} dead letters: {found:?}", found.len());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until everything before an offset is done with.
fn wait_for_start(client: &mut Client, start: i64) {
    let begun = Instant::now();
    while progress(client).0 != start {
        assert!(begun.elapsed() < PATIENCE, "{:?} where {start} was to be the start", progress(client));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn metric(broker: &Broker, name: &str) -> u64 {
    let (_, body) = get(broker.metrics.unwrap(), "/metrics");
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// A broker with a topic and a group that begins at its first record, and settings of the group.
fn start(group: &[(&str, &str)]) -> (tempfile::TempDir, Broker, Client) {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--metrics-listen", "127.0.0.1:0"]);
    let mut client = broker.client();
    client.create(TOPIC, 1, &[]);
    for (name, value) in [("share.auto.offset.reset", "earliest")].iter().chain(group) {
        assert_eq!(set(&mut client, GROUPS, GROUP, name, Some(value)), ErrorCode::None, "{name}");
    }
    (dir, broker, client)
}

fn context(offset: i64, deliveries: u16, message: &str) -> Vec<(String, String)> {
    let headers = [
        ("topic", TOPIC.to_owned()),
        ("partition", "0".to_owned()),
        ("offset", offset.to_string()),
        ("group", GROUP.to_owned()),
        ("delivery.count", deliveries.to_string()),
        ("message", message.to_owned()),
    ];
    headers.map(|(name, value)| (format!("__dlq.errors.{name}"), value)).to_vec()
}

const REJECTED: &str = "Offset rejected by client.";
const UNDELIVERED: &str = "Offset delivery count exceeded the threshold.";

#[test]
fn d9_what_is_rejected_or_comes_back_too_often_is_in_the_queue_whatever_is_killed() {
    let (dir, broker, mut client) = start(&[(NAME, QUEUE), ("share.delivery.count.limit", "2")]);
    client.create(QUEUE, 1, &[(ENABLED, "true")]);
    client.produce(TOPIC, 0, batch(&["0", "1", "2", "3"]));
    let mut a = Member::join(&broker, "a");
    assert_eq!(offsets(&a.fetch(1000)), [0, 1, 2, 3]);
    assert_eq!(a.acknowledge(&[(0, 1, 1, REJECT)]), [ErrorCode::None]);
    let none = Letter { key: None, value: None, headers: context(1, 1, REJECTED) };
    assert_eq!(wait_for(&mut client, QUEUE, 1), [none]);
    assert_eq!(a.acknowledge(&[(0, 2, 2, RELEASE)]), [ErrorCode::None]);
    assert_eq!(offsets(&a.fetch(20_000)), [2]);
    assert_eq!(a.acknowledge(&[(0, 2, 2, RELEASE)]), [ErrorCode::None]);
    assert_eq!(wait_for(&mut client, QUEUE, 2)[1].headers, context(2, 2, UNDELIVERED));
    assert_eq!(a.acknowledge(&[(0, 3, 3, REJECT)]), [ErrorCode::None]);
    broker.kill();

    let broker = Broker::start(dir.path(), &["--metrics-listen", "127.0.0.1:0"]);
    let mut client = broker.client();
    let mut b = Member::join(&broker, "b");
    assert_eq!(offsets(&b.fetch(20_000)), [0], "nothing else comes again");
    assert_eq!(b.acknowledge(&[(0, 0, 0, ACCEPT)]), [ErrorCode::None]);
    wait_for_start(&mut client, 4);
    let found = letters(&mut client, QUEUE, 0);
    let mut seen: Vec<_> = found.iter().map(Letter::offset).collect();
    // The kill may have come between the dead letter and the note of it.
    seen.dedup();
    assert_eq!(seen, [1, 2, 3], "{found:?}");
    assert_eq!(found.last().unwrap().headers, context(3, 1, REJECTED));
    assert_eq!(metric(&broker, "strandline_dead_letters_waiting"), 0);
}

/// A packed batch with a record that has everything, a tombstone without a key, and one that is large.
fn various() -> BytesMut {
    let mut various = BatchBuilder::new(Codec::Zstd);
    let headers =
        [("trace", Some(&b"7"[..])), ("__dlq.errors.topic", Some(&b"elsewhere"[..])), ("none", None)];
    various.push(now(), Some(b"key"), Some(b"value"), &headers);
    various.push(now(), None, None, &[]);
    let large: Vec<u8> = (0..3000).map(|at| b'a' + (at * at % 26) as u8).collect();
    various.push(now(), Some(b"large"), Some(&large), &[]);
    various.build()
}

#[test]
fn a_dead_letter_has_what_its_record_has_where_that_is_asked_for_and_fits() {
    let (_dir, broker, mut client) = start(&[(NAME, QUEUE), (COPIES, "true")]);
    client.create(QUEUE, 1, &[(ENABLED, "true"), ("max.message.bytes", "1000")]);
    client.produce(TOPIC, 0, various());
    let mut producer = Producer::begin(&broker, "p", Level::New);
    producer.write(TOPIC, 0, &["committed"]);
    producer.commit();
    client.produce(TOPIC, 0, batch(&["last"]));
    let mut a = Member::join(&broker, "a");
    let mut given = a.acquire(1000);
    while given.len() < 5 {
        given.extend(a.acquire(1000));
    }
    assert_eq!(given, [0, 1, 2, 3, 5], "4 is the marker");
    assert_eq!(a.acknowledge(&[(0, 0, 3, REJECT)]), [ErrorCode::None]);
    assert_eq!(a.acknowledge(&[(0, 5, 5, REJECT)]), [ErrorCode::None]);
    let found = wait_for(&mut client, QUEUE, 5);
    let own = [("trace", "7"), ("__dlq.errors.topic", "elsewhere"), ("none", "(null)")];
    let own: Vec<_> = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let content = |letter: &Letter| (letter.key.clone(), letter.value.clone());
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(found[0].headers, [own, context(0, 1, REJECTED)].concat(), "its own come first");
    let contents: Vec<_> = found.iter().map(content).collect();
    let nothing = (None, None);
    assert_eq!(
        contents,
        [
            (some("key"), some("value")),
            nothing.clone(),
            nothing,
            (None, some("committed")),
            (None, some("last")),
        ]
    );
    assert_eq!(found[2].headers, context(2, 1, REJECTED), "too large for the queue");
    assert_eq!(metric(&broker, "strandline_dead_letters_total"), 5);
    assert_eq!(metric(&broker, "strandline_dead_letters_without_record_total"), 1);

    // What the log has lost goes without, and is not lost itself.
    assert_eq!(set(&mut client, GROUPS, GROUP, NAME, Some("dlq.later")), ErrorCode::None);
    client.produce(TOPIC, 0, batch(&["gone"]));
    assert_eq!(offsets(&a.fetch(20_000)), [6]);
    assert_eq!(a.acknowledge(&[(0, 6, 6, REJECT)]), [ErrorCode::None]);
    let partition = DeleteRecordsPartition { partition_index: 0, offset: 7 };
    let topic = DeleteRecordsTopic { name: TOPIC.to_owned(), partitions: vec![partition] };
    let deleted = client.call(2, &DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000 });
    assert_eq!(deleted.topics[0].partitions[0].error_code, 0);
    client.produce(TOPIC, 0, batch(&["after"]));
    assert_eq!(offsets(&a.fetch(20_000)), [7]);
    assert_eq!(progress(&mut client).0, 6, "it is not a dead letter yet");
    client.create("dlq.later", 1, &[(ENABLED, "true")]);
    let found = wait_for(&mut client, "dlq.later", 1);
    assert_eq!((content(&found[0]), found[0].offset()), ((None, None), 6));
}

#[test]
fn d9_a_record_stays_until_its_queue_may_be_written_and_its_group_is_told_of_nothing() {
    let (dir, broker, mut client) = start(&[(NAME, "queue")]);
    client.produce(TOPIC, 0, batch(&["0", "1"]));
    let mut a = Member::join(&broker, "a");
    assert_eq!(offsets(&a.fetch(1000)), [0, 1]);
    assert_eq!(a.acknowledge(&[(0, 0, 0, REJECT)]), [ErrorCode::None]);
    let failures = |broker: &Broker| metric(broker, "strandline_dead_letter_failures_total");
    let fails_again = |broker: &Broker, why: &str| {
        let (before, begun) = (failures(broker), Instant::now());
        while failures(broker) == before {
            assert!(begun.elapsed() < PATIENCE, "{why}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(metric(broker, "strandline_dead_letters_waiting"), 1, "{why}");
    };
    fails_again(&broker, "there is no such topic");
    assert_eq!(a.acknowledge(&[(0, 1, 1, ACCEPT)]), [ErrorCode::None], "all else goes on");
    client.create("queue", 1, &[]);
    fails_again(&broker, "the topic does not allow it");
    assert_eq!(set(&mut client, TOPICS, "queue", ENABLED, Some("true")), ErrorCode::None);
    fails_again(&broker, "it is not called as queues are");
    assert_eq!(progress(&mut client), (0, 1));
    assert_eq!(letters(&mut client, "queue", 0), []);
    broker.kill();

    let broker = Broker::start(dir.path(), &["--metrics-listen", "127.0.0.1:0"]);
    let mut client = broker.client();
    let mut b = Member::join(&broker, "b");
    assert_eq!(b.fetch(500), []);
    assert_eq!(progress(&mut client).0, 0);
    assert_eq!(set(&mut client, BROKERS, "", PREFIX, Some("que")), ErrorCode::None);
    assert_eq!(wait_for(&mut client, "queue", 1)[0].headers, context(0, 1, REJECTED));
    wait_for_start(&mut client, 2);
    assert_eq!(letters(&mut client, "queue", 0).len(), 1);
}

#[test]
fn a_group_without_a_queue_any_more_lets_go_of_what_waits_for_it() {
    let (_dir, broker, mut client) = start(&[(NAME, QUEUE)]);
    client.produce(TOPIC, 0, batch(&["0"]));
    let mut a = Member::join(&broker, "a");
    assert_eq!(offsets(&a.fetch(1000)), [0]);
    assert_eq!(a.acknowledge(&[(0, 0, 0, REJECT)]), [ErrorCode::None]);
    assert_eq!(progress(&mut client), (0, 1));
    assert_eq!(set(&mut client, GROUPS, GROUP, NAME, None), ErrorCode::None);
    wait_for_start(&mut client, 1);
}

#[test]
fn a_queue_is_created_where_the_broker_allows_it_and_takes_the_partition_of_its_record() {
    let dir = data_dir();
    let options = ["-o", "num.partitions=2", "-o", "errors.deadletterqueue.auto.create.topics.enable=true"];
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    client.create(TOPIC, 3, &[]);
    for (name, value) in [("share.auto.offset.reset", "earliest"), (NAME, QUEUE)] {
        assert_eq!(set(&mut client, GROUPS, GROUP, name, Some(value)), ErrorCode::None);
    }
    (0..3).for_each(|partition| drop(client.produce(TOPIC, partition, batch(&["x"]))));
    let mut a = Member::join(&broker, "a");
    let (mut given, begun) = (Vec::new(), Instant::now());
    while given.len() < 3 {
        assert!(begun.elapsed() < PATIENCE);
        given.extend(a.fetch(1000));
    }
    let said: Vec<_> = (0..3).map(|partition| (partition, 0, 0, REJECT)).collect();
    assert_eq!(a.acknowledge(&said), [ErrorCode::None; 3]);
    let begun = Instant::now();
    let of_partitions = |client: &mut Client| {
        [0, 1].map(|partition| {
            let found = letters(client, QUEUE, partition);
            let mut from: Vec<_> =
                found.iter().map(|letter| letter.header("__dlq.errors.partition").to_owned()).collect();
            from.sort();
            from
        })
    };
    while of_partitions(&mut client) != [vec!["0".to_owned(), "2".to_owned()], vec!["1".to_owned()]] {
        assert!(begun.elapsed() < PATIENCE, "{:?}", of_partitions(&mut client));
        std::thread::sleep(Duration::from_millis(20));
    }
    let resource = DescribeConfigsResource {
        resource_type: TOPICS,
        resource_name: QUEUE.to_owned(),
        configuration_keys: Some(vec![ENABLED.to_owned()]),
    };
    let configs = client.call(4, &DescribeConfigsRequest { resources: vec![resource], ..Default::default() });
    assert_eq!(configs.results[0].configs[0].value.as_deref(), Some("true"));
    assert_eq!(set(&mut client, BROKERS, "", CREATES, Some("false")), ErrorCode::None, "while it runs");
}

#[test]
fn a_record_of_the_queue_itself_does_not_go_there_again() {
    let (_dir, broker, mut client) = start(&[(NAME, TOPIC)]);
    assert_eq!(set(&mut client, TOPICS, TOPIC, ENABLED, Some("true")), ErrorCode::None);
    assert_eq!(set(&mut client, BROKERS, "", PREFIX, Some("")), ErrorCode::None);
    client.produce(TOPIC, 0, batch(&["0", "1"]));
    let mut a = Member::join(&broker, "a");
    assert_eq!(offsets(&a.fetch(1000)), [0, 1]);
    assert_eq!(a.acknowledge(&[(0, 0, 1, REJECT)]), [ErrorCode::None]);
    wait_for_start(&mut client, 2);
    assert_eq!(progress(&mut client), (2, 0), "nothing came behind them");
}

#[test]
fn names_that_no_queue_can_have_are_refused() {
    let (_dir, _broker, mut client) = start(&[]);
    for refused in ["__consumer_offsets", "__x", "a b", "..", &"x".repeat(250)] {
        let said = set(&mut client, GROUPS, GROUP, NAME, Some(refused));
        assert_eq!(said, ErrorCode::InvalidConfig, "{refused}");
    }
    for taken in ["dlq.x", "other", ""] {
        assert_eq!(set(&mut client, GROUPS, GROUP, NAME, Some(taken)), ErrorCode::None, "{taken}");
    }
}

fn share_version(client: &mut Client) -> (i16, i64) {
    let (client_software_name, client_software_version) = ("t".to_owned(), "1".to_owned());
    let told = client.call(4, &ApiVersionsRequest { client_software_name, client_software_version });
    let found = told.finalized_features.iter().find(|feature| feature.name == "share.version").unwrap();
    (found.max_version_level, told.finalized_features_epoch)
}

fn update(client: &mut Client, level: i16, upgrade_type: i8, validate_only: bool) -> ErrorCode {
    let feature = "share.version".to_owned();
    let update = FeatureUpdateKey { feature, max_version_level: level, upgrade_type, ..Default::default() };
    let request =
        UpdateFeaturesRequest { feature_updates: vec![update], validate_only, ..Default::default() };
    ErrorCode::try_from(client.call(2, &request).error_code).unwrap()
}

#[test]
fn d9_with_share_version_1_there_are_no_dead_letters_and_the_level_outlives_a_kill() {
    let (dir, broker, mut client) = start(&[(NAME, QUEUE)]);
    client.create(QUEUE, 1, &[(ENABLED, "true")]);
    let (level, epoch) = share_version(&mut client);
    assert_eq!(level, 2);
    assert_eq!(update(&mut client, 1, 1, false), ErrorCode::InvalidUpdateVersion, "that is no upgrade");
    assert_eq!(update(&mut client, 0, 3, false), ErrorCode::InvalidUpdateVersion);
    assert_eq!(update(&mut client, 1, 2, true), ErrorCode::None);
    assert_eq!(share_version(&mut client), (2, epoch), "it was only to be looked at");
    assert_eq!(update(&mut client, 1, 2, false), ErrorCode::None);
    let lowered = share_version(&mut client);
    assert!(lowered.0 == 1 && lowered.1 > epoch, "{lowered:?}");
    // Settings that are replaced as a whole leave it alone.
    let resource = AlterConfigsResource { resource_type: BROKERS, ..Default::default() };
    let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
    assert_eq!(client.call(2, &request).responses[0].error_code, 0);
    broker.kill();

    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    assert_eq!(share_version(&mut client), lowered);
    client.produce(TOPIC, 0, batch(&["0", "1"]));
    find_coordinator(&mut client);
    let mut a = Member::join(&broker, "a");
    assert_eq!(offsets(&a.fetch(1000)), [0, 1]);
    assert_eq!(a.acknowledge(&[(0, 0, 0, REJECT)]), [ErrorCode::None]);
    assert_eq!(progress(&mut client), (1, 1), "it is archived at once");
    assert_eq!(update(&mut client, 2, 1, false), ErrorCode::None);
    assert_eq!(a.acknowledge(&[(0, 1, 1, REJECT)]), [ErrorCode::None]);
    assert_eq!(wait_for(&mut client, QUEUE, 1)[0].offset(), 1);
}
