//! Groups that change their protocol while members are in them: what each member is told, which way a policy
//! allows, what a crash finds; and random lives, in `migration/lives`.

mod lives;
mod room;

use strandline_protocol::messages::{ConsumerProtocolSubscription, TopicPartition};

use super::*;
use crate::groups::consumer::{Assignment, Beat, Heartbeat};
use crate::groups::member::{Join, Protocol};
use crate::refusal::Refusal;
use room::Room;

fn subscription(owned: &[i32]) -> ConsumerProtocolSubscription {
    let owned_partitions = match owned {
        [] => Vec::new(),
        _ => vec![TopicPartition { topic: "t".to_owned(), partitions: owned.to_vec() }],
    };
    ConsumerProtocolSubscription { topics: vec!["t".to_owned()], owned_partitions, ..Default::default() }
}

/// A member that joins by the classic protocol; without an id it gets this one.
fn classic(member_id: &str, new_member_id: &str, owned: &[i32]) -> Join {
    Join {
        member_id: member_id.to_owned(),
        new_member_id: new_member_id.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![Protocol {
            name: "range".to_owned(),
            metadata: subscription(owned).encode().unwrap(),
        }],
        ..Join::default()
    }
}

/// A member that joins by that of KIP-848.
fn consumer(member_id: &str) -> Heartbeat {
    Heartbeat {
        member_id: member_id.to_owned(),
        rebalance_timeout_ms: Some(20_000),
        topics: Some(vec!["t".to_owned()]),
        owned: Some(Assignment::default()),
        ..Heartbeat::default()
    }
}

fn leaving(member_id: &str) -> Heartbeat {
    Heartbeat { member_id: member_id.to_owned(), epoch: -1, ..Heartbeat::default() }
}

fn owned(beat: &Beat) -> Vec<i32> {
    beat.assignment.iter().flat_map(|assignment| assignment.iter().map(|(_, at)| at)).collect()
}

fn refusal(told: Result<Beat, Refusal>) -> (ErrorCode, String) {
    let refusal = told.expect_err("it is refused");
    (refusal.code, refusal.message.unwrap_or_default())
}

/// A classic group of two members, which have two partitions each.
fn room() -> Room {
    let mut room = Room::new(4);
    let a = room.join(classic("", "a", &[]));
    assert_eq!((a.error, a.generation), (ErrorCode::None, 1));
    room.sync("a", 1, &[("a", &[0, 1, 2, 3])]).unwrap();
    room.ask_join(classic("", "b", &[]));
    let a = room.join(classic("a", "", &[]));
    assert_eq!((a.error, a.generation), (ErrorCode::None, 2));
    assert_eq!(room.sync("a", 2, &[("a", &[0, 1]), ("b", &[2, 3])]), Ok(vec![0, 1]));
    assert_eq!(room.sync("b", 2, &[]), Ok(vec![2, 3]));
    room
}

#[test]
fn a_classic_group_becomes_a_consumer_group_and_its_members_go_on_with_the_classic_protocol() {
    let mut room = room();
    assert_eq!((room.kind(), room.heartbeat("a", 2)), ("classic", Ok(())));
    let c = room.beat(consumer("c")).unwrap();
    assert_eq!((room.kind(), c.epoch, owned(&c)), ("consumer", 3, vec![]), "the others have everything");
    for (id, has) in [("a", [0, 1]), ("b", [2, 3])] {
        assert_eq!(room.heartbeat(id, 2), Err(ErrorCode::RebalanceInProgress), "{id}");
        assert_eq!(room.commit(id, 2), ErrorCode::None, "{id} says how far it has come");
        let joined = room.join(classic(id, "", &has));
        assert_eq!((joined.error, joined.leader.as_str(), joined.members.len()), (ErrorCode::None, "", 0));
        assert_eq!((joined.member_id.as_str(), joined.protocol.as_deref()), (id, Some("range")));
    }
    // Of four partitions one has two, and each of the others one: somebody gives one up.
    let (a, b) = (room.sync_now("a"), room.sync_now("b"));
    assert!(
        a.len() + b.len() == 3 && a.iter().all(|at| *at < 2) && b.iter().all(|at| *at > 1),
        "{a:?} {b:?}"
    );
    let (slow, kept) = if a.len() == 1 { ("a", a) } else { ("b", b) };
    let c = room.beat(Heartbeat { epoch: c.epoch, ..leaving("c") }).unwrap();
    assert!(owned(&c).is_empty(), "it is not given up yet");
    let epoch = c.epoch;
    assert_eq!(room.heartbeat(slow, room.epoch(slow)), Err(ErrorCode::RebalanceInProgress));
    room.join(classic(slow, "", &kept));
    let c = room.beat(Heartbeat { epoch, ..leaving("c") }).unwrap();
    assert_eq!(owned(&c).len(), 1);
    for id in ["a", "b"] {
        assert_eq!(room.heartbeat(id, room.epoch(id)), Ok(()));
    }
    assert_eq!(room.commit("a", 1), ErrorCode::IllegalGeneration);
    assert_eq!(room.heartbeat("c", 3), Err(ErrorCode::UnknownMemberId), "it does not speak it");
}

