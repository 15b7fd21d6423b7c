//! The same topic with transactions: some are committed, some aborted, and a crash may come at any moment of
//! them.
//!
//! * A consumer that wants committed records only is given the records of a transaction once that is to be
//!   committed, and never those of one that is to be aborted; all of them, where it is given one of a later
//!   offset (D10). It goes by what each read says of aborted transactions, and by markers, as Kafka's does.
//! * Records of an aborted transaction go at any time, and remove no other.
//! * Once all transactions are decided, the last stable offset is the high watermark.
//!
//! What is decided stays decided: a marker that was not answered is sent again, as a coordinator does.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_channel::oneshot::Receiver;

use super::Table;
use crate::crash::images::Subject;
use crate::crash::machine::Process;
use crate::error::{AppendError, ReadError};
use crate::format::batch::{self, BatchHeader, Batches};
use crate::format::marker::{EndMarker, Marker, TransactionResult};
use crate::io::latch::LatchedFile;
use crate::log::{Origin, Participation};
use crate::message::{Appended, Appending, ReadRequest};
use crate::partition::{Isolation, ReadResult, Reader};
use crate::sim::SimFile;
use crate::types::{Offset, ProducerId};

/// What a read says, and the batches that it gives.
type Read = (ReadResult<LatchedFile<SimFile>>, Bytes);

#[derive(Clone, Copy, Debug)]
struct Transaction {
    producer: ProducerId,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Records may come.
    Open,
    /// The marker is on its way, or was lost.
    Ending(Marker),
    /// The marker was answered.
    Ended(TransactionResult),
}

#[derive(Default)]
pub(super) struct Transactions {
    all: Vec<Transaction>,
    pending: Vec<(usize, Receiver<Result<Appended, AppendError>>)>,
}

impl Transactions {
    /// Nobody is told any more.
    pub(super) fn forget_answers(&mut self) {
        self.pending.clear();
    }

    pub(super) fn without_answers(&self) -> Transactions {
        Transactions { all: self.all.clone(), pending: Vec::new() }
    }

    /// How it is going to end, as far as that is decided.
    fn result(&self, number: usize) -> Option<TransactionResult> {
        match self.all[number].stage {
            Stage::Open => None,
            Stage::Ending(marker) => Some(marker.result),
            Stage::Ended(result) => Some(result),
        }
    }
}

impl Table {
    /// Whether a record is of a transaction that is to be aborted.
    pub(super) fn is_aborted(&self, number: usize) -> bool {
        let transaction = self.sent[number].transaction;
        transaction.is_some_and(|it| self.transactions.result(it) == Some(TransactionResult::Abort))
    }

    /// Whether something of the producer is not answered, or its transaction has still to end.
    pub(super) fn is_waiting(&self, id: ProducerId) -> bool {
        let open = self.producers.get(&id).and_then(|producer| producer.open);
        let is_ending = open.is_some_and(|it| self.transactions.result(it).is_some());
        is_ending || self.pending.iter().any(|(batch, _)| batch.producer == id)
    }

    /// What a transactional batch relies on: its transaction, or that it is to begin one.
    pub(super) fn origin(&mut self, process: &Process, header: &BatchHeader) -> Option<Origin> {
        let id = self.partition.expect("it was made");
        let producer = header.producer().expect("it has one");
        Some(match self.drive(process.owner(id).participation(id, producer))? {
            Ok(Participation::Absent(guard)) => Origin::Transaction(guard),
            Ok(Participation::Open) | Err(_) => Origin::Client,
        })
    }

    /// A producer begins a transaction, or ends the one that it has.
    pub(super) fn begin_or_end(&mut self, process: &Process) -> Option<()> {
        let id = ProducerId(self.rng.i64(1..4));
        let choice = self.rng.u8(..8);
        if choice > 1 || self.is_waiting(id) {
            return Some(());
        }
        let Some(producer) = self.producers.get_mut(&id) else { return Some(()) };
        let Some(number) = producer.open else {
            producer.open = Some(self.transactions.all.len());
            self.transactions.all.push(Transaction { producer: id, stage: Stage::Open });
            return Some(());
        };
        let result = if choice == 0 { TransactionResult::Commit } else { TransactionResult::Abort };
        // By the newer protocol each transaction has an epoch of its own.
        let bumped = self.rng.bool();
        if bumped {
            self.begin_epoch(id);
        }
        let epoch = self.producers[&id].epoch;
        let marker = Marker { producer: batch::Producer { id, epoch }, coordinator_epoch: 0, result, bumped };
        self.transactions.all[number].stage = Stage::Ending(marker);
        self.send_marker(process, number, marker)
    }

    fn send_marker(&mut self, process: &Process, number: usize, marker: Marker) -> Option<()> {
        let id = self.partition.expect("it was made");
        let answer = self.drive(process.owner(id).append(id, Appending::Marker(marker)))?;
        self.transactions.pending.push((number, answer));
        Some(())
    }

