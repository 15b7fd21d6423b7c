//! Share groups (KIP-932) through the protocol: members take records of one partition, say what became of
//! them, and go; the broker is killed; and what administrators see of it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches};
use strandline_engine::format::record::Records;
use strandline_protocol::Uuid;
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, PATIENCE, batch};
use crate::consumer_groups::{set, value};
use crate::transactions::{Level, Producer};

pub(crate) const GROUP: &str = "g";
pub(crate) const TOPIC: &str = "t";

pub(crate) const ACCEPT: i8 = 1;
pub(crate) const RELEASE: i8 = 2;
pub(crate) const REJECT: i8 = 3;
const RENEW: i8 = 4;

fn code(number: i16) -> ErrorCode {
    ErrorCode::try_from(number).unwrap()
}

/// A member with a connection of its own.
pub(crate) struct Member {
    client: Client,
    id: String,
    epoch: i32,
    session: i32,
    topic: Uuid,
    partitions: Vec<i32>,
}

/// A record that was given out: its partition, offset, value, and how often it was.
pub(crate) type Given = (i32, i64, String, i16);

impl Member {
    fn new(broker: &Broker, id: &str) -> Member {
        let (client, topic) = (broker.client(), Uuid::nil());
        Member { client, id: id.to_owned(), epoch: 0, session: 0, topic, partitions: Vec::new() }
    }

    fn beat(&mut self) -> Result<ShareGroupHeartbeatResponse, ErrorCode> {
        let request = ShareGroupHeartbeatRequest {
            group_id: GROUP.to_owned(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            subscribed_topic_names: (self.epoch == 0).then(|| vec![TOPIC.to_owned()]),
            ..Default::default()
        };
        let begun = Instant::now();
        loop {
            let answer = self.client.call(1, &request);
            match code(answer.error_code) {
                ErrorCode::None => {
                    self.epoch = answer.member_epoch;
                    if let Some(assignment) = &answer.assignment {
                        for topic in &assignment.topic_partitions {
                            (self.topic, self.partitions) = (topic.topic_id, topic.partitions.clone());
                        }
                    }
                    return Ok(answer);
                }
                ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotCoordinator
                    if begun.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(Duration::from_millis(10));
                }
                error => return Err(error),
            }
        }
    }

    pub(crate) fn join(broker: &Broker, id: &str) -> Member {
        let mut member = Member::new(broker, id);
        find_coordinator(&mut member.client);
        member.beat().unwrap();
        // Where the broker has just started, partitions may come with a later answer only.
        let begun = Instant::now();
        while member.partitions.is_empty() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
            member.beat().unwrap();
        }
        member
    }

    fn leave(&mut self) {
        self.epoch = -1;
        assert_eq!(self.beat().unwrap().member_epoch, -1);
    }

    fn request(&self, said: &[(i32, i64, i64, i8)]) -> ShareFetchRequest {
        let partitions = self.partitions.iter().map(|partition| {
            let of_this = said.iter().filter(|(of, ..)| of == partition);
            let batches = of_this.map(|(_, first, last, kind)| acknowledgement(*first, *last, *kind));
            ShareFetchPartition { partition_index: *partition, acknowledgement_batches: batches.collect() }
        });
        ShareFetchRequest {
            group_id: Some(GROUP.to_owned()),
            member_id: Some(self.id.clone()),
            share_session_epoch: self.session,
            max_wait_ms: 0,
            min_bytes: 1,
            max_bytes: 1 << 20,
            max_records: 500,
            batch_size: 500,
            topics: vec![ShareFetchTopic { topic_id: self.topic, partitions: partitions.collect() }],
            ..Default::default()
        }
    }

    fn send(&mut self, request: &ShareFetchRequest) -> ShareFetchResponse<Bytes> {
        self.client.send(2, request);
        let (_, answer) = ShareFetchResponse::decode(&self.client.read_frame().unwrap(), 2).unwrap();
        if answer.error_code == 0 {
            self.session += 1;
        }
        answer
    }

    /// What it is given, with what it says of others.
    fn fetch_saying(&mut self, said: &[(i32, i64, i64, i8)], wait_ms: i32) -> Vec<Given> {
        let answer = self.send(&ShareFetchRequest { max_wait_ms: wait_ms, ..self.request(said) });
        assert_eq!(code(answer.error_code), ErrorCode::None);
        given(&answer)
    }

    pub(crate) fn fetch(&mut self, wait_ms: i32) -> Vec<Given> {
        self.fetch_saying(&[], wait_ms)
    }

    /// The offsets that it is given, whatever their records are.
    pub(crate) fn acquire(&mut self, wait_ms: i32) -> Vec<i64> {
        let answer = self.send(&ShareFetchRequest { max_wait_ms: wait_ms, ..self.request(&[]) });
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        let ranges = partitions.flat_map(|partition| &partition.acquired_records);
        ranges.flat_map(|range| range.first_offset..=range.last_offset).collect()
    }

    pub(crate) fn acknowledge(&mut self, said: &[(i32, i64, i64, i8)]) -> Vec<ErrorCode> {
        let partitions = said.iter().map(|(partition, first, last, kind)| ShareAcknowledgePartition {
            partition_index: *partition,
            acknowledgement_batches: vec![acknowledgement(*first, *last, *kind)],
        });
        let request = ShareAcknowledgeRequest {
            group_id: Some(GROUP.to_owned()),
            member_id: Some(self.id.clone()),
            share_session_epoch: self.session,
            is_renew_ack: said.iter().any(|(.., kind)| *kind == RENEW),
            topics: vec![ShareAcknowledgeTopic { topic_id: self.topic, partitions: partitions.collect() }],
        };
        let answer = self.client.call(2, &request);
        assert_eq!(code(answer.error_code), ErrorCode::None);
        self.session += 1;
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| code(partition.error_code)).collect()
    }
}

