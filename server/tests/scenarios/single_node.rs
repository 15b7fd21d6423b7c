//! What Kafka has for clusters and for users, asked of one node that has none of it: each
//! request is answered with what is true here, in the codes that Kafka's tools and admin clients know. Kafka
//! 4.3.1 gives the same codes, but where a test says otherwise.

use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_protocol::Uuid;
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, batch, fetch, produce};
use strandline_engine::types::{ProducerEpoch, ProducerId, Sequence, Timestamp};

fn code(code: i16) -> ErrorCode {
    match code {
        0 => ErrorCode::None,
        code => ErrorCode::try_from(code).unwrap(),
    }
}

/// The id of this broker, and of one that there is not.
const HERE: i32 = 1;
const ELSEWHERE: i32 = 2;

fn id_of(client: &mut Client, topic: &str) -> Uuid {
    let asked = MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![asked]), ..Default::default() };
    client.call(12, &request).topics[0].topic_id
}

#[test]
fn produce_takes_topics_by_id_and_knows_an_old_one() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let by_id = |topic_id, text: &str| {
        let mut request = produce("t", 0, batch(&[text]), -1);
        request.topic_data[0].topic_id = topic_id;
        request
    };
    let id = id_of(&mut client, "t");
    let answer = client.call(13, &by_id(id, "a")).responses.remove(0);
    assert_eq!((answer.topic_id, answer.name.as_str()), (id, ""));
    assert_eq!((answer.partition_responses[0].error_code, answer.partition_responses[0].base_offset), (0, 0));
    // Version 12 names topics still, and is what 11 is.
    assert_eq!(client.call(12, &by_id(id, "b")).responses[0].partition_responses[0].base_offset, 1);
    for unknown in [Uuid::nil(), Uuid::from_u128(7)] {
        let answer = client.call(13, &by_id(unknown, "c")).responses.remove(0);
        assert_eq!(code(answer.partition_responses[0].error_code), ErrorCode::UnknownTopicId);
        assert_eq!(answer.topic_id, unknown);
    }
    let texts: Vec<_> = client.read_all("t", 0, 0).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["a", "b"]);
}

#[test]
fn the_newest_versions_of_reading_requests_are_served() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    client.produce("t", 0, batch(&["a", "b"]));

    let mut request = fetch("t", &[(0, 0)]);
    request.topics[0].topic_id = id_of(&mut client, "t");
    // What kafka-replica-verification says it is.
    request.replica_state.replica_id = -2;
    let data = client.fetch(18, &request).responses.remove(0).partitions.remove(0);
    assert_eq!((data.error_code, data.high_watermark), (0, 2));

    let mut find = |timestamp| {
        let partitions = vec![ListOffsetsPartition { timestamp, ..Default::default() }];
        let topics = vec![ListOffsetsTopic { name: "t".to_owned(), partitions }];
        let found = client.call(11, &ListOffsetsRequest { topics, ..Default::default() });
        let partition = &found.topics[0].partitions[0];
        (partition.error_code, partition.offset)
    };
    assert_eq!(find(-1), (0, 2));
    assert_eq!(find(-6), (0, -1), "nothing waits to be tiered");

    let described = client.call(5, &DescribeLogDirsRequest { topics: None }).results.remove(0);
    assert!(!described.is_cordoned && described.topics[0].name == "t");
}

#[test]
fn the_one_epoch_ends_where_the_log_ends() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let mut end = |partition, current_leader_epoch, leader_epoch| {
        let partitions = vec![OffsetForLeaderPartition { partition, current_leader_epoch, leader_epoch }];
        let topics = vec![OffsetForLeaderTopic { topic: "t".to_owned(), partitions }];
        let request = OffsetForLeaderEpochRequest { replica_id: -1, topics };
        let answer = client.call(4, &request).topics.remove(0).partitions.remove(0);
        (code(answer.error_code), answer.leader_epoch, answer.end_offset)
    };
    assert_eq!(end(0, 0, 0), (ErrorCode::None, 0, 0));
    broker.client().produce("t", 0, batch(&["a", "b", "c"]));
    assert_eq!(end(0, 0, 0), (ErrorCode::None, 0, 3));
    assert_eq!(end(0, -1, 0), (ErrorCode::None, 0, 3));
    assert_eq!(end(0, 0, 1), (ErrorCode::None, -1, -1), "an epoch that never was");
    assert_eq!(end(0, 1, 0), (ErrorCode::UnknownLeaderEpoch, -1, -1));
    assert_eq!(end(1, 0, 0), (ErrorCode::UnknownTopicOrPartition, -1, -1));
    assert_eq!(end(-1, 0, 0), (ErrorCode::UnknownTopicOrPartition, -1, -1));
}

