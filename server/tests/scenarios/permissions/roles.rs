//! Every API of the table, asked by a user who may do nothing, and by one who may do exactly what it needs.
//!
//! An API that is new in the table fails here until [`ask`] knows a request of it and [`ROWS`] what suffices.

use std::collections::HashSet;

use bytes::Bytes;
use strandline::dispatch::APIS;
use strandline::security::acl::{Operation, ResourceType};
use strandline_protocol::messages::*;
use strandline_protocol::wire::{ApiKey, Decode, Encode, ErrorCode};

use super::{codes, create, created, delete, every, prefixed, rule, start, user};
use crate::broker::data_dir;
use crate::client::{Client, batch, fetch, produce};
use crate::transactions::{Level, code, patiently};

type Need = (Operation, ResourceType);

const TOPIC: ResourceType = ResourceType::Topic;
const GROUP: ResourceType = ResourceType::Group;
const CLUSTER: ResourceType = ResourceType::Cluster;
const TRANSACTION: ResourceType = ResourceType::TransactionalId;

/// An API, what a user without any of it is told, and what suffices: any one of the sets, and nothing less
/// than all of it.
struct Row(ApiKey, Option<ErrorCode>, &'static [&'static [Need]]);

const NO_TOPIC: Option<ErrorCode> = Some(ErrorCode::TopicAuthorizationFailed);
const NO_GROUP: Option<ErrorCode> = Some(ErrorCode::GroupAuthorizationFailed);
const NO_CLUSTER: Option<ErrorCode> = Some(ErrorCode::ClusterAuthorizationFailed);
const NO_TRANSACTION: Option<ErrorCode> = Some(ErrorCode::TransactionalIdAuthorizationFailed);

const READ_GROUP: &[&[Need]] = &[&[(Operation::Read, GROUP)]];
const DESCRIBE_TOPIC: &[&[Need]] = &[&[(Operation::Describe, TOPIC)]];
const DESCRIBE_CLUSTER: &[&[Need]] = &[&[(Operation::Describe, CLUSTER)]];
const ALTER_CLUSTER: &[&[Need]] = &[&[(Operation::Alter, CLUSTER)]];
const ALTER_CONFIGS: &[&[Need]] = &[&[(Operation::AlterConfigs, TOPIC)]];
const DESCRIBE_CONFIGS: &[&[Need]] = &[&[(Operation::DescribeConfigs, CLUSTER)]];

