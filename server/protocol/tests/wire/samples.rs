//! A populated value of every message, made from a seed.
//!
//! A sample has a value other than the default in every field, including those that its version does not
//! have, except where writing such a value is refused. Struct and field names are Kafka's, which the oracle
//! relies on.

#![allow(dead_code, reason = "the tests of the protocol and those of the broker take different samples")]

use bytes::{Bytes, BytesMut};
use strandline_protocol::Uuid;
use strandline_protocol::messages::*;
use strandline_protocol::wire::reader::STRING_BYTES_MAX;

/// Values of which each differs from those before it.
pub(crate) struct Seed {
    state: u64,
    string_bytes: usize,
}

/// What every string of a sample begins with.
pub(crate) const STRING_HEAD: &str = "text-é-";

impl Seed {
    pub(crate) fn new(seed: u64) -> Seed {
        Seed { state: seed, string_bytes: 0 }
    }

    /// Values whose strings are as long as strings can be.
    pub(crate) fn of_long_strings(seed: u64) -> Seed {
        Seed { state: seed, string_bytes: STRING_BYTES_MAX }
    }

    /// A number of all 64 bits (xorshift64*).
    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn i8(&mut self) -> i8 {
        2 + (self.next() >> 58) as i8
    }

    fn i16(&mut self) -> i16 {
        1 + (self.next() >> 50) as i16
    }

    fn i32(&mut self) -> i32 {
        1 + (self.next() >> 34) as i32
    }

    fn i64(&mut self) -> i64 {
        1 + (self.next() >> 2) as i64
    }

    fn string(&mut self) -> String {
        let mut text = format!("{STRING_HEAD}{:x}", self.next() >> (self.next() % 60));
        text.extend(std::iter::repeat_n('x', self.string_bytes.saturating_sub(text.len())));
        text
    }

    fn some(&mut self) -> Option<String> {
        Some(self.string())
    }

    fn id(&mut self) -> Uuid {
        let mut bytes = [0x11; 16];
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        Uuid::from_bytes(bytes)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = 1 + self.next() % 300;
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// Bytes that only clients understand.
    fn opaque(&mut self) -> Bytes {
        let length = 1 + self.next() % 30;
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn ids(&mut self) -> Vec<i32> {
        self.several(Seed::i32)
    }

    /// One to three elements.
    fn several<T>(&mut self, mut one: impl FnMut(&mut Seed) -> T) -> Vec<T> {
        let count = 1 + self.next() % 3;
        (0..count).map(|_| one(self)).collect()
    }
}

/// `value` where the version has it, else the default.
fn only<T: Default>(has: bool, value: T) -> T {
    if has { value } else { T::default() }
}

fn leader(s: &mut Seed) -> LeaderIdAndEpoch {
    LeaderIdAndEpoch { leader_id: s.i32(), leader_epoch: s.i32() }
}

fn endpoint(s: &mut Seed) -> NodeEndpoint {
    NodeEndpoint { node_id: s.i32(), host: s.string(), port: s.i32(), rack: s.some() }
}

pub(crate) fn api_versions_request(_version: i16, s: &mut Seed) -> ApiVersionsRequest {
    ApiVersionsRequest { client_software_name: s.string(), client_software_version: s.string() }
}

pub(crate) fn api_versions_response(_version: i16, s: &mut Seed) -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: s.i16(),
        api_keys: s.several(|s| ApiVersion { api_key: s.i16(), min_version: s.i16(), max_version: s.i16() }),
        throttle_time_ms: s.i32(),
        supported_features: s.several(|s| SupportedFeatureKey {
            name: s.string(),
            min_version: s.i16(),
            max_version: s.i16(),
        }),
        finalized_features_epoch: s.i64(),
        finalized_features: s.several(|s| FinalizedFeatureKey {
            name: s.string(),
            max_version_level: s.i16(),
            min_version_level: s.i16(),
        }),
        zk_migration_ready: true,
    }
}

pub(crate) fn metadata_request(version: i16, s: &mut Seed) -> MetadataRequest {
    MetadataRequest {
        topics: Some(s.several(|s| MetadataRequestTopic { topic_id: s.id(), name: s.some() })),
        allow_auto_topic_creation: version < 4,
        include_cluster_authorized_operations: (8..=10).contains(&version),
        include_topic_authorized_operations: version >= 8,
    }
}

pub(crate) fn metadata_response(_version: i16, s: &mut Seed) -> MetadataResponse {
    MetadataResponse {
        throttle_time_ms: s.i32(),
        brokers: s.several(|s| MetadataResponseBroker {
            node_id: s.i32(),
            host: s.string(),
            port: s.i32(),
            rack: s.some(),
        }),
        cluster_id: s.some(),
        controller_id: s.i32(),
        topics: s.several(|s| MetadataResponseTopic {
            error_code: s.i16(),
            name: s.some(),
            topic_id: s.id(),
            is_internal: true,
            partitions: s.several(|s| MetadataResponsePartition {
                error_code: s.i16(),
                partition_index: s.i32(),
                leader_id: s.i32(),
                leader_epoch: s.i32(),
                replica_nodes: s.ids(),
                isr_nodes: s.ids(),
                offline_replicas: s.ids(),
            }),
            topic_authorized_operations: s.i32(),
        }),
        cluster_authorized_operations: s.i32(),
        error_code: s.i16(),
    }
}

pub(crate) fn create_topics_request(_version: i16, s: &mut Seed) -> CreateTopicsRequest {
    CreateTopicsRequest {
        topics: s.several(|s| CreatableTopic {
            name: s.string(),
            num_partitions: s.i32(),
            replication_factor: s.i16(),
            assignments: s
                .several(|s| CreatableReplicaAssignment { partition_index: s.i32(), broker_ids: s.ids() }),
            configs: s.several(|s| CreatableTopicConfig { name: s.string(), value: s.some() }),
        }),
        timeout_ms: s.i32(),
        validate_only: true,
    }
}

pub(crate) fn create_topics_response(_version: i16, s: &mut Seed) -> CreateTopicsResponse {
    CreateTopicsResponse {
        throttle_time_ms: s.i32(),
        topics: s.several(|s| CreatableTopicResult {
            name: s.string(),
            topic_id: s.id(),
            error_code: s.i16(),
            error_message: s.some(),
            topic_config_error_code: s.i16(),
            num_partitions: s.i32(),
            replication_factor: s.i16(),
            configs: Some(s.several(|s| CreatableTopicConfigs {
                name: s.string(),
                value: s.some(),
                read_only: true,
                config_source: s.i8(),
                is_sensitive: true,
            })),
        }),
    }
}

pub(crate) fn delete_topics_request(version: i16, s: &mut Seed) -> DeleteTopicsRequest {
    let topics = s.several(|s| DeleteTopicState { name: s.some(), topic_id: s.id() });
    let topic_names = s.several(Seed::string);
    DeleteTopicsRequest {
        topics: only(version >= 6, topics),
        topic_names: only(version <= 5, topic_names),
        timeout_ms: s.i32(),
    }
}

pub(crate) fn delete_topics_response(_version: i16, s: &mut Seed) -> DeleteTopicsResponse {
    DeleteTopicsResponse {
        throttle_time_ms: s.i32(),
        responses: s.several(|s| DeletableTopicResult {
            name: s.some(),
            topic_id: s.id(),
            error_code: s.i16(),
            error_message: s.some(),
        }),
    }
}

pub(crate) fn list_offsets_request(version: i16, s: &mut Seed) -> ListOffsetsRequest {
    ListOffsetsRequest {
        replica_id: s.i32(),
        isolation_level: only(version >= 2, s.i8()),
        topics: s.several(|s| ListOffsetsTopic {
            name: s.string(),
            partitions: s.several(|s| ListOffsetsPartition {
                partition_index: s.i32(),
                current_leader_epoch: s.i32(),
                timestamp: -s.i64(),
            }),
        }),
        timeout_ms: s.i32(),
    }
}

