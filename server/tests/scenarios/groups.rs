//! Groups through the protocol: who shares what, and that nothing that was acknowledged is lost.

use std::time::{Duration, Instant};

use bytes::Bytes;
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, PATIENCE, batch};

/// The session of members, in milliseconds: none of them ends while a busy machine stands still.
const SESSION: i32 = 60_000;
/// The shortest that is allowed, for those that are to lose their place.
const SESSION_MIN: i32 = 6000;

/// Settings that do not make a test wait.
const QUICK: [&str; 2] = ["-o", "group.initial.rebalance.delay.ms=200"];

impl Client {
    fn coordinator(&mut self, group: &str) -> Coordinator {
        let request =
            FindCoordinatorRequest { coordinator_keys: vec![group.to_owned()], ..Default::default() };
        self.call(6, &request).coordinators.remove(0)
    }

    fn commit(&mut self, group: &str, who: Option<&Member>, partition: i32, offset: i64) -> ErrorCode {
        let mut request = OffsetCommitRequest {
            group_id: group.to_owned(),
            topics: vec![OffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: partition,
                    committed_offset: offset,
                    committed_metadata: Some(format!("m{offset}")),
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        if let Some(who) = who {
            request.member_id = who.id.clone();
            request.generation_id_or_member_epoch = who.generation;
        }
        code(self.call(9, &request).topics[0].partitions[0].error_code)
    }

    /// The offset of each partition that has one.
    fn committed(&mut self, group: &str) -> Vec<(i32, i64)> {
        let group =
            OffsetFetchRequestGroup { group_id: group.to_owned(), topics: None, ..Default::default() };
        let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
        let found = self.call(9, &request).groups.remove(0);
        assert_eq!(code(found.error_code), ErrorCode::None);
        let partitions = found.topics.into_iter().flat_map(|topic| topic.partitions);
        partitions.map(|partition| (partition.partition_index, partition.committed_offset)).collect()
    }

    fn state_of(&mut self, group: &str) -> DescribedGroup {
        let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
        self.call(6, &request).groups.remove(0)
    }

    fn delete_group(&mut self, group: &str) -> ErrorCode {
        let request = DeleteGroupsRequest { groups_names: vec![group.to_owned()] };
        code(self.call(2, &request).results[0].error_code)
    }
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::try_from(code).unwrap()
}

/// A member on a connection of its own.
struct Member {
    client: Client,
    group: String,
    id: String,
    instance: Option<String>,
    generation: i32,
    session_ms: i32,
}

impl Member {
    fn new(broker: &Broker, group: &str, instance: Option<&str>) -> Member {
        Member {
            client: broker.client(),
            group: group.to_owned(),
            id: String::new(),
            instance: instance.map(str::to_owned),
            generation: -1,
            session_ms: SESSION,
        }
    }

    /// Sends a join, after the one that gets it its id.
    fn ask_to_join(&mut self) -> i32 {
        let request = |id: &str| JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: self.session_ms,
            rebalance_timeout_ms: 10_000,
            member_id: id.to_owned(),
            group_instance_id: self.instance.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".to_owned(),
                metadata: Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"),
            }],
            ..Default::default()
        };
        if self.id.is_empty() && self.instance.is_none() {
            let first = self.client.call(9, &request(""));
            assert_eq!(code(first.error_code), ErrorCode::MemberIdRequired);
            assert!(first.member_id.starts_with("scenarios-"), "{}", first.member_id);
            self.id = first.member_id;
        }
        let join = request(&self.id);
        self.client.send(9, &join)
    }

    fn joined(&mut self, sent: i32) -> JoinGroupResponse {
        let frame = self.client.read_frame().unwrap();
        let (answered, joined): (i32, JoinGroupResponse) = decode_response(&frame, 9).unwrap();
        assert_eq!((answered, code(joined.error_code)), (sent, ErrorCode::None));
        self.id = joined.member_id.clone();
        self.generation = joined.generation_id;
        joined
    }

    fn ask_to_sync(&mut self, assignments: &[(String, &'static str)]) -> i32 {
        let assignments = assignments.iter().map(|(member_id, assignment)| SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: Bytes::from_static(assignment.as_bytes()),
        });
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
            assignments: assignments.collect(),
        };
        self.client.send(5, &request)
    }

    fn synced(&mut self, sent: i32) -> (ErrorCode, Bytes) {
        let frame = self.client.read_frame().unwrap();
        let (answered, synced): (i32, SyncGroupResponse) = decode_response(&frame, 5).unwrap();
        assert_eq!(answered, sent);
        (code(synced.error_code), synced.assignment)
    }

    fn heartbeat(&mut self) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
        };
        code(self.client.call(4, &request).error_code)
    }

    fn leave(&mut self) -> ErrorCode {
        let who = MemberIdentity { member_id: self.id.clone(), ..Default::default() };
        let request =
            LeaveGroupRequest { group_id: self.group.clone(), members: vec![who], ..Default::default() };
        let left = self.client.call(5, &request);
        assert_eq!(code(left.error_code), ErrorCode::None);
        code(left.members[0].error_code)
    }
}

