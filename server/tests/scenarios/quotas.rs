//! How much clients may use of the broker: quotas by the wire, in force at once, over a kill, and no more
//! than that.

use std::time::{Duration, Instant};

use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, batch, fetch, produce};
use crate::metrics::get;
use crate::transactions::code;

/// What every client of the tests calls itself.
const CLIENT: &str = "scenarios";

type Parts<'a> = &'a [(&'a str, Option<&'a str>)];

fn entity(parts: Parts<'_>) -> Vec<AlterQuotaEntity> {
    let part = |(kind, name): &(&str, Option<&str>)| AlterQuotaEntity {
        entity_type: (*kind).to_owned(),
        entity_name: name.map(str::to_owned),
    };
    parts.iter().map(part).collect()
}

/// Sets a quota, or removes it.
fn alter(client: &mut Client, parts: Parts<'_>, key: &str, value: Option<f64>) -> ErrorCode {
    let step =
        AlterQuotaStep { key: key.to_owned(), value: value.unwrap_or_default(), remove: value.is_none() };
    let entries = vec![AlterQuota { entity: entity(parts), ops: vec![step] }];
    let told = client.call(1, &AlterClientQuotasRequest { entries, validate_only: false }).entries.remove(0);
    code(told.error_code)
}

fn set(client: &mut Client, parts: Parts<'_>, key: &str, value: f64) {
    assert_eq!(alter(client, parts, key, Some(value)), ErrorCode::None);
}

/// The quotas that are found, as `kind=name ... key=value ...`.
fn described(client: &mut Client, components: &[(&str, i8, &str)], strict: bool) -> Vec<String> {
    let component = |(kind, match_type, name): &(&str, i8, &str)| QuotaComponent {
        entity_type: (*kind).to_owned(),
        match_type: *match_type,
        match_name: Some((*name).to_owned()),
    };
    let components = components.iter().map(component).collect();
    let answer = client.call(1, &DescribeClientQuotasRequest { components, strict });
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    let shown = |found: DescribedQuota| {
        let parts = found.entity.into_iter().map(|part| {
            format!("{}={}", part.entity_type, part.entity_name.as_deref().unwrap_or("<default>"))
        });
        let values = found.values.into_iter().map(|value| format!("{}={}", value.key, value.value));
        parts.chain(values).collect::<Vec<_>>().join(" ")
    };
    answer.entries.unwrap().into_iter().map(shown).collect()
}

#[test]
fn a_producer_is_answered_at_once_and_then_not_listened_to() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--metrics-listen", "127.0.0.1:0"]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let value = "v".repeat(30_000);
    let send = |client: &mut Client| {
        let began = Instant::now();
        let answer = client.call(11, &produce("t", 0, batch(&[&value]), -1));
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        (answer.throttle_time_ms, began.elapsed())
    };
    assert_eq!(send(&mut client).0, 0);
    // 30,000 bytes are what may come in fifteen seconds, and ten of them are taken for granted.
    set(&mut client, &[("client-id", Some(CLIENT))], "producer_byte_rate", 2_000.0);
    let (told, took) = send(&mut client);
    assert!((4_900..=5_300).contains(&told), "{told} ms");
    assert!(took < Duration::from_millis(u64::from(told.unsigned_abs())), "it is answered first: {took:?}");
    let began = Instant::now();
    client.call(12, &MetadataRequest::default());
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(4), "and then not read: {waited:?} of {told} ms");
    // Another connection of the same client shares the quota, and one without it does not.
    assert!(send(&mut broker.client()).0 > 5_000);
    assert_eq!(
        alter(&mut client, &[("client-id", Some(CLIENT))], "producer_byte_rate", None),
        ErrorCode::None
    );
    assert_eq!(send(&mut client).0, 0);
    let metrics = get(broker.metrics.unwrap(), "/metrics").1;
    let throttled = "strandline_throttled_seconds_total{api=\"Produce\",quota=\"producer_byte_rate\"}";
    assert!(metrics.contains(throttled), "{metrics}");
}