fn acknowledgement(first_offset: i64, last_offset: i64, kind: i8) -> ShareAcknowledgementBatch {
    ShareAcknowledgementBatch { first_offset, last_offset, acknowledge_types: vec![kind] }
}

/// The records of an answer that were acquired.
fn given(answer: &ShareFetchResponse<Bytes>) -> Vec<Given> {
    let mut all = Vec::new();
    for partition in answer.responses.iter().flat_map(|topic| &topic.partitions) {
        assert_eq!(code(partition.error_code), ErrorCode::None);
        assert_eq!(code(partition.acknowledge_error_code), ErrorCode::None);
        let acquired = |offset: i64| {
            let mut ranges = partition.acquired_records.iter();
            ranges.find(|range| (range.first_offset..=range.last_offset).contains(&offset))
        };
        for (offset, value) in crate::client::values(&partition.records) {
            if let Some(range) = acquired(offset) {
                all.push((partition.partition_index, offset, value, range.delivery_count));
            }
        }
    }
    all
}

pub(crate) fn find_coordinator(client: &mut Client) {
    let find = FindCoordinatorRequest { coordinator_keys: vec![GROUP.to_owned()], ..Default::default() };
    client.call(6, &find);
}

pub(crate) fn offsets(given: &[Given]) -> Vec<i64> {
    given.iter().map(|(_, offset, ..)| *offset).collect()
}

/// The start and the lag of partition 0.
pub(crate) fn progress(client: &mut Client) -> (i64, i64) {
    let group = DescribeShareGroupOffsetsRequestGroup { group_id: GROUP.to_owned(), topics: None };
    let request = DescribeShareGroupOffsetsRequest { groups: vec![group] };
    let begun = Instant::now();
    loop {
        let mut found = client.call(1, &request).groups.remove(0);
        let partition = found.topics.pop().and_then(|mut topic| topic.partitions.pop()).unwrap_or_default();
        match (code(found.error_code), code(partition.error_code)) {
            (ErrorCode::None, ErrorCode::None) => return (partition.start_offset, partition.lag),
            // It has just started.
            (ErrorCode::CoordinatorLoadInProgress, _) | (_, ErrorCode::CoordinatorLoadInProgress)
                if begun.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            error => panic!("{error:?}"),
        }
    }
}

fn start(options: &[&str]) -> (tempfile::TempDir, Broker, Client) {
    let dir = data_dir();
    let options: Vec<_> = options.iter().flat_map(|option| ["-o", *option]).collect();
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    client.create(TOPIC, 1, &[]);
    (dir, broker, client)
}

