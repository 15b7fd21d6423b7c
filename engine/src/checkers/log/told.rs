//! What the batches of a log say of its producers and their transactions: read batch after batch, by
//! Kafka's rules.

use std::collections::BTreeSet;

use crate::format::batch::BatchHeader;
use crate::format::marker::{EndMarker, TransactionResult};
use crate::log::{AbortedTransaction, ActiveProducer};
use crate::types::{Offset, ProducerEpoch, ProducerId, Sequence};

/// Producers that there are.
pub(super) const PRODUCERS: usize = 3;

/// Whether the epoch of a producer goes up with each marker (KIP-890).
pub(super) fn is_bumped(producer: usize) -> bool {
    producer % 2 == 1
}

/// What is said of one producer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    is_known: bool,
    pub(super) epoch: i16,
    /// That of its last record in this epoch.
    last_sequence: Option<i32>,
    /// Where its open transaction begins.
    pub(super) open: Option<i64>,
}

impl Told {
    pub(super) fn next_sequence(&self) -> i32 {
        self.last_sequence.map_or(0, |last| last + 1)
    }
}

/// A transaction with records that has ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    producer: usize,
    first: i64,
    marker: i64,
    result: TransactionResult,
}

/// What batches have said so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) producers: [Told; PRODUCERS],
    ended: Vec<Ended>,
}

impl Story {
    /// Takes in the batch that stands at `base`.
    pub(super) fn hear(&mut self, base: i64, batch: &[u8]) {
        let header = BatchHeader::peek(batch).expect("a batch of ours");
        let Some(producer) = header.producer() else { return };
        let at = producer.id.0 as usize;
        let told = &mut self.producers[at];
        if told.epoch != producer.epoch.0 {
            (told.epoch, told.last_sequence) = (producer.epoch.0, None);
        }
        told.is_known = true;
        if !header.is_control() {
            told.last_sequence = Some(header.last_sequence().0);
            told.open = told.open.or(Some(base));
            return;
        }
        let EndMarker { result, .. } = EndMarker::read(batch).expect("a control batch is a marker");
        assert_eq!(header.record_count(), 1, "a marker is one record");
        assert!(header.is_transactional(), "a marker is of a transaction");
        if let Some(first) = told.open.take() {
            self.ended.push(Ended { producer: at, first, marker: base, result });
        }
    }

    /// Where the first open transaction begins, or the log that begins in it.
    pub(super) fn first_undecided(&self, log_start: i64) -> Option<i64> {
        let first = self.producers.iter().filter_map(|told| told.open).min()?;
        Some(first.max(log_start))
    }

    /// Whether the record batch at this offset counts, as far as that is decided.
    pub(super) fn is_committed(&self, base: i64, header: &BatchHeader) -> bool {
        let Some(producer) = header.producer() else { return true };
        let of_batch = self.ended.iter().find(|ended| {
            ended.producer == producer.id.0 as usize && ended.first <= base && base < ended.marker
        });
        of_batch.expect("it is decided").result == TransactionResult::Commit
    }

    /// Holds what a log remembers of its producers against what it was told.
    pub(super) fn compare(&self, found: &[ActiveProducer]) {
        assert_eq!(found.len(), self.producers.iter().filter(|told| told.is_known).count(), "{found:?}");
        for known in found {
            let told = &self.producers[known.id.0 as usize];
            assert!(told.is_known, "nothing of {known:?} stands in the log");
            assert_eq!(known.epoch, ProducerEpoch(told.epoch), "{known:?}");
            assert_eq!(known.last_sequence, told.last_sequence.map(Sequence), "{known:?}");
            assert_eq!(known.transaction_start, told.open.map(Offset::new), "{known:?}");
        }
    }
}

/// What a client leaves out that is told of these aborted transactions: each from its first record to the
/// producer's next marker.
pub(super) struct Filter {
    waiting: Vec<AbortedTransaction>,
    leaving_out: BTreeSet<ProducerId>,
}

impl Filter {
    pub(super) fn new(mut aborted: Vec<AbortedTransaction>) -> Filter {
        aborted.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        Filter { waiting: aborted, leaving_out: BTreeSet::new() }
    }

    /// Whether the next batch counts; a marker never does.
    pub(super) fn counts(&mut self, header: &BatchHeader) -> bool {
        while self.waiting.last().is_some_and(|aborted| aborted.first_offset <= header.last_offset()) {
            self.leaving_out.extend(self.waiting.pop().map(|aborted| aborted.producer_id));
        }
        if header.is_control() {
            self.leaving_out.remove(&header.producer_id());
            return false;
        }
        !header.is_transactional() || !self.leaving_out.contains(&header.producer_id())
    }
}
