//! Whole rounds over a log in memory, against a model that is a map from keys to records.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::*;
use crate::format::batch::{self, BatchError, BatchHeader, TimestampType};
use crate::format::builder::BatchBuilder;
use crate::format::compression::Codec;
use crate::types::{LeaderEpoch, Offset, Timestamp};
use unpacked::{Unpacked, verified};

const KEYS: HashKeys = HashKeys(1, 2);
const DAY: i64 = 86_400_000;

/// A record to append: key, value, timestamp.
type Input<'a> = (&'a str, Option<&'a str>, Timestamp);

/// What a reader sees of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    offset: i64,
    key: Option<Vec<u8>>,
    is_tombstone: bool,
    timestamp: Timestamp,
}

/// The sealed segments of a log.
#[derive(Default)]
struct Log {
    segments: Vec<Segment>,
    producers: HashMap<i64, Offset>,
}

struct Segment {
    base: Offset,
    next_offset: Offset,
    batches: Vec<Vec<u8>>,
}

/// The settings and the time of a test's rounds.
#[derive(Clone, Copy)]
struct Rounds {
    map_bytes: usize,
    segment_bytes: u64,
    now: Timestamp,
    delete_retention_ms: i64,
}

const ROUNDS: Rounds =
    Rounds { map_bytes: 1 << 20, segment_bytes: 1 << 20, now: 1_000_000, delete_retention_ms: DAY };

impl Log {
    fn end(&self) -> Offset {
        self.segments.last().map_or(Offset::ZERO, |segment| segment.next_offset)
    }

    fn begin_segment(&mut self) {
        let base = self.end();
        self.segments.push(Segment { base, next_offset: base, batches: Vec::new() });
    }

    fn append(&mut self, batch: BatchBuilder) {
        let mut bytes = batch.build();
        batch::stamp(&mut bytes, self.end(), LeaderEpoch::FIRST);
        let header = *BatchHeader::peek(&bytes).unwrap();
        if let Some(producer) = header.producer() {
            self.producers.insert(producer.id, header.last_offset());
        }
        let segment = self.segments.last_mut().expect("a segment was begun");
        segment.next_offset = header.next_offset();
        segment.batches.push(bytes.to_vec());
    }

    fn facts(&self) -> Vec<SealedSegment> {
        let fact = |segment: &Segment| SealedSegment {
            base: segment.base,
            next_offset: segment.next_offset,
            bytes: segment.batches.iter().map(|batch| batch.len() as u64).sum(),
            first_timestamp: 0,
            max_timestamp: 0,
        };
        self.segments.iter().map(fact).collect()
    }

