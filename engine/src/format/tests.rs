//! What holds for every format: the golden bytes, and that no damage panics or passes for truth.

use std::collections::BTreeMap;

use bytes::BytesMut;

use super::aborted::{AbortedRow, decode_aborted, encode_aborted};
use super::batch::{self, BatchHeader, Batches, Producer, TimestampType};
use super::builder::BatchBuilder;
use super::check::{CheckRules, check};
use super::checkpoint::{self, CheckpointEncoder, PartitionCheckpoint, ProducerBatch, ProducerCheckpoint};
use super::compacted::Compacted;
use super::compression::{Codec, decompress};
use super::index::{self, IndexEntry};
use super::journal::{self, End, Expect, Truncation};
use super::meta::{DirectoryId, Meta};
use super::record::Records;
use super::topics::{DeletedTopic, Placement, Replica, Role, TopicRecord, TopicsFile};
use super::{producer_ids, settings, topics};
use crate::buffer::AlignedBuffer;
use crate::types::{
    EpochStart, LeaderEpoch, Offset, PartitionId, Position, ProducerEpoch, ProducerId, Sequence, Timestamp,
    TopicId,
};

/// The bytes of a golden file. They were made from the tables of `docs/format.md` by a program that shares no
/// code with this one.
fn golden(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hex digit") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

const TIME: Timestamp = Timestamp(1_700_000_000_000);
const BATCH: &str = include_str!("../../tests/golden/batch-v2.hex");
const JOURNAL: &str = include_str!("../../tests/golden/journal-v2.hex");
const JOURNAL_V1: &str = include_str!("../../tests/golden/journal-v1.hex");
const TRUNCATION: &str = include_str!("../../tests/golden/journal-truncation-v2.hex");
const INDEX: &str = include_str!("../../tests/golden/index-v1.hex");
const META: &str = include_str!("../../tests/golden/meta-v2.hex");
const META_V1: &str = include_str!("../../tests/golden/meta-v1.hex");
const SETTINGS_V1: &str = include_str!("../../tests/golden/settings-v1.hex");
const SETTINGS: &str = include_str!("../../tests/golden/settings-v2.hex");
const TOPICS: &str = include_str!("../../tests/golden/topics-v1.hex");
const TOPICS_V2: &str = include_str!("../../tests/golden/topics-v2.hex");
const TOPICS_V3: &str = include_str!("../../tests/golden/topics-v3.hex");
const ABORTED: &str = include_str!("../../tests/golden/aborted-v1.hex");
const CHECKPOINT: &str = include_str!("../../tests/golden/checkpoint-v3.hex");
const CHECKPOINT_V2: &str = include_str!("../../tests/golden/checkpoint-v2.hex");
const CHECKPOINT_V1: &str = include_str!("../../tests/golden/checkpoint-v1.hex");
const PRODUCER_IDS: &str = include_str!("../../tests/golden/producer-ids-v1.hex");
const COMPACTED: &str = include_str!("../../tests/golden/compacted-v2.hex");
const COMPACTED_V1: &str = include_str!("../../tests/golden/compacted-v1.hex");

fn topic() -> TopicId {
    TopicId::from_bytes(std::array::from_fn(|at| at as u8))
}

fn epoch_start(epoch: i32, start: i64) -> EpochStart {
    EpochStart { epoch: LeaderEpoch(epoch), start: Offset::new(start) }
}

fn golden_producer() -> Producer {
    Producer { id: ProducerId(4242), epoch: ProducerEpoch(7) }
}

fn golden_batch() -> BytesMut {
    let mut builder = BatchBuilder::new(Codec::None)
        .producer(ProducerId(4242), ProducerEpoch(7), Sequence(i32::MAX - 1))
        .transactional(true);
    builder.push(TIME, Some(b"key"), Some(b"value"), &[("h", Some(b"x")), ("n", None)]);
    builder.push(TIME.minus(5), None, None, &[]);
    builder.push(TIME.plus(250), Some(b""), Some(&[0; 70]), &[]);
    assert_eq!(builder.len(), 3);
    let estimate = builder.bytes_estimate();
    let batch = builder.build();
    assert_eq!(batch.len(), estimate);
    batch
}

fn rules() -> CheckRules {
    CheckRules {
        bytes_max: 1 << 20,
        keys_required: false,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: 3_600_000,
        now: TIME,
        decompressed_bytes_max: 1 << 20,
        repack: None,
    }
}

/// Calls `holds` with every cut and every single flipped bit of `bytes`.
fn every_damage(bytes: &[u8], mut holds: impl FnMut(&[u8], &str)) {
    for end in 0..bytes.len() {
        holds(&bytes[..end], &format!("cut to {end} bytes"));
    }
    let mut copy = bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        copy[bit / 8] ^= 1 << (bit % 8);
        holds(&copy, &format!("bit {} of byte {} flipped", bit % 8, bit / 8));
        copy[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_batch_is_built_and_read_as_kafka_lays_it_out() {
    let bytes = golden(BATCH);
    assert_eq!(golden_batch(), bytes);

    let header = BatchHeader::peek(&bytes).expect("the golden batch");
    assert_eq!(header.total_bytes(), bytes.len());
    assert_eq!(header.base_offset(), Offset::ZERO);
    assert_eq!((header.last_offset(), header.next_offset()), (Offset::new(2), Offset::new(3)));
    assert_eq!((header.record_count(), header.last_offset_delta()), (3, 2));
    assert_eq!((header.base_timestamp(), header.max_timestamp()), (TIME, TIME.plus(250)));
    assert_eq!(header.producer(), Some(golden_producer()));
    assert_eq!(
        (header.base_sequence(), header.last_sequence()),
        (Sequence(i32::MAX - 1), Sequence(0)),
        "the sequence wraps"
    );
    assert_eq!(header.codec(), Ok(Codec::None));
    assert_eq!(header.timestamp_type(), TimestampType::CreateTime);
    assert!(header.is_transactional() && !header.is_control() && !header.has_delete_horizon());
    assert_eq!(header.leader_epoch(), LeaderEpoch(-1));
    batch::verify_crc(&bytes).expect("a right sum");

    let records: Vec<_> = Records::new(&bytes[61..], 3).map(|record| record.expect("a record")).collect();
    assert_eq!((records[0].key, records[0].value), (Some(&b"key"[..]), Some(&b"value"[..])));
    let headers: Vec<_> = records[0].headers.map(|header| header.expect("a header")).collect();
    assert_eq!(headers, [(&b"h"[..], Some(&b"x"[..])), (&b"n"[..], None)]);
    assert_eq!((records[1].key, records[1].value, records[1].timestamp_delta), (None, None, -5));
    assert_eq!((records[2].key, records[2].offset_delta), (Some(&b""[..]), 2));
}

/// The two records of each codec's golden file are the same.
#[test]
fn the_records_of_every_codec_are_read_as_documented() {
    for (codec, hex) in [
        (Codec::Gzip, include_str!("../../tests/golden/batch-gzip-v2.hex")),
        (Codec::Snappy, include_str!("../../tests/golden/batch-snappy-v2.hex")),
        (Codec::Lz4, include_str!("../../tests/golden/batch-lz4-v2.hex")),
        (Codec::Zstd, include_str!("../../tests/golden/batch-zstd-v2.hex")),
    ] {
        let bytes = golden(hex);
        let header = BatchHeader::peek(&bytes).expect("a golden batch");
        assert_eq!((header.codec(), header.total_bytes()), (Ok(codec), bytes.len()));
        batch::verify_crc(&bytes).expect("a right sum");
        let records = decompress(codec, &bytes[61..], 1000).expect("what was packed");
        let records: Vec<_> = Records::new(&records, 2).map(|record| record.expect("a record")).collect();
        assert_eq!((records[0].key, records[0].value), (Some(&b"key"[..]), Some(&b"value"[..])), "{codec:?}");
        let headers: Vec<_> = records[0].headers.map(|header| header.expect("a header")).collect();
        assert_eq!(headers, [(&b"h"[..], None)]);
        assert_eq!((records[1].key, records[1].value), (None, Some(&b"other"[..])), "{codec:?}");
        assert_eq!((records[1].timestamp_delta, records[1].offset_delta), (1, 1));
    }
}

#[test]
fn a_marker_and_what_compaction_leaves_of_a_batch_are_read_as_documented() {
    let bytes = golden(include_str!("../../tests/golden/batch-control-v2.hex"));
    let header = BatchHeader::peek(&bytes).expect("the golden marker");
    batch::verify_crc(&bytes).expect("a right sum");
    assert!(header.is_control() && header.is_transactional());
    assert_eq!((header.producer(), header.base_sequence()), (Some(golden_producer()), Sequence::NONE));
    let marker = Records::new(&bytes[61..], 1).next().expect("one record").expect("a record");
    assert_eq!((marker.key, marker.value), (Some(&[0, 0, 0, 1][..]), Some(&[0, 0, 0, 0, 0, 3][..])));

    let bytes = golden(include_str!("../../tests/golden/batch-emptied-v2.hex"));
    let header = BatchHeader::peek(&bytes).expect("the golden batch");
    batch::verify_crc(&bytes).expect("a right sum");
    assert_eq!((header.base_offset().get(), header.next_offset().get()), (43, 50));
    assert_eq!(
        (header.record_count(), header.last_sequence(), header.max_timestamp()),
        (0, Sequence(11), TIME)
    );
    assert_eq!(Records::new(&bytes[61..], 0).count(), 0);
}

#[test]
fn stamping_a_batch_leaves_its_sum_right_and_changing_its_time_renews_it() {
    let mut bytes = golden_batch();
    let crc = BatchHeader::peek(&bytes).expect("a batch").crc();
    batch::stamp(&mut bytes, Offset::new(1 << 40), LeaderEpoch(9));
    let header = BatchHeader::peek(&bytes).expect("a batch");
    assert_eq!((header.crc(), header.leader_epoch()), (crc, LeaderEpoch(9)));
    assert_eq!(header.next_offset(), Offset::new((1 << 40) + 3));
    batch::verify_crc(&bytes).expect("stamped");

    batch::set_log_append_time(&mut bytes, TIME.plus(9000));
    let header = BatchHeader::peek(&bytes).expect("a batch");
    assert_eq!(
        (header.timestamp_type(), header.max_timestamp()),
        (TimestampType::LogAppendTime, TIME.plus(9000))
    );
    batch::verify_crc(&bytes).expect("with append time");
    batch::set_max_timestamp(&mut bytes, TIME);
    batch::verify_crc(&bytes).expect("with another max timestamp");
}

#[test]
fn a_walk_over_batches_ends_before_a_cut_one_and_says_where() {
    let one = golden_batch();
    let mut bytes = one.to_vec();
    bytes.extend_from_slice(&one);
    for end in 0..=bytes.len() {
        let mut batches = Batches::new(&bytes[..end]);
        let seen = batches.by_ref().inspect(|batch| assert!(batch.is_ok())).count();
        assert_eq!((seen, batches.consumed()), (end / one.len(), end / one.len() * one.len()));
    }
    bytes[one.len() + 16] = 1;
    let mut batches = Batches::new(&bytes);
    assert!(batches.next().is_some_and(|batch| batch.is_ok()));
    assert_eq!(batches.next(), Some(Err(batch::BatchError::Magic { found: 1 })));
    assert_eq!((batches.next(), batches.consumed()), (None, one.len()), "an error ends the walk");
}

#[test]
fn a_damaged_batch_never_passes_the_check() {
    let sound = golden_batch();
    check(sound.clone(), &rules()).expect("the golden batch passes");
    every_damage(&sound, |bytes, damage| {
        // The leader epoch is no part of the sum, and means nothing in a client's batch: the log stamps over
        // it.
        let epoch_only =
            bytes.len() == sound.len() && bytes[..12] == sound[..12] && bytes[16..] == sound[16..];
        assert_eq!(check(BytesMut::from(bytes), &rules()).is_ok(), epoch_only, "{damage}");
        for record in Records::new(bytes.get(61..).unwrap_or(&[]), 3).flatten() {
            let _ = record.headers.check();
        }
    });
}

#[test]
fn damaged_records_under_a_right_sum_never_panic() {
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new(codec);
        builder.push(TIME, Some(b"key"), Some(&[7; 40]), &[("name", Some(b"value"))]);
        builder.push(TIME, None, None, &[]);
        let sound = builder.build();
        let mut passed = 0;
        every_damage(&sound.clone(), |bytes, _| {
            if bytes.len() == sound.len() {
                let mut bytes = BytesMut::from(bytes);
                let claimed = i64::from_be_bytes(bytes[35..43].try_into().expect("8 bytes"));
                batch::set_max_timestamp(&mut bytes, Timestamp(claimed));
                passed += usize::from(check(bytes, &rules()).is_ok());
            }
        });
        assert!(passed > 0, "a flipped value is a value");
    }
}

#[test]
fn a_commit_is_written_and_read_as_documented() {
    let (bytes, cut) = (golden(JOURNAL), golden(TRUNCATION));
    let (mut first, mut second) = (golden_batch(), golden_batch());
    batch::stamp(&mut first, Offset::new(1000), LeaderEpoch::FIRST);
    batch::stamp(&mut second, Offset::new(5), LeaderEpoch::FIRST);
    let batches =
        [(PartitionId::new(topic(), 0), 0, &first[..]), (PartitionId::new(topic(), 7), 3, &second[..])];
    let mut buffer = AlignedBuffer::new();
    journal::encode_commit(&mut buffer, 0x1122_3344_5566_7788, 3, &batches);
    assert_eq!(buffer.len(), journal::commit_bytes(2, first.len() + second.len()));
    let (body, padding) = buffer.as_ref().split_at(bytes.len());
    assert_eq!(body, bytes);
    assert!(padding.iter().all(|byte| *byte == 0));

    let expect = Expect { generation: None, sequence: 3 };
    let commit = journal::read_commit(buffer.as_ref(), expect).expect("the golden commit");
    commit.verify().expect("whole batches");
    assert_eq!((commit.generation(), commit.sequence()), (0x1122_3344_5566_7788, 3));
    assert_eq!((commit.len(), commit.padded_bytes()), (2, 4096));
    for (read, (partition, truncations, written)) in commit.batches().zip(batches) {
        assert_eq!((read.partition, read.truncations, read.bytes), (partition, truncations, written));
        assert_eq!(read.base_offset, read.header().base_offset());
        assert_eq!(&buffer.as_ref()[read.range], written);
    }
    let older = journal::read_commit(&golden(JOURNAL_V1), expect).map(|commit| {
        commit.batches().map(|batch| (batch.partition, batch.truncations, batch.bytes.to_vec())).collect()
    });
    let all = batches.map(|(partition, _, batch)| (partition, 0, batch.to_vec()));
    assert_eq!(older, Ok::<Vec<_>, End>(all.to_vec()), "in version 1 no log was ever truncated");

    let truncation = Truncation {
        partition: PartitionId::new(topic(), 7),
        truncations: 4,
        end: Offset::new(1200),
        segment_base: Offset::new(1000),
        position: Position(65536),
        max_timestamp: TIME,
    };
    let mut buffer = AlignedBuffer::new();
    journal::encode_truncation(&mut buffer, 0x1122_3344_5566_7788, 4, &truncation);
    assert_eq!(buffer.as_ref()[..cut.len()], cut);
    let expect = Expect { generation: None, sequence: 4 };
    let commit = journal::read_commit(buffer.as_ref(), expect).expect("the golden truncation");
    assert_eq!((commit.len(), commit.batches().count()), (1, 0));
    assert_eq!(commit.truncations().collect::<Vec<_>>(), [truncation]);
}

#[test]
fn a_damaged_commit_is_never_taken_for_whole() {
    for (file, sequence) in [(JOURNAL, 3), (JOURNAL_V1, 3), (TRUNCATION, 4)] {
        let bytes = golden(file);
        let expect = Expect { generation: Some(0x1122_3344_5566_7788), sequence };
        let whole = |bytes: &[u8]| {
            let _ = journal::peek_commit(bytes, expect);
            journal::read_commit(bytes, expect).and_then(|commit| commit.verify()).is_ok()
        };
        assert!(whole(&bytes));
        every_damage(&bytes, |bytes, damage| assert!(!whole(bytes), "{damage}"));
    }
}

#[test]
fn an_index_is_written_and_read_as_documented() {
    let bytes = golden(INDEX);
    let entry =
        |relative_offset, position, max_timestamp| IndexEntry { relative_offset, position, max_timestamp };
    let entries = [
        entry(40, 4100, Timestamp::NONE),
        entry(80, 8200, TIME.plus(250)),
        entry(120, 12300, TIME.plus(250)),
    ];
    let mut written = index::encode_header(Offset::new(1000));
    written.extend(index::encode_chunk(&entries[..2]));
    written.extend(index::encode_chunk(&entries[2..]));
    assert_eq!(written, bytes);

    let read = index::decode_index(&bytes).expect("the golden index");
    assert_eq!(
        (read.base, &read.entries[..], read.valid_bytes),
        (Offset::new(1000), &entries[..], bytes.len())
    );
    every_damage(&bytes, |damaged, damage| {
        let Ok(read) = index::decode_index(damaged) else { return };
        assert_eq!(read.entries, entries[..read.entries.len()], "{damage}: only what was written");
        let ends = [24, 24 + 12 + 32, bytes.len()];
        assert_eq!(read.valid_bytes, ends[read.entries.len().div_ceil(2)], "{damage}");
        assert!(damaged.len() < bytes.len() || read.valid_bytes < bytes.len(), "{damage}: a flip is noticed");
    });
}

#[test]
fn aborted_transactions_are_written_and_read_as_documented() {
    let bytes = golden(ABORTED);
    let row = |producer, first, marker, last_stable| AbortedRow {
        producer_id: ProducerId(producer),
        first_offset: Offset::new(first),
        marker_offset: Offset::new(marker),
        last_stable: Offset::new(last_stable),
    };
    let rows = [row(4242, 1000, 1004, 1003), row(7, 1003, 1010, 1011), row(4242, 1020, 1 << 40, 1 << 40)];
    assert_eq!(encode_aborted(Offset::new(1000), &rows), bytes);
    let read = decode_aborted(&bytes).expect("the golden file");
    assert_eq!(
        (read.purged_end, &read.rows[..], read.valid_bytes),
        (Offset::new(1000), &rows[..], bytes.len())
    );
    every_damage(&bytes, |damaged, damage| {
        let Ok(read) = decode_aborted(damaged) else { return };
        assert_eq!(read.rows, rows[..read.rows.len()], "{damage}: only what was written");
        assert!(damaged.len() < bytes.len() || read.valid_bytes < bytes.len(), "{damage}: a flip is noticed");
    });
}

#[test]
fn the_small_files_are_written_and_read_as_documented() {
    let mut backwards = topic().to_bytes();
    backwards.reverse();
    let directory_id = DirectoryId::from_bytes(backwards);
    for (directory_id, file) in [(None, META_V1), (directory_id, META)] {
        let meta = Meta { cluster_id: topic().to_bytes(), node_id: 3, directory_id };
        assert_eq!(meta.encode(), golden(file));
        assert_eq!(Meta::decode(&golden(file)), Ok(meta));
    }

    assert_eq!(producer_ids::encode(ProducerId(2000)), golden(PRODUCER_IDS));
    assert_eq!(producer_ids::decode(&golden(PRODUCER_IDS)), Ok(ProducerId(2000)));

    let (compacted_end, clean_end, gaps_end) = (Offset::new(2000), Offset::new(1500), Offset::new(1000));
    let compacted = Compacted { compacted_end, clean_end, gaps_end };
    assert_eq!(compacted.encode(), golden(COMPACTED));
    assert_eq!(Compacted::decode(&golden(COMPACTED)), Ok(compacted));
    let of_version_1 = Compacted { gaps_end: compacted_end, ..compacted };
    assert_eq!(Compacted::decode(&golden(COMPACTED_V1)), Ok(of_version_1), "gaps wherever compaction was");

    let config = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let topics = vec![
        TopicRecord {
            name: "orders".to_owned(),
            id: topic(),
            partitions: 12,
            configs: vec![config("cleanup.policy", "compact"), config("retention.ms", "")],
            placement: Placement::ALONE,
        },
        TopicRecord {
            name: "a.b_c-d".to_owned(),
            id: TopicId::from_bytes(backwards),
            partitions: 1,
            configs: vec![],
            placement: Placement::ALONE,
        },
    ];
    let table = TopicsFile { topics, deleted: Vec::new() };
    assert_eq!(topics::encode(&table), golden(TOPICS));
    assert_eq!(topics::decode(&golden(TOPICS)).as_ref(), Ok(&table));
    let gone = |name: &str, id, partitions| DeletedTopic { name: name.to_owned(), id, partitions };
    let deleted = vec![gone("clicks", topic(), 0..3), gone("a-b", TopicId::from_bytes(backwards), 0..1)];
    let mut placed = table.clone();
    let topics = vec![TopicRecord { id: TopicId::from_bytes([9; 16]), ..table.topics[0].clone() }];
    let table = TopicsFile { topics, deleted };
    assert_eq!(topics::encode(&table), golden(TOPICS_V2));
    assert_eq!(topics::decode(&golden(TOPICS_V2)).as_ref(), Ok(&table));
    let replica = |role, epoch| Replica { role, epoch: LeaderEpoch(epoch) };
    placed.topics[0].placement =
        Placement::These([(0, replica(Role::Leader, 4)), (11, replica(Role::Follower, 7))].into());
    placed.topics[1].placement = Placement::All([(0, replica(Role::Follower, 1))].into());
    placed.topics.push(TopicRecord {
        name: "elsewhere".to_owned(),
        id: TopicId::from_bytes([9; 16]),
        partitions: 3,
        configs: vec![],
        placement: Placement::These(BTreeMap::new()),
    });
    placed.deleted = [0..2, 5..6].map(|gone_of| gone("clicks", TopicId::from_bytes([7; 16]), gone_of)).into();
    assert_eq!(topics::encode(&placed), golden(TOPICS_V3));
    assert_eq!(topics::decode(&golden(TOPICS_V3)).as_ref(), Ok(&placed));

    let remembered = |base: i64, timestamp, first, last| ProducerBatch {
        first_sequence: Sequence(first),
        last_sequence: Sequence(last),
        base_offset: Offset::new(base),
        timestamp,
    };
    let partitions = [
        PartitionCheckpoint {
            partition: PartitionId::new(topic(), 2),
            log_start: Offset::new(10),
            segment_base: Offset::new(1000),
            position: Position(65536),
            next_offset: Offset::new(2000),
            max_timestamp: TIME.plus(250),
            high_watermark: Offset::new(1995),
            truncations: 3,
            last_aborted: Some(Offset::new(1850)),
            epochs: vec![epoch_start(0, 10), epoch_start(4, 1200)],
            producers: vec![ProducerCheckpoint {
                id: ProducerId(4242),
                epoch: ProducerEpoch(7),
                last_timestamp: TIME,
                batches: vec![remembered(1990, TIME, 0, 4), remembered(1995, TIME.plus(250), 5, 9)],
                open: Some(Offset::new(1990)),
                marker: Some(Offset::new(1985)),
                coordinator_epoch: Some(3),
            }],
        },
        PartitionCheckpoint {
            partition: PartitionId::new(topic(), 3),
            log_start: Offset::ZERO,
            segment_base: Offset::ZERO,
            position: Position::ZERO,
            next_offset: Offset::ZERO,
            max_timestamp: Timestamp::NONE,
            high_watermark: Offset::ZERO,
            truncations: 0,
            last_aborted: None,
            epochs: vec![],
            producers: vec![],
        },
    ];
    let mut encoder = CheckpointEncoder::new();
    partitions.iter().for_each(|partition| encoder.push(partition));
    assert_eq!(encoder.finish(), golden(CHECKPOINT));
    assert_eq!(checkpoint::decode(&golden(CHECKPOINT)).as_deref(), Ok(&partitions[..]));
    let [mut first, mut second] = partitions;
    first.last_aborted = None;
    let producer = &mut first.producers[0];
    (producer.open, producer.marker, producer.coordinator_epoch) = (None, None, None);
    assert_eq!(
        checkpoint::decode(&golden(CHECKPOINT_V2)),
        Ok(vec![first.clone(), second.clone()]),
        "what version 2 did not say"
    );
    (first.high_watermark, first.truncations, first.epochs) =
        (first.next_offset, 0, vec![epoch_start(0, 10)]);
    second.epochs = vec![epoch_start(0, 0)];
    assert_eq!(
        checkpoint::decode(&golden(CHECKPOINT_V1)),
        Ok(vec![first, second]),
        "what version 1 did not say"
    );
}

#[test]
fn no_damage_to_a_small_file_goes_unnoticed() {
    for file in [META, META_V1] {
        every_damage(&golden(file), |bytes, damage| assert!(Meta::decode(bytes).is_err(), "{damage}"));
    }
    for file in [SETTINGS, SETTINGS_V1] {
        every_damage(&golden(file), |bytes, damage| assert!(settings::decode(bytes).is_err(), "{damage}"));
    }
    for file in [TOPICS, TOPICS_V2, TOPICS_V3] {
        every_damage(&golden(file), |bytes, damage| assert!(topics::decode(bytes).is_err(), "{damage}"));
    }
    for file in [CHECKPOINT, CHECKPOINT_V2, CHECKPOINT_V1] {
        every_damage(&golden(file), |bytes, damage| assert!(checkpoint::decode(bytes).is_err(), "{damage}"));
    }
    every_damage(&golden(PRODUCER_IDS), |bytes, damage| {
        assert!(producer_ids::decode(bytes).is_err(), "{damage}")
    });
    for file in [COMPACTED, COMPACTED_V1] {
        every_damage(&golden(file), |bytes, damage| assert!(Compacted::decode(bytes).is_err(), "{damage}"));
    }
}

/// Ids count up from 0: a start that went on with such a number would give out ids that no client takes.
#[test]
fn d9_a_producer_id_below_zero_is_refused() {
    use super::envelope::Sealer;
    use bytes::BufMut;
    for (next_id, holds) in [(i64::MIN, false), (-1, false), (0, true), (i64::MAX, true)] {
        let mut file = Sealer::new(producer_ids::PRODUCER_IDS_KIND, producer_ids::PRODUCER_IDS_VERSION);
        file.body().put_i64_le(next_id);
        assert_eq!(producer_ids::decode(&file.finish()).is_ok(), holds, "{next_id}");
    }
}

#[test]
fn damaged_bodies_in_a_right_envelope_never_panic() {
    use super::envelope::{ENVELOPE_BYTES, seal};
    let body = |hex| golden(hex)[ENVELOPE_BYTES..].to_vec();
    every_damage(&body(SETTINGS), |body, _| {
        let _ = settings::decode(&seal(settings::SETTINGS_KIND, settings::SETTINGS_VERSION, body));
    });
    for file in [TOPICS, TOPICS_V2, TOPICS_V3] {
        every_damage(&body(file), |body, _| {
            for version in 1..=topics::TOPICS_VERSION {
                let _ = topics::decode(&seal(topics::TOPICS_KIND, version, body));
            }
        });
    }
    every_damage(&body(CHECKPOINT), |body, _| {
        for version in 1..=checkpoint::CHECKPOINT_VERSION {
            let _ = checkpoint::decode(&seal(checkpoint::CHECKPOINT_KIND, version, body));
        }
    });
    let newer = seal(topics::TOPICS_KIND, 4, &body(TOPICS));
    let refused = super::envelope::EnvelopeError::Version { found: 4, newest: 3 };
    assert_eq!(topics::decode(&newer), Err(refused), "what a newer program wrote is not guessed at");

    let mut longer = golden(META);
    longer.push(0);
    let refused = super::envelope::EnvelopeError::Length { needed: longer.len() - 1, found: longer.len() };
    assert_eq!(Meta::decode(&longer), Err(refused), "a file ends where its body ends");
}

#[test]
fn a_topic_that_can_not_exist_is_refused() {
    use super::envelope::{ENVELOPE_BYTES, EnvelopeError, seal};
    let refused = |place: usize, byte: u8| {
        let mut body = golden(TOPICS)[ENVELOPE_BYTES..].to_vec();
        body[place] = byte;
        let read = topics::decode(&seal(topics::TOPICS_KIND, 1, &body));
        assert!(matches!(read, Err(EnvelopeError::Body { .. })), "byte {place} made {byte}");
    };
    refused(16, 0); // no partition
    refused(26, b'/'); // the name's first letter
    refused(24, 0); // no name
    refused(20, 9); // more configs than there are
}

#[test]
fn a_placement_that_can_not_be_is_refused() {
    use super::envelope::{ENVELOPE_BYTES, EnvelopeError, seal};
    let body = golden(TOPICS_V3)[ENVELOPE_BYTES..].to_vec();
    // Behind two deleted topics and the first topic with its configs.
    let placement = 4 + 2 * (26 + 6) + (26 + 6) + (6 + 14 + 7) + (6 + 12);
    assert_eq!(body[placement..placement + 5], [1, 2, 0, 0, 0], "two replicas");
    let read = |body: &[u8]| topics::decode(&seal(topics::TOPICS_KIND, 3, body));
    assert!(read(&body).is_ok());
    for (place, byte, why) in [
        (placement, 2, "an unknown kind"),
        (placement + 5 + 7, 0xff, "a leader epoch below 0"),
        (placement + 5 + 8, 0, "no role"),
        (placement + 5 + 8, 3, "an unknown role"),
        (placement + 5 + 9, 0, "the same partition twice"),
        (placement + 5 + 9, 12, "a partition that the topic does not have"),
        (4 + 16, 0, "no deleted partition"),
    ] {
        let mut body = body.clone();
        body[place] = byte;
        assert!(matches!(read(&body), Err(EnvelopeError::Body { .. })), "{why}");
    }
    let table = topics::decode(&golden(TOPICS)).unwrap();
    let mut plain = vec![0; 4];
    for topic in &table.topics {
        let one = TopicsFile { topics: vec![topic.clone()], deleted: Vec::new() };
        plain.extend_from_slice(&topics::encode(&one)[ENVELOPE_BYTES..]);
        plain.extend([0; 5]);
    }
    assert!(matches!(read(&plain), Err(EnvelopeError::Body { .. })), "version 1 could say it");
}

/// What a broker that stands alone keeps for each topic has not grown.
#[test]
fn a_topic_that_is_all_here_takes_no_more_room_for_its_placement() {
    let topic = |number: u32| TopicRecord {
        name: format!("topic-{number:06}"),
        id: TopicId::from_bytes([7; 16]),
        partitions: 12,
        configs: Vec::new(),
        placement: Placement::ALONE,
    };
    let mut table = TopicsFile { topics: (0..1000).map(topic).collect(), deleted: Vec::new() };
    let alone = topics::encode(&table).len();
    assert_eq!(alone, 20 + 1000 * (26 + 12));
    table.topics[0].placement = Placement::These(BTreeMap::new());
    assert_eq!(topics::encode(&table).len(), alone + 4 + 1000 * 5, "a kind and a count");
}
