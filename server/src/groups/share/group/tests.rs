//! The rules of share groups, one test each.

use strandline_engine::topics::TopicTable;

use super::*;
use crate::refusal::Refusal;

fn topic(number: u8) -> TopicId {
    TopicId::from_bytes([number + 1; 16])
}

fn table(topics: &[(&str, u8, u32)]) -> Arc<TopicTable> {
    Arc::new(TopicTable::of(topics.iter().map(|(name, id, partitions)| (*name, topic(*id), *partitions))))
}

fn group() -> ShareGroup {
    let settings = ShareGroupSettings { session_timeout_ms: 1000, heartbeat_interval_ms: 100, size_max: 3 };
    ShareGroup::new("g", settings)
}

fn join(id: &str, topics: &[&str]) -> ShareHeartbeat {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    ShareHeartbeat { member_id: id.to_owned(), topics: Some(topics), ..Default::default() }
}

fn beat(id: &str, epoch: i32) -> ShareHeartbeat {
    ShareHeartbeat { member_id: id.to_owned(), epoch, ..Default::default() }
}

fn say(
    group: &mut ShareGroup,
    now: i64,
    topics: &Arc<TopicTable>,
    said: &ShareHeartbeat,
) -> Result<ShareBeat, ErrorCode> {
    let checked: Result<(), Refusal> = said.check();
    checked.map_err(|refusal| refusal.code)?;
    group.heartbeat(now, topics, said, &mut Vec::new()).map_err(|refusal| refusal.code)
}

fn partitions(beat: &ShareBeat) -> Option<Vec<i32>> {
    beat.assignment.as_ref().map(|assignment| assignment.iter().map(|(_, at)| at).collect())
}

#[test]
fn partitions_are_given_out_when_they_have_a_state_and_shared_then() {
    let (mut group, topics) = (group(), table(&[("t", 0, 2)]));
    let first = say(&mut group, 0, &topics, &join("a", &["t"])).unwrap();
    assert_eq!((first.epoch, partitions(&first)), (1, Some(vec![])));
    assert_eq!(first.stateless[&topic(0)], ("t".to_owned(), [0, 1].into()));
    assert!(!group.initialized(first.stateless).is_empty());
    let next = say(&mut group, 0, &topics, &beat("a", 1)).unwrap();
    assert_eq!((next.epoch, partitions(&next)), (2, Some(vec![0, 1])));
    assert!(next.stateless.is_empty());
    let idle = say(&mut group, 1, &topics, &beat("a", 2)).unwrap();
    assert_eq!((idle.epoch, partitions(&idle)), (2, None));
    for id in ["b", "c"] {
        say(&mut group, 1, &topics, &join(id, &["t"])).unwrap();
    }
    let all = ["a", "b", "c"].map(|id| {
        let epoch = group.members[id].epoch;
        say(&mut group, 2, &topics, &beat(id, epoch)).unwrap();
        group.members[id].assigned.len()
    });
    assert!(all.iter().all(|count| *count == 1 || *count == 2), "{all:?}: everybody has something");
    let full = say(&mut group, 2, &topics, &join("d", &["t"]));
    assert_eq!(full, Err(ErrorCode::GroupMaxSizeReached));
    // The topic grows.
    let again = beat("a", group.members["a"].epoch);
    let grown = say(&mut group, 3, &table(&[("t", 0, 3)]), &again).unwrap();
    assert_eq!(grown.stateless[&topic(0)].1, [2].into());
}