#[test]
fn a_consumer_gets_nothing_until_it_may_have_it() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "quota.window.num=2"]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let value = "v".repeat(20_000);
    for _ in 0..4 {
        assert_eq!(client.produce("t", 0, batch(&[&value])).error_code, 0);
    }
    set(&mut client, &[("user", Some("ANONYMOUS"))], "consumer_byte_rate", 45_000.0);
    let mut fetched = |version| {
        let answer = client.fetch(version, &fetch("t", &[(0, 0)]));
        let bytes: usize = answer
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|found| found.records.len())
            .sum();
        (bytes, answer.throttle_time_ms)
    };
    // A window allows 45,000 bytes: two batches of the four, whatever is asked for.
    let (bytes, throttled) = fetched(12);
    assert!((40_000..45_000).contains(&bytes) && throttled == 0, "{bytes} bytes, {throttled} ms");
    let mut waited = 0;
    let began = Instant::now();
    loop {
        let (bytes, throttled) = fetched(12);
        if bytes > 0 {
            break;
        }
        assert!(throttled > 0, "it is told why");
        waited += throttled;
    }
    assert!(waited > 700, "{waited} ms");
    assert!(began.elapsed() > Duration::from_millis(700), "{:?}", began.elapsed());
}

#[test]
fn quotas_are_found_as_they_are_asked_for_and_after_a_kill() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    set(&mut client, &[("user", Some("a"))], "producer_byte_rate", 1_000.0);
    set(&mut client, &[("user", Some("a"))], "consumer_byte_rate", 2_000.0);
    set(&mut client, &[("user", None), ("client-id", Some("x"))], "producer_byte_rate", 3_000.0);
    set(&mut client, &[("client-id", None)], "consumer_byte_rate", 4_000.0);
    set(&mut client, &[("ip", None)], "connection_creation_rate", 5_000.0);
    set(&mut client, &[("ip", Some("::ffff:10.0.0.1"))], "connection_creation_rate", 6_000.0);
    set(&mut client, &[("user", Some("b"))], "request_percentage", 12.5);
    set(&mut client, &[("user", Some("b"))], "controller_mutation_rate", 0.5);
    broker.kill();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    let a = "user=a consumer_byte_rate=2000 producer_byte_rate=1000";
    let both = "user=<default> client-id=x producer_byte_rate=3000";
    let of_clients = "client-id=<default> consumer_byte_rate=4000";
    let b = "user=b controller_mutation_rate=0.5 request_percentage=12.5";
    let addresses = "ip=<default> connection_creation_rate=5000";
    let address = "ip=10.0.0.1 connection_creation_rate=6000";
    assert_eq!(described(&mut client, &[], false), [of_clients, addresses, address, both, a, b]);
    assert_eq!(described(&mut client, &[("user", 2, "")], false), [both, a, b]);
    assert_eq!(described(&mut client, &[("user", 2, "")], true), [a, b]);
    assert_eq!(described(&mut client, &[("user", 0, "a")], true), [a]);
    assert_eq!(described(&mut client, &[("user", 1, "")], false), [both]);
    assert_eq!(described(&mut client, &[("user", 2, ""), ("client-id", 0, "x")], true), [both]);
    assert_eq!(described(&mut client, &[("ip", 2, "")], false), [addresses, address]);
    assert_eq!(described(&mut client, &[("ip", 1, "")], true), [addresses]);
    assert_eq!(described(&mut client, &[("ip", 0, "::ffff:10.0.0.1")], true), [address], "it has one form");
    assert_eq!(alter(&mut client, &[("user", Some("a"))], "producer_byte_rate", None), ErrorCode::None);
    assert_eq!(alter(&mut client, &[("user", Some("a"))], "consumer_byte_rate", None), ErrorCode::None);
    assert_eq!(described(&mut client, &[], false), [of_clients, addresses, address, both, b]);
}

