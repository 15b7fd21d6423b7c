//! Small questions with long answers, and long questions (D11): what an answer costs is bounded by what its
//! question deserves.
//!
//! An API that is new in the table fails [`d11_what_is_named_again_costs_nothing_more`] until [`ask`] knows
//! how its requests name things.

mod share;
mod streams;

use std::time::Duration;

use bytes::Bytes;
use strandline::dispatch::APIS;
use strandline_protocol::Uuid;
use strandline_protocol::messages::*;
use strandline_protocol::wire::{ApiKey, Decode, Encode, ErrorCode};

use crate::broker::{Broker, data_dir};
use crate::client::{Client, batch};

/// A byte more in a request may bring so many more in its answer, whatever the API: what is refused is
/// refused with a sentence, and the least that can be refused takes three bytes.
const BYTES_PER_BYTE: usize = 16;

/// Partitions of the topic `wide`, and bytes of the metadata of each member and of each committed offset.
const WIDE: i32 = 500;
const METADATA_BYTES: usize = 3000;

/// What there is to be asked for.
struct World {
    client: Client,
    topic: Uuid,
    /// Makes names that were not there before.
    fresh: u32,
}

/// Bytes of a request and of its answer.
type Sizes = (usize, usize);

impl World {
    fn sizes<M: Request + Encode>(&mut self, version: i16, request: &M) -> Sizes {
        let frame = encode_request(version, 1, Some("scenarios"), request).unwrap();
        self.client.send(version, request);
        let answer = self.client.read_frame();
        let answer = answer.unwrap_or_else(|error| panic!("{} version {version}: {error}", M::KEY));
        (frame.len(), answer.len())
    }

    fn fresh(&mut self) -> String {
        self.fresh += 1;
        format!("fresh-{}", self.fresh)
    }
}

fn times<T: Clone>(copies: usize, value: T) -> Vec<T> {
    vec![value; copies]
}

fn wide() -> String {
    "wide".to_owned()
}