#[test]
fn d9_what_was_acknowledged_never_comes_back_and_nothing_else_is_lost_whatever_is_killed() {
    let (dir, broker, mut client) = start(&[]);
    let mut a = Member::new(&broker, "a");
    find_coordinator(&mut a.client);
    a.beat().unwrap();
    assert_eq!(a.partitions, [0], "with its first answer");
    assert_eq!(a.fetch(0), [], "the group begins at the end");
    client.produce(TOPIC, 0, batch(&["0", "1", "2", "3"]));
    client.produce(TOPIC, 0, batch(&["4", "5"]));
    let first = a.fetch(1000);
    assert_eq!(offsets(&first), [0, 1, 2, 3, 4, 5]);
    assert_eq!(first[0], (0, 0, "0".to_owned(), 1));
    let mut b = Member::join(&broker, "b");
    assert_eq!(b.fetch(0), [], "a has them");
    assert_eq!(a.acknowledge(&[(0, 0, 1, ACCEPT)]), [ErrorCode::None]);
    assert_eq!(a.fetch_saying(&[(0, 2, 2, REJECT)], 0), []);
    assert_eq!(a.acknowledge(&[(0, 4, 4, RELEASE)]), [ErrorCode::None]);
    assert_eq!(progress(&mut client), (3, 3));

    broker.kill();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    assert_eq!(progress(&mut client), (3, 3));
    let mut b = Member::join(&broker, "b");
    let again: Vec<_> = b.fetch(1000).into_iter().map(|(_, offset, _, count)| (offset, count)).collect();
    assert_eq!(again, [(3, 1), (4, 2), (5, 1)]);
    assert_eq!(b.acknowledge(&[(0, 3, 5, ACCEPT)]), [ErrorCode::None]);
    assert_eq!(progress(&mut client), (6, 0));
    broker.kill();
    let broker = Broker::start(dir.path(), &[]);
    let mut b = Member::join(&broker, "b");
    assert_eq!(b.fetch(0), []);
    broker.stop();
}

#[test]
fn a_group_that_begins_at_the_end_loses_nothing_that_was_given_out_before_a_kill() {
    let (dir, broker, mut client) = start(&[]);
    client.produce(TOPIC, 0, batch(&["before"]));
    let mut a = Member::join(&broker, "a");
    assert_eq!(a.fetch(0), []);
    client.produce(TOPIC, 0, batch(&["after"]));
    assert_eq!(offsets(&a.fetch(1000)), [1]);
    broker.kill();
    let broker = Broker::start(dir.path(), &[]);
    assert_eq!(offsets(&Member::join(&broker, "b").fetch(1000)), [1], "nobody has acknowledged it");
}

#[test]
fn records_come_to_whoever_waits_when_they_are_produced_released_or_their_member_is_cut_off() {
    let (_dir, broker, mut client) = start(&[]);
    let mut a = Member::join(&broker, "a");
    let mut b = Member::join(&broker, "b");
    assert_eq!((a.fetch(0), b.fetch(0)), (vec![], vec![]));
    let waiting = |mut member: Member| {
        std::thread::spawn(move || {
            let begun = Instant::now();
            let found = member.fetch(30_000);
            (member, found, begun.elapsed())
        })
    };
    let soon = Duration::from_secs(20);
    let waits = waiting(a);
    std::thread::sleep(Duration::from_millis(100));
    client.produce(TOPIC, 0, batch(&["0", "1"]));
    let (mut a, found, took) = waits.join().unwrap();
    assert!(offsets(&found) == [0, 1] && took < soon, "{found:?} after {took:?}");
    let waits = waiting(b);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(a.acknowledge(&[(0, 1, 1, RELEASE)]), [ErrorCode::None]);
    let (b, found, took) = waits.join().unwrap();
    assert!(offsets(&found) == [1] && took < soon, "{found:?} after {took:?}");
    let waits = waiting(b);
    std::thread::sleep(Duration::from_millis(100));
    drop(a.client);
    let (_, found, took) = waits.join().unwrap();
    assert!(offsets(&found) == [0] && took < soon, "{found:?} after {took:?}");
}

