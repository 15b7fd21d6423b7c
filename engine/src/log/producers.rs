//! What a partition remembers of its idempotent and transactional producers.
//!
//! Per producer: the newest epoch and the last five batches, so that a batch that is sent again after a lost
//! answer is recognised and answered with its first offset (Kafka's rules; five is the most that a producer
//! has in flight); and where its open transaction begins, and the last one ended. The state belongs to the
//! log: it is rebuilt from batch headers and markers, and kept in the shard's checkpoint.

use std::collections::{HashMap, HashSet, VecDeque};

use super::transactions::{Change, OpenTransactions, Origin, Participation, VerificationGuard};
use crate::compaction::LastOfProducer;
use crate::error::AppendError;
use crate::format::aborted::AbortedRow;
use crate::format::batch::{BatchHeader, Producer};
use crate::format::checkpoint::{ProducerBatch, ProducerCheckpoint};
use crate::format::marker::{EndMarker, Marker, TransactionResult};
use crate::types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Batches remembered per producer.
const WINDOW: usize = 5;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProducerState {
    epoch: ProducerEpoch,
    last_timestamp: Timestamp,
    batches: VecDeque<ProducerBatch>,
    /// Where its open transaction begins.
    open: Option<Offset>,
    /// Where its last marker stands, and the epoch of the coordinator that has written it.
    marker: Option<Offset>,
    coordinator_epoch: Option<i32>,
}

/// An idempotent or transactional producer that a partition remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub id: ProducerId,
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// The sequence of its last record; `None` when it has appended none in this epoch.
    pub last_sequence: Option<Sequence>,
    /// The largest timestamp of its records.
    pub last_timestamp: Timestamp,
    /// The epoch of the coordinator that has ended its last transaction here; `None` when that is not known.
    pub coordinator_epoch: Option<i32>,
    /// The offset of the first record of its open transaction.
    pub transaction_start: Option<Offset>,
}

/// What the sequence of a batch says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequenceCheck {
    /// It continues what is there.
    New,
    /// It was appended before.
    Duplicate { base_offset: Offset, timestamp: Timestamp },
}

/// The producers of one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    states: HashMap<ProducerId, ProducerState>,
    open: OpenTransactions,
}

impl Producers {
    pub(crate) fn from_checkpoint(rows: &[ProducerCheckpoint]) -> Producers {
        let mut producers = Producers::default();
        for row in rows {
            if let Some(first) = row.open {
                producers.open.insert(first, row.id, row.last_timestamp);
            }
            let state = ProducerState {
                epoch: row.epoch,
                last_timestamp: row.last_timestamp,
                batches: row.batches.iter().copied().collect(),
                open: row.open,
                marker: row.marker,
                coordinator_epoch: row.coordinator_epoch,
            };
            producers.states.insert(row.id, state);
        }
        producers
    }

    pub(crate) fn to_checkpoint(&self) -> Vec<ProducerCheckpoint> {
        let mut producers: Vec<_> = self
            .states
            .iter()
            .map(|(id, state)| ProducerCheckpoint {
                id: *id,
                epoch: state.epoch,
                last_timestamp: state.last_timestamp,
                batches: state.batches.iter().copied().collect(),
                open: state.open,
                marker: state.marker,
                coordinator_epoch: state.coordinator_epoch,
            })
            .collect();
        producers.sort_unstable_by_key(|producer| producer.id);
        producers
    }

    /// What compaction has to leave of each producer.
    pub(crate) fn last_of_each(&self) -> HashMap<ProducerId, LastOfProducer> {
        let last = |(id, state): (&ProducerId, &ProducerState)| {
            let offset = state.batches.back().map(last_offset);
            (*id, LastOfProducer { epoch: state.epoch, offset })
        };
        self.states.iter().map(last).collect()
    }