#[test]
fn a_consumer_group_becomes_a_classic_group_with_the_last_member_of_its_protocol_and_rebalances() {
    let mut room = room();
    let c = room.beat(consumer("c")).unwrap();
    room.restart();
    assert_eq!(room.kind(), "consumer");
    for (id, has) in [("a", [0, 1]), ("b", [2, 3])] {
        room.join(classic(id, "", &has));
    }
    assert_eq!(c.epoch, room.epoch("a").max(room.epoch("b")));
    room.offset(7);
    room.beat(leaving("c")).unwrap();
    assert_eq!((room.kind(), room.state()), ("classic", State::PreparingRebalance));
    room.restart();
    assert_eq!((room.kind(), room.state()), ("classic", State::PreparingRebalance));
    assert_eq!(room.committed(), Some(7), "offsets are kept");
    assert_eq!(room.heartbeat("a", 3), Err(ErrorCode::RebalanceInProgress));
    room.ask_join(classic("b", "", &[2, 3]));
    let joined = room.join(classic("a", "", &[0, 1]));
    assert_eq!((joined.error, joined.generation, joined.members.len()), (ErrorCode::None, 4, 2));
    assert_eq!(refusal(room.beat(Heartbeat { epoch: 3, ..consumer("c") })).0, ErrorCode::GroupIdNotFound);
}

#[test]
fn d9_a_change_of_protocol_that_the_log_does_not_take_has_not_been() {
    let mut room = room();
    room.fail = true;
    assert!(room.beat(consumer("c")).is_err());
    assert_eq!((room.kind(), room.heartbeat("a", 2)), ("classic", Ok(())));
    room.restart();
    assert_eq!((room.kind(), room.heartbeat("b", 2)), ("classic", Ok(())));
    room.fail = false;
    room.beat(consumer("c")).unwrap();
    // Nor has the way back.
    room.fail = true;
    assert!(room.beat(leaving("c")).is_err());
    assert_eq!(room.kind(), "consumer");
    room.restart();
    assert_eq!(room.kind(), "consumer");
    room.fail = false;
    room.beat(leaving("c")).unwrap();
    assert_eq!(room.kind(), "classic");
}

#[test]
fn nothing_else_of_a_group_changes_while_its_change_of_protocol_is_on_its_way() {
    let mut room = room();
    let told = room.ask_beat(consumer("c"));
    assert_eq!(refusal(room.ask_beat(consumer("d")).recv()).0, ErrorCode::CoordinatorLoadInProgress);
    assert_eq!(room.ask_join(classic("a", "", &[])).recv().error, ErrorCode::CoordinatorLoadInProgress);
    assert_eq!(room.heartbeat("a", 1), Ok(()));
    assert_eq!(room.kind(), "classic");
    room.settle();
    assert_eq!((told.recv().unwrap().epoch, room.kind()), (3, "consumer"));
}

#[test]
fn members_that_wait_for_a_classic_group_are_told_to_join_again_when_it_becomes_another() {
    let mut room = room();
    let waiting = room.ask_join(classic("a", "", &[0, 1]));
    room.beat(consumer("c")).unwrap();
    assert_eq!(waiting.recv().error, ErrorCode::RebalanceInProgress);
    // It has what it was assigned, though it has said that it owns it as well.
    assert_eq!(room.held("a"), [0, 1]);
    assert_eq!(room.held("b"), [2, 3]);
}

/// A cooperative member reads on from what it has been told to give up, until it joins again.
#[test]
fn what_a_member_of_a_classic_group_may_still_read_is_given_to_nobody() {
    let mut room = Room::new(2);
    room.join(classic("", "a", &[]));
    room.sync("a", 1, &[("a", &[0, 1])]).unwrap();
    room.ask_join(classic("", "b", &[]));
    room.join(classic("a", "", &[0, 1]));
    assert_eq!(room.sync("a", 2, &[("a", &[0]), ("b", &[])]), Ok(vec![0]));
    let c = room.beat(consumer("c")).unwrap();
    assert_eq!((owned(&c), room.held("a")), (vec![], vec![0, 1]));
}

#[test]
fn a_policy_says_which_way_groups_may_go() {
    let with = |policy| {
        let mut room = room();
        room.groups.settings.migration = policy;
        room
    };
    for policy in [MigrationPolicy::Disabled, MigrationPolicy::Downgrade] {
        let (code, message) = refusal(with(policy).beat(consumer("c")));
        assert_eq!(code, ErrorCode::GroupIdNotFound);
        assert_eq!(
            message,
            "Cannot upgrade classic group g to consumer group because online upgrade is disabled."
        );
    }
    let mut room = with(MigrationPolicy::Upgrade);
    room.beat(consumer("c")).unwrap();
    room.beat(leaving("c")).unwrap();
    assert_eq!(room.kind(), "consumer", "all speak the classic protocol, and it stays what it is");
    assert_eq!(room.join(classic("", "d", &[])).error, ErrorCode::None);
    room.groups.settings.migration = MigrationPolicy::Disabled;
    assert_eq!(room.join(classic("", "e", &[])).error, ErrorCode::InconsistentGroupProtocol);
    room.groups.settings.migration = MigrationPolicy::Downgrade;
    assert_eq!(room.leave(&["d"]), [Ok(())]);
    assert_eq!(room.kind(), "classic");
}

