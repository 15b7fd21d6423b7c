//! Rounds of compaction over a log in memory, against a map from keys to records.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::input::Input;
use crate::compaction::{
    Cleaned, Cleaner, HashKeys, OffsetMap, Row, SealedSegment, Unpacked, group, verified,
};
use crate::config::CompressionLevels;
use crate::format::batch::{self, BatchHeader, TimestampType};
use crate::format::builder::BatchBuilder;
use crate::format::compression::Codec;
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
    pub(crate) producers: HashMap<ProducerId, Offset>,
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
/// enough and those of the second are not. Either way the newest record of each key is left, and nothing
/// else.
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
    log.clean_all(Offset::ZERO, rounds);
    assert_eq!(log.records(), newest(&before));
    log.assert_sound(&before, &epochs);

    log.append_segments(&mut input);
    let (before, epochs) = (log.records(), log.epochs());
    log.clean_all(first_end, Rounds { now: rounds.now.plus(1_000), ..rounds });
    let mut expected = newest(&before);
    expected.retain(|record| !record.is_tombstone || record.offset >= first_end.get());
    assert_eq!(log.records(), expected);
    log.assert_sound(&before, &epochs);
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
        let mut bytes = batch.build();
        // Every eighth offset another leader.
        batch::stamp(&mut bytes, self.end(), LeaderEpoch((self.end().get() / 8) as i32));
        let header = *BatchHeader::peek(&bytes).expect("a batch of ours");
        if let Some(producer) = header.producer() {
            self.producers.insert(producer.id, header.last_offset());
        }
        let segment = self.segments.last_mut().expect("a segment was begun");
        segment.next_offset = header.next_offset();
        segment.batches.push(bytes.to_vec());
    }

    /// Segments of batches that the input chooses: few keys, all codecs, some producers.
    fn append_segments(&mut self, input: &mut Input<'_>) {
        for _ in 0..1 + input.below(5) {
            self.begin_segment();
            for _ in 0..1 + input.below(7) {
                let kind = input.byte();
                let codec = Codec::ALL[usize::from(kind & 7) % Codec::ALL.len()];
                let mut batch = BatchBuilder::new(codec);
                if kind & 0x80 != 0 {
                    batch = batch.producer(
                        ProducerId(i64::from(kind >> 5 & 3)),
                        ProducerEpoch::FIRST,
                        Sequence(i32::from(input.byte())),
                    );
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
        let dirty = self.segments.iter().filter(|segment| segment.next_offset > first_dirty);
        for batch in dirty.flat_map(|segment| &segment.batches) {
            if !map.note_batch(batch).expect(SOUND) {
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
        for group in groups {
            let parts = &self.segments[group];
            let (base, next_offset) =
                (parts[0].base, parts.last().expect("a group has a segment").next_offset);
            let mut row = Row::new(base, &cleaner);
            let mut batches = Vec::new();
            for batch in parts.iter().flat_map(|segment| &segment.batches) {
                batches.extend(match cleaner.clean(batch).expect(SOUND) {
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
        map.end()
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
                header.producer_id() == *id && header.last_offset() == *last
            };
            assert!(self.batches().any(is_there), "the last sequence of producer {id}");
        }
    }
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
