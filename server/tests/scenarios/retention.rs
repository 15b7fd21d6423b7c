//! Records that go: DeleteRecords, retention; and topics that change while they are used.

use std::time::{Duration, Instant};

use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, PATIENCE, batch, fetch};

fn delete_records(client: &mut Client, topic: &str, offset: i64) -> (i16, i64) {
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset }];
    let topics = vec![DeleteRecordsTopic { name: topic.to_owned(), partitions }];
    let response = client.call(2, &DeleteRecordsRequest { topics, timeout_ms: 1000 });
    let answer = &response.topics[0].partitions[0];
    (answer.error_code, answer.low_watermark)
}

fn earliest(client: &mut Client, topic: &str) -> i64 {
    let partitions = vec![ListOffsetsPartition { timestamp: -2, ..Default::default() }];
    let topics = vec![ListOffsetsTopic { name: topic.to_owned(), partitions }];
    client.call(7, &ListOffsetsRequest { topics, ..Default::default() }).topics[0].partitions[0].offset
}

/// IncrementalAlterConfigs of one topic: operation, name, value. The code and the words of the answer.
fn alter(client: &mut Client, topic: &str, changes: &[(i8, &str, Option<&str>)], dry: bool) -> (i16, String) {
    let configs = changes.iter().map(|(config_operation, name, value)| IncrementalAlterableConfig {
        name: (*name).to_owned(),
        config_operation: *config_operation,
        value: value.map(str::to_owned),
    });
    let resource = IncrementalAlterConfigsResource {
        resource_type: 2,
        resource_name: topic.to_owned(),
        configs: configs.collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: dry };
    let answer = client.call(1, &request).responses.remove(0);
    (answer.error_code, answer.error_message.unwrap_or_default())
}

/// The value in force and its source.
fn setting(client: &mut Client, topic: &str, name: &str) -> (String, i8) {
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: topic.to_owned(),
        configuration_keys: Some(vec![name.to_owned()]),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let config = client.call(4, &request).results.remove(0).configs.remove(0);
    (config.value.unwrap(), config.config_source)
}

fn size(client: &mut Client, topic: &str) -> i64 {
    let topics = Some(vec![DescribableLogDirTopic { topic: topic.to_owned(), partitions: vec![0, 77] }]);
    let result = client.call(4, &DescribeLogDirsRequest { topics }).results.remove(0);
    assert!(result.total_bytes > result.usable_bytes && result.usable_bytes > 0);
    assert_eq!(result.topics[0].partitions.len(), 1, "a partition that is not there is left out");
    result.topics[0].partitions[0].partition_size
}

#[test]
fn deleted_records_are_gone_for_good_and_their_room_is_free() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--shards", "2"]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    client.create("keyed", 1, &[("cleanup.policy", "compact")]);
    for _ in 0..3 {
        client.produce("t", 0, batch(&["a", "b"]));
    }
    assert_eq!(delete_records(&mut client, "t", 7), (ErrorCode::OffsetOutOfRange.code(), -1));
    assert_eq!(delete_records(&mut client, "t", -2), (ErrorCode::OffsetOutOfRange.code(), -1));
    assert_eq!(delete_records(&mut client, "u", 0), (ErrorCode::UnknownTopicOrPartition.code(), -1));
    assert_eq!(delete_records(&mut client, "keyed", 0), (ErrorCode::PolicyViolation.code(), -1));
    assert_eq!(delete_records(&mut client, "t", 3), (0, 3));
    assert_eq!(delete_records(&mut client, "t", 1), (0, 3), "it never goes back");
    assert_eq!(earliest(&mut client, "t"), 3);
    for version in [11, 17] {
        let mut request = fetch("t", &[(0, 2)]);
        request.topics[0].topic_id = client
            .call(12, &MetadataRequest { topics: None, ..Default::default() })
            .topics
            .iter()
            .find(|topic| topic.name.as_deref() == Some("t"))
            .unwrap()
            .topic_id;
        let response = client.fetch(version, &request);
        let refused = &response.responses[0].partitions[0];
        assert_eq!((refused.error_code, refused.log_start_offset), (ErrorCode::OffsetOutOfRange.code(), 3));
    }
    assert!(size(&mut client, "t") > 0);
    broker.kill();

    let broker = Broker::start(dir.path(), &["--shards", "1"]);
    let mut client = broker.client();
    assert_eq!(earliest(&mut client, "t"), 3);
    assert_eq!(delete_records(&mut client, "t", -1), (0, 6));
    assert_eq!(size(&mut client, "t"), 0, "the active segment goes, too");
    assert_eq!(client.produce("t", 0, batch(&["c"])).base_offset, 6, "offsets go on");
    broker.kill();

    let broker = Broker::start(dir.path(), &["--shards", "2"]);
    assert_eq!(broker.client().read_all("t", 0, 6), [(6, "c".to_owned())]);
}

