//! Samples of share groups.

use bytes::{Bytes, BytesMut};
use strandline_protocol::messages::*;

use super::{Seed, endpoint, only};

pub(crate) fn share_group_heartbeat_request(_version: i16, s: &mut Seed) -> ShareGroupHeartbeatRequest {
    ShareGroupHeartbeatRequest {
        group_id: s.string(),
        member_id: s.string(),
        member_epoch: s.i32(),
        rack_id: s.some(),
        subscribed_topic_names: Some(s.several(Seed::string)),
    }
}

pub(crate) fn share_group_heartbeat_response(_version: i16, s: &mut Seed) -> ShareGroupHeartbeatResponse {
    let topic_partitions =
        s.several(|s| ShareGroupHeartbeatTopicPartitions { topic_id: s.id(), partitions: s.ids() });
    ShareGroupHeartbeatResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        member_id: s.some(),
        member_epoch: s.i32(),
        heartbeat_interval_ms: s.i32(),
        assignment: Some(ShareGroupHeartbeatAssignment { topic_partitions }),
    }
}

pub(crate) fn share_group_describe_request(_version: i16, s: &mut Seed) -> ShareGroupDescribeRequest {
    ShareGroupDescribeRequest { group_ids: s.several(Seed::string), include_authorized_operations: true }
}

pub(crate) fn share_group_describe_response(_version: i16, s: &mut Seed) -> ShareGroupDescribeResponse {
    let groups = s.several(|s| ShareGroupDescribedGroup {
        error_code: s.i16(),
        error_message: s.some(),
        group_id: s.string(),
        group_state: s.string(),
        group_epoch: s.i32(),
        assignment_epoch: s.i32(),
        assignor_name: s.string(),
        members: s.several(|s| ShareGroupDescribedMember {
            member_id: s.string(),
            rack_id: s.some(),
            member_epoch: s.i32(),
            client_id: s.string(),
            client_host: s.string(),
            subscribed_topic_names: s.several(Seed::string),
            assignment: ShareGroupDescribedAssignment {
                topic_partitions: s.several(|s| ShareGroupDescribedTopicPartitions {
                    topic_id: s.id(),
                    topic_name: s.string(),
                    partitions: s.ids(),
                }),
            },
        }),
        authorized_operations: s.i32(),
    });
    ShareGroupDescribeResponse { throttle_time_ms: s.i32(), groups }
}

fn acknowledgements(s: &mut Seed) -> Vec<ShareAcknowledgementBatch> {
    s.several(|s| ShareAcknowledgementBatch {
        first_offset: s.i64(),
        last_offset: s.i64(),
        acknowledge_types: s.several(Seed::i8),
    })
}

pub(crate) fn share_fetch_request(version: i16, s: &mut Seed) -> ShareFetchRequest {
    ShareFetchRequest {
        group_id: s.some(),
        member_id: s.some(),
        share_session_epoch: s.i32(),
        max_wait_ms: s.i32(),
        min_bytes: s.i32(),
        max_bytes: s.i32(),
        max_records: s.i32(),
        batch_size: s.i32(),
        share_acquire_mode: s.i8(),
        is_renew_ack: version >= 2,
        topics: s.several(|s| ShareFetchTopic {
            topic_id: s.id(),
            partitions: s.several(|s| ShareFetchPartition {
                partition_index: s.i32(),
                acknowledgement_batches: acknowledgements(s),
            }),
        }),
        forgotten_topics_data: s.several(|s| ShareForgottenTopic { topic_id: s.id(), partitions: s.ids() }),
    }
}

/// A ShareFetch response as a client has it.
pub(crate) fn share_fetch_response(_version: i16, s: &mut Seed) -> ShareFetchResponse<Bytes> {
    ShareFetchResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        acquisition_lock_timeout_ms: s.i32(),
        responses: s.several(|s| ShareFetchableTopicResponse {
            topic_id: s.id(),
            partitions: s.several(|s| SharePartitionData {
                partition_index: s.i32(),
                error_code: s.i16(),
                error_message: s.some(),
                acknowledge_error_code: s.i16(),
                acknowledge_error_message: s.some(),
                current_leader: share_leader(s),
                records: if s.next() % 4 == 0 { Bytes::new() } else { s.bytes().into() },
                acquired_records: s.several(|s| AcquiredRecords {
                    first_offset: s.i64(),
                    last_offset: s.i64(),
                    delivery_count: s.i16(),
                }),
            }),
        }),
        node_endpoints: s.several(endpoint),
    }
}

fn share_leader(s: &mut Seed) -> ShareLeaderIdAndEpoch {
    ShareLeaderIdAndEpoch { leader_id: s.i32(), leader_epoch: s.i32() }
}

/// The response with other records.
pub(crate) fn map_shared_records<R, S>(
    response: ShareFetchResponse<R>,
    mut map: impl FnMut(R) -> S,
) -> ShareFetchResponse<S> {
    let mut partition = |partition: SharePartitionData<R>| SharePartitionData {
        partition_index: partition.partition_index,
        error_code: partition.error_code,
        error_message: partition.error_message,
        acknowledge_error_code: partition.acknowledge_error_code,
        acknowledge_error_message: partition.acknowledge_error_message,
        current_leader: partition.current_leader,
        records: map(partition.records),
        acquired_records: partition.acquired_records,
    };
    let responses = response.responses.into_iter().map(|topic| ShareFetchableTopicResponse {
        topic_id: topic.topic_id,
        partitions: topic.partitions.into_iter().map(&mut partition).collect(),
    });
    ShareFetchResponse {
        responses: responses.collect(),
        throttle_time_ms: response.throttle_time_ms,
        error_code: response.error_code,
        error_message: response.error_message,
        acquisition_lock_timeout_ms: response.acquisition_lock_timeout_ms,
        node_endpoints: response.node_endpoints,
    }
}

