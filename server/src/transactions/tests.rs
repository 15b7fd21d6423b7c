//! The rules of a transactional id, one test each, on the machine of one partition.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use async_channel::Receiver;
use strandline_engine::TransactionResult::{self, Abort, Commit};
use strandline_engine::format::batch::Producer;
use strandline_engine::topics::TopicTable;
use strandline_engine::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use strandline_protocol::wire::ErrorCode;

use super::coordinator::{Adding, CoordinatorSettings, Given, Marking, TransactionCoordinator};
use super::records::Change;
use super::transaction::{ByTopic, Init, State, Transaction};
use crate::coordination::{Machine, Outcome, Record, Reply, StoreError, Stored, Turn, Write};

const ID: &str = "x";
const TIMEOUT_MS: i32 = 60_000;
const EXPIRATION_MS: i64 = 1_000_000;
const CHECK_MS: i64 = 100;
const EPOCH: LeaderEpoch = LeaderEpoch(5);
/// Levels of clients before KIP-890, and since.
const OLD: i16 = 0;
const NEW: i16 = 2;

/// A machine, the clock, and what it wants to be written or marked.
struct Room {
    machine: TransactionCoordinator,
    now: i64,
    in_flight: HashMap<String, usize>,
    writes: Vec<Write<TransactionCoordinator>>,
    markings: Receiver<Marking>,
    next_producer_id: i64,
}

type Answer<T> = Box<dyn FnOnce(Stored) -> T>;

impl Room {
    fn new() -> Room {
        Room::of(Vec::new())
    }

    /// A machine whose log says this.
    fn of(log: Vec<Change>) -> Room {
        let (markers, markings) = async_channel::unbounded();
        let settings = CoordinatorSettings {
            timeout_max_ms: 900_000,
            expiration_ms: EXPIRATION_MS,
            timeout_check_ms: CHECK_MS,
            expiration_check_ms: CHECK_MS,
            markers,
        };
        let mut machine = TransactionCoordinator::new(&settings);
        for change in log {
            let record = change.encode().expect("it is encoded");
            let read = Change::decode(&record.key, record.value.as_deref()).expect("it is read");
            machine.replay(0, Offset::ZERO, read);
        }
        let (in_flight, writes) = (HashMap::new(), Vec::new());
        let mut room = Room { machine, now: 1000, in_flight, writes, markings, next_producer_id: 100 };
        room.call(|machine, turn| machine.begin(turn));
        room
    }

    /// A new process on what this one's log says.
    fn restarted(self) -> Room {
        let transaction = self.machine.describe(ID);
        let mut room = Room::of(vec![Change { id: ID.to_owned(), transaction }]);
        (room.now, room.next_producer_id) = (self.now, self.next_producer_id);
        room
    }