pub(crate) fn list_offsets_response(_version: i16, s: &mut Seed) -> ListOffsetsResponse {
    ListOffsetsResponse {
        throttle_time_ms: s.i32(),
        topics: s.several(|s| ListOffsetsTopicResponse {
            name: s.string(),
            partitions: s.several(|s| ListOffsetsPartitionResponse {
                partition_index: s.i32(),
                error_code: s.i16(),
                timestamp: s.i64(),
                offset: s.i64(),
                leader_epoch: s.i32(),
            }),
        }),
    }
}

pub(crate) fn init_producer_id_request(version: i16, s: &mut Seed) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: s.some(),
        transaction_timeout_ms: s.i32(),
        producer_id: if version >= 3 { s.i64() } else { -1 },
        producer_epoch: if version >= 3 { s.i16() } else { -1 },
    }
}

pub(crate) fn init_producer_id_response(_version: i16, s: &mut Seed) -> InitProducerIdResponse {
    InitProducerIdResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        producer_id: s.i64(),
        producer_epoch: s.i16(),
    }
}

pub(crate) fn describe_cluster_request(version: i16, s: &mut Seed) -> DescribeClusterRequest {
    DescribeClusterRequest {
        include_cluster_authorized_operations: true,
        endpoint_type: if version >= 1 { s.i8() } else { 1 },
        include_fenced_brokers: version >= 2,
    }
}

pub(crate) fn describe_cluster_response(_version: i16, s: &mut Seed) -> DescribeClusterResponse {
    DescribeClusterResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        endpoint_type: s.i8(),
        cluster_id: s.string(),
        controller_id: s.i32(),
        brokers: s.several(|s| DescribeClusterBroker {
            broker_id: s.i32(),
            host: s.string(),
            port: s.i32(),
            rack: s.some(),
            is_fenced: true,
        }),
        cluster_authorized_operations: s.i32(),
    }
}

pub(crate) fn describe_configs_request(version: i16, s: &mut Seed) -> DescribeConfigsRequest {
    DescribeConfigsRequest {
        resources: s.several(|s| DescribeConfigsResource {
            resource_type: s.i8(),
            resource_name: s.string(),
            configuration_keys: Some(s.several(Seed::string)),
        }),
        include_synonyms: true,
        include_documentation: version >= 3,
    }
}

pub(crate) fn describe_configs_response(_version: i16, s: &mut Seed) -> DescribeConfigsResponse {
    DescribeConfigsResponse {
        throttle_time_ms: s.i32(),
        results: s.several(|s| DescribeConfigsResult {
            error_code: s.i16(),
            error_message: s.some(),
            resource_type: s.i8(),
            resource_name: s.string(),
            configs: s.several(|s| DescribeConfigsResourceResult {
                name: s.string(),
                value: s.some(),
                read_only: true,
                config_source: s.i8(),
                is_sensitive: true,
                synonyms: s.several(|s| DescribeConfigsSynonym {
                    name: s.string(),
                    value: s.some(),
                    source: s.i8(),
                }),
                config_type: s.i8(),
                documentation: s.some(),
            }),
        }),
    }
}

pub(crate) fn find_coordinator_request(version: i16, s: &mut Seed) -> FindCoordinatorRequest {
    FindCoordinatorRequest {
        key: only(version <= 3, s.string()),
        key_type: only(version >= 1, s.i8()),
        coordinator_keys: only(version >= 4, s.several(Seed::string)),
    }
}

pub(crate) fn find_coordinator_response(version: i16, s: &mut Seed) -> FindCoordinatorResponse {
    let one = version <= 3;
    let coordinators = s.several(|s| Coordinator {
        key: s.string(),
        node_id: s.i32(),
        host: s.string(),
        port: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
    });
    FindCoordinatorResponse {
        throttle_time_ms: s.i32(),
        error_code: only(one, s.i16()),
        error_message: only(one, s.some()),
        node_id: only(one, s.i32()),
        host: only(one, s.string()),
        port: only(one, s.i32()),
        coordinators: only(!one, coordinators),
    }
}

pub(crate) fn join_group_request(version: i16, s: &mut Seed) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: s.string(),
        session_timeout_ms: s.i32(),
        rebalance_timeout_ms: s.i32(),
        member_id: s.string(),
        group_instance_id: only(version >= 5, s.some()),
        protocol_type: s.string(),
        protocols: s.several(|s| JoinGroupRequestProtocol { name: s.string(), metadata: s.opaque() }),
        reason: s.some(),
    }
}

pub(crate) fn join_group_response(version: i16, s: &mut Seed) -> JoinGroupResponse {
    JoinGroupResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        generation_id: s.i32(),
        protocol_type: s.some(),
        protocol_name: s.some(),
        leader: s.string(),
        skip_assignment: version >= 9,
        member_id: s.string(),
        members: s.several(|s| JoinGroupResponseMember {
            member_id: s.string(),
            group_instance_id: s.some(),
            metadata: s.opaque(),
        }),
    }
}

pub(crate) fn sync_group_request(version: i16, s: &mut Seed) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: s.string(),
        generation_id: s.i32(),
        member_id: s.string(),
        group_instance_id: only(version >= 3, s.some()),
        protocol_type: s.some(),
        protocol_name: s.some(),
        assignments: s
            .several(|s| SyncGroupRequestAssignment { member_id: s.string(), assignment: s.opaque() }),
    }
}

pub(crate) fn sync_group_response(_version: i16, s: &mut Seed) -> SyncGroupResponse {
    SyncGroupResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        protocol_type: s.some(),
        protocol_name: s.some(),
        assignment: s.opaque(),
    }
}

pub(crate) fn consumer_group_heartbeat_request(version: i16, s: &mut Seed) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: s.string(),
        member_id: s.string(),
        member_epoch: s.i32(),
        instance_id: s.some(),
        rack_id: s.some(),
        rebalance_timeout_ms: s.i32(),
        subscribed_topic_names: Some(vec![s.string(), s.string()]),
        subscribed_topic_regex: only(version >= 1, s.some()),
        server_assignor: s.some(),
        topic_partitions: Some(vec![consumer_group_heartbeat_partitions(s)]),
    }
}

fn consumer_group_heartbeat_partitions(s: &mut Seed) -> ConsumerGroupHeartbeatTopicPartitions {
    ConsumerGroupHeartbeatTopicPartitions {
        topic_id: Uuid::from_u64_pair(s.next(), s.next()),
        partitions: vec![s.i32(), s.i32()],
    }
}

pub(crate) fn consumer_group_heartbeat_response(
    _version: i16,
    s: &mut Seed,
) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        member_id: s.some(),
        member_epoch: s.i32(),
        heartbeat_interval_ms: s.i32(),
        assignment: Some(ConsumerGroupHeartbeatAssignment {
            topic_partitions: vec![consumer_group_heartbeat_partitions(s)],
        }),
    }
}

pub(crate) fn consumer_group_describe_request(_version: i16, s: &mut Seed) -> ConsumerGroupDescribeRequest {
    ConsumerGroupDescribeRequest { group_ids: vec![s.string()], include_authorized_operations: true }
}