/// The frame of a ShareFetch response as it goes over the wire: every gap filled.
pub(crate) fn share_fetch_frame(
    response: ShareFetchResponse<Bytes>,
    version: i16,
    correlation_id: i32,
) -> Bytes {
    let mut records = Vec::new();
    let response = map_shared_records(response, |bytes| {
        records.push(bytes);
        RecordsGap { index: records.len() - 1, length: records[records.len() - 1].len() as u32 }
    });
    let mut frame = BytesMut::new();
    for piece in response.encode(version, correlation_id).unwrap() {
        match piece {
            Piece::Bytes(bytes) => frame.extend_from_slice(&bytes),
            Piece::Records(gap) => frame.extend_from_slice(&records[gap.index]),
        }
    }
    frame.freeze()
}

pub(crate) fn share_acknowledge_request(version: i16, s: &mut Seed) -> ShareAcknowledgeRequest {
    ShareAcknowledgeRequest {
        group_id: s.some(),
        member_id: s.some(),
        share_session_epoch: s.i32(),
        is_renew_ack: version >= 2,
        topics: s.several(|s| ShareAcknowledgeTopic {
            topic_id: s.id(),
            partitions: s.several(|s| ShareAcknowledgePartition {
                partition_index: s.i32(),
                acknowledgement_batches: acknowledgements(s),
            }),
        }),
    }
}

pub(crate) fn share_acknowledge_response(version: i16, s: &mut Seed) -> ShareAcknowledgeResponse {
    ShareAcknowledgeResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        acquisition_lock_timeout_ms: only(version >= 2, s.i32()),
        responses: s.several(|s| ShareAcknowledgeTopicResponse {
            topic_id: s.id(),
            partitions: s.several(|s| ShareAcknowledgePartitionData {
                partition_index: s.i32(),
                error_code: s.i16(),
                error_message: s.some(),
                current_leader: share_leader(s),
            }),
        }),
        node_endpoints: s.several(endpoint),
    }
}

pub(crate) fn describe_share_group_offsets_request(
    _version: i16,
    s: &mut Seed,
) -> DescribeShareGroupOffsetsRequest {
    let groups = s.several(|s| DescribeShareGroupOffsetsRequestGroup {
        group_id: s.string(),
        topics: Some(s.several(|s| DescribeShareGroupOffsetsRequestTopic {
            topic_name: s.string(),
            partitions: s.ids(),
        })),
    });
    DescribeShareGroupOffsetsRequest { groups }
}

pub(crate) fn describe_share_group_offsets_response(
    version: i16,
    s: &mut Seed,
) -> DescribeShareGroupOffsetsResponse {
    let groups = s.several(|s| DescribeShareGroupOffsetsResponseGroup {
        group_id: s.string(),
        topics: s.several(|s| DescribeShareGroupOffsetsResponseTopic {
            topic_name: s.string(),
            topic_id: s.id(),
            partitions: s.several(|s| DescribeShareGroupOffsetsResponsePartition {
                partition_index: s.i32(),
                start_offset: s.i64(),
                leader_epoch: s.i32(),
                lag: if version >= 1 { s.i64() } else { -1 },
                error_code: s.i16(),
                error_message: s.some(),
            }),
        }),
        error_code: s.i16(),
        error_message: s.some(),
    });
    DescribeShareGroupOffsetsResponse { throttle_time_ms: s.i32(), groups }
}

pub(crate) fn alter_share_group_offsets_request(
    _version: i16,
    s: &mut Seed,
) -> AlterShareGroupOffsetsRequest {
    AlterShareGroupOffsetsRequest {
        group_id: s.string(),
        topics: s.several(|s| AlterShareGroupOffsetsRequestTopic {
            topic_name: s.string(),
            partitions: s.several(|s| AlterShareGroupOffsetsRequestPartition {
                partition_index: s.i32(),
                start_offset: s.i64(),
            }),
        }),
    }
}

pub(crate) fn alter_share_group_offsets_response(
    _version: i16,
    s: &mut Seed,
) -> AlterShareGroupOffsetsResponse {
    AlterShareGroupOffsetsResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        responses: s.several(|s| AlterShareGroupOffsetsResponseTopic {
            topic_name: s.string(),
            topic_id: s.id(),
            partitions: s.several(|s| AlterShareGroupOffsetsResponsePartition {
                partition_index: s.i32(),
                error_code: s.i16(),
                error_message: s.some(),
            }),
        }),
    }
}

pub(crate) fn delete_share_group_offsets_request(
    _version: i16,
    s: &mut Seed,
) -> DeleteShareGroupOffsetsRequest {
    let topics = s.several(|s| DeleteShareGroupOffsetsRequestTopic { topic_name: s.string() });
    DeleteShareGroupOffsetsRequest { group_id: s.string(), topics }
}

pub(crate) fn delete_share_group_offsets_response(
    _version: i16,
    s: &mut Seed,
) -> DeleteShareGroupOffsetsResponse {
    DeleteShareGroupOffsetsResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        responses: s.several(|s| DeleteShareGroupOffsetsResponseTopic {
            topic_name: s.string(),
            topic_id: s.id(),
            error_code: s.i16(),
            error_message: s.some(),
        }),
    }
}
