//! The rules of members: how they come in, stay and go; one test each.

use super::*;

#[test]
fn a_new_member_of_a_new_client_comes_back_with_the_id_that_it_was_given() {
    let mut room = Room::new();
    let first = room.join(Join { id_required: true, ..member("a") });
    assert_eq!(
        (room.joined[&first].error, room.joined[&first].member_id.as_str()),
        (ErrorCode::MemberIdRequired, "a")
    );
    assert_eq!((room.state(), room.group.is_blank()), (State::Empty, false));
    let second = room.join(Join { member_id: "a".to_owned(), id_required: true, ..member("b") });
    room.pass(DELAY);
    assert_eq!((room.joined[&second].generation, room.joined[&second].leader.as_str()), (1, "a"));
}

#[test]
fn an_id_that_was_given_out_expires_with_its_session_and_nobody_waits_for_it_longer() {
    let mut room = Room::new();
    let joined = room.stable(&["a"]);
    room.join(Join { id_required: true, ..member("b") });
    let waiting = room.join(again(&joined[0]));
    room.pass(i64::from(SESSION) - 1);
    assert!(!room.joined.contains_key(&waiting), "b may still come");
    room.pass(1);
    assert_eq!(room.joined[&waiting].generation, 2);
    let late = room.join(Join { member_id: "b".to_owned(), ..member("c") });
    assert_eq!(room.joined[&late].error, ErrorCode::UnknownMemberId);
}

#[test]
fn who_is_silent_is_dropped_and_the_others_rebalance() {
    let mut room = Room::new();
    let joined = room.stable(&["a", "b"]);
    room.pass(i64::from(SESSION) / 2);
    assert_eq!(room.heartbeat(&joined[0]), Ok(()));
    room.pass(i64::from(SESSION) / 2);
    assert_eq!((room.state(), room.ids()), (State::PreparingRebalance, vec!["a".to_owned()]));
    assert_eq!(room.heartbeat(&joined[1]), Err(ErrorCode::UnknownMemberId));
    room.pass(i64::from(SESSION) / 2);
    assert_eq!(room.state(), State::Empty);
    assert_eq!(room.stores.last().unwrap().value.members, []);
}

#[test]
fn who_waits_for_us_does_not_have_to_send_heartbeats() {
    let mut room = Room::new();
    let joined = room.stable(&["a", "b"]);
    let waiting = room.join(again(&joined[0]));
    for _ in 0..5 {
        assert_eq!(room.heartbeat(&joined[1]), Err(ErrorCode::RebalanceInProgress));
        room.pass(i64::from(SESSION) - 1);
    }
    assert!(!room.joined.contains_key(&waiting));
    room.join(again(&joined[1]));
    assert_eq!((room.joined[&waiting].generation, room.ids().len()), (2, 2));
}

#[test]
fn a_new_member_that_waits_for_minutes_is_told_to_come_again() {
    let mut room = Room::new();
    let patient =
        Join { session_timeout_ms: 30 * REBALANCE, rebalance_timeout_ms: 30 * REBALANCE, ..member("a") };
    let ticket = room.join(patient);
    room.pass(DELAY);
    room.finish(vec![ticket]);
    let waiting = room.join(member("b"));
    room.pass(5 * 60 * 1000 - 1);
    assert!(!room.joined.contains_key(&waiting));
    room.pass(1);
    assert_eq!(room.joined[&waiting].error, ErrorCode::UnknownMemberId, "its client may be long gone");
    assert_eq!(room.ids(), ["a"]);
}