#[test]
fn the_producers_of_a_partition_are_told_once_each() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 2, &[]);
    let new = client.call(4, &InitProducerIdRequest::default());
    let id = new.producer_id;
    let mut sent = BatchBuilder::new(Codec::None).producer(
        ProducerId(id),
        ProducerEpoch(new.producer_epoch),
        Sequence::FIRST,
    );
    for value in [b"a", b"b", b"c"] {
        sent.push(Timestamp(77_000), None, Some(value), &[]);
    }
    assert_eq!(client.produce("t", 0, sent.build()).error_code, 0);
    let asked = |name: &str, indexes: &[i32]| DescribeProducersTopic {
        name: name.to_owned(),
        partition_indexes: indexes.to_vec(),
    };
    let topics = vec![asked("t", &[1, 0, 0, 5]), asked("nowhere", &[0]), asked("t", &[0])];
    let told = client.call(0, &DescribeProducersRequest { topics }).topics;
    let partitions: Vec<_> = told
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|at| (topic.name.as_str(), at.partition_index, code(at.error_code)))
        })
        .collect();
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let none = ErrorCode::None;
    assert_eq!(partitions, [("t", 1, none), ("t", 0, none), ("t", 5, unknown), ("nowhere", 0, unknown)]);
    let active = &told[0].partitions[1].active_producers;
    assert_eq!(active.len(), 1);
    assert_eq!((active[0].producer_id, active[0].producer_epoch, active[0].last_sequence), (id, 0, 2));
    assert_eq!((active[0].last_timestamp, active[0].current_txn_start_offset), (77_000, -1));
    assert!(told[0].partitions[0].active_producers.is_empty());
}

#[test]
fn what_has_no_transaction_is_not_found() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    let words = |of: &[&str]| of.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let state_filters = words(&["Ongoing", "Sleeping", "Sleeping"]);
    let listed = client.call(2, &ListTransactionsRequest { state_filters, ..Default::default() });
    assert!(listed.error_code == 0 && listed.transaction_states.is_empty());
    assert_eq!(listed.unknown_state_filters, ["Sleeping"]);
    let transactional_ids = words(&["a", "b", "a"]);
    let told = client.call(0, &DescribeTransactionsRequest { transactional_ids }).transaction_states;
    let told: Vec<_> =
        told.iter().map(|told| (told.transactional_id.as_str(), code(told.error_code))).collect();
    let not_found = ErrorCode::TransactionalIdNotFound;
    assert_eq!(told, [("a", not_found), ("b", not_found)]);
}