/// Brings all of them into one generation, and gives each of them its own place as its assignment.
fn share(members: &mut [Member]) -> Vec<Bytes> {
    const PARTS: [&str; 3] = ["first", "second", "third"];
    let sent: Vec<_> = members.iter_mut().map(Member::ask_to_join).collect();
    let joined: Vec<_> = members.iter_mut().zip(sent).map(|(member, sent)| member.joined(sent)).collect();
    let parts: Vec<_> = members.iter().zip(PARTS).map(|(member, part)| (member.id.clone(), part)).collect();
    let sent: Vec<_> = members
        .iter_mut()
        .zip(&joined)
        .map(|(member, joined)| {
            let leads = joined.leader == member.id;
            assert_eq!(joined.members.is_empty(), !leads);
            member.ask_to_sync(if leads { &parts } else { &[] })
        })
        .collect();
    let synced = members.iter_mut().zip(sent).map(|(member, sent)| member.synced(sent));
    let parts = synced.map(|(error, part)| {
        assert_eq!(error, ErrorCode::None);
        part
    });
    parts.collect()
}

fn started(dir: &std::path::Path, more: &[&str]) -> Broker {
    let broker = Broker::start(dir, &[&QUICK, more].concat());
    let mut client = broker.client();
    client.create("t", 2, &[]);
    assert_eq!(client.coordinator("g").error_code, 0);
    broker
}

/// A broker whose groups can be asked for; while they are loaded it says so.
fn restarted(dir: &std::path::Path, more: &[&str]) -> Broker {
    let broker = Broker::start(dir, &[&QUICK, more].concat());
    let mut client = broker.client();
    let give_up = Instant::now() + PATIENCE;
    while client.call(5, &ListGroupsRequest::default()).error_code != 0 {
        assert!(Instant::now() < give_up, "the groups are loaded");
        std::thread::sleep(Duration::from_millis(20));
    }
    broker
}

#[test]
fn an_acknowledged_commit_survives_kill_and_another_number_of_shards() {
    let dir = data_dir();
    let broker = started(dir.path(), &["--shards", "1"]);
    let mut client = broker.client();
    let groups: Vec<_> = (0..20).map(|at| format!("group-{at}")).collect();
    for round in 0..3 {
        for (at, group) in groups.iter().enumerate() {
            assert_eq!(client.commit(group, None, 0, at as i64 + round), ErrorCode::None);
            assert_eq!(client.commit(group, None, 1, round), ErrorCode::None);
        }
    }
    assert_eq!(client.committed("group-3"), [(0, 5), (1, 2)]);
    assert_eq!(client.committed("nobody"), []);
    broker.kill();
    for shards in ["2", "3"] {
        let broker = restarted(dir.path(), &["--shards", shards]);
        let mut client = broker.client();
        for (at, group) in groups.iter().enumerate() {
            assert_eq!(client.committed(group), [(0, at as i64 + 2), (1, 2)], "D1, D9: {group}");
        }
        broker.kill();
    }
}