#[test]
fn sessions_and_acknowledgements_that_do_not_fit_are_refused_with_the_code_for_it() {
    let (_dir, broker, mut client) = start(&[]);
    let mut a = Member::join(&broker, "a");
    let mut strange = Member::new(&broker, "a");
    strange.session = 3;
    let refused = |member: &mut Member, request: &ShareFetchRequest| code(member.send(request).error_code);
    let request = strange.request(&[]);
    assert_eq!(refused(&mut strange, &request), ErrorCode::ShareSessionNotFound);
    let first = ShareFetchRequest { max_wait_ms: 5, is_renew_ack: true, ..a.request(&[]) };
    assert_eq!(refused(&mut a, &first), ErrorCode::InvalidRequest);
    let first = a.request(&[(0, 0, 0, ACCEPT)]);
    assert_eq!(refused(&mut a, &first), ErrorCode::InvalidRequest, "there is nothing to acknowledge yet");
    a.fetch(0);
    let late = ShareFetchRequest { share_session_epoch: 7, ..a.request(&[]) };
    assert_eq!(refused(&mut a, &late), ErrorCode::InvalidShareSessionEpoch);
    client.produce(TOPIC, 0, batch(&["0", "1"]));
    assert_eq!(a.fetch(1000).len(), 2);
    assert_eq!(a.acknowledge(&[(0, 0, 5, ACCEPT)]), [ErrorCode::InvalidRequest]);
    assert_eq!(a.acknowledge(&[(3, 0, 0, ACCEPT)]), [ErrorCode::UnknownTopicOrPartition]);
    let mut b = Member::join(&broker, "b");
    b.fetch(0);
    assert_eq!(b.acknowledge(&[(0, 0, 0, ACCEPT)]), [ErrorCode::InvalidRecordState]);
    assert_eq!(a.acknowledge(&[(0, 0, 1, ACCEPT)]), [ErrorCode::None]);
    assert_eq!(progress(&mut client), (2, 0));
    // A group of another kind has none of this.
    let classic = DescribeShareGroupOffsetsRequestGroup { group_id: "other".to_owned(), topics: None };
    let found = client.call(1, &DescribeShareGroupOffsetsRequest { groups: vec![classic] });
    assert_eq!(code(found.groups[0].error_code), ErrorCode::GroupIdNotFound);
}

#[test]
fn administrators_see_a_share_group_move_it_and_delete_it() {
    let (dir, broker, mut client) = start(&[]);
    let mut a = Member::join(&broker, "a");
    a.fetch(0);
    for value in ["0", "1", "2", "3"] {
        client.produce(TOPIC, 0, batch(&[value]));
    }
    let request = ShareGroupDescribeRequest { group_ids: vec![GROUP.to_owned()], ..Default::default() };
    let described = client.call(1, &request).groups.remove(0);
    assert_eq!((described.group_state.as_str(), described.assignor_name.as_str()), ("Stable", "simple"));
    assert_eq!(described.members[0].assignment.topic_partitions[0].partitions, [0]);
    let listed =
        client.call(5, &ListGroupsRequest { types_filter: vec!["share".to_owned()], ..Default::default() });
    assert_eq!(listed.groups[0].group_id, GROUP);
    let alter = |client: &mut Client, start_offset: i64| {
        let partition = AlterShareGroupOffsetsRequestPartition { partition_index: 0, start_offset };
        let topic =
            AlterShareGroupOffsetsRequestTopic { topic_name: TOPIC.to_owned(), partitions: vec![partition] };
        let request = AlterShareGroupOffsetsRequest { group_id: GROUP.to_owned(), topics: vec![topic] };
        let answer = client.call(0, &request);
        let inner = answer.responses.first().map_or(0, |topic| topic.partitions[0].error_code);
        (code(answer.error_code), code(inner))
    };
    assert_eq!(alter(&mut client, 2).0, ErrorCode::NonEmptyGroup);
    a.leave();
    assert_eq!(alter(&mut client, 2), (ErrorCode::None, ErrorCode::None));
    assert_eq!(progress(&mut client), (2, 2));
    let mut b = Member::join(&broker, "b");
    assert_eq!(offsets(&b.fetch(1000)), [2, 3]);
    b.leave();
    let delete = |client: &mut Client| {
        let topics = vec![DeleteShareGroupOffsetsRequestTopic { topic_name: TOPIC.to_owned() }];
        let answer = client.call(0, &DeleteShareGroupOffsetsRequest { group_id: GROUP.to_owned(), topics });
        assert_eq!(code(answer.error_code), ErrorCode::None);
        code(answer.responses[0].error_code)
    };
    assert_eq!(delete(&mut client), ErrorCode::None);
    assert_eq!(delete(&mut client), ErrorCode::UnknownTopicOrPartition, "it has not come there");
    drop(b);
    broker.kill();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    let mut c = Member::join(&broker, "c");
    assert_eq!(c.fetch(0), [], "it begins anew");
    assert_eq!(progress(&mut client), (4, 0));
    let request = DeleteGroupsRequest { groups_names: vec![GROUP.to_owned()] };
    let gone = |client: &mut Client| code(client.call(2, &request).results[0].error_code);
    assert_eq!(gone(&mut client), ErrorCode::NonEmptyGroup);
    c.leave();
    assert_eq!(gone(&mut client), ErrorCode::None);
    assert_eq!(gone(&mut client), ErrorCode::GroupIdNotFound);
}

