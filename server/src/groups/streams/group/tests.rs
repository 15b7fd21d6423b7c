//! Streams groups in random lives: members that come, go, fall silent, lose answers and are slow to give
//! tasks up; topics that come, grow and go; a log that does not take something; starts. And single rules.

use super::*;
use crate::groups::consumer::member::Stage;
use crate::groups::streams::configured::{InternalTopic, StatusCode};
use crate::groups::streams::member::AWAY;
use crate::groups::streams::topology::tests::{part, said};
use strandline_engine::types::TopicId;
use strandline_protocol::messages::{StreamsGroupEndpoint, StreamsGroupTopology};

mod lives;

const SESSION_MS: i64 = 45_000;
const REBALANCE_MS: i32 = 60_000;

fn topic(number: u8) -> TopicId {
    TopicId::from_bytes([number + 1; 16])
}

fn table(topics: &[(&str, u8, u32)]) -> Arc<TopicTable> {
    Arc::new(TopicTable::of(topics.iter().map(|(name, id, partitions)| (*name, topic(*id), *partitions))))
}

fn settings() -> StreamsSettings {
    StreamsSettings {
        session_timeout_ms: SESSION_MS,
        initial_rebalance_delay_ms: 0,
        assignment_interval_ms: 0,
        ..Default::default()
    }
}

/// A group whose epochs count its changes: it begins with 0.
fn group() -> StreamsGroup {
    StreamsGroup::unread("g", settings())
}

fn with_standbys(standbys: u32) -> StreamsGroup {
    StreamsGroup::unread("g", StreamsSettings { standbys, ..settings() })
}

/// An application that reads `s` and keeps a state.
fn counting() -> StreamsGroupTopology {
    said(vec![part("0", &["s"], &[], &[], &["l"])])
}

/// The topics of it.
fn topics(partitions: u32) -> Arc<TopicTable> {
    table(&[("s", 0, partitions), ("l", 1, partitions)])
}

/// A member that joins, in a process of its own.
fn join(id: &str) -> StreamsHeartbeat {
    join_in(id, &format!("process of {id}"))
}

fn join_in(id: &str, process: &str) -> StreamsHeartbeat {
    StreamsHeartbeat {
        member_id: id.to_owned(),
        rebalance_timeout_ms: Some(REBALANCE_MS),
        topology: Some(counting()),
        owned: Some(Roles::default()),
        process_id: Some(process.to_owned()),
        ..Default::default()
    }
}

/// A member that has nothing new to say.
fn beat(id: &str, epoch: i32) -> StreamsHeartbeat {
    StreamsHeartbeat { member_id: id.to_owned(), epoch, ..Default::default() }
}

fn owning(id: &str, epoch: i32, owned: &Roles) -> StreamsHeartbeat {
    StreamsHeartbeat { owned: Some(owned.clone()), ..beat(id, epoch) }
}

/// What a member is told, or with which code it is refused.
fn say(
    group: &mut StreamsGroup,
    now: i64,
    topics: &Arc<TopicTable>,
    said: &StreamsHeartbeat,
) -> Result<StreamsBeat, ErrorCode> {
    said.check().map_err(|refusal| refusal.code)?;
    group.heartbeat(now, topics, said, &mut Vec::new()).map_err(|refusal| refusal.code)
}

fn active(beat: &StreamsBeat) -> Vec<i32> {
    beat.assignment.as_ref().expect("it is given something").active.iter().map(|(_, at)| at).collect()
}

fn standby(beat: &StreamsBeat) -> Vec<i32> {
    beat.assignment.as_ref().expect("it is given something").standby.iter().map(|(_, at)| at).collect()
}

fn codes(beat: &StreamsBeat) -> Vec<StatusCode> {
    beat.status.iter().map(|status| status.code).collect()
}

