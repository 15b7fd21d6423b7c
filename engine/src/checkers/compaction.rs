//! Rounds of compaction over a log in memory, against a map from keys to records.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::BytesMut;

use super::input::Input;
use crate::compaction::{
    Cleaned, Cleaner, HashKeys, LastOfProducer, OffsetMap, Part, Row, SealedSegment, Transactions, Unpacked,
    group, verified,
};
use crate::config::CompressionLevels;
use crate::format::aborted::AbortedRow;
use crate::format::batch::{self, BatchHeader, Producer, TimestampType};
use crate::format::builder::BatchBuilder;
use crate::format::compression::Codec;
use crate::format::marker::{EndMarker, Marker, TransactionResult};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

pub(crate) const KEYS: HashKeys = HashKeys(1, 2);

/// What a reader sees of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) is_tombstone: bool,
    pub(crate) timestamp: Timestamp,
}

/// The sealed segments of a log.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) segments: Vec<Segment>,
    pub(crate) producers: HashMap<ProducerId, LastOfProducer>,
    /// The aborted transactions of which something may be left.
    pub(crate) rows: Vec<AbortedRow>,
    /// The offsets of the records of each transaction that is open, and of those that were aborted.
    open: BTreeMap<ProducerId, Vec<i64>>,
    aborted: BTreeSet<i64>,
}

pub(crate) struct Segment {
    pub(crate) base: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) batches: Vec<Vec<u8>>,
}

/// The settings and the time of a log's rounds.
#[derive(Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) map_bytes: usize,
    pub(crate) segment_bytes: u64,
    pub(crate) now: Timestamp,
    pub(crate) delete_retention_ms: i64,
}

/// Some segments, compacted; then more of them, and another pass when the tombstones of the first are old
/// enough and those of the second are not. Either way the newest record of each key that was not aborted is
/// left, and nothing else; a reader that is told of aborted transactions sees the same at every moment.
pub(super) fn compaction_against_model(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut log = Log::default();
    let rounds = Rounds {
        map_bytes: 48 + 8 * usize::from(input.byte()),
        segment_bytes: 100 + 20 * u64::from(input.byte()),
        now: Timestamp(1_000_000),
        delete_retention_ms: 1_000,
    };
    log.append_segments(&mut input);
    let first_end = log.end();
    let (before, epochs) = (log.records(), log.epochs());
    assert_eq!(log.read_committed(), log.committed(), "the list says what was aborted");
    let expected = newest(&log.committed());
    log.clean_all(Offset::ZERO, rounds);
    assert_eq!(log.data(), expected);
    log.assert_sound(&before, &epochs);

    log.append_segments(&mut input);
    let (before, epochs) = (log.records(), log.epochs());
    let mut expected = newest(&log.committed());
    expected.retain(|record| !record.is_tombstone || record.offset >= first_end.get());
    log.clean_all(first_end, Rounds { now: rounds.now.plus(1_000), ..rounds });
    assert_eq!(log.data(), expected);
    log.assert_sound(&before, &epochs);

    // Nothing is left that a marker, or a row, could be needed for but what was kept of producers.
    let late = Rounds { now: rounds.now.plus(10_000), ..rounds };
    for now in [late.now, late.now.plus(1_000), late.now.plus(2_000)] {
        let end = log.end();
        log.begin_segment();
        log.append(something_dirty());
        log.clean_all(end, Rounds { now, ..late });
    }
    for header in log.batches().map(|batch| *BatchHeader::peek(batch).expect("a batch of ours")) {
        let last = log.producers.get(&header.producer_id());
        let is_kept = last.is_some_and(|last| last.epoch == header.producer_epoch() && last.offset.is_none());
        assert!(!header.is_control() || is_kept || log.has_before(&header), "a marker that nobody needs");
    }
}

impl Log {
    pub(crate) fn end(&self) -> Offset {
        self.segments.last().map_or(Offset::ZERO, |segment| segment.next_offset)
    }

    pub(crate) fn begin_segment(&mut self) {
        let base = self.end();
        self.segments.push(Segment { base, next_offset: base, batches: Vec::new() });
    }

    pub(crate) fn append(&mut self, batch: BatchBuilder) {
        self.append_bytes(batch.build());
    }