pub(crate) fn consumer_group_describe_response(_version: i16, s: &mut Seed) -> ConsumerGroupDescribeResponse {
    fn assignment(s: &mut Seed) -> ConsumerGroupDescribedAssignment {
        let topic_id = Uuid::from_u64_pair(s.next(), s.next());
        let (topic_name, partitions) = (s.string(), vec![s.i32()]);
        let topic = ConsumerGroupDescribedTopicPartitions { topic_id, topic_name, partitions };
        ConsumerGroupDescribedAssignment { topic_partitions: vec![topic] }
    }
    let member = ConsumerGroupDescribedMember {
        member_id: s.string(),
        instance_id: s.some(),
        rack_id: s.some(),
        member_epoch: s.i32(),
        client_id: s.string(),
        client_host: s.string(),
        subscribed_topic_names: vec![s.string()],
        subscribed_topic_regex: s.some(),
        assignment: assignment(s),
        target_assignment: assignment(s),
        member_type: s.i8(),
    };
    let group = ConsumerGroupDescribedGroup {
        error_code: s.i16(),
        error_message: s.some(),
        group_id: s.string(),
        group_state: s.string(),
        group_epoch: s.i32(),
        assignment_epoch: s.i32(),
        assignor_name: s.string(),
        members: vec![member],
        authorized_operations: s.i32(),
    };
    ConsumerGroupDescribeResponse { throttle_time_ms: s.i32(), groups: vec![group] }
}

pub(crate) fn heartbeat_request(version: i16, s: &mut Seed) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: s.string(),
        generation_id: s.i32(),
        member_id: s.string(),
        group_instance_id: only(version >= 3, s.some()),
    }
}

pub(crate) fn heartbeat_response(_version: i16, s: &mut Seed) -> HeartbeatResponse {
    HeartbeatResponse { throttle_time_ms: s.i32(), error_code: s.i16() }
}

pub(crate) fn leave_group_request(version: i16, s: &mut Seed) -> LeaveGroupRequest {
    let members = s.several(|s| MemberIdentity {
        member_id: s.string(),
        group_instance_id: s.some(),
        reason: s.some(),
    });
    LeaveGroupRequest {
        group_id: s.string(),
        member_id: only(version <= 2, s.string()),
        members: only(version >= 3, members),
    }
}

pub(crate) fn leave_group_response(version: i16, s: &mut Seed) -> LeaveGroupResponse {
    let members = s.several(|s| MemberResponse {
        member_id: s.string(),
        group_instance_id: s.some(),
        error_code: s.i16(),
    });
    LeaveGroupResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        members: only(version >= 3, members),
    }
}

pub(crate) fn offset_commit_request(version: i16, s: &mut Seed) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: s.string(),
        generation_id_or_member_epoch: s.i32(),
        member_id: s.string(),
        group_instance_id: only(version >= 7, s.some()),
        retention_time_ms: s.i64(),
        topics: s.several(|s| OffsetCommitRequestTopic {
            name: s.string(),
            partitions: s.several(|s| OffsetCommitRequestPartition {
                partition_index: s.i32(),
                committed_offset: s.i64(),
                committed_leader_epoch: s.i32(),
                committed_metadata: s.some(),
            }),
        }),
    }
}

pub(crate) fn offset_commit_response(_version: i16, s: &mut Seed) -> OffsetCommitResponse {
    OffsetCommitResponse {
        throttle_time_ms: s.i32(),
        topics: s.several(|s| OffsetCommitResponseTopic {
            name: s.string(),
            partitions: s
                .several(|s| OffsetCommitResponsePartition { partition_index: s.i32(), error_code: s.i16() }),
        }),
    }
}

pub(crate) fn txn_offset_commit_request(version: i16, s: &mut Seed) -> TxnOffsetCommitRequest {
    let is_named = version >= 3;
    let (generation, member, instance) = (s.i32(), s.string(), s.some());
    TxnOffsetCommitRequest {
        transactional_id: s.string(),
        group_id: s.string(),
        producer_id: s.i64(),
        producer_epoch: s.i16(),
        generation_id: if is_named { generation } else { -1 },
        member_id: only(is_named, member),
        group_instance_id: only(is_named, instance),
        topics: s.several(|s| TxnOffsetCommitRequestTopic {
            name: s.string(),
            partitions: s.several(|s| TxnOffsetCommitRequestPartition {
                partition_index: s.i32(),
                committed_offset: s.i64(),
                committed_leader_epoch: s.i32(),
                committed_metadata: s.some(),
            }),
        }),
    }
}

pub(crate) fn txn_offset_commit_response(_version: i16, s: &mut Seed) -> TxnOffsetCommitResponse {
    TxnOffsetCommitResponse {
        throttle_time_ms: s.i32(),
        topics: s.several(|s| TxnOffsetCommitResponseTopic {
            name: s.string(),
            partitions: s.several(|s| TxnOffsetCommitResponsePartition {
                partition_index: s.i32(),
                error_code: s.i16(),
            }),
        }),
    }
}

pub(crate) fn offset_fetch_request(version: i16, s: &mut Seed) -> OffsetFetchRequest {
    let one = version <= 7;
    let topics = s.several(|s| OffsetFetchRequestTopic { name: s.string(), partition_indexes: s.ids() });
    let groups = s.several(|s| OffsetFetchRequestGroup {
        group_id: s.string(),
        member_id: s.some(),
        member_epoch: s.i32(),
        topics: Some(
            s.several(|s| OffsetFetchRequestTopics { name: s.string(), partition_indexes: s.ids() }),
        ),
    });
    OffsetFetchRequest {
        group_id: only(one, s.string()),
        topics: Some(only(one, topics)),
        groups: only(!one, groups),
        require_stable: version >= 7,
    }
}

pub(crate) fn offset_fetch_response(version: i16, s: &mut Seed) -> OffsetFetchResponse {
    let one = version <= 7;
    let topics = s.several(|s| OffsetFetchResponseTopic {
        name: s.string(),
        partitions: s.several(|s| OffsetFetchResponsePartition {
            partition_index: s.i32(),
            committed_offset: s.i64(),
            committed_leader_epoch: s.i32(),
            metadata: s.some(),
            error_code: s.i16(),
        }),
    });
    let groups = s.several(|s| OffsetFetchResponseGroup {
        group_id: s.string(),
        topics: s.several(|s| OffsetFetchResponseTopics {
            name: s.string(),
            partitions: s.several(|s| OffsetFetchResponsePartitions {
                partition_index: s.i32(),
                committed_offset: s.i64(),
                committed_leader_epoch: s.i32(),
                metadata: s.some(),
                error_code: s.i16(),
            }),
        }),
        error_code: s.i16(),
    });
    OffsetFetchResponse {
        throttle_time_ms: s.i32(),
        topics: only(one, topics),
        error_code: only(one, s.i16()),
        groups: only(!one, groups),
    }
}

pub(crate) fn list_groups_request(version: i16, s: &mut Seed) -> ListGroupsRequest {
    ListGroupsRequest {
        states_filter: only(version >= 4, s.several(Seed::string)),
        types_filter: only(version >= 5, s.several(Seed::string)),
    }
}

pub(crate) fn list_groups_response(_version: i16, s: &mut Seed) -> ListGroupsResponse {
    ListGroupsResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        groups: s.several(|s| ListedGroup {
            group_id: s.string(),
            protocol_type: s.string(),
            group_state: s.string(),
            group_type: s.string(),
        }),
    }
}

pub(crate) fn describe_groups_request(version: i16, s: &mut Seed) -> DescribeGroupsRequest {
    DescribeGroupsRequest { groups: s.several(Seed::string), include_authorized_operations: version >= 3 }
}

