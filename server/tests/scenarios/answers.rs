//! What stands in answers beside what was asked for: what a client may do, in which order names come, what is said of what there is not.

use strandline::messages::*;
use strandline::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::Client;

const NOT_ASKED: i32 = i32::MIN;

/// Names whose order is neither that of letters nor of hashes.
const NAMES: [&str; 5] = ["z", "unknown", "a", "m", "b"];

fn names() -> Vec<String> {
    NAMES.map(str::to_owned).to_vec()
}

/// A broker with topics and groups of these names, but for the unknown one.
fn started(data_dir: &std::path::Path) -> (Broker, Client) {
    let broker = Broker::start(data_dir, &["-o", "auto.create.topics.enable=false"]);
    let mut client = broker.client();
    for name in NAMES.iter().filter(|name| **name != "unknown") {
        client.create(name, 2, &[]);
        client.call(
            4,
            &FindCoordinatorRequest { coordinator_keys: vec![(*name).to_owned()], ..Default::default() },
        );
        let partition = OffsetCommitRequestPartition { committed_offset: 1, ..Default::default() };
        let topics = vec![OffsetCommitRequestTopic { name: (*name).to_owned(), partitions: vec![partition] }];
        let request = OffsetCommitRequest { group_id: (*name).to_owned(), topics, ..Default::default() };
        while client.call(8, &request).topics[0].partitions[0].error_code != 0 {
            std::thread::yield_now();
        }
    }
    (broker, client)
}

/// Kafka 4.3.1 without an authorizer says the same, for what there is and for what there is not.
#[test]
fn a_client_that_asks_is_told_that_it_may_do_everything() {
    let dir = data_dir();
    let (_broker, mut client) = started(dir.path());
    for asks in [false, true] {
        let or_not = |operations| if asks { operations } else { NOT_ASKED };
        for version in 8..=13 {
            let topics = ["a", "unknown", "no name"]
                .map(|name| MetadataRequestTopic { name: Some(name.to_owned()), ..Default::default() });
            let asks_cluster = asks && version <= 10;
            let request = MetadataRequest {
                topics: Some(topics.to_vec()),
                allow_auto_topic_creation: false,
                include_topic_authorized_operations: asks,
                include_cluster_authorized_operations: asks_cluster,
            };
            let answer = client.call(version, &request);
            for topic in answer.topics {
                assert_eq!(topic.topic_authorized_operations, or_not(3576), "{version}: {:?}", topic.name);
            }
            assert_eq!(answer.cluster_authorized_operations, if asks_cluster { 8096 } else { NOT_ASKED });
        }
        for version in 3..=6 {
            let request = DescribeGroupsRequest { groups: names(), include_authorized_operations: asks };
            for group in client.call(version, &request).groups {
                // A group that there is not is Dead, and an error from version 6 on.
                let expected = if group.error_code == 0 { or_not(3400) } else { NOT_ASKED };
                assert_eq!(group.authorized_operations, expected, "{version}: {}", group.group_id);
                assert_eq!(group.error_code != 0, version == 6 && group.group_id == "unknown");
            }
        }
        for version in 0..=2 {
            let request =
                DescribeClusterRequest { include_cluster_authorized_operations: asks, ..Default::default() };
            assert_eq!(client.call(version, &request).cluster_authorized_operations, or_not(8096));
        }
    }
    // An id that nobody has is no topic.
    let id = strandline_engine::types::TopicId::from_bytes([7; 16]);
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { topic_id: id, name: None }]),
        include_topic_authorized_operations: true,
        ..Default::default()
    };
    assert_eq!(client.call(12, &request).topics[0].topic_authorized_operations, NOT_ASKED);
    // This request has no way to ask.
    let topics = ["a", "unknown"].map(|name| TopicRequest { name: name.to_owned() });
    let request = DescribeTopicPartitionsRequest { topics: topics.to_vec(), ..Default::default() };
    for topic in client.call(0, &request).topics {
        assert_eq!(topic.topic_authorized_operations, 3576, "{:?}", topic.name);
    }
}