#[test]
fn an_active_task_is_given_when_the_member_that_had_it_has_given_it_up() {
    let (mut group, topics) = (group(), topics(2));
    let a = say(&mut group, 0, &topics, &join("a")).unwrap();
    assert_eq!((a.epoch, active(&a)), (1, vec![0, 1]));
    assert_eq!(group.state(), State::Stable);
    let b = say(&mut group, 0, &topics, &join("b")).unwrap();
    assert_eq!((b.epoch, active(&b)), (2, vec![]), "it waits for a");
    assert_eq!(group.state(), State::Reconciling);
    let told = say(&mut group, 1, &topics, &beat("a", 1)).unwrap();
    assert_eq!((told.epoch, active(&told)), (1, vec![0]), "it shall give one up");
    assert_eq!(say(&mut group, 2, &topics, &beat("b", 2)).unwrap().assignment, None);
    let still = owning("a", 1, &a.assignment.unwrap());
    assert_eq!(say(&mut group, 3, &topics, &still).unwrap().epoch, 1, "it has not given it up");
    let given_up = owning("a", 1, &told.assignment.unwrap());
    assert_eq!(say(&mut group, 4, &topics, &given_up).unwrap().epoch, 2);
    let b = say(&mut group, 5, &topics, &beat("b", 2)).unwrap();
    assert_eq!((b.epoch, active(&b)), (2, vec![1]));
    assert_eq!(group.state(), State::Stable);
}

#[test]
fn a_process_has_a_task_in_one_role_and_members_of_one_process_none_of_each_other() {
    let (mut group, topics) = (with_standbys(1), topics(2));
    let a = say(&mut group, 0, &topics, &join_in("a", "p")).unwrap();
    assert_eq!((active(&a), standby(&a)), (vec![0, 1], vec![]), "nobody else is there to stand by");
    say(&mut group, 0, &topics, &join_in("b", "q")).unwrap();
    let told = say(&mut group, 1, &topics, &beat("a", 1)).unwrap();
    let told = say(&mut group, 2, &topics, &owning("a", 1, &told.assignment.unwrap())).unwrap();
    assert_eq!((active(&told), standby(&told)), (vec![0], vec![1]), "what it has given up it stands by");
    let b = say(&mut group, 3, &topics, &beat("b", 2)).unwrap();
    assert_eq!((active(&b), standby(&b)), (vec![1], vec![0]));
    assert_eq!(group.state(), State::Stable);
    // A task changes its role within a process: the member gives it up as one, then it has it as the other.
    say(&mut group, 4, &topics, &beat("b", -1)).unwrap();
    let told = say(&mut group, 5, &topics, &beat("a", 2)).unwrap();
    assert_eq!((active(&told), standby(&told)), (vec![0], vec![]));
    let told = say(&mut group, 6, &topics, &owning("a", 2, &told.assignment.unwrap())).unwrap();
    assert_eq!((told.epoch, active(&told)), (3, vec![0, 1]));
}

#[test]
fn a_member_that_does_not_give_up_in_time_is_out_and_one_that_is_silent_too() {
    let (mut group, topics) = (group(), topics(2));
    say(&mut group, 0, &topics, &join("a")).unwrap();
    say(&mut group, 0, &topics, &join("b")).unwrap();
    for now in (0..REBALANCE_MS.into()).step_by(10_000) {
        say(&mut group, now, &topics, &beat("a", 1)).unwrap();
        say(&mut group, now, &topics, &beat("b", 2)).unwrap();
    }
    assert!(group.wake_at() <= REBALANCE_MS.into());
    group.tick(REBALANCE_MS.into());
    assert_eq!(say(&mut group, 60_000, &topics, &beat("a", 1)), Err(ErrorCode::UnknownMemberId));
    let b = say(&mut group, 60_000, &topics, &beat("b", 2)).unwrap();
    assert_eq!(active(&b), [0, 1]);
    group.tick(60_000 + SESSION_MS);
    assert_eq!((group.size(), group.state(), group.wake_at()), (0, State::Empty, i64::MAX));
}

#[test]
fn without_its_topics_a_group_is_not_ready_and_its_members_are_told_what_lacks() {
    let mut group = group();
    let told = say(&mut group, 0, &table(&[]), &join("a")).unwrap();
    assert_eq!((codes(&told), active(&told)), (vec![StatusCode::MissingSourceTopics], vec![]));
    assert_eq!(group.state(), State::NotReady);
    let told = say(&mut group, 1, &table(&[("s", 0, 3)]), &beat("a", told.epoch)).unwrap();
    assert_eq!(codes(&told), [StatusCode::MissingInternalTopics]);
    let lacking: Vec<_> =
        told.missing.iter().map(|InternalTopic { name, partitions, .. }| (&**name, *partitions)).collect();
    assert_eq!(lacking, [("l", 3)]);
    let told = say(&mut group, 2, &topics(3), &beat("a", told.epoch)).unwrap();
    assert_eq!((codes(&told), active(&told), told.missing), (vec![], vec![0, 1, 2], vec![]));
    assert_eq!(group.state(), State::Stable);
    let other = table(&[("s", 0, 3), ("l", 1, 2)]);
    let told = say(&mut group, 3, &other, &beat("a", told.epoch)).unwrap();
    assert_eq!(codes(&told), [StatusCode::IncorrectlyPartitionedTopics]);
    assert_eq!((group.state(), active(&told)), (State::NotReady, vec![]), "it shall give all of them up");
}