pub(crate) fn describe_groups_response(_version: i16, s: &mut Seed) -> DescribeGroupsResponse {
    DescribeGroupsResponse {
        throttle_time_ms: s.i32(),
        groups: s.several(|s| DescribedGroup {
            error_code: s.i16(),
            error_message: s.some(),
            group_id: s.string(),
            group_state: s.string(),
            protocol_type: s.string(),
            protocol_data: s.string(),
            members: s.several(|s| DescribedGroupMember {
                member_id: s.string(),
                group_instance_id: s.some(),
                client_id: s.string(),
                client_host: s.string(),
                member_metadata: s.opaque(),
                member_assignment: s.opaque(),
            }),
            authorized_operations: s.i32(),
        }),
    }
}

pub(crate) fn delete_groups_request(_version: i16, s: &mut Seed) -> DeleteGroupsRequest {
    DeleteGroupsRequest { groups_names: s.several(Seed::string) }
}

pub(crate) fn delete_groups_response(_version: i16, s: &mut Seed) -> DeleteGroupsResponse {
    DeleteGroupsResponse {
        throttle_time_ms: s.i32(),
        results: s.several(|s| DeletableGroupResult { group_id: s.string(), error_code: s.i16() }),
    }
}

pub(crate) fn offset_delete_request(_version: i16, s: &mut Seed) -> OffsetDeleteRequest {
    OffsetDeleteRequest {
        group_id: s.string(),
        topics: s.several(|s| OffsetDeleteRequestTopic {
            name: s.string(),
            partitions: s.several(|s| OffsetDeleteRequestPartition { partition_index: s.i32() }),
        }),
    }
}

pub(crate) fn offset_delete_response(_version: i16, s: &mut Seed) -> OffsetDeleteResponse {
    OffsetDeleteResponse {
        error_code: s.i16(),
        throttle_time_ms: s.i32(),
        topics: s.several(|s| OffsetDeleteResponseTopic {
            name: s.string(),
            partitions: s
                .several(|s| OffsetDeleteResponsePartition { partition_index: s.i32(), error_code: s.i16() }),
        }),
    }
}

pub(crate) fn incremental_alter_configs_request(
    _version: i16,
    s: &mut Seed,
) -> IncrementalAlterConfigsRequest {
    IncrementalAlterConfigsRequest {
        resources: s.several(|s| IncrementalAlterConfigsResource {
            resource_type: s.i8(),
            resource_name: s.string(),
            configs: s.several(|s| IncrementalAlterableConfig {
                name: s.string(),
                config_operation: s.i8(),
                value: s.some(),
            }),
        }),
        validate_only: true,
    }
}

fn alter_configs_resource_response(s: &mut Seed) -> AlterConfigsResourceResponse {
    AlterConfigsResourceResponse {
        error_code: s.i16(),
        error_message: s.some(),
        resource_type: s.i8(),
        resource_name: s.string(),
    }
}

pub(crate) fn incremental_alter_configs_response(
    _version: i16,
    s: &mut Seed,
) -> IncrementalAlterConfigsResponse {
    IncrementalAlterConfigsResponse {
        throttle_time_ms: s.i32(),
        responses: s.several(alter_configs_resource_response),
    }
}

pub(crate) fn alter_configs_request(_version: i16, s: &mut Seed) -> AlterConfigsRequest {
    AlterConfigsRequest {
        resources: s.several(|s| AlterConfigsResource {
            resource_type: s.i8(),
            resource_name: s.string(),
            configs: s.several(|s| AlterableConfig { name: s.string(), value: s.some() }),
        }),
        validate_only: true,
    }
}

pub(crate) fn alter_configs_response(_version: i16, s: &mut Seed) -> AlterConfigsResponse {
    AlterConfigsResponse { throttle_time_ms: s.i32(), responses: s.several(alter_configs_resource_response) }
}

pub(crate) fn create_partitions_request(_version: i16, s: &mut Seed) -> CreatePartitionsRequest {
    CreatePartitionsRequest {
        topics: s.several(|s| CreatePartitionsTopic {
            name: s.string(),
            count: s.i32(),
            assignments: Some(s.several(|s| CreatePartitionsAssignment { broker_ids: s.ids() })),
        }),
        timeout_ms: s.i32(),
        validate_only: true,
    }
}

pub(crate) fn create_partitions_response(_version: i16, s: &mut Seed) -> CreatePartitionsResponse {
    CreatePartitionsResponse {
        throttle_time_ms: s.i32(),
        results: s.several(|s| CreatePartitionsTopicResult {
            name: s.string(),
            error_code: s.i16(),
            error_message: s.some(),
        }),
    }
}

pub(crate) fn delete_records_request(_version: i16, s: &mut Seed) -> DeleteRecordsRequest {
    DeleteRecordsRequest {
        topics: s.several(|s| DeleteRecordsTopic {
            name: s.string(),
            partitions: s.several(|s| DeleteRecordsPartition { partition_index: s.i32(), offset: s.i64() }),
        }),
        timeout_ms: s.i32(),
    }
}

pub(crate) fn delete_records_response(_version: i16, s: &mut Seed) -> DeleteRecordsResponse {
    DeleteRecordsResponse {
        throttle_time_ms: s.i32(),
        topics: s.several(|s| DeleteRecordsTopicResult {
            name: s.string(),
            partitions: s.several(|s| DeleteRecordsPartitionResult {
                partition_index: s.i32(),
                low_watermark: s.i64(),
                error_code: s.i16(),
            }),
        }),
    }
}

pub(crate) fn describe_log_dirs_request(_version: i16, s: &mut Seed) -> DescribeLogDirsRequest {
    DescribeLogDirsRequest {
        topics: Some(s.several(|s| DescribableLogDirTopic { topic: s.string(), partitions: s.ids() })),
    }
}

pub(crate) fn describe_log_dirs_response(_version: i16, s: &mut Seed) -> DescribeLogDirsResponse {
    DescribeLogDirsResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        results: s.several(|s| DescribeLogDirsResult {
            error_code: s.i16(),
            log_dir: s.string(),
            topics: s.several(|s| DescribeLogDirsTopic {
                name: s.string(),
                partitions: s.several(|s| DescribeLogDirsPartition {
                    partition_index: s.i32(),
                    partition_size: s.i64(),
                    offset_lag: s.i64(),
                    is_future_key: true,
                }),
            }),
            total_bytes: s.i64(),
            usable_bytes: s.i64(),
            is_cordoned: true,
        }),
    }
}

pub(crate) fn list_partition_reassignments_request(
    _version: i16,
    s: &mut Seed,
) -> ListPartitionReassignmentsRequest {
    ListPartitionReassignmentsRequest {
        timeout_ms: s.i32(),
        topics: Some(
            s.several(|s| ListPartitionReassignmentsTopics { name: s.string(), partition_indexes: s.ids() }),
        ),
    }
}

pub(crate) fn list_partition_reassignments_response(
    _version: i16,
    s: &mut Seed,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        topics: s.several(|s| OngoingTopicReassignment {
            name: s.string(),
            partitions: s.several(|s| OngoingPartitionReassignment {
                partition_index: s.i32(),
                replicas: s.ids(),
                adding_replicas: s.ids(),
                removing_replicas: s.ids(),
            }),
        }),
    }
}

fn cursor(s: &mut Seed) -> Cursor {
    Cursor { topic_name: s.string(), partition_index: s.i32() }
}

pub(crate) fn describe_topic_partitions_request(
    _version: i16,
    s: &mut Seed,
) -> DescribeTopicPartitionsRequest {
    DescribeTopicPartitionsRequest {
        topics: s.several(|s| TopicRequest { name: s.string() }),
        response_partition_limit: s.i32(),
        cursor: Some(cursor(s)),
    }
}