#[test]
fn a_quota_that_cannot_be_is_refused() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    let user: Parts<'_> = &[("user", Some("a"))];
    for (parts, key, value) in [
        (user, "producer_byte_rate", 0.0),
        (user, "producer_byte_rate", -5.0),
        (user, "producer_byte_rate", 1.5),
        (user, "producer_byte_rate", f64::NAN),
        (user, "request_percentage", 0.0),
        (user, "controller_mutation_rate", f64::INFINITY),
        (user, "connection_creation_rate", 50.0),
        (user, "nonsense", 50.0),
        (&[], "producer_byte_rate", 50.0),
        (&[("ip", Some("10.0.0.1"))], "connection_creation_rate", 1.5),
        (&[("ip", Some("10.0.0.1"))], "producer_byte_rate", 50.0),
        (&[("ip", Some("localhost"))], "connection_creation_rate", 50.0),
        (&[("ip", Some("10.0.0.1")), ("user", None)], "connection_creation_rate", 50.0),
        (&[("planet", Some("mars"))], "producer_byte_rate", 50.0),
        (&[("user", Some("a")), ("user", None)], "producer_byte_rate", 50.0),
        (&[("user", Some("a\nb"))], "producer_byte_rate", 50.0),
    ] {
        let told = alter(&mut client, parts, key, Some(value));
        assert_eq!(told, ErrorCode::InvalidRequest, "{parts:?} {key}={value}");
    }
    let step = AlterQuotaStep { key: "producer_byte_rate".to_owned(), value: 5.0, remove: false };
    let entries = vec![AlterQuota { entity: entity(user), ops: vec![step] }];
    let told = client.call(1, &AlterClientQuotasRequest { entries, validate_only: true }).entries.remove(0);
    assert_eq!(told.error_code, 0);
    assert!(described(&mut client, &[], false).is_empty(), "it was only looked at");
}

#[test]
fn the_windows_are_those_of_the_broker() {
    let dir = data_dir();
    let more = ["-o", "quota.window.num=2", "-o", "quota.window.size.seconds=1"];
    let broker = Broker::start(dir.path(), &more);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    set(&mut client, &[("client-id", None)], "producer_byte_rate", 10_000.0);
    let value = "v".repeat(15_000);
    let answer = client.call(11, &produce("t", 0, batch(&[&value]), -1));
    // Half a second more than the one whole window allows; eleven windows would allow it all.
    assert!((400..=700).contains(&answer.throttle_time_ms), "{} ms", answer.throttle_time_ms);
}

/// Creates topics with so many partitions each; gives the codes, and for how long to be silent.
fn create(client: &mut Client, version: i16, topics: &[(&str, i32)]) -> (Vec<ErrorCode>, i32) {
    let topics = topics.iter().map(|(name, num_partitions)| CreatableTopic {
        name: (*name).to_owned(),
        num_partitions: *num_partitions,
        replication_factor: 1,
        ..Default::default()
    });
    let request = CreateTopicsRequest { topics: topics.collect(), timeout_ms: 30_000, validate_only: false };
    let answer = client.call(version, &request);
    (answer.topics.iter().map(|topic| code(topic.error_code)).collect(), answer.throttle_time_ms)
}

