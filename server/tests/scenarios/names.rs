//! Names that nobody expects: strings that are not UTF-8, that are as long as strings can be, that quote and
//! break lines. Kafka answers them all; so do we, and the connection goes on.

use std::io::Write;

use bytes::Bytes;
use strandline::dispatch::APIS;
use strandline_protocol::messages::*;
use strandline_protocol::wire::{ApiKey, Encode, ErrorCode};

use crate::broker::{Broker, data_dir};
use crate::client::Client;
use crate::wire_samples::{self as samples, STRING_HEAD, Seed};

/// A request of every API in every version that is served, with its correlation id from `first_id` on.
fn requests(seed: fn(u64) -> Seed, first_id: i32) -> Vec<(ApiKey, i16, Vec<u8>)> {
    let mut frames = Vec::new();
    let to = &mut (seed, &mut frames, first_id);
    type To<'a> = (fn(u64) -> Seed, &'a mut Vec<(ApiKey, i16, Vec<u8>)>, i32);
    fn add<M: Request + Encode>(to: &mut To<'_>, sample: fn(i16, &mut Seed) -> M) {
        let api = APIS.iter().find(|api| api.key == M::KEY).expect("it is served");
        for version in api.versions.clone().filter(|version| M::VERSIONS.contains(version)) {
            let id = to.2 + to.1.len() as i32;
            let request = sample(version, &mut to.0(7));
            let frame = encode_request(version, id, Some(STRING_HEAD), &request).unwrap();
            to.1.push((M::KEY, version, frame.to_vec()));
        }
    }
    add(to, samples::produce_request);
    add(to, samples::fetch_request);
    add(to, samples::list_offsets_request);
    add(to, samples::metadata_request);
    add(to, samples::offset_commit_request);
    add(to, samples::txn_offset_commit_request);
    add(to, samples::offset_fetch_request);
    add(to, samples::find_coordinator_request);
    add(to, samples::join_group_request);
    add(to, samples::heartbeat_request);
    add(to, samples::consumer_group_heartbeat_request);
    add(to, samples::consumer_group_describe_request);
    add(to, samples::share_group_heartbeat_request);
    add(to, samples::share_group_describe_request);
    add(to, samples::share_fetch_request);
    add(to, samples::share_acknowledge_request);
    add(to, samples::describe_share_group_offsets_request);
    add(to, samples::alter_share_group_offsets_request);
    add(to, samples::delete_share_group_offsets_request);
    add(to, streams_group_heartbeat);
    add(to, streams_group_describe);
    add(to, samples::leave_group_request);
    add(to, samples::sync_group_request);
    add(to, samples::describe_groups_request);
    add(to, samples::list_groups_request);
    add(to, samples::sasl_handshake_request);
    add(to, samples::sasl_authenticate_request);
    add(to, samples::api_versions_request);
    add(to, samples::create_topics_request);
    add(to, samples::delete_topics_request);
    add(to, samples::delete_records_request);
    add(to, samples::init_producer_id_request);
    add(to, samples::offset_for_leader_epoch_request);
    add(to, samples::describe_acls_request);
    add(to, samples::create_acls_request);
    add(to, samples::delete_acls_request);
    add(to, samples::describe_configs_request);
    add(to, samples::alter_configs_request);
    add(to, samples::alter_replica_log_dirs_request);
    add(to, samples::describe_log_dirs_request);
    add(to, samples::create_partitions_request);
    add(to, samples::create_delegation_token_request);
    add(to, samples::renew_delegation_token_request);
    add(to, samples::expire_delegation_token_request);
    add(to, samples::describe_delegation_token_request);
    add(to, samples::delete_groups_request);
    add(to, samples::elect_leaders_request);
    add(to, samples::incremental_alter_configs_request);
    add(to, samples::alter_partition_reassignments_request);
    add(to, samples::list_partition_reassignments_request);
    add(to, samples::offset_delete_request);
    add(to, samples::describe_client_quotas_request);
    add(to, samples::alter_client_quotas_request);
    add(to, samples::describe_user_scram_credentials_request);
    add(to, samples::alter_user_scram_credentials_request);
    add(to, samples::describe_quorum_request);
    add(to, samples::update_features_request);
    add(to, samples::describe_cluster_request);
    add(to, samples::describe_producers_request);
    add(to, samples::unregister_broker_request);
    add(to, samples::describe_transactions_request);
    add(to, samples::list_transactions_request);
    add(to, samples::add_partitions_to_txn_request);
    add(to, samples::add_offsets_to_txn_request);
    add(to, samples::end_txn_request);
    add(to, samples::write_txn_markers_request);
    add(to, samples::list_config_resources_request);
    add(to, samples::describe_topic_partitions_request);
    for api in APIS {
        assert!(frames.iter().any(|(key, ..)| *key == api.key), "{} is served: add its sample here", api.key);
    }
    frames
}