#[test]
fn offsets_are_told_in_the_form_of_every_version() {
    let dir = data_dir();
    let broker = started(dir.path(), &[]);
    let mut client = broker.client();
    assert_eq!(client.commit("g", None, 0, 7), ErrorCode::None);
    let topic = OffsetFetchRequestTopic { name: "t".to_owned(), partition_indexes: vec![0, 1] };
    let old =
        OffsetFetchRequest { group_id: "g".to_owned(), topics: Some(vec![topic]), ..Default::default() };
    for version in [1, 5, 7] {
        let partitions = client.call(version, &old).topics.remove(0).partitions;
        let told: Vec<_> =
            partitions.into_iter().map(|at| (at.committed_offset, at.metadata.unwrap())).collect();
        assert_eq!(told, [(7, "m7".to_owned()), (-1, String::new())]);
    }
    let all = OffsetFetchRequest { group_id: "g".to_owned(), topics: None, ..Default::default() };
    assert_eq!(client.call(2, &all).topics[0].partitions.len(), 1);
    assert_eq!(client.commit("g", None, 2, 1), ErrorCode::UnknownTopicOrPartition);
    for version in [0, 1, 3] {
        let request = FindCoordinatorRequest { key: "g".to_owned(), ..Default::default() };
        assert_eq!(client.call(version, &request).port, i32::from(broker.address.port()));
    }
    let transaction = FindCoordinatorRequest { key: "x".to_owned(), key_type: 1, ..Default::default() };
    let found = client.call(3, &transaction);
    assert_eq!((code(found.error_code), found.port), (ErrorCode::None, i32::from(broker.address.port())));
    let share = FindCoordinatorRequest {
        key_type: 2,
        coordinator_keys: vec!["g:id:0".to_owned()],
        ..Default::default()
    };
    let found = client.call(6, &share).coordinators.remove(0);
    assert_eq!((code(found.error_code), found.port), (ErrorCode::None, i32::from(broker.address.port())));
    let other = FindCoordinatorRequest { key_type: 3, ..share };
    let refused = client.call(6, &other).coordinators.remove(0);
    assert_eq!((code(refused.error_code), refused.node_id), (ErrorCode::InvalidRequest, -1));
    assert_eq!(refused.error_message.as_deref(), Some("there is no such type of coordinator"));
}

#[test]
fn two_members_share_and_the_one_that_stays_takes_over() {
    let dir = data_dir();
    let broker = started(dir.path(), &[]);
    let mut members = [Member::new(&broker, "g", None), Member::new(&broker, "g", None)];
    assert_eq!(share(&mut members), ["first", "second"]);
    let mut admin = broker.client();
    let described = admin.state_of("g");
    assert_eq!((described.group_state.as_str(), described.protocol_data.as_str()), ("Stable", "range"));
    assert_eq!(described.members.len(), 2);
    assert_eq!(described.members[0].client_host, "/127.0.0.1");
    let [first, second] = &mut members;
    assert_eq!((first.heartbeat(), second.heartbeat()), (ErrorCode::None, ErrorCode::None));
    assert_eq!(admin.commit("g", Some(first), 0, 5), ErrorCode::None);
    assert_eq!(admin.commit("g", None, 0, 5), ErrorCode::UnknownMemberId, "the group has members");
    assert_eq!(admin.delete_group("g"), ErrorCode::NonEmptyGroup);

    assert_eq!(first.leave(), ErrorCode::None);
    assert_eq!(second.heartbeat(), ErrorCode::RebalanceInProgress);
    let sent = second.ask_to_join();
    let joined = second.joined(sent);
    assert_eq!((joined.generation_id, joined.members.len()), (2, 1));
    let sent = second.ask_to_sync(&[(second.id.clone(), "all")]);
    assert_eq!(second.synced(sent), (ErrorCode::None, Bytes::from_static(b"all")));
    assert_eq!(admin.committed("g"), [(0, 5)], "where the other one was");
}

