//! Which state of a share partition gives way to which, on the machine of one partition.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::types::LeaderEpoch;

use super::*;

const LEADER: i32 = 7;

/// A machine whose log takes everything at once.
struct Room {
    machine: ShareCoordinator,
    topics: Arc<TopicTable>,
}

impl Room {
    fn new() -> Room {
        let topics = Arc::new(TopicTable::of([("t", TopicId::from_bytes([7; 16]), 1)]));
        let machine = ShareCoordinator::new(&CoordinatorSettings { updates_max: 10 });
        Room { machine, topics }
    }

    fn ask<T>(
        &mut self,
        operation: impl FnOnce(&mut ShareCoordinator, &ShareTurn<'_>) -> Answered<T>,
    ) -> Result<T, ErrorCode> {
        let (table, in_flight) = (Rc::new(self.topics.clone()), HashMap::new());
        let topics = move || table.clone();
        let turn = Turn::new(1000, LeaderEpoch(0), &topics, &in_flight);
        match operation(&mut self.machine, &turn) {
            Outcome::Answer(answer) => answer,
            Outcome::Write(write, answer) => {
                let records = write.records.into_iter();
                records.for_each(|record| self.machine.replay(1000, Offset::ZERO, record));
                answer(Ok(()))
            }
        }
    }

    fn initialize(&mut self, replaces: Replaces) -> Result<(), ErrorCode> {
        self.ask(|machine, turn| machine.initialize(turn, &key(), 2, UNINITIALIZED, replaces))
    }

    fn summary(&self) -> Summary {
        self.machine.summary(&key()).expect("there is one")
    }

    /// Members are given records, and acknowledge those before `start`.
    fn use_up_to(&mut self, start: i64) {
        let stored = self.ask(|machine, turn| machine.read(turn, &key(), LEADER)).unwrap();
        let change = StateWrite { start, batches: Vec::new(), done: 0 };
        self.ask(|machine, turn| machine.write(turn, &key(), stored.state_epoch, LEADER, &change)).unwrap();
    }
}

fn key() -> ShareKey {
    ShareKey { group: "g".to_owned(), topic: TopicId::from_bytes([7; 16]), partition: 0 }
}

#[test]
fn d9_members_that_come_at_once_do_not_undo_what_one_of_them_has_acknowledged() {
    let mut room = Room::new();
    assert_eq!(room.initialize(Replaces::Unused), Ok(()));
    // The second one was told, too, that the group has no state here; nobody has used it yet.
    let stored = room.ask(|machine, turn| machine.read(turn, &key(), LEADER)).unwrap();
    assert_eq!(room.initialize(Replaces::Unused), Ok(()));
    let change = StateWrite { start: 3, batches: Vec::new(), done: 0 };
    let written = room.ask(|machine, turn| machine.write(turn, &key(), stored.state_epoch, LEADER, &change));
    assert_eq!(written, Ok(()), "whoever serves it is not fenced by that");
    // And the third, so late that records were acknowledged.
    assert_eq!(room.initialize(Replaces::Unused), Err(ErrorCode::FencedStateEpoch));
    assert_eq!(room.summary().start, 3);
}

#[test]
fn what_a_group_of_the_same_name_has_left_gives_way_once() {
    let mut room = Room::new();
    room.initialize(Replaces::Unused).unwrap();
    room.use_up_to(3);
    let left = room.summary();
    assert_eq!(room.initialize(Replaces::Version(left.version)), Ok(()));
    assert_eq!(room.summary().start, UNINITIALIZED);
    let late = StateWrite { start: 4, batches: Vec::new(), done: 0 };
    let written = room.ask(|machine, turn| machine.write(turn, &key(), 2, LEADER, &late));
    assert_eq!(written, Err(ErrorCode::FencedStateEpoch), "whoever served the one before is fenced");
    room.use_up_to(5);
    // Another member has seen the same, and is late.
    assert_eq!(room.initialize(Replaces::Version(left.version)), Err(ErrorCode::FencedStateEpoch));
    assert_eq!(room.summary().start, 5);
    // An administrator moves the group whatever there is.
    assert_eq!(room.initialize(Replaces::Any), Ok(()));
    assert_eq!(room.summary().start, UNINITIALIZED);
}

#[test]
fn a_state_that_was_made_since_is_not_deleted() {
    let mut room = Room::new();
    room.initialize(Replaces::Unused).unwrap();
    let before = room.summary().version;
    // A member comes to the group while it is being deleted, and finds what is there unused.
    room.initialize(Replaces::Unused).unwrap();
    let deleted = room.ask(|machine, turn| machine.delete(turn, &key(), before));
    assert_eq!(deleted, Err(ErrorCode::FencedStateEpoch));
    let now = room.summary().version;
    assert_eq!(room.ask(|machine, turn| machine.delete(turn, &key(), now)), Ok(()));
    assert_eq!(room.machine.summary(&key()), None);
    assert_eq!(room.ask(|machine, turn| machine.delete(turn, &key(), now)), Ok(()), "it is gone already");
}