/// Asks with everything that a request can name, named so many times.
fn ask(world: &mut World, key: ApiKey, version: i16, copies: usize) -> Sizes {
    let group = || "held".to_owned();
    match key {
        ApiKey::Produce if version < 3 => (0, 0),
        ApiKey::Produce => {
            let data = PartitionProduceData { index: 0, records: Some(batch(&["v"])) };
            let topic = TopicProduceData {
                name: wide(),
                topic_id: if version >= 13 { world.topic } else { Uuid::nil() },
                partition_data: times(copies, data),
            };
            let request =
                ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() };
            world.sizes(version, &request)
        }
        ApiKey::Fetch => {
            let partitions = times(copies, FetchPartition { fetch_offset: 0, ..Default::default() });
            let topic = FetchTopic { topic: wide(), topic_id: world.topic, partitions };
            let topics = times(copies.min(8), topic);
            world.sizes(version, &FetchRequest { topics, ..Default::default() })
        }
        ApiKey::ListOffsets => {
            let partitions = times(copies, ListOffsetsPartition { timestamp: -1, ..Default::default() });
            let topics = vec![ListOffsetsTopic { name: wide(), partitions }];
            world.sizes(version, &ListOffsetsRequest { topics, ..Default::default() })
        }
        ApiKey::Metadata => {
            let topics = times(copies, MetadataRequestTopic { name: Some(wide()), ..Default::default() });
            world.sizes(version, &MetadataRequest { topics: Some(topics), ..Default::default() })
        }
        ApiKey::OffsetCommit => {
            let partitions = times(copies, OffsetCommitRequestPartition::default());
            let topics = vec![OffsetCommitRequestTopic { name: wide(), partitions }];
            let request = OffsetCommitRequest { group_id: "other".to_owned(), topics, ..Default::default() };
            world.sizes(version, &request)
        }
        ApiKey::OffsetFetch if version < 8 => {
            let topic = OffsetFetchRequestTopic { name: wide(), partition_indexes: times(copies, 0) };
            let topics = Some(times(copies.min(8), topic));
            world.sizes(version, &OffsetFetchRequest { group_id: group(), topics, ..Default::default() })
        }
        ApiKey::OffsetFetch => {
            let named = OffsetFetchRequestTopics { name: wide(), partition_indexes: times(copies, 0) };
            let some = OffsetFetchRequestGroup {
                group_id: group(),
                topics: Some(times(copies.min(8), named)),
                ..Default::default()
            };
            let all = OffsetFetchRequestGroup { group_id: "other".to_owned(), ..some.clone() };
            let mut groups = times(copies, OffsetFetchRequestGroup { topics: None, ..all });
            groups.push(some);
            world.sizes(version, &OffsetFetchRequest { groups, ..Default::default() })
        }
        ApiKey::FindCoordinator if version < 4 => {
            world.sizes(version, &FindCoordinatorRequest { key: group(), ..Default::default() })
        }
        ApiKey::FindCoordinator => {
            let coordinator_keys = times(copies, group());
            world.sizes(version, &FindCoordinatorRequest { coordinator_keys, ..Default::default() })
        }
        ApiKey::JoinGroup => {
            // Nobody joins; what a member says is kept and told once.
            let protocol = JoinGroupRequestProtocol {
                name: "range".to_owned(),
                metadata: Bytes::from_static(&[0; 100]),
            };
            let request = JoinGroupRequest {
                group_id: world.fresh(),
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: if version == 0 { -1 } else { 10_000 },
                protocol_type: "consumer".to_owned(),
                protocols: times(copies, protocol),
                ..Default::default()
            };
            world.sizes(version, &request)
        }
        ApiKey::ConsumerGroupHeartbeat | ApiKey::ConsumerGroupDescribe => {
            ask_of_consumer_groups(world, key, version, copies)
        }
        key if share::is_of_share_groups(key) => share::ask_of_share_groups(world, key, version, copies),
        key if streams::is_its(key) => streams::ask(world, key, version, copies),
        ApiKey::Heartbeat => {
            world.sizes(version, &HeartbeatRequest { group_id: group(), ..Default::default() })
        }
        ApiKey::LeaveGroup if version < 3 => {
            world.sizes(version, &LeaveGroupRequest { group_id: group(), ..Default::default() })
        }
        ApiKey::LeaveGroup => {
            let members =
                times(copies, MemberIdentity { member_id: "nobody".to_owned(), ..Default::default() });
            world.sizes(version, &LeaveGroupRequest { group_id: group(), members, ..Default::default() })
        }
        ApiKey::SyncGroup => {
            let given = SyncGroupRequestAssignment {
                member_id: "nobody".to_owned(),
                assignment: Bytes::from_static(&[0; 100]),
            };
            let request = SyncGroupRequest {
                group_id: group(),
                member_id: "nobody".to_owned(),
                protocol_type: (version >= 5).then(|| "consumer".to_owned()),
                protocol_name: (version >= 5).then(|| "range".to_owned()),
                assignments: times(copies, given),
                ..Default::default()
            };
            world.sizes(version, &request)
        }
        ApiKey::DescribeGroups => world
            .sizes(version, &DescribeGroupsRequest { groups: times(copies, group()), ..Default::default() }),
        ApiKey::ListGroups => {
            let request = ListGroupsRequest {
                states_filter: if version >= 4 { times(copies, "Stable".to_owned()) } else { Vec::new() },
                types_filter: if version >= 5 { times(copies, "classic".to_owned()) } else { Vec::new() },
            };
            world.sizes(version, &request)
        }
        ApiKey::ApiVersions => {
            let request = ApiVersionsRequest {
                client_software_name: "test".to_owned(),
                client_software_version: "1".to_owned(),
            };
            world.sizes(version, &request)
        }
        ApiKey::CreateTopics => {
            let topic = CreatableTopic {
                name: world.fresh(),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            };
            let request = CreateTopicsRequest { topics: times(copies, topic), ..Default::default() };
            world.sizes(version, &request)
        }
        ApiKey::DeleteTopics => {
            let name = world.fresh();
            let request = match version {
                ..6 => DeleteTopicsRequest { topic_names: times(copies, name), ..Default::default() },
                _ => {
                    let topic = DeleteTopicState { name: Some(name), topic_id: Uuid::nil() };
                    DeleteTopicsRequest { topics: times(copies, topic), ..Default::default() }
                }
            };
            world.sizes(version, &request)
        }
        ApiKey::DeleteRecords => {
            let partitions = times(copies, DeleteRecordsPartition { partition_index: 0, offset: 0 });
            let topics = times(copies.min(8), DeleteRecordsTopic { name: wide(), partitions });
            world.sizes(version, &DeleteRecordsRequest { topics, timeout_ms: 1000 })
        }
        ApiKey::InitProducerId => world.sizes(version, &InitProducerIdRequest::default()),
        ApiKey::DescribeConfigs => {
            let resource = |kind, name: &str| DescribeConfigsResource {
                resource_type: kind,
                resource_name: name.to_owned(),
                configuration_keys: None,
            };
            let mut resources = times(copies, resource(2, "wide"));
            resources.extend(times(copies, resource(4, "1")));
            let named = DescribeConfigsResource {
                configuration_keys: Some(times(copies, "retention.ms".to_owned())),
                ..resource(2, "other")
            };
            resources.push(named);
            let (include_synonyms, include_documentation) = (true, version >= 3);
            let request = DescribeConfigsRequest { resources, include_synonyms, include_documentation };
            world.sizes(version, &request)
        }
        ApiKey::AlterConfigs => {
            let resource =
                AlterConfigsResource { resource_type: 2, resource_name: world.fresh(), ..Default::default() };
            let request = AlterConfigsRequest { resources: times(copies, resource), validate_only: true };
            world.sizes(version, &request)
        }
        ApiKey::IncrementalAlterConfigs => {
            let resource = IncrementalAlterConfigsResource {
                resource_type: 2,
                resource_name: world.fresh(),
                ..Default::default()
            };
            let resources = times(copies, resource);
            world.sizes(version, &IncrementalAlterConfigsRequest { resources, validate_only: true })
        }
        ApiKey::DescribeLogDirs => {
            let topic = DescribableLogDirTopic { topic: wide(), partitions: times(copies, 0) };
            let topics = Some(times(copies.min(8), topic));
            world.sizes(version, &DescribeLogDirsRequest { topics })
        }
        ApiKey::CreatePartitions => {
            let topic = CreatePartitionsTopic { name: world.fresh(), count: 2, assignments: None };
            let topics = times(copies, topic);
            world.sizes(version, &CreatePartitionsRequest { topics, ..Default::default() })
        }
        ApiKey::DeleteGroups => {
            let groups_names = times(copies, "nobody's".to_owned());
            world.sizes(version, &DeleteGroupsRequest { groups_names })
        }
        ApiKey::ListPartitionReassignments => {
            world.sizes(version, &ListPartitionReassignmentsRequest::default())
        }
        ApiKey::OffsetDelete => {
            let partitions = times(copies, OffsetDeleteRequestPartition { partition_index: 0 });
            let topics = times(copies.min(8), OffsetDeleteRequestTopic { name: wide(), partitions });
            world.sizes(version, &OffsetDeleteRequest { group_id: "other".to_owned(), topics })
        }
        ApiKey::OffsetForLeaderEpoch => {
            let partitions = times(copies, OffsetForLeaderPartition::default());
            let topics = times(copies.min(8), OffsetForLeaderTopic { topic: wide(), partitions });
            world.sizes(version, &OffsetForLeaderEpochRequest { topics, ..Default::default() })
        }
        ApiKey::DescribeAcls => world.sizes(version, &DescribeAclsRequest::default()),
        ApiKey::CreateAcls => {
            let creations = times(copies, AclCreation::default());
            world.sizes(version, &CreateAclsRequest { creations })
        }
        ApiKey::DeleteAcls => {
            let filters = times(copies, DeleteAclsFilter::default());
            world.sizes(version, &DeleteAclsRequest { filters })
        }
        ApiKey::AlterReplicaLogDirs => {
            let topic = AlterReplicaLogDirTopic { name: wide(), partitions: times(copies, 0) };
            let dir = AlterReplicaLogDir { path: "/".to_owned(), topics: times(copies.min(8), topic) };
            world.sizes(version, &AlterReplicaLogDirsRequest { dirs: times(copies.min(4), dir) })
        }
        ApiKey::CreateDelegationToken => {
            let renewers = times(copies, CreatableRenewers::default());
            world.sizes(version, &CreateDelegationTokenRequest { renewers, ..Default::default() })
        }
        ApiKey::RenewDelegationToken => world.sizes(version, &RenewDelegationTokenRequest::default()),
        ApiKey::ExpireDelegationToken => world.sizes(version, &ExpireDelegationTokenRequest::default()),
        ApiKey::DescribeDelegationToken => {
            let owners = Some(times(copies, DescribeDelegationTokenOwner::default()));
            world.sizes(version, &DescribeDelegationTokenRequest { owners })
        }
        ApiKey::ElectLeaders => {
            // Those that are there, and one that is not.
            let partitions = [times(copies, 0), times(copies, WIDE)].concat();
            let topic = ElectLeadersTopic { topic: wide(), partitions };
            let topic_partitions = Some(times(copies.min(8), topic));
            world.sizes(version, &ElectLeadersRequest { topic_partitions, ..Default::default() })
        }
        ApiKey::AlterPartitionReassignments => {
            let partitions = times(copies, ReassignablePartition { partition_index: WIDE, replicas: None });
            let topics = times(copies.min(8), ReassignableTopic { name: wide(), partitions });
            world.sizes(version, &AlterPartitionReassignmentsRequest { topics, ..Default::default() })
        }
        ApiKey::DescribeClientQuotas => {
            let component = QuotaComponent { entity_type: "user".to_owned(), ..Default::default() };
            let components = times(copies, component);
            world.sizes(version, &DescribeClientQuotasRequest { components, ..Default::default() })
        }
        ApiKey::AlterClientQuotas => {
            let entries = times(copies, AlterQuota::default());
            world.sizes(version, &AlterClientQuotasRequest { entries, ..Default::default() })
        }
        // They name one thing at most.
        ApiKey::SaslHandshake => world.sizes(version, &SaslHandshakeRequest::default()),
        ApiKey::SaslAuthenticate => world.sizes(version, &SaslAuthenticateRequest::default()),
        ApiKey::DescribeUserScramCredentials => {
            let users = Some(times(copies, ScramUserName { name: "nobody".to_owned() }));
            world.sizes(version, &DescribeUserScramCredentialsRequest { users })
        }
        ApiKey::AlterUserScramCredentials => {
            let deletions = times(copies, ScramCredentialDeletion::default());
            world.sizes(version, &AlterUserScramCredentialsRequest { deletions, ..Default::default() })
        }
        ApiKey::DescribeQuorum => {
            let partitions = times(copies, DescribeQuorumPartition::default());
            let metadata = "__cluster_metadata".to_owned();
            let topics = times(copies.min(8), DescribeQuorumTopic { topic_name: metadata, partitions });
            world.sizes(version, &DescribeQuorumRequest { topics })
        }
        ApiKey::UpdateFeatures => {
            let feature_updates = times(copies, FeatureUpdateKey::default());
            world.sizes(version, &UpdateFeaturesRequest { feature_updates, ..Default::default() })
        }
        ApiKey::DescribeProducers => {
            let topic = DescribeProducersTopic { name: wide(), partition_indexes: times(copies, 0) };
            let topics = times(copies.min(8), topic);
            world.sizes(version, &DescribeProducersRequest { topics })
        }
        ApiKey::UnregisterBroker => world.sizes(version, &UnregisterBrokerRequest { broker_id: 9 }),
        ApiKey::ListConfigResources => {
            let resource_types = if version >= 1 { times(copies, 2) } else { Vec::new() };
            world.sizes(version, &ListConfigResourcesRequest { resource_types })
        }
        ApiKey::DescribeCluster => world.sizes(version, &DescribeClusterRequest::default()),
        ApiKey::DescribeTopicPartitions => {
            let topics = times(copies, TopicRequest { name: wide() });
            world.sizes(version, &DescribeTopicPartitionsRequest { topics, ..Default::default() })
        }
        key => ask_of_transactions(world, key, version, copies),
    }
}