pub(crate) fn describe_topic_partitions_response(
    _version: i16,
    s: &mut Seed,
) -> DescribeTopicPartitionsResponse {
    DescribeTopicPartitionsResponse {
        throttle_time_ms: s.i32(),
        topics: s.several(|s| DescribeTopicPartitionsResponseTopic {
            error_code: s.i16(),
            name: s.some(),
            topic_id: s.id(),
            is_internal: true,
            partitions: s.several(|s| DescribeTopicPartitionsResponsePartition {
                error_code: s.i16(),
                partition_index: s.i32(),
                leader_id: s.i32(),
                leader_epoch: s.i32(),
                replica_nodes: s.ids(),
                isr_nodes: s.ids(),
                eligible_leader_replicas: Some(s.ids()),
                last_known_elr: Some(s.ids()),
                offline_replicas: s.ids(),
            }),
            topic_authorized_operations: s.i32(),
        }),
        next_cursor: Some(cursor(s)),
    }
}

pub(crate) fn elect_leaders_request(version: i16, s: &mut Seed) -> ElectLeadersRequest {
    ElectLeadersRequest {
        election_type: only(version >= 1, s.i8()),
        topic_partitions: Some(s.several(|s| ElectLeadersTopic { topic: s.string(), partitions: s.ids() })),
        timeout_ms: s.i32(),
    }
}

pub(crate) fn elect_leaders_response(_version: i16, s: &mut Seed) -> ElectLeadersResponse {
    ElectLeadersResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        replica_election_results: s.several(|s| ReplicaElectionResult {
            topic: s.string(),
            partition_result: s.several(|s| PartitionElectionResult {
                partition_id: s.i32(),
                error_code: s.i16(),
                error_message: s.some(),
            }),
        }),
    }
}

pub(crate) fn alter_partition_reassignments_request(
    version: i16,
    s: &mut Seed,
) -> AlterPartitionReassignmentsRequest {
    AlterPartitionReassignmentsRequest {
        timeout_ms: s.i32(),
        allow_replication_factor_change: version < 1,
        topics: s.several(|s| ReassignableTopic {
            name: s.string(),
            partitions: s
                .several(|s| ReassignablePartition { partition_index: s.i32(), replicas: Some(s.ids()) }),
        }),
    }
}

pub(crate) fn alter_partition_reassignments_response(
    _version: i16,
    s: &mut Seed,
) -> AlterPartitionReassignmentsResponse {
    AlterPartitionReassignmentsResponse {
        throttle_time_ms: s.i32(),
        allow_replication_factor_change: false,
        error_code: s.i16(),
        error_message: s.some(),
        responses: s.several(|s| ReassignableTopicResponse {
            name: s.string(),
            partitions: s.several(|s| ReassignablePartitionResponse {
                partition_index: s.i32(),
                error_code: s.i16(),
                error_message: s.some(),
            }),
        }),
    }
}

pub(crate) fn describe_quorum_request(_version: i16, s: &mut Seed) -> DescribeQuorumRequest {
    DescribeQuorumRequest {
        topics: s.several(|s| DescribeQuorumTopic {
            topic_name: s.string(),
            partitions: s.several(|s| DescribeQuorumPartition { partition_index: s.i32() }),
        }),
    }
}

pub(crate) fn describe_quorum_response(_version: i16, s: &mut Seed) -> DescribeQuorumResponse {
    DescribeQuorumResponse {
        error_code: s.i16(),
        error_message: s.some(),
        topics: s.several(|s| DescribeQuorumTopicResult {
            topic_name: s.string(),
            partitions: s.several(|s| DescribeQuorumPartitionResult {
                partition_index: s.i32(),
                error_code: s.i16(),
                error_message: s.some(),
                leader_id: s.i32(),
                leader_epoch: s.i32(),
                high_watermark: s.i64(),
                current_voters: s.several(|s| QuorumReplica {
                    replica_id: s.i32(),
                    replica_directory_id: s.id(),
                    log_end_offset: s.i64(),
                    last_fetch_timestamp: s.i64(),
                    last_caught_up_timestamp: s.i64(),
                }),
                observers: s.several(|s| QuorumReplica {
                    replica_id: s.i32(),
                    replica_directory_id: s.id(),
                    log_end_offset: s.i64(),
                    last_fetch_timestamp: s.i64(),
                    last_caught_up_timestamp: s.i64(),
                }),
            }),
        }),
        nodes: s.several(|s| QuorumNode {
            node_id: s.i32(),
            listeners: s.several(|s| QuorumListener {
                name: s.string(),
                host: s.string(),
                port: s.i16() as u16,
            }),
        }),
    }
}

pub(crate) fn describe_producers_request(_version: i16, s: &mut Seed) -> DescribeProducersRequest {
    DescribeProducersRequest {
        topics: s.several(|s| DescribeProducersTopic { name: s.string(), partition_indexes: s.ids() }),
    }
}

pub(crate) fn describe_producers_response(_version: i16, s: &mut Seed) -> DescribeProducersResponse {
    DescribeProducersResponse {
        throttle_time_ms: s.i32(),
        topics: s.several(|s| DescribeProducersTopicResult {
            name: s.string(),
            partitions: s.several(|s| DescribeProducersPartitionResult {
                partition_index: s.i32(),
                error_code: s.i16(),
                error_message: s.some(),
                active_producers: s.several(|s| ActiveProducer {
                    producer_id: s.i64(),
                    producer_epoch: s.i32(),
                    last_sequence: s.i32(),
                    last_timestamp: s.i64(),
                    coordinator_epoch: s.i32(),
                    current_txn_start_offset: s.i64(),
                }),
            }),
        }),
    }
}

pub(crate) fn list_transactions_request(version: i16, s: &mut Seed) -> ListTransactionsRequest {
    ListTransactionsRequest {
        state_filters: s.several(Seed::string),
        producer_id_filters: s.several(Seed::i64),
        duration_filter: if version >= 1 { s.i64() } else { -1 },
        transactional_id_pattern: only(version >= 2, s.some()),
    }
}

pub(crate) fn list_transactions_response(_version: i16, s: &mut Seed) -> ListTransactionsResponse {
    ListTransactionsResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        unknown_state_filters: s.several(Seed::string),
        transaction_states: s.several(|s| ListedTransaction {
            transactional_id: s.string(),
            producer_id: s.i64(),
            transaction_state: s.string(),
        }),
    }
}

pub(crate) fn describe_transactions_request(_version: i16, s: &mut Seed) -> DescribeTransactionsRequest {
    DescribeTransactionsRequest { transactional_ids: s.several(Seed::string) }
}

pub(crate) fn describe_transactions_response(_version: i16, s: &mut Seed) -> DescribeTransactionsResponse {
    DescribeTransactionsResponse {
        throttle_time_ms: s.i32(),
        transaction_states: s.several(|s| DescribedTransaction {
            error_code: s.i16(),
            transactional_id: s.string(),
            transaction_state: s.string(),
            transaction_timeout_ms: s.i32(),
            transaction_start_time_ms: s.i64(),
            producer_id: s.i64(),
            producer_epoch: s.i16(),
            topics: s.several(|s| TransactionTopic { topic: s.string(), partitions: s.ids() }),
        }),
    }
}

pub(crate) fn add_partitions_to_txn_request(version: i16, s: &mut Seed) -> AddPartitionsToTxnRequest {
    let is_batch = version >= 4;
    let topics =
        |s: &mut Seed| s.several(|s| AddPartitionsToTxnTopic { name: s.string(), partitions: s.ids() });
    let transactions = s.several(|s| AddPartitionsToTxnTransaction {
        transactional_id: s.string(),
        producer_id: s.i64(),
        producer_epoch: s.i16(),
        verify_only: true,
        topics: topics(s),
    });
    AddPartitionsToTxnRequest {
        transactions: only(is_batch, transactions),
        v3_and_below_transactional_id: only(!is_batch, s.string()),
        v3_and_below_producer_id: only(!is_batch, s.i64()),
        v3_and_below_producer_epoch: only(!is_batch, s.i16()),
        v3_and_below_topics: only(!is_batch, topics(s)),
    }
}

