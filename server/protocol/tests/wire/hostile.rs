//! Bytes that mean harm: cut, turned, lying about lengths, or random. They end in an error, or in a message
//! that costs no more memory than the budget says; never in a panic.

use crate::samples::{self, Seed};
use bytes::{Bytes, BytesMut};
use strandline_protocol::messages::*;
use strandline_protocol::wire::reader::request_budget;
use strandline_protocol::wire::{Decode, Encode, Message, Reader, WireError};

type Read = Box<dyn Fn(&[u8]) -> Result<(), WireError>>;

/// How one kind of message is read from a body or a response frame, and the bytes to begin with.
struct Target {
    name: String,
    read: Read,
    samples: Vec<Vec<u8>>,
}

fn requests<M: Request + Decode + Encode + 'static>(
    targets: &mut Vec<Target>,
    sample: fn(i16, &mut Seed) -> M,
) {
    for version in M::VERSIONS {
        let body = |seed| {
            let request = sample(version, &mut Seed::new(seed));
            let frame = encode_request(version, 1, None, &request).unwrap();
            let (_, body_position) = RequestHeader::decode(&frame[4..]).unwrap();
            frame[4 + body_position..].to_vec()
        };
        targets.push(Target {
            name: format!("{} request {version}", M::KEY),
            read: Box::new(move |bytes| decode_request::<M>(bytes, version).map(drop)),
            samples: (1..=2).map(body).collect(),
        });
    }
}

fn responses<M: Message + Decode + Encode + 'static>(
    targets: &mut Vec<Target>,
    sample: fn(i16, &mut Seed) -> M,
) {
    for version in M::VERSIONS {
        let frame =
            |seed| encode_response(version, 1, &sample(version, &mut Seed::new(seed))).unwrap()[4..].to_vec();
        targets.push(Target {
            name: format!("{} response {version}", M::KEY),
            read: Box::new(move |bytes| decode_response::<M>(bytes, version).map(drop)),
            samples: (1..=2).map(frame).collect(),
        });
    }
}

