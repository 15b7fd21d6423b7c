//! Samples of brokers, their features and where partitions lie.

use strandline_protocol::messages::*;

use super::{Seed, only};

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