#[test]
fn epochs_fence_and_silence_ends_a_membership() {
    let (mut group, topics) = (group(), table(&[("t", 0, 2)]));
    assert_eq!(say(&mut group, 0, &topics, &beat("a", 0)), Err(ErrorCode::InvalidRequest));
    assert_eq!(say(&mut group, 0, &topics, &beat("a", -2)), Err(ErrorCode::InvalidRequest));
    assert_eq!(say(&mut group, 0, &topics, &beat("a", 1)), Err(ErrorCode::UnknownMemberId));
    say(&mut group, 0, &topics, &join("a", &["t"])).unwrap();
    assert_eq!(say(&mut group, 0, &topics, &beat("a", 5)), Err(ErrorCode::FencedMemberEpoch));
    say(&mut group, 0, &topics, &join("a", &["u"])).unwrap();
    assert_eq!(say(&mut group, 0, &topics, &beat("a", 1)).unwrap().epoch, 2, "its answer was lost");
    assert_eq!((group.state(), group.wake_at()), (State::Stable, 1000));
    assert!(group.tick(999, &topics).is_empty());
    assert!(!group.tick(1000, &topics).is_empty());
    assert_eq!((group.state(), group.size(), group.wake_at()), (State::Empty, 0, i64::MAX));
    say(&mut group, 0, &topics, &join("a", &["t"])).unwrap();
    let left = say(&mut group, 0, &topics, &beat("a", -1)).unwrap();
    assert_eq!((left.epoch, group.size()), (-1, 0));
}

#[test]
fn the_states_of_a_group_change_from_outside_while_nobody_is_in_it() {
    let (mut group, topics) = (group(), table(&[("t", 0, 2), ("u", 1, 1)]));
    let first = say(&mut group, 0, &topics, &join("a", &["t", "u"])).unwrap();
    group.initialized(first.stateless);
    assert_eq!(group.check_offsets(), Err(ErrorCode::NonEmptyGroup));
    assert_eq!(group.forget(&[topic(0)]).unwrap_err(), ErrorCode::NonEmptyGroup);
    say(&mut group, 0, &topics, &beat("a", -1)).unwrap();
    let (gone, changes) = group.forget(&[topic(0), topic(7)]).unwrap();
    assert_eq!((gone.len(), changes.len()), (1, 1));
    assert_eq!(group.states().keys().collect::<Vec<_>>(), [&topic(1)]);
    assert!(!group.sweep(&table(&[("t", 0, 2)])).is_empty());
    assert!(group.states().is_empty());
    assert!(group.sweep(&table(&[])).is_empty());
    group.bury().unwrap();
    assert_eq!(group.check_offsets(), Err(ErrorCode::GroupIdNotFound));
}

#[test]
fn a_group_out_of_its_records_is_the_group_that_wrote_them() {
    let topics = table(&[("t", 0, 3)]);
    let (mut written, mut changes) = (group(), Vec::new());
    for id in ["a", "b"] {
        written.heartbeat(0, &topics, &join(id, &["t"]), &mut changes).unwrap();
    }
    let stateless = written.stateless(&topics);
    changes.extend(written.initialized(stateless));
    for id in ["a", "b", "a"] {
        let epoch = written.members[id].epoch;
        written.heartbeat(0, &topics, &beat(id, epoch), &mut changes).unwrap();
    }
    let mut read = group();
    changes.into_iter().for_each(|change| read.load(change));
    read.resume(0);
    assert_eq!((read.epoch, read.target_epoch), (written.epoch, written.target_epoch));
    assert_eq!((&read.states, &read.targets), (&written.states, &written.targets));
    for (id, member) in &written.members {
        assert_eq!(&read.members[id], member, "{id}");
    }
}

#[test]
fn what_the_log_has_not_taken_is_written_again_with_the_next_change() {
    let topics = table(&[("t", 0, 1)]);
    let mut lost = group();
    lost.heartbeat(0, &topics, &join("a", &["t"]), &mut Vec::new()).unwrap();
    let before = lost.failures().get();
    lost.unstored();
    assert_eq!(lost.failures().get(), before + 1);
    let mut changes = Vec::new();
    lost.heartbeat(0, &topics, &join("b", &["t"]), &mut changes).unwrap();
    let mut read = group();
    changes.into_iter().for_each(|change| read.load(change));
    read.resume(0);
    assert_eq!(read.members.keys().collect::<Vec<_>>(), ["a", "b"]);
}
