//! Transactions as an embedder uses them: a producer whose batches in several partitions count together, or
//! not at all; the embedder is the coordinator.

use std::time::Duration;

use futures_executor::block_on;
use strandline_engine::error::AppendError;
use strandline_engine::format::batch::Batches;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::types::{Offset, PartitionId, ProducerEpoch, ProducerId, Sequence};
use strandline_engine::{
    AbortedTransaction, Appended, DeleteBefore, Handle, Isolation, Marker, OffsetQuery, Origin,
    Participation, Producer, ReadRequest, ReadResult, Reader, TransactionResult,
};

use crate::support::{append, create_topic, now, start};

const COMMITTED: Reader = Reader::Consumer(Isolation::ReadCommitted);

/// A transactional producer, and its coordinator.
pub(crate) struct Transactional {
    log: Handle,
    producer: Producer,
    sequence: i32,
}

impl Transactional {
    pub(crate) fn new(log: &Handle) -> Transactional {
        let id = block_on(log.allocate_producer_id()).unwrap();
        let producer = Producer { id, epoch: ProducerEpoch::FIRST };
        Transactional { log: log.clone(), producer, sequence: 0 }
    }

    /// Sends one record, of which the coordinator says that it belongs to the transaction.
    pub(crate) fn send(&mut self, partition: PartitionId, value: &str) -> Result<Appended, AppendError> {
        let participation = block_on(self.log.participation(partition, self.producer))?;
        let origin = match participation {
            Participation::Open => Origin::Client,
            Participation::Absent(guard) => Origin::Transaction(guard),
        };
        self.send_as(partition, value, origin)
    }

    fn send_as(
        &mut self,
        partition: PartitionId,
        value: &str,
        origin: Origin,
    ) -> Result<Appended, AppendError> {
        let Producer { id, epoch } = self.producer;
        let mut batch =
            BatchBuilder::new(Codec::None).producer(id, epoch, Sequence(self.sequence)).transactional(true);
        batch.push(now(), None, Some(value.as_bytes()), &[]);
        let appended =
            block_on(async { self.log.append_as(partition, batch.build(), origin).await?.settled().await })?;
        self.sequence += 1;
        Ok(appended)
    }

    /// Ends the transaction in a partition, in the next epoch.
    pub(crate) fn end(
        &self,
        partition: PartitionId,
        result: TransactionResult,
    ) -> Result<Appended, AppendError> {
        let epoch = ProducerEpoch(self.producer.epoch.0 + 1);
        let producer = Producer { epoch, ..self.producer };
        let marker = Marker { producer, coordinator_epoch: 0, result, bumped: true };
        block_on(async { self.log.end_transaction(partition, marker).await.settled().await })
    }

    pub(crate) fn next_epoch(&mut self) {
        self.producer.epoch = ProducerEpoch(self.producer.epoch.0 + 1);
        self.sequence = 0;
    }
}

fn read(
    log: &Handle,
    partition: PartitionId,
    offset: i64,
    reader: Reader,
) -> ReadResult<strandline_engine::File> {
    let request = ReadRequest { reader, ..ReadRequest::new(partition, Offset::new(offset), 1 << 20) };
    block_on(log.read(&[request])).remove(0).expect("the log can be read")
}

/// The offset behind what a reader gets from `offset` on.
fn reads_to(log: &Handle, partition: PartitionId, offset: i64, reader: Reader) -> i64 {
    let Some(range) = read(log, partition, offset, reader).batches else { return offset };
    let bytes = range.read().unwrap();
    Batches::new(&bytes).last().map_or(offset, |batch| batch.unwrap().0.next_offset().get())
}

fn aborted(log: &Handle, partition: PartitionId, offset: i64) -> Vec<(ProducerId, i64)> {
    let aborted = read(log, partition, offset, COMMITTED).aborted;
    aborted
        .iter()
        .map(|AbortedTransaction { producer_id, first_offset }| (*producer_id, first_offset.get()))
        .collect()
}

fn latest(log: &Handle, partition: PartitionId, query: OffsetQuery) -> i64 {
    block_on(log.find_offset(partition, query, None)).unwrap().unwrap().offset.get()
}

#[test]
fn d10_a_transaction_over_two_shards_counts_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 2);
    let log = engine.handle();
    let partitions = create_topic(log, "orders", 2, &[]);
    let began = now();
    let mut producer = Transactional::new(log);
    for partition in &partitions {
        producer.sequence = 0;
        append(log, *partition, "before");
        producer.send(*partition, "part of it").unwrap();
        append(log, *partition, "behind");
        assert_eq!(reads_to(log, *partition, 0, COMMITTED), 1);
        assert_eq!(reads_to(log, *partition, 0, Reader::default()), 3);
        let ends = [OffsetQuery::LatestStable, OffsetQuery::Latest].map(|end| latest(log, *partition, end));
        assert_eq!(ends, [1, 3]);
    }
    let reports = block_on(log.reports());
    for report in reports {
        assert_eq!(report.open_transactions, 1);
        assert!(report.oldest_transaction.is_some_and(|oldest| began <= oldest && oldest <= now()));
        let lags = report.partitions.iter().map(|at| at.log_end.get() - at.last_stable.get());
        assert_eq!(lags.max(), Some(2));
    }
    producer.end(partitions[0], TransactionResult::Commit).unwrap();
    producer.end(partitions[1], TransactionResult::Abort).unwrap();
    for partition in &partitions {
        assert_eq!(reads_to(log, *partition, 0, COMMITTED), 4);
        assert_eq!(latest(log, *partition, OffsetQuery::LatestStable), 4);
    }
    assert_eq!(aborted(log, partitions[0], 0), []);
    assert_eq!(aborted(log, partitions[1], 0), [(producer.producer.id, 1)]);
    assert_eq!(read(log, partitions[1], 0, Reader::default()).aborted, [], "it reads everything");
    engine.stop().unwrap();
}