    fn call<T>(
        &mut self,
        operation: impl FnOnce(&mut TransactionCoordinator, &mut Turn<'_, TransactionCoordinator>) -> T,
    ) -> T {
        let table = Rc::new(Arc::new(TopicTable::default()));
        let topics = move || table.clone();
        let mut turn = Turn::new(self.now, EPOCH, &topics, &self.in_flight);
        let result = operation(&mut self.machine, &mut turn);
        let writes = turn.into_writes();
        writes.into_iter().for_each(|write| self.start(write));
        result
    }

    fn start(&mut self, write: Write<TransactionCoordinator>) {
        *self.in_flight.entry(write.key.clone().expect("a key")).or_default() += 1;
        self.writes.push(write);
    }

    /// What was written first is durable, or is not.
    fn settle(&mut self, stored: Stored) {
        let Write { key, records, then, .. } = self.writes.remove(0);
        let key = key.expect("a key");
        self.in_flight.remove(&key);
        if stored.is_ok() {
            records.into_iter().for_each(|record| self.machine.replay(self.now, Offset::ZERO, record));
        }
        self.call(|machine, turn| machine.settled(turn, Some(&key), then, stored));
    }

    /// Asks, and leaves what is written on its way.
    fn begin<T>(&mut self, outcome: Outcome<TransactionCoordinator, T>) -> Result<T, Answer<T>> {
        match outcome {
            Outcome::Answer(answer) => Ok(answer),
            Outcome::Write(write, answer) => {
                self.start(write);
                Err(answer)
            }
        }
    }

    fn finish<T>(&mut self, outcome: Outcome<TransactionCoordinator, T>) -> T {
        match self.begin(outcome) {
            Ok(answer) => answer,
            Err(answer) => {
                self.settle(Ok(()));
                answer(Ok(()))
            }
        }
    }

    fn init(&mut self, expected: Option<Producer>) -> Result<Producer, ErrorCode> {
        let init = Init { timeout_ms: TIMEOUT_MS, expected };
        let outcome = self.call(|machine, turn| machine.init(turn, ID, &init, None));
        match self.finish(outcome)? {
            Given::Answer(producer) => Ok(producer),
            Given::NeedsProducerId => {
                let fresh = self.fresh();
                let outcome = self.call(|machine, turn| machine.init(turn, ID, &init, Some(fresh)));
                match self.finish(outcome)? {
                    Given::Answer(producer) => Ok(producer),
                    Given::NeedsProducerId => panic!("it was given one"),
                }
            }
        }
    }

    fn fresh(&mut self) -> ProducerId {
        self.next_producer_id += 1;
        ProducerId(self.next_producer_id)
    }

    fn add(&mut self, producer: Producer, level: i16) -> Result<(), ErrorCode> {
        self.add_to(producer, level, &[("t", 0)])
    }

    fn add_to(
        &mut self,
        producer: Producer,
        level: i16,
        partitions: &[(&str, i32)],
    ) -> Result<(), ErrorCode> {
        let partitions = by_topic(partitions);
        let outcome = self.call(|machine, turn| machine.add(turn, ID, producer, partitions, level));
        self.finish(outcome)
    }

    fn verify(&mut self, producer: Producer, index: i32) -> Result<(), ErrorCode> {
        let verified = self.call(|machine, _| machine.verify(ID, producer, &[("t".to_owned(), index)]));
        verified?.pop().expect("one answer to one question")
    }

    fn end(
        &mut self,
        producer: Producer,
        result: TransactionResult,
        level: i16,
    ) -> Result<Producer, ErrorCode> {
        let outcome = self.call(|machine, turn| machine.end(turn, ID, producer, result, level, None));
        match self.finish(outcome)? {
            Given::Answer(producer) => Ok(producer),
            Given::NeedsProducerId => {
                let fresh = Some(self.fresh());
                let outcome =
                    self.call(|machine, turn| machine.end(turn, ID, producer, result, level, fresh));
                match self.finish(outcome)? {
                    Given::Answer(producer) => Ok(producer),
                    Given::NeedsProducerId => panic!("it was given one"),
                }
            }
        }
    }

    /// Adds a partition when it is its turn; gives what was told so far.
    fn add_in_turn(&mut self, producer: Producer) -> impl FnMut() -> Option<Result<(), ErrorCode>> + use<> {
        let (reply, mut answer) = Reply::new();
        let adding = Adding { producer, partitions: by_topic(&[("t", 0)]), level: NEW, reply };
        self.call(|machine, turn| machine.add_in_turn(turn, ID, adding));
        let mut told = None;
        move || {
            told = told.or(answer.try_recv().ok().flatten().map(|answer| answer.expect("it is here")));
            told
        }
    }

    /// What is to be marked.
    fn marking(&mut self) -> Option<Marking> {
        self.markings.try_recv().ok()
    }

    /// All that is to be marked is, and it is written down.
    fn mark(&mut self) -> Marking {
        let marking = self.marking().expect("there is something to mark");
        let producer = marking.producer;
        let outcome = self.call(|machine, turn| machine.complete(turn, ID, producer));
        assert_eq!(self.finish(outcome), Ok(()));
        marking
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms;
        while self.machine.wake_at() <= self.now {
            self.call(|machine, turn| machine.tick(turn));
        }
    }

    fn known(&self) -> Transaction {
        self.machine.describe(ID).expect("it is known")
    }

    fn state(&self) -> State {
        self.known().state
    }

    /// A producer whose transaction is open.
    fn ongoing(level: i16) -> (Room, Producer) {
        let mut room = Room::new();
        let producer = room.init(None).unwrap();
        room.add(producer, level).unwrap();
        (room, producer)
    }

    /// A producer whose transaction has ended, and that goes on.
    fn ended(result: TransactionResult, level: i16) -> (Room, Producer) {
        let (mut room, producer) = Room::ongoing(level);
        let producer = room.end(producer, result, level).unwrap();
        room.mark();
        (room, producer)
    }

    /// A producer that has used up its epochs, in this state.
    fn exhausted(state: State) -> (Room, Producer) {
        let producer = producer(7, i16::MAX - 1);
        let partitions = if state == State::Ongoing { by_topic(&[("t", 0)]) } else { ByTopic::new() };
        let init = Init { timeout_ms: TIMEOUT_MS, expected: None };
        let first = Transaction::first(ProducerId(7), &init, 900);
        let transaction = Transaction { producer, state, partitions, started: 900, ..first };
        (Room::of(vec![Change { id: ID.to_owned(), transaction: Some(transaction) }]), producer)
    }
}

fn state_of(change: &Change) -> State {
    change.transaction.as_ref().expect("it is not forgotten").state
}

fn by_topic(partitions: &[(&str, i32)]) -> ByTopic {
    let mut all = ByTopic::new();
    for (topic, index) in partitions {
        all.entry((*topic).to_owned()).or_default().insert(*index);
    }
    all
}

fn producer(id: i64, epoch: i16) -> Producer {
    Producer { id: ProducerId(id), epoch: ProducerEpoch(epoch) }
}

/// The same producer in another epoch.
fn in_epoch(of: Producer, by: i16) -> Producer {
    Producer { epoch: ProducerEpoch(of.epoch.0 + by), ..of }
}

// ---- init -------------------------------------------------------------------------------------------------

#[test]
fn a_new_id_gets_a_producer_and_each_instance_a_higher_epoch() {
    let mut room = Room::new();
    let first = room.init(None).unwrap();
    assert_eq!(first, producer(101, 0));
    assert_eq!(room.init(None), Ok(in_epoch(first, 1)));
    assert_eq!(room.restarted().init(None), Ok(in_epoch(first, 2)));
}

#[test]
fn a_timeout_is_between_nothing_and_the_longest() {
    let mut room = Room::new();
    for timeout_ms in [i32::MIN, -1, 0, 900_001, i32::MAX] {
        let init = Init { timeout_ms, expected: None };
        let outcome = room.call(|machine, turn| machine.init(turn, ID, &init, None));
        assert_eq!(room.finish(outcome), Err(ErrorCode::InvalidTransactionTimeout), "{timeout_ms}");
    }
    for timeout_ms in [1, 900_000] {
        let init = Init { timeout_ms, expected: None };
        let fresh = room.fresh();
        let outcome = room.call(|machine, turn| machine.init(turn, ID, &init, Some(fresh)));
        assert!(room.finish(outcome).is_ok(), "{timeout_ms}");
    }
    assert_eq!(room.known().timeout_ms, 900_000, "the last counts");
}

#[test]
fn an_instance_that_goes_on_is_fenced_when_another_has_begun() {
    let mut room = Room::new();
    let first = room.init(None).unwrap();
    let second = room.init(Some(first)).unwrap();
    assert_eq!(second, in_epoch(first, 1));
    assert_eq!(room.init(Some(first)), Ok(second), "its answer got lost: it is given again");
    assert_eq!(room.init(Some(second)), Ok(in_epoch(first, 2)));
    assert_eq!(room.init(Some(first)), Err(ErrorCode::ProducerFenced), "two epochs ago");
    let other = room.init(None).unwrap();
    assert_eq!(room.init(Some(in_epoch(first, 2))), Err(ErrorCode::ProducerFenced), "another has begun");
    assert_eq!(room.init(Some(producer(5, other.epoch.0))), Err(ErrorCode::ProducerFenced), "another's id");
    assert_eq!(room.machine.report().counts.fenced, 3);
}

#[test]
fn who_goes_on_with_an_id_that_was_forgotten_gets_a_new_one() {
    let mut room = Room::new();
    assert_eq!(room.init(Some(producer(5, 3))), Ok(producer(101, 0)));
}

#[test]
fn an_open_transaction_is_aborted_before_another_instance_begins() {
    for level in [OLD, NEW] {
        let (mut room, old) = Room::ongoing(level);
        assert_eq!(room.init(None), Err(ErrorCode::ConcurrentTransactions));
        assert_eq!(room.state(), State::PrepareAbort);
        assert_eq!(room.init(None), Err(ErrorCode::ConcurrentTransactions), "its markers are on their way");
        assert_eq!(room.add(old, level), Err(ErrorCode::ProducerFenced));
        let marking = room.mark();
        assert_eq!((marking.result, marking.producer), (Abort, in_epoch(old, 2)));
        assert!(marking.is_bumped);
        assert_eq!(marking.partitions, by_topic(&[("t", 0)]));
        assert_eq!(marking.coordinator_epoch, EPOCH);
        assert_eq!(room.init(Some(old)), Err(ErrorCode::ProducerFenced), "it is not told the new epoch");
        assert_eq!(room.init(None), Ok(in_epoch(old, 3)));
    }
}

#[test]
fn who_goes_on_has_its_own_open_transaction_aborted_and_no_other() {
    let (mut room, producer) = Room::ongoing(NEW);
    let stale = in_epoch(producer, -1);
    assert_eq!(room.init(Some(stale)), Err(ErrorCode::ProducerFenced), "nobody has this epoch");
    assert_eq!(room.state(), State::Ongoing);
    assert_eq!(room.init(Some(producer)), Err(ErrorCode::ConcurrentTransactions));
    room.mark();
    assert_eq!(room.init(Some(producer)), Ok(in_epoch(producer, 2)));
}

#[test]
fn when_the_epochs_are_used_up_it_goes_on_with_another_producer_id() {
    for state in [State::Empty, State::CompleteCommit, State::CompleteAbort] {
        let (mut room, old) = Room::exhausted(state);
        assert_eq!(room.init(None), Ok(producer(101, 0)), "{state:?}");
        assert_eq!(room.init(Some(old)), Err(ErrorCode::ProducerFenced), "another instance has begun");
        let (mut room, old) = Room::exhausted(state);
        assert_eq!(room.init(Some(old)), Ok(producer(101, 0)), "{state:?}");
        assert_eq!(room.init(Some(old)), Ok(producer(101, 0)), "its answer got lost");
        assert_eq!(room.init(Some(producer(8, i16::MAX - 1))), Err(ErrorCode::ProducerFenced));
    }
    // One epoch is left to fence with.
    let (mut room, old) = Room::exhausted(State::Ongoing);
    assert_eq!(room.init(None), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(room.mark().producer, in_epoch(old, 1));
    assert_eq!(room.init(None), Ok(producer(101, 0)));
}

// ---- partitions -------------------------------------------------------------------------------------------

#[test]
fn partitions_are_added_by_the_current_instance_alone() {
    let mut room = Room::new();
    assert_eq!(room.add(producer(101, 0), OLD), Err(ErrorCode::InvalidProducerIdMapping));
    let old = room.init(None).unwrap();
    let current = room.init(None).unwrap();
    assert_eq!(room.add(old, OLD), Err(ErrorCode::ProducerFenced));
    assert_eq!(room.add(in_epoch(current, 1), OLD), Err(ErrorCode::ProducerFenced), "nor by a future one");
    assert_eq!(room.add(producer(5, 1), OLD), Err(ErrorCode::InvalidProducerIdMapping));
    assert_eq!(room.state(), State::Empty);
    assert_eq!(room.add(current, OLD), Ok(()));
    assert_eq!(room.state(), State::Ongoing);
}

#[test]
fn a_transaction_begins_with_its_first_partition_and_knows_all_of_them() {
    let mut room = Room::new();
    let producer = room.init(None).unwrap();
    room.now = 5000;
    room.add(producer, NEW).unwrap();
    room.now = 6000;
    room.add_to(producer, NEW, &[("t", 2), ("u", 0)]).unwrap();
    assert_eq!(room.known().partitions, by_topic(&[("t", 0), ("t", 2), ("u", 0)]));
    assert_eq!((room.known().started, room.known().updated, room.known().level), (5000, 6000, NEW));
    // What is known is not written again.
    let outcome =
        room.call(|machine, turn| machine.add(turn, ID, producer, by_topic(&[("t", 2), ("t", 0)]), NEW));
    assert!(matches!(outcome, Outcome::Answer(Ok(()))));
}

#[test]
fn a_partition_is_verified_when_it_was_added() {
    let (mut room, producer) = Room::ongoing(OLD);
    assert_eq!(room.verify(producer, 0), Ok(()));
    assert_eq!(room.verify(producer, 1), Err(ErrorCode::TransactionAbortable));
    assert_eq!(room.verify(in_epoch(producer, 1), 0), Err(ErrorCode::ProducerFenced));
    let other = Producer { id: ProducerId(5), ..producer };
    assert_eq!(room.verify(other, 0), Err(ErrorCode::InvalidProducerIdMapping));
    room.end(producer, Commit, OLD).unwrap();
    assert_eq!(room.verify(producer, 0), Err(ErrorCode::ConcurrentTransactions));
    room.mark();
    assert_eq!(room.verify(producer, 0), Err(ErrorCode::TransactionAbortable), "it is another transaction");
    assert_eq!(
        room.call(|machine, _| machine.verify("unknown", producer, &[])),
        Err(ErrorCode::InvalidProducerIdMapping)
    );
}

#[test]
fn nothing_changes_while_a_change_is_on_its_way() {
    let mut room = Room::new();
    let producer = room.init(None).unwrap();
    let add = |machine: &mut TransactionCoordinator, turn: &mut Turn<'_, TransactionCoordinator>| {
        machine.add(turn, ID, producer, by_topic(&[("t", 0)]), OLD)
    };
    let outcome = room.call(add);
    let Err(answer) = room.begin(outcome) else { panic!("it is to be durable first") };
    assert_eq!(room.verify(producer, 0), Err(ErrorCode::TransactionAbortable), "it could vanish");
    assert_eq!(room.add(producer, OLD), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(room.end(producer, Commit, OLD), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(room.init(None), Err(ErrorCode::ConcurrentTransactions));
    // Who is somebody else is told so.
    assert_eq!(room.add(in_epoch(producer, 1), OLD), Err(ErrorCode::ProducerFenced));
    assert_eq!(room.end(in_epoch(producer, 1), Commit, OLD), Err(ErrorCode::ProducerFenced));
    room.settle(Ok(()));
    assert_eq!(answer(Ok(())), Ok(()));
    assert_eq!(room.verify(producer, 0), Ok(()));
}

#[test]
fn d9_what_is_not_stored_has_not_happened() {
    let (mut room, producer) = Room::ongoing(NEW);
    let outcome = room.call(|machine, turn| machine.end(turn, ID, producer, Commit, NEW, None));
    let Err(answer) = room.begin(outcome) else { panic!("it is to be durable first") };
    assert_eq!(room.marking(), None, "nothing is told before it is durable");
    room.settle(Err(StoreError::Refused));
    assert_eq!(answer(Err(StoreError::Refused)), Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!((room.state(), room.marking()), (State::Ongoing, None));
    assert_eq!(room.end(producer, Commit, NEW), Ok(in_epoch(producer, 1)));
}

// ---- end, as before KIP-890 -------------------------------------------------------------------------------

#[test]
fn an_old_client_ends_in_its_epoch_and_may_say_so_twice() {
    for (result, opposite) in [(Commit, Abort), (Abort, Commit)] {
        let (mut room, producer) = Room::ongoing(OLD);
        assert_eq!(room.end(producer, result, OLD), Ok(producer));
        assert_eq!(room.end(producer, result, OLD), Err(ErrorCode::ConcurrentTransactions));
        assert_eq!(room.end(producer, opposite, OLD), Err(ErrorCode::InvalidTxnState));
        assert_eq!(room.add(producer, OLD), Err(ErrorCode::ConcurrentTransactions));
        let marking = room.mark();
        assert_eq!((marking.result, marking.producer, marking.is_bumped), (result, producer, false));
        assert_eq!(room.end(producer, result, OLD), Ok(producer));
        assert_eq!(room.end(producer, opposite, OLD), Err(ErrorCode::InvalidTxnState));
        assert_eq!(room.end(in_epoch(producer, 1), result, OLD), Err(ErrorCode::ProducerFenced));
        assert_eq!(room.known().partitions, ByTopic::new());
        assert_eq!(room.add(producer, OLD), Ok(()), "the next transaction has the same epoch");
    }
}

#[test]
fn an_old_client_ends_nothing_that_has_not_begun() {
    let mut room = Room::new();
    assert_eq!(room.end(producer(1, 0), Commit, OLD), Err(ErrorCode::InvalidProducerIdMapping));
    let producer = room.init(None).unwrap();
    for result in [Commit, Abort] {
        assert_eq!(room.end(producer, result, OLD), Err(ErrorCode::InvalidTxnState));
    }
    let other = Producer { id: ProducerId(5), ..producer };
    assert_eq!(room.end(other, Commit, OLD), Err(ErrorCode::InvalidProducerIdMapping));
    assert_eq!(room.end(in_epoch(producer, -1), Commit, OLD), Err(ErrorCode::ProducerFenced));
}

// ---- end, with KIP-890 ------------------------------------------------------------------------------------

#[test]
fn each_end_raises_the_epoch_and_a_repetition_is_answered_the_same() {
    for (result, opposite) in [(Commit, Abort), (Abort, Commit)] {
        let (mut room, producer) = Room::ongoing(NEW);
        let next = in_epoch(producer, 1);
        assert_eq!(room.end(producer, result, NEW), Ok(next));
        assert_eq!(room.end(producer, result, NEW), Err(ErrorCode::ConcurrentTransactions));
        assert_eq!(room.end(producer, opposite, NEW), Err(ErrorCode::InvalidTxnState));
        assert_eq!(room.end(next, result, NEW), Err(ErrorCode::ProducerFenced), "while it is being ended");
        let marking = room.mark();
        assert_eq!((marking.result, marking.producer, marking.is_bumped), (result, next, true));
        assert_eq!(room.end(producer, result, NEW), Ok(next), "a repetition");
        assert_eq!(room.end(producer, opposite, NEW), Err(ErrorCode::InvalidTxnState));
        let mut room = room.restarted();
        assert_eq!(room.end(producer, result, NEW), Ok(next), "a repetition after a start");
        assert_eq!(room.end(in_epoch(producer, -1), result, NEW), Err(ErrorCode::ProducerFenced));
        assert_eq!(room.add(producer, NEW), Err(ErrorCode::ProducerFenced), "what comes late");
        assert_eq!(room.add(next, NEW), Ok(()));
    }
}

#[test]
fn nothing_may_be_aborted_but_not_committed() {
    let mut room = Room::new();
    let mut current = room.init(None).unwrap();
    assert_eq!(room.end(current, Commit, NEW), Err(ErrorCode::InvalidTxnState), "Empty");
    // From Empty, CompleteAbort, and CompleteCommit.
    for from in [State::Empty, State::CompleteAbort, State::CompleteCommit] {
        if from == State::CompleteCommit {
            room.add(current, NEW).unwrap();
            current = room.end(current, Commit, NEW).unwrap();
            room.mark();
        }
        assert_eq!(room.state(), from);
        let next = room.end(current, Abort, NEW).unwrap();
        assert_eq!(next, in_epoch(current, 1), "{from:?}");
        assert_eq!(room.mark().partitions, ByTopic::new());
        assert_eq!(room.state(), State::CompleteAbort);
        assert_eq!(room.end(current, Abort, NEW), Ok(next), "a repetition");
        current = next;
    }
    assert_eq!(room.end(current, Commit, NEW), Err(ErrorCode::InvalidTxnState), "CompleteAbort");
    let (mut room, current) = Room::ended(Commit, NEW);
    assert_eq!(room.end(current, Commit, NEW), Err(ErrorCode::InvalidTxnState), "CompleteCommit");
}

#[test]
fn an_end_that_uses_up_the_epochs_goes_on_with_another_producer_id() {
    for result in [Commit, Abort] {
        let (mut room, old) = Room::exhausted(State::Ongoing);
        let next = producer(101, 0);
        assert_eq!(room.end(old, result, NEW), Ok(next));
        assert_eq!(room.known().producer, in_epoch(old, 1), "which the markers carry");
        let mut room = room.restarted();
        let marking = room.mark();
        assert_eq!((marking.producer, marking.result), (in_epoch(old, 1), result));
        assert_eq!(room.known().producer, next);
        assert_eq!(room.end(old, result, NEW), Ok(next), "a repetition");
        let mut room = room.restarted();
        assert_eq!(room.end(old, result, NEW), Ok(next), "a repetition after a start");
        assert_eq!(room.end(in_epoch(old, -1), result, NEW), Err(ErrorCode::InvalidProducerIdMapping));
        assert_eq!(room.add(next, NEW), Ok(()));
    }
}

// ---- markers ----------------------------------------------------------------------------------------------

#[test]
fn d10_an_end_that_is_decided_is_marked_again_after_a_start() {
    for (result, state) in [(Commit, State::PrepareCommit), (Abort, State::PrepareAbort)] {
        for level in [OLD, NEW] {
            let (mut room, producer) = Room::ongoing(level);
            room.end(producer, result, level).unwrap();
            let first = room.marking().expect("it is to be marked");
            let mut room = room.restarted();
            assert_eq!(room.state(), state);
            assert_eq!(room.marking(), Some(first.clone()));
            assert_eq!(room.marking(), None);
            let mut room = room.restarted();
            assert_eq!(room.mark(), first);
            assert_eq!(room.restarted().marking(), None, "it is complete");
        }
    }
}

#[test]
fn markers_that_are_written_late_complete_nothing_else() {
    let (mut room, producer) = Room::ongoing(NEW);
    let next = room.end(producer, Commit, NEW).unwrap();
    let marking = room.mark();
    room.add(next, NEW).unwrap();
    let outcome = room.call(|machine, turn| machine.complete(turn, ID, marking.producer));
    assert!(matches!(outcome, Outcome::Answer(Ok(()))));
    assert_eq!(room.state(), State::Ongoing);
    room.end(next, Abort, NEW).unwrap();
    let outcome = room.call(|machine, turn| machine.complete(turn, ID, marking.producer));
    assert!(matches!(outcome, Outcome::Answer(Ok(()))));
    assert_eq!(room.state(), State::PrepareAbort);
}

#[test]
fn the_next_transaction_begins_with_the_record_that_the_one_before_is_complete() {
    let (mut room, producer) = Room::ongoing(NEW);
    let next = room.end(producer, Commit, NEW).unwrap();
    let given_up = room.add_in_turn(next);
    let [mut first, mut second] = [room.add_in_turn(next), room.add_in_turn(next)];
    drop(given_up);
    assert_eq!(room.add(next, NEW), Err(ErrorCode::ConcurrentTransactions));
    let marked = room.marking().expect("it is to be marked").producer;
    let outcome = room.call(|machine, turn| machine.complete(turn, ID, marked));
    let Err(answer) = room.begin(outcome) else { panic!("it is to be written") };
    let states: Vec<_> = room.writes[0].records.iter().map(state_of).collect();
    assert_eq!(states, [State::CompleteCommit, State::Ongoing], "in one write");
    assert_eq!((first(), second()), (None, None), "it is on its way");
    room.settle(Ok(()));
    assert_eq!(answer(Ok(())), Ok(()));
    assert_eq!(room.state(), State::Ongoing);
    assert_eq!(
        (first(), second()),
        (Some(Ok(())), Some(Ok(()))),
        "and there is nothing left to write for the second"
    );
    assert!(room.writes.is_empty());
}

#[test]
fn nothing_begins_for_a_request_that_nobody_waits_for() {
    let (mut room, producer) = Room::ongoing(NEW);
    let next = room.end(producer, Commit, NEW).unwrap();
    drop(room.add_in_turn(next));
    let marked = room.marking().expect("it is to be marked").producer;
    let outcome = room.call(|machine, turn| machine.complete(turn, ID, marked));
    room.finish(outcome).unwrap();
    assert_eq!(room.state(), State::CompleteCommit);
}

#[test]
fn what_waits_goes_on_waiting_when_the_end_is_not_stored() {
    let (mut room, producer) = Room::ongoing(NEW);
    let next = room.end(producer, Commit, NEW).unwrap();
    let [mut first, mut second] = [room.add_in_turn(next), room.add_in_turn(next)];
    let marked = room.marking().expect("it is to be marked").producer;
    let outcome = room.call(|machine, turn| machine.complete(turn, ID, marked));
    let Err(answer) = room.begin(outcome) else { panic!("it is to be written") };
    room.settle(Err(StoreError::Refused));
    assert!(answer(Err(StoreError::Refused)).is_err());
    assert!(matches!(first(), Some(Err(_))), "it was part of the write");
    assert_eq!((second(), room.state()), (None, State::PrepareCommit));
    let outcome = room.call(|machine, turn| machine.complete(turn, ID, marked));
    room.finish(outcome).unwrap();
    assert_eq!((second(), room.state()), (Some(Ok(())), State::Ongoing));
}

#[test]
fn who_is_fenced_while_it_waits_is_told_so() {
    let (mut room, producer) = Room::ongoing(NEW);
    let next = room.end(producer, Commit, NEW).unwrap();
    let mut late = room.add_in_turn(producer);
    assert_eq!(late(), Some(Err(ErrorCode::ProducerFenced)));
    let mut waits = room.add_in_turn(next);
    assert_eq!(waits(), None);
    let (mut open, is_told) = Room::ongoing(NEW);
    assert_eq!(open.add_in_turn(is_told)(), Some(Ok(())), "nothing is being ended");
}

// ---- time -------------------------------------------------------------------------------------------------

#[test]
fn a_transaction_whose_time_is_up_is_aborted_and_its_client_fenced() {
    for level in [OLD, NEW] {
        let (mut room, producer) = Room::ongoing(level);
        room.pass(i64::from(TIMEOUT_MS));
        assert!(room.writes.is_empty(), "it has all of its time");
        room.pass(CHECK_MS);
        assert_eq!(room.end(producer, Commit, level), Err(ErrorCode::ConcurrentTransactions));
        room.settle(Ok(()));
        assert_eq!(room.state(), State::PrepareAbort);
        for result in [Commit, Abort] {
            assert_eq!(room.end(producer, result, level), Err(ErrorCode::ProducerFenced));
        }
        let marking = room.mark();
        assert_eq!((marking.result, marking.producer), (Abort, in_epoch(producer, 2)));
        for result in [Commit, Abort] {
            assert_eq!(room.end(producer, result, level), Err(ErrorCode::ProducerFenced), "no repetition");
        }
        assert_eq!(room.add(producer, level), Err(ErrorCode::ProducerFenced));
        let counts = room.machine.report().counts;
        assert_eq!((counts.committed, counts.aborted, counts.timed_out), (0, 1, 1));
        assert_eq!(room.init(Some(producer)), Ok(in_epoch(producer, 2)), "it may go on");
    }
}

#[test]
fn a_client_in_the_last_epoch_is_fenced_when_its_time_is_up_as_any_other() {
    let (mut room, old) = Room::exhausted(State::Ongoing);
    room.pass(i64::from(TIMEOUT_MS) + CHECK_MS);
    room.settle(Ok(()));
    assert_eq!(room.mark().producer, in_epoch(old, 1), "there is no other epoch");
    for result in [Commit, Abort] {
        assert_eq!(room.end(old, result, NEW), Err(ErrorCode::ProducerFenced));
    }
    assert_eq!(room.init(None), Ok(producer(101, 0)));
}

#[test]
fn a_timeout_that_is_not_stored_comes_again_with_the_next_look() {
    let (mut room, _) = Room::ongoing(NEW);
    room.pass(i64::from(TIMEOUT_MS) + CHECK_MS);
    room.settle(Err(StoreError::Refused));
    assert_eq!(room.state(), State::Ongoing);
    assert_eq!(room.machine.wake_at(), room.now + CHECK_MS);
    room.pass(CHECK_MS);
    room.settle(Ok(()));
    assert_eq!(room.state(), State::PrepareAbort);
}

#[test]
fn a_transaction_that_was_open_at_the_end_of_a_process_is_aborted_by_the_next() {
    let (room, _) = Room::ongoing(NEW);
    let mut room = room.restarted();
    room.pass(i64::from(TIMEOUT_MS) + 2 * CHECK_MS);
    room.settle(Ok(()));
    assert_eq!(room.state(), State::PrepareAbort);
}

#[test]
fn an_id_that_nobody_uses_is_forgotten() {
    for state in [State::Empty, State::CompleteCommit, State::CompleteAbort] {
        let (mut room, producer) = match state {
            State::Empty => {
                let mut room = Room::new();
                let producer = room.init(None).unwrap();
                (room, producer)
            }
            State::CompleteCommit => Room::ended(Commit, OLD),
            _ => Room::ended(Abort, OLD),
        };
        room.pass(EXPIRATION_MS - 1);
        assert!(room.writes.is_empty(), "{state:?}: not yet");
        room.pass(1 + CHECK_MS);
        assert_eq!(room.add(producer, OLD), Err(ErrorCode::ConcurrentTransactions), "it is going");
        room.settle(Ok(()));
        assert_eq!(room.machine.describe(ID), None, "{state:?}");
        assert_eq!(room.add(producer, OLD), Err(ErrorCode::InvalidProducerIdMapping));
        assert_eq!(room.machine.wake_at(), i64::MAX);
    }
}

#[test]
fn what_is_being_ended_is_neither_timed_out_nor_forgotten() {
    let (mut room, producer) = Room::ongoing(OLD);
    room.end(producer, Commit, OLD).unwrap();
    room.pass(10 * EXPIRATION_MS);
    assert!(room.writes.is_empty());
    room.mark();
    assert_eq!(room.state(), State::CompleteCommit);
}

#[test]
fn one_step_of_a_look_is_bounded() {
    let mut room = Room::new();
    for number in 0..250 {
        let id = format!("id-{number}");
        let init = Init { timeout_ms: TIMEOUT_MS, expected: None };
        let fresh = Some(room.fresh());
        let outcome = room.call(|machine, turn| machine.init(turn, &id, &init, fresh));
        room.finish(outcome).unwrap();
    }
    room.now += EXPIRATION_MS + CHECK_MS;
    let mut steps = Vec::new();
    while room.machine.wake_at() <= room.now {
        let before = room.writes.len();
        room.call(|machine, turn| machine.tick(turn));
        steps.push(room.writes.len() - before);
    }
    assert_eq!(steps, [100, 100, 50]);
}

// ---- questions --------------------------------------------------------------------------------------------

#[test]
fn a_report_counts_what_is_open_and_what_has_ended() {
    let (mut room, producer) = Room::ongoing(NEW);
    let open = room.machine.report();
    assert_eq!((open.ids, open.open, open.ending, open.oldest), (1, 1, 0, Some(1000)));
    assert_eq!(room.machine.list(room.now + 50)[0].age_ms, 50);
    let next = room.end(producer, Commit, NEW).unwrap();
    let ending = room.machine.report();
    assert_eq!((ending.open, ending.ending, ending.oldest), (0, 1, Some(1000)));
    room.mark();
    let ended = room.machine.report();
    assert_eq!((ended.open, ended.ending, ended.oldest), (0, 0, None));
    assert_eq!((ended.counts.committed, ended.counts.aborted), (1, 0));
    assert_eq!(room.machine.list(room.now)[0].age_ms, -1);
    room.end(next, Abort, NEW).unwrap();
    assert_eq!(room.machine.report().counts.aborted, 1);
}
