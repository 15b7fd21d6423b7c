//! What a batch has to be, and what it is told when it is not.

use super::*;
use crate::format::builder::BatchBuilder;
use crate::format::record::RecordProblem;
use crate::types::{ProducerEpoch, ProducerId, Sequence, Timestamp};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn rules() -> CheckRules {
    CheckRules {
        bytes_max: 1 << 20,
        keys_required: false,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: 10_000,
        after_max_ms: 1_000,
        now: NOW,
        decompressed_bytes_max: 1 << 20,
        repack: None,
    }
}

fn one(codec: Codec) -> BytesMut {
    let mut builder = BatchBuilder::new(codec);
    builder.push(NOW, Some(b"key"), Some(&[b'x'; 500]), &[("h", None)]);
    builder.push(NOW.minus(7), None, Some(b"value"), &[]);
    builder.build()
}

/// Changes header bytes and makes the sum right again, so that only the rule in question can object.
fn forged(mut batch: BytesMut, place: usize, bytes: &[u8]) -> BytesMut {
    batch[place..place + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn refused(batch: BytesMut, rules: &CheckRules) -> CheckError {
    check(batch, rules).map(|_| ()).expect_err("the batch is refused")
}

#[test]
fn every_codec_passes_unchanged() {
    for codec in Codec::ALL {
        let batch = one(codec);
        let checked = check(batch.clone(), &rules()).expect("a sound batch");
        assert_eq!(checked.header().codec(), Ok(codec));
        assert_eq!(checked.into_bytes_mut(), batch);
    }
}

#[test]
fn exactly_one_batch_is_taken() {
    let batch = one(Codec::None);
    let batch_bytes = batch.len();
    let mut two = batch.clone();
    two.extend_from_slice(&batch);
    assert_eq!(refused(two, &rules()), CheckError::ManyBatches { batch_bytes, found: 2 * batch_bytes });
    assert_eq!(refused(BytesMut::new(), &rules()), CheckError::NoBatch);
    let cut = BytesMut::from(&batch[..batch_bytes - 1]);
    let error = BatchError::Truncated { needed: batch_bytes, found: batch_bytes - 1 };
    assert_eq!(refused(cut, &rules()), CheckError::Corrupt(error));
    let tight = CheckRules { bytes_max: batch_bytes - 1, ..rules() };
    assert_eq!(
        refused(batch.clone(), &tight),
        CheckError::TooLarge { bytes_max: batch_bytes - 1, found: batch_bytes }
    );
    check(batch, &CheckRules { bytes_max: batch_bytes, ..rules() }).expect("the limit itself is allowed");
}

#[test]
fn each_rule_of_the_header_has_its_own_answer() {
    let batch = || one(Codec::None);
    assert_eq!(
        refused(forged(batch(), 0, &1i64.to_be_bytes()), &rules()),
        CheckError::BaseOffset { found: 1 }
    );
    assert_eq!(
        refused(forged(batch(), 0, &(-1i64).to_be_bytes()), &rules()),
        CheckError::BaseOffset { found: -1 }
    );
    assert_eq!(refused(forged(batch(), 16, &[1]), &rules()), CheckError::Magic { found: 1 });
    for (last_offset_delta, record_count) in [(0, 2), (1, 1), (-1, 0), (1, -2), (i32::MIN, i32::MAX)] {
        let batch = forged(batch(), 23, &i32::to_be_bytes(last_offset_delta));
        let batch = forged(batch, 57, &i32::to_be_bytes(record_count));
        assert_eq!(refused(batch, &rules()), CheckError::Counts { last_offset_delta, record_count });
    }
    assert_eq!(refused(forged(batch(), 21, &[0, 1 << 5]), &rules()), CheckError::Control);
    assert_eq!(refused(forged(batch(), 21, &[0, 5]), &rules()), CheckError::Codec { found: 5 });
    let sequence = CheckError::Sequence { producer_id: ProducerId(9), base_sequence: Sequence::NONE };
    assert_eq!(refused(forged(batch(), 43, &9i64.to_be_bytes()), &rules()), sequence);
    let mut damaged = batch();
    damaged[100] ^= 1;
    assert!(matches!(refused(damaged, &rules()), CheckError::Corrupt(BatchError::Crc { .. })));
}

/// The bit alone; Kafka answers the same for every codec.
#[test]
fn a_client_that_says_log_append_time_is_refused_where_it_matters_and_put_right_elsewhere() {
    let log_time = CheckRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    for codec in Codec::ALL {
        let claimed = forged(one(codec), 21, &[0, codec.id() | 1 << 3]);
        assert_eq!(refused(claimed.clone(), &log_time), CheckError::LogAppendTime);
        assert_eq!(check(claimed.clone(), &rules()).expect("put right").into_bytes_mut(), one(codec));
        let without_time = forged(claimed, 35, &Timestamp::NONE.0.to_be_bytes());
        assert_eq!(refused(without_time, &rules()), CheckError::LogAppendTime);
    }
}

#[test]
fn records_are_kept_in_the_topics_codec_and_stay_what_they_were() {
    let packings = Codec::ALL.map(Packing::from).into_iter();
    let levels = [
        (Codec::Gzip, 1),
        (Codec::Gzip, 9),
        (Codec::Lz4, 1),
        (Codec::Lz4, 17),
        (Codec::Zstd, -5),
        (Codec::Zstd, 19),
    ];
    let levels = levels.map(|(codec, level)| Packing { codec, level: Some(level) });
    for packing in packings.chain(levels) {
        for sent in Codec::ALL {
            let mut builder = BatchBuilder::new(sent).producer(ProducerId(7), ProducerEpoch(3), Sequence(99));
            for at in 0..500i64 {
                builder.push(NOW.minus(at % 7), Some(b"key"), Some(&[at as u8; 300]), &[("h", None)]);
            }
            let batch = builder.build();
            let rules = CheckRules { repack: Some(Repack { packing, bytes_max: 1 << 20 }), ..rules() };
            let kept = check(batch.clone(), &rules).expect("a sound batch");
            let records = |batch: &[u8]| {
                let codec = BatchHeader::raw(batch).unwrap().codec().unwrap();
                crate::format::compression::decompress(codec, &batch[BATCH_HEADER_BYTES..], 1 << 20).unwrap()
            };
            assert_eq!(kept.header().codec(), Ok(packing.codec));
            assert_eq!(records(kept.as_ref()), records(&batch));
            assert_eq!(kept.header().total_bytes(), kept.len());
            let plain = |header: &BatchHeader| {
                let producer = (header.producer(), header.base_sequence(), header.last_sequence());
                (producer, header.base_timestamp(), header.max_timestamp(), header.record_count())
            };
            assert_eq!(plain(kept.header()), plain(BatchHeader::raw(&batch).unwrap()));
            batch::verify_crc(kept.as_ref()).expect("a new sum");
            if sent == packing.codec {
                assert_eq!(kept.as_ref(), &batch[..], "nothing to do");
            }
        }
    }
}

#[test]
fn a_batch_is_measured_as_the_topic_keeps_it() {
    let mut builder = BatchBuilder::new(Codec::Gzip);
    builder.push(NOW, None, Some(&vec![0; 500_000]), &[]);
    let batch = builder.build();
    let to = |bytes_max| {
        let repack = Repack { packing: Codec::None.into(), bytes_max };
        CheckRules { repack: Some(repack), ..rules() }
    };
    assert!(matches!(
        refused(batch.clone(), &to(100_000)),
        CheckError::TooLarge { bytes_max: 100_000, found } if found > 100_000
    ));
    let kept = check(batch.clone(), &to(1 << 20)).expect("it fits");
    let bytes = kept.len();
    assert_eq!(check(batch.clone(), &to(bytes)).expect("the limit itself is allowed").len(), bytes);
    assert!(matches!(refused(batch, &to(bytes - 1)), CheckError::TooLarge { .. }));
}

#[test]
fn what_records_may_unpack_to_grows_with_their_bytes() {
    let rules = CheckRules { decompressed_bytes_max: 256 << 20, ..rules() };
    let limits =
        [0, 8 << 10, 16 << 10, 64 << 10, 1 << 20, usize::MAX].map(|bytes| unpacked_bytes_max(bytes, &rules));
    assert_eq!(limits.map(|limit| limit >> 20), [16, 16, 16, 64, 256, 256]);
}

#[test]
fn a_check_in_pieces_ends_as_one_in_one_go() {
    let mut builder = BatchBuilder::new(Codec::Zstd);
    (0..40).for_each(|at| builder.push(NOW.minus(at), None, Some(&vec![at as u8; 9_000]), &[]));
    let batch = builder.build();
    let whole = check(batch.clone(), &rules()).unwrap();
    let mut unpacker = Unpacker::default();
    let mut checking = Checking::begin(batch, &rules()).unwrap();
    checking.restart(100_000);
    let mut steps = 0;
    let mut last = Progress::More;
    while last == Progress::More {
        last = checking.step(&mut unpacker).unwrap();
        steps += 1;
    }
    assert_eq!((last, steps), (Progress::NoRoom, 2), "64 KiB a step");
    checking.restart(usize::MAX);
    while checking.step(&mut unpacker).unwrap() == Progress::More {}
    assert_eq!(checking.finish().unwrap().as_ref(), whole.as_ref());
}

#[test]
fn a_compacted_topic_names_the_records_without_a_key() {
    let rules = CheckRules { keys_required: true, ..rules() };
    for codec in Codec::ALL {
        let CheckError::Rejected(rejected) = refused(one(codec), &rules) else { panic!("{codec:?}") };
        assert_eq!(rejected.named(), [RejectedRecord { index: 1, reason: RejectReason::MissingKey }]);
        assert!(!rejected.any_timestamp());
    }
    let mut builder = BatchBuilder::new(Codec::None);
    (0..250).for_each(|_| builder.push(NOW, None, None, &[]));
    let CheckError::Rejected(rejected) = refused(builder.build(), &rules) else { panic!("no keys") };
    assert_eq!((rejected.named().len(), rejected.total()), (REJECTED_RECORDS_MAX, 250));
}

#[test]
fn timestamps_outside_the_window_are_named_and_the_edges_are_inside() {
    let times = [
        NOW.minus(10_000),
        NOW.minus(10_001),
        NOW.plus(1_000),
        NOW.plus(1_001),
        Timestamp::NONE,
        Timestamp::MAX,
        Timestamp(i64::MIN / 2),
    ];
    let mut builder = BatchBuilder::new(Codec::Zstd);
    times.iter().for_each(|time| builder.push(*time, Some(b"k"), None, &[]));
    let batch = builder.build();
    let CheckError::Rejected(rejected) = refused(batch.clone(), &rules()) else { panic!("times") };
    let named: Vec<_> = rejected.named().iter().map(|record| (record.index, record.reason)).collect();
    let (old, new) = (RejectReason::TimestampTooOld, RejectReason::TimestampTooNew);
    assert_eq!(named, [(1, old), (3, new), (5, new), (6, old)]);
    assert!(rejected.any_timestamp());

    let log_time = CheckRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    let checked = check(batch, &log_time).expect("the log's time counts, not the records'");
    assert_eq!(checked.header().timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(checked.header().max_timestamp(), NOW);
    batch::verify_crc(checked.as_ref()).expect("a renewed sum");
}

/// What is checked is what a consumer is shown, as in Kafka: `baseTimestamp + timestampDelta` in 64 bits.
#[test]
fn a_timestamp_that_leaves_64_bits_is_the_one_that_readers_see() {
    let mut builder = BatchBuilder::new(Codec::None);
    for time in [Timestamp::MAX, Timestamp(i64::MIN)] {
        builder.push(time, Some(b"k"), None, &[]);
    }
    let any_new = CheckRules { after_max_ms: i64::MAX, ..rules() };
    let CheckError::Rejected(rejected) = refused(builder.build(), &any_new) else { panic!("times") };
    let named: Vec<_> = rejected.named().iter().map(|record| (record.index, record.reason)).collect();
    assert_eq!(named, [(1, RejectReason::TimestampTooOld)]);
}

#[test]
fn a_wrong_max_timestamp_is_corrected() {
    for codec in Codec::ALL {
        let batch = one(codec);
        let checked =
            check(forged(batch.clone(), 35, &i64::MAX.to_be_bytes()), &rules()).expect("a sound batch");
        assert_eq!(checked.into_bytes_mut(), batch);
    }
}

#[test]
fn records_that_do_not_add_up_are_refused() {
    let batch = one(Codec::None);
    let grown =
        |count: i32| forged(forged(batch.clone(), 23, &(count - 1).to_be_bytes()), 57, &count.to_be_bytes());
    assert!(matches!(refused(grown(3), &rules()), CheckError::Record(RecordError { record: 2, .. })));
    let left_over = RecordProblem::LeftOver { left: batch.len() - second_record(&batch) };
    assert_eq!(
        refused(grown(1), &rules()),
        CheckError::Record(RecordError { record: 1, problem: left_over })
    );
    // length (1 byte), attributes, timestamp delta (1 byte), then the offset delta
    let place = second_record(&batch) + 3;
    assert_eq!(batch[place], 2, "zigzag of 1");
    let error = CheckError::OffsetDelta { expected: 1, found: 2 };
    assert_eq!(refused(forged(batch.clone(), place, &[4]), &rules()), error);
}

fn second_record(batch: &[u8]) -> usize {
    let mut rest = &batch[BATCH_HEADER_BYTES..];
    let length = crate::format::varint::read_varint(&mut rest).expect("the first record's length");
    batch.len() - rest.len() + length as usize
}

#[test]
fn a_bomb_stops_at_the_limit() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new(codec);
        builder.push(NOW, None, Some(&vec![0; 4 << 20]), &[]);
        let limit = rules().decompressed_bytes_max;
        let error = CheckError::Decompress(DecompressError::TooLarge { codec, limit });
        assert_eq!(refused(builder.build(), &rules()), error);
    }
}

#[test]
fn a_stamped_batch_is_what_a_log_holds() {
    let mut checked = check(one(Codec::Lz4), &rules()).expect("a sound batch");
    checked.stamp(Offset::new(77), LeaderEpoch(4));
    assert_eq!(checked.header().next_offset(), Offset::new(79));
    assert_eq!(checked.len(), checked.header().total_bytes());
    batch::verify_crc(checked.as_ref()).expect("the sum does not cover the stamp");
}