#[test]
fn everybody_has_the_topology_of_the_first_and_one_of_before_is_told_so() {
    let (mut group, topics) = (group(), topics(2));
    let newer = StreamsGroupTopology { epoch: 1, ..counting() };
    say(&mut group, 0, &topics, &StreamsHeartbeat { topology: Some(newer.clone()), ..join("a") }).unwrap();
    let stale = say(&mut group, 0, &topics, &join("b")).unwrap();
    assert_eq!(codes(&stale), [StatusCode::StaleTopology]);
    let mut other = newer;
    other.subtopologies[0].repartition_sink_topics.push("x".to_owned());
    let other = StreamsHeartbeat { topology: Some(other), ..join("c") };
    assert_eq!(say(&mut group, 0, &topics, &other), Err(ErrorCode::InvalidRequest));
    let none = said(vec![part("0", &[], &[], &[], &[])]);
    let none = StreamsHeartbeat { topology: Some(none), ..join("c") };
    assert_eq!(say(&mut group, 0, &topics, &none), Err(ErrorCode::StreamsInvalidTopology));
    assert_eq!(group.size(), 2);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |said: StreamsHeartbeat| said.check().unwrap_err().code;
    for wrong in [
        StreamsHeartbeat { member_id: String::new(), ..join("a") },
        StreamsHeartbeat { instance_id: Some(String::new()), ..join("a") },
        StreamsHeartbeat { rack_id: Some(String::new()), ..join("a") },
        StreamsHeartbeat { rebalance_timeout_ms: None, ..join("a") },
        StreamsHeartbeat { topology: None, ..join("a") },
        StreamsHeartbeat { epoch: 1, ..join("a") },
        beat("a", AWAY),
        beat("a", -3),
    ] {
        assert_eq!(refused(wrong.clone()), ErrorCode::InvalidRequest, "{wrong:?}");
    }
    let mut pattern = join("a");
    pattern.topology.as_mut().unwrap().subtopologies[0].source_topic_regex.push("x".to_owned());
    assert_eq!(refused(pattern), ErrorCode::InvalidRequest);
    let owned = Roles { active: [("0".into(), 1)].into_iter().collect(), standby: Tasks::default() };
    assert_eq!(refused(StreamsHeartbeat { owned: Some(owned), ..join("a") }), ErrorCode::InvalidRequest);
}

#[test]
fn a_member_of_another_epoch_is_fenced_but_for_one_that_has_not_heard_of_its_own() {
    let (mut group, topics) = (group(), topics(2));
    let a = say(&mut group, 0, &topics, &join("a")).unwrap();
    for wrong in [2, 3] {
        assert_eq!(say(&mut group, 0, &topics, &beat("a", wrong)), Err(ErrorCode::FencedMemberEpoch));
    }
    say(&mut group, 0, &topics, &join("b")).unwrap();
    let told = say(&mut group, 1, &topics, &beat("a", 1)).unwrap().assignment.unwrap();
    assert_eq!(say(&mut group, 2, &topics, &owning("a", 1, &told)).unwrap().epoch, 2);
    // The answer was lost: it says so again, and is told again.
    let again = say(&mut group, 3, &topics, &owning("a", 1, &told)).unwrap();
    assert_eq!(again.epoch, 2);
    let all = a.assignment.unwrap();
    assert_eq!(say(&mut group, 3, &topics, &owning("a", 1, &all)), Err(ErrorCode::FencedMemberEpoch));
    assert_eq!(say(&mut group, 3, &topics, &beat("c", 1)), Err(ErrorCode::UnknownMemberId));
}