/// What Kafka 4 asks for, by its `KafkaApis` and `ControllerApis`.
const ROWS: &[Row] = &[
    Row(ApiKey::Produce, NO_TOPIC, &[&[(Operation::Write, TOPIC)]]),
    Row(ApiKey::Fetch, NO_TOPIC, &[&[(Operation::Read, TOPIC)]]),
    Row(ApiKey::ListOffsets, NO_TOPIC, DESCRIBE_TOPIC),
    Row(ApiKey::Metadata, NO_TOPIC, DESCRIBE_TOPIC),
    Row(ApiKey::OffsetCommit, NO_GROUP, &[&[(Operation::Read, GROUP), (Operation::Read, TOPIC)]]),
    Row(ApiKey::OffsetFetch, NO_GROUP, &[&[(Operation::Describe, GROUP), (Operation::Describe, TOPIC)]]),
    Row(ApiKey::FindCoordinator, NO_GROUP, &[&[(Operation::Describe, GROUP)]]),
    Row(ApiKey::JoinGroup, NO_GROUP, READ_GROUP),
    Row(ApiKey::Heartbeat, NO_GROUP, READ_GROUP),
    Row(ApiKey::LeaveGroup, NO_GROUP, READ_GROUP),
    Row(ApiKey::SyncGroup, NO_GROUP, READ_GROUP),
    Row(ApiKey::DescribeGroups, NO_GROUP, &[&[(Operation::Describe, GROUP)]]),
    Row(ApiKey::ListGroups, None, &[]),
    Row(ApiKey::SaslHandshake, None, &[]),
    Row(ApiKey::ApiVersions, None, &[]),
    Row(
        ApiKey::CreateTopics,
        NO_TOPIC,
        &[
            &[(Operation::Create, TOPIC), (Operation::DescribeConfigs, TOPIC)],
            &[(Operation::Create, CLUSTER), (Operation::DescribeConfigs, TOPIC)],
        ],
    ),
    Row(ApiKey::DeleteTopics, NO_TOPIC, &[&[(Operation::Delete, TOPIC)]]),
    Row(ApiKey::DeleteRecords, NO_TOPIC, &[&[(Operation::Delete, TOPIC)]]),
    Row(
        ApiKey::InitProducerId,
        NO_CLUSTER,
        &[&[(Operation::IdempotentWrite, CLUSTER)], &[(Operation::Write, TOPIC)]],
    ),
    Row(
        ApiKey::OffsetForLeaderEpoch,
        NO_TOPIC,
        &[&[(Operation::Describe, TOPIC)], &[(Operation::ClusterAction, CLUSTER)]],
    ),
    Row(
        ApiKey::AddPartitionsToTxn,
        NO_TRANSACTION,
        &[&[(Operation::Write, TRANSACTION), (Operation::Write, TOPIC)]],
    ),
    Row(
        ApiKey::AddOffsetsToTxn,
        NO_TRANSACTION,
        &[&[(Operation::Write, TRANSACTION), (Operation::Read, GROUP)]],
    ),
    Row(ApiKey::EndTxn, NO_TRANSACTION, &[&[(Operation::Write, TRANSACTION)]]),
    Row(
        ApiKey::WriteTxnMarkers,
        NO_CLUSTER,
        &[&[(Operation::ClusterAction, CLUSTER)], &[(Operation::Alter, CLUSTER)]],
    ),
    Row(
        ApiKey::TxnOffsetCommit,
        NO_TRANSACTION,
        &[&[(Operation::Write, TRANSACTION), (Operation::Read, GROUP), (Operation::Read, TOPIC)]],
    ),
    Row(ApiKey::DescribeAcls, NO_CLUSTER, DESCRIBE_CLUSTER),
    Row(ApiKey::CreateAcls, NO_CLUSTER, ALTER_CLUSTER),
    Row(ApiKey::DeleteAcls, NO_CLUSTER, ALTER_CLUSTER),
    Row(ApiKey::DescribeConfigs, NO_TOPIC, &[&[(Operation::DescribeConfigs, TOPIC)]]),
    Row(ApiKey::AlterConfigs, NO_TOPIC, ALTER_CONFIGS),
    Row(ApiKey::AlterReplicaLogDirs, NO_CLUSTER, ALTER_CLUSTER),
    Row(ApiKey::DescribeLogDirs, NO_CLUSTER, DESCRIBE_CLUSTER),
    Row(ApiKey::SaslAuthenticate, None, &[]),
    Row(ApiKey::CreatePartitions, NO_TOPIC, &[&[(Operation::Alter, TOPIC)]]),
    // Every one of them is refused as Kafka refuses it on such a listener.
    Row(ApiKey::CreateDelegationToken, None, &[]),
    Row(ApiKey::RenewDelegationToken, None, &[]),
    Row(ApiKey::ExpireDelegationToken, None, &[]),
    Row(ApiKey::DescribeDelegationToken, None, &[]),
    Row(ApiKey::DeleteGroups, NO_GROUP, &[&[(Operation::Delete, GROUP)]]),
    Row(ApiKey::ElectLeaders, NO_CLUSTER, ALTER_CLUSTER),
    Row(ApiKey::IncrementalAlterConfigs, NO_TOPIC, ALTER_CONFIGS),
    Row(ApiKey::AlterPartitionReassignments, NO_CLUSTER, ALTER_CLUSTER),
    Row(ApiKey::ListPartitionReassignments, NO_CLUSTER, DESCRIBE_CLUSTER),
    Row(ApiKey::OffsetDelete, NO_GROUP, &[&[(Operation::Delete, GROUP), (Operation::Read, TOPIC)]]),
    Row(ApiKey::DescribeClientQuotas, NO_CLUSTER, DESCRIBE_CONFIGS),
    Row(ApiKey::AlterClientQuotas, NO_CLUSTER, &[&[(Operation::AlterConfigs, CLUSTER)]]),
    Row(ApiKey::DescribeUserScramCredentials, NO_CLUSTER, DESCRIBE_CLUSTER),
    Row(ApiKey::AlterUserScramCredentials, NO_CLUSTER, ALTER_CLUSTER),
    Row(ApiKey::DescribeQuorum, NO_CLUSTER, DESCRIBE_CLUSTER),
    Row(ApiKey::UpdateFeatures, NO_CLUSTER, ALTER_CLUSTER),
    Row(ApiKey::DescribeCluster, None, &[]),
    Row(ApiKey::DescribeProducers, NO_TOPIC, &[&[(Operation::Read, TOPIC)]]),
    Row(ApiKey::UnregisterBroker, NO_CLUSTER, ALTER_CLUSTER),
    Row(ApiKey::DescribeTransactions, NO_TRANSACTION, &[&[(Operation::Describe, TRANSACTION)]]),
    Row(ApiKey::ListTransactions, None, &[]),
    Row(
        ApiKey::ConsumerGroupHeartbeat,
        NO_GROUP,
        &[&[(Operation::Read, GROUP), (Operation::Describe, TOPIC)]],
    ),
    Row(ApiKey::ConsumerGroupDescribe, NO_GROUP, &[&[(Operation::Describe, GROUP)]]),
    Row(ApiKey::ShareGroupHeartbeat, NO_GROUP, &[&[(Operation::Read, GROUP), (Operation::Describe, TOPIC)]]),
    Row(ApiKey::ShareGroupDescribe, NO_GROUP, &[&[(Operation::Describe, GROUP)]]),
    Row(ApiKey::ShareFetch, NO_GROUP, READ_GROUP),
    Row(ApiKey::ShareAcknowledge, NO_GROUP, READ_GROUP),
    Row(
        ApiKey::StreamsGroupHeartbeat,
        NO_GROUP,
        &[&[(Operation::Read, GROUP), (Operation::Describe, TOPIC)]],
    ),
    Row(ApiKey::StreamsGroupDescribe, NO_GROUP, &[&[(Operation::Describe, GROUP)]]),
    Row(ApiKey::DescribeShareGroupOffsets, NO_GROUP, &[&[(Operation::Describe, GROUP)]]),
    Row(ApiKey::AlterShareGroupOffsets, NO_GROUP, READ_GROUP),
    Row(ApiKey::DeleteShareGroupOffsets, NO_GROUP, &[&[(Operation::Delete, GROUP)]]),
    Row(ApiKey::ListConfigResources, NO_CLUSTER, DESCRIBE_CONFIGS),
    Row(ApiKey::DescribeTopicPartitions, NO_TOPIC, DESCRIBE_TOPIC),
];