pub(crate) fn add_partitions_to_txn_response(version: i16, s: &mut Seed) -> AddPartitionsToTxnResponse {
    let is_batch = version >= 4;
    let results = |s: &mut Seed| {
        s.several(|s| AddPartitionsToTxnTopicResult {
            name: s.string(),
            results_by_partition: s.several(|s| AddPartitionsToTxnPartitionResult {
                partition_index: s.i32(),
                partition_error_code: s.i16(),
            }),
        })
    };
    let by_transaction =
        s.several(|s| AddPartitionsToTxnResult { transactional_id: s.string(), topic_results: results(s) });
    AddPartitionsToTxnResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        results_by_transaction: only(is_batch, by_transaction),
        results_by_topic_v3_and_below: only(!is_batch, results(s)),
    }
}

pub(crate) fn add_offsets_to_txn_request(_version: i16, s: &mut Seed) -> AddOffsetsToTxnRequest {
    AddOffsetsToTxnRequest {
        transactional_id: s.string(),
        producer_id: s.i64(),
        producer_epoch: s.i16(),
        group_id: s.string(),
    }
}

pub(crate) fn add_offsets_to_txn_response(_version: i16, s: &mut Seed) -> AddOffsetsToTxnResponse {
    AddOffsetsToTxnResponse { throttle_time_ms: s.i32(), error_code: s.i16() }
}

pub(crate) fn end_txn_request(_version: i16, s: &mut Seed) -> EndTxnRequest {
    EndTxnRequest {
        transactional_id: s.string(),
        producer_id: s.i64(),
        producer_epoch: s.i16(),
        committed: true,
    }
}

pub(crate) fn end_txn_response(_version: i16, s: &mut Seed) -> EndTxnResponse {
    EndTxnResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        producer_id: s.i64(),
        producer_epoch: s.i16(),
    }
}

pub(crate) fn write_txn_markers_request(_version: i16, s: &mut Seed) -> WriteTxnMarkersRequest {
    WriteTxnMarkersRequest {
        markers: s.several(|s| WritableTxnMarker {
            producer_id: s.i64(),
            producer_epoch: s.i16(),
            transaction_result: true,
            topics: s.several(|s| WritableTxnMarkerTopic { name: s.string(), partition_indexes: s.ids() }),
            coordinator_epoch: s.i32(),
            transaction_version: s.i8(),
        }),
    }
}

pub(crate) fn write_txn_markers_response(_version: i16, s: &mut Seed) -> WriteTxnMarkersResponse {
    WriteTxnMarkersResponse {
        markers: s.several(|s| WritableTxnMarkerResult {
            producer_id: s.i64(),
            topics: s.several(|s| WritableTxnMarkerTopicResult {
                name: s.string(),
                partitions: s.several(|s| WritableTxnMarkerPartitionResult {
                    partition_index: s.i32(),
                    error_code: s.i16(),
                }),
            }),
        }),
    }
}

pub(crate) fn list_config_resources_request(version: i16, s: &mut Seed) -> ListConfigResourcesRequest {
    ListConfigResourcesRequest { resource_types: only(version >= 1, s.several(Seed::i8)) }
}

pub(crate) fn list_config_resources_response(_version: i16, s: &mut Seed) -> ListConfigResourcesResponse {
    ListConfigResourcesResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        config_resources: s.several(|s| ConfigResource { resource_name: s.string(), resource_type: s.i8() }),
    }
}

pub(crate) fn describe_client_quotas_request(_version: i16, s: &mut Seed) -> DescribeClientQuotasRequest {
    DescribeClientQuotasRequest {
        components: s.several(|s| QuotaComponent {
            entity_type: s.string(),
            match_type: s.i8(),
            match_name: s.some(),
        }),
        strict: true,
    }
}

pub(crate) fn describe_client_quotas_response(_version: i16, s: &mut Seed) -> DescribeClientQuotasResponse {
    DescribeClientQuotasResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        entries: Some(s.several(|s| DescribedQuota {
            entity: s.several(|s| DescribedQuotaEntity { entity_type: s.string(), entity_name: s.some() }),
            values: s.several(|s| QuotaValue { key: s.string(), value: s.i32() as f64 / 4.0 }),
        })),
    }
}

pub(crate) fn alter_client_quotas_request(_version: i16, s: &mut Seed) -> AlterClientQuotasRequest {
    AlterClientQuotasRequest {
        entries: s.several(|s| AlterQuota {
            entity: s.several(|s| AlterQuotaEntity { entity_type: s.string(), entity_name: s.some() }),
            ops: s.several(|s| AlterQuotaStep { key: s.string(), value: s.i32() as f64 / 4.0, remove: true }),
        }),
        validate_only: true,
    }
}

pub(crate) fn alter_client_quotas_response(_version: i16, s: &mut Seed) -> AlterClientQuotasResponse {
    AlterClientQuotasResponse {
        throttle_time_ms: s.i32(),
        entries: s.several(|s| AlteredQuota {
            error_code: s.i16(),
            error_message: s.some(),
            entity: s.several(|s| AlteredQuotaEntity { entity_type: s.string(), entity_name: s.some() }),
        }),
    }
}

pub(crate) fn describe_user_scram_credentials_request(
    _version: i16,
    s: &mut Seed,
) -> DescribeUserScramCredentialsRequest {
    DescribeUserScramCredentialsRequest { users: Some(s.several(|s| ScramUserName { name: s.string() })) }
}

pub(crate) fn describe_user_scram_credentials_response(
    _version: i16,
    s: &mut Seed,
) -> DescribeUserScramCredentialsResponse {
    DescribeUserScramCredentialsResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        results: s.several(|s| DescribeUserScramCredentialsResult {
            user: s.string(),
            error_code: s.i16(),
            error_message: s.some(),
            credential_infos: s.several(|s| CredentialInfo { mechanism: s.i8(), iterations: s.i32() }),
        }),
    }
}

pub(crate) fn alter_user_scram_credentials_request(
    _version: i16,
    s: &mut Seed,
) -> AlterUserScramCredentialsRequest {
    AlterUserScramCredentialsRequest {
        deletions: s.several(|s| ScramCredentialDeletion { name: s.string(), mechanism: s.i8() }),
        upsertions: s.several(|s| ScramCredentialUpsertion {
            name: s.string(),
            mechanism: s.i8(),
            iterations: s.i32(),
            salt: s.opaque(),
            salted_password: s.opaque(),
        }),
    }
}

pub(crate) fn alter_user_scram_credentials_response(
    _version: i16,
    s: &mut Seed,
) -> AlterUserScramCredentialsResponse {
    AlterUserScramCredentialsResponse {
        throttle_time_ms: s.i32(),
        results: s.several(|s| AlterUserScramCredentialsResult {
            user: s.string(),
            error_code: s.i16(),
            error_message: s.some(),
        }),
    }
}

pub(crate) fn update_features_request(version: i16, s: &mut Seed) -> UpdateFeaturesRequest {
    UpdateFeaturesRequest {
        timeout_ms: s.i32(),
        feature_updates: s.several(|s| FeatureUpdateKey {
            feature: s.string(),
            max_version_level: s.i16(),
            allow_downgrade: version <= 0,
            upgrade_type: if version >= 1 { s.i8() } else { 1 },
        }),
        validate_only: version >= 1,
    }
}

pub(crate) fn update_features_response(_version: i16, s: &mut Seed) -> UpdateFeaturesResponse {
    UpdateFeaturesResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        results: s.several(|s| UpdatableFeatureResult {
            feature: s.string(),
            error_code: s.i16(),
            error_message: s.some(),
        }),
    }
}