/// As `ask`, of the APIs of consumer groups.
fn ask_of_consumer_groups(world: &mut World, key: ApiKey, version: i16, copies: usize) -> Sizes {
    let group = || "held".to_owned();
    match key {
        ApiKey::ConsumerGroupHeartbeat => {
            let subscribed_topic_names = Some(times(copies, wide()));
            let (group_id, member_id) = (group(), "nobody".to_owned());
            let request = ConsumerGroupHeartbeatRequest {
                group_id,
                member_id,
                subscribed_topic_names,
                ..Default::default()
            };
            world.sizes(version, &request)
        }
        ApiKey::ConsumerGroupDescribe => {
            let request =
                ConsumerGroupDescribeRequest { group_ids: times(copies, group()), ..Default::default() };
            world.sizes(version, &request)
        }
        _ => unreachable!("an API of consumer groups"),
    }
}

/// The same of the APIs that are about transactions.
fn ask_of_transactions(world: &mut World, key: ApiKey, version: i16, copies: usize) -> Sizes {
    match key {
        ApiKey::DescribeTransactions => {
            let transactional_ids = times(copies, "none".to_owned());
            world.sizes(version, &DescribeTransactionsRequest { transactional_ids })
        }
        ApiKey::ListTransactions => {
            let state_filters = times(copies, "Asleep".to_owned());
            world.sizes(version, &ListTransactionsRequest { state_filters, ..Default::default() })
        }
        ApiKey::AddPartitionsToTxn => {
            let topic = AddPartitionsToTxnTopic { name: wide(), partitions: times(copies, 0) };
            let topics = times(copies.min(8), topic);
            match version {
                ..4 => {
                    let v3_and_below_topics = topics;
                    world.sizes(
                        version,
                        &AddPartitionsToTxnRequest { v3_and_below_topics, ..Default::default() },
                    )
                }
                _ => {
                    let transactions = vec![AddPartitionsToTxnTransaction { topics, ..Default::default() }];
                    world.sizes(version, &AddPartitionsToTxnRequest { transactions, ..Default::default() })
                }
            }
        }
        ApiKey::AddOffsetsToTxn => world.sizes(version, &AddOffsetsToTxnRequest::default()),
        ApiKey::EndTxn => world.sizes(version, &EndTxnRequest::default()),
        ApiKey::WriteTxnMarkers => {
            let topic = WritableTxnMarkerTopic { name: wide(), partition_indexes: times(copies, 0) };
            let marker = WritableTxnMarker { topics: times(copies.min(8), topic), ..Default::default() };
            world.sizes(version, &WriteTxnMarkersRequest { markers: vec![marker] })
        }
        ApiKey::TxnOffsetCommit => {
            let partitions = times(copies, TxnOffsetCommitRequestPartition::default());
            let topic = TxnOffsetCommitRequestTopic { name: wide(), partitions };
            let topics = times(copies.min(8), topic);
            world.sizes(version, &TxnOffsetCommitRequest { topics, ..Default::default() })
        }
        other => panic!("say here how a {other} request names things, so that it can name them often"),
    }
}

