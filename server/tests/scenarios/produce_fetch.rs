//! Producing and fetching.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_protocol::messages::*;
use strandline_protocol::wire::{ErrorCode, Message};

use crate::broker::{Broker, data_dir};
use crate::client::{batch, fetch, now, produce, values};
use strandline_engine::types::Timestamp;

#[test]
fn records_come_back_with_every_acks() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    for (at, acks) in [1i16, -1].into_iter().enumerate() {
        for version in [3, 7, 8, 9, 11] {
            let response = client.call(version, &produce("t", 0, batch(&["a", "b"]), acks));
            let answer = &response.responses[0].partition_responses[0];
            assert_eq!(answer.error_code, 0);
            let before =
                at as i64 * 10 + [3, 7, 8, 9, 11].iter().position(|v| *v == version).unwrap() as i64 * 2;
            assert_eq!(answer.base_offset, before);
            assert_eq!(answer.log_append_time_ms, -1);
        }
    }
    // acks=0 has no response: the next answer is that of the next request.
    client.send(11, &produce("t", 0, batch(&["c"]), 0));
    assert_eq!(client.produce("t", 0, batch(&["d"])).base_offset, 21);
    let found = client.read_all("t", 0, 0);
    assert_eq!(found.len(), 22);
    assert_eq!(found[20..], [(20, "c".to_owned()), (21, "d".to_owned())]);
    assert_eq!(client.read_all("t", 0, 21), [(21, "d".to_owned())]);
}

#[test]
fn every_version_of_fetch_answers_every_partition_once() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--shards", "2"]);
    let mut client = broker.client();
    let topic_id = client.create("t", 4, &[]).topic_id;
    for partition in [1, 3] {
        client.produce("t", partition, batch(&["x"]));
    }
    for version in FetchRequest::VERSIONS {
        let mut request = fetch("t", &[(3, 0), (0, 0), (7, 0), (1, 0), (2, 9)]);
        request.topics[0].topic_id = topic_id;
        request.isolation_level = (version % 2) as i8;
        let response = client.fetch(version, &request);
        assert_eq!((response.error_code, response.session_id), (0, 0));
        let partitions = &response.responses[0].partitions;
        let told: Vec<_> = partitions
            .iter()
            .map(|data| {
                (data.partition_index, data.error_code, values(&data.records).len(), data.high_watermark)
            })
            .collect();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        let outside = ErrorCode::OffsetOutOfRange.code();
        assert_eq!(
            told,
            [(3, 0, 1, 1), (0, 0, 0, 0), (7, unknown, 0, -1), (1, 0, 1, 1), (2, outside, 0, -1)]
        );
        assert_eq!(partitions[0].aborted_transactions.is_some(), version % 2 == 1);
        assert_eq!(partitions[0].last_stable_offset, 1);
    }
    let mut request = fetch("t", &[(0, 0)]);
    request.topics[0].topic_id = strandline_protocol::Uuid::from_u128(7);
    let response = client.fetch(13, &request);
    assert_eq!(response.responses[0].partitions[0].error_code, ErrorCode::UnknownTopicId.code());
    let mut request = fetch("t", &[(0, 0)]);
    request.session_id = 5;
    request.session_epoch = 1;
    assert_eq!(client.fetch(12, &request).error_code, ErrorCode::FetchSessionIdNotFound.code());
    for (epoch, code) in [(0, ErrorCode::None), (1, ErrorCode::UnknownLeaderEpoch)] {
        let mut request = fetch("t", &[(0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        assert_eq!(client.fetch(12, &request).responses[0].partitions[0].error_code, code.code());
    }
}

#[test]
fn a_waiting_fetch_wakes_when_records_come() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--shards", "2"]);
    let mut reader = broker.client();
    reader.create("t", 2, &[]);
    for partition in 0..2 {
        let mut request = fetch("t", &[(0, 0), (1, 0)]);
        request.topics[0].partitions.rotate_left(partition as usize);
        request.topics[0].partitions.truncate(1);
        // One that is not woken is not answered while anyone waits for it.
        request.max_wait_ms = i32::MAX;
        reader.send(12, &request);
        std::thread::sleep(Duration::from_millis(50));
        broker.client().produce("t", partition, batch(&["now"]));
        let (_, response) = FetchResponse::decode(&reader.read_frame().unwrap(), 12).unwrap();
        assert_eq!(values(&response.responses[0].partitions[0].records), [(0, "now".to_owned())]);
    }
}

#[test]
fn a_fetch_waits_for_min_bytes_and_no_longer_than_max_wait() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    client.produce("t", 0, batch(&["one"]));
    let waited = |client: &mut crate::client::Client, max_wait_ms, min_bytes| {
        let mut request = fetch("t", &[(0, 0)]);
        (request.max_wait_ms, request.min_bytes) = (max_wait_ms, min_bytes);
        let began = Instant::now();
        let data = client.fetch(12, &request).responses.remove(0).partitions.remove(0);
        assert_eq!(values(&data.records).len(), 1);
        began.elapsed()
    };
    // With enough it is answered, however long it might wait; with too little, once it has waited.
    waited(&mut client, i32::MAX, 1);
    assert!(waited(&mut client, 300, 10_000) >= Duration::from_millis(300));
}

