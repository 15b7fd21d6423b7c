//! The rules of offsets that a transaction is about to commit.

use strandline_engine::Producer;
use strandline_engine::topics::TopicSnapshot;
use strandline_engine::types::{LeaderEpoch, ProducerEpoch};

use super::*;
use crate::coordination::{Outcome, Transactional};

const A: ProducerId = ProducerId(1);
const B: ProducerId = ProducerId(2);
const COMMIT: TransactionResult = TransactionResult::Commit;
const ABORT: TransactionResult = TransactionResult::Abort;
const RETENTION: i64 = 1000;

fn topics() -> TopicSnapshot {
    Rc::new(Arc::new(TopicTable::default()))
}

/// The groups of a partition, and a log whose records are durable at once.
struct Room {
    groups: GroupCoordinator,
    next: i64,
    in_flight: HashMap<String, usize>,
}

impl Room {
    /// Groups that are served.
    fn new() -> Room {
        let mut room = Room::loading();
        room.begin();
        room
    }

    fn loading() -> Room {
        let mut groups = coordinator();
        (groups.settings.offsets_retention_ms, groups.settings.retention_check_ms) = (RETENTION, 1);
        Room { groups, next: 0, in_flight: HashMap::new() }
    }

    fn begin(&mut self) {
        self.turn(0, |groups, turn| groups.begin(turn));
    }

    /// Calls the coordinator; what it wants to be written.
    fn turn<T>(
        &mut self,
        now: i64,
        call: impl FnOnce(&mut GroupCoordinator, &mut GroupTurn<'_>) -> T,
    ) -> (T, Vec<(Vec<Change>, Then)>) {
        let mut turn = Turn::new(now, LeaderEpoch::FIRST, &topics, &self.in_flight);
        let result = call(&mut self.groups, &mut turn);
        let writes = turn.into_writes().into_iter().map(|write| (write.records, write.then));
        (result, writes.collect())
    }

    fn offset(&mut self) -> Offset {
        self.next += 1;
        Offset::new(self.next)
    }

    fn replay(&mut self, change: Change) {
        let at = self.offset();
        self.groups.replay(0, at, change);
    }

    fn replay_pending(&mut self, producer: ProducerId, change: Change) {
        let at = self.offset();
        self.groups.replay_pending(0, at, producer, change);
    }

    fn end(&mut self, producer: ProducerId, result: TransactionResult) {
        self.next += 1;
        self.groups.end_transaction(0, producer, result);
    }

    /// What is told of partition 0; "later" while it has to wait.
    fn fetch(&mut self, require_stable: bool) -> String {
        let asked = Some(vec![("t".to_owned(), vec![0])]);
        let fetch = Fetch { asked, require_stable, bytes_max: usize::MAX };
        let (reply, mut answer) = Reply::new();
        self.turn(0, |groups, turn| groups.fetch(turn, "g", fetch, reply));
        match answer.try_recv() {
            Ok(Some(Ok(Within::All(found, _)))) => match &found[0].1[0].1 {
                Ok(value) => format!("{:?}", value.as_ref().map(|value| value.offset)),
                Err(error) => error.to_string(),
            },
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) | Err(_) => "later".to_owned(),
        }
    }

    /// What goes when it is looked for what has expired.
    fn expired(&mut self, now: i64) -> Vec<Vec<Change>> {
        let ((), writes) = self.turn(now, |groups, turn| groups.tick(turn));
        writes.into_iter().map(|(records, _)| records).collect()
    }
}

#[test]
fn d10_a_pending_offset_counts_when_its_transaction_is_committed_and_never_when_it_is_aborted() {
    let mut room = Room::new();
    room.replay(offset(0, Some(5)));
    room.replay_pending(A, offset(0, Some(6)));
    assert_eq!(room.fetch(false), "Some(5)");
    room.end(A, ABORT);
    assert_eq!(room.fetch(false), "Some(5)");
    room.end(A, COMMIT);
    assert_eq!(room.fetch(false), "Some(5)", "nothing was pending any more");
    room.replay_pending(A, offset(0, Some(7)));
    room.end(A, COMMIT);
    assert_eq!(room.fetch(true), "Some(7)");
}

