//! The rules of writes that are part of a transaction, and of the markers that end one.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use strandline_engine::error::TopicError;
use strandline_engine::format::batch::{BatchHeader, Batches, stamp};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::topics::{NewTopic, Topic, TopicSnapshot};
use strandline_engine::types::{ProducerEpoch, Sequence, Timestamp};
use strandline_engine::{Marker, Participation, Producer};

use super::*;
use crate::coordination::load::load;
use crate::coordination::{Partitions, RecordsError, Transactional};

const PRODUCER: Producer = Producer { id: ProducerId(7), epoch: ProducerEpoch(3) };
const OTHER: Producer = Producer { id: ProducerId(8), epoch: ProducerEpoch(0) };

fn marker(producer: Producer, result: TransactionResult) -> Marker {
    Marker { producer, coordinator_epoch: 0, result, bumped: false }
}

impl Room {
    /// Sets numbers as part of a transaction.
    fn set_in(&mut self, producer: Producer, sets: &[(&'static str, i64)]) -> Pending<Stored> {
        let records = sets.iter().map(|(name, number)| Set(name, Some(*number))).collect();
        self.write(Write {
            key: None,
            records,
            transaction: Some(Transactional { producer, verified: None }),
            is_whole: false,
            then: "in",
        })
    }

    fn end(&mut self, producer: Producer, result: TransactionResult) -> Pending<Result<(), AppendError>> {
        let (reply, answer) = Reply::new();
        self.runtime.end_transaction(PARTITION, marker(producer, result), reply);
        self.appends.extend(std::iter::from_fn(|| self.runtime.next_append()));
        answer
    }

    fn has_ended(answer: &mut Pending<Result<(), AppendError>>) -> Option<bool> {
        answered(answer).map(|ended| ended.expect("it is coordinated here").is_ok())
    }
}

fn at(offset: i64) -> Vec<Result<Offset, AppendError>> {
    vec![Ok(Offset::new(offset))]
}

#[test]
fn d10_a_record_of_a_transaction_counts_when_the_marker_of_its_commit_is_durable() {
    let mut room = Room::new();
    let mut written = room.set_in(PRODUCER, &[("a", 1), ("b", 2)]);
    room.settle_at(0, at(10));
    assert_eq!(answered(&mut written), Some(Ok(Ok(()))), "it is durable, which is all that it says");
    assert_eq!((room.get("a"), room.get("b")), (None, None));
    let mut ended = room.end(PRODUCER, TransactionResult::Commit);
    assert_eq!((room.get("a"), Room::has_ended(&mut ended)), (None, None));
    room.settle_at(0, at(12));
    assert_eq!((room.get("a"), room.get("b")), (Some(1), Some(2)));
    assert_eq!(Room::has_ended(&mut ended), Some(true));
}

#[test]
fn d10_a_record_of_a_transaction_that_is_aborted_never_counts_and_those_of_others_are_left_alone() {
    let mut room = Room::new();
    let _answers = [room.set_in(PRODUCER, &[("a", 1)]), room.set_in(OTHER, &[("b", 2)])];
    room.settle_at(0, at(0));
    room.settle_at(0, at(1));
    let _ended =
        [room.end(PRODUCER, TransactionResult::Abort), room.end(PRODUCER, TransactionResult::Commit)];
    room.settle_at(0, at(2));
    room.settle_at(0, at(3));
    assert_eq!((room.get("a"), room.get("b")), (None, None));
    let _ended = room.end(OTHER, TransactionResult::Commit);
    room.settle_at(0, at(4));
    assert_eq!((room.get("a"), room.get("b")), (None, Some(2)));
}

#[test]
fn d10_a_marker_ends_what_was_appended_before_it_whichever_settles_first() {
    let mut room = Room::new();
    let _before = room.set_in(PRODUCER, &[("a", 1)]);
    let mut ended = room.end(PRODUCER, TransactionResult::Commit);
    let _after = room.set_in(PRODUCER, &[("b", 2)]);
    room.settle_at(2, at(3));
    room.settle_at(1, at(2));
    assert_eq!(Room::has_ended(&mut ended), None, "what it ends may not be there");
    room.settle_at(0, at(1));
    assert_eq!(Room::has_ended(&mut ended), Some(true));
    assert_eq!((room.get("a"), room.get("b")), (Some(1), None), "the later one is of another transaction");
}

#[test]
fn d9_a_marker_that_is_refused_changes_nothing_and_its_asker_hears_why() {
    let mut room = Room::new();
    let _written = room.set_in(PRODUCER, &[("a", 1)]);
    room.settle_at(0, at(1));
    let mut ended = room.end(PRODUCER, TransactionResult::Commit);
    room.settle_at(0, vec![Err(AppendError::NoSpace(id()))]);
    assert_eq!(Room::has_ended(&mut ended), Some(false));
    assert_eq!(room.get("a"), None);
    let _ended = room.end(PRODUCER, TransactionResult::Commit);
    room.settle_at(0, at(2));
    assert_eq!(room.get("a"), Some(1), "it was told again");
}

#[test]
fn a_producer_of_an_older_epoch_is_told_so() {
    let mut room = Room::new();
    let mut written = room.set_in(PRODUCER, &[("a", 1)]);
    let (producer_id, current, found) = (PRODUCER.id, ProducerEpoch(4), PRODUCER.epoch);
    room.settle_at(0, vec![Err(AppendError::StaleProducerEpoch { producer_id, current, found })]);
    assert_eq!(answered(&mut written), Some(Ok(Err(StoreError::StaleProducer))));
    let _ended = room.end(PRODUCER, TransactionResult::Commit);
    room.settle_at(0, at(2));
    assert_eq!(room.get("a"), None);
}

#[test]
fn the_batches_of_a_transaction_say_so_and_others_do_not() {
    let mut room = Room::new();
    let _answers = [room.set("a", 1, "a"), room.set_in(PRODUCER, &[("a", 1)])];
    let heads = room.appends.iter().map(|append| match &append.content {
        Content::Batches(batches) => (false, *BatchHeader::peek(&batches[0]).unwrap()),
        Content::Transactional(batches, _) => (true, *BatchHeader::peek(&batches[0]).unwrap()),
        Content::Marker(_) => panic!("nothing has ended"),
    });
    let said = heads.map(|(is, head)| (is, head.is_transactional(), head.producer(), head.base_sequence()));
    let said: Vec<_> = said.collect();
    assert_eq!(said, [(false, false, None, Sequence::NONE), (true, true, Some(PRODUCER), Sequence(0))]);
}

#[test]
fn a_record_is_replayed_with_its_own_offset() {
    let mut room = Room::new();
    let sets = ["a", "b", "c"].map(|name| Set(name, Some(1)));
    let write = Write { key: None, records: sets.to_vec(), transaction: None, is_whole: false, then: "all" };
    let _answers = [room.write(write), room.set_in(PRODUCER, &[("a", 1), ("b", 2)])];
    room.settle_at(0, at(20));
    room.settle_at(0, at(30));
    let replayed = room.runtime.call(PARTITION, |machine, _| std::mem::take(&mut machine.replayed));
    assert_eq!(replayed.unwrap(), [20, 21, 22, 30, 31].map(Offset::new));
}

#[test]
fn d9_of_a_write_in_several_batches_memory_has_what_is_durable() {
    let mut room = Room::new();
    let records = ["a whole batch", "a", "b"].map(|name| Set(name, Some(1))).to_vec();
    let mut answer =
        room.write(Write { key: None, records, transaction: None, is_whole: false, then: "some" });
    room.settle_at(0, vec![Err(AppendError::NoSpace(id())), Ok(Offset::new(5))]);
    assert_eq!(answered(&mut answer), Some(Ok(Err(StoreError::Refused))));
    assert_eq!((room.get("a whole batch"), room.get("a"), room.get("b")), (None, Some(1), Some(1)));
}

#[test]
fn nobody_ends_a_transaction_where_the_partition_is_not_coordinated() {
    let mut room = Room::new();
    let mut on_its_way = room.end(PRODUCER, TransactionResult::Commit);
    room.runtime.resign(id(), SECOND);
    assert!(matches!(answered(&mut on_its_way), Some(Err(Unavailable::NotHere))));
    let mut late = room.end(PRODUCER, TransactionResult::Commit);
    assert!(matches!(answered(&mut late), Some(Err(Unavailable::NotHere))));
    room.runtime.begin(id(), LeaderEpoch(2), LogStart::Unread);
    let mut early = room.end(PRODUCER, TransactionResult::Commit);
    assert!(matches!(answered(&mut early), Some(Err(Unavailable::Loading))));
}

// ---- loading ----------------------------------------------------------------------------------------------

/// A log that can be read and nothing else.
#[derive(Clone, Default)]
struct Written(Vec<u8>);

impl Written {
    fn batch(mut self, batch: BatchBuilder) -> Written {
        let last = Batches::new(&self.0).last().map(|batch| batch.unwrap().0.next_offset());
        let mut batch = batch.build();
        stamp(&mut batch, last.unwrap_or(Offset::ZERO), LeaderEpoch::FIRST);
        self.0.extend_from_slice(&batch);
        self
    }

    fn set(self, transaction: Option<Producer>, name: &str, number: i64) -> Written {
        let batch = BatchBuilder::new(Codec::None);
        let mut batch = match transaction {
            Some(Producer { id, epoch }) => batch.producer(id, epoch, Sequence(0)).transactional(true),
            None => batch,
        };
        batch.push(Timestamp(0), Some(name.as_bytes()), Some(&number.to_be_bytes()), &[]);
        self.batch(batch)
    }

    /// The end of a transaction, of this type.
    fn marker(self, Producer { id, epoch }: Producer, kind: u8) -> Written {
        let batch = BatchBuilder::new(Codec::None).producer(id, epoch, Sequence::NONE);
        let mut batch = batch.transactional(true).control(true);
        batch.push(Timestamp(0), Some(&[0, 0, 0, kind]), Some(&[0; 6]), &[]);
        self.batch(batch)
    }

    fn loaded(self) -> Numbers {
        let loading = load::<Numbers>(&self, id(), &());
        loading.now_or_never().expect("nothing waits").expect("it can be read")
    }
}

impl Partitions for Written {
    type Pending = ();

    fn index(&self) -> usize {
        0
    }

    fn shards(&self) -> usize {
        1
    }

    fn topics(&self) -> TopicSnapshot {
        Rc::new(Arc::new(TopicTable::default()))
    }

    async fn create_topic(&self, _: NewTopic) -> Result<Arc<Topic>, TopicError> {
        Err(TopicError::Stopping)
    }

    async fn allocate_producer_id(&self) -> Result<ProducerId, TopicError> {
        Err(TopicError::Stopping)
    }

    async fn append(&self, _: PartitionId, _: BytesMut) -> Result<(), AppendError> {
        Err(AppendError::Stopping)
    }

    async fn append_transactional(
        &self,
        _: PartitionId,
        _: BytesMut,
        _: Option<Participation>,
    ) -> Result<(), AppendError> {
        Err(AppendError::Stopping)
    }

    async fn end_transaction(&self, _: PartitionId, _: Marker) -> Result<(), AppendError> {
        Err(AppendError::Stopping)
    }

    async fn settled((): ()) -> Result<Offset, AppendError> {
        Err(AppendError::Stopping)
    }

    async fn read(&self, _: PartitionId, offset: Offset, _: u64) -> Result<Bytes, RecordsError> {
        let mut batches = Batches::new(&self.0);
        let mut from = 0;
        while let Some(Ok((header, _))) = batches.next()
            && header.next_offset() <= offset
        {
            from = batches.consumed();
        }
        Ok(Bytes::copy_from_slice(&self.0[from..]))
    }

    fn clock(&self) -> impl Fn() -> i64 + 'static {
        || 0
    }

    fn sleep(&self, _: Duration) -> impl Future<Output = ()> + 'static {
        std::future::ready(())
    }