#[test]
fn a_full_group_takes_nobody_and_who_joins_first_stays() {
    let mut room = Room::with(GroupSettings { initial_rebalance_delay_ms: DELAY, size_max: 2 });
    let joined = room.stable(&["a", "b"]);
    let third = room.join(member("c"));
    assert_eq!(room.joined[&third].error, ErrorCode::GroupMaxSizeReached);
    assert_eq!((room.state(), room.heartbeat(&joined[1])), (State::Stable, Ok(())));
    room.join(again(&joined[0]));
    let third = room.join(member("c"));
    assert!(!room.joined.contains_key(&third));
    let second = room.join(again(&joined[1]));
    assert_eq!(room.joined[&second].error, ErrorCode::GroupMaxSizeReached);
    assert_eq!((room.joined[&third].generation, room.ids().len()), (2, 2), "nobody waits for it");
}

#[test]
fn a_follower_that_joins_again_unchanged_disturbs_nobody_and_the_leader_rebalances() {
    let mut room = Room::new();
    let joined = room.stable(&["a", "b"]);
    let follower = room.join(again(&joined[1]));
    assert_eq!((room.joined[&follower].generation, room.state()), (1, State::Stable));
    let changed = Join { protocols: protocols(&["sticky"]), ..again(&joined[1]) };
    let waits = room.join(changed);
    assert_eq!(room.state(), State::PreparingRebalance);
    room.join(again(&joined[0]));
    assert_eq!(room.joined[&waits].protocol.as_deref(), Some("sticky"));

    let mut room = Room::new();
    let joined = room.stable(&["a", "b"]);
    room.join(again(&joined[0]));
    assert_eq!(room.state(), State::PreparingRebalance);
}

#[test]
fn a_lost_answer_to_a_join_is_given_again() {
    let mut room = Room::new();
    let tickets = [room.join(member("a")), room.join(member("b"))];
    room.pass(2 * DELAY);
    let a = room.joined[&tickets[0]].clone();
    let lost = room.join(again(&a));
    assert_eq!(room.joined[&lost], a);
    let changed = room.join(Join { protocols: protocols(&["range"]), ..again(&a) });
    assert_eq!((room.state(), room.joined.contains_key(&changed)), (State::PreparingRebalance, false));
    let repeated = room.join(Join { protocols: protocols(&["range"]), ..again(&a) });
    assert_eq!(room.joined[&changed].error, ErrorCode::RebalanceInProgress, "the later one counts");
    assert!(!room.joined.contains_key(&repeated));
}

#[test]
fn members_of_another_generation_or_protocol_are_told_so() {
    let mut room = Room::new();
    let joined = room.stable(&["a"]);
    let stale = Identity { generation: 0, ..identity(&joined[0]) };
    assert_eq!(room.group.heartbeat(room.now, &stale), Err(ErrorCode::IllegalGeneration));
    let unknown = Identity { member_id: "x".to_owned(), ..stale };
    assert_eq!(room.group.heartbeat(room.now, &unknown), Err(ErrorCode::UnknownMemberId));
    let mut effects = Effects::default();
    let sync = Sync { identity: identity(&joined[0]), protocol: Some("other".to_owned()), ..Sync::default() };
    room.group.sync(room.now, 99, sync, &mut effects);
    assert_eq!(effects.synced[0].1.error, ErrorCode::InconsistentGroupProtocol);
}

#[test]
fn commits_come_from_members_of_the_generation_or_from_nobody_while_the_group_is_empty() {
    let mut room = Room::new();
    let simple = leaving("", None);
    assert_eq!(room.group.commit(0, &simple), Ok(()));
    let tickets = [room.join(member("a")), room.join(member("b"))];
    assert_eq!(room.group.commit(0, &simple), Err(ErrorCode::UnknownMemberId));
    room.pass(2 * DELAY);
    let a = room.joined[&tickets[0]].clone();
    assert_eq!(room.group.commit(room.now, &identity(&a)), Err(ErrorCode::RebalanceInProgress));
    room.finish(tickets.to_vec());
    assert_eq!(room.group.commit(room.now, &identity(&a)), Ok(()));
    let stale = Identity { generation: 7, ..identity(&a) };
    assert_eq!(room.group.commit(room.now, &stale), Err(ErrorCode::IllegalGeneration));
    room.join(member("c"));
    assert_eq!(room.group.commit(room.now, &identity(&a)), Ok(()), "before it joins again");
    room.pass(i64::from(SESSION) - 1);
    assert_eq!(room.group.commit(room.now, &identity(&a)), Ok(()));
    room.pass(2);
    assert!(room.ids().contains(&"a".to_owned()), "a commit is a sign of life");
}