/// The samples of streams groups are bytes of Kafka's; here each string of one is its own.
fn streams_group_heartbeat(version: i16, s: &mut Seed) -> StreamsGroupHeartbeatRequest {
    let mut request = samples::streams_group_heartbeat_request(version, s);
    request.group_id = s.string();
    request.member_id = s.string();
    for text in [&mut request.instance_id, &mut request.rack_id, &mut request.process_id] {
        *text = s.some();
    }
    request.client_tags = Some(vec![StreamsGroupKeyValue { key: s.string(), value: s.string() }]);
    request.user_endpoint = Some(StreamsGroupEndpoint { host: s.string(), port: 1 });
    for task in request.active_tasks.iter_mut().flatten() {
        task.subtopology_id = s.string();
    }
    for part in request.topology.iter_mut().flat_map(|topology| &mut topology.subtopologies) {
        part.subtopology_id = s.string();
        let texts = part.source_topics.iter_mut().chain(&mut part.source_topic_regex);
        texts.chain(&mut part.repartition_sink_topics).for_each(|text| *text = s.string());
        let topics = part.state_changelog_topics.iter_mut().chain(&mut part.repartition_source_topics);
        for topic in topics {
            topic.name = s.string();
            topic.topic_configs = vec![StreamsGroupKeyValue { key: s.string(), value: s.string() }];
        }
    }
    request
}

fn streams_group_describe(version: i16, s: &mut Seed) -> StreamsGroupDescribeRequest {
    let sample = samples::streams_group_describe_request(version, s);
    StreamsGroupDescribeRequest { group_ids: vec![s.string(), s.string()], ..sample }
}

/// Where the strings of a sample have the two bytes of their `é`.
fn places(frame: &[u8]) -> Vec<usize> {
    let head = STRING_HEAD.as_bytes();
    let e = STRING_HEAD.find('é').unwrap();
    let starts = frame.windows(head.len()).enumerate().filter(|(_, bytes)| *bytes == head);
    starts.map(|(at, _)| at + e).collect()
}

/// Sends frames one after the other on one connection; each must be answered by its correlation id.
struct Asking(Client);

impl Asking {
    fn ask(&mut self, frame: &[u8], what: &str) -> Bytes {
        self.0.stream().write_all(frame).unwrap_or_else(|error| panic!("{what}: {error}"));
        let answer = self.0.read_frame().unwrap_or_else(|error| panic!("{what} is not answered: {error}"));
        assert_eq!(answer[..4], frame[8..12], "{what}");
        answer
    }
}

#[test]
fn a_string_that_is_not_utf8_is_answered_in_every_field_of_every_api() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut asking = Asking(broker.client());
    let mut tried = 0;
    for (key, version, frame) in requests(Seed::new, 0) {
        let places = places(&frame);
        assert!(!places.is_empty(), "the client id at least");
        for at in places {
            let mut frame = frame.clone();
            frame[at..at + 2].copy_from_slice(&[0xff, 0xfe]);
            asking.ask(&frame, &format!("{key} {version} with ff fe at byte {at}"));
            tried += 1;
        }
    }
    assert!(tried > 500, "{tried} fields");
}