/// A wide topic, a group with a member, and offsets with metadata.
fn world(broker: &Broker) -> World {
    let mut client = broker.client();
    client.create("other", 1, &[]);
    let topic = client.create("wide", WIDE, &[]).topic_id;
    let mut world = World { client, topic, fresh: 0 };
    let found = FindCoordinatorRequest { key: "held".to_owned(), ..Default::default() };
    assert_eq!(world.client.call(3, &found).error_code, 0);
    let protocol =
        JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::from(vec![7; METADATA_BYTES]) };
    let join = JoinGroupRequest {
        group_id: "held".to_owned(),
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..Default::default()
    };
    let joined = loading(|| {
        let joined = world.client.call(3, &join);
        (joined.error_code, joined)
    });
    assert_eq!(joined.error_code, 0);
    let given = SyncGroupRequestAssignment {
        member_id: joined.member_id.clone(),
        assignment: Bytes::from(vec![7; METADATA_BYTES]),
    };
    let sync = SyncGroupRequest {
        group_id: "held".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: vec![given],
        ..Default::default()
    };
    assert_eq!(world.client.call(3, &sync).error_code, 0);
    for (group, member_id, generation) in
        [("held", joined.member_id, joined.generation_id), ("other", String::new(), -1)]
    {
        let partition = |partition_index| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: 5,
            committed_metadata: Some("m".repeat(METADATA_BYTES)),
            ..Default::default()
        };
        let commit = OffsetCommitRequest {
            group_id: group.to_owned(),
            generation_id_or_member_epoch: generation,
            member_id,
            topics: vec![OffsetCommitRequestTopic {
                name: wide(),
                partitions: (0..20).map(partition).collect(),
            }],
            ..Default::default()
        };
        loading(|| {
            let answered = world.client.call(8, &commit);
            (answered.topics[0].partitions[0].error_code, ())
        });
    }
    world
}