#[test]
fn a_member_that_is_silent_loses_its_place() {
    let dir = data_dir();
    let broker = started(dir.path(), &[]);
    let mut members = [Member::new(&broker, "g", None), Member::new(&broker, "g", None)];
    members[0].session_ms = SESSION_MIN;
    let began = Instant::now();
    share(&mut members);
    let [silent, alive] = &mut members;
    while alive.heartbeat() == ErrorCode::None {
        assert!(began.elapsed() < PATIENCE, "it is dropped after its session");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(began.elapsed() >= Duration::from_millis(SESSION_MIN as u64), "and not before");
    assert_eq!(silent.heartbeat(), ErrorCode::UnknownMemberId);
}

#[test]
fn members_go_on_after_a_crash_as_if_nothing_had_happened() {
    let dir = data_dir();
    let broker = started(dir.path(), &[]);
    let mut members = [Member::new(&broker, "g", Some("one")), Member::new(&broker, "g", None)];
    assert_eq!(share(&mut members), ["first", "second"]);
    assert_eq!(members[0].client.commit("g", None, 0, 1), ErrorCode::UnknownMemberId);
    broker.kill();

    let broker = restarted(dir.path(), &[]);
    for member in &mut members {
        member.client = broker.client();
        assert_eq!(member.heartbeat(), ErrorCode::None, "no rebalance");
    }
    let [one, two] = &mut members;
    let sent = one.ask_to_sync(&[]);
    assert_eq!(one.synced(sent).1, "first");
    assert_eq!(broker.client().commit("g", Some(two), 1, 3), ErrorCode::None);
    assert_eq!(broker.client().state_of("g").members.len(), 2);
}

/// D9: a kill between a member's leaving and the next generation does not leave its partitions to nobody
/// until a session ends.
#[test]
fn a_member_that_has_left_before_a_crash_does_not_come_back_with_the_restart() {
    let dir = data_dir();
    let broker = started(dir.path(), &[]);
    let mut members = [Member::new(&broker, "g", None), Member::new(&broker, "g", None)];
    share(&mut members);
    let [gone, left] = &mut members;
    assert_eq!(gone.leave(), ErrorCode::None);
    // In the log of the same group behind the leaving: what is acknowledged here was written after it.
    assert_eq!(broker.client().commit("g", Some(left), 0, 7), ErrorCode::None);
    broker.kill();

    let broker = restarted(dir.path(), &[]);
    left.client = broker.client();
    assert_eq!(left.heartbeat(), ErrorCode::RebalanceInProgress, "it is told at once");
    let sent = left.ask_to_join();
    let joined = left.joined(sent);
    assert_eq!((joined.generation_id, joined.members.len()), (2, 1));
    assert_eq!(broker.client().committed("g"), [(0, 7)]);
}

#[test]
fn a_static_member_that_restarts_disturbs_nobody() {
    let dir = data_dir();
    let broker = started(dir.path(), &[]);
    let mut members = [Member::new(&broker, "g", Some("one")), Member::new(&broker, "g", Some("two"))];
    share(&mut members);
    let [one, two] = &mut members;
    let mut again = Member::new(&broker, "g", Some("one"));
    let sent = again.ask_to_join();
    let joined = again.joined(sent);
    assert_eq!((joined.generation_id, joined.skip_assignment), (1, joined.leader == again.id));
    let sent = again.ask_to_sync(&[]);
    assert_eq!(again.synced(sent), (ErrorCode::None, Bytes::from_static(b"first")));
    assert_eq!((two.heartbeat(), one.heartbeat()), (ErrorCode::None, ErrorCode::FencedInstanceId));
    broker.kill();

    let broker = restarted(dir.path(), &[]);
    again.client = broker.client();
    assert_eq!(again.heartbeat(), ErrorCode::None, "its new id is durable");
}

#[test]
fn a_group_that_waits_holds_up_no_other_and_a_lost_connection_leaves_nothing_open() {
    let dir = data_dir();
    let broker = started(dir.path(), &["-o", "group.initial.rebalance.delay.ms=600000"]);
    let mut waiting = Member::new(&broker, "g", None);
    waiting.ask_to_join();
    let mut client = broker.client();
    for at in 0..20 {
        assert_eq!(client.commit(&format!("other-{at}"), None, 0, at), ErrorCode::None);
    }
    assert_eq!(client.state_of("g").group_state, "PreparingRebalance");
    drop(waiting);
    let began = Instant::now();
    assert_eq!(broker.stop().0, Some(0));
    assert!(began.elapsed() < Duration::from_secs(600), "nobody is waited for");
}

#[test]
fn groups_are_listed_and_deleted_with_their_offsets() {
    let dir = data_dir();
    let broker = started(dir.path(), &[]);
    let mut client = broker.client();
    let mut members = [Member::new(&broker, "members", None)];
    share(&mut members);
    assert_eq!(client.commit("simple", None, 0, 1), ErrorCode::None);
    let list = |client: &mut Client, states: &[&str]| {
        let states_filter = states.iter().map(|state| (*state).to_owned()).collect();
        let request = ListGroupsRequest { states_filter, ..Default::default() };
        let groups = client.call(5, &request).groups;
        groups.into_iter().map(|group| [group.group_id, group.protocol_type].join(":")).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut client, &[]), ["members:consumer", "simple:"]);
    assert_eq!(list(&mut client, &["stable"]), ["members:consumer"]);
    assert_eq!(client.delete_group("nobody"), ErrorCode::GroupIdNotFound);
    assert_eq!(client.delete_group("simple"), ErrorCode::None);
    assert_eq!(client.committed("simple"), []);
    let unknown = client.state_of("simple");
    assert_eq!(
        (unknown.group_state.as_str(), code(unknown.error_code)),
        ("Dead", ErrorCode::GroupIdNotFound)
    );
    assert_eq!(members[0].leave(), ErrorCode::None);
    assert_eq!(list(&mut client, &["Empty"]), ["members:consumer"]);
    broker.kill();
    let broker = restarted(dir.path(), &[]);
    assert_eq!(list(&mut broker.client(), &[]), ["members:consumer"], "gone for good");
}