    /// One round from `first_dirty` on; gives the first offset that is dirty then.
    fn clean(&mut self, first_dirty: Offset, rounds: Rounds) -> Offset {
        let mut map = OffsetMap::new(first_dirty, u64::MAX, rounds.map_bytes, KEYS);
        let dirty = self.segments.iter().filter(|segment| segment.next_offset > first_dirty);
        for batch in dirty.flat_map(|segment| &segment.batches) {
            if !map.note_batch(batch).unwrap() {
                break;
            }
        }
        let cleaner = Cleaner {
            map: &map,
            producers: &self.producers,
            now: rounds.now,
            delete_retention_ms: rounds.delete_retention_ms,
        };
        let groups = group(&self.facts(), map.end(), rounds.segment_bytes);
        let untouched = groups.last().map_or(0, |group| group.end);
        let mut cleaned = Vec::new();
        for group in groups {
            let parts = &self.segments[group];
            let batches: Vec<_> = parts.iter().flat_map(|segment| &segment.batches).collect();
            let left = batches.iter().enumerate().filter_map(|(at, batch)| {
                match cleaner.clean(batch, at + 1 == batches.len()).unwrap() {
                    Cleaned::Same => Some(batch.to_vec()),
                    Cleaned::Rewritten(other) => Some(other.to_vec()),
                    Cleaned::Removed => None,
                }
            });
            let next_offset = parts.last().unwrap().next_offset;
            cleaned.push(Segment { base: parts[0].base, next_offset, batches: left.collect() });
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

    fn batches(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.segments.iter().flat_map(|segment| &segment.batches)
    }

    fn records(&self) -> Vec<Seen> {
        self.batches().flat_map(|batch| seen(batch)).collect()
    }

    fn offsets(&self) -> Vec<i64> {
        self.records().iter().map(|record| record.offset).collect()
    }
}

fn seen(batch: &[u8]) -> Vec<Seen> {
    let header = verified(batch).unwrap();
    let unpacked = Unpacked::new(header, batch).unwrap();
    let log_time = header.timestamp_type() == TimestampType::LogAppendTime;
    let records = unpacked.records().map(|record| {
        let record = record.unwrap();
        Seen {
            offset: record.offset.get(),
            key: record.record.key.map(<[u8]>::to_vec),
            is_tombstone: record.record.value.is_none(),
            timestamp: if log_time { header.max_timestamp() } else { record.timestamp },
        }
    });
    records.collect()
}

fn batch(codec: Codec, records: &[Input<'_>]) -> BatchBuilder {
    let mut batch = BatchBuilder::new(codec);
    for (key, value, timestamp) in records {
        batch.push(*timestamp, Some(key.as_bytes()), value.map(str::as_bytes), &[("h", Some(b"x"))]);
    }
    batch
}

/// A log of one sealed segment with these batches.
fn log(batches: impl IntoIterator<Item = BatchBuilder>) -> Log {
    let mut log = Log::default();
    log.begin_segment();
    batches.into_iter().for_each(|batch| log.append(batch));
    log
}

#[test]
fn the_textbook_log_keeps_the_newest_record_of_each_key() {
    // The last K2, at offset 11, is in the active segment: it saves nothing and is not touched.
    let keys = ["K1", "K2", "K1", "K1", "K3", "K2", "K4", "K5", "K5", "K2", "K6"];
    let in_batches_of = |count: usize| {
        let mut log = Log::default();
        for keys in keys.chunks(count) {
            log.begin_segment();
            let records: Vec<_> = keys.iter().map(|key| (*key, Some("value"), 7)).collect();
            log.append(batch(Codec::None, &records));
        }
        log
    };
    for count in 1..=keys.len() {
        let mut log = in_batches_of(count);
        assert_eq!(log.clean(Offset::ZERO, ROUNDS), Offset::new(11));
        assert_eq!(log.offsets(), [3, 4, 6, 8, 9, 10], "{count} records a batch");
    }
}

#[test]
fn rounds_leave_what_a_map_of_keys_to_records_would() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut log = Log::default();
        random_segments(&mut log, &mut random);
        let first_end = log.end();
        let before = log.records();

        let rounds = Rounds {
            map_bytes: random.usize(48..2_000),
            segment_bytes: random.u64(100..5_000),
            now: 1_000_000,
            delete_retention_ms: 1_000,
        };
        log.clean_all(Offset::ZERO, rounds);
        assert_eq!(log.records(), newest(&before), "seed {seed}");
        assert_sound(&log, &before);

        // Then tombstones of the first pass are old enough, those of the second are not.
        random_segments(&mut log, &mut random);
        let before = log.records();
        log.clean_all(first_end, Rounds { now: rounds.now + 1_000, ..rounds });
        let mut expected = newest(&before);
        expected.retain(|record| !record.is_tombstone || record.offset >= first_end.get());
        assert_eq!(log.records(), expected, "seed {seed}");
        assert_sound(&log, &before);
    }
}

/// Some segments of random batches: few keys, all codecs, some producers.
fn random_segments(log: &mut Log, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..6) {
        log.begin_segment();
        for _ in 0..random.usize(1..8) {
            let mut batch = BatchBuilder::new(random.choice(Codec::ALL).unwrap());
            if random.bool() {
                batch = batch.producer(random.i64(0..4), 0, random.i32(0..1_000));
            }
            for _ in 0..random.usize(1..6) {
                let key = random.u8(0..12).to_string();
                let value = (random.u8(0..4) > 0).then(|| "value".repeat(random.usize(0..9)));
                let timestamp = random.i64(-1..1_000_000);
                batch.push(timestamp, Some(key.as_bytes()), value.as_deref().map(str::as_bytes), &[]);
            }
            log.append(batch);
        }
    }
}

/// The newest record of each key, in the order of their offsets.
fn newest(records: &[Seen]) -> Vec<Seen> {
    let by_key: BTreeMap<_, _> = records.iter().map(|record| (record.key.clone(), record.offset)).collect();
    let kept: BTreeSet<_> = by_key.into_values().collect();
    records.iter().filter(|record| kept.contains(&record.offset)).cloned().collect()
}