/// The codes with which a client is told that it may not.
const DENIALS: [ErrorCode; 4] = [
    ErrorCode::TopicAuthorizationFailed,
    ErrorCode::GroupAuthorizationFailed,
    ErrorCode::ClusterAuthorizationFailed,
    ErrorCode::TransactionalIdAuthorizationFailed,
];

/// Has offsets of these topics committed for a group.
pub(super) fn commit(client: &mut Client, group: &str, topics: &[&str]) {
    let find = FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..Default::default() };
    client.call(4, &find);
    let topics = topics.iter().map(|name| OffsetCommitRequestTopic {
        name: (*name).to_owned(),
        partitions: vec![OffsetCommitRequestPartition { committed_offset: 1, ..Default::default() }],
    });
    let request =
        OffsetCommitRequest { group_id: group.to_owned(), topics: topics.collect(), ..Default::default() };
    let committed = || code(client.call(8, &request).topics[0].partitions[0].error_code);
    assert_eq!(patiently(committed), ErrorCode::None);
}

/// Has a transactional id known.
pub(super) fn begin(client: &mut Client, id: &str, _: Level) {
    let find = FindCoordinatorRequest { key: id.to_owned(), key_type: 1, ..Default::default() };
    client.call(3, &find);
    let request = InitProducerIdRequest {
        transactional_id: Some(id.to_owned()),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    assert_eq!(patiently(|| code(client.call(5, &request).error_code)), ErrorCode::None);
}

fn t() -> String {
    "t".to_owned()
}

fn g() -> String {
    "g".to_owned()
}

fn x() -> String {
    "x".to_owned()
}

/// The errors among some codes.
fn set(codes: &[i16]) -> HashSet<ErrorCode> {
    codes.iter().map(|found| code(*found)).filter(|code| *code != ErrorCode::None).collect()
}

/// The codes in the answer to a request of the API that names topic `t`, group `g`, transactional id `x`, or
/// what begins like them and is not there, where it would go.
fn ask(client: &mut Client, key: ApiKey) -> HashSet<ErrorCode> {
    fn said<M: Request + Encode>(client: &mut Client, version: i16, request: &M) -> HashSet<ErrorCode>
    where
        M::Response: Decode + Encode,
    {
        codes(&client.call(version, request))
    }
    match key {
        ApiKey::Produce => said(client, 11, &produce("t", 0, batch(&["v"]), -1)),
        ApiKey::Fetch => {
            let answer = client.fetch(12, &fetch("t", &[(0, 0)]));
            answer
                .responses
                .iter()
                .flat_map(|topic| &topic.partitions)
                .map(|found| code(found.error_code))
                .collect()
        }
        ApiKey::ListOffsets => {
            let partitions = vec![ListOffsetsPartition { timestamp: -1, ..Default::default() }];
            let topics = vec![ListOffsetsTopic { name: t(), partitions }];
            said(client, 7, &ListOffsetsRequest { topics, ..Default::default() })
        }
        ApiKey::Metadata => {
            let topics = vec![MetadataRequestTopic { name: Some(t()), ..Default::default() }];
            said(client, 12, &MetadataRequest { topics: Some(topics), ..Default::default() })
        }
        ApiKey::DescribeTopicPartitions => {
            let topics = vec![TopicRequest { name: t() }];
            said(client, 0, &DescribeTopicPartitionsRequest { topics, ..Default::default() })
        }
        ApiKey::CreateTopics => {
            let topics = vec![CreatableTopic {
                name: "t-new".to_owned(),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            }];
            let request = CreateTopicsRequest { topics, validate_only: true, ..Default::default() };
            let told = client.call(7, &request).topics.remove(0);
            set(&[told.error_code, told.topic_config_error_code])
        }
        ApiKey::DeleteTopics => {
            let topics = vec![DeleteTopicState { name: Some("t-none".to_owned()), ..Default::default() }];
            said(client, 6, &DeleteTopicsRequest { topics, ..Default::default() })
        }
        ApiKey::DeleteRecords => {
            let topics = vec![DeleteRecordsTopic { name: t(), partitions: vec![Default::default()] }];
            said(client, 2, &DeleteRecordsRequest { topics, ..Default::default() })
        }
        ApiKey::CreatePartitions => {
            let topics = vec![CreatePartitionsTopic { name: t(), count: 2, ..Default::default() }];
            said(client, 3, &CreatePartitionsRequest { topics, validate_only: true, ..Default::default() })
        }
        ApiKey::OffsetForLeaderEpoch => {
            let partitions = vec![OffsetForLeaderPartition::default()];
            let topics = vec![OffsetForLeaderTopic { topic: t(), partitions }];
            said(client, 4, &OffsetForLeaderEpochRequest { topics, ..Default::default() })
        }
        ApiKey::DescribeProducers => {
            let topics = vec![DescribeProducersTopic { name: t(), partition_indexes: vec![0] }];
            said(client, 0, &DescribeProducersRequest { topics })
        }
        _ => ask_of_groups(client, key),
    }
}

/// The same for what is about groups and transactions.
fn ask_of_groups(client: &mut Client, key: ApiKey) -> HashSet<ErrorCode> {
    match key {
        ApiKey::OffsetCommit => {
            let partitions = vec![OffsetCommitRequestPartition { committed_offset: 1, ..Default::default() }];
            let topics = vec![OffsetCommitRequestTopic { name: t(), partitions }];
            let request = OffsetCommitRequest { group_id: g(), topics, ..Default::default() };
            codes(&client.call(8, &request))
        }
        ApiKey::OffsetFetch => {
            let topics = vec![OffsetFetchRequestTopics { name: t(), partition_indexes: vec![0] }];
            let group = OffsetFetchRequestGroup { group_id: g(), topics: Some(topics), ..Default::default() };
            codes(&client.call(8, &OffsetFetchRequest { groups: vec![group], ..Default::default() }))
        }
        ApiKey::FindCoordinator => {
            let request = FindCoordinatorRequest { coordinator_keys: vec![g()], ..Default::default() };
            codes(&client.call(4, &request))
        }
        ApiKey::JoinGroup => {
            let protocols =
                vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::new() }];
            let request = JoinGroupRequest {
                group_id: g(),
                session_timeout_ms: 10_000,
                protocol_type: "consumer".to_owned(),
                protocols,
                ..Default::default()
            };
            // It is given an id, with which it does not come back.
            codes(&client.call(5, &request))
        }
        ApiKey::Heartbeat => {
            codes(&client.call(4, &HeartbeatRequest { group_id: g(), ..Default::default() }))
        }
        ApiKey::SyncGroup => {
            codes(&client.call(4, &SyncGroupRequest { group_id: g(), ..Default::default() }))
        }
        ApiKey::LeaveGroup => {
            let members = vec![MemberIdentity { member_id: "nobody".to_owned(), ..Default::default() }];
            codes(&client.call(5, &LeaveGroupRequest { group_id: g(), members, ..Default::default() }))
        }
        ApiKey::DescribeGroups => {
            codes(&client.call(6, &DescribeGroupsRequest { groups: vec![g()], ..Default::default() }))
        }
        ApiKey::ListGroups => codes(&client.call(5, &ListGroupsRequest::default())),
        ApiKey::DeleteGroups => {
            codes(&client.call(2, &DeleteGroupsRequest { groups_names: vec!["g-none".to_owned()] }))
        }
        ApiKey::OffsetDelete => {
            let partitions = vec![OffsetDeleteRequestPartition::default()];
            let topics = vec![OffsetDeleteRequestTopic { name: t(), partitions }];
            codes(&client.call(0, &OffsetDeleteRequest { group_id: g(), topics }))
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let request = ConsumerGroupHeartbeatRequest {
                group_id: "g-none".to_owned(),
                member_id: "member".to_owned(),
                member_epoch: -1,
                subscribed_topic_names: Some(vec![t()]),
                ..Default::default()
            };
            codes(&client.call(1, &request))
        }
        ApiKey::ConsumerGroupDescribe => {
            let request = ConsumerGroupDescribeRequest { group_ids: vec![g()], ..Default::default() };
            codes(&client.call(0, &request))
        }
        ApiKey::ShareGroupHeartbeat => {
            let request = ShareGroupHeartbeatRequest {
                group_id: "g-none".to_owned(),
                member_id: "member".to_owned(),
                member_epoch: -1,
                subscribed_topic_names: Some(vec![t()]),
                ..Default::default()
            };
            codes(&client.call(1, &request))
        }
        ApiKey::ShareGroupDescribe => {
            codes(&client.call(1, &ShareGroupDescribeRequest { group_ids: vec![g()], ..Default::default() }))
        }
        ApiKey::StreamsGroupHeartbeat => {
            let subtopology = StreamsGroupSubtopology { source_topics: vec![t()], ..Default::default() };
            let request = StreamsGroupHeartbeatRequest {
                group_id: "g-none".to_owned(),
                member_id: "member".to_owned(),
                member_epoch: 1,
                topology: Some(StreamsGroupTopology { epoch: 0, subtopologies: vec![subtopology] }),
                ..Default::default()
            };
            codes(&client.call(1, &request))
        }
        ApiKey::StreamsGroupDescribe => {
            let request = StreamsGroupDescribeRequest { group_ids: vec![g()], ..Default::default() };
            codes(&client.call(1, &request))
        }
        ApiKey::ShareFetch => {
            let (group_id, member_id) = (Some(g()), Some("member".to_owned()));
            let request =
                ShareFetchRequest { group_id, member_id, share_session_epoch: 7, ..Default::default() };
            client.send(1, &request);
            let answer = client.read_frame().unwrap();
            // The number, no tags, no throttling, the code.
            set(&[i16::from_be_bytes([answer[9], answer[10]])])
        }
        ApiKey::ShareAcknowledge => {
            let (group_id, member_id) = (Some(g()), Some("member".to_owned()));
            let request =
                ShareAcknowledgeRequest { group_id, member_id, share_session_epoch: 7, ..Default::default() };
            codes(&client.call(1, &request))
        }
        ApiKey::DescribeShareGroupOffsets => {
            let group = DescribeShareGroupOffsetsRequestGroup { group_id: g(), topics: None };
            let request = DescribeShareGroupOffsetsRequest { groups: vec![group] };
            codes(&client.call(0, &request))
        }
        ApiKey::AlterShareGroupOffsets => {
            codes(&client.call(0, &AlterShareGroupOffsetsRequest { group_id: g(), ..Default::default() }))
        }
        ApiKey::DeleteShareGroupOffsets => {
            codes(&client.call(0, &DeleteShareGroupOffsetsRequest { group_id: g(), ..Default::default() }))
        }
        ApiKey::InitProducerId => codes(&client.call(4, &InitProducerIdRequest::default())),
        ApiKey::AddPartitionsToTxn => {
            let topics = vec![AddPartitionsToTxnTopic { name: t(), partitions: vec![0] }];
            let request = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: x(),
                v3_and_below_topics: topics,
                ..Default::default()
            };
            let told = client.call(3, &request).results_by_topic_v3_and_below;
            let told = told.iter().flat_map(|topic| &topic.results_by_partition);
            set(&told.map(|partition| partition.partition_error_code).collect::<Vec<_>>())
        }
        ApiKey::AddOffsetsToTxn => {
            let request =
                AddOffsetsToTxnRequest { transactional_id: x(), group_id: g(), ..Default::default() };
            codes(&client.call(3, &request))
        }
        ApiKey::EndTxn => {
            codes(&client.call(3, &EndTxnRequest { transactional_id: x(), ..Default::default() }))
        }
        ApiKey::TxnOffsetCommit => {
            let partitions = vec![TxnOffsetCommitRequestPartition::default()];
            let request = TxnOffsetCommitRequest {
                transactional_id: x(),
                group_id: g(),
                topics: vec![TxnOffsetCommitRequestTopic { name: t(), partitions }],
                ..Default::default()
            };
            codes(&client.call(3, &request))
        }
        ApiKey::DescribeTransactions => {
            codes(&client.call(0, &DescribeTransactionsRequest { transactional_ids: vec![x()] }))
        }
        ApiKey::ListTransactions => codes(&client.call(1, &ListTransactionsRequest::default())),
        _ => ask_of_cluster(client, key),
    }
}

