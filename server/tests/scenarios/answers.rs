//! What stands in answers beside what was asked for: what a client may do, in which order names come, what is
//! said of what there is not.

use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

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
    let id = strandline_protocol::Uuid::from_bytes([7; 16]);
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

/// Partitions of each name, in an order that is not theirs.
const INDEXES: [i32; 2] = [1, 0];

/// What an answer says in which order: names, and partitions under them.
type Said = Vec<(String, Vec<i32>)>;

fn all_said() -> Said {
    NAMES.map(|name| (name.to_owned(), INDEXES.to_vec())).to_vec()
}

#[test]
fn what_is_asked_about_partitions_and_users_is_answered_in_that_order() {
    let dir = data_dir();
    let (_broker, mut client) = started(dir.path());

    let topics = NAMES
        .map(|name| DescribeProducersTopic { name: name.to_owned(), partition_indexes: INDEXES.to_vec() });
    let answer = client.call(0, &DescribeProducersRequest { topics: topics.to_vec() });
    let said = answer.topics.into_iter().map(|topic| {
        (topic.name, topic.partitions.iter().map(|found| found.partition_index).collect::<Vec<_>>())
    });
    assert_eq!(said.collect::<Said>(), all_said(), "DescribeProducers");

    let topics = NAMES.map(|name| ElectLeadersTopic { topic: name.to_owned(), partitions: INDEXES.to_vec() });
    let request = ElectLeadersRequest { topic_partitions: Some(topics.to_vec()), ..Default::default() };
    let said = client.call(2, &request).replica_election_results.into_iter().map(|topic| {
        (topic.topic, topic.partition_result.iter().map(|found| found.partition_id).collect::<Vec<_>>())
    });
    assert_eq!(said.collect::<Said>(), all_said(), "ElectLeaders");

    let topics = NAMES.map(|name| ReassignableTopic {
        name: name.to_owned(),
        partitions: INDEXES
            .map(|partition_index| ReassignablePartition { partition_index, ..Default::default() })
            .to_vec(),
    });
    let request = AlterPartitionReassignmentsRequest { topics: topics.to_vec(), ..Default::default() };
    let said = client.call(0, &request).responses.into_iter().map(|topic| {
        (topic.name, topic.partitions.iter().map(|found| found.partition_index).collect::<Vec<_>>())
    });
    assert_eq!(said.collect::<Said>(), all_said(), "AlterPartitionReassignments");

    let topics = NAMES.map(|name| OffsetForLeaderTopic {
        topic: name.to_owned(),
        partitions: INDEXES
            .map(|partition| OffsetForLeaderPartition { partition, ..Default::default() })
            .to_vec(),
    });
    let request = OffsetForLeaderEpochRequest { topics: topics.to_vec(), ..Default::default() };
    let said =
        client.call(4, &request).topics.into_iter().map(|topic| {
            (topic.topic, topic.partitions.iter().map(|found| found.partition).collect::<Vec<_>>())
        });
    assert_eq!(said.collect::<Said>(), all_said(), "OffsetForLeaderEpoch");

    // Half of the topics go to one directory, and the others to another.
    let dirs = [("/", &NAMES[..2]), ("/elsewhere", &NAMES[2..])].map(|(path, names)| AlterReplicaLogDir {
        path: path.to_owned(),
        topics: names
            .iter()
            .map(|name| AlterReplicaLogDirTopic { name: (*name).to_owned(), partitions: INDEXES.to_vec() })
            .collect(),
    });
    let answer = client.call(2, &AlterReplicaLogDirsRequest { dirs: dirs.to_vec() });
    let said = answer.results.into_iter().map(|topic| {
        (topic.topic_name, topic.partitions.iter().map(|found| found.partition_index).collect::<Vec<_>>())
    });
    assert_eq!(said.collect::<Said>(), all_said(), "AlterReplicaLogDirs");

    let topics = NAMES.map(|name| DescribeQuorumTopic {
        topic_name: name.to_owned(),
        partitions: INDEXES.map(|partition_index| DescribeQuorumPartition { partition_index }).to_vec(),
    });
    let answer = client.call(2, &DescribeQuorumRequest { topics: topics.to_vec() });
    let said = answer.topics.into_iter().map(|topic| {
        (topic.topic_name, topic.partitions.iter().map(|found| found.partition_index).collect::<Vec<_>>())
    });
    assert_eq!(said.collect::<Said>(), all_said(), "DescribeQuorum");

    let topics =
        NAMES.map(|name| DescribableLogDirTopic { topic: name.to_owned(), partitions: INDEXES.to_vec() });
    let answer = client.call(4, &DescribeLogDirsRequest { topics: Some(topics.to_vec()) });
    let said = answer.results[0].topics.iter().map(|topic| {
        let indexes = topic.partitions.iter().map(|found| found.partition_index).collect::<Vec<_>>();
        (topic.name.clone(), indexes)
    });
    // What there is not is left out.
    let there: Said = all_said().into_iter().filter(|(name, _)| name != "unknown").collect();
    assert_eq!(said.collect::<Said>(), there, "DescribeLogDirs");

    let request = DescribeTransactionsRequest { transactional_ids: names() };
    let said = client.call(0, &request).transaction_states.into_iter().map(|found| found.transactional_id);
    assert_eq!(said.collect::<Vec<_>>(), NAMES, "DescribeTransactions");

    let request = ListTransactionsRequest { state_filters: names(), ..Default::default() };
    assert_eq!(client.call(0, &request).unknown_state_filters, NAMES, "ListTransactions");

    let users = NAMES.map(|name| ScramUserName { name: name.to_owned() });
    let request = DescribeUserScramCredentialsRequest { users: Some(users.to_vec()) };
    let said = client.call(0, &request).results.into_iter().map(|found| found.user);
    assert_eq!(said.collect::<Vec<_>>(), NAMES, "DescribeUserScramCredentials");

    let deletions = NAMES[..3]
        .iter()
        .map(|name| ScramCredentialDeletion { name: (*name).to_owned(), ..Default::default() });
    let upsertions = NAMES[2..]
        .iter()
        .map(|name| ScramCredentialUpsertion { name: (*name).to_owned(), ..Default::default() });
    let request =
        AlterUserScramCredentialsRequest { deletions: deletions.collect(), upsertions: upsertions.collect() };
    let said = client.call(0, &request).results.into_iter().map(|found| found.user);
    assert_eq!(said.collect::<Vec<_>>(), NAMES, "AlterUserScramCredentials");
}

#[test]
fn a_resource_without_settings_is_named() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    for (resource_type, name) in [(8, "BROKER_LOGGER (8)"), (16, "CLIENT_METRICS (16)")] {
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