#[test]
fn d10_of_several_transactions_that_have_one_offset_the_later_record_counts() {
    for (ends, expected) in [([A, B], "Some(7)"), ([B, A], "Some(7)")] {
        let mut room = Room::new();
        room.replay_pending(A, offset(0, Some(6)));
        room.replay_pending(B, offset(0, Some(7)));
        room.end(ends[0], COMMIT);
        assert_ne!(room.fetch(true), expected, "the other is open");
        room.end(ends[1], COMMIT);
        assert_eq!(room.fetch(true), expected, "{ends:?}");
    }
    let mut room = Room::new();
    room.replay_pending(A, offset(0, Some(6)));
    room.replay_pending(B, offset(0, Some(7)));
    room.end(B, ABORT);
    room.end(A, COMMIT);
    assert_eq!(room.fetch(true), "Some(6)");
}

#[test]
fn d10_a_commit_behind_a_pending_offset_is_not_taken_back_by_it() {
    let mut room = Room::new();
    room.replay_pending(A, offset(0, Some(6)));
    room.replay(offset(0, Some(9)));
    room.end(A, COMMIT);
    assert_eq!(room.fetch(true), "Some(9)");
}

#[test]
fn whoever_wants_what_is_stable_is_told_that_a_partition_is_not() {
    let mut room = Room::new();
    room.replay(offset(0, Some(5)));
    room.replay_pending(A, offset(0, Some(6)));
    let unstable = ErrorCode::UnstableOffsetCommit.to_string();
    assert_eq!((room.fetch(true), room.fetch(false)), (unstable.clone(), "Some(5)".to_owned()));
    room.end(B, COMMIT);
    assert_eq!(room.fetch(true), unstable);
    room.end(A, ABORT);
    assert_eq!(room.fetch(true), "Some(5)");
    // Of other partitions it is not said.
    room.replay_pending(A, offset(1, Some(6)));
    assert_eq!(room.fetch(true), "Some(5)");
    // Without anything committed it is said as well.
    let mut room = Room::new();
    room.replay_pending(A, offset(0, Some(6)));
    assert_eq!((room.fetch(true), room.fetch(false)), (unstable, "None".to_owned()));
}

/// Its member was in the group when the offset came; whoever has its partition now would begin before it.
#[test]
fn whoever_wants_what_is_stable_waits_for_what_is_on_its_way() {
    let mut room = Room::new();
    room.replay(offset(0, Some(5)));
    room.in_flight.insert("g".to_owned(), 1);
    assert_eq!((room.fetch(true), room.fetch(false)), ("later".to_owned(), "Some(5)".to_owned()));
    let fetch = Fetch { asked: None, require_stable: true, bytes_max: usize::MAX };
    let (reply, mut answer) = Reply::new();
    let ((), mut writes) = room.turn(0, |groups, turn| groups.fetch(turn, "g", fetch, reply));
    let (records, then) = writes.pop().expect("it waits for a barrier");
    assert!(records.is_empty());
    room.replay_pending(A, offset(0, Some(6)));
    room.in_flight.clear();
    room.turn(0, |groups, turn| groups.settled(turn, Some("g"), then, Ok(())));
    let Ok(Some(Ok(Within::All(found, _)))) = answer.try_recv() else { panic!("it is answered") };
    assert_eq!(found[0].1, [(0, Err(ErrorCode::UnstableOffsetCommit))]);
}

#[test]
fn a_deleted_offset_is_pending_no_more() {
    let mut room = Room::new();
    for producer in [A, B] {
        room.replay_pending(producer, offset(0, Some(6)));
    }
    room.replay(offset(0, None));
    room.replay_pending(B, offset(0, Some(8)));
    room.end(A, COMMIT);
    assert_eq!(room.fetch(false), "None");
    room.end(B, COMMIT);
    assert_eq!(room.fetch(false), "Some(8)", "it came later");
}

#[test]
fn nothing_expires_that_a_transaction_is_about_to_change() {
    let mut room = Room::new();
    room.replay(offset(0, Some(5)));
    room.replay(offset(1, Some(5)));
    room.replay_pending(A, offset(0, Some(6)));
    assert_eq!(room.expired(RETENTION), [vec![offset(1, None)]]);
    room.end(A, ABORT);
    let gone = room.expired(RETENTION + 10);
    assert_eq!(gone, [Vec::new()], "the group goes with all that it has");
}

