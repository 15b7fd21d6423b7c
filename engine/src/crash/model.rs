//! What the engine must remember: a plain model of partitions, fed with what was sent, answered and read.
//!
//! A batch that was sent may be in the log or not, once, until it is *known*: acknowledged, or seen by a
//! reader. What is known stays, at its offset and byte for byte. Nothing else is ever found. Of a topic with
//! relaxed durability, what lies behind `floor` may be lost when the power goes out.
//!
//! A log that is cut off ends where it was asked to, and what was cut off is not found again unless it is
//! sent again. While that is under way it has happened or not; a start tells.
//!
//! A batch keeps its leader epoch, and the epochs of a log never go back.
//!
//! A log start only grows. It moves where somebody asked for it, and else over batches that are old enough,
//! or too many, by the settings that were in force.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use bytes::Bytes;

use crate::config::{RetentionLimits, TopicConfig};
use crate::format::batch::{BatchHeader, Batches, Producer, verify_crc};
use crate::types::{LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// The first byte of a batch behind what the log stamps: base offset, length and leader epoch.
const STAMPED_BYTES: usize = 16;

/// A batch that was sent, by its number.
pub(super) type BatchNumber = usize;

#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) partition: PartitionId,
    pub(super) bytes: Bytes,
    /// What was asked for first; later attempts send the same bytes.
    pub(super) producer: Option<(Producer, Sequence)>,
    pub(super) timestamps: Vec<Timestamp>,
}

#[derive(Clone, Default)]
pub(super) struct PartitionModel {
    pub(super) durable: bool,
    /// The batches that must be there, by base offset.
    pub(super) known: BTreeMap<i64, BatchNumber>,
    pub(super) offset_of: HashMap<BatchNumber, i64>,
    /// Batches that a start has not found: they are not found later either (D4).
    gone: BTreeSet<BatchNumber>,
    /// Behind it a relaxed topic may lose what is known.
    pub(super) floor: i64,
    /// The log start that somebody has seen.
    pub(super) start: i64,
    /// The largest offset before which somebody wanted all records deleted, done or not.
    pub(super) asked: i64,
    /// What may have been in force since the last start.
    pub(super) limits: Vec<RetentionLimits>,
    /// The offset at which the log is being cut off.
    pub(super) cutting: Option<i64>,
    /// Whether it ever was.
    pub(super) was_cut: bool,
}

#[derive(Clone, Default)]
pub(super) struct Model {
    pub(super) sent: Vec<Rc<Sent>>,
    by_content: HashMap<Bytes, BatchNumber>,
    /// The leader epoch of every batch that was seen.
    epochs: RefCell<HashMap<BatchNumber, LeaderEpoch>>,
    pub(super) partitions: BTreeMap<PartitionId, PartitionModel>,
}

impl Model {
    pub(super) fn add_partition(&mut self, id: PartitionId, config: &TopicConfig) {
        let (durable, limits) = (config.is_durable(), vec![config.limits()]);
        self.partitions.insert(id, PartitionModel { durable, limits, ..PartitionModel::default() });
    }

    pub(super) fn send(&mut self, sent: Sent) -> BatchNumber {
        let number = self.sent.len();
        let twin = self.by_content.insert(sent.bytes.slice(STAMPED_BYTES..), number);
        assert!(twin.is_none(), "every batch of a test is different");
        self.sent.push(Rc::new(sent));
        number
    }

    /// The batch is given to the engine, perhaps again.
    pub(super) fn note_attempt(&mut self, number: BatchNumber) {
        let partition = self.partitions.get_mut(&self.sent[number].partition);
        if partition.is_some_and(|partition| partition.gone.remove(&number)) {
            self.epochs.borrow_mut().remove(&number);
        }
    }

    /// Where the log ends once it is cut off at `to`.
    pub(super) fn end_after_cut(&self, id: PartitionId, to: i64) -> i64 {
        let known = &self.partitions[&id].known;
        let holding = known.range(..=to).next_back();
        holding
            .filter(|(offset, number)| **offset + self.records(**number) > to)
            .map_or(to, |(offset, _)| *offset)
    }

    /// The log ends at `end` now. Gives what was cut off.
    pub(super) fn cut(&mut self, id: PartitionId, end: i64) -> Vec<BatchNumber> {
        let partition = self.partitions.get_mut(&id).expect("it is there");
        let cut: Vec<_> = partition.known.split_off(&end).into_values().collect();
        for number in &cut {
            partition.offset_of.remove(number);
            partition.gone.insert(*number);
        }
        partition.floor = partition.floor.min(end);
        partition.cutting = None;
        cut
    }

    /// The leader epoch that a batch was found with.
    pub(super) fn epoch(&self, number: BatchNumber) -> LeaderEpoch {
        self.epochs.borrow()[&number]
    }