    fn append_bytes(&mut self, mut bytes: BytesMut) {
        // Every eighth offset another leader.
        batch::stamp(&mut bytes, self.end(), LeaderEpoch((self.end().get() / 8) as i32));
        let header = *BatchHeader::peek(&bytes).expect("a batch of ours");
        if let Some(producer) = header.producer() {
            let last = self.producers.entry(producer.id);
            let last = last.or_insert(LastOfProducer { epoch: producer.epoch, offset: None });
            if last.epoch != producer.epoch {
                *last = LastOfProducer { epoch: producer.epoch, offset: None };
            }
            if !header.is_control() {
                last.offset = Some(header.last_offset());
            }
            if header.is_transactional() && !header.is_control() {
                let offsets = header.base_offset().get()..header.next_offset().get();
                self.open.entry(producer.id).or_default().extend(offsets);
            }
        }
        let segment = self.segments.last_mut().expect("a segment was begun");
        segment.next_offset = header.next_offset();
        segment.batches.push(bytes.to_vec());
    }

    /// Ends the transaction of a producer, if one is open, or sends a marker again.
    pub(crate) fn end_transaction(&mut self, producer: Producer, result: TransactionResult) {
        let marker = Marker { producer, coordinator_epoch: 3, result, bumped: false };
        let marker_offset = self.end();
        self.append_bytes(marker.build(Timestamp(marker_offset.get())));
        let Some(offsets) = self.open.remove(&producer.id) else { return };
        if result == TransactionResult::Abort {
            let first_open = self.open.values().map(|offsets| Offset::new(offsets[0])).min();
            self.rows.push(AbortedRow {
                producer_id: producer.id,
                first_offset: Offset::new(offsets[0]),
                marker_offset,
                last_stable: first_open.unwrap_or(marker_offset.plus(1)),
            });
            self.aborted.extend(offsets);
        }
    }

    /// A marker that the input chooses: some raise the epoch of the producer.
    fn append_marker(&mut self, id: ProducerId, choice: u8) {
        let epoch = self.producers.get(&id).map_or(ProducerEpoch::FIRST, |last| last.epoch);
        let epoch = if choice & 2 == 0 { epoch } else { ProducerEpoch(epoch.0 + 1) };
        let result = if choice & 1 == 0 { TransactionResult::Abort } else { TransactionResult::Commit };
        self.end_transaction(Producer { id, epoch }, result);
    }

    /// Segments of batches that the input chooses: few keys, all codecs, some producers, of whose
    /// transactions all are decided in the end.
    fn append_segments(&mut self, input: &mut Input<'_>) {
        for _ in 0..1 + input.below(5) {
            self.begin_segment();
            for _ in 0..1 + input.below(7) {
                let kind = input.byte();
                let id = ProducerId(i64::from(kind >> 5 & 3));
                let choice = input.byte();
                if choice & 0xc0 == 0xc0 {
                    self.append_marker(id, choice);
                    continue;
                }
                let codec = Codec::ALL[usize::from(kind & 7) % Codec::ALL.len()];
                let mut batch = BatchBuilder::new(codec);
                if kind & 0x80 != 0 || self.open.contains_key(&id) {
                    let epoch = self.producers.get(&id).map_or(ProducerEpoch::FIRST, |last| last.epoch);
                    let is_transactional = choice & 0x80 != 0 || self.open.contains_key(&id);
                    let sequence = Sequence(i32::from(input.byte()));
                    batch = batch.producer(id, epoch, sequence).transactional(is_transactional);
                }
                for _ in 0..1 + (kind >> 3 & 3) {
                    let record = input.byte();
                    let value = vec![b'v'; usize::from(input.byte() % 40)];
                    let timestamp = Timestamp(i64::from(input.number()) - 1);
                    batch.push(timestamp, Some(&[record & 0xf]), (record >= 64).then_some(&value), &[]);
                }
                self.append(batch);
            }
        }
        while let Some(id) = self.open.keys().next().copied() {
            self.append_marker(id, input.byte());
        }
    }

    pub(crate) fn facts(&self) -> Vec<SealedSegment> {
        let fact = |segment: &Segment| SealedSegment {
            base: segment.base,
            next_offset: segment.next_offset,
            bytes: segment.batches.iter().map(|batch| batch.len() as u64).sum(),
            first_timestamp: Timestamp::default(),
            max_timestamp: Timestamp::default(),
        };
        self.segments.iter().map(fact).collect()
    }