#[test]
fn a_group_that_has_nothing_but_pending_offsets_does_not_go() {
    let mut room = Room::new();
    room.replay_pending(A, offset(0, Some(6)));
    assert_eq!((room.expired(RETENTION), room.groups.count()), (Vec::new(), 1));
    room.turn(0, |groups, turn| groups.settled(turn, Some("g"), Then::Nothing, Ok(())));
    assert_eq!(room.groups.count(), 1);
    room.end(A, ABORT);
    assert_eq!(room.expired(RETENTION + 10), [Vec::new()]);
}

#[test]
fn a_group_is_deleted_with_its_pending_offsets() {
    let mut room = Room::new();
    room.replay(offset(0, Some(5)));
    for producer in [A, B] {
        room.replay_pending(producer, offset(0, Some(6)));
        room.replay_pending(producer, offset(1, Some(6)));
    }
    let (reply, _answer) = Reply::new();
    let ((), mut writes) = room.turn(0, |groups, turn| groups.delete(turn, "g", reply));
    let (_, inter) = writes.pop().expect("it waits for a barrier");
    let ((), mut writes) = room.turn(0, |groups, turn| groups.settled(turn, Some("g"), inter, Ok(())));
    let (records, interred) = writes.pop().expect("it is written");
    assert_eq!(records, [offset(0, None), offset(1, None), group(None)], "each once");
    records.into_iter().for_each(|record| room.replay(record));
    room.turn(0, |groups, turn| groups.settled(turn, Some("g"), interred, Ok(())));
    room.end(A, COMMIT);
    assert_eq!((room.groups.count(), room.fetch(false)), (0, "None".to_owned()));
}

#[test]
fn the_pending_offsets_of_a_deleted_topic_go_with_it() {
    let mut room = Room::new();
    room.replay(offset(0, Some(5)));
    room.replay_pending(A, offset(1, Some(6)));
    let ((), writes) = room.turn(0, |groups, turn| groups.sweep(turn));
    let records: Vec<_> = writes.into_iter().flat_map(|(records, _)| records).collect();
    assert_eq!(records, [offset(0, None), offset(1, None)]);
}

#[test]
fn d10_a_transaction_that_was_open_when_the_log_ended_is_open_when_it_was_loaded() {
    let mut room = Room::loading();
    room.replay_pending(A, offset(0, Some(6)));
    room.replay_pending(B, offset(1, Some(7)));
    room.end(B, ABORT);
    room.begin();
    assert_eq!(room.groups.count(), 1);
    assert_eq!(room.fetch(true), ErrorCode::UnstableOffsetCommit.to_string());
    room.turn(0, |groups, turn| groups.settled(turn, Some("g"), Then::Nothing, Ok(())));
    room.end(A, COMMIT);
    assert_eq!(room.fetch(true), "Some(6)");
    // Where all of them were aborted nothing is left.
    let mut room = Room::loading();
    room.replay_pending(A, offset(0, Some(6)));
    room.end(A, ABORT);
    room.begin();
    assert_eq!(room.groups.count(), 0);
}

#[test]
fn a_group_that_does_not_exist_is_made_for_who_is_no_member_and_refused_to_a_member() {
    let mut room = Room::new();
    let producer = Producer { id: A, epoch: ProducerEpoch(0) };
    let transaction = Some(Transactional { producer, verified: None });
    let mut commit = |generation| {
        let identity = Identity { generation, ..Identity::default() };
        let offsets = vec![("t".to_owned(), vec![(0, OffsetValue::default())])];
        let commit = Commit { identity, unknown: ErrorCode::IllegalGeneration, offsets, transaction };
        let (outcome, _) = room.turn(0, |groups, turn| groups.commit(turn, "new", commit));
        match outcome {
            Outcome::Answer(answer) => answer,
            Outcome::Write(..) => panic!("there are no topics"),
        }
    };
    assert_eq!(commit(0), Err(ErrorCode::IllegalGeneration));
    // It gets past that.
    assert_eq!(commit(-1).unwrap()[0].1, [(0, ErrorCode::UnknownTopicOrPartition)]);
}