pub(crate) fn unregister_broker_request(_version: i16, s: &mut Seed) -> UnregisterBrokerRequest {
    UnregisterBrokerRequest { broker_id: s.i32() }
}

pub(crate) fn unregister_broker_response(_version: i16, s: &mut Seed) -> UnregisterBrokerResponse {
    UnregisterBrokerResponse { throttle_time_ms: s.i32(), error_code: s.i16(), error_message: s.some() }
}

pub(crate) fn describe_acls_request(_version: i16, s: &mut Seed) -> DescribeAclsRequest {
    DescribeAclsRequest {
        resource_type_filter: s.i8(),
        resource_name_filter: s.some(),
        pattern_type_filter: s.i8(),
        principal_filter: s.some(),
        host_filter: s.some(),
        operation: s.i8(),
        permission_type: s.i8(),
    }
}

pub(crate) fn describe_acls_response(_version: i16, s: &mut Seed) -> DescribeAclsResponse {
    DescribeAclsResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        resources: s.several(|s| DescribeAclsResource {
            resource_type: s.i8(),
            resource_name: s.string(),
            pattern_type: s.i8(),
            acls: s.several(|s| AclDescription {
                principal: s.string(),
                host: s.string(),
                operation: s.i8(),
                permission_type: s.i8(),
            }),
        }),
    }
}

pub(crate) fn create_acls_request(_version: i16, s: &mut Seed) -> CreateAclsRequest {
    CreateAclsRequest {
        creations: s.several(|s| AclCreation {
            resource_type: s.i8(),
            resource_name: s.string(),
            resource_pattern_type: s.i8(),
            principal: s.string(),
            host: s.string(),
            operation: s.i8(),
            permission_type: s.i8(),
        }),
    }
}

pub(crate) fn create_acls_response(_version: i16, s: &mut Seed) -> CreateAclsResponse {
    CreateAclsResponse {
        throttle_time_ms: s.i32(),
        results: s.several(|s| AclCreationResult { error_code: s.i16(), error_message: s.some() }),
    }
}

pub(crate) fn delete_acls_request(_version: i16, s: &mut Seed) -> DeleteAclsRequest {
    DeleteAclsRequest {
        filters: s.several(|s| DeleteAclsFilter {
            resource_type_filter: s.i8(),
            resource_name_filter: s.some(),
            pattern_type_filter: s.i8(),
            principal_filter: s.some(),
            host_filter: s.some(),
            operation: s.i8(),
            permission_type: s.i8(),
        }),
    }
}

pub(crate) fn delete_acls_response(_version: i16, s: &mut Seed) -> DeleteAclsResponse {
    DeleteAclsResponse {
        throttle_time_ms: s.i32(),
        filter_results: s.several(|s| DeleteAclsFilterResult {
            error_code: s.i16(),
            error_message: s.some(),
            matching_acls: s.several(|s| DeleteAclsMatchingAcl {
                error_code: s.i16(),
                error_message: s.some(),
                resource_type: s.i8(),
                resource_name: s.string(),
                pattern_type: s.i8(),
                principal: s.string(),
                host: s.string(),
                operation: s.i8(),
                permission_type: s.i8(),
            }),
        }),
    }
}

pub(crate) fn alter_replica_log_dirs_request(_version: i16, s: &mut Seed) -> AlterReplicaLogDirsRequest {
    AlterReplicaLogDirsRequest {
        dirs: s.several(|s| AlterReplicaLogDir {
            path: s.string(),
            topics: s.several(|s| AlterReplicaLogDirTopic { name: s.string(), partitions: s.ids() }),
        }),
    }
}

pub(crate) fn alter_replica_log_dirs_response(_version: i16, s: &mut Seed) -> AlterReplicaLogDirsResponse {
    AlterReplicaLogDirsResponse {
        throttle_time_ms: s.i32(),
        results: s.several(|s| AlterReplicaLogDirTopicResult {
            topic_name: s.string(),
            partitions: s.several(|s| AlterReplicaLogDirPartitionResult {
                partition_index: s.i32(),
                error_code: s.i16(),
            }),
        }),
    }
}

pub(crate) fn create_delegation_token_request(version: i16, s: &mut Seed) -> CreateDelegationTokenRequest {
    CreateDelegationTokenRequest {
        owner_principal_type: only(version >= 3, s.some()),
        owner_principal_name: only(version >= 3, s.some()),
        renewers: s.several(|s| CreatableRenewers { principal_type: s.string(), principal_name: s.string() }),
        max_lifetime_ms: s.i64(),
    }
}

pub(crate) fn create_delegation_token_response(_version: i16, s: &mut Seed) -> CreateDelegationTokenResponse {
    CreateDelegationTokenResponse {
        error_code: s.i16(),
        principal_type: s.string(),
        principal_name: s.string(),
        token_requester_principal_type: s.string(),
        token_requester_principal_name: s.string(),
        issue_timestamp_ms: s.i64(),
        expiry_timestamp_ms: s.i64(),
        max_timestamp_ms: s.i64(),
        token_id: s.string(),
        hmac: s.opaque(),
        throttle_time_ms: s.i32(),
    }
}

pub(crate) fn renew_delegation_token_request(_version: i16, s: &mut Seed) -> RenewDelegationTokenRequest {
    RenewDelegationTokenRequest { hmac: s.opaque(), renew_period_ms: s.i64() }
}

pub(crate) fn renew_delegation_token_response(_version: i16, s: &mut Seed) -> RenewDelegationTokenResponse {
    RenewDelegationTokenResponse {
        error_code: s.i16(),
        expiry_timestamp_ms: s.i64(),
        throttle_time_ms: s.i32(),
    }
}

pub(crate) fn expire_delegation_token_request(_version: i16, s: &mut Seed) -> ExpireDelegationTokenRequest {
    ExpireDelegationTokenRequest { hmac: s.opaque(), expiry_time_period_ms: s.i64() }
}

pub(crate) fn expire_delegation_token_response(_version: i16, s: &mut Seed) -> ExpireDelegationTokenResponse {
    ExpireDelegationTokenResponse {
        error_code: s.i16(),
        expiry_timestamp_ms: s.i64(),
        throttle_time_ms: s.i32(),
    }
}

pub(crate) fn describe_delegation_token_request(
    _version: i16,
    s: &mut Seed,
) -> DescribeDelegationTokenRequest {
    DescribeDelegationTokenRequest {
        owners: Some(s.several(|s| DescribeDelegationTokenOwner {
            principal_type: s.string(),
            principal_name: s.string(),
        })),
    }
}

pub(crate) fn describe_delegation_token_response(
    _version: i16,
    s: &mut Seed,
) -> DescribeDelegationTokenResponse {
    DescribeDelegationTokenResponse {
        error_code: s.i16(),
        tokens: s.several(|s| DescribedDelegationToken {
            principal_type: s.string(),
            principal_name: s.string(),
            token_requester_principal_type: s.string(),
            token_requester_principal_name: s.string(),
            issue_timestamp: s.i64(),
            expiry_timestamp: s.i64(),
            max_timestamp: s.i64(),
            token_id: s.string(),
            hmac: s.opaque(),
            renewers: s.several(|s| DescribedDelegationTokenRenewer {
                principal_type: s.string(),
                principal_name: s.string(),
            }),
        }),
        throttle_time_ms: s.i32(),
    }
}

pub(crate) fn sasl_handshake_request(_version: i16, s: &mut Seed) -> SaslHandshakeRequest {
    SaslHandshakeRequest { mechanism: s.string() }
}