#[test]
fn d9_a_group_that_nobody_has_joined_begins_where_it_was_told_also_after_a_kill() {
    let (dir, broker, mut client) = start(&[]);
    find_coordinator(&mut client);
    for value in ["0", "1", "2", "3"] {
        client.produce(TOPIC, 0, batch(&[value]));
    }
    let alter = |client: &mut Client, start_offset: i64| {
        let partition = AlterShareGroupOffsetsRequestPartition { partition_index: 0, start_offset };
        let topic =
            AlterShareGroupOffsetsRequestTopic { topic_name: TOPIC.to_owned(), partitions: vec![partition] };
        let request = AlterShareGroupOffsetsRequest { group_id: GROUP.to_owned(), topics: vec![topic] };
        loop {
            let answer = client.call(0, &request);
            match code(answer.error_code) {
                ErrorCode::None => break code(answer.responses[0].partitions[0].error_code),
                ErrorCode::CoordinatorLoadInProgress => std::thread::sleep(Duration::from_millis(10)),
                refused => break refused,
            }
        }
    };
    assert_eq!(alter(&mut client, 1), ErrorCode::None);
    assert_eq!(progress(&mut client), (1, 3));
    broker.kill();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    let mut a = Member::join(&broker, "a");
    assert_eq!(offsets(&a.fetch(1000)), [1, 2, 3]);
    let request = ListGroupsRequest { types_filter: vec!["share".to_owned()], ..Default::default() };
    assert_eq!(client.call(5, &request).groups[0].group_state, "Stable");
}

#[test]
fn d11_nonsense_about_records_is_refused_and_changes_nothing() {
    let (_dir, broker, mut client) = start(&[]);
    let mut a = Member::join(&broker, "a");
    a.fetch(0);
    for value in ["0", "1", "2", "3"] {
        client.produce(TOPIC, 0, batch(&[value]));
    }
    assert_eq!(offsets(&a.fetch(1000)), [0, 1, 2, 3]);
    for (first, last, kind) in [
        (3, 2, ACCEPT),
        (-1, 0, ACCEPT),
        (i64::MIN, i64::MAX, ACCEPT),
        (0, i64::MAX, RELEASE),
        (i64::MAX, i64::MAX, REJECT),
        (4, 1 << 40, ACCEPT),
        (0, 3, 7),
        (0, 3, -1),
        (2, 100, ACCEPT),
    ] {
        let refused = a.acknowledge(&[(0, first, last, kind)]);
        assert_ne!(refused, [ErrorCode::None], "{first} to {last}, {kind}");
    }
    for partition in [1, -1, i32::MAX] {
        assert_eq!(a.acknowledge(&[(partition, 0, 3, ACCEPT)]), [ErrorCode::UnknownTopicOrPartition]);
    }
    // Sessions of others, of before, and of nobody.
    for (member, epoch) in [("a", 999), ("a", i32::MAX), ("a", i32::MIN), ("nobody", 1), ("nobody", -1)] {
        let request = ShareFetchRequest {
            member_id: Some(member.to_owned()),
            share_session_epoch: epoch,
            ..a.request(&[(0, 0, 3, ACCEPT)])
        };
        client.send(2, &request);
        let answer = ShareFetchResponse::decode(&client.read_frame().unwrap(), 2).unwrap().1;
        assert_ne!(code(answer.error_code), ErrorCode::None, "{member} {epoch}");
    }
    for (records, bytes, wait) in [(i32::MIN, i32::MIN, i32::MIN), (i32::MAX, i32::MAX, -1), (0, 0, 0)] {
        let request = ShareFetchRequest {
            max_records: records,
            batch_size: records,
            max_bytes: bytes,
            min_bytes: bytes,
            max_wait_ms: wait,
            ..a.request(&[])
        };
        a.send(&request);
    }
    assert_eq!(a.acknowledge(&[(0, 0, 3, RELEASE)]), [ErrorCode::None], "it has them as before");
    let again = a.fetch(1000);
    assert_eq!(offsets(&again), [0, 1, 2, 3]);
    assert!(again.iter().all(|(.., deliveries)| *deliveries == 2));
    assert_eq!(a.acknowledge(&[(0, 0, 3, ACCEPT)]), [ErrorCode::None]);
    assert_eq!(progress(&mut client), (4, 0));
}

