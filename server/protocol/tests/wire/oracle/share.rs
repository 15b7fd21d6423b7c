//! The messages of share groups, against the oracle.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable};
use strandline_protocol::messages::{
    ShareAcknowledgeRequest, ShareAcknowledgeResponse, ShareFetchRequest, ShareFetchResponse, encode_request,
    encode_response,
};
use strandline_protocol::wire::ApiKey;

use super::{
    CLIENT_ID, CORRELATION_ID, SEEDS, check_request, check_response, names_and_values, request_body,
    response_body, unknown_versions_are_refused,
};
use crate::samples::{self, Seed};

#[test]
fn the_messages_of_share_groups_agree_with_the_oracle() {
    use samples::*;
    check_request::<_, theirs::ShareGroupHeartbeatRequest>(share_group_heartbeat_request);
    check_response::<_, theirs::ShareGroupHeartbeatResponse>(share_group_heartbeat_response, Some(1));
    check_request::<_, theirs::ShareGroupDescribeRequest>(share_group_describe_request);
    check_response::<_, theirs::ShareGroupDescribeResponse>(share_group_describe_response, Some(1));
    check_request::<_, theirs::ShareAcknowledgeRequest>(share_acknowledge_request);
    check_response::<_, theirs::ShareAcknowledgeResponse>(share_acknowledge_response, Some(2));
}

#[test]
fn the_messages_of_their_offsets_agree_with_the_oracle() {
    use samples::*;
    check_request::<_, theirs::DescribeShareGroupOffsetsRequest>(describe_share_group_offsets_request);
    check_response::<_, theirs::DescribeShareGroupOffsetsResponse>(
        describe_share_group_offsets_response,
        Some(1),
    );
    check_request::<_, theirs::AlterShareGroupOffsetsRequest>(alter_share_group_offsets_request);
    check_response::<_, theirs::AlterShareGroupOffsetsResponse>(alter_share_group_offsets_response, Some(0));
    check_request::<_, theirs::DeleteShareGroupOffsetsRequest>(delete_share_group_offsets_request);
    check_response::<_, theirs::DeleteShareGroupOffsetsResponse>(
        delete_share_group_offsets_response,
        Some(0),
    );
}

#[test]
fn share_fetches_agree_with_the_oracle() {
    check_request::<_, theirs::ShareFetchRequest>(samples::share_fetch_request);
    for (seed, version) in SEEDS.flat_map(|seed| (1..=2).map(move |version| (seed, version))) {
        let response = samples::share_fetch_response(version, &mut Seed::new(seed));
        let frame = samples::share_fetch_frame(response.clone(), version, CORRELATION_ID);
        let body = response_body(&frame, ApiKey::ShareFetch, version);
        let (correlation_id, read) = ShareFetchResponse::decode(&frame.slice(4..), version).unwrap();
        assert_eq!((correlation_id, &read), (CORRELATION_ID, &response));
        if version > 1 {
            // Younger than the oracle; its fields are those of version 1.
            continue;
        }
        let mut rest = body.clone();
        let their = theirs::ShareFetchResponse::decode(&mut rest, version).unwrap();
        assert!(rest.is_empty());
        let mut shown = their.clone();
        for partition in shown.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.records = None;
        }
        let without_records = samples::map_shared_records(read, |_| None::<Bytes>);
        assert_eq!(names_and_values(&shown), names_and_values(&without_records), "version {version}");
        let mut written = BytesMut::new();
        their.encode(&mut written, version).unwrap();
        assert_eq!(written, body, "version {version}");
    }
    unknown_versions_are_refused::<ShareFetchResponse<Bytes>>();
}

/// The oracle knows version 1 alone; these are the bytes of Kafka's schemas of version 2.
#[test]
fn the_second_versions_are_as_kafka_writes_them() {
    let request = ShareFetchRequest {
        group_id: Some("g".into()),
        member_id: Some("m".into()),
        share_session_epoch: 1,
        max_wait_ms: 2,
        min_bytes: 3,
        max_bytes: 4,
        max_records: 5,
        batch_size: 6,
        share_acquire_mode: 1,
        is_renew_ack: true,
        ..Default::default()
    };
    let frame = encode_request(2, CORRELATION_ID, Some(CLIENT_ID), &request).unwrap();
    let expected =
        b"\x02g\x02m\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05\0\0\0\x06\x01\x01\x01\x01\0";
    assert_eq!(request_body(&frame, ApiKey::ShareFetch, 2), &expected[..]);

    let request = ShareAcknowledgeRequest {
        group_id: None,
        member_id: Some("m".into()),
        share_session_epoch: -1,
        is_renew_ack: true,
        topics: Vec::new(),
    };
    let frame = encode_request(2, CORRELATION_ID, Some(CLIENT_ID), &request).unwrap();
    let expected = b"\0\x02m\xff\xff\xff\xff\x01\x01\0";
    assert_eq!(request_body(&frame, ApiKey::ShareAcknowledge, 2), &expected[..]);

    let response = ShareAcknowledgeResponse { acquisition_lock_timeout_ms: 7, ..Default::default() };
    let frame = encode_response(2, CORRELATION_ID, &response).unwrap();
    let expected = b"\0\0\0\0\0\0\0\0\0\0\x07\x01\x01\0";
    assert_eq!(response_body(&frame, ApiKey::ShareAcknowledge, 2), &expected[..]);
}