#[test]
fn offsets_of_a_topic_go_with_the_topic_or_by_themselves_when_nobody_consumes_it() {
    let dir = data_dir();
    let broker = started(dir.path(), &[]);
    let mut client = broker.client();
    let mut members = [Member::new(&broker, "members", None)];
    share(&mut members);
    assert_eq!(client.commit("members", Some(&members[0]), 0, 4), ErrorCode::None);
    assert_eq!(client.commit("simple", None, 0, 1), ErrorCode::None);
    assert_eq!(client.commit("simple", None, 1, 2), ErrorCode::None);
    let delete = |client: &mut Client, group: &str| {
        let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
        let topics = vec![OffsetDeleteRequestTopic { name: "t".to_owned(), partitions }];
        let answer = client.call(0, &OffsetDeleteRequest { group_id: group.to_owned(), topics });
        let partition = answer.topics.first().map_or(0, |topic| topic.partitions[0].error_code);
        (code(answer.error_code), code(partition))
    };
    assert_eq!(delete(&mut client, "members"), (ErrorCode::None, ErrorCode::GroupSubscribedToTopic));
    assert_eq!(delete(&mut client, "simple"), (ErrorCode::None, ErrorCode::None));
    assert_eq!(delete(&mut client, "nobody").0, ErrorCode::GroupIdNotFound);
    assert_eq!(client.committed("simple"), [(1, 2)]);

    let topic = DeleteTopicState { name: Some("t".to_owned()), ..Default::default() };
    client.call(6, &DeleteTopicsRequest { topics: vec![topic], ..Default::default() });
    client.create("t", 2, &[]);
    assert_eq!((client.committed("simple"), client.committed("members")), (vec![], vec![]));
    broker.kill();
    let broker = restarted(dir.path(), &[]);
    assert_eq!(broker.client().committed("members"), []);
}

#[test]
fn offsets_that_have_expired_go_and_take_their_group_with_them() {
    let dir = data_dir();
    let broker = started(dir.path(), &["-o", "offsets.retention.check.interval.ms=100"]);
    let mut client = broker.client();
    let partition = OffsetCommitRequestPartition { committed_offset: 5, ..Default::default() };
    let mut request = OffsetCommitRequest {
        group_id: "short".to_owned(),
        retention_time_ms: 300,
        topics: vec![OffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition] }],
        ..Default::default()
    };
    assert_eq!(client.call(2, &request).topics[0].partitions[0].error_code, 0);
    request.group_id = "long".to_owned();
    request.retention_time_ms = -1;
    assert_eq!(client.call(2, &request).topics[0].partitions[0].error_code, 0);
    let give_up = Instant::now() + PATIENCE;
    while client.call(0, &ListGroupsRequest::default()).groups.len() > 1 {
        assert!(Instant::now() < give_up);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((client.committed("short"), client.committed("long")), (vec![], vec![(0, 5)]));
}

/// Commits one offset of a group without members, and deletes it.
fn emptied(client: &mut Client, group: &str) {
    client.coordinator(group);
    while client.commit(group, None, 0, 1) != ErrorCode::None {
        std::thread::yield_now();
    }
    let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
    let topics = vec![OffsetDeleteRequestTopic { name: "t".to_owned(), partitions }];
    let answer = client.call(0, &OffsetDeleteRequest { group_id: group.to_owned(), topics });
    assert_eq!(code(answer.topics[0].partitions[0].error_code), ErrorCode::None);
}

