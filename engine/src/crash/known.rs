//! What is known of an engine besides its records: topics, producers, and what has gone wrong.
//!
//! It changes with what was asked and what was answered, and can be copied at any moment: a crash image is
//! held against the copy.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{BatchNumber, Model};
use super::plan::{Configs, Pick};
use crate::error::{AppendError, DeleteRecordsError, TopicError};
use crate::format::batch::Producer;
use crate::format::checkpoint::PRODUCER_BATCHES_MAX;
use crate::message::Appended;
use crate::topics::{Replica, Role, Topic};
use crate::types::{
    LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId,
};

#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) model: Model,
    pub(super) topics: Vec<TopicState>,
    pub(super) producers: BTreeMap<(PartitionId, ProducerId), ProducerModel>,
    pub(super) producer_ids: BTreeSet<ProducerId>,
    /// The leader epochs that were answered for: no partition is in an older one.
    pub(super) epochs: BTreeMap<PartitionId, LeaderEpoch>,
    /// Partitions that were given up, and may be led again or not.
    pub(super) given_up: BTreeSet<PartitionId>,
    /// Whether there was trouble since the start.
    pub(super) errors_seen: bool,
    pub(super) full_seen: bool,
    /// Whether there were no descriptors since the start.
    pub(super) short_seen: bool,
    pub(super) stopping: bool,
    pub(super) acknowledged: usize,
}

#[derive(Clone)]
pub(super) struct TopicState {
    pub(super) name: String,
    /// Not known while its creation is under way.
    pub(super) id: Option<TopicId>,
    pub(super) partitions: u32,
    pub(super) configs: Configs,
    /// What it was asked to have instead; there or not.
    pub(super) changing: Option<(u32, Configs)>,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Asked for; there or not.
    Creating,
    There,
    /// Asked to go; there or not.
    Deleting,
    Gone,
}

#[derive(Clone, Default)]
pub(super) struct ProducerModel {
    epoch: ProducerEpoch,
    next_sequence: Sequence,
    /// The batches of this epoch.
    batches: Vec<BatchNumber>,
    /// One of them was refused, or its answer was lost: the producer starts a new epoch.
    uncertain: bool,
    /// All that was remembered of it was cut off, and the log had to tell what was before: it cannot tell
    /// what was deleted.
    told_by_log: bool,
}

/// The one of `list` that `pick` chooses.
pub(super) fn choose<T>(list: impl IntoIterator<Item = T>, pick: Pick) -> Option<T> {
    let mut list: Vec<T> = list.into_iter().collect();
    let count = list.len();
    (count > 0).then(|| list.swap_remove(pick as usize % count))
}

impl Known {
    // ---- topics -------------------------------------------------------------------------------------------

    pub(super) fn choose_partition(&self, pick: Pick) -> Option<PartitionId> {
        let partitions = |topic: &TopicState| Some((topic.id?, topic.partitions));
        let there = self.topics.iter().filter_map(partitions);
        choose(there.flat_map(|(id, count)| (0..count).map(move |at| PartitionId::new(id, at))), pick)
    }

    pub(super) fn stage_of(&self, id: TopicId) -> Option<Stage> {
        self.topics.iter().find(|topic| topic.id == Some(id)).map(|topic| topic.stage)
    }

    pub(super) fn is_there(&self, id: TopicId) -> bool {
        self.stage_of(id) == Some(Stage::There)
    }

    /// Whether a topic of this name may be asked for.
    pub(super) fn note_creation(&mut self, name: &str, partitions: u32, configs: Configs) -> bool {
        let is_free = self.topics.iter().all(|topic| topic.name != name || topic.stage == Stage::Gone);
        if is_free {
            let (name, stage) = (name.to_owned(), Stage::Creating);
            self.topics.push(TopicState { name, id: None, partitions, configs, changing: None, stage });
        }
        is_free
    }

