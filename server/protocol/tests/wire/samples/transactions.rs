//! Samples of transactions, and of idempotent producers.

use strandline_protocol::messages::*;

use super::{Seed, only};

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