#[test]
fn d10_what_is_open_stays_open_and_what_is_decided_stays_decided_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let partition = create_topic(engine.handle(), "orders", 1, &[])[0];
    let mut open = Transactional::new(engine.handle());
    let mut ended = Transactional::new(engine.handle());
    ended.send(partition, "decided").unwrap();
    open.send(partition, "undecided").unwrap();
    ended.end(partition, TransactionResult::Abort).unwrap();
    engine.stop().unwrap();

    let engine = start(directory.path(), 1);
    let log = engine.handle();
    assert_eq!(reads_to(log, partition, 0, COMMITTED), 1);
    let found = block_on(log.producers(partition)).unwrap();
    let found: Vec<_> = found.iter().map(|found| (found.id, found.transaction_start)).collect();
    assert_eq!(found, [(open.producer.id, Some(Offset::new(1))), (ended.producer.id, None)]);
    open.log = log.clone();
    open.send_as(partition, "more of it", Origin::Client).unwrap();
    open.end(partition, TransactionResult::Commit).unwrap();
    assert_eq!(reads_to(log, partition, 0, COMMITTED), 5);
    engine.stop().unwrap();
}

#[test]
fn what_does_not_fit_a_transaction_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let log = engine.handle();
    let partition = create_topic(log, "orders", 1, &[])[0];
    let mut producer = Transactional::new(log);
    let refused = producer.send_as(partition, "nobody has vouched for it", Origin::Client);
    assert!(matches!(refused, Err(AppendError::InvalidTransactionState { transaction_start: None, .. })));

    let Ok(Participation::Absent(guard)) = block_on(log.participation(partition, producer.producer)) else {
        panic!("nothing is open");
    };
    producer.send_as(partition, "first", Origin::Transaction(guard)).unwrap();
    assert_eq!(block_on(log.participation(partition, producer.producer)).unwrap(), Participation::Open);
    producer.end(partition, TransactionResult::Abort).unwrap();
    let late = producer.send_as(partition, "late", Origin::Transaction(guard));
    assert!(matches!(late, Err(AppendError::StaleProducerEpoch { .. })), "{late:?}");
    producer.next_epoch();
    let stale = producer.send_as(partition, "an old word", Origin::Transaction(guard));
    assert!(matches!(stale, Err(AppendError::InvalidTransactionState { .. })), "{stale:?}");
    producer.send(partition, "second").unwrap();

    let producer_of_before =
        Transactional { producer: Producer { epoch: ProducerEpoch::FIRST, ..producer.producer }, ..producer };
    let twice = producer_of_before.end(partition, TransactionResult::Abort);
    assert!(
        matches!(twice, Err(AppendError::StaleProducerEpoch { .. })),
        "it would end the second: {twice:?}"
    );
    engine.stop().unwrap();
}

#[test]
fn a_reader_of_committed_records_wakes_when_the_transaction_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let log = engine.handle();
    let partition = create_topic(log, "orders", 1, &[])[0];
    let mut producer = Transactional::new(log);
    producer.send(partition, "undecided").unwrap();
    let (sender, woken) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn({
        let log = log.clone();
        move || {
            block_on(log.wait_as(COMMITTED, partition, Offset::ZERO));
            sender.send(()).unwrap();
        }
    });
    append(log, partition, "behind it");
    assert!(woken.recv_timeout(Duration::from_millis(100)).is_err(), "nothing is decided");
    producer.end(partition, TransactionResult::Commit).unwrap();
    woken.recv_timeout(Duration::from_secs(10)).expect("it may read on");
    waiting.join().unwrap();
    engine.stop().unwrap();
}

#[test]
fn records_of_an_open_transaction_can_be_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let partition = create_topic(engine.handle(), "orders", 1, &[])[0];
    let mut producer = Transactional::new(engine.handle());
    for value in ["first", "second", "third"] {
        producer.send(partition, value).unwrap();
    }
    let deleted = engine.handle().delete_records(partition, DeleteBefore::Offset(Offset::new(2)));
    assert_eq!(block_on(deleted).unwrap().get(), 2);
    assert_eq!(latest(engine.handle(), partition, OffsetQuery::LatestStable), 2);
    engine.stop().unwrap();

    let engine = start(directory.path(), 1);
    let log = engine.handle();
    assert_eq!(latest(log, partition, OffsetQuery::LatestStable), 2);
    producer.log = log.clone();
    producer.end(partition, TransactionResult::Abort).unwrap();
    assert_eq!(latest(log, partition, OffsetQuery::LatestStable), 4);
    assert_eq!(aborted(log, partition, 2), [(producer.producer.id, 0)]);
    engine.stop().unwrap();
}

/// Its records may be lost with the power, as its topic says; not that it has ended, which nobody would say
/// again.
#[test]
fn d10_a_marker_is_durable_however_relaxed_the_topic_is() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let log = engine.handle();
    let partition = create_topic(log, "orders", 1, &[("flush.messages", "1000000")])[0];
    let mut producer = Transactional::new(log);
    producer.send(partition, "relaxed").unwrap();
    let syncs = || block_on(log.stats())[0].direct_syncs;
    let before = syncs();
    producer.end(partition, TransactionResult::Commit).unwrap();
    assert_eq!(syncs(), before + 1);
    engine.stop().unwrap();
}