    pub(super) fn take_created(&mut self, name: &str, answer: Result<impl AsRef<Topic>, TopicError>) {
        let topic = match &answer {
            Ok(topic) => topic.as_ref(),
            Err(error) => return assert!(self.may_fail(error), "{name}: {error}"),
        };
        let state = self.topics.iter_mut().rev().find(|topic| topic.name == name).expect("it was asked for");
        state.id = Some(topic.id);
        state.stage = Stage::There;
        for id in topic.partition_ids() {
            self.model.add_partition(id, &topic.config);
        }
    }

    pub(super) fn take_deleted(&mut self, id: TopicId, answer: Result<(), TopicError>) {
        match answer {
            Ok(()) => {
                self.topics.iter_mut().filter(|topic| topic.id == Some(id)).for_each(|topic| {
                    topic.stage = Stage::Gone;
                });
            }
            Err(error) => assert!(self.may_fail(&error), "{id}: {error}"),
        }
    }

    pub(super) fn take_changed(&mut self, id: TopicId, answer: Result<impl AsRef<Topic>, TopicError>) {
        let topic = match &answer {
            Ok(topic) => topic.as_ref(),
            Err(error) => {
                let gone = matches!(error, TopicError::Unknown(_)) && !self.is_there(id);
                return assert!(gone || self.may_fail(error), "{id}: {error}");
            }
        };
        let Some(state) = self.topics.iter_mut().find(|state| state.id == Some(topic.id)) else { return };
        (state.partitions, state.configs) = state.changing.take().expect("it was asked for");
        assert_eq!((topic.partitions, &topic.own_configs), (state.partitions, &state.configs));
        for id in topic.partition_ids() {
            match self.model.partitions.get_mut(&id) {
                None => self.model.add_partition(id, &topic.config),
                // Of a partition that was fenced, the sync may have failed that makes the rest durable.
                Some(partition) => partition.durable |= topic.config.is_durable() && !self.errors_seen,
            }
        }
    }

    /// The answer to whoever has given a partition this role.
    pub(super) fn take_placed(
        &mut self,
        id: PartitionId,
        replica: Replica,
        answer: Result<impl AsRef<Topic>, TopicError>,
    ) {
        match answer {
            Ok(topic) => {
                assert_eq!(topic.as_ref().replica(id.index), Some(replica), "{id}");
                self.epochs.insert(id, replica.epoch);
                if replica.role == Role::Leader {
                    self.given_up.remove(&id);
                }
            }
            Err(TopicError::Unknown(_)) => assert!(!self.is_there(id.topic), "{id} exists"),
            Err(error) => assert!(self.may_fail(&error), "{id}: {error}"),
        }
    }

    pub(super) fn take_producer_id(&mut self, answer: Result<ProducerId, TopicError>) {
        match answer {
            Ok(id) => assert!(self.producer_ids.insert(id), "producer id {id} was given out twice"),
            Err(error) => assert!(self.may_fail(&error), "{error}"),
        }
    }

    fn may_fail(&self, error: &TopicError) -> bool {
        match error {
            TopicError::Storage(fault) if fault.is_shortage() => self.short_seen,
            TopicError::Storage(_) => self.errors_seen || self.full_seen,
            TopicError::NoSpace(_) => self.full_seen,
            TopicError::Stopping => true,
            _ => false,
        }
    }

    // ---- records ------------------------------------------------------------------------------------------

    /// The identity and the sequence of a producer's next batch, which has so many records.
    pub(super) fn next_sequence(
        &mut self,
        partition: PartitionId,
        pick: Pick,
        records: usize,
    ) -> Option<(Producer, Sequence)> {
        let id = choose(self.producer_ids.iter().copied(), pick)?;
        let next = self.model.sent.len();
        let producer = self.producers.entry((partition, id)).or_default();
        if producer.uncertain {
            *producer =
                ProducerModel { epoch: ProducerEpoch(producer.epoch.0 + 1), ..ProducerModel::default() };
        }
        let sequence = producer.next_sequence;
        producer.next_sequence = sequence.plus(records as i32);
        producer.batches.push(next);
        Some((Producer { id, epoch: producer.epoch }, sequence))
    }