#[test]
fn a_partition_moves_to_where_it_is_and_nowhere_else() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);

    let mut move_to = |partition_index, replicas: Option<Vec<i32>>| {
        let partitions = vec![ReassignablePartition { partition_index, replicas }];
        let topics = vec![ReassignableTopic { name: "t".to_owned(), partitions }];
        let request = AlterPartitionReassignmentsRequest { topics, ..Default::default() };
        let answer = client.call(1, &request);
        assert_eq!(answer.error_code, 0);
        code(answer.responses[0].partitions[0].error_code)
    };
    assert_eq!(move_to(0, Some(vec![HERE])), ErrorCode::None);
    assert_eq!(move_to(0, Some(vec![ELSEWHERE])), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(move_to(0, None), ErrorCode::NoReassignmentInProgress);
    assert_eq!(move_to(1, Some(vec![HERE])), ErrorCode::UnknownTopicOrPartition);

    let mut elect = |topics: Option<&[(&str, &[i32])]>| {
        let topics = topics.map(|topics| {
            let topic = |(topic, partitions): &(&str, &[i32])| ElectLeadersTopic {
                topic: (*topic).to_owned(),
                partitions: partitions.to_vec(),
            };
            topics.iter().map(topic).collect()
        });
        let request = ElectLeadersRequest { topic_partitions: topics, ..Default::default() };
        let answer = client.call(2, &request);
        assert_eq!(answer.error_code, 0);
        let results = answer.replica_election_results.into_iter().flat_map(|topic| topic.partition_result);
        results.map(|result| (result.partition_id, code(result.error_code))).collect::<Vec<_>>()
    };
    assert_eq!(elect(None), [], "all lead as they should");
    let (not_needed, unknown) = (ErrorCode::ElectionNotNeeded, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(elect(Some(&[("t", &[0, 1, 0]), ("t", &[0])])), [(0, not_needed), (1, unknown)]);

    let here = client.call(5, &DescribeLogDirsRequest { topics: None }).results.remove(0).log_dir;
    let mut move_to = |path: &str, partition| {
        let topics = vec![AlterReplicaLogDirTopic { name: "t".to_owned(), partitions: vec![partition] }];
        let dirs = vec![AlterReplicaLogDir { path: path.to_owned(), topics }];
        let answer = client.call(2, &AlterReplicaLogDirsRequest { dirs });
        code(answer.results[0].partitions[0].error_code)
    };
    assert_eq!(move_to(&here, 0), ErrorCode::None);
    assert_eq!(move_to(&here, 1), ErrorCode::ReplicaNotAvailable);
    assert_eq!(move_to("/somewhere/else", 0), ErrorCode::LogDirNotFound);
}

#[test]
fn the_quorum_is_this_broker_and_no_other_can_be_forgotten() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    let mut ask = |topic_name: &str, partition_index| {
        let partitions = vec![DescribeQuorumPartition { partition_index }];
        let topics = vec![DescribeQuorumTopic { topic_name: topic_name.to_owned(), partitions }];
        client.call(2, &DescribeQuorumRequest { topics })
    };
    let told = ask("__cluster_metadata", 0);
    let quorum = &told.topics[0].partitions[0];
    let voters: Vec<_> = quorum.current_voters.iter().map(|voter| voter.replica_id).collect();
    assert_eq!(
        (quorum.error_code, quorum.leader_id, voters, quorum.observers.len()),
        (0, HERE, vec![HERE], 0)
    );
    let listener = &told.nodes[0].listeners[0];
    assert_eq!((told.nodes[0].node_id, listener.port), (HERE, broker.address.port()));
    for (topic, partition) in [("__cluster_metadata", 1), ("other", 0)] {
        let told = ask(topic, partition);
        assert_eq!(code(told.topics[0].partitions[0].error_code), ErrorCode::UnknownTopicOrPartition);
    }
    let mut forget = |broker_id| {
        let answer = client.call(0, &UnregisterBrokerRequest { broker_id });
        (code(answer.error_code), answer.error_message.unwrap().contains(&broker_id.to_string()))
    };
    // Kafka takes itself out of its own cluster.
    assert_eq!(forget(HERE), (ErrorCode::InvalidRequest, true));
    assert_eq!(forget(ELSEWHERE), (ErrorCode::BrokerIdNotRegistered, true));
}

#[test]
fn the_features_stand_at_the_levels_that_are_served() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    let hello =
        ApiVersionsRequest { client_software_name: "t".to_owned(), client_software_version: "1".to_owned() };
    let told = client.call(4, &hello);
    let features: Vec<_> =
        told.supported_features.iter().map(|at| (at.name.as_str(), at.max_version)).collect();
    let names = ["group.version", "share.version", "streams.version", "transaction.version"];
    assert_eq!(features, [(names[0], 1), (names[1], 2), (names[2], 1), (names[3], 2)]);
    let finalized: Vec<_> = told
        .finalized_features
        .iter()
        .map(|at| (at.name.as_str(), at.min_version_level, at.max_version_level))
        .collect();
    assert_eq!(finalized, [(names[0], 1, 1), (names[1], 2, 2), (names[2], 1, 1), (names[3], 2, 2)]);
    // Finalized features are looked at only with an epoch; a client of version 3 cannot read a level 0.
    assert!(told.finalized_features_epoch >= 0);
    assert!(client.call(3, &hello).supported_features.is_empty());
    assert_eq!(client.call(3, &hello).finalized_features.len(), 4);

    let mut update = |version, feature: &str, max_version_level| {
        let update =
            FeatureUpdateKey { feature: feature.to_owned(), max_version_level, ..Default::default() };
        client.call(version, &UpdateFeaturesRequest { feature_updates: vec![update], ..Default::default() })
    };
    assert_eq!(update(2, "transaction.version", 2).error_code, 0);
    let refused = update(2, "transaction.version", 1);
    assert_eq!(code(refused.error_code), ErrorCode::InvalidUpdateVersion);
    assert!(refused.error_message.unwrap().contains("transaction.version"));
    let refused = update(1, "metadata.version", 25);
    assert_eq!(
        (refused.error_code, code(refused.results[0].error_code)),
        (0, ErrorCode::InvalidUpdateVersion)
    );
}