#[test]
fn the_longest_strings_are_answered_in_every_field_of_every_api() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut asking = Asking(broker.client());
    for (key, version, mut frame) in requests(Seed::of_long_strings, 1 << 20) {
        asking.ask(&frame, &format!("{key} {version} with long strings"));
        // Each grows by replacement beyond what a string can be.
        for at in places(&frame) {
            frame[at..at + 2].copy_from_slice(&[0xff, 0xfe]);
        }
        asking.ask(&frame, &format!("{key} {version} with long strings that are not UTF-8"));
    }
}

/// The clients of a code page other than UTF-8: the frame has `~` where the name has `é` in Latin-1.
fn latin(version: i16, id: i32, request: &(impl Request + Encode)) -> Vec<u8> {
    let mut frame = encode_request(version, id, Some("caf~"), request).unwrap().to_vec();
    frame.iter_mut().filter(|byte| **byte == b'~').for_each(|byte| *byte = 0xe9);
    frame
}

#[test]
fn a_group_of_clients_that_do_not_speak_utf8_works_under_the_names_that_its_members_have() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["-o", "group.initial.rebalance.delay.ms=0"]);
    let mut asking = Asking(broker.client());
    asking.0.create("t", 1, &[]);
    let find = FindCoordinatorRequest { key: "g~".to_owned(), ..Default::default() };
    asking.ask(&latin(1, 1, &find), "FindCoordinator");
    let mut join = JoinGroupRequest {
        group_id: "g~".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        group_instance_id: Some("instance-~".to_owned()),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol { name: "range-~".to_owned(), metadata: Bytes::new() }],
        ..Default::default()
    };
    let joined = loop {
        let answer = asking.ask(&latin(5, 2, &join), "JoinGroup");
        let (_, joined) = decode_response::<JoinGroupResponse>(&answer, 5).unwrap();
        match ErrorCode::try_from(joined.error_code).unwrap() {
            ErrorCode::None => break joined,
            ErrorCode::CoordinatorLoadInProgress => std::thread::yield_now(),
            error => panic!("{error}"),
        }
    };
    assert_eq!(joined.protocol_name.as_deref(), Some("range-\u{fffd}"));
    assert!(joined.member_id.starts_with("instance-\u{fffd}-"), "{}", joined.member_id);
    // What was answered is what the client has from now on.
    join.member_id = joined.member_id.clone();
    let sync = SyncGroupRequest {
        group_id: "g~".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0"),
        }],
        ..Default::default()
    };
    let answer = asking.ask(&latin(3, 3, &sync), "SyncGroup");
    assert_eq!(decode_response::<SyncGroupResponse>(&answer, 3).unwrap().1.error_code, 0);
    let commit = OffsetCommitRequest {
        group_id: "g~".to_owned(),
        generation_id_or_member_epoch: joined.generation_id,
        member_id: joined.member_id,
        topics: vec![OffsetCommitRequestTopic {
            name: "t".to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 7,
                committed_metadata: Some("~".to_owned()),
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let answer = asking.ask(&latin(7, 4, &commit), "OffsetCommit");
    let (_, committed) = decode_response::<OffsetCommitResponse>(&answer, 7).unwrap();
    assert_eq!(committed.topics[0].partitions[0].error_code, 0);

    let described = DescribeGroupsRequest { groups: vec!["g\u{fffd}".to_owned()], ..Default::default() };
    let group = asking.0.call(4, &described).groups.remove(0);
    assert_eq!((group.group_id.as_str(), group.group_state.as_str()), ("g\u{fffd}", "Stable"));
    assert_eq!(group.members[0].client_id, "caf\u{fffd}");
    assert_eq!(group.members[0].group_instance_id.as_deref(), Some("instance-\u{fffd}"));
}