    /// What is remembered of each, by id.
    pub(crate) fn active(&self) -> Vec<ActiveProducer> {
        let mut active: Vec<_> = self
            .states
            .iter()
            .map(|(id, state)| ActiveProducer {
                id: *id,
                epoch: state.epoch,
                last_sequence: state.batches.back().map(|batch| batch.last_sequence),
                last_timestamp: state.last_timestamp,
                coordinator_epoch: state.coordinator_epoch,
                transaction_start: state.open,
            })
            .collect();
        active.sort_unstable_by_key(|producer| producer.id);
        active
    }

    /// Where the first open transaction begins.
    pub(crate) fn first_open(&self) -> Option<Offset> {
        self.open.first()
    }

    /// How many transactions are open, and the smallest timestamp with which one began.
    pub(crate) fn open_transactions(&self) -> (u64, Option<Timestamp>) {
        self.open.summary()
    }

    /// Whether a transaction of this producer is open.
    pub(crate) fn participation(&self, producer: Producer) -> Participation {
        let state = self.states.get(&producer.id);
        match state.is_some_and(|state| state.epoch == producer.epoch && state.open.is_some()) {
            true => Participation::Open,
            false => Participation::Absent(VerificationGuard::behind(state.and_then(|state| state.marker))),
        }
    }

    /// Forgets the producers that were silent since `before`, unless a transaction of theirs is open: its end
    /// is still to come.
    pub(crate) fn expire(&mut self, before: Timestamp) {
        self.states.retain(|_, state| state.open.is_some() || state.last_timestamp >= before);
    }

    /// Notes an appended batch; `marker` is what a control batch says. Gives the transaction that it has
    /// aborted.
    pub(crate) fn note(&mut self, header: &BatchHeader, marker: Option<EndMarker>) -> Option<AbortedRow> {
        let producer = header.producer()?;
        let state = self.states.entry(producer.id).or_insert_with(|| ProducerState::new(producer.epoch));
        self.open.apply(state.note(producer, header, marker)?)
    }

    /// Forgets what lies behind `end`: the batches that are not wholly before it (it lies in one where the
    /// log starts there), the transactions that began there, and the ends of those before. Gives the
    /// producers of whom nothing is left, or whose last marker goes: older batches of theirs may be in the
    /// log. Of the others the older ones are not missed: a producer that had five batches in flight was
    /// answered for all before them.
    pub(crate) fn roll_back(&mut self, end: Offset) -> HashSet<ProducerId> {
        let mut forgotten = HashSet::new();
        let open = &mut self.open;
        self.states.retain(|id, state| {
            let before = state.batches.len();
            state.batches.retain(|batch| last_offset(batch) < end);
            let is_untouched = state.batches.len() == before && state.open.is_none_or(|first| first < end);
            let is_marked = state.marker.is_some_and(|marker| marker >= end);
            let is_known = !is_marked && (!state.batches.is_empty() || is_untouched);
            if !is_known {
                forgotten.insert(*id);
            }
            if let Some(first) = state.open.filter(|first| *first >= end || !is_known) {
                open.remove(first);
                state.open = None;
            }
            is_known
        });
        forgotten
    }

    /// Whether anything is remembered of a producer.
    pub(crate) fn knows(&self, id: ProducerId) -> bool {
        self.states.contains_key(&id)
    }

    /// Takes over the producers of another log, or part of it, that have an open transaction there.
    pub(crate) fn take_open(&mut self, others: Producers) {
        for (id, state) in others.states {
            if let Some(first) = state.open {
                self.open.insert(first, id, state.last_timestamp);
                self.states.insert(id, state);
            }
        }
    }

    /// Takes over what a draft has noted. Gives the transactions that it has aborted, in the order of their
    /// markers.
    pub(crate) fn adopt(&mut self, draft: DraftProducers) -> Vec<AbortedRow> {
        self.states.extend(draft.states);
        draft.changes.into_iter().filter_map(|change| self.open.apply(change)).collect()
    }
}

fn last_offset(batch: &ProducerBatch) -> Offset {
    batch.base_offset.plus(i64::from(batch.last_sequence.since(batch.first_sequence)))
}