#[test]
fn who_changes_too_many_partitions_is_refused_and_one_that_does_not_know_the_code_is_served_and_waits() {
    let dir = data_dir();
    let more = ["-o", "controller.quota.window.num=4", "-o", "controller.quota.window.size.seconds=2"];
    let broker = Broker::start(dir.path(), &more);
    let mut client = broker.client();
    set(&mut client, &[("user", Some("ANONYMOUS"))], "controller_mutation_rate", 0.5);
    // A bucket holds 4 x 2 s x 0.5; what is taken last may be more than is left.
    let asked = [("a", 3), ("a-", 0), ("b", 2), ("c", 1)];
    let (codes, throttled) = create(&mut client, 7, &asked);
    let (none, exceeded) = (ErrorCode::None, ErrorCode::ThrottlingQuotaExceeded);
    assert_eq!(codes, [none, ErrorCode::InvalidPartitions, none, exceeded]);
    assert!((1_000..=2_000).contains(&throttled), "one partition is owed, for two seconds: {throttled} ms");
    let began = Instant::now();
    assert_eq!(create(&mut client, 7, &[("a", 1)]).0, [ErrorCode::TopicAlreadyExists], "which costs nothing");
    assert!(began.elapsed() >= Duration::from_millis(900), "it was not listened to: {:?}", began.elapsed());
    // What was owed is paid.
    assert_eq!(create(&mut client, 7, &[("c", 2)]), (vec![none], 0));
    let grow = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { name: "a".to_owned(), count: 5, assignments: None }],
        timeout_ms: 30_000,
        validate_only: false,
    };
    let answer = client.call(3, &grow);
    assert_eq!(code(answer.results[0].error_code), exceeded);
    assert!(answer.throttle_time_ms > 2_000, "{} ms", answer.throttle_time_ms);
    let mut client = broker.client();
    let delete = DeleteTopicsRequest { topic_names: vec!["b".to_owned()], ..Default::default() };
    let answer = client.call(5, &delete);
    assert_eq!(code(answer.responses[0].error_code), exceeded);
    // An older client is served, and told to wait.
    let mut client = broker.client();
    let answer = client.call(4, &delete);
    assert_eq!(code(answer.responses[0].error_code), none);
    assert!(answer.throttle_time_ms > 5_000, "{} ms", answer.throttle_time_ms);
    // A topic that is made by being asked for is one as well.
    let mut client = broker.client();
    let topics = vec![MetadataRequestTopic { name: Some("d".to_owned()), ..Default::default() }];
    let request =
        MetadataRequest { topics: Some(topics), allow_auto_topic_creation: true, ..Default::default() };
    assert_eq!(code(client.call(12, &request).topics[0].error_code), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn an_address_that_connects_too_often_has_connections_held_and_closed_and_holds_nobody_up() {
    let dir = data_dir();
    let more = ["--metrics-listen", "127.0.0.1:0", "-o", "quota.window.num=3"];
    let broker = Broker::start(dir.path(), &more);
    let mut client = broker.client();
    set(&mut client, &[("ip", Some("127.0.0.1"))], "connection_creation_rate", 2.0);
    // Two windows allow four; two more are held for up to a window, and not answered.
    let asks = |client: &mut Client| client.call(12, &MetadataRequest::default()).brokers.len();
    for _ in 0..4 {
        assert_eq!(asks(&mut broker.client()), 1);
    }
    let began = Instant::now();
    for mut held in [broker.client(), broker.client()] {
        assert_eq!(asks(&mut client), 1, "who is connected goes on");
        assert!(held.is_closed());
    }
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    let metrics = get(broker.metrics.unwrap(), "/metrics").1;
    let held = metrics.lines().filter(|line| line.starts_with("strandline_connections_held_total{"));
    let held: f64 = held.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum();
    assert_eq!(held, 2.0);
    assert_eq!(
        alter(&mut client, &[("ip", Some("127.0.0.1"))], "connection_creation_rate", None),
        ErrorCode::None
    );
    assert_eq!(asks(&mut broker.client()), 1);
}

#[test]
fn who_takes_more_of_a_thread_than_it_may_is_answered_and_then_not_listened_to() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--metrics-listen", "127.0.0.1:0", "-o", "quota.window.num=2"]);
    let mut client = broker.client();
    // A hundred thousandth of a second in a second: any request takes more, however seldom it is this
    // client's turn.
    set(&mut client, &[("client-id", Some(CLIENT))], "request_percentage", 0.001);
    let took = |client: &mut Client| {
        let began = Instant::now();
        client.call(12, &MetadataRequest { topics: None, ..Default::default() });
        began.elapsed()
    };
    let began = Instant::now();
    while took(&mut client) < Duration::from_millis(200) {
        assert!(began.elapsed() < crate::client::PATIENCE, "it is never held");
    }
    let metrics = get(broker.metrics.unwrap(), "/metrics").1;
    let throttled = "strandline_throttled_seconds_total{api=\"Metadata\",quota=\"request_percentage\"}";
    assert!(metrics.contains(throttled), "{metrics}");
    set(&mut client, &[("client-id", Some(CLIENT))], "request_percentage", 100.0);
    took(&mut client);
    let request = MetadataRequest { topics: None, ..Default::default() };
    let held = (0..50).map(|_| client.call(12, &request).throttle_time_ms);
    assert_eq!(held.collect::<Vec<_>>(), [0; 50], "a whole thread is enough");
}