/// The same for what is about the cluster and settings.
fn ask_of_cluster(client: &mut Client, key: ApiKey) -> HashSet<ErrorCode> {
    match key {
        ApiKey::WriteTxnMarkers => {
            let topics = vec![WritableTxnMarkerTopic { name: t(), partition_indexes: vec![0] }];
            let markers = vec![WritableTxnMarker { topics, producer_id: -1, ..Default::default() }];
            codes(&client.call(1, &WriteTxnMarkersRequest { markers }))
        }
        ApiKey::DescribeAcls => {
            let request = DescribeAclsRequest {
                resource_type_filter: 1,
                pattern_type_filter: 1,
                operation: 1,
                permission_type: 1,
                ..Default::default()
            };
            codes(&client.call(3, &request))
        }
        ApiKey::CreateAcls => {
            let creations = vec![rule(TOPIC, "other", Operation::Read)];
            codes(&client.call(3, &CreateAclsRequest { creations }))
        }
        ApiKey::DeleteAcls => {
            let none = DeleteAclsFilter { resource_name_filter: Some("none".to_owned()), ..every() };
            codes(&client.call(3, &DeleteAclsRequest { filters: vec![none] }))
        }
        ApiKey::DescribeConfigs => {
            let resource =
                DescribeConfigsResource { resource_type: 2, resource_name: t(), ..Default::default() };
            codes(
                &client.call(4, &DescribeConfigsRequest { resources: vec![resource], ..Default::default() }),
            )
        }
        ApiKey::AlterConfigs => {
            let resource =
                AlterConfigsResource { resource_type: 2, resource_name: t(), ..Default::default() };
            codes(&client.call(2, &AlterConfigsRequest { resources: vec![resource], validate_only: true }))
        }
        ApiKey::IncrementalAlterConfigs => {
            let resource = IncrementalAlterConfigsResource {
                resource_type: 2,
                resource_name: t(),
                ..Default::default()
            };
            let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: true };
            codes(&client.call(1, &request))
        }
        ApiKey::ListConfigResources => codes(&client.call(1, &ListConfigResourcesRequest::default())),
        ApiKey::AlterReplicaLogDirs => {
            let topics = vec![AlterReplicaLogDirTopic { name: t(), partitions: vec![0] }];
            let dirs = vec![AlterReplicaLogDir { path: "/nowhere".to_owned(), topics }];
            codes(&client.call(2, &AlterReplicaLogDirsRequest { dirs }))
        }
        ApiKey::DescribeLogDirs => codes(&client.call(4, &DescribeLogDirsRequest { topics: None })),
        ApiKey::ElectLeaders => codes(&client.call(2, &ElectLeadersRequest::default())),
        ApiKey::AlterPartitionReassignments => {
            codes(&client.call(0, &AlterPartitionReassignmentsRequest::default()))
        }
        ApiKey::ListPartitionReassignments => {
            codes(&client.call(0, &ListPartitionReassignmentsRequest::default()))
        }
        ApiKey::DescribeClientQuotas => codes(&client.call(1, &DescribeClientQuotasRequest::default())),
        ApiKey::AlterClientQuotas => {
            let entity =
                vec![AlterQuotaEntity { entity_type: "user".to_owned(), entity_name: Some("u".to_owned()) }];
            let entries = vec![AlterQuota { entity, ..Default::default() }];
            codes(&client.call(1, &AlterClientQuotasRequest { entries, validate_only: true }))
        }
        ApiKey::DescribeUserScramCredentials => {
            codes(&client.call(0, &DescribeUserScramCredentialsRequest { users: None }))
        }
        ApiKey::AlterUserScramCredentials => {
            let deletions = vec![ScramCredentialDeletion { name: "u".to_owned(), mechanism: 1 }];
            codes(&client.call(0, &AlterUserScramCredentialsRequest { deletions, ..Default::default() }))
        }
        ApiKey::DescribeQuorum => codes(&client.call(1, &DescribeQuorumRequest::default())),
        ApiKey::UpdateFeatures => codes(&client.call(1, &UpdateFeaturesRequest::default())),
        ApiKey::DescribeCluster => codes(&client.call(0, &DescribeClusterRequest::default())),
        ApiKey::UnregisterBroker => codes(&client.call(0, &UnregisterBrokerRequest { broker_id: 77 })),
        ApiKey::CreateDelegationToken => codes(&client.call(2, &CreateDelegationTokenRequest::default())),
        ApiKey::RenewDelegationToken => codes(&client.call(2, &RenewDelegationTokenRequest::default())),
        ApiKey::ExpireDelegationToken => codes(&client.call(2, &ExpireDelegationTokenRequest::default())),
        ApiKey::DescribeDelegationToken => codes(&client.call(2, &DescribeDelegationTokenRequest::default())),
        ApiKey::ApiVersions => codes(&client.call(0, &ApiVersionsRequest::default())),
        ApiKey::SaslHandshake | ApiKey::SaslAuthenticate => HashSet::new(),
        other => panic!("{other} is served: ask it here"),
    }
}