impl ProducerState {
    fn new(epoch: ProducerEpoch) -> ProducerState {
        ProducerState {
            epoch,
            last_timestamp: Timestamp::default(),
            batches: VecDeque::with_capacity(WINDOW),
            open: None,
            marker: None,
            coordinator_epoch: None,
        }
    }

    /// Notes a batch of `producer`, and says what that does to its transaction.
    fn note(
        &mut self,
        producer: Producer,
        header: &BatchHeader,
        marker: Option<EndMarker>,
    ) -> Option<Change> {
        if producer.epoch != self.epoch {
            self.epoch = producer.epoch;
            self.batches.clear();
        }
        self.last_timestamp = self.last_timestamp.max(header.max_timestamp());
        if header.is_control() {
            return self.end(producer.id, header.base_offset(), marker);
        }
        if self.batches.len() == WINDOW {
            self.batches.pop_front();
        }
        self.batches.push_back(ProducerBatch {
            first_sequence: header.base_sequence(),
            last_sequence: header.last_sequence(),
            base_offset: header.base_offset(),
            timestamp: header.max_timestamp(),
        });
        // Of a batch that compaction has emptied nothing is left to be decided about.
        if !header.is_transactional() || self.open.is_some() || header.record_count() == 0 {
            return None;
        }
        let first = header.base_offset();
        self.open = Some(first);
        Some(Change::Began { producer: producer.id, first, timestamp: header.max_timestamp() })
    }

    /// A marker stands at this offset. One that compaction has emptied says neither commit nor abort, of a
    /// transaction of which nothing is left.
    fn end(&mut self, producer: ProducerId, offset: Offset, marker: Option<EndMarker>) -> Option<Change> {
        self.marker = Some(offset);
        let coordinator_epoch = marker.map(|marker| marker.coordinator_epoch).filter(|epoch| *epoch >= 0);
        self.coordinator_epoch = coordinator_epoch.or(self.coordinator_epoch);
        let first = self.open.take()?;
        let is_aborted = marker.is_some_and(|marker| marker.result == TransactionResult::Abort);
        Some(Change::Ended { producer, first, marker: offset, is_aborted })
    }

    fn check(
        &self,
        producer: Producer,
        header: &BatchHeader,
        origin: Origin,
    ) -> Result<SequenceCheck, AppendError> {
        let Producer { id, epoch } = producer;
        if epoch < self.epoch {
            return Err(self.stale(producer));
        }
        if let Origin::Coordinator(_) = origin {
            return self.check_transaction(producer, header, origin).map(|()| SequenceCheck::New);
        }
        let found = header.base_sequence();
        let same = |batch: &&ProducerBatch| {
            batch.first_sequence == found && batch.last_sequence == header.last_sequence()
        };
        if epoch == self.epoch
            && let Some(batch) = self.batches.iter().find(same)
        {
            return Ok(SequenceCheck::Duplicate {
                base_offset: batch.base_offset,
                timestamp: batch.timestamp,
            });
        }
        self.check_transaction(producer, header, origin)?;
        let last = self.batches.back().filter(|_| epoch == self.epoch);
        let expected = last.map_or(Sequence::FIRST, |last| last.last_sequence.plus(1));
        match found == expected {
            true => Ok(SequenceCheck::New),
            false => Err(AppendError::OutOfOrderSequence { producer_id: id, expected, found }),
        }
    }

    /// Whether the batch belongs to a transaction exactly if one is open, or may be opened by it.
    fn check_transaction(
        &self,
        producer: Producer,
        header: &BatchHeader,
        origin: Origin,
    ) -> Result<(), AppendError> {
        let is_open = self.open.is_some() && producer.epoch == self.epoch;
        let fits = match header.is_transactional() {
            true => is_open || may_begin(origin, Some(self)),
            false => self.open.is_none(),
        };
        match fits {
            true => Ok(()),
            false => Err(AppendError::InvalidTransactionState {
                producer_id: producer.id,
                transaction_start: self.open,
            }),
        }
    }