pub(crate) fn sasl_handshake_response(_version: i16, s: &mut Seed) -> SaslHandshakeResponse {
    SaslHandshakeResponse { error_code: s.i16(), mechanisms: s.several(Seed::string) }
}

pub(crate) fn sasl_authenticate_request(_version: i16, s: &mut Seed) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest { auth_bytes: s.opaque() }
}

pub(crate) fn sasl_authenticate_response(_version: i16, s: &mut Seed) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse {
        error_code: s.i16(),
        error_message: s.some(),
        auth_bytes: s.opaque(),
        session_lifetime_ms: s.i64(),
    }
}

pub(crate) fn offset_for_leader_epoch_request(_version: i16, s: &mut Seed) -> OffsetForLeaderEpochRequest {
    OffsetForLeaderEpochRequest {
        replica_id: s.i32(),
        topics: s.several(|s| OffsetForLeaderTopic {
            topic: s.string(),
            partitions: s.several(|s| OffsetForLeaderPartition {
                partition: s.i32(),
                current_leader_epoch: s.i32(),
                leader_epoch: s.i32(),
            }),
        }),
    }
}

pub(crate) fn offset_for_leader_epoch_response(_version: i16, s: &mut Seed) -> OffsetForLeaderEpochResponse {
    OffsetForLeaderEpochResponse {
        throttle_time_ms: s.i32(),
        topics: s.several(|s| OffsetForLeaderTopicResult {
            topic: s.string(),
            partitions: s.several(|s| OffsetForLeaderPartitionResult {
                error_code: s.i16(),
                partition: s.i32(),
                leader_epoch: s.i32(),
                end_offset: s.i64(),
            }),
        }),
    }
}

pub(crate) fn produce_request(version: i16, s: &mut Seed) -> ProduceRequest {
    ProduceRequest {
        transactional_id: s.some(),
        acks: s.i16(),
        timeout_ms: s.i32(),
        topic_data: s.several(|s| TopicProduceData {
            name: only(version <= 12, s.string()),
            topic_id: only(version >= 13, s.id()),
            partition_data: s.several(|s| PartitionProduceData {
                index: s.i32(),
                records: (s.next() % 5 > 0).then(|| BytesMut::from(&s.bytes()[..])),
            }),
        }),
    }
}

pub(crate) fn produce_response(_version: i16, s: &mut Seed) -> ProduceResponse {
    ProduceResponse {
        responses: s.several(|s| TopicProduceResponse {
            name: s.string(),
            topic_id: s.id(),
            partition_responses: s.several(|s| PartitionProduceResponse {
                index: s.i32(),
                error_code: s.i16(),
                base_offset: s.i64(),
                log_append_time_ms: s.i64(),
                log_start_offset: s.i64(),
                record_errors: s.several(|s| BatchIndexAndErrorMessage {
                    batch_index: s.i32(),
                    batch_index_error_message: s.some(),
                }),
                error_message: s.some(),
                current_leader: leader(s),
            }),
        }),
        throttle_time_ms: s.i32(),
        node_endpoints: s.several(endpoint),
    }
}

pub(crate) fn fetch_request(version: i16, s: &mut Seed) -> FetchRequest {
    let forgotten =
        s.several(|s| ForgottenTopic { topic: s.string(), topic_id: s.id(), partitions: s.ids() });
    FetchRequest {
        cluster_id: s.some(),
        replica_id: if version <= 14 { s.i32() } else { -1 },
        replica_state: ReplicaState { replica_id: s.i32(), replica_epoch: s.i64() },
        max_wait_ms: s.i32(),
        min_bytes: s.i32(),
        max_bytes: s.i32(),
        isolation_level: s.i8(),
        session_id: s.i32(),
        session_epoch: s.i32(),
        topics: s.several(|s| FetchTopic {
            topic: s.string(),
            topic_id: s.id(),
            partitions: s.several(|s| FetchPartition {
                partition: s.i32(),
                current_leader_epoch: s.i32(),
                fetch_offset: s.i64(),
                last_fetched_epoch: if version >= 12 { s.i32() } else { -1 },
                log_start_offset: s.i64(),
                partition_max_bytes: s.i32(),
                replica_directory_id: s.id(),
                high_watermark: s.i64(),
            }),
        }),
        forgotten_topics_data: only(version >= 7, forgotten),
        rack_id: s.string(),
    }
}

/// A Fetch response as a client has it.
pub(crate) fn fetch_response(version: i16, s: &mut Seed) -> FetchResponse<Bytes> {
    let has = |from: i16| version >= from;
    FetchResponse {
        throttle_time_ms: s.i32(),
        error_code: only(has(7), s.i16()),
        session_id: only(has(7), s.i32()),
        responses: s.several(|s| FetchableTopicResponse {
            topic: only(!has(13), s.string()),
            topic_id: only(has(13), s.id()),
            partitions: s.several(|s| PartitionData {
                partition_index: s.i32(),
                error_code: s.i16(),
                high_watermark: s.i64(),
                last_stable_offset: s.i64(),
                log_start_offset: if has(5) { s.i64() } else { -1 },
                diverging_epoch: only(has(12), EpochEndOffset { epoch: s.i32(), end_offset: s.i64() }),
                current_leader: only(has(12), leader(s)),
                snapshot_id: only(has(12), SnapshotId { end_offset: s.i64(), epoch: s.i32() }),
                aborted_transactions: (s.next() % 3 > 0).then(|| {
                    s.several(|s| AbortedTransaction { producer_id: s.i64(), first_offset: s.i64() })
                }),
                preferred_read_replica: if has(11) { s.i32() } else { -1 },
                records: if s.next() % 4 == 0 { Bytes::new() } else { s.bytes().into() },
            }),
        }),
        node_endpoints: only(has(16), s.several(endpoint)),
    }
}

/// The response with other records.
pub(crate) fn map_records<R, S>(response: FetchResponse<R>, mut map: impl FnMut(R) -> S) -> FetchResponse<S> {
    let mut partition = |partition: PartitionData<R>| PartitionData {
        partition_index: partition.partition_index,
        error_code: partition.error_code,
        high_watermark: partition.high_watermark,
        last_stable_offset: partition.last_stable_offset,
        log_start_offset: partition.log_start_offset,
        diverging_epoch: partition.diverging_epoch,
        current_leader: partition.current_leader,
        snapshot_id: partition.snapshot_id,
        aborted_transactions: partition.aborted_transactions,
        preferred_read_replica: partition.preferred_read_replica,
        records: map(partition.records),
    };
    let responses = response.responses.into_iter().map(|topic| FetchableTopicResponse {
        topic: topic.topic,
        topic_id: topic.topic_id,
        partitions: topic.partitions.into_iter().map(&mut partition).collect(),
    });
    FetchResponse {
        responses: responses.collect(),
        throttle_time_ms: response.throttle_time_ms,
        error_code: response.error_code,
        session_id: response.session_id,
        node_endpoints: response.node_endpoints,
    }
}

/// The frame of a Fetch response as it goes over the wire: every gap filled.
pub(crate) fn fetch_frame(response: FetchResponse<Bytes>, version: i16, correlation_id: i32) -> Bytes {
    let mut records = Vec::new();
    let response = map_records(response, |bytes| {
        records.push(bytes);
        RecordsGap { index: records.len() - 1, length: records[records.len() - 1].len() as u32 }
    });
    let mut frame = BytesMut::new();
    for piece in response.encode(version, correlation_id).unwrap() {
        match piece {
            Piece::Bytes(bytes) => frame.extend_from_slice(&bytes),
            Piece::Records(gap) => {
                assert_eq!(gap.length as usize, records[gap.index].len());
                frame.extend_from_slice(&records[gap.index]);
            }
        }
    }
    frame.freeze()
}