fn denials(client: &mut Client, key: ApiKey) -> HashSet<ErrorCode> {
    let said = ask(client, key);
    said.into_iter().filter(|code| DENIALS.contains(code)).collect()
}

/// The rules that allow this, of what begins with `t`, `g` and `x`.
fn rules(needs: &[Need]) -> Vec<AclCreation> {
    let of = |(operation, kind): &Need| match *kind {
        CLUSTER => rule(CLUSTER, "kafka-cluster", *operation),
        TOPIC => prefixed(rule(TOPIC, "t", *operation)),
        GROUP => prefixed(rule(GROUP, "g", *operation)),
        _ => prefixed(rule(TRANSACTION, "x", *operation)),
    };
    needs.iter().map(of).collect()
}

#[test]
fn every_api_is_refused_to_who_may_not_and_answered_to_who_may_exactly_that() {
    let dir = data_dir();
    let broker = start(dir.path(), &[]);
    let mut admin = user(&broker, "admin");
    admin.create("t", 1, &[]);
    commit(&mut admin, "g", &["t"]);
    begin(&mut admin, "x", Level::New);
    let mut bob = user(&broker, "bob");
    for api in APIS {
        let row = ROWS.iter().find(|row| row.0 == api.key);
        let Row(key, denied, suffices) =
            row.unwrap_or_else(|| panic!("{} is served: say here what it needs", api.key));
        let told = denials(&mut bob, *key);
        assert_eq!(told, denied.iter().copied().collect(), "{key} without permission");
        for needs in *suffices {
            assert!(
                needs.iter().all(|need| api.needs.contains(need)),
                "{key}: the table has {:?}",
                api.needs
            );
            created(&mut admin, &rules(needs));
            assert_eq!(denials(&mut bob, *key), HashSet::new(), "{key} with {needs:?}");
            for (at, without) in needs.iter().enumerate() {
                delete(&mut admin, every());
                let rest = [&needs[..at], &needs[at + 1..]].concat();
                created(&mut admin, &rules(&rest));
                assert_eq!(denials(&mut bob, *key).len(), 1, "{key} without {without:?}");
            }
            delete(&mut admin, every());
        }
    }
    // What one user may is nothing to another.
    let everything: Vec<Need> =
        [TOPIC, GROUP, CLUSTER, TRANSACTION].map(|kind| (Operation::Every, kind)).to_vec();
    assert!(create(&mut admin, &rules(&everything)).iter().all(|code| *code == ErrorCode::None));
    let mut carol = user(&broker, "carol");
    for Row(key, denied, _) in ROWS {
        assert_eq!(denials(&mut bob, *key), HashSet::new(), "{key} to who may do everything");
        assert_eq!(denials(&mut carol, *key), denied.iter().copied().collect(), "{key} to carol");
    }
}

/// The chapter that operators read has the table as it is compiled.
#[test]
fn the_page_says_what_every_api_needs() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/security.md")).unwrap();
    let need = |(operation, kind): &Need| format!("{operation} on {kind}");
    let row = |api: &strandline::dispatch::Api| match api.needs {
        [] => format!("| {} | nothing |", api.key),
        needs => format!("| {} | {} |", api.key, needs.iter().map(need).collect::<Vec<_>>().join("; ")),
    };
    let rows: Vec<String> = APIS.iter().map(row).collect();
    let table = rows.join("\n");
    assert!(page.contains(&table), "the table of docs/security.md is to be:\n{table}");
}