fn targets() -> Vec<Target> {
    let mut targets = Vec::new();
    let to = &mut targets;
    requests(to, samples::sasl_handshake_request);
    responses(to, samples::sasl_handshake_response);
    requests(to, samples::sasl_authenticate_request);
    responses(to, samples::sasl_authenticate_response);
    requests(to, samples::api_versions_request);
    responses(to, samples::api_versions_response);
    requests(to, samples::metadata_request);
    responses(to, samples::metadata_response);
    requests(to, samples::create_topics_request);
    responses(to, samples::create_topics_response);
    requests(to, samples::delete_topics_request);
    responses(to, samples::delete_topics_response);
    requests(to, samples::list_offsets_request);
    responses(to, samples::list_offsets_response);
    requests(to, samples::init_producer_id_request);
    responses(to, samples::init_producer_id_response);
    requests(to, samples::describe_cluster_request);
    responses(to, samples::describe_cluster_response);
    requests(to, samples::describe_configs_request);
    responses(to, samples::describe_configs_response);
    requests(to, samples::find_coordinator_request);
    responses(to, samples::find_coordinator_response);
    requests(to, samples::join_group_request);
    responses(to, samples::join_group_response);
    requests(to, samples::sync_group_request);
    responses(to, samples::sync_group_response);
    requests(to, samples::heartbeat_request);
    responses(to, samples::heartbeat_response);
    requests(to, samples::leave_group_request);
    responses(to, samples::leave_group_response);
    requests(to, samples::offset_commit_request);
    responses(to, samples::offset_commit_response);
    requests(to, samples::offset_fetch_request);
    responses(to, samples::offset_fetch_response);
    requests(to, samples::list_groups_request);
    responses(to, samples::list_groups_response);
    requests(to, samples::describe_groups_request);
    responses(to, samples::describe_groups_response);
    requests(to, samples::delete_groups_request);
    responses(to, samples::delete_groups_response);
    requests(to, samples::offset_delete_request);
    responses(to, samples::offset_delete_response);
    requests(to, samples::incremental_alter_configs_request);
    responses(to, samples::incremental_alter_configs_response);
    requests(to, samples::alter_configs_request);
    responses(to, samples::alter_configs_response);
    requests(to, samples::create_partitions_request);
    responses(to, samples::create_partitions_response);
    requests(to, samples::delete_records_request);
    responses(to, samples::delete_records_response);
    requests(to, samples::describe_log_dirs_request);
    responses(to, samples::describe_log_dirs_response);
    requests(to, samples::list_partition_reassignments_request);
    responses(to, samples::list_partition_reassignments_response);
    requests(to, samples::describe_topic_partitions_request);
    responses(to, samples::describe_topic_partitions_response);
    requests(to, samples::elect_leaders_request);
    responses(to, samples::elect_leaders_response);
    requests(to, samples::alter_partition_reassignments_request);
    responses(to, samples::alter_partition_reassignments_response);
    requests(to, samples::describe_quorum_request);
    responses(to, samples::describe_quorum_response);
    requests(to, samples::describe_producers_request);
    responses(to, samples::describe_producers_response);
    requests(to, samples::list_transactions_request);
    responses(to, samples::list_transactions_response);
    requests(to, samples::describe_transactions_request);
    responses(to, samples::describe_transactions_response);
    requests(to, samples::add_partitions_to_txn_request);
    responses(to, samples::add_partitions_to_txn_response);
    requests(to, samples::add_offsets_to_txn_request);
    responses(to, samples::add_offsets_to_txn_response);
    requests(to, samples::end_txn_request);
    responses(to, samples::end_txn_response);
    requests(to, samples::write_txn_markers_request);
    responses(to, samples::write_txn_markers_response);
    requests(to, samples::share_group_heartbeat_request);
    responses(to, samples::share_group_heartbeat_response);
    requests(to, samples::share_group_describe_request);
    responses(to, samples::share_group_describe_response);
    requests(to, samples::share_acknowledge_request);
    responses(to, samples::share_acknowledge_response);
    requests(to, samples::describe_share_group_offsets_request);
    responses(to, samples::describe_share_group_offsets_response);
    requests(to, samples::alter_share_group_offsets_request);
    responses(to, samples::alter_share_group_offsets_response);
    requests(to, samples::delete_share_group_offsets_request);
    responses(to, samples::delete_share_group_offsets_response);
    requests(to, samples::share_fetch_request);
    requests(to, samples::streams_group_heartbeat_request);
    responses(to, samples::streams_group_heartbeat_response);
    requests(to, samples::streams_group_describe_request);
    responses(to, samples::streams_group_describe_response);
    requests(to, samples::list_config_resources_request);
    responses(to, samples::list_config_resources_response);
    requests(to, samples::describe_client_quotas_request);
    responses(to, samples::describe_client_quotas_response);
    requests(to, samples::alter_client_quotas_request);
    responses(to, samples::alter_client_quotas_response);
    requests(to, samples::describe_user_scram_credentials_request);
    responses(to, samples::describe_user_scram_credentials_response);
    requests(to, samples::alter_user_scram_credentials_request);
    responses(to, samples::alter_user_scram_credentials_response);
    requests(to, samples::update_features_request);
    responses(to, samples::update_features_response);
    requests(to, samples::unregister_broker_request);
    responses(to, samples::unregister_broker_response);
    requests(to, samples::describe_acls_request);
    responses(to, samples::describe_acls_response);
    requests(to, samples::create_acls_request);
    responses(to, samples::create_acls_response);
    requests(to, samples::delete_acls_request);
    responses(to, samples::delete_acls_response);
    requests(to, samples::alter_replica_log_dirs_request);
    responses(to, samples::alter_replica_log_dirs_response);
    requests(to, samples::create_delegation_token_request);
    responses(to, samples::create_delegation_token_response);
    requests(to, samples::renew_delegation_token_request);
    responses(to, samples::renew_delegation_token_response);
    requests(to, samples::expire_delegation_token_request);
    responses(to, samples::expire_delegation_token_response);
    requests(to, samples::describe_delegation_token_request);
    responses(to, samples::describe_delegation_token_response);
    requests(to, samples::offset_for_leader_epoch_request);
    responses(to, samples::offset_for_leader_epoch_response);
    requests(to, samples::fetch_request);
    responses(to, samples::produce_response);
    for version in ProduceRequest::VERSIONS {
        let body = |seed| {
            let request = samples::produce_request(version, &mut Seed::new(seed));
            let frame = encode_request(version, 1, None, &request).unwrap();
            let (_, body_position) = RequestHeader::decode(&frame[4..]).unwrap();
            frame[4 + body_position..].to_vec()
        };
        targets.push(Target {
            name: format!("Produce request {version}"),
            read: Box::new(move |bytes| ProduceRequest::decode(BytesMut::from(bytes), version).map(drop)),
            samples: (1..=2).map(body).collect(),
        });
    }
    for version in FetchRequest::VERSIONS {
        let frame = |seed| {
            let response = samples::fetch_response(version, &mut Seed::new(seed));
            samples::fetch_frame(response, version, 1)[4..].to_vec()
        };
        targets.push(Target {
            name: format!("Fetch response {version}"),
            read: Box::new(move |bytes| {
                FetchResponse::decode(&Bytes::copy_from_slice(bytes), version).map(drop)
            }),
            samples: (1..=2).map(frame).collect(),
        });
    }
    for version in ShareFetchRequest::VERSIONS {
        let frame = |seed| {
            let response = samples::share_fetch_response(version, &mut Seed::new(seed));
            samples::share_fetch_frame(response, version, 1)[4..].to_vec()
        };
        targets.push(Target {
            name: format!("ShareFetch response {version}"),
            read: Box::new(move |bytes| {
                ShareFetchResponse::decode(&Bytes::copy_from_slice(bytes), version).map(drop)
            }),
            samples: (1..=2).map(frame).collect(),
        });
    }
    targets
}