#[test]
fn a_transaction_commits_for_a_member_of_the_generation_or_for_who_does_not_say() {
    let mut room = Room::new();
    let nobody = Identity { generation: -1, ..Identity::default() };
    assert_eq!(room.group.commit_transactional(&nobody), Ok(()));
    let told = room.stable(&["a"]);
    let who = identity(&told[0]);
    let commits = |room: &Room| {
        let of = |change: fn(&mut Identity)| {
            let mut other = who.clone();
            change(&mut other);
            room.group.commit_transactional(&other)
        };
        [
            of(|_| {}),
            of(|who| who.generation -= 1),
            of(|who| who.generation = -1),
            of(|who| who.member_id = "another".to_owned()),
            of(|who| who.member_id.clear()),
            of(|who| who.instance_id = Some("i".to_owned())),
            room.group.commit_transactional(&nobody),
        ]
    };
    let (unknown, illegal) = (Err(ErrorCode::UnknownMemberId), Err(ErrorCode::IllegalGeneration));
    let expected = [Ok(()), illegal, illegal, unknown, unknown, unknown, Ok(())];
    assert_eq!(commits(&room), expected);
    // Also while the others are waited for, and for the leader: as in Kafka, what a member reads it may
    // commit until the next generation.
    room.join(member("b"));
    assert_eq!((room.state(), commits(&room)), (State::PreparingRebalance, expected));
    let ticket = room.join(again(&told[0]));
    let who = identity(&room.joined[&ticket]);
    assert_eq!(room.state(), State::CompletingRebalance);
    assert_eq!(room.group.commit_transactional(&who), Ok(()));
    let mut room = Room::new();
    room.group.bury().unwrap();
    assert_eq!(room.group.commit_transactional(&nobody), Err(ErrorCode::CoordinatorNotAvailable));
}

#[test]
fn a_static_member_that_was_replaced_commits_nothing_in_a_transaction() {
    let mut room = Room::new();
    let ticket = room.join(fixed("a", "i"));
    room.pass(2 * DELAY);
    let told = room.finish(vec![ticket]).remove(0);
    let by = |member_id: &str| Identity {
        member_id: member_id.to_owned(),
        instance_id: Some("i".to_owned()),
        generation: told.generation,
    };
    assert_eq!(room.group.commit_transactional(&by(&told.member_id)), Ok(()));
    assert_eq!(room.group.commit_transactional(&by("b")), Err(ErrorCode::FencedInstanceId));
}

#[test]
fn who_leaves_is_gone_at_once() {
    let mut room = Room::new();
    let joined = room.stable(&["a", "b"]);
    assert_eq!(room.leave(leaving("a", None)), Ok(()));
    assert_eq!(
        (room.state(), room.leave(leaving("a", None))),
        (State::PreparingRebalance, Err(ErrorCode::UnknownMemberId))
    );
    let b = room.join(again(&joined[1]));
    assert_eq!((room.joined[&b].generation, room.joined[&b].leader.as_str()), (2, "b"));
    assert_eq!(room.leave(leaving("b", None)), Ok(()));
    assert_eq!((room.state(), room.group.generation()), (State::Empty, 3));
    room.join(Join { id_required: true, ..member("c") });
    assert_eq!(room.leave(leaving("c", None)), Ok(()), "an id that nobody came with");
}

