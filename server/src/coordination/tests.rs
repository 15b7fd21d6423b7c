//! The rules of the runtime, one test each, with a machine that keeps numbers under names, and a log that
//! settles when it is told to.

mod transactions;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use strandline_engine::TransactionResult;
use strandline_engine::error::AppendError;
use strandline_engine::topics::TopicTable;
use strandline_engine::types::{LeaderEpoch, Offset, PartitionId, ProducerId, TopicId};
use strandline_protocol::wire::EncodeError;

use super::content::Content;
use super::machine::{Encoded, Machine, Outcome, Record, Turn, Write};
use super::reply::{Pending, Reply};
use super::runtime::{Append, LogStart, Runtime};
use super::{StoreError, Stored, Unavailable};

const PARTITION: u32 = 3;
const SECOND: LeaderEpoch = LeaderEpoch(1);

/// A number under a name, or none any more.
#[derive(Clone)]
struct Set(&'static str, Option<i64>);

impl Record for Set {
    type Error = &'static str;

    fn encode(&self) -> Result<Encoded, EncodeError> {
        if self.0 == "too long" {
            return Err(EncodeError::TooLong { length: 40_000, limit: 32_767 });
        }
        let value = self.1.map(|number| match self.0 {
            "a whole batch" => vec![0; 1 << 20].into(),
            _ => Bytes::copy_from_slice(&number.to_be_bytes()),
        });
        Ok(Encoded { key: Bytes::from_static(self.0.as_bytes()), value })
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Set, &'static str> {
        let name = ["a", "b", "c"].into_iter().find(|name| name.as_bytes() == key).ok_or("another's")?;
        let number = value.map(|value| value.try_into().map(i64::from_be_bytes).map_err(|_| "too long"));
        Ok(Set(name, number.transpose()?))
    }
}

/// Numbers under names, and what the machine was told.
#[derive(Default)]
struct Numbers {
    numbers: BTreeMap<&'static str, i64>,
    /// What open transactions have set, in the order of the log.
    pending: BTreeMap<ProducerId, Vec<(Offset, Set)>>,
    /// Where the records stand that were replayed, of a transaction or not.
    replayed: Vec<Offset>,
    told: Vec<(&'static str, Stored)>,
    parked: Vec<Reply<i64>>,
    wake_at: i64,
}

impl Machine for Numbers {
    type Settings = ();
    type Record = Set;
    type Then = &'static str;

    fn new((): &()) -> Numbers {
        Numbers { wake_at: i64::MAX, ..Numbers::default() }
    }

    fn replay(&mut self, _: i64, offset: Offset, Set(name, number): Set) {
        self.replayed.push(offset);
        match number {
            Some(number) => drop(self.numbers.insert(name, number)),
            None => drop(self.numbers.remove(name)),
        }
    }

    fn replay_pending(&mut self, _: i64, offset: Offset, producer: ProducerId, set: Set) {
        self.replayed.push(offset);
        self.pending.entry(producer).or_default().push((offset, set));
    }

    fn end_transaction(&mut self, now: i64, producer: ProducerId, result: TransactionResult) {
        let pending = self.pending.remove(&producer).unwrap_or_default();
        match result {
            TransactionResult::Commit => {
                pending.into_iter().for_each(|(offset, set)| self.replay(now, offset, set));
            }
            TransactionResult::Abort => {}
        }
    }

    fn begin(&mut self, _: &mut Turn<'_, Numbers>) {
        self.told.push(("begin", Ok(())));
    }

    fn settled(
        &mut self,
        turn: &mut Turn<'_, Numbers>,
        key: Option<&str>,
        then: &'static str,
        stored: Stored,
    ) {
        self.told.push((then, stored));
        assert!(key.is_none_or(|key| then == "first" || !turn.is_in_flight(key)), "{then}");
        if then == "again" {
            turn.write(None, vec![Set("more", Some(1))], "more");
        }
    }

    fn wake_at(&self) -> i64 {
        self.wake_at
    }

    fn tick(&mut self, turn: &mut Turn<'_, Numbers>) {
        self.told.push(("tick", Ok(())));
        self.wake_at = turn.now + 10;
    }
}

/// A runtime with one partition that has begun.
struct Room {
    runtime: Runtime<Numbers>,
    appends: Vec<Append>,
}

impl Room {
    fn new() -> Room {
        let topics = Rc::new(Arc::new(TopicTable::default()));
        let mut runtime = Runtime::new((), move || topics.clone(), 0);
        runtime.begin(id(), LeaderEpoch::FIRST, LogStart::Empty);
        Room { runtime, appends: Vec::new() }
    }

    /// Sets a number; the answer is what became of it.
    fn set(&mut self, name: &'static str, number: i64, then: &'static str) -> Pending<Stored> {
        let (key, records) = (Some(name.to_owned()), vec![Set(name, Some(number))]);
        self.write(Write { key, records, transaction: None, is_whole: false, then })
    }

    fn write(&mut self, write: Write<Numbers>) -> Pending<Stored> {
        let (reply, answer) = Reply::new();
        self.runtime.change(PARTITION, |_, _| Outcome::Write(write, Box::new(|stored| stored)), reply);
        self.appends.extend(std::iter::from_fn(|| self.runtime.next_append()));
        answer
    }

    /// Settles what was appended `at` so many writes ago; it stands where nothing is looked for.
    fn settle(&mut self, at: usize, result: Result<(), AppendError>) {
        self.settle_at(at, vec![result.map(|()| Offset::ZERO)]);
    }

    /// Settles each batch of a write, or a marker.
    fn settle_at(&mut self, at: usize, settled: Vec<Result<Offset, AppendError>>) {
        let Append { partition, term, write, content } = self.appends.remove(at);
        let count = match content {
            Content::Batches(batches) | Content::Transactional(batches, _) => batches.len(),
            Content::Marker(_) => 1,
        };
        assert_eq!((partition, count), (id(), settled.len()));
        self.runtime.settled(partition.index, term, write, settled);
        self.appends.extend(std::iter::from_fn(|| self.runtime.next_append()));
    }

    fn get(&mut self, name: &str) -> Option<i64> {
        self.runtime.call(PARTITION, |machine, _| machine.numbers.get(name).copied()).expect("it is active")
    }

    fn told(&mut self) -> Vec<(&'static str, Stored)> {
        let told = self.runtime.call(PARTITION, |machine, _| std::mem::take(&mut machine.told));
        told.expect("it is active")
    }
}

fn id() -> PartitionId {
    PartitionId::new(TopicId::from_bytes([7; 16]), PARTITION)
}

fn answered<T>(answer: &mut Pending<T>) -> Option<Result<T, Unavailable>> {
    answer.try_recv().unwrap_or(Some(Err(Unavailable::NotHere)))
}

#[test]
fn d9_memory_and_answer_change_when_the_record_is_durable_and_not_before() {
    let mut room = Room::new();
    let mut answer = room.set("a", 1, "a");
    assert_eq!((room.get("a"), answered(&mut answer)), (None, None));
    room.settle(0, Ok(()));
    assert_eq!((room.get("a"), answered(&mut answer)), (Some(1), Some(Ok(Ok(())))));
}

#[test]
fn d9_of_two_writes_the_later_one_stays_whichever_settles_first() {
    let mut room = Room::new();
    let mut answers = [room.set("a", 1, "first"), room.set("a", 2, "second")];
    room.settle(1, Ok(()));
    assert_eq!((room.get("a"), answered(&mut answers[1])), (None, None), "the log may end before it");
    room.settle(0, Ok(()));
    assert_eq!(room.get("a"), Some(2));
    assert!(answers.iter_mut().all(|answer| answered(answer) == Some(Ok(Ok(())))));
    assert_eq!(room.told()[1..], [("first", Ok(())), ("second", Ok(()))]);
}

#[test]
fn d9_a_write_that_fails_changes_nothing_and_the_next_one_does() {
    let mut room = Room::new();
    let mut answers = [room.set("a", 1, "first"), room.set("a", 2, "second"), room.set("b", 3, "b")];
    room.settle(0, Ok(()));
    room.settle(0, Err(AppendError::NoSpace(id())));
    assert_eq!(room.get("a"), Some(1));
    assert_eq!(answered(&mut answers[1]), Some(Ok(Err(StoreError::Refused))));
    room.settle(0, Ok(()));
    assert_eq!((room.get("a"), room.get("b")), (Some(1), Some(3)));
}

#[test]
fn what_cannot_be_encoded_is_refused_in_its_turn() {
    let mut room = Room::new();
    let mut answers = [room.set("a", 1, "a"), room.set("too long", 2, "too long")];
    assert_eq!(answered(&mut answers[1]), None, "it waits for its turn");
    room.settle(0, Ok(()));
    assert_eq!(answered(&mut answers[1]), Some(Ok(Err(StoreError::NameTooLong))));
    assert!(room.appends.is_empty());
}

#[test]
fn a_barrier_settles_when_everything_before_it_has_and_may_write_itself() {
    let mut room = Room::new();
    let _answer = room.set("a", 1, "a");
    let barrier = |_: &mut Numbers, turn: &mut Turn<'_, Numbers>| turn.write(None, Vec::new(), "again");
    room.runtime.call(PARTITION, barrier).expect("it is active");
    assert_eq!(room.told(), [("begin", Ok(()))]);
    room.settle(0, Ok(()));
    assert_eq!(room.told(), [("a", Ok(())), ("again", Ok(()))]);
    room.settle(0, Ok(()));
    assert_eq!((room.told(), room.get("more")), (vec![("more", Ok(()))], Some(1)));
    // With nothing before it, it settles at once.
    room.runtime.call(PARTITION, barrier).expect("it is active");
    assert_eq!(room.told(), [("again", Ok(()))]);
}

#[test]
fn a_machine_knows_which_of_its_keys_are_on_their_way() {
    let mut room = Room::new();
    let _answers = [room.set("a", 1, "first"), room.set("a", 2, "second")];
    let in_flight = |room: &mut Room| {
        room.runtime.call(PARTITION, |_, turn| (turn.is_in_flight("a"), turn.is_in_flight("b"))).unwrap()
    };
    assert_eq!(in_flight(&mut room), (true, false));
    room.settle(0, Ok(()));
    assert_eq!(in_flight(&mut room), (true, false), "one of two");
    room.settle(0, Err(AppendError::NoSpace(id())));
    assert_eq!(in_flight(&mut room), (false, false));
}

#[test]
fn a_machine_that_resigns_takes_its_waiters_with_it_and_what_was_on_its_way_settles_for_nobody() {
    let mut room = Room::new();
    let mut written = room.set("a", 1, "a");
    let (reply, mut parked) = Reply::new();
    room.runtime.wait(PARTITION, |machine, _, reply| machine.parked.push(reply), reply);
    room.runtime.resign(id(), SECOND);
    assert_eq!(answered(&mut written), Some(Err(Unavailable::NotHere)));
    assert_eq!(answered(&mut parked), Some(Err(Unavailable::NotHere)));
    assert_eq!(room.runtime.call(PARTITION, |_, _| ()), Err(Unavailable::NotHere));
    room.settle(0, Ok(()));
    assert_eq!(room.runtime.call(PARTITION, |_, _| ()), Err(Unavailable::NotHere));
}

#[test]
fn an_older_epoch_neither_begins_nor_ends_anything_and_a_newer_one_replays_the_log() {
    let mut room = Room::new();
    let mut before = room.set("a", 1, "a");
    room.runtime.begin(id(), LeaderEpoch::FIRST, LogStart::Unread);
    assert!(room.runtime.next_load().is_none(), "it has begun in this epoch");
    room.runtime.begin(id(), SECOND, LogStart::Unread);
    assert_eq!(room.runtime.call(PARTITION, |_, _| ()), Err(Unavailable::Loading));
    assert_eq!(answered(&mut before), Some(Err(Unavailable::NotHere)));
    room.runtime.resign(id(), LeaderEpoch::FIRST);
    let load = room.runtime.next_load().expect("it is to be replayed");
    let replayed = || Numbers { numbers: BTreeMap::from([("a", 5)]), ..Numbers::new(&()) };
    room.runtime.loaded(load, Ok(replayed()));
    assert_eq!(room.get("a"), Some(5));
    // The write of the epoch before has the number of the first of this one.
    let mut after = room.set("a", 6, "a");
    room.settle(0, Ok(()));
    assert_eq!((room.get("a"), answered(&mut after)), (Some(5), None), "it is another's");
    room.settle(0, Ok(()));
    assert_eq!((room.get("a"), answered(&mut after)), (Some(6), Some(Ok(Ok(())))));
    // What was replayed for an epoch that is over is not served.
    room.runtime.begin(id(), LeaderEpoch(2), LogStart::Unread);
    room.runtime.loaded(load, Ok(replayed()));
    assert_eq!(room.runtime.call(PARTITION, |_, _| ()), Err(Unavailable::Loading));
}

#[test]
fn a_machine_is_woken_when_it_wants_to_be() {
    let mut room = Room::new();
    assert_eq!(room.runtime.wake_at(), i64::MAX);
    room.runtime.call(PARTITION, |machine, _| machine.wake_at = 100).expect("it is active");
    room.runtime.tick(99);
    assert_eq!((room.runtime.wake_at(), room.told()), (100, vec![("begin", Ok(()))]));
    room.runtime.tick(100);
    assert_eq!((room.runtime.wake_at(), room.told()), (110, vec![("tick", Ok(()))]));
    room.runtime.resign(id(), SECOND);
    assert_eq!(room.runtime.wake_at(), i64::MAX, "it is gone");
}