    pub(super) fn take_ends(&mut self) {
        for (number, mut answer) in std::mem::take(&mut self.transactions.pending) {
            match answer.try_recv() {
                Ok(None) => self.transactions.pending.push((number, answer)),
                Ok(Some(Ok(_))) => self.note_ended(number),
                Ok(Some(Err(AppendError::Stopping))) | Err(_) => {}
                Ok(Some(Err(error))) => assert!(self.errors, "nothing has failed, but: {error}"),
            }
        }
    }

    fn note_ended(&mut self, number: usize) {
        let Transaction { producer, stage } = &mut self.transactions.all[number];
        if let Stage::Ending(marker) = *stage {
            *stage = Stage::Ended(marker.result);
            self.producers.get_mut(producer).expect("it has sent").open = None;
        }
    }

    /// What the end of the process has left undecided: markers are sent again, and a transaction whose
    /// producer is not heard of any more is aborted.
    pub(super) fn decide_all(&mut self, process: &Process) -> Option<()> {
        for number in 0..self.transactions.all.len() {
            let Transaction { producer: id, stage } = self.transactions.all[number];
            let marker = match stage {
                Stage::Ended(_) => continue,
                Stage::Ending(marker) => marker,
                Stage::Open => {
                    self.begin_epoch(id);
                    let producer = batch::Producer { id, epoch: self.producers[&id].epoch };
                    Marker { producer, coordinator_epoch: 0, result: TransactionResult::Abort, bumped: true }
                }
            };
            self.transactions.all[number].stage = Stage::Ending(marker);
            let id = self.partition.expect("it was made");
            let appended = async { process.owner(id).append(id, Appending::Marker(marker)).await.await };
            self.drive(appended)?.expect("an answer").expect("the marker is taken");
            self.note_ended(number);
        }
        if self.is_transactional {
            let id = self.partition.expect("it was made");
            let read = self.drive(process.read(id, Offset::ZERO, 1))?.expect("the log can be read").0;
            assert_eq!(read.last_stable, read.high_watermark, "a transaction that nobody has is open");
        }
        Some(())
    }

    /// Reads the log as a consumer does that wants committed records only. `found` is what was there before,
    /// and still is when `quiet`.
    pub(super) fn compare_committed(
        &mut self,
        process: &Process,
        found: &BTreeMap<usize, i64>,
        quiet: bool,
    ) -> Option<()> {
        let bytes_max = self.rng.u64(1..5000);
        let (mut visible, mut next) = (BTreeMap::new(), Offset::ZERO);
        loop {
            let (result, bytes) = match self.read_committed(process, next, bytes_max)? {
                Ok(read) => read,
                Err(ReadError::Faulty { .. }) if self.errors => return Some(()),
                Err(error) => panic!("offset {next}: {error}"),
            };
            if bytes.is_empty() {
                assert_eq!(result.last_stable, next, "a read before the last stable offset finds something");
                break;
            }
            next = self.take_committed(&result, &bytes, next, &mut visible);
        }
        for number in visible.keys() {
            let transaction = self.sent[*number].transaction;
            let result = transaction.map(|it| self.transactions.result(it));
            let may_be = matches!(result, None | Some(Some(TransactionResult::Commit)));
            assert!(may_be, "record {number} of transaction {transaction:?} is shown, that is {result:?}");
        }
        if quiet {
            for (number, offset) in found.iter().filter(|(_, offset)| **offset < next.get()) {
                let is_told = visible.contains_key(number) || self.is_aborted(*number);
                assert!(is_told, "record {number} at {offset} was committed, and is left out");
            }
        }
        Some(())
    }

    fn read_committed(
        &mut self,
        process: &Process,
        offset: Offset,
        bytes_max: u64,
    ) -> Option<Result<Read, ReadError>> {
        let id = self.partition.expect("it was made");
        let reader = Reader::Consumer(Isolation::ReadCommitted);
        self.drive(process.read_as(ReadRequest { reader, ..ReadRequest::new(id, offset, bytes_max) }))
    }

    /// Takes in what one read has given, by the rules of Kafka's consumer; gives where to read on.
    fn take_committed<F>(
        &self,
        result: &ReadResult<F>,
        bytes: &[u8],
        from: Offset,
        visible: &mut BTreeMap<usize, i64>,
    ) -> Offset {
        let mut told = result.aborted.clone();
        told.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        let mut dropped = BTreeSet::new();
        let mut next = from;
        for batch in Batches::new(bytes) {
            let (header, batch) = batch.expect("a batch");
            next = header.next_offset();
            while let Some(aborted) = told.pop_if(|aborted| aborted.first_offset <= header.last_offset()) {
                dropped.insert(aborted.producer_id);
            }
            if header.is_control() {
                if EndMarker::read(batch).is_some_and(|end| end.result == TransactionResult::Abort) {
                    dropped.remove(&header.producer_id());
                }
            } else if !header.is_transactional() || !dropped.contains(&header.producer_id()) {
                self.take_batch(header, batch, from, visible);
            }
        }
        next
    }
}