#[test]
fn a_classic_group_that_the_broker_does_not_understand_stays_one() {
    let mut room = Room::new(1);
    let unread = Join {
        protocols: vec![Protocol { name: "x".to_owned(), metadata: b"\0"[..].into() }],
        ..classic("", "a", &[])
    };
    room.join(unread);
    room.sync("a", 1, &[]).unwrap();
    let (code, message) = refusal(room.beat(consumer("c")));
    assert_eq!(code, ErrorCode::GroupIdNotFound);
    assert!(message.ends_with("because the embedded consumer protocol is malformed."), "{message}");

    let mut room = Room::new(1);
    room.join(Join { protocol_type: "connect".to_owned(), ..classic("", "a", &[]) });
    let (_, message) = refusal(room.beat(consumer("c")));
    assert!(message.ends_with("because the group does not use the consumer embedded protocol."), "{message}");

    let mut room = Room::new(1);
    room.join(classic("", "a", &[]));
    room.sync_raw("a", 1, b"\0\0\0\0\0\0\0\0\0\x01x");
    let (_, message) = refusal(room.beat(consumer("c")));
    assert!(message.contains("because an unsupported custom assignor is in use. Please"), "{message}");

    let mut room = Room::new(1);
    room.groups.settings.consumer.size_max = 0;
    room.join(classic("", "a", &[]));
    let (_, message) = refusal(room.beat(consumer("c")));
    assert!(
        message.ends_with("because the group size exceeds the consumer group maximum size."),
        "{message}"
    );
}

#[test]
fn a_static_member_takes_its_place_in_the_other_protocol_and_the_last_one_takes_the_group_with_it() {
    let named = |join: Join, name: &str| Join { instance_id: Some(name.to_owned()), ..join };
    let mut room = Room::new(2);
    for id in ["a", "b"] {
        room.ask_join(named(classic("", id, &[]), &format!("i{id}")));
    }
    // The second came within the time that the first waited for it.
    room.pass(50);
    room.pass(50);
    room.sync("a", 1, &[("a", &[0]), ("b", &[1])]).unwrap();
    let again = Heartbeat { instance_id: Some("ia".to_owned()), ..consumer("a2") };
    let told = room.beat(again).unwrap();
    assert_eq!((room.kind(), owned(&told)), ("consumer", vec![0]), "it has what it had");
    assert_eq!(room.heartbeat_as("a", Some("ia"), 1), Err(ErrorCode::FencedInstanceId));
    // One of its protocol would have to leave before.
    let other = Heartbeat { instance_id: Some("ia".to_owned()), ..consumer("a3") };
    assert_eq!(refusal(room.beat(other)).0, ErrorCode::UnreleasedInstanceId);
    let waiting = room.ask_join(named(classic("", "a4", &[]), "ia"));
    room.settle();
    assert_eq!((room.kind(), room.state()), ("classic", State::PreparingRebalance));
    room.join(named(classic("b", "", &[1]), "ib"));
    assert_eq!(waiting.recv().error, ErrorCode::None);
}

#[test]
fn a_member_of_the_classic_protocol_that_does_not_join_or_is_silent_is_taken_out() {
    let mut room = room();
    let mut c = room.beat(consumer("c")).unwrap();
    for _ in 0..3 {
        room.pass(7000);
        assert_eq!(room.heartbeat("a", 2), Err(ErrorCode::RebalanceInProgress));
        c = room.beat(Heartbeat { epoch: c.epoch, ..leaving("c") }).unwrap();
    }
    assert_eq!(room.members(), ["a", "c"], "b was silent for longer than its session");
    room.pass(7000);
    assert_eq!(room.heartbeat("a", 2), Err(ErrorCode::UnknownMemberId), "it had 20 s to join");
    let c = room.beat(Heartbeat { epoch: c.epoch, ..leaving("c") }).unwrap();
    assert_eq!(owned(&c), [0, 1, 2, 3]);
}

#[test]
fn a_member_that_was_taken_out_does_not_come_back_with_what_others_may_have() {
    let mut room = room();
    room.beat(consumer("c")).unwrap();
    let late = room.join(classic("z", "", &[0]));
    assert_eq!(late.error, ErrorCode::UnknownMemberId);
    assert_eq!(room.join(classic("z", "", &[])).error, ErrorCode::None, "it has given up what it had");
    let other = Join {
        protocols: vec![Protocol { name: "x".to_owned(), ..room.protocol() }],
        ..classic("", "y", &[])
    };
    assert_eq!(room.join(other).error, ErrorCode::InconsistentGroupProtocol);
}