    /// One of the last five batches of a producer, and the offset that it must be answered with when it is
    /// known.
    pub(super) fn batch_to_repeat(&self, producer: Pick, back: Pick) -> Option<(BatchNumber, Option<i64>)> {
        let key = choose(self.producers.keys(), producer)?;
        let model = self.model.partitions.get(&key.0)?;
        let number = *choose(self.producers[key].batches.iter().rev().take(5), back)?;
        let end = model.cutting.map_or(i64::MAX, |to| self.model.end_after_cut(key.0, to));
        let told_by_log = self.producers[key].told_by_log;
        let is_there = |offset: &i64| *offset < end && (!told_by_log || *offset >= model.start);
        let expected =
            model.offset_of.get(&number).copied().filter(|offset| model.durable && is_there(offset));
        Some((number, expected))
    }

    /// A log was cut off at `end`: its producers go on from there.
    pub(super) fn cut(&mut self, id: PartitionId, end: i64) {
        let cut: BTreeSet<_> = self.model.cut(id, end).into_iter().collect();
        for ((partition, _), producer) in &mut self.producers {
            let Some(first) = producer.batches.iter().position(|number| cut.contains(number)) else {
                continue;
            };
            if *partition != id {
                continue;
            }
            // What was remembered of it is what is left of the last five; where that is nothing, the log
            // tells.
            let window = producer.batches.len().saturating_sub(PRODUCER_BATCHES_MAX);
            producer.told_by_log |= producer.uncertain || window >= first;
            if producer.told_by_log {
                // Such a batch is a new one when it is sent again.
                let partition = self.model.partitions.get_mut(&id).expect("it was just cut");
                let start = partition.start;
                partition
                    .offset_of
                    .retain(|number, offset| *offset >= start || !producer.batches.contains(number));
            }
            if !producer.uncertain {
                let (_, sequence) = self.model.sent[producer.batches[first]].producer.expect("its own");
                producer.next_sequence = sequence;
                producer.batches.truncate(first);
                if window < first {
                    producer.batches.drain(..window);
                }
            }
        }
    }

    /// A start tells whether a log was cut off: then nothing of what was known behind that is there. A batch
    /// may be that came after it, and was not answered.
    pub(super) fn settle_cut(&mut self, id: PartitionId, log: &[(i64, BatchNumber)]) {
        let partition = self.model.partitions.get_mut(&id).expect("it is there");
        let Some(to) = partition.cutting.take() else { return };
        let end = self.model.end_after_cut(id, to);
        let known = &self.model.partitions[&id].known;
        if log.iter().all(|(offset, number)| *offset < end || known.get(offset) != Some(number)) {
            self.cut(id, end);
        }
    }

    /// Nobody knows what became of a batch.
    pub(super) fn make_uncertain(&mut self, number: BatchNumber) {
        let sent = &self.model.sent[number];
        if let Some((Producer { id, epoch }, _)) = sent.producer
            && let Some(producer) = self.producers.get_mut(&(sent.partition, id))
        {
            producer.uncertain |= producer.epoch == epoch;
        }
    }