/// Whatever was removed: segments follow each other, offsets rise, records are those of before, and producers' last sequences are there.
fn assert_sound(log: &Log, before: &[Seen]) {
    let mut next = Offset::ZERO;
    for segment in &log.segments {
        assert_eq!(segment.base, next, "a gap between segments");
        next = segment.next_offset;
        let last = BatchHeader::peek(segment.batches.last().expect("no segment is empty")).unwrap();
        assert_eq!(last.next_offset(), next, "the last batch tells where the segment ends");
    }
    let mut least = Offset::ZERO;
    for bytes in log.batches() {
        let header = verified(bytes).unwrap();
        assert!(header.base_offset() >= least);
        least = header.next_offset();
        let records = seen(bytes);
        let largest = records.iter().map(|record| record.timestamp).max();
        assert!(largest.is_none_or(|largest| largest == header.max_timestamp()));
        assert!(records.iter().all(|record| before.contains(record)), "a record has changed");
    }
    for (id, last) in &log.producers {
        let is_there = |bytes: &Vec<u8>| {
            let header = BatchHeader::peek(bytes).unwrap();
            header.producer_id() == *id && header.last_offset() == *last
        };
        assert!(log.batches().any(is_there), "the last sequence of producer {id}");
    }
}

#[test]
fn what_does_not_change_is_the_same_byte_for_byte() {
    for codec in Codec::ALL {
        let mut log = log([batch(codec, &[("a", Some("1"), 5), ("b", Some("2"), 9)])]);
        let before: Vec<_> = log.batches().cloned().collect();
        log.clean(Offset::ZERO, ROUNDS);
        assert_eq!(log.batches().cloned().collect::<Vec<_>>(), before, "{}", codec.name());
    }
}

#[test]
fn a_rewritten_batch_keeps_all_but_the_records_that_went() {
    for codec in Codec::ALL {
        let first = batch(codec, &[("a", Some("old"), 9), ("b", Some("2"), 5), ("c", Some("3"), 7)])
            .producer(4, 2, 100)
            .transactional(true);
        let mut log = log([first, batch(codec, &[("a", Some("new"), 1)])]);
        let before = *BatchHeader::peek(&log.segments[0].batches[0]).unwrap();
        log.clean(Offset::ZERO, ROUNDS);
        let after = *BatchHeader::peek(&log.segments[0].batches[0]).unwrap();
        assert_eq!(log.offsets(), [1, 2, 3]);
        assert_eq!(after.base_offset(), before.base_offset());
        assert_eq!(after.last_offset(), before.last_offset());
        assert_eq!(after.attributes(), before.attributes(), "codec and transaction");
        assert_eq!((after.producer(), after.last_sequence()), (before.producer(), before.last_sequence()));
        assert_eq!(after.leader_epoch(), before.leader_epoch());
        assert_eq!((after.record_count(), after.max_timestamp()), (2, 7));
    }
}

#[test]
fn an_append_time_stays_the_time_of_all_records() {
    let mut log = log([batch(Codec::None, &[("a", Some("old"), 1), ("b", None, 2), ("a", Some("new"), 3)])]);
    batch::set_log_append_time(&mut log.segments[0].batches[0], 500);
    log.clean(Offset::ZERO, ROUNDS);
    let times: Vec<_> = log.records().iter().map(|record| (record.offset, record.timestamp)).collect();
    assert_eq!(times, [(1, 500), (2, 500)]);
}

#[test]
fn a_tombstone_stays_until_the_horizon_that_its_first_round_set() {
    for codec in Codec::ALL {
        let mut log = log([batch(codec, &[("a", Some("1"), 50), ("a", None, 60), ("b", Some("2"), 70)])]);
        log.clean(Offset::ZERO, ROUNDS);
        let header = *BatchHeader::peek(&log.segments[0].batches[0]).unwrap();
        assert!(header.has_delete_horizon());
        assert_eq!(header.base_timestamp(), ROUNDS.now + DAY);
        let times: Vec<_> = log.records().iter().map(|record| (record.offset, record.timestamp)).collect();
        assert_eq!(times, [(1, 60), (2, 70)], "the records have their own times");

        let stamped = log.segments[0].batches[0].clone();
        log.clean(log.end(), Rounds { now: ROUNDS.now + DAY - 1, ..ROUNDS });
        assert_eq!(log.segments[0].batches[0], stamped, "no later round moves the horizon");
        // A round cleans what lies before the end of its map, so there has to be something dirty behind it.
        let dirty = log.end();
        log.append(batch(codec, &[("c", Some("3"), 80)]));
        log.clean(dirty, Rounds { now: ROUNDS.now + DAY, ..ROUNDS });
        assert_eq!(log.offsets(), [2, 3]);
        assert!(BatchHeader::peek(&log.segments[0].batches[0]).unwrap().has_delete_horizon());
    }
}

#[test]
fn a_horizon_at_the_end_of_time_keeps_the_timestamps() {
    let mut log = log([batch(Codec::None, &[("a", None, -1), ("b", Some("2"), 70)])]);
    log.clean(Offset::ZERO, Rounds { delete_retention_ms: i64::MAX, ..ROUNDS });
    assert_eq!(BatchHeader::peek(&log.segments[0].batches[0]).unwrap().base_timestamp(), i64::MAX);
    let times: Vec<_> = log.records().iter().map(|record| record.timestamp).collect();
    assert_eq!(times, [-1, 70]);
}