/// Asks again while a coordinator loads.
fn loading<T>(mut ask: impl FnMut() -> (i16, T)) -> T {
    loop {
        match ask() {
            (14..=16, _) => std::thread::sleep(Duration::from_millis(20)),
            (_, answer) => return answer,
        }
    }
}

#[test]
fn d11_what_is_named_again_costs_nothing_more() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "group.initial.rebalance.delay.ms=0"]);
    let mut world = world(&broker);
    for api in APIS {
        for version in api.versions.clone() {
            let (asked, answered) = ask(&mut world, api.key, version, 1);
            for doublings in [1, 5, 9] {
                let (asked_more, answered_more) = ask(&mut world, api.key, version, 1 << doublings);
                // A name that is refused because it comes twice is refused with a sentence.
                let bound = answered + 100 + BYTES_PER_BYTE * (asked_more - asked);
                assert!(
                    answered_more <= bound,
                    "{} version {version}: {asked} bytes had an answer of {answered}, {asked_more} bytes of the \
                     same names one of {answered_more}, which is more than {bound}",
                    api.key
                );
            }
        }
    }
}

/// Asks for the metadata of all topics.
fn all_topics() -> MetadataRequest {
    MetadataRequest { topics: None, ..Default::default() }
}

#[test]
fn d11_a_topic_that_is_named_often_is_answered_once_and_in_its_place() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    let names = ["b", "a", "c"];
    for name in names {
        client.create(name, 3, &[]);
    }
    let topics = [names, names].concat();
    let topics = topics
        .iter()
        .map(|name| MetadataRequestTopic { name: Some((*name).to_owned()), ..Default::default() });
    let request = MetadataRequest { topics: Some(topics.collect()), ..Default::default() };
    let answered = client.call(12, &request).topics;
    let found: Vec<_> = answered.iter().map(|topic| topic.name.as_deref().unwrap()).collect();
    assert_eq!(found, names);
    assert!(answered.iter().all(|topic| topic.partitions.len() == 3));
}