#[test]
fn the_command_line_shows_a_share_group_and_moves_it() {
    let (_dir, broker, mut client) = start(&[]);
    let run = |line: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
        let output = command.args(line).args(["--bootstrap", &broker.address.to_string()]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8(output.stdout).unwrap(), error)
    };
    let json = |line: &[&str]| -> serde_json::Value {
        let (shown, error) = run(&[line, &["--json"]].concat());
        serde_json::from_str(&shown).unwrap_or_else(|_| panic!("{line:?}: {error}"))
    };
    let (mut a, mut b) = (Member::join(&broker, "a"), Member::join(&broker, "b"));
    a.fetch(0);
    for value in ["0", "1", "2", "3"] {
        client.produce(TOPIC, 0, batch(&[value]));
    }
    assert_eq!(a.fetch(1000).len(), 4);
    assert_eq!(a.acknowledge(&[(0, 0, 1, ACCEPT)]), [ErrorCode::None]);
    let listed = json(&["group", "list"]);
    let entry = &listed.as_array().unwrap()[0];
    assert_eq!((&entry["name"], &entry["type"]), (&GROUP.into(), &"share".into()));
    let described = json(&["group", "describe", GROUP]);
    assert_eq!((&described["state"], &described["protocol_type"]), (&"Stable".into(), &"share".into()));
    let row = serde_json::json!({
        "topic": TOPIC, "partition": 0, "start": 2, "end": 4, "lag": 2, "members": ["a", "b"],
    });
    assert_eq!(described["partitions"], serde_json::json!([row]));
    let (shown, _) = run(&["group", "describe", GROUP]);
    assert!(shown.contains("member a, client") && shown.contains("start"), "{shown}");
    let reset = ["group", "reset-offsets", GROUP, "--topic", TOPIC, "--to-earliest", "--execute"];
    assert!(run(&reset).1.contains("its offsets can be reset while"), "{:?}", run(&reset));
    a.leave();
    b.leave();
    let (shown, error) = run(&reset);
    assert!(error.is_empty() && !shown.is_empty(), "{shown} {error}");
    assert_eq!(progress(&mut client), (0, 4));
    let (_, error) = run(&["group", "delete", GROUP]);
    assert_eq!(error, "");
    assert_eq!(json(&["group", "list"]), serde_json::json!([]));
}

#[test]
fn share_groups_keep_to_the_settings_of_their_broker() {
    let (_dir, broker, mut client) = start(&[
        "group.share.delivery.count.limit=2",
        "group.share.heartbeat.interval.ms=700",
        "group.share.max.share.sessions=2",
        "group.share.max.size=2",
        "group.share.min.heartbeat.interval.ms=700",
        "group.share.min.record.lock.duration.ms=1000",
        "group.share.min.session.timeout.ms=5000",
        "group.share.partition.max.record.locks=100",
        "group.share.record.lock.duration.ms=1000",
        "group.share.session.timeout.ms=5000",
        "share.coordinator.state.topic.num.partitions=3",
        "share.coordinator.state.topic.segment.bytes=2097152",
    ]);
    let mut a = Member::join(&broker, "a");
    let mut b = Member::join(&broker, "b");
    assert_eq!(b.beat().unwrap().heartbeat_interval_ms, 700);
    assert_eq!(Member::new(&broker, "c").beat().map(|_| ()), Err(ErrorCode::GroupMaxSizeReached));
    let state = MetadataRequestTopic { name: Some("__share_group_state".to_owned()), ..Default::default() };
    let metadata = MetadataRequest { topics: Some(vec![state]), ..Default::default() };
    assert_eq!(client.call(12, &metadata).topics[0].partitions.len(), 3);
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: "__share_group_state".to_owned(),
        configuration_keys: Some(vec!["segment.bytes".to_owned()]),
    };
    let configs = client.call(4, &DescribeConfigsRequest { resources: vec![resource], ..Default::default() });
    assert_eq!(configs.results[0].configs[0].value.as_deref(), Some("2097152"));

    a.fetch(0);
    b.fetch(0);
    let mut third = Member::new(&broker, "third");
    (third.topic, third.partitions) = (a.topic, a.partitions.clone());
    let request = third.request(&[]);
    assert_eq!(code(third.send(&request).error_code), ErrorCode::ShareSessionLimitReached);
    let values: Vec<_> = (0..150).map(|value| value.to_string()).collect();
    client.produce(TOPIC, 0, batch(&values.iter().map(String::as_str).collect::<Vec<_>>()));
    let answer = a.send(&ShareFetchRequest { max_wait_ms: 1000, ..a.request(&[]) });
    assert_eq!(answer.acquisition_lock_timeout_ms, 1000);
    assert_eq!(given(&answer).len(), 100, "the window");
    assert_eq!(a.acknowledge(&[(0, 1, 99, ACCEPT)]), [ErrorCode::None]);
    let begun = Instant::now();
    let second = b.fetch(20_000);
    assert_eq!((offsets(&second), second[0].3), (vec![0], 2));
    assert!(begun.elapsed() < Duration::from_secs(15), "a lock of a second, not of thirty");
    // It comes no third time: what is behind it comes.
    assert_eq!(offsets(&b.fetch(20_000)), (100..150).collect::<Vec<_>>());
    let begun = Instant::now();
    let mut c = Member::new(&broker, "c");
    while c.beat().is_err() {
        assert!(begun.elapsed() < PATIENCE, "no session ends");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) const GROUPS: i8 = 32;