#[test]
fn offsets_of_a_task_count_in_every_epoch_since_the_member_has_it() {
    let (mut group, topics) = (group(), topics(2));
    say(&mut group, 0, &topics, &join("a")).unwrap();
    say(&mut group, 0, &topics, &join("b")).unwrap();
    let told = say(&mut group, 1, &topics, &beat("a", 1)).unwrap().assignment.unwrap();
    say(&mut group, 2, &topics, &owning("a", 1, &told)).unwrap();
    say(&mut group, 3, &topics, &beat("b", 2)).unwrap();
    let check = |id, epoch, partitions: &[(&'static str, i32)]| {
        group.check_commit(id, epoch, partitions.iter().copied())
    };
    let stale = Err(ErrorCode::StaleMemberEpoch);
    assert_eq!(check("a", 1, &[("s", 0)]), Ok(()), "it has had it all the time");
    assert_eq!(check("a", 1, &[("s", 1)]), stale, "it is another's");
    assert_eq!(check("a", 1, &[("s", 0), ("s", 1)]), stale, "one of them is");
    assert_eq!(check("a", 1, &[("u", 0)]), stale, "the application does not read it");
    assert_eq!((check("b", 2, &[("s", 1)]), check("b", 1, &[("s", 1)])), (Ok(()), stale));
    assert_eq!(check("a", 2, &[("u", 0)]), Ok(()), "it is its newest one");
    assert_eq!(check("a", 3, &[("s", 0)]), stale);
    assert_eq!(check("c", 1, &[("s", 0)]), Err(ErrorCode::UnknownMemberId));
    assert_eq!(group.check_epoch("a", 1), Err(ErrorCode::StaleMemberEpoch));
}

#[test]
fn an_empty_group_waits_for_more_members_and_a_busy_one_for_the_next_time() {
    let settings =
        StreamsSettings { initial_rebalance_delay_ms: 3000, assignment_interval_ms: 1000, ..settings() };
    let (mut group, topics) = (StreamsGroup::new("g", settings), topics(2));
    for id in ["a", "b"] {
        let told = say(&mut group, 5000, &topics, &join(id)).unwrap();
        assert_eq!(
            (told.epoch, active(&told), codes(&told)),
            (1, vec![], vec![StatusCode::AssignmentDelayed])
        );
    }
    assert_eq!(group.state(), State::Assigning);
    let a = say(&mut group, 8000, &topics, &beat("a", 1)).unwrap();
    assert_eq!((active(&a), codes(&a)), (vec![0], vec![]));
    let b = say(&mut group, 8000, &topics, &beat("b", 1)).unwrap();
    assert_eq!(active(&b), [1]);
    let c = say(&mut group, 8500, &topics, &join("c")).unwrap();
    assert_eq!(codes(&c), [StatusCode::AssignmentDelayed]);
    assert_eq!(codes(&say(&mut group, 9000, &topics, &beat("c", c.epoch)).unwrap()), []);
    assert_eq!(group.state(), State::Reconciling);
}

#[test]
fn a_static_member_that_comes_back_has_what_it_had() {
    let (mut group, topics) = (group(), topics(2));
    let named = |id: &str| StreamsHeartbeat { instance_id: Some("i".to_owned()), ..join(id) };
    let a = say(&mut group, 0, &topics, &named("a")).unwrap();
    assert_eq!(say(&mut group, 0, &topics, &named("b")), Err(ErrorCode::UnreleasedInstanceId));
    let away = StreamsHeartbeat { instance_id: Some("i".to_owned()), ..beat("a", AWAY) };
    say(&mut group, 1, &topics, &away).unwrap();
    assert_eq!(group.size(), 1);
    let b = say(&mut group, 2, &topics, &named("b")).unwrap();
    assert_eq!(active(&b), active(&a));
    let old = StreamsHeartbeat { instance_id: Some("i".to_owned()), ..beat("a", 1) };
    assert_eq!(say(&mut group, 3, &topics, &old), Err(ErrorCode::FencedInstanceId));
}

#[test]
fn all_are_told_that_one_wants_them_to_stop_until_nobody_is_left() {
    let (mut group, topics) = (group(), topics(1));
    say(&mut group, 0, &topics, &join("a")).unwrap();
    let b = say(&mut group, 0, &topics, &join("b")).unwrap();
    let stop = StreamsHeartbeat { wants_shutdown: true, ..beat("a", 1) };
    assert_eq!(codes(&say(&mut group, 0, &topics, &stop).unwrap()), [StatusCode::ShutdownApplication]);
    let told = say(&mut group, 0, &topics, &beat("b", b.epoch)).unwrap();
    assert_eq!(codes(&told), [StatusCode::ShutdownApplication]);
    say(&mut group, 0, &topics, &beat("a", -1)).unwrap();
    say(&mut group, 0, &topics, &beat("b", -1)).unwrap();
    assert_eq!(codes(&say(&mut group, 0, &topics, &join("c")).unwrap()), []);
}

#[test]
fn members_that_say_where_they_are_can_be_asked_for_what_they_have() {
    let (mut group, topics) = (group(), topics(2));
    let at = |id: &str, port| StreamsHeartbeat {
        endpoint: Some(StreamsGroupEndpoint { host: "h".to_owned(), port }),
        ..join(id)
    };
    let nobody = say(&mut group, 0, &topics, &join("z")).unwrap();
    assert_eq!(nobody.endpoints_epoch, -1, "what a client begins with");
    say(&mut group, 0, &topics, &beat("z", -1)).unwrap();
    let a = say(&mut group, 0, &topics, &at("a", 1)).unwrap();
    let told = group.endpoints(&topics);
    assert_eq!((told.epoch, told.members.len()), (a.endpoints_epoch, 1));
    assert_eq!(told.members[0].user_endpoint.port, 1);
    assert_eq!(told.members[0].active_partitions[0].topic, "s");
    assert_eq!(told.members[0].active_partitions[0].partitions, [0, 1]);
    assert!(group.endpoints_bytes() > 0);
    let b = say(&mut group, 0, &topics, &at("b", 2)).unwrap();
    assert!(b.endpoints_epoch > a.endpoints_epoch);
    assert_eq!(group.endpoints(&topics).members.len(), 2);
    say(&mut group, 0, &topics, &beat("b", -1)).unwrap();
    let told = group.endpoints(&topics);
    assert!(told.epoch > b.endpoints_epoch && told.members.len() == 1);
}

#[test]
fn a_setting_that_changes_shares_tasks_out_anew() {
    let (mut group, topics) = (group(), topics(1));
    let a = say(&mut group, 0, &topics, &join("a")).unwrap();
    let b = say(&mut group, 0, &topics, &join("b")).unwrap();
    let changed = Some(StreamsSettings { standbys: 1, ..settings() });
    let with = |said| StreamsHeartbeat { settings: changed, ..said };
    let a = say(&mut group, 1, &topics, &with(beat("a", a.epoch))).unwrap();
    let b = say(&mut group, 1, &topics, &with(beat("b", b.epoch))).unwrap();
    assert_eq!((a.epoch, b.epoch), (3, 3));
    let standing_by: Vec<_> =
        [a, b].into_iter().filter_map(|told| told.assignment).map(|roles| roles.standby.len()).collect();
    assert_eq!(standing_by.into_iter().sum::<usize>(), 1);
}

#[test]
fn d11_no_more_members_come_in_than_may() {
    let mut group = StreamsGroup::unread("g", StreamsSettings { size_max: 1, ..settings() });
    let topics = topics(1);
    say(&mut group, 0, &topics, &join("a")).unwrap();
    assert_eq!(say(&mut group, 0, &topics, &join("b")), Err(ErrorCode::GroupMaxSizeReached));
    assert_eq!(say(&mut group, 0, &topics, &join("a")).map(|told| told.epoch), Ok(1));
}

#[test]
fn what_is_described_is_what_there_is() {
    let (mut group, topics) = (group(), topics(2));
    say(&mut group, 0, &topics, &join("a")).unwrap();
    let told = group.describe();
    assert_eq!((told.state, told.epoch, told.target_epoch), (State::Stable, 1, 1));
    let parts = told.topology.unwrap().subtopologies.unwrap();
    assert_eq!((parts[0].source_topics[0].as_str(), parts[0].state_changelog_topics[0].partitions), ("s", 2));
    let member = &told.members[0];
    assert_eq!((member.member_id.as_str(), member.process_id.as_str()), ("a", "process of a"));
    assert_eq!(member.assignment.active_tasks[0].partitions, [0, 1]);
    assert_eq!(member.target_assignment, member.assignment);
    assert!(group.description_bytes() > 0);
}
