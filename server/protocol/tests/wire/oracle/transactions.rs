//! What transactional producers ask.

use super::*;

#[test]
fn add_partitions_to_txn_agrees_with_the_oracle() {
    check_request::<_, theirs::AddPartitionsToTxnRequest>(samples::add_partitions_to_txn_request);
    check_response::<_, theirs::AddPartitionsToTxnResponse>(samples::add_partitions_to_txn_response, Some(5));
}

#[test]
fn add_offsets_to_txn_agrees_with_the_oracle() {
    check_request::<_, theirs::AddOffsetsToTxnRequest>(samples::add_offsets_to_txn_request);
    check_response::<_, theirs::AddOffsetsToTxnResponse>(samples::add_offsets_to_txn_response, Some(4));
}

#[test]
fn end_txn_agrees_with_the_oracle() {
    check_request::<_, theirs::EndTxnRequest>(samples::end_txn_request);
    check_response::<_, theirs::EndTxnResponse>(samples::end_txn_response, Some(5));
}

#[test]
fn write_txn_markers_agrees_with_the_oracle() {
    check_request::<_, theirs::WriteTxnMarkersRequest>(samples::write_txn_markers_request);
    check_response::<_, theirs::WriteTxnMarkersResponse>(samples::write_txn_markers_response, Some(1));
}

#[test]
fn list_transactions_agrees_with_the_oracle() {
    check_request::<_, theirs::ListTransactionsRequest>(samples::list_transactions_request);
    check_response::<_, theirs::ListTransactionsResponse>(samples::list_transactions_response, Some(2));
}

#[test]
fn describe_transactions_agrees_with_the_oracle() {
    check_request::<_, theirs::DescribeTransactionsRequest>(samples::describe_transactions_request);
    check_response::<_, theirs::DescribeTransactionsResponse>(
        samples::describe_transactions_response,
        Some(0),
    );
}

#[test]
fn init_producer_id_agrees_with_the_oracle() {
    check_request::<_, theirs::InitProducerIdRequest>(samples::init_producer_id_request);
    check_response::<_, theirs::InitProducerIdResponse>(samples::init_producer_id_response, Some(5));
}

#[test]
fn write_txn_markers_2_which_is_younger_than_the_oracle_is_as_kafka_writes_it() {
    let marker = WritableTxnMarker {
        producer_id: 7,
        producer_epoch: 3,
        transaction_result: true,
        topics: Vec::new(),
        coordinator_epoch: 5,
        transaction_version: 2,
    };
    let request = WriteTxnMarkersRequest { markers: vec![marker] };
    let frame = encode_request(2, CORRELATION_ID, Some(CLIENT_ID), &request).unwrap();
    // One marker: its producer, commit, no topics, the coordinator's epoch, the level.
    let body = b"\x02\0\0\0\0\0\0\0\x07\0\x03\x01\x01\0\0\0\x05\x02\0\0";
    assert_eq!(request_body(&frame, ApiKey::WriteTxnMarkers, 2), body[..]);
}
