//! Samples of what makes, changes and shows topics.

use strandline_protocol::messages::*;

use super::{Seed, only};

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