    fn check_marker(&self, marker: &Marker) -> Result<(), AppendError> {
        let Producer { id, epoch } = marker.producer;
        let must_be_newer = marker.bumped && self.open.is_some();
        if epoch < self.epoch || (must_be_newer && epoch == self.epoch) {
            return Err(self.stale(marker.producer));
        }
        match self.coordinator_epoch {
            Some(current) if marker.coordinator_epoch < current => Err(AppendError::CoordinatorFenced {
                producer_id: id,
                current,
                found: marker.coordinator_epoch,
            }),
            _ => Ok(()),
        }
    }

    fn stale(&self, Producer { id, epoch }: Producer) -> AppendError {
        AppendError::StaleProducerEpoch { producer_id: id, current: self.epoch, found: epoch }
    }
}

/// Whether a transaction may begin behind the producer's last marker. A guard that has outlived what was
/// remembered of its producer is as good as any: a marker is not forgotten in a day.
fn may_begin(origin: Origin, known: Option<&ProducerState>) -> bool {
    match origin {
        Origin::Client | Origin::Coordinator(Some(Participation::Open)) => false,
        Origin::Transaction(guard)
        | Origin::EpochOfItsOwn(guard)
        | Origin::Coordinator(Some(Participation::Absent(guard))) => {
            known.is_none_or(|state| guard == VerificationGuard::behind(state.marker))
        }
        Origin::Coordinator(None) => true,
    }
}

/// The producers that a turn's batches have touched, not yet part of the partition's state: a turn that fails
/// leaves nothing behind.
#[derive(Debug, Default)]
pub(crate) struct DraftProducers {
    states: HashMap<ProducerId, ProducerState>,
    /// What the batches have done to transactions, in their order.
    changes: Vec<Change>,
}

impl DraftProducers {
    /// Judges a batch on top of `settled` and of what this draft has noted: its sequence, and whether it
    /// belongs to a transaction.
    pub(crate) fn check(
        &self,
        settled: &Producers,
        header: &BatchHeader,
        origin: Origin,
    ) -> Result<SequenceCheck, AppendError> {
        let Some(producer) = header.producer() else { return Ok(SequenceCheck::New) };
        match self.state(settled, producer.id) {
            Some(state) => state.check(producer, header, origin),
            None if matches!(origin, Origin::EpochOfItsOwn(_))
                && header.base_sequence() != Sequence::FIRST =>
            {
                Err(AppendError::OutOfOrderSequence {
                    producer_id: producer.id,
                    expected: Sequence::FIRST,
                    found: header.base_sequence(),
                })
            }
            None if !header.is_transactional() || may_begin(origin, None) => Ok(SequenceCheck::New),
            None => Err(AppendError::InvalidTransactionState {
                producer_id: producer.id,
                transaction_start: None,
            }),
        }
    }

    /// Judges a marker likewise.
    pub(crate) fn check_marker(&self, settled: &Producers, marker: &Marker) -> Result<(), AppendError> {
        self.state(settled, marker.producer.id).map_or(Ok(()), |state| state.check_marker(marker))
    }

    fn state<'a>(&'a self, settled: &'a Producers, id: ProducerId) -> Option<&'a ProducerState> {
        self.states.get(&id).or_else(|| settled.states.get(&id))
    }

    /// Notes a batch that this draft appends; `marker` is what a control batch says.
    pub(crate) fn note(&mut self, settled: &Producers, header: &BatchHeader, marker: Option<EndMarker>) {
        let Some(producer) = header.producer() else { return };
        let state = self.states.entry(producer.id).or_insert_with(|| {
            settled.states.get(&producer.id).cloned().unwrap_or_else(|| ProducerState::new(producer.epoch))
        });
        self.changes.extend(state.note(producer, header, marker));
    }
}

#[cfg(test)]
mod tests;