    /// `expected` is the offset of a batch that was sent again and is known.
    pub(super) fn take_appended(
        &mut self,
        number: BatchNumber,
        expected: Option<i64>,
        answer: Result<Appended, AppendError>,
    ) {
        let partition = self.model.sent[number].partition;
        match answer {
            Ok(appended) => {
                self.acknowledged += 1;
                let offset = appended.base_offset.get();
                if let Some(expected) = expected {
                    assert_eq!((offset, appended.duplicate), (expected, true), "batch {number} sent again");
                }
                let cutting = self.model.partitions.get(&partition).and_then(|model| model.cutting);
                if let Some(to) = cutting.filter(|_| !appended.duplicate) {
                    let end = self.model.end_after_cut(partition, to);
                    let model = &self.model.partitions[&partition];
                    let is_taken = model.known.range(offset..).next().is_some();
                    // The log start may lie in the batch that was cut off.
                    if offset == end.max(model.start) || is_taken {
                        // It was not answered, and has happened. Of two appends, either is answered first.
                        self.cut(partition, end);
                    }
                }
                if !appended.duplicate {
                    // It was sent again before anybody knew that it had been cut off.
                    self.model.note_attempt(number);
                    let forgot = |producer: &ProducerModel| !producer.batches.contains(&number);
                    let producer = self.model.sent[number].producer;
                    if producer.is_some_and(|(Producer { id, .. }, _)| {
                        self.producers.get(&(partition, id)).is_some_and(forgot)
                    }) {
                        self.make_uncertain(number);
                    }
                }
                self.model.know(partition, offset, number, "was acknowledged");
                return;
            }
            Err(AppendError::NoSpace(_)) => {
                // Or no checkpoint could be written that says that the log was cut off.
                let was_cut = self.model.partitions.get(&partition).is_some_and(|model| model.was_cut);
                assert!(self.full_seen || self.errors_seen && was_cut, "the disk was never full");
            }
            Err(AppendError::Shortage { .. }) => assert!(self.short_seen, "there was no lack of anything"),
            Err(AppendError::Fenced { fault, .. }) => {
                let stage = self.stage_of(partition.topic);
                assert!(self.errors_seen, "nothing has failed, but: {fault}, {stage:?}");
            }
            Err(AppendError::UnknownPartition(_)) => {
                assert!(!self.is_there(partition.topic), "the partition exists");
            }
            Err(AppendError::NotLeader(id)) => assert!(self.given_up.contains(&id), "{id} is led here"),
            Err(AppendError::Stopping) => assert!(self.stopping, "nobody has stopped the engine"),
            Err(AppendError::OutOfOrderSequence { .. } | AppendError::StaleProducerEpoch { .. }) => {
                assert!(expected.is_none(), "batch {number} is known, sent again it is refused");
            }
            Err(
                error @ (AppendError::InvalidTransactionState { .. } | AppendError::CoordinatorFenced { .. }),
            ) => panic!("nobody has a transaction: {error}"),
            Err(error @ AppendError::Invalid(_)) => panic!("a batch that was checked is refused: {error}"),
        }
        self.make_uncertain(number);
    }

    /// The log starts at `least` at least, once records were deleted.
    pub(super) fn take_deletion(
        &mut self,
        id: PartitionId,
        least: i64,
        answer: Result<Offset, DeleteRecordsError>,
        now: Timestamp,
    ) {
        match answer {
            Ok(start) => {
                assert!(start.get() >= least, "{id}: the log starts at {start}, not at {least}");
                // A later deletion, or a reader, may have been answered before.
                let seen = self.model.partitions.get(&id).map_or(0, |partition| partition.start);
                self.model.see_start(id, start.max(Offset::new(seen)), now);
            }
            Err(DeleteRecordsError::NoSpace(_)) => assert!(self.full_seen, "the disk was never full"),
            Err(DeleteRecordsError::Faulty { fault, .. }) => {
                assert!(
                    self.errors_seen || (self.short_seen && fault.is_shortage()),
                    "nothing has failed, but: {fault}"
                );
            }
            Err(DeleteRecordsError::UnknownPartition(_)) => {
                assert!(!self.is_there(id.topic), "{id} exists");
            }
            Err(DeleteRecordsError::NotLeader(_)) => assert!(self.given_up.contains(&id), "{id} is led here"),
            Err(DeleteRecordsError::Stopping) => assert!(self.stopping, "nobody has stopped the engine"),
            Err(error) => panic!("{id}: {error}"),
        }
    }
}