/// A read ends where a segment does: waiting for more of it took `max_wait_ms` once a segment.
#[test]
fn a_fetch_does_not_wait_at_the_end_of_a_sealed_segment() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[("segment.bytes", "1048576")]);
    let value = "v".repeat(600_000);
    for _ in 0..3 {
        client.produce("t", 0, batch(&[&value]));
    }
    let mut request = fetch("t", &[(0, 0)]);
    (request.max_wait_ms, request.min_bytes) = (i32::MAX, 10 << 20);
    request.topics[0].partitions[0].partition_max_bytes = 10 << 20;
    let data = client.fetch(12, &request).responses.remove(0).partitions.remove(0);
    assert_eq!(values(&data.records).len(), 1, "a segment holds one of these batches");
}

#[test]
fn the_first_batch_comes_whole_whatever_the_limits() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 2, &[]);
    let value = "v".repeat(900_000);
    for partition in 0..2 {
        client.produce("t", partition, batch(&[&value]));
        client.produce("t", partition, batch(&["small"]));
    }
    let mut request = fetch("t", &[(0, 0), (1, 0)]);
    request.max_bytes = 1;
    request.topics[0].partitions.iter_mut().for_each(|partition| partition.partition_max_bytes = 1);
    let partitions = client.fetch(12, &request).responses.remove(0).partitions;
    let first = values(&partitions[0].records);
    assert_eq!((first.len(), first[0].1.len()), (1, 900_000));
    assert!(partitions[1].records.is_empty());
    assert_eq!(client.read_all("t", 1, 0).len(), 2, "large answers leave by sendfile");
}