#[test]
fn an_emptied_batch_is_kept_only_as_a_group_s_last_or_a_producer_s_last() {
    let old = || batch(Codec::Zstd, &[("a", Some("old"), 3)]);
    let mut log = log([old(), old().producer(7, 1, 40), old(), old().producer(7, 1, 41), old()]);
    log.begin_segment();
    log.append(batch(Codec::None, &[("a", Some("new"), 4)]));
    log.clean(Offset::ZERO, Rounds { segment_bytes: 1, ..ROUNDS });
    let left: Vec<_> = log.batches().map(|bytes| *BatchHeader::peek(bytes).unwrap()).collect();
    let offsets: Vec<_> = left.iter().map(|header| header.base_offset().get()).collect();
    assert_eq!(offsets, [3, 4, 5], "the producer's last, the group's last, and the record");
    let empty = left[0];
    assert_eq!((empty.record_count(), empty.total_bytes()), (0, 61));
    assert_eq!((empty.base_timestamp(), empty.max_timestamp()), (-1, 3));
    assert_eq!((empty.producer_id(), empty.producer_epoch(), empty.last_sequence()), (7, 1, 41));
    assert_eq!(empty.codec(), Ok(Codec::None));

    // In a group with what follows, the group's last is not one any more; a producer that was forgotten keeps nothing.
    log.producers.clear();
    log.append(batch(Codec::None, &[("b", Some("new"), 4)]));
    log.clean(Offset::new(6), ROUNDS);
    assert_eq!(log.batches().count(), 2);
}

#[test]
fn records_without_a_key_go_and_markers_stay() {
    let mut unkeyed = BatchBuilder::new(Codec::None);
    unkeyed.push(1, None, Some(b"value"), &[]);
    let mut marker = BatchBuilder::new(Codec::None).producer(9, 0, -1).transactional(true).control(true);
    marker.push(1, Some(b"\0\0\0\x01"), Some(b"\0\0\0\0\0\0"), &[]);
    let mut log = log([unkeyed, marker, batch(Codec::None, &[("a", Some("1"), 3)])]);
    log.clean(Offset::ZERO, ROUNDS);
    assert_eq!(log.offsets(), [1, 2]);
}

#[test]
fn a_full_map_ends_the_round_and_nothing_behind_it_is_judged() {
    let records: Vec<_> = ["a", "a", "b", "c", "a", "b"].iter().map(|key| (*key, Some("v"), 1)).collect();
    let mut log = log([batch(Codec::None, &records)]);
    // Two slots in use of three: a and b fit, c does not.
    let small = Rounds { map_bytes: 72, ..ROUNDS };
    assert_eq!(log.clean(Offset::ZERO, small), Offset::new(3));
    assert_eq!(log.offsets(), [1, 2, 3, 4, 5]);
    assert_eq!(log.clean(Offset::new(3), small), Offset::new(5), "c and a, not b");
    assert_eq!(log.offsets(), [2, 3, 4, 5]);
    assert_eq!(log.clean(Offset::new(5), small), Offset::new(6));
    assert_eq!(log.offsets(), [3, 4, 5]);
}

#[test]
fn damage_is_refused_and_never_made_to_look_sound() {
    let log = log([batch(Codec::Gzip, &[("a", Some("old"), 1), ("a", Some("new"), 1)])]);
    let sound = log.segments[0].batches[0].clone();
    let mut map = OffsetMap::new(Offset::ZERO, 10, 1 << 10, KEYS);
    map.note_batch(&sound).unwrap();
    let cleaner = Cleaner { map: &map, producers: &HashMap::new(), now: 0, delete_retention_ms: 0 };
    // Base offset and leader epoch lie before what the sum covers.
    for bit in 16 * 8..sound.len() * 8 {
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(cleaner.clean(&bytes, true).is_err(), "bit {bit}");
        assert!(OffsetMap::new(Offset::ZERO, 10, 1 << 10, KEYS).note_batch(&bytes).is_err(), "bit {bit}");
    }
    let truncated = CompactionError::Batch(BatchError::Truncated { needed: 61, found: 10 });
    assert_eq!(cleaner.clean(&sound[..10], true), Err(truncated));

    // A sum that holds over records that do not.
    let mut bytes = sound;
    bytes[23..27].copy_from_slice(&0i32.to_be_bytes());
    batch::set_max_timestamp(&mut bytes, 1);
    assert_eq!(
        cleaner.clean(&bytes, true),
        Err(CompactionError::OffsetDelta { least: 1, most: 0, found: 1 })
    );
}