#[test]
fn d9_a_share_group_has_settings_of_its_own_within_the_bounds_of_its_broker_and_keeps_them() {
    let options = [
        "group.share.max.delivery.count.limit=8",
        "group.share.max.heartbeat.interval.ms=7000",
        "group.share.max.partition.max.record.locks=3000",
        "group.share.max.record.lock.duration.ms=40000",
        "group.share.max.session.timeout.ms=50000",
        "group.share.max.size=1",
        "group.share.min.delivery.count.limit=3",
        "group.share.min.heartbeat.interval.ms=300",
        "group.share.min.partition.max.record.locks=200",
        "group.share.min.record.lock.duration.ms=1500",
        "group.share.min.session.timeout.ms=2000",
    ];
    let (dir, broker, mut client) = start(&options);
    for (setting, refused) in [
        ("share.delivery.count.limit", ["2", "9"]),
        ("share.heartbeat.interval.ms", ["299", "7001"]),
        ("share.partition.max.record.locks", ["199", "3001"]),
        ("share.record.lock.duration.ms", ["1499", "40001"]),
        ("share.session.timeout.ms", ["1999", "50001"]),
        // No longer than the heartbeat interval, which is the broker's.
        ("share.session.timeout.ms", ["3000", "5000"]),
        ("share.auto.offset.reset", ["none", "by_duration:P1M"]),
        ("share.isolation.level", ["dirty", "1"]),
        ("share.renew.acknowledge.enable", ["yes", "0"]),
    ] {
        for value in refused {
            let said = set(&mut client, GROUPS, GROUP, setting, Some(value));
            assert_eq!(said, ErrorCode::InvalidConfig, "{setting}={value}");
        }
    }
    for (setting, taken) in [
        ("share.auto.offset.reset", "earliest"),
        ("share.delivery.count.limit", "3"),
        ("share.heartbeat.interval.ms", "400"),
        ("share.isolation.level", "read_committed"),
        ("share.partition.max.record.locks", "200"),
        ("share.record.lock.duration.ms", "40000"),
        ("share.renew.acknowledge.enable", "false"),
        ("share.session.timeout.ms", "3000"),
    ] {
        assert_eq!(set(&mut client, GROUPS, GROUP, setting, Some(taken)), ErrorCode::None, "{setting}");
        assert_eq!(value(&mut client, GROUP, setting), (taken.to_owned(), 8));
    }
    let values: Vec<_> = (0..250).map(|value| value.to_string()).collect();
    client.produce(TOPIC, 0, batch(&values.iter().map(String::as_str).collect::<Vec<_>>()));
    let mut producer = Producer::begin(&broker, "p", Level::New);
    producer.write(TOPIC, 0, &["aborted"]);
    producer.abort();
    client.produce(TOPIC, 0, batch(&["after"]));
    broker.kill();

    let options: Vec<_> = options.iter().flat_map(|option| ["-o", *option]).collect();
    let broker = Broker::start(dir.path(), &options);
    let mut client = broker.client();
    find_coordinator(&mut client);
    let mut a = Member::new(&broker, "a");
    assert_eq!(a.beat().unwrap().heartbeat_interval_ms, 400);
    let begun = Instant::now();
    let answer = a.send(&a.request(&[]));
    assert_eq!(answer.acquisition_lock_timeout_ms, 40_000);
    let mut seen = given(&answer);
    while seen.len() < 200 {
        assert!(begun.elapsed() < PATIENCE, "it begins at the first record: {}", seen.len());
        seen.extend(a.fetch(100));
    }
    assert_eq!(offsets(&seen), (0..200).collect::<Vec<_>>(), "the window");
    assert_eq!(a.acknowledge(&[(0, 0, 0, RENEW)]), [ErrorCode::InvalidRecordState]);
    for deliveries in [2, 3] {
        assert_eq!(a.acknowledge(&[(0, 0, 0, RELEASE)]), [ErrorCode::None]);
        let again = a.fetch(20_000);
        assert_eq!((offsets(&again), again[0].3), (vec![0], deliveries));
    }
    assert_eq!(a.acknowledge(&[(0, 0, 0, RELEASE)]), [ErrorCode::None], "archived");
    assert_eq!(a.acknowledge(&[(0, 1, 199, ACCEPT)]), [ErrorCode::None]);
    let mut rest = Vec::new();
    while rest.len() < 51 {
        assert!(begun.elapsed() < PATIENCE, "{rest:?}");
        rest.extend(a.fetch(100));
    }
    assert_eq!(offsets(&rest), (200..250).chain([252]).collect::<Vec<_>>(), "what was committed");
    let mut b = Member::new(&broker, "b");
    while b.beat().is_err() {
        assert!(begun.elapsed() < PATIENCE, "the session of a does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    // As the broker has it, from the next question on.
    assert_eq!(set(&mut client, GROUPS, GROUP, "share.record.lock.duration.ms", None), ErrorCode::None);
    assert_eq!(b.send(&b.request(&[])).acquisition_lock_timeout_ms, 30_000);
}

/// The records of the state topic by kind: snapshots, and updates.
fn state_records(client: &mut Client) -> (usize, usize) {
    let data = client.fetch(12, &crate::client::fetch("__share_group_state", &[(0, 0)]));
    let records = &data.responses[0].partitions[0].records;
    let mut kinds = [0, 0];
    for batch in Batches::new(records) {
        let (header, batch) = batch.unwrap();
        for record in Records::new(&batch[BATCH_HEADER_BYTES..], header.record_count() as u32) {
            kinds[usize::from(record.unwrap().key.unwrap()[1])] += 1;
        }
    }
    (kinds[0], kinds[1])
}

#[test]
fn no_more_updates_are_written_between_two_snapshots_than_the_broker_says() {
    for (most, expected) in [("0", 0), ("2", 4)] {
        let setting = format!("share.coordinator.snapshot.update.records.per.snapshot={most}");
        let (_dir, broker, mut client) = start(&[&setting, "share.coordinator.state.topic.num.partitions=1"]);
        let mut a = Member::join(&broker, "a");
        a.fetch(0);
        let values: Vec<_> = (0..30).map(|value| value.to_string()).collect();
        client.produce(TOPIC, 0, batch(&values.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(a.fetch(1000).len(), 30);
        // The first stays open. A state of many pieces is not written again for each of them.
        let pieces: Vec<_> = (1..10).map(|at| acknowledgement(2 * at, 2 * at, ACCEPT)).collect();
        let mut request = a.request(&[]);
        request.topics[0].partitions[0].acknowledgement_batches = pieces;
        assert_eq!(given(&a.send(&request)), []);
        let (snapshots, updates) = state_records(&mut client);
        assert_eq!(updates, 0);
        for at in [20, 22, 24, 26, 28] {
            assert_eq!(a.acknowledge(&[(0, at, at, ACCEPT)]), [ErrorCode::None]);
        }
        let (all, updates) = state_records(&mut client);
        assert_eq!((all - snapshots, updates), (5 - expected, expected), "{most}");
    }
}

#[test]
fn every_record_is_given_to_one_of_many_members_and_acknowledged_once() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create(TOPIC, 2, &[]);
    let mut members: Vec<_> = (0..3).map(|at| Member::join(&broker, &format!("m{at}"))).collect();
    for member in &mut members {
        // Whoever came first has heard of the others.
        member.beat().unwrap();
        member.fetch(0);
    }
    let workers: Vec<_> = members
        .into_iter()
        .map(|mut member| {
            std::thread::spawn(move || {
                let (mut done, mut silent) = (Vec::new(), 0);
                while silent < 3 {
                    let request =
                        ShareFetchRequest { max_wait_ms: 1500, max_records: 7, ..member.request(&[]) };
                    let some = given(&member.send(&request));
                    silent = if some.is_empty() { silent + 1 } else { 0 };
                    for (partition, offset, value, count) in some {
                        // Every third is given back once.
                        let kind = if offset % 3 == 0 && count == 1 { RELEASE } else { ACCEPT };
                        assert_eq!(
                            member.acknowledge(&[(partition, offset, offset, kind)]),
                            [ErrorCode::None]
                        );
                        if kind == ACCEPT {
                            done.push((partition, offset, value));
                        }
                    }
                }
                done
            })
        })
        .collect();
    for value in 0..60 {
        client.produce(TOPIC, value % 2, batch(&[&format!("{value}-a"), &format!("{value}-b")]));
    }
    let done: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    let distinct: BTreeSet<_> = done.iter().collect();
    assert_eq!((done.len(), distinct.len()), (120, 120));
}
