//! Whole rounds over a log in memory, against a model that is a map from keys to records.

use std::collections::HashMap;

use super::*;
use crate::checkers::compaction::{KEYS, Log, Rounds};
use crate::checkers::{CHECKERS, Checker};
use crate::config::CompressionLevels;
use crate::format::batch::{self, BatchError, BatchHeader, Producer};
use crate::format::builder::BatchBuilder;
use crate::format::compression::Codec;
use crate::format::marker::TransactionResult;
use crate::format::record::RecordsError;
use crate::types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

const DAY: i64 = 86_400_000;

/// A record to append: key, value, timestamp.
type Input<'a> = (&'a str, Option<&'a str>, i64);

const ROUNDS: Rounds = Rounds {
    map_bytes: 1 << 20,
    segment_bytes: 1 << 20,
    now: Timestamp(1_000_000),
    delete_retention_ms: DAY,
};

impl Log {
    fn offsets(&self) -> Vec<i64> {
        self.records().iter().map(|record| record.offset).collect()
    }
}

fn batch(codec: Codec, records: &[Input<'_>]) -> BatchBuilder {
    let mut batch = BatchBuilder::new(codec);
    for (key, value, timestamp) in records {
        batch.push(
            Timestamp(*timestamp),
            Some(key.as_bytes()),
            value.map(str::as_bytes),
            &[("h", Some(b"x"))],
        );
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
    let checker = Checker::named(&CHECKERS, "compaction_against_model");
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let bytes: Vec<u8> = (0..random.usize(..1000)).map(|_| random.u8(..)).collect();
        checker.run(&bytes);
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
            .producer(ProducerId(4), ProducerEpoch(2), Sequence(100))
            .transactional(true);
        let mut log = log([first, batch(codec, &[("a", Some("new"), 1)])]);
        let before = *BatchHeader::peek(&log.segments[0].batches[0]).unwrap();
        log.clean(Offset::ZERO, ROUNDS);
        let after = *BatchHeader::peek(&log.segments[0].batches[0]).unwrap();
        assert_eq!(log.offsets(), [1, 2, 3]);
        assert_eq!(after.base_offset(), before.base_offset());
        assert_eq!(after.last_offset(), before.last_offset(), "nothing is missing behind it");
        assert_eq!(after.attributes(), before.attributes(), "codec and transaction");
        assert_eq!((after.producer(), after.last_sequence()), (before.producer(), before.last_sequence()));
        assert_eq!(after.leader_epoch(), before.leader_epoch());
        assert_eq!((after.record_count(), after.max_timestamp()), (2, Timestamp(7)));
    }
}

#[test]
fn an_append_time_stays_the_time_of_all_records() {
    let mut log = log([batch(Codec::None, &[("a", Some("old"), 1), ("b", None, 2), ("a", Some("new"), 3)])]);
    batch::set_log_append_time(&mut log.segments[0].batches[0], Timestamp(500));
    log.clean(Offset::ZERO, ROUNDS);
    let times: Vec<_> = log.records().iter().map(|record| (record.offset, record.timestamp.0)).collect();
    assert_eq!(times, [(1, 500), (2, 500)]);
}

#[test]
fn a_tombstone_stays_until_the_horizon_that_its_first_round_set() {
    for codec in Codec::ALL {
        let mut log = log([batch(codec, &[("a", Some("1"), 50), ("a", None, 60), ("b", Some("2"), 70)])]);
        log.clean(Offset::ZERO, ROUNDS);
        let header = *BatchHeader::peek(&log.segments[0].batches[0]).unwrap();
        assert!(header.has_delete_horizon());
        assert_eq!(header.base_timestamp(), ROUNDS.now.plus(DAY));
        let times: Vec<_> = log.records().iter().map(|record| (record.offset, record.timestamp.0)).collect();
        assert_eq!(times, [(1, 60), (2, 70)], "the records have their own times");

        let stamped = log.segments[0].batches[0].clone();
        log.clean(log.end(), Rounds { now: ROUNDS.now.plus(DAY - 1), ..ROUNDS });
        assert_eq!(log.segments[0].batches[0], stamped, "no later round moves the horizon");
        // A round cleans what lies before the end of its map, so there has to be something dirty behind it.
        let dirty = log.end();
        log.append(batch(codec, &[("c", Some("3"), 80)]));
        log.clean(dirty, Rounds { now: ROUNDS.now.plus(DAY), ..ROUNDS });
        assert_eq!(log.offsets(), [2, 3]);
        assert!(BatchHeader::peek(&log.segments[0].batches[0]).unwrap().has_delete_horizon());
    }
}

#[test]
fn a_horizon_at_the_end_of_time_keeps_the_timestamps() {
    let mut log = log([batch(Codec::None, &[("a", None, -1), ("b", Some("2"), 70)])]);
    log.clean(Offset::ZERO, Rounds { delete_retention_ms: i64::MAX, ..ROUNDS });
    assert_eq!(BatchHeader::peek(&log.segments[0].batches[0]).unwrap().base_timestamp(), Timestamp::MAX);
    let times: Vec<_> = log.records().iter().map(|record| record.timestamp.0).collect();
    assert_eq!(times, [-1, 70]);
}

/// What stands in the segments: first and last offset, records, producer.
fn row(log: &Log) -> Vec<(i64, i64, i32, i64)> {
    let header = |bytes: &Vec<u8>| *BatchHeader::peek(bytes).unwrap();
    let told = |header: BatchHeader| {
        let (first, last) = (header.base_offset().get(), header.last_offset().get());
        (first, last, header.record_count(), header.producer_id().0)
    };
    log.batches().map(|bytes| told(header(bytes))).collect()
}

#[test]
fn an_emptied_batch_is_kept_only_as_a_producer_s_last() {
    let old = || batch(Codec::Zstd, &[("a", Some("old"), 3)]);
    let mut log = log([
        old(),
        old().producer(ProducerId(7), ProducerEpoch(1), Sequence(40)),
        old(),
        old().producer(ProducerId(7), ProducerEpoch(1), Sequence(41)),
        old(),
    ]);
    log.begin_segment();
    log.append(batch(Codec::None, &[("a", Some("new"), 4)]));
    log.clean(Offset::ZERO, Rounds { segment_bytes: 1, ..ROUNDS });
    let expected = [(0, 2, 0, -1), (3, 3, 0, 7), (4, 4, 0, -1), (5, 5, 1, -1)];
    assert_eq!(row(&log), expected, "the producer's last is left as it is, between two fillers");
    let empty = *BatchHeader::peek(&log.segments[0].batches[1]).unwrap();
    assert_eq!((empty.record_count(), empty.total_bytes()), (0, 61));
    assert_eq!((empty.base_timestamp(), empty.max_timestamp()), (Timestamp::NONE, Timestamp(3)));
    assert_eq!(
        (empty.producer_id(), empty.producer_epoch(), empty.last_sequence()),
        (ProducerId(7), ProducerEpoch(1), Sequence(41))
    );
    assert_eq!(empty.codec(), Ok(Codec::None));

    // A producer that was forgotten keeps nothing, and fillers become one.
    log.producers.clear();
    log.append(batch(Codec::None, &[("b", Some("new"), 4)]));
    log.clean(Offset::new(6), ROUNDS);
    assert_eq!(row(&log), [(0, 4, 0, -1), (5, 5, 1, -1), (6, 6, 1, -1)]);
}

#[test]
fn a_batch_before_a_gap_is_stretched_unless_its_last_offset_has_a_meaning() {
    let old = || batch(Codec::Lz4, &[("a", Some("old"), 3)]);
    let kept = |key| batch(Codec::Lz4, &[(key, Some("kept"), 3)]);
    let mut marker = BatchBuilder::new(Codec::None)
        .producer(ProducerId(9), ProducerEpoch(0), Sequence(-1))
        .transactional(true)
        .control(true);
    marker.push(Timestamp(1), Some(b"\0\0\0\x01"), Some(b"\0\0\0\0\0\0"), &[]);
    let batches = [
        old(),
        kept("b").producer(ProducerId(7), ProducerEpoch(0), Sequence(0)),
        old(),
        old(),
        kept("c").producer(ProducerId(7), ProducerEpoch(0), Sequence(1)),
        old(),
        kept("d").producer(ProducerId(9), ProducerEpoch(0), Sequence(0)).transactional(true),
        old(),
        marker,
        old(),
        kept("e"),
        old(),
        kept("a"),
    ];
    let mut log = log(batches);
    log.clean(Offset::ZERO, ROUNDS);
    let expected = [
        (0, 0, 0, -1),
        (1, 3, 1, 7),
        (4, 4, 1, 7),
        (5, 5, 0, -1),
        (6, 6, 1, 9),
        (7, 7, 0, -1),
        (8, 8, 1, 9),
        (9, 9, 0, -1),
        (10, 11, 1, -1),
        (12, 12, 1, -1),
    ];
    assert_eq!(row(&log), expected);
    assert_eq!(log.offsets(), [1, 4, 6, 8, 10, 12], "the records are where they were");
    let before: Vec<_> = log.batches().cloned().collect();
    log.append(kept("f"));
    log.clean(Offset::new(13), ROUNDS);
    assert_eq!(log.batches().take(10).cloned().collect::<Vec<_>>(), before, "another round changes nothing");
}

#[test]
fn a_gap_is_closed_however_large_it_is() {
    let mut map = OffsetMap::new(Offset::ZERO, 10, 1 << 10, KEYS);
    let mut bytes = batch(Codec::None, &[("a", Some("1"), 1)]).build();
    map.note_batch(&bytes).unwrap();
    let cleaner = Cleaner {
        map: &map,
        producers: &HashMap::new(),
        now: Timestamp::default(),
        delete_retention_ms: 0,
        levels: CompressionLevels::default(),
    };
    let mut row = Row::new(Offset::ZERO, &cleaner);
    batch::stamp(&mut bytes, Offset::new(5), crate::types::LeaderEpoch::FIRST);
    let mut written = row.push(bytes.freeze());
    written.extend(row.finish(Offset::new(3 << 31)));
    let span = |bytes: &bytes::Bytes| {
        assert_eq!(batch::verify_crc(bytes), Ok(()));
        let header = BatchHeader::peek(bytes).unwrap();
        (header.base_offset().get(), header.next_offset().get())
    };
    let spans: Vec<_> = written.iter().map(span).collect();
    let far = i64::from(i32::MAX);
    assert_eq!(spans, [(0, 5), (5, 6), (6, 6 + far), (6 + far, 6 + 2 * far), (6 + 2 * far, 3 << 31)]);
}

#[test]
fn records_without_a_key_go_and_markers_stay() {
    let mut unkeyed = BatchBuilder::new(Codec::None);
    unkeyed.push(Timestamp(1), None, Some(b"value"), &[]);
    let mut marker = BatchBuilder::new(Codec::None)
        .producer(ProducerId(9), ProducerEpoch(0), Sequence(-1))
        .transactional(true)
        .control(true);
    marker.push(Timestamp(1), Some(b"\0\0\0\x01"), Some(b"\0\0\0\0\0\0"), &[]);
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
    let cleaner = Cleaner {
        map: &map,
        producers: &HashMap::new(),
        now: Timestamp::default(),
        delete_retention_ms: 0,
        levels: CompressionLevels::default(),
    };
    // Base offset and leader epoch lie before what the sum covers.
    for bit in 16 * 8..sound.len() * 8 {
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(cleaner.clean(&bytes, Part::Data).is_err(), "bit {bit}");
        assert!(OffsetMap::new(Offset::ZERO, 10, 1 << 10, KEYS).note_batch(&bytes).is_err(), "bit {bit}");
    }
    let truncated = RecordsError::Batch(BatchError::Truncated { needed: 61, found: 10 });
    assert_eq!(cleaner.clean(&sound[..10], Part::Data), Err(truncated));

    // A sum that holds over records that do not.
    let mut bytes = sound;
    bytes[23..27].copy_from_slice(&0i32.to_be_bytes());
    batch::set_max_timestamp(&mut bytes, Timestamp(1));
    assert_eq!(
        cleaner.clean(&bytes, Part::Data),
        Err(RecordsError::OffsetDelta { least: 1, most: 0, found: 1 })
    );
}

fn transactional(id: i64, epoch: i16, sequence: i32, records: &[Input<'_>]) -> BatchBuilder {
    let batch = batch(Codec::None, records);
    batch.producer(ProducerId(id), ProducerEpoch(epoch), Sequence(sequence)).transactional(true)
}

fn producer(id: i64, epoch: i16) -> Producer {
    Producer { id: ProducerId(id), epoch: ProducerEpoch(epoch) }
}

#[test]
fn records_of_an_aborted_transaction_go_and_remove_nothing() {
    let mut log = log([batch(Codec::None, &[("a", Some("old"), 3), ("b", Some("old"), 3)])]);
    log.append(transactional(7, 0, 0, &[("a", Some("aborted"), 4)]));
    log.append(transactional(8, 0, 0, &[("b", Some("committed"), 4)]));
    log.end_transaction(producer(7, 0), TransactionResult::Abort);
    log.append(transactional(7, 0, 1, &[("c", Some("committed"), 5)]));
    log.end_transaction(producer(8, 0), TransactionResult::Commit);
    log.end_transaction(producer(7, 0), TransactionResult::Commit);
    assert_eq!(log.rows.len(), 1);
    log.clean(Offset::ZERO, ROUNDS);
    assert_eq!(log.data().iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 3, 5]);
    assert_eq!(log.rows, [], "no record of it is left");
    let markers =
        |log: &Log| log.batches().filter(|bytes| BatchHeader::peek(bytes).unwrap().is_control()).count();
    assert_eq!(markers(&log), 3);
}

#[test]
fn a_marker_goes_when_its_records_have_gone_before_and_the_horizon_has_passed() {
    let mut log = log([transactional(7, 0, 0, &[("a", Some("aborted"), 4)])]);
    log.end_transaction(producer(7, 0), TransactionResult::Abort);
    log.append(transactional(7, 0, 1, &[("b", Some("committed"), 5)]));
    log.end_transaction(producer(7, 0), TransactionResult::Commit);
    let round = |log: &mut Log, now: i64| {
        let dirty = log.end();
        log.append(batch(Codec::None, &[("z", Some("dirty"), 9)]));
        log.clean(dirty.min(Offset::new(4)), Rounds { now: ROUNDS.now.plus(now), ..ROUNDS });
        let header = |bytes: &Vec<u8>| *BatchHeader::peek(bytes).unwrap();
        let told = |header: BatchHeader| (header.base_offset().get(), header.has_delete_horizon());
        log.batches().map(header).filter(BatchHeader::is_control).map(told).collect::<Vec<_>>()
    };
    log.clean(Offset::ZERO, ROUNDS);
    let kept = log.segments[0].batches.clone();
    assert_eq!(round(&mut log, 0), [(1, true), (3, false)], "its records went in the round before");
    let stamped = log.batches().find(|bytes| BatchHeader::peek(bytes).unwrap().is_control()).unwrap().clone();
    let header = BatchHeader::peek(&stamped).unwrap();
    assert_eq!((header.record_count(), header.max_timestamp()), (1, Timestamp(1)), "it is the same marker");
    assert_eq!(round(&mut log, DAY - 1), [(1, true), (3, false)]);
    assert!(log.batches().any(|bytes| *bytes == stamped), "no later round moves the horizon");
    assert_eq!(round(&mut log, DAY), [(3, false)]);
    assert!(kept.len() > 2 && log.offsets().contains(&2), "what was committed stays, and so does its marker");
}

#[test]
fn a_marker_whose_row_is_there_stays() {
    let mut log = log([transactional(7, 0, 0, &[("a", Some("aborted"), 4)])]);
    log.end_transaction(producer(7, 0), TransactionResult::Abort);
    let row = log.rows[0];
    let header = *BatchHeader::peek(&log.segments[0].batches[1]).unwrap();
    let mut transactions = Transactions::default();
    transactions.give(Offset::new(100), vec![row]);
    assert_eq!(transactions.pass(&header), Part::Marker);
    transactions.give(Offset::new(100), vec![]);
    assert_eq!(transactions.pass(&header), Part::SpentMarker);
}

#[test]
fn the_marker_with_the_last_epoch_of_a_producer_stays() {
    let mut log = log([transactional(7, 0, 0, &[("a", Some("aborted"), 4)])]);
    log.end_transaction(producer(7, 1), TransactionResult::Abort);
    for days in 0..4 {
        let dirty = log.end();
        log.append(batch(Codec::None, &[("z", Some("dirty"), 9)]));
        log.clean(dirty.min(Offset::new(days * 2)), Rounds { now: ROUNDS.now.plus(days * DAY), ..ROUNDS });
    }
    let header = |bytes: &Vec<u8>| *BatchHeader::peek(bytes).unwrap();
    let left = log.batches().map(header).find(|header| header.producer_id() == ProducerId(7));
    assert_eq!(
        left.map(|header| (header.is_control(), header.producer_epoch())),
        Some((true, ProducerEpoch(1)))
    );
}