#[test]
fn d11_clients_that_never_read_their_answers_cost_little() {
    const CLIENTS: usize = 300;
    const PARTITIONS: i32 = 20_000;
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut honest = broker.client();
    assert_eq!(honest.create("wide", PARTITIONS, &[]).error_code, 0);
    assert_eq!(honest.create("t", 1, &[]).error_code, 0);
    let whole = honest.call(12, &all_topics());
    let before = broker.resident();
    let mut silent: Vec<_> = (0..CLIENTS).map(|_| broker.client()).collect();
    for client in &silent {
        // Little of the answers is kept on the way.
        rustix::net::sockopt::set_socket_recv_buffer_size(client.stream(), 4096).unwrap();
    }
    for _ in 0..4 {
        for client in &mut silent {
            client.send(12, &all_topics());
        }
        assert_eq!(honest.produce("t", 0, batch(&["fine"])).error_code, 0);
    }
    // The answer that each of them is owed is half a megabyte.
    assert_eq!(honest.call(12, &all_topics()), whole);
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for {CLIENTS} clients");
    // Nobody waits for what they hold, so that they may take their time.
    let answer = silent[0].read_frame().unwrap();
    let (_, answer) = decode_response::<MetadataResponse>(&answer, 12).unwrap();
    assert_eq!(answer, whole);
}