#[test]
fn a_static_member_that_restarts_keeps_its_place_without_a_rebalance() {
    let mut room = Room::new();
    let tickets = vec![room.join(fixed("a1", "a")), room.join(fixed("b1", "b"))];
    room.pass(2 * DELAY);
    let joined = room.finish(tickets);
    let leader = room.join(fixed("a2", "a"));
    let told = room.joined[&leader].clone();
    assert_eq!((told.generation, told.skip_assignment, told.leader.as_str()), (1, true, "a2"));
    assert_eq!((told.members.len(), room.state()), (2, State::Stable));
    let synced = room.sync(&told, &[]);
    assert_eq!(room.synced[&synced].assignment, "a1", "what it had before");
    let old = Identity { instance_id: Some("a".to_owned()), ..identity(&joined[0]) };
    assert_eq!(room.group.heartbeat(room.now, &old), Err(ErrorCode::FencedInstanceId));
    assert_eq!(room.heartbeat(&joined[0]), Err(ErrorCode::UnknownMemberId));
    assert_eq!(room.heartbeat(&joined[1]), Ok(()));

    let older = room.join(Join { may_skip_assignment: false, ..fixed("a3", "a") });
    let told = &room.joined[&older];
    assert_eq!((told.leader.as_str(), told.skip_assignment, told.members.len()), ("a2", false, 0));
    let follower = room.join(fixed("b2", "b"));
    assert!(!room.joined[&follower].skip_assignment);
}

#[test]
fn a_static_member_keeps_its_old_id_when_the_new_one_is_not_stored() {
    let mut room = Room::new();
    let ticket = room.join(fixed("a1", "a"));
    room.pass(DELAY);
    let joined = room.finish(vec![ticket]);
    room.stores_at_once = false;
    let again = room.join(fixed("a2", "a"));
    assert!(!room.joined.contains_key(&again));
    let store = room.stores.last().unwrap();
    assert_eq!(
        (store.value.members[0].member_id.as_str(), &store.value.members[0].assignment[..]),
        ("a2", &b"a1"[..])
    );
    room.stored(store.id, Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(room.joined[&again].error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(room.heartbeat(&joined[0]), Ok(()));
}

#[test]
fn a_static_member_with_other_protocols_rebalances() {
    let mut room = Room::new();
    let ticket = room.join(fixed("a1", "a"));
    room.pass(DELAY);
    room.finish(vec![ticket]);
    let again = room.join(Join { protocols: protocols(&["sticky"]), ..fixed("a2", "a") });
    assert_eq!((room.joined[&again].generation, room.state()), (2, State::CompletingRebalance));
}

#[test]
fn a_static_member_that_is_away_is_kept_for_its_session_and_can_be_removed() {
    let mut room = Room::new();
    let tickets = vec![room.join(fixed("a1", "a")), room.join(member("b"))];
    room.pass(2 * DELAY);
    let joined = room.finish(tickets);
    room.join(Join { protocols: protocols(&["sticky"]), ..again(&joined[1]) });
    assert_eq!(room.leave(leaving("", Some("x"))), Err(ErrorCode::UnknownMemberId));
    assert_eq!(room.leave(leaving("zz", Some("a"))), Err(ErrorCode::FencedInstanceId));
    assert_eq!(room.ids(), ["a1", "b"]);
    assert_eq!(room.leave(leaving("", Some("a"))), Ok(()));
    assert_eq!(room.ids(), ["b"]);

    let mut room = Room::new();
    let long = Join { session_timeout_ms: 4 * REBALANCE, ..fixed("a1", "a") };
    let tickets = vec![room.join(long), room.join(member("b"))];
    room.pass(2 * DELAY);
    let joined = room.finish(tickets);
    let waiting = room.join(Join { protocols: protocols(&["sticky"]), ..again(&joined[1]) });
    room.pass(i64::from(REBALANCE));
    assert_eq!((room.joined[&waiting].generation, room.joined[&waiting].leader.as_str()), (2, "b"));
    assert_eq!(room.ids(), ["a1", "b"], "it has a place in the generation all the same");
}