#[test]
fn every_truncation_of_every_message_is_an_error() {
    for target in targets() {
        for sample in &target.samples {
            (target.read)(sample).unwrap_or_else(|error| panic!("{}: {error}", target.name));
            for length in 0..sample.len() {
                assert!((target.read)(&sample[..length]).is_err(), "{} cut to {length}", target.name);
            }
        }
    }
}

#[test]
fn a_byte_too_many_is_an_error_in_a_response_and_ignored_behind_a_request() {
    for target in targets() {
        for sample in &target.samples {
            let longer = [&sample[..], &[0]].concat();
            let trailing = Err(WireError::Trailing { position: sample.len(), left: 1 });
            let expected = if target.name.contains("request") { Ok(()) } else { trailing };
            assert_eq!((target.read)(&longer), expected, "{}", target.name);
        }
    }
}

#[test]
fn lying_lengths_do_not_panic() {
    const LIES: [&[u8]; 7] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0x80, 0x00, 0x00, 0x00],
        &[0xff, 0xff, 0xff, 0xfe],
        &[0x00, 0x0f, 0x42, 0x40],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x80, 0x80, 0x40],
        &[0xff, 0xff],
    ];
    for target in targets() {
        for sample in &target.samples {
            for position in 0..sample.len() {
                for lie in LIES {
                    let mut bytes = sample.clone();
                    let end = bytes.len().min(position + lie.len());
                    bytes[position..end].copy_from_slice(&lie[..end - position]);
                    let _ = (target.read)(&bytes);
                }
            }
        }
    }
}

#[test]
fn random_bytes_do_not_panic() {
    let mut seed = Seed::new(0x5eed);
    let targets = targets();
    for _ in 0..100_000 {
        let target = &targets[(seed.next() % targets.len() as u64) as usize];
        let mut bytes: Vec<u8> = match seed.next() % 2 {
            0 => (0..seed.next() % 100).map(|_| seed.next() as u8).collect(),
            _ => target.samples[0].clone(),
        };
        if !bytes.is_empty() {
            for _ in 0..1 + seed.next() % 4 {
                let position = (seed.next() % bytes.len() as u64) as usize;
                bytes[position] = seed.next() as u8;
            }
        }
        let _ = (target.read)(&bytes);
        let _ = RequestHeader::decode(&bytes);
    }
}