/// As in Kafka: a client that deletes the offsets of a group and then the group finds it, and no client needs
/// to.
#[test]
fn a_group_without_members_goes_with_its_last_offset_at_the_next_look_at_what_has_expired() {
    let dir = data_dir();
    let broker = started(dir.path(), &["-o", "offsets.retention.check.interval.ms=600000"]);
    let mut client = broker.client();
    emptied(&mut client, "deleted");
    assert_eq!(client.state_of("deleted").group_state, "Empty");
    assert_eq!(client.delete_group("deleted"), ErrorCode::None);
    assert_eq!(client.delete_group("deleted"), ErrorCode::GroupIdNotFound);
    broker.kill();

    let (broker, log) = Broker::start_logging(
        dir.path(),
        &["-o", "offsets.retention.check.interval.ms=50", QUICK[0], QUICK[1]],
    );
    let mut client = broker.client();
    emptied(&mut client, "left");
    while client.state_of("left").group_state != "Dead" {
        std::thread::yield_now();
    }
    assert_eq!(broker.stop().0, Some(0));
    let log = log.join().unwrap();
    assert!(!log.contains("offsets have expired"), "nothing has expired:\n{log}");
}

#[test]
fn the_topic_of_groups_is_for_reading_only() {
    let dir = data_dir();
    let broker = started(dir.path(), &[]);
    let mut client = broker.client();
    assert_eq!(client.commit("g", None, 0, 1), ErrorCode::None);
    let invalid = ErrorCode::InvalidTopic.code();
    assert_eq!(client.produce("__consumer_offsets", 0, batch(&["x"])).error_code, invalid);
    assert_eq!(client.create("__consumer_offsets", 1, &[]).error_code, invalid);
    assert_eq!(client.create("__transaction_state", 1, &[]).error_code, invalid);
    let topic = DeleteTopicState { name: Some("__consumer_offsets".to_owned()), ..Default::default() };
    let delete = DeleteTopicsRequest { topics: vec![topic], ..Default::default() };
    assert_eq!(client.call(6, &delete).responses[0].error_code, invalid);
    let more =
        CreatePartitionsTopic { name: "__consumer_offsets".to_owned(), count: 60, ..Default::default() };
    let grow = CreatePartitionsRequest { topics: vec![more], ..Default::default() };
    assert_eq!(client.call(3, &grow).results[0].error_code, invalid);
    let asked = |name: &str| MetadataRequestTopic { name: Some(name.to_owned()), ..Default::default() };
    let request = MetadataRequest {
        topics: Some(vec![asked("__consumer_offsets"), asked("__transaction_state"), asked("t")]),
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    let topics = client.call(12, &request).topics;
    assert_eq!((topics[0].is_internal, topics[0].partitions.len()), (true, 50));
    assert_eq!(code(topics[1].error_code), ErrorCode::UnknownTopicOrPartition);
    assert!(!topics[2].is_internal);
}

#[test]
fn who_asks_wrongly_is_told_so() {
    let dir = data_dir();
    let broker = started(dir.path(), &[]);
    let mut client = broker.client();
    let mut join = JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: 10,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::new() }],
        ..Default::default()
    };
    for version in [0, 6, 9] {
        assert_eq!(code(client.call(version, &join).error_code), ErrorCode::InvalidSessionTimeout);
    }
    join.session_timeout_ms = SESSION;
    join.member_id = "stranger".to_owned();
    assert_eq!(code(client.call(5, &join).error_code), ErrorCode::UnknownMemberId);
    join.group_id = String::new();
    assert_eq!(code(client.call(9, &join).error_code), ErrorCode::InvalidGroupId);
    let heartbeat = HeartbeatRequest { group_id: "g".to_owned(), ..Default::default() };
    assert_eq!(code(client.call(0, &heartbeat).error_code), ErrorCode::UnknownMemberId);
    let leave =
        LeaveGroupRequest { group_id: "g".to_owned(), member_id: "x".to_owned(), ..Default::default() };
    assert_eq!(code(client.call(2, &leave).error_code), ErrorCode::UnknownMemberId);
    let sync = SyncGroupRequest { group_id: "g".to_owned(), ..Default::default() };
    assert_eq!(code(client.call(5, &sync).error_code), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(code(client.call(4, &sync).error_code), ErrorCode::UnknownMemberId);
    let stale = Member { id: "x".to_owned(), generation: 3, ..Member::new(&broker, "g", None) };
    assert_eq!(client.commit("g", Some(&stale), 0, 1), ErrorCode::GroupIdNotFound);
    assert_eq!(client.call(0, &ListGroupsRequest::default()).groups, [], "nothing is left of it");
}
