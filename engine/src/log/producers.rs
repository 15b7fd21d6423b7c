//! What a partition remembers of its idempotent producers.
//!
//! Per producer: the newest epoch and the last five batches, so that a batch that is sent again after a lost
//! answer is recognised and answered with its first offset (Kafka's rules; five is the most that a producer
//! has in flight). The state belongs to the log: it is rebuilt from batch headers, and kept in the shard's
//! checkpoint.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::error::AppendError;
use crate::format::batch::BatchHeader;
use crate::format::checkpoint::{ProducerBatch, ProducerCheckpoint};
use crate::types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// Batches remembered per producer.
const WINDOW: usize = 5;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProducerState {
    epoch: ProducerEpoch,
    last_timestamp: Timestamp,
    batches: VecDeque<ProducerBatch>,
}

/// An idempotent producer that a partition remembers.
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
}

impl Producers {
    pub(crate) fn from_checkpoint(producers: &[ProducerCheckpoint]) -> Producers {
        let states = producers
            .iter()
            .map(|producer| {
                let state = ProducerState {
                    epoch: producer.epoch,
                    last_timestamp: producer.last_timestamp,
                    batches: producer.batches.iter().copied().collect(),
                };
                (producer.id, state)
            })
            .collect();
        Producers { states }
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
            })
            .collect();
        producers.sort_unstable_by_key(|producer| producer.id);
        producers
    }

    /// The last offset that each producer has appended.
    pub(crate) fn last_offsets(&self) -> HashMap<ProducerId, Offset> {
        let last =
            |(id, state): (&ProducerId, &ProducerState)| Some((*id, last_offset(state.batches.back()?)));
        self.states.iter().filter_map(last).collect()
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
            })
            .collect();
        active.sort_unstable_by_key(|producer| producer.id);
        active
    }

    /// Forgets the producers that were silent since `before`.
    pub(crate) fn expire(&mut self, before: Timestamp) {
        self.states.retain(|_, state| state.last_timestamp >= before);
    }

    /// Notes an appended batch.
    pub(crate) fn note(&mut self, header: &BatchHeader) {
        let Some(producer) = header.producer() else { return };
        let state = self.states.entry(producer.id).or_insert_with(|| ProducerState::new(producer.epoch));
        state.note(producer.epoch, header);
    }

    /// Forgets the batches that are not wholly before `end`, which lies in one where the log starts there.
    /// Gives the producers of whom nothing is left: older batches of theirs may be in the log. Of the others
    /// the older ones are not missed: a producer that had five batches in flight was answered for all before
    /// them.
    pub(crate) fn roll_back(&mut self, end: Offset) -> HashSet<ProducerId> {
        let mut forgotten = HashSet::new();
        self.states.retain(|id, state| {
            state.batches.retain(|batch| last_offset(batch) < end);
            let is_known = !state.batches.is_empty();
            if !is_known {
                forgotten.insert(*id);
            }
            is_known
        });
        forgotten
    }

    /// Takes over what a draft has noted.
    pub(crate) fn adopt(&mut self, draft: DraftProducers) {
        self.states.extend(draft.states);
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
        }
    }

    fn note(&mut self, epoch: ProducerEpoch, header: &BatchHeader) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
        self.last_timestamp = self.last_timestamp.max(header.max_timestamp());
        if header.is_control() {
            return;
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
    }

    fn check(
        &self,
        id: ProducerId,
        epoch: ProducerEpoch,
        header: &BatchHeader,
    ) -> Result<SequenceCheck, AppendError> {
        let found = header.base_sequence();
        let out_of_order =
            |expected| Err(AppendError::OutOfOrderSequence { producer_id: id, expected, found });
        if epoch < self.epoch {
            return Err(AppendError::StaleProducerEpoch {
                producer_id: id,
                current: self.epoch,
                found: epoch,
            });
        }
        if epoch > self.epoch {
            return if found == Sequence::FIRST {
                Ok(SequenceCheck::New)
            } else {
                out_of_order(Sequence::FIRST)
            };
        }
        let same = |batch: &&ProducerBatch| {
            batch.first_sequence == found && batch.last_sequence == header.last_sequence()
        };
        if let Some(batch) = self.batches.iter().find(same) {
            return Ok(SequenceCheck::Duplicate {
                base_offset: batch.base_offset,
                timestamp: batch.timestamp,
            });
        }
        match self.batches.back() {
            None => Ok(SequenceCheck::New),
            Some(last) => {
                let expected = last.last_sequence.plus(1);
                if found == expected { Ok(SequenceCheck::New) } else { out_of_order(expected) }
            }
        }
    }
}