    async fn yield_if_needed(&self) {}
}

#[test]
fn d10_what_a_log_has_of_transactions_is_replayed_as_it_was_when_they_happened() {
    let (abort, commit) = (0, 1);
    let log = Written::default()
        .set(Some(PRODUCER), "a", 1)
        .set(Some(OTHER), "b", 2)
        .set(None, "c", 3)
        .marker(PRODUCER, commit)
        .set(Some(PRODUCER), "c", 4)
        .marker(OTHER, abort);
    let loaded = log.clone().loaded();
    assert_eq!(loaded.numbers, BTreeMap::from([("a", 1), ("c", 3)]));
    let pending: Vec<_> = loaded.pending.into_iter().map(|(of, sets)| (of, sets[0].0)).collect();
    assert_eq!(pending, [(PRODUCER.id, Offset::new(4))], "its transaction is open");
    let ended = log.marker(PRODUCER, commit).loaded();
    assert_eq!(ended.numbers, BTreeMap::from([("a", 1), ("c", 4)]));
}

#[test]
fn what_a_log_marks_besides_the_end_of_transactions_ends_none() {
    let unknown = 2;
    let loaded = Written::default().set(Some(PRODUCER), "a", 1).marker(PRODUCER, unknown).loaded();
    assert_eq!((loaded.numbers.len(), loaded.pending.len()), (0, 1));
}

#[test]
fn a_partition_goes_on_with_the_transactions_that_were_open_when_its_log_ended() {
    let mut room = Room::new();
    room.runtime.begin(id(), SECOND, LogStart::Unread);
    let load = room.runtime.next_load().expect("it is to be replayed");
    room.runtime.loaded(load, Ok(Written::default().set(Some(PRODUCER), "a", 1).loaded()));
    assert_eq!(room.get("a"), None);
    let _ended = room.end(PRODUCER, TransactionResult::Commit);
    room.settle_at(0, at(1));
    assert_eq!(room.get("a"), Some(1));
}