#[test]
fn what_is_refused_says_why() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "message.max.bytes=20000"]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    client.create("compact", 1, &[("cleanup.policy", "compact")]);
    let mut refused = |topic: &str, partition, batch: BytesMut| {
        let answer = client.produce(topic, partition, batch);
        assert_eq!(answer.base_offset, -1);
        assert!(answer.error_message.is_some());
        (ErrorCode::try_from(answer.error_code).unwrap(), answer.record_errors)
    };
    assert_eq!(refused("none", 0, batch(&["a"])).0, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(refused("t", 1, batch(&["a"])).0, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(refused("t", -1, batch(&["a"])).0, ErrorCode::UnknownTopicOrPartition);
    let mut damaged = batch(&["a"]);
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(refused("t", 0, damaged).0, ErrorCode::CorruptMessage);
    let mut two = batch(&["a"]);
    two.extend_from_slice(&batch(&["b"]));
    assert_eq!(refused("t", 0, two).0, ErrorCode::InvalidRecord);
    assert_eq!(refused("t", 0, BytesMut::new()).0, ErrorCode::InvalidRecord);
    assert_eq!(refused("t", 0, batch(&[&"x".repeat(20_001)])).0, ErrorCode::MessageTooLarge);
    let (code, records) = refused("compact", 0, batch(&["a", "b"]));
    assert_eq!((code, records.len(), records[1].batch_index), (ErrorCode::InvalidRecord, 2, 1));
    let mut future = BatchBuilder::new(Codec::None);
    future.push(now().plus(7_200_000), None, Some(b"later"), &[]);
    let (code, records) = refused("t", 0, future.build());
    assert_eq!((code, records.len()), (ErrorCode::InvalidTimestamp, 1));

    let response = client.call(11, &produce("t", 0, batch(&["a"]), 2));
    let code = response.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::InvalidRequiredAcks.code());
    let mut zstd = BatchBuilder::new(Codec::Zstd);
    zstd.push(now(), None, Some(b"z"), &[]);
    let response = client.call(6, &produce("t", 0, zstd.build(), -1));
    let code = response.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::UnsupportedCompressionType.code());
    assert!(client.read_all("t", 0, 0).is_empty(), "nothing of all that was kept");
}

#[test]
fn a_failed_append_with_acks_0_closes_the_connection() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.send(11, &produce("none", 0, batch(&["a"]), 0));
    assert!(client.is_closed());
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--shards", "2"]);
    let mut client = broker.client();
    client.create("t", 8, &[]);
    let mut sent = Vec::new();
    for round in 0..50 {
        sent.push((client.send(11, &produce("t", round % 8, batch(&["p"]), -1)), true));
        sent.push((
            client.send(
                4,
                &ApiVersionsRequest {
                    client_software_name: "test".to_owned(),
                    client_software_version: "1".to_owned(),
                },
            ),
            false,
        ));
    }
    for (id, is_produce) in sent {
        let frame = client.read_frame().unwrap();
        let answered = match is_produce {
            true => decode_response::<ProduceResponse>(&frame, 11).unwrap().0,
            false => decode_response::<ApiVersionsResponse>(&frame, 4).unwrap().0,
        };
        assert_eq!(answered, id);
    }
}

#[test]
fn offsets_are_found_by_time_and_by_name() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    for timestamp in [1000, 3000, 2000] {
        let mut batch = BatchBuilder::new(Codec::None);
        batch.push(Timestamp(timestamp), None, Some(b"x"), &[]);
        client.produce("t", 0, batch.build());
    }
    let request = |times: &[(i32, i64)]| ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: "t".to_owned(),
            partitions: times
                .iter()
                .map(|(partition, timestamp)| ListOffsetsPartition {
                    partition_index: *partition,
                    timestamp: *timestamp,
                    ..Default::default()
                })
                .collect(),
        }],
        ..Default::default()
    };
    let mut find = |version, timestamp| {
        let found = client.call(version, &request(&[(0, timestamp)])).topics[0].partitions[0].clone();
        (found.error_code, found.offset, found.timestamp)
    };
    assert_eq!(find(10, -1), (0, 3, -1));
    assert_eq!(find(10, -2), (0, 0, -1));
    assert_eq!(find(10, -3), (0, 1, 3000));
    assert_eq!(find(10, -4), (0, 0, -1));
    assert_eq!(find(10, -5), (0, -1, -1));
    assert_eq!(find(1, 1500), (0, 1, 3000));
    assert_eq!(find(10, 3001), (0, -1, -1));
    assert_eq!(find(6, -3).0, ErrorCode::UnsupportedVersion.code());
    let twice = client.call(5, &request(&[(0, -1), (0, -2)]));
    assert!(twice.topics[0].partitions.iter().all(|p| p.error_code == ErrorCode::InvalidRequest.code()));
}