/// The producers that a turn's batches have touched, not yet part of the partition's state: a turn that fails
/// leaves nothing behind.
#[derive(Debug, Default)]
pub(crate) struct DraftProducers {
    states: HashMap<ProducerId, ProducerState>,
}

impl DraftProducers {
    /// Judges the sequence of a batch on top of `settled` and of what this draft has noted.
    pub(crate) fn check(
        &self,
        settled: &Producers,
        header: &BatchHeader,
    ) -> Result<SequenceCheck, AppendError> {
        let Some(producer) = header.producer() else { return Ok(SequenceCheck::New) };
        match self.states.get(&producer.id).or_else(|| settled.states.get(&producer.id)) {
            Some(state) => state.check(producer.id, producer.epoch, header),
            None => Ok(SequenceCheck::New),
        }
    }

    /// Notes a batch that this draft appends.
    pub(crate) fn note(&mut self, settled: &Producers, header: &BatchHeader) {
        let Some(producer) = header.producer() else { return };
        let state = self.states.entry(producer.id).or_insert_with(|| {
            settled.states.get(&producer.id).cloned().unwrap_or_else(|| ProducerState::new(producer.epoch))
        });
        state.note(producer.epoch, header);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::batch::{BATCH_HEADER_BYTES, stamp};
    use crate::format::builder::BatchBuilder;
    use crate::format::compression::Codec;
    use crate::types::LeaderEpoch;

    fn batch(epoch: i16, sequence: i32, records: usize, base_offset: i64) -> Vec<u8> {
        let mut builder =
            BatchBuilder::new(Codec::None).producer(ProducerId(7), ProducerEpoch(epoch), Sequence(sequence));
        for _ in 0..records {
            builder.push(Timestamp(1000), None, Some(b"v"), &[]);
        }
        let mut bytes = builder.build().to_vec();
        stamp(&mut bytes, Offset::new(base_offset), LeaderEpoch::FIRST);
        bytes
    }

    fn judge(producers: &Producers, bytes: &[u8]) -> Result<SequenceCheck, AppendError> {
        assert!(bytes.len() > BATCH_HEADER_BYTES);
        DraftProducers::default().check(producers, BatchHeader::peek(bytes).unwrap())
    }

    fn noted(batches: &[Vec<u8>]) -> Producers {
        let mut producers = Producers::default();
        for bytes in batches {
            producers.note(BatchHeader::peek(bytes).unwrap());
        }
        producers
    }

    #[test]
    fn a_batch_sent_again_is_answered_with_its_first_offset() {
        let sent: Vec<_> = (0..6).map(|n| batch(0, n * 10, 10, 100 + i64::from(n) * 10)).collect();
        let producers = noted(&sent);
        for again in &sent[1..] {
            let base_offset = BatchHeader::peek(again).unwrap().base_offset();
            assert_eq!(
                judge(&producers, again).unwrap(),
                SequenceCheck::Duplicate { base_offset, timestamp: Timestamp(1000) }
            );
        }
        assert!(
            matches!(
                judge(&producers, &sent[0]),
                Err(AppendError::OutOfOrderSequence { expected: Sequence(60), .. })
            ),
            "older than the window of five"
        );
    }

    #[test]
    fn a_gap_is_refused_and_the_next_sequence_is_not() {
        let producers = noted(&[batch(0, 0, 3, 0)]);
        assert_eq!(judge(&producers, &batch(0, 3, 1, 0)).unwrap(), SequenceCheck::New);
        assert!(matches!(
            judge(&producers, &batch(0, 4, 1, 0)),
            Err(AppendError::OutOfOrderSequence {
                expected: Sequence(3),
                found: Sequence(4),
                producer_id: ProducerId(7)
            })
        ));
        assert!(judge(&producers, &batch(0, 0, 2, 0)).is_err(), "same start, other end: no duplicate");
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
        let producers = noted(&[batch(1, 0, 3, 0)]);
        assert_eq!(judge(&producers, &batch(2, 0, 1, 0)).unwrap(), SequenceCheck::New);
        assert!(matches!(judge(&producers, &batch(2, 3, 1, 0)), Err(AppendError::OutOfOrderSequence { .. })));
        assert!(matches!(
            judge(&producers, &batch(0, 3, 1, 0)),
            Err(AppendError::StaleProducerEpoch { current: ProducerEpoch(1), found: ProducerEpoch(0), .. })
        ));
    }

    #[test]
    fn sequences_wrap_after_the_largest_number() {
        let producers = noted(&[batch(0, i32::MAX - 1, 2, 0)]);
        assert_eq!(judge(&producers, &batch(0, 0, 1, 0)).unwrap(), SequenceCheck::New);
    }

    #[test]
    fn a_dropped_draft_leaves_nothing_behind() {
        let mut settled = noted(&[batch(0, 0, 3, 0)]);
        let next = batch(0, 3, 2, 3);
        let mut draft = DraftProducers::default();
        draft.note(&settled, BatchHeader::peek(&next).unwrap());
        assert!(matches!(
            draft.check(&settled, BatchHeader::peek(&next).unwrap()),
            Ok(SequenceCheck::Duplicate { .. })
        ));
        assert_eq!(judge(&settled, &next).unwrap(), SequenceCheck::New);
        settled.adopt(draft);
        assert!(matches!(judge(&settled, &next), Ok(SequenceCheck::Duplicate { .. })));
    }

    #[test]
    fn what_is_cut_off_was_never_sent() {
        let sent: Vec<_> = (0..7).map(|n| batch(0, n * 10, 10, 100 + i64::from(n) * 10)).collect();
        let mut producers = noted(&sent);
        assert!(producers.roll_back(Offset::new(150)).is_empty());
        assert_eq!(judge(&producers, &sent[5]).unwrap(), SequenceCheck::New);
        assert!(matches!(judge(&producers, &sent[4]), Ok(SequenceCheck::Duplicate { .. })));
        assert_eq!(
            producers.roll_back(Offset::new(120)),
            HashSet::from([ProducerId(7)]),
            "older batches have to tell"
        );
        assert_eq!(judge(&producers, &sent[3]).unwrap(), SequenceCheck::New);
    }

    /// A log that starts in a batch ends there, and not in it, once it is cut off to its start.
    #[test]
    fn d1_a_batch_that_the_end_lies_in_is_no_longer_a_duplicate() {
        let sent = [batch(0, 0, 4, 5), batch(0, 4, 2, 9)];
        let mut producers = noted(&sent);
        producers.roll_back(Offset::new(9));
        assert!(matches!(judge(&producers, &sent[0]), Ok(SequenceCheck::Duplicate { .. })));
        assert_eq!(producers.roll_back(Offset::new(7)), HashSet::from([ProducerId(7)]));
        assert_eq!(judge(&producers, &sent[0]).unwrap(), SequenceCheck::New);
    }

    #[test]
    fn the_checkpoint_keeps_the_window() {
        let producers = noted(&[batch(3, 0, 3, 0), batch(3, 3, 1, 3)]);
        let restored = Producers::from_checkpoint(&producers.to_checkpoint());
        assert_eq!(restored.states, producers.states);
    }
}