#[test]
fn an_array_that_expands_past_the_budget_is_refused_before_it_is_allocated() {
    // A topic without partitions: 3 bytes on the wire, 64 in memory.
    let topics = 300_000;
    let mut body = vec![0xff, 0xff, 0, 1, 0, 0, 0, 0];
    body.extend_from_slice(&i32::to_be_bytes(topics));
    body.resize(body.len() + topics as usize * 6, 0);
    let left = request_budget(body.len());
    let wanted = topics as usize * size_of::<TopicProduceData>();
    assert_eq!(
        ProduceRequest::decode(BytesMut::from(&body[..]), 3),
        Err(WireError::OverBudget { position: 12, wanted, left })
    );

    // Partitions that fit, with a list of where their records are that does not.
    let partitions = 1_000_000;
    let mut body = vec![0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
    body.extend_from_slice(&i32::to_be_bytes(partitions));
    body.resize(body.len() + partitions as usize * 8, 0);
    assert!(matches!(
        ProduceRequest::decode(BytesMut::from(&body[..]), 3),
        Err(WireError::OverBudget { position: 18, .. })
    ));
}

#[test]
fn the_budget_counts_every_value_of_a_message() {
    let name = |length| "n".repeat(length);
    let request = CreateTopicsRequest {
        topics: vec![
            CreatableTopic { name: name(100), ..Default::default() },
            CreatableTopic {
                name: name(50),
                assignments: vec![CreatableReplicaAssignment {
                    partition_index: 0,
                    broker_ids: vec![1, 2, 3],
                }],
                configs: vec![
                    CreatableTopicConfig { name: name(7), value: Some(name(1000)) },
                    CreatableTopicConfig { name: name(8), value: None },
                ],
                ..Default::default()
            },
        ],
        ..Default::default()
    };
    let occupied = 2 * size_of::<CreatableTopic>()
        + size_of::<CreatableReplicaAssignment>()
        + 3 * size_of::<i32>()
        + 2 * size_of::<CreatableTopicConfig>()
        + 100
        + 50
        + 7
        + 1000
        + 8;
    for version in CreateTopicsRequest::VERSIONS {
        let frame = encode_request(version, 1, None, &request).unwrap();
        let (_, body_position) = RequestHeader::decode(&frame[4..]).unwrap();
        let body = &frame[4 + body_position..];
        let mut reader = Reader::request(body, version, CreateTopicsRequest::readable(version).unwrap());
        assert_eq!(reader.budget_left(), request_budget(body.len()));
        assert_eq!(CreateTopicsRequest::read(&mut reader).as_ref(), Ok(&request));
        assert_eq!(reader.budget_left(), request_budget(body.len()) - occupied);
    }
}

#[test]
fn a_request_for_thirty_thousand_topics_or_partitions_fits_its_budget() {
    let topics =
        (0..30_000).map(|n| MetadataRequestTopic { name: Some(format!("t{n}")), ..Default::default() });
    let request = MetadataRequest { topics: Some(topics.collect()), ..Default::default() };
    let partitions: Vec<_> =
        (0..30_000).map(|partition| FetchPartition { partition, ..Default::default() }).collect();
    let topics = vec![FetchTopic { topic: "one".into(), partitions, ..Default::default() }];
    let fetch = FetchRequest { topics, ..Default::default() };
    let partitions = (0..30_000)
        .map(|partition_index| OffsetCommitRequestPartition { partition_index, ..Default::default() });
    let topics = vec![OffsetCommitRequestTopic { name: "one".into(), partitions: partitions.collect() }];
    let commit = OffsetCommitRequest { topics, ..Default::default() };
    fits(&request);
    fits(&fetch);
    fits(&commit);

    fn fits<M: Request + Decode + Encode + PartialEq + std::fmt::Debug>(request: &M) {
        for version in M::VERSIONS {
            let frame = encode_request(version, 1, None, request).unwrap();
            let (_, body_position) = RequestHeader::decode(&frame[4..]).unwrap();
            let read: Result<M, _> = decode_request(&frame[4 + body_position..], version);
            assert!(read.is_ok(), "{} version {version}: {:?}", M::KEY, read.err());
        }
    }
}