    /// One round from `first_dirty` on; gives the first offset that is dirty then.
    pub(crate) fn clean(&mut self, first_dirty: Offset, rounds: Rounds) -> Offset {
        const SOUND: &str = "a batch of ours";
        let mut map = OffsetMap::new(first_dirty, u64::MAX, rounds.map_bytes, KEYS);
        let mut transactions = Transactions::default();
        let dirty = self.segments.iter().filter(|segment| segment.next_offset > first_dirty);
        for batch in dirty.flat_map(|segment| &segment.batches) {
            let noted = match self.part_of(&mut transactions, batch) {
                Part::Aborted => map.skip_batch(batch).map(|()| true),
                _ => map.note_batch(batch),
            };
            if !noted.expect(SOUND) {
                break;
            }
        }
        let cleaner = Cleaner {
            map: &map,
            producers: &self.producers,
            now: rounds.now,
            delete_retention_ms: rounds.delete_retention_ms,
            levels: CompressionLevels::default(),
        };
        let groups = group(&self.facts(), map.end(), rounds.segment_bytes);
        let untouched = groups.last().map_or(0, |group| group.end);
        let mut cleaned = Vec::new();
        let mut transactions = Transactions::default();
        for group in groups {
            let parts = &self.segments[group];
            let (base, next_offset) =
                (parts[0].base, parts.last().expect("a group has a segment").next_offset);
            let mut row = Row::new(base, &cleaner);
            let mut batches = Vec::new();
            for batch in parts.iter().flat_map(|segment| &segment.batches) {
                let part = self.part_of(&mut transactions, batch);
                batches.extend(match cleaner.clean(batch, part).expect(SOUND) {
                    Cleaned::Same => row.push(batch.clone().into()),
                    Cleaned::Rewritten(other) => row.push(other.freeze()),
                    Cleaned::Removed => {
                        row.skip(BatchHeader::peek(batch).expect(SOUND));
                        Vec::new()
                    }
                });
            }
            batches.extend(row.finish(next_offset));
            let before = parts.iter().map(|segment| segment.batches.len()).sum::<usize>();
            assert!(batches.len() <= before, "a filler takes the place of a batch that is gone");
            let batches = batches.iter().map(|batch| batch.to_vec()).collect();
            cleaned.push(Segment { base, next_offset, batches });
        }
        cleaned.extend(self.segments.drain(untouched..));
        self.segments = cleaned;
        // Rows and what is left of their transactions agree at every moment.
        let visible = self.read_committed();
        self.rows.retain(|row| row.marker_offset >= map.end());
        assert_eq!(self.read_committed(), visible, "a row goes when nothing of its transaction is left");
        map.end()
    }

    fn part_of(&self, transactions: &mut Transactions, batch: &[u8]) -> Part {
        let header = BatchHeader::peek(batch).expect("a batch of ours");
        if let Some((start, end)) = transactions.wants(header) {
            let rows = self.rows.iter().filter(|row| row.overlaps(start, end));
            transactions.give(end, rows.copied().collect());
        }
        transactions.pass(header)
    }

    /// As many rounds as it takes.
    fn clean_all(&mut self, first_dirty: Offset, rounds: Rounds) {
        let mut first_dirty = first_dirty;
        while first_dirty < self.end() {
            let end = self.clean(first_dirty, rounds);
            assert!(end > first_dirty, "a round gets on");
            first_dirty = end;
        }
    }

    pub(crate) fn batches(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.segments.iter().flat_map(|segment| &segment.batches)
    }

    pub(crate) fn records(&self) -> Vec<Seen> {
        self.batches().flat_map(|batch| seen(batch)).collect()
    }

    /// The records that are no markers.
    pub(crate) fn data(&self) -> Vec<Seen> {
        let is_data = |batch: &&Vec<u8>| !BatchHeader::peek(batch).expect("a batch of ours").is_control();
        self.batches().filter(is_data).flat_map(|batch| seen(batch)).collect()
    }

    /// Those of them that were not aborted, as the model knows it.
    fn committed(&self) -> Vec<Seen> {
        let mut records = self.data();
        records.retain(|record| !self.aborted.contains(&record.offset));
        records
    }

    /// What a `read_committed` consumer makes of the log and the list of aborted transactions, by the rules
    /// of Kafka's.
    pub(crate) fn read_committed(&self) -> Vec<Seen> {
        let mut rows = self.rows.clone();
        rows.sort_by_key(|row| std::cmp::Reverse(row.first_offset));
        let (mut dropped, mut records) = (BTreeSet::new(), Vec::new());
        for batch in self.batches() {
            let header = BatchHeader::peek(batch).expect("a batch of ours");
            while let Some(row) = rows.pop_if(|row| row.first_offset <= header.last_offset()) {
                dropped.insert(row.producer_id);
            }
            if header.is_control() {
                if EndMarker::read(batch).is_some_and(|end| end.result == TransactionResult::Abort) {
                    dropped.remove(&header.producer_id());
                }
            } else if !header.is_transactional() || !dropped.contains(&header.producer_id()) {
                records.extend(seen(batch));
            }
        }
        records
    }

