//! Samples of what reads and writes records.

use bytes::{Bytes, BytesMut};
use strandline_protocol::messages::*;

use super::{Seed, endpoint, leader, only};

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