#[test]
fn topics_and_this_broker_are_what_has_settings() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let mut list = |version, resource_types: &[i8]| {
        let request = ListConfigResourcesRequest { resource_types: resource_types.to_vec() };
        let answer = client.call(version, &request);
        let resources = answer.config_resources.into_iter();
        let resources = resources.map(|resource| (resource.resource_type, resource.resource_name));
        (code(answer.error_code), resources.collect::<Vec<_>>())
    };
    let (topic, node) = ((2, "t".to_owned()), (4, HERE.to_string()));
    assert_eq!(list(1, &[]), (ErrorCode::None, vec![topic.clone(), node]));
    assert_eq!(list(1, &[2, 2]), (ErrorCode::None, vec![topic]));
    assert_eq!(list(1, &[16, 32]), (ErrorCode::None, Vec::new()));
    assert_eq!(list(0, &[]), (ErrorCode::None, Vec::new()), "version 0 asks for client metrics");
    assert_eq!(list(1, &[3]), (ErrorCode::UnsupportedVersion, Vec::new()));
}

#[test]
fn nobody_has_rules_quotas_passwords_or_tokens_who_was_given_none() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();

    let disabled = ErrorCode::SecurityDisabled;
    let told = client.call(3, &DescribeAclsRequest::default());
    assert_eq!(code(told.error_code), disabled);
    assert!(told.error_message.unwrap().contains("authorizer"));
    let creations = vec![AclCreation::default(); 2];
    let results = client.call(3, &CreateAclsRequest { creations }).results;
    assert_eq!(results.iter().map(|result| code(result.error_code)).collect::<Vec<_>>(), [disabled; 2]);
    let filters = vec![DeleteAclsFilter::default()];
    let results = client.call(3, &DeleteAclsRequest { filters }).filter_results;
    assert_eq!(results.iter().map(|result| code(result.error_code)).collect::<Vec<_>>(), [disabled]);

    let told = client.call(1, &DescribeClientQuotasRequest::default());
    assert_eq!((told.error_code, told.entries), (0, Some(Vec::new())));
    let entity = vec![AlterQuotaEntity { entity_type: "user".to_owned(), entity_name: None }];
    let entries = vec![AlterQuota { entity, ..Default::default() }];
    let told = client.call(1, &AlterClientQuotasRequest { entries, ..Default::default() }).entries;
    assert_eq!(code(told[0].error_code), ErrorCode::None, "nothing was asked of it");
    assert_eq!(told[0].entity[0].entity_type, "user");

    assert!(client.call(0, &DescribeUserScramCredentialsRequest::default()).results.is_empty());
    let user = |name: &str| ScramUserName { name: name.to_owned() };
    let users = Some(vec![user("b"), user("a"), user("b")]);
    let told = client.call(0, &DescribeUserScramCredentialsRequest { users }).results;
    let told: Vec<_> = told.iter().map(|told| (told.user.as_str(), code(told.error_code))).collect();
    assert_eq!(told, [("b", ErrorCode::DuplicateResource), ("a", ErrorCode::ResourceNotFound)]);
    let request = AlterUserScramCredentialsRequest {
        deletions: vec![ScramCredentialDeletion { name: "a".to_owned(), mechanism: 1 }],
        upsertions: vec![ScramCredentialUpsertion { name: "b".to_owned(), ..Default::default() }],
    };
    let told = client.call(0, &request).results;
    let told: Vec<_> = told.iter().map(|told| (told.user.as_str(), code(told.error_code))).collect();
    assert_eq!(told, [("a", ErrorCode::ResourceNotFound), ("b", ErrorCode::UnsupportedSaslMechanism)]);

    let refused = [
        client.call(3, &CreateDelegationTokenRequest::default()).error_code,
        client.call(2, &RenewDelegationTokenRequest::default()).error_code,
        client.call(2, &ExpireDelegationTokenRequest::default()).error_code,
        client.call(3, &DescribeDelegationTokenRequest::default()).error_code,
    ];
    assert_eq!(refused.map(code), [ErrorCode::DelegationTokenRequestNotAllowed; 4]);
}