    /// Where the log ends, at least.
    pub(super) fn end(&self, id: PartitionId) -> i64 {
        let partition = &self.partitions[&id];
        let last = partition.known.iter().next_back();
        let end = last.map_or(partition.start, |(offset, number)| offset + self.records(*number));
        match partition.cutting {
            Some(to) => self.end_after_cut(id, to).clamp(partition.start, end),
            None => end,
        }
    }

    /// Somebody has seen where the log starts, at the time `now`: what lies before it is gone for good, and
    /// had to be.
    pub(super) fn see_start(&mut self, id: PartitionId, start: Offset, now: Timestamp) {
        let start = start.get();
        let Some(partition) = self.partitions.get(&id) else { return };
        assert!(
            start >= partition.start,
            "{id}: the log start goes back from {} to {start}",
            partition.start
        );
        if start == partition.start {
            return;
        }
        let bytes = |number: &BatchNumber| self.sent[*number].bytes.len() as u64;
        let end_of = |offset: &i64, number: &BatchNumber| offset + self.records(*number);
        let unasked = |(offset, number): &(&i64, &BatchNumber)| {
            **offset < start && end_of(offset, number).min(start) > partition.asked
        };
        for (offset, number) in partition.known.iter().filter(unasked) {
            let end = end_of(offset, number);
            assert!(
                end <= start,
                "{id}: the log start {start} lies in the batch at {offset}; nobody asked for that"
            );
            let gone: u64 = partition
                .offset_of
                .iter()
                .filter(|(_, at)| **at < start)
                .map(|(number, _)| bytes(number))
                .sum();
            let sent: u64 = self
                .sent
                .iter()
                .filter(|sent| sent.partition == id)
                .map(|sent| sent.bytes.len() as u64)
                .sum();
            let newest = self.sent[*number].timestamps.iter().copied().fold(Timestamp::NONE, Timestamp::max);
            let is_due = |limits: &RetentionLimits| {
                limits.is_expired(newest, now) || limits.bytes.is_some_and(|limit| sent - gone >= limit)
            };
            assert!(partition.limits.iter().any(is_due), "{id}: the batch at {offset} was deleted too early");
        }
        let kept = partition.known.iter().filter(|(offset, number)| end_of(offset, number) > start);
        let known = kept.map(|(offset, number)| (*offset, *number)).collect();
        let partition = self.partitions.get_mut(&id).expect("looked up above");
        partition.known = known;
        partition.start = start;
    }

    fn records(&self, number: BatchNumber) -> i64 {
        self.sent[number].timestamps.len() as i64
    }

    /// The batch was acknowledged at this offset, or found there.
    pub(super) fn know(&mut self, id: PartitionId, offset: i64, number: BatchNumber, how: &str) {
        assert_eq!(self.sent[number].partition, id, "batch {number} {how} in another partition");
        let end = offset + self.records(number);
        tracing::debug!("batch {number} {how} at {offset}..{end} of {id}");
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        assert!(
            !partition.gone.contains(&number),
            "{id}: batch {number} {how} at {offset}, and was gone before"
        );
        let first = *partition.offset_of.entry(number).or_insert(offset);
        assert_eq!(first, offset, "{id}: batch {number} {how} at a second offset");
        if end <= partition.start {
            return;
        }
        let there = *partition.known.entry(offset).or_insert(number);
        assert_eq!(there, number, "{id} offset {offset}: batch {number} {how} where another was");
    }

    /// Takes apart what was read from `offset` on: whole, intact batches that were sent, without a gap.
    pub(super) fn identify(&self, id: PartitionId, bytes: &[u8]) -> Vec<(i64, BatchNumber)> {
        let mut found = Vec::new();
        let mut batches = Batches::new(bytes);
        let mut next: Option<i64> = None;
        let mut epoch = LeaderEpoch::FIRST;
        for batch in &mut batches {
            let (header, batch): (&BatchHeader, &[u8]) =
                batch.unwrap_or_else(|error| panic!("{id}: {error}"));
            verify_crc(batch).unwrap_or_else(|error| panic!("{id}: {error}"));
            let offset = header.base_offset().get();
            assert!(next.is_none_or(|next| next == offset), "{id}: offset {offset} follows {next:?}");
            let number = self.by_content.get(&batch[STAMPED_BYTES..]);
            let number = *number.unwrap_or_else(|| panic!("{id}: nobody sent what lies at {offset}"));
            assert!(header.leader_epoch() >= epoch, "{id}: the leader epoch goes back at {offset}");
            epoch = header.leader_epoch();
            let first = *self.epochs.borrow_mut().entry(number).or_insert(epoch);
            assert_eq!(first, epoch, "{id}: the leader epoch of batch {number} at {offset}");
            found.push((offset, number));
            next = Some(header.next_offset().get());
        }
        assert_eq!(batches.consumed(), bytes.len(), "{id}: what is read is whole batches");
        found
    }