    /// Whether a transactional batch of this marker's producer stands before it, behind the one before.
    fn has_before(&self, marker: &BatchHeader) -> bool {
        let headers = self.batches().map(|batch| *BatchHeader::peek(batch).expect("a batch of ours"));
        let before = headers.filter(|header| {
            header.producer_id() == marker.producer_id()
                && header.base_offset() < marker.base_offset()
                && header.is_transactional()
        });
        before.last().is_some_and(|header| !header.is_control())
    }

    /// The leader epoch of each batch, by its base offset.
    fn epochs(&self) -> BTreeMap<Offset, LeaderEpoch> {
        let headers = self.batches().map(|batch| BatchHeader::peek(batch).expect("a batch of ours"));
        headers.map(|header| (header.base_offset(), header.leader_epoch())).collect()
    }

    /// Whatever was removed: each batch begins where the one before ends, in the leader epoch that this
    /// offset had, records are those of before, and producers' last sequences are there.
    fn assert_sound(&self, before: &[Seen], epochs: &BTreeMap<Offset, LeaderEpoch>) {
        let mut next = Offset::ZERO;
        for segment in &self.segments {
            assert_eq!(segment.base, next, "a gap between segments");
            next = segment.next_offset;
            let last = segment.batches.last().expect("no segment is empty");
            let last = BatchHeader::peek(last).expect("a batch of ours");
            assert_eq!(last.next_offset(), next, "the last batch tells where the segment ends");
        }
        let mut next = Offset::ZERO;
        for bytes in self.batches() {
            let header = verified(bytes).expect("its sum holds");
            assert_eq!(header.base_offset(), next, "a gap between batches");
            next = header.next_offset();
            assert_eq!(epochs.get(&header.base_offset()), Some(&header.leader_epoch()), "the leader epoch");
            let records = seen(bytes);
            let largest = records.iter().map(|record| record.timestamp).max();
            assert!(largest.is_none_or(|largest| largest == header.max_timestamp()));
            assert!(records.iter().all(|record| before.contains(record)), "a record has changed");
        }
        for (id, last) in &self.producers {
            let is_there = |bytes: &Vec<u8>| {
                let header = BatchHeader::peek(bytes).expect("a batch of ours");
                let is_last = last.offset.is_none_or(|offset| header.last_offset() == offset);
                header.producer_id() == *id && header.producer_epoch() == last.epoch && is_last
            };
            assert!(self.batches().any(is_there), "the last sequence and epoch of producer {id}");
        }
        let mut open = BTreeSet::new();
        for header in self.batches().map(|batch| BatchHeader::peek(batch).expect("a batch of ours")) {
            match header.is_control() {
                true => drop(open.remove(&header.producer_id())),
                false if header.is_transactional() => drop(open.insert(header.producer_id())),
                false => {}
            }
        }
        assert!(open.is_empty(), "a marker went before its transaction: {open:?}");
        assert_eq!(self.read_committed(), self.committed(), "what is left was committed");
    }
}

/// A batch that makes the log worth a round.
fn something_dirty() -> BatchBuilder {
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(Timestamp(1), Some(b"another key"), Some(b"v"), &[]);
    batch
}

pub(crate) fn seen(batch: &[u8]) -> Vec<Seen> {
    let header = verified(batch).expect("its sum holds");
    let unpacked = Unpacked::new(header, batch).expect("it can be unpacked");
    let log_time = header.timestamp_type() == TimestampType::LogAppendTime;
    let records = unpacked.records().map(|record| {
        let record = record.expect("it can be read");
        Seen {
            offset: record.offset.get(),
            key: record.record.key.map(<[u8]>::to_vec),
            is_tombstone: record.record.value.is_none(),
            timestamp: if log_time { header.max_timestamp() } else { record.timestamp },
        }
    });
    records.collect()
}

/// The newest record of each key, in the order of their offsets.
fn newest(records: &[Seen]) -> Vec<Seen> {
    let by_key: BTreeMap<_, _> = records.iter().map(|record| (record.key.clone(), record.offset)).collect();
    let kept: BTreeSet<_> = by_key.into_values().collect();
    records.iter().filter(|record| kept.contains(&record.offset)).cloned().collect()
}