#[test]
fn d11_a_client_that_takes_nothing_gives_way_to_one_that_waits() {
    // Offsets with metadata of some 10 MB: three answers are more than there is memory for.
    const PARTITIONS: i32 = 3000;
    const AT_ONCE: i32 = 500;
    let dir = data_dir();
    let (broker, log) = Broker::start_logging(dir.path(), &["--shards", "1"]);
    let mut honest = broker.client();
    assert_eq!(honest.create("wide", PARTITIONS, &[]).error_code, 0);
    let found = FindCoordinatorRequest { key: "g".to_owned(), ..Default::default() };
    assert_eq!(honest.call(3, &found).error_code, 0);
    for first in (0..PARTITIONS).step_by(AT_ONCE as usize) {
        let partition = |partition_index| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: 5,
            committed_metadata: Some("m".repeat(4000)),
            ..Default::default()
        };
        let commit = OffsetCommitRequest {
            group_id: "g".to_owned(),
            topics: vec![OffsetCommitRequestTopic {
                name: wide(),
                partitions: (first..first + AT_ONCE).map(partition).collect(),
            }],
            ..Default::default()
        };
        let code = loading(|| {
            let code = honest.call(8, &commit).topics[0].partitions[0].error_code;
            (code, code)
        });
        assert_eq!(code, 0);
    }
    let all = OffsetFetchRequest { group_id: "g".to_owned(), topics: None, ..Default::default() };
    let before = broker.resident();
    let mut silent: Vec<_> = (0..4).map(|_| broker.client()).collect();
    for client in &mut silent {
        for _ in 0..4 {
            client.send(7, &all);
        }
    }
    // One of them has begun to be answered.
    while silent.iter().all(|client| {
        client.stream().set_nonblocking(true).unwrap();
        client.stream().peek(&mut [0]).is_err()
    }) {
        std::thread::sleep(Duration::from_millis(20));
    }
    honest.stream().set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let answered = honest.call(7, &all);
    assert_eq!(answered.topics[0].partitions.len(), PARTITIONS as usize);
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 192 << 20, "{grown} bytes");
    // Whoever was cut off made room for it.
    broker.kill();
    let log = log.join().unwrap();
    assert!(log.contains("it took nothing of a long answer while others waited for the memory"), "{log}");
}

fn call_large<M>(client: &mut Client, version: i16, request: &M) -> M::Response
where
    M: Request + Encode,
    M::Response: Decode,
{
    client.stream().set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    client.call(version, request)
}