    /// What a reader was given at `offset` is known from now on (D2).
    pub(super) fn note_read(&mut self, id: PartitionId, offset: Offset, bytes: &[u8]) {
        let found = self.identify(id, bytes);
        let Some((first, number)) = found.first() else { return };
        assert!(
            (*first..first + self.records(*number)).contains(&offset.get()),
            "{id}: asked for {offset} and got the batch at {first}"
        );
        for (offset, number) in found {
            self.know(id, offset, number, "was read");
        }
    }

    /// The power went out: what a relaxed topic may have lost is not known any more.
    pub(super) fn lose_power(&mut self) {
        for partition in self.partitions.values_mut().filter(|partition| !partition.durable) {
            for (_, number) in partition.known.split_off(&partition.floor) {
                partition.offset_of.remove(&number);
            }
        }
    }

    /// Compares a whole partition after a start with what must be there; it is the new truth.
    pub(super) fn compare(&mut self, id: PartitionId, log: &[(i64, BatchNumber)]) {
        let found: BTreeMap<i64, BatchNumber> = log.iter().copied().collect();
        let start = self.partitions[&id].start;
        let first = log
            .first()
            .is_none_or(|(offset, number)| (*offset..offset + self.records(*number)).contains(&start));
        assert!(first, "{id}: the log starts with {:?}, not at {start}", log.first());
        for (offset, number) in &self.partitions[&id].known {
            assert!(
                found.get(offset) == Some(number),
                "{id}: batch {number} was known at offset {offset}; there is {:?} now, of {} batches",
                found.get(offset),
                found.len()
            );
        }
        for (offset, number) in log {
            self.know(id, *offset, *number, "was found");
        }
        self.check_sequences(id, log);
        let end = self.end(id);
        let partition = self.partitions.get_mut(&id).expect("it was just compared");
        partition.floor = end;
    }

    /// Nothing is under way, and this is the whole log: what is not in it is gone for good, unless it is sent
    /// again.
    pub(super) fn note_missing(&mut self, id: PartitionId, log: &[(i64, BatchNumber)]) {
        let found: BTreeSet<BatchNumber> = log.iter().map(|(_, number)| *number).collect();
        let of_partition = |number: &BatchNumber| self.sent[*number].partition == id;
        let gone =
            (0..self.sent.len()).filter(|number| of_partition(number) && !found.contains(number)).collect();
        self.partitions.get_mut(&id).expect("it was just compared").gone = gone;
    }

    /// The sequences of a producer follow each other within an epoch, and epochs only grow.
    fn check_sequences(&self, id: PartitionId, log: &[(i64, BatchNumber)]) {
        let mut last: BTreeMap<ProducerId, (ProducerEpoch, Sequence)> = BTreeMap::new();
        for (offset, number) in log {
            let Some((Producer { id: producer, epoch }, sequence)) = self.sent[*number].producer else {
                continue;
            };
            let next = sequence.plus(self.records(*number) as i32);
            if let Some((known, expected)) = last.insert(producer, (epoch, next)) {
                let follows = if known == epoch {
                    sequence == expected
                } else {
                    epoch > known && sequence == Sequence::FIRST
                };
                assert!(
                    follows,
                    "{id} offset {offset}: producer {producer} epoch {epoch} sequence {sequence} after {known}, {expected}"
                );
            }
        }
    }

    /// The first record, in offset order, with a timestamp of at least `timestamp`.
    pub(super) fn offset_for_timestamp(
        &self,
        id: PartitionId,
        timestamp: Timestamp,
    ) -> Option<(i64, Timestamp)> {
        self.records_of(id).find(|(_, at)| *at >= timestamp)
    }

    /// The first record that has the largest timestamp.
    pub(super) fn offset_of_max_timestamp(&self, id: PartitionId) -> Option<(i64, Timestamp)> {
        let largest = self.records_of(id).map(|(_, at)| at).max()?;
        self.offset_for_timestamp(id, largest)
    }

    fn records_of(&self, id: PartitionId) -> impl Iterator<Item = (i64, Timestamp)> {
        let PartitionModel { known, start, .. } = &self.partitions[&id];
        let start = *start;
        known.iter().flat_map(move |(offset, number)| {
            self.sent[*number]
                .timestamps
                .iter()
                .enumerate()
                .map(move |(at, stamp)| (offset + at as i64, *stamp))
                .filter(move |(offset, _)| *offset >= start)
        })
    }
}