#[test]
fn a_topic_is_kept_in_bounds_by_the_settings_that_it_gets_while_it_is_used() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "log.retention.check.interval.ms=50"]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    client.produce("t", 0, batch(&["a"]));
    assert_eq!(alter(&mut client, "t", &[(0, "retention.ms", Some("1"))], true).0, 0);
    assert_eq!(setting(&mut client, "t", "retention.ms"), ("604800000".to_owned(), 5), "it was only checked");
    assert_eq!(alter(&mut client, "t", &[(0, "retention.ms", Some("1"))], false).0, 0);
    assert_eq!(setting(&mut client, "t", "retention.ms"), ("1".to_owned(), 1));
    let deadline = Instant::now() + PATIENCE;
    while earliest(&mut client, "t") < 1 {
        assert!(Instant::now() < deadline, "nothing is deleted");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(client.produce("t", 0, batch(&["b"])).base_offset, 1);
    assert_eq!(alter(&mut client, "t", &[(1, "retention.ms", None)], false).0, 0);
    assert_eq!(setting(&mut client, "t", "retention.ms").1, 5);
}

#[test]
fn a_change_that_can_not_be_is_refused_with_its_reason() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 2, &[]);
    let invalid = ErrorCode::InvalidConfig.code();
    for (change, code, words) in [
        ((0, "retention.ms", Some("soon")), invalid, "a whole number"),
        ((0, "retention", Some("1")), invalid, "unknown topic config name: retention"),
        ((2, "retention.ms", Some("1")), invalid, "not a list"),
        ((0, "retention.ms", None), ErrorCode::InvalidRequest.code(), "no value"),
    ] {
        let (found, message) = alter(&mut client, "t", &[change], false);
        assert_eq!(found, code, "{change:?}: {message}");
        assert!(message.contains(words), "{change:?}: {message}");
    }
    assert_eq!(alter(&mut client, "u", &[], false).0, ErrorCode::UnknownTopicOrPartition.code());
    assert_eq!(alter(&mut client, "t", &[(2, "cleanup.policy", Some("compact"))], false).0, 0);
    assert_eq!(setting(&mut client, "t", "cleanup.policy").0, "delete,compact");

    let configs = vec![AlterableConfig { name: "retention.ms".to_owned(), value: Some("5".to_owned()) }];
    let resource = |resource_type, name: &str| AlterConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configs: configs.clone(),
    };
    let resources = vec![resource(2, "t"), resource(4, "1")];
    let answers = client.call(2, &AlterConfigsRequest { resources, validate_only: false }).responses;
    assert_eq!((answers[0].error_code, answers[1].error_code), (0, ErrorCode::InvalidRequest.code()));
    assert_eq!(setting(&mut client, "t", "cleanup.policy"), ("delete".to_owned(), 5), "it has replaced all");
}

#[test]
fn a_topic_grows_and_is_described_page_by_page() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--shards", "2"]);
    let mut client = broker.client();
    client.create("t", 2, &[]);
    let grow = |client: &mut Client, count, validate_only| {
        let topic = CreatePartitionsTopic { name: "t".to_owned(), count, assignments: None };
        let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 1000, validate_only };
        client.call(3, &request).results[0].error_code
    };
    for count in [-1, 0, 1, 2, 100_001] {
        assert_eq!(grow(&mut client, count, false), ErrorCode::InvalidPartitions.code(), "{count}");
    }
    assert_eq!(grow(&mut client, 4, true), 0);
    assert_eq!(
        client.call(12, &MetadataRequest { topics: None, ..Default::default() }).topics[0].partitions.len(),
        2
    );
    assert_eq!(grow(&mut client, 5, false), 0);
    assert_eq!(client.produce("t", 4, batch(&["new"])).base_offset, 0);
    broker.kill();

    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    assert_eq!(client.read_all("t", 4, 0), [(0, "new".to_owned())]);
    let mut cursor = None;
    let mut pages = Vec::new();
    loop {
        let topics = ["t", "u"].map(|name| TopicRequest { name: name.to_owned() }).to_vec();
        let request = DescribeTopicPartitionsRequest { topics, response_partition_limit: 2, cursor };
        let page = client.call(0, &request);
        let shown = page
            .topics
            .iter()
            .map(|topic| (topic.name.clone().unwrap(), topic.error_code, topic.partitions.len()));
        pages.push(shown.collect::<Vec<_>>());
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let t = |count| ("t".to_owned(), 0, count);
    assert_eq!(pages, [vec![t(2)], vec![t(2)], vec![t(1), ("u".to_owned(), 3, 0)]]);
}