#[test]
fn what_is_asked_for_by_name_is_answered_in_that_order() {
    let dir = data_dir();
    let (_broker, mut client) = started(dir.path());
    let request = DescribeGroupsRequest { groups: names(), ..Default::default() };
    let found: Vec<_> = client.call(5, &request).groups.into_iter().map(|group| group.group_id).collect();
    assert_eq!(found, NAMES, "DescribeGroups");

    let request = FindCoordinatorRequest { coordinator_keys: names(), ..Default::default() };
    let found: Vec<_> = client.call(6, &request).coordinators.into_iter().map(|found| found.key).collect();
    assert_eq!(found, NAMES, "FindCoordinator");

    let topics = NAMES.map(|name| MetadataRequestTopic { name: Some(name.to_owned()), ..Default::default() });
    let request = MetadataRequest { topics: Some(topics.to_vec()), ..Default::default() };
    let found: Vec<_> =
        client.call(12, &request).topics.into_iter().map(|topic| topic.name.unwrap()).collect();
    assert_eq!(found, NAMES, "Metadata");

    let topics = NAMES.map(|name| ListOffsetsTopic {
        name: name.to_owned(),
        partitions: [1, 0]
            .map(|partition_index| ListOffsetsPartition { partition_index, ..Default::default() })
            .to_vec(),
    });
    let request = ListOffsetsRequest { topics: topics.to_vec(), ..Default::default() };
    let found: Vec<_> = client
        .call(7, &request)
        .topics
        .into_iter()
        .map(|topic| {
            (topic.name, topic.partitions.iter().map(|found| found.partition_index).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(found, NAMES.map(|name| (name.to_owned(), vec![1, 0])), "ListOffsets");

    let topics =
        NAMES.map(|name| OffsetFetchRequestTopics { name: name.to_owned(), partition_indexes: vec![1, 0] });
    let groups = NAMES.map(|name| OffsetFetchRequestGroup {
        group_id: name.to_owned(),
        topics: Some(topics.to_vec()),
        ..Default::default()
    });
    let request = OffsetFetchRequest { groups: groups.to_vec(), ..Default::default() };
    let found = client.call(9, &request).groups;
    assert_eq!(found.iter().map(|group| group.group_id.as_str()).collect::<Vec<_>>(), NAMES, "OffsetFetch");
    for group in found {
        let found: Vec<_> = group
            .topics
            .into_iter()
            .map(|topic| (topic.name, topic.partitions.iter().map(|found| found.partition_index).collect()))
            .collect();
        assert_eq!(found, NAMES.map(|name| (name.to_owned(), vec![1, 0])), "OffsetFetch");
    }

    let resources = NAMES.map(|name| DescribeConfigsResource {
        resource_type: 2,
        resource_name: name.to_owned(),
        configuration_keys: None,
    });
    let request = DescribeConfigsRequest { resources: resources.to_vec(), ..Default::default() };
    let found: Vec<_> =
        client.call(4, &request).results.into_iter().map(|found| found.resource_name).collect();
    assert_eq!(found, NAMES, "DescribeConfigs");

    let resources = NAMES.map(|name| IncrementalAlterConfigsResource {
        resource_type: 2,
        resource_name: name.to_owned(),
        configs: Vec::new(),
    });
    let request = IncrementalAlterConfigsRequest { resources: resources.to_vec(), validate_only: true };
    let found: Vec<_> =
        client.call(1, &request).responses.into_iter().map(|found| found.resource_name).collect();
    assert_eq!(found, NAMES, "IncrementalAlterConfigs");

    let topics =
        NAMES.map(|name| CreatePartitionsTopic { name: name.to_owned(), count: 3, assignments: None });
    let request =
        CreatePartitionsRequest { topics: topics.to_vec(), validate_only: true, ..Default::default() };
    let found: Vec<_> = client.call(3, &request).results.into_iter().map(|found| found.name).collect();
    assert_eq!(found, NAMES, "CreatePartitions");

    let topics = NAMES.map(|name| CreatableTopic {
        name: name.to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    });
    let request = CreateTopicsRequest { topics: topics.to_vec(), validate_only: true, ..Default::default() };
    let found: Vec<_> = client.call(7, &request).topics.into_iter().map(|found| found.name).collect();
    assert_eq!(found, NAMES, "CreateTopics");

    let topics = NAMES.map(|name| DeleteRecordsTopic {
        name: name.to_owned(),
        partitions: [1, 0]
            .map(|partition_index| DeleteRecordsPartition { partition_index, offset: 0 })
            .to_vec(),
    });
    let request = DeleteRecordsRequest { topics: topics.to_vec(), ..Default::default() };
    let found: Vec<_> = client
        .call(2, &request)
        .topics
        .into_iter()
        .map(|topic| {
            (topic.name, topic.partitions.iter().map(|found| found.partition_index).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(found, NAMES.map(|name| (name.to_owned(), vec![1, 0])), "DeleteRecords");

    let request = DeleteGroupsRequest { groups_names: names() };
    let found: Vec<_> = client.call(2, &request).results.into_iter().map(|found| found.group_id).collect();
    assert_eq!(found, NAMES, "DeleteGroups");

    let topics = NAMES.map(|name| DeleteTopicState { name: Some(name.to_owned()), ..Default::default() });
    let request = DeleteTopicsRequest { topics: topics.to_vec(), ..Default::default() };
    let found: Vec<_> =
        client.call(6, &request).responses.into_iter().map(|found| found.name.unwrap()).collect();
    assert_eq!(found, NAMES, "DeleteTopics");
}

#[test]
fn a_resource_without_settings_is_named() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    for (resource_type, name) in [(8, "BROKER_LOGGER (8)"), (16, "CLIENT_METRICS (16)"), (32, "GROUP (32)")] {
        let resource_name = "x".to_owned();
        let resource = DescribeConfigsResource {
            resource_type,
            resource_name: resource_name.clone(),
            configuration_keys: None,
        };
        let described = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
        let described = client.call(4, &described).results.remove(0);
        let resource =
            AlterConfigsResource { resource_type, resource_name: resource_name.clone(), configs: vec![] };
        let replaced = AlterConfigsRequest { resources: vec![resource], validate_only: false };
        let replaced = client.call(2, &replaced).responses.remove(0);
        let resource = IncrementalAlterConfigsResource { resource_type, resource_name, configs: vec![] };
        let changed = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let changed = client.call(1, &changed).responses.remove(0);
        for (code, message) in [
            (described.error_code, described.error_message),
            (replaced.error_code, replaced.error_message),
            (changed.error_code, changed.error_message),
        ] {
            assert_eq!(ErrorCode::try_from(code), Ok(ErrorCode::InvalidRequest));
            assert!(message.as_deref().unwrap().contains(name), "{message:?}");
        }
    }
}