#[test]
fn d11_thousands_of_topics_and_partitions_are_served_in_one_request() {
    const TOPICS: usize = 10_000;
    const PARTITIONS: i32 = 30_000;
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "auto.create.topics.enable=false"]);
    let mut client = broker.client();
    let topic = |at: usize| CreatableTopic {
        name: format!("topic-{at:05}"),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: (0..TOPICS).map(topic).collect(), ..Default::default() };
    let made = call_large(&mut client, 7, &request).topics;
    assert_eq!(made.len(), TOPICS);
    for (at, made) in made.iter().enumerate() {
        assert_eq!((made.error_code, &made.name), (0, &format!("topic-{at:05}")));
    }

    let named = (0..15_000)
        .map(|at| MetadataRequestTopic { name: Some(format!("topic-{at:05}")), ..Default::default() });
    let request = MetadataRequest { topics: Some(named.collect()), ..Default::default() };
    for version in [1, 12] {
        let answered = call_large(&mut client, version, &request).topics;
        let there = answered.iter().filter(|topic| topic.error_code == 0).count();
        assert_eq!((answered.len(), there), (15_000, TOPICS));
    }

    // Partitions that are not there: those that are would each be opened, which is not what is looked at
    // here.
    let partition = |partition| FetchPartition { partition, fetch_offset: 0, ..Default::default() };
    let unknown = FetchTopic {
        topic: "topic-00000".to_owned(),
        topic_id: Uuid::nil(),
        partitions: (1..=PARTITIONS).map(partition).collect(),
    };
    let request = FetchRequest { topics: vec![unknown], max_bytes: 1 << 20, ..Default::default() };
    let answered = client.fetch(11, &request);
    assert_eq!(answered.responses[0].partitions.len(), PARTITIONS as usize);

    assert_eq!(client.create("wide", PARTITIONS, &[]).error_code, 0);
    let found = FindCoordinatorRequest { key: "g".to_owned(), ..Default::default() };
    assert_eq!(client.call(3, &found).error_code, 0);
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: i64::from(partition_index),
        ..Default::default()
    };
    let commit = OffsetCommitRequest {
        group_id: "g".to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: wide(),
            partitions: (0..PARTITIONS).map(partition).collect(),
        }],
        ..Default::default()
    };
    let codes = loading(|| {
        let answered = call_large(&mut client, 2, &commit);
        (answered.topics[0].partitions[0].error_code, answered)
    });
    assert!(codes.topics[0].partitions.iter().all(|partition| partition.error_code == 0));
    let fetch = OffsetFetchRequest { group_id: "g".to_owned(), topics: None, ..Default::default() };
    let offsets = call_large(&mut client, 7, &fetch).topics.remove(0).partitions;
    assert!(offsets.iter().all(|found| found.committed_offset == i64::from(found.partition_index)));
    assert_eq!(offsets.len(), PARTITIONS as usize);
    let request = DeleteTopicsRequest { topic_names: vec!["wide".to_owned(); 2], ..Default::default() };
    let deleted = client.call(5, &request).responses;
    assert_eq!((deleted.len(), deleted[0].error_code), (1, ErrorCode::InvalidRequest.code()));

    // One write of the topic table for all of them: ten thousand writes of it would take minutes.
    let names = || (0..TOPICS).map(|at| format!("topic-{at:05}")).chain(["nowhere".to_owned()]);
    let in_order = |codes: Vec<(String, i16)>| {
        let expected = names().map(|name| {
            let code = if name == "nowhere" { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::None };
            (name, code.code())
        });
        assert!(codes.into_iter().eq(expected), "each is answered, in the order asked");
    };
    let grown = |name| CreatePartitionsTopic { name, count: 2, ..Default::default() };
    let request = CreatePartitionsRequest { topics: names().map(grown).collect(), ..Default::default() };
    let results = call_large(&mut client, 3, &request).results;
    in_order(results.into_iter().map(|result| (result.name, result.error_code)).collect());
    let altered = |resource_name| IncrementalAlterConfigsResource {
        resource_type: 2,
        resource_name,
        configs: vec![IncrementalAlterableConfig {
            name: "retention.ms".to_owned(),
            config_operation: 0,
            value: Some("100000000".to_owned()),
        }],
    };
    let resources = names().map(altered).collect();
    let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
    let responses = call_large(&mut client, 1, &request).responses;
    in_order(responses.into_iter().map(|answer| (answer.resource_name, answer.error_code)).collect());
    let request = DeleteTopicsRequest { topic_names: names().collect(), ..Default::default() };
    let responses = call_large(&mut client, 5, &request).responses;
    let told = |answer: DeletableTopicResult| (answer.name.unwrap_or_default(), answer.error_code);
    in_order(responses.into_iter().map(told).collect());
    let left = call_large(&mut client, 12, &all_topics()).topics;
    let left: Vec<_> = left.into_iter().filter_map(|topic| topic.name).collect();
    assert_eq!(left, ["__consumer_offsets", "wide"]);
}
