//! The tools over directories that the engine has made, sound and damaged in one named way each.

use std::fs;
use std::path::{Path, PathBuf};

use futures_executor::block_on;

use super::*;
use crate::config::EngineConfig;
use crate::format::batch::Batches;
use crate::format::builder::BatchBuilder;
use crate::format::compression::Codec;
use crate::topics::NewTopic;
use crate::types::{Offset, PartitionId, ProducerEpoch, Sequence, Timestamp};
use crate::{Engine, Handle, NoFront, ReadRequest};

const PARTITIONS: u32 = 2;
const BATCHES: i64 = 120;

/// Partition, offset, timestamp, key and value of a record.
type Row = (u32, i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

fn start(path: &Path) -> Engine {
    let mut config = EngineConfig { shards: 2, pin_threads: false, ..EngineConfig::new(path) };
    config.topic_defaults.set_unchecked("segment.bytes", "16384");
    Engine::start(config, NoFront).expect("the engine starts")
}

fn partitions(log: &Handle) -> Vec<PartitionId> {
    log.topics().by_name("orders").expect("the topic is there").partition_ids().collect()
}

/// Batches of two records in all codecs, in segments of 16 KiB; stopped as it should be.
fn stopped() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path());
    let log = engine.handle();
    let new = NewTopic { name: "orders".to_owned(), partitions: PARTITIONS, configs: Vec::new() };
    block_on(log.create_topic(new)).expect("the topic is made");
    let producer = block_on(log.allocate_producer_id()).unwrap();
    for (number, partition) in partitions(log).into_iter().enumerate() {
        for batch in 0..BATCHES {
            let codec = Codec::ALL[batch as usize % 5];
            let mut builder =
                BatchBuilder::new(codec).producer(producer, ProducerEpoch::FIRST, Sequence(2 * batch as i32));
            for record in 0..2 {
                let noise: String = (0..200).map(|_| fastrand::alphanumeric()).collect();
                let value = format!("{number} {batch} {record} {noise}");
                builder.push(Timestamp(1000 + batch), Some(b"key"), Some(value.as_bytes()), &[("h", None)]);
            }
            block_on(async { log.append(partition, builder.build()).await?.settled().await }).unwrap();
        }
    }
    engine.stop().unwrap();
    directory
}

/// Every record that a broker on this directory serves.
fn served(path: &Path) -> Vec<Row> {
    let engine = start(path);
    let mut records = Vec::new();
    for partition in partitions(engine.handle()) {
        let mut offset = Offset::ZERO;
        loop {
            let request = ReadRequest::new(partition, offset, 1 << 20);
            let found = block_on(engine.handle().read(&[request])).remove(0).expect("the log can be read");
            let Some(range) = found.batches else { break };
            for batch in Batches::new(&range.read().unwrap()) {
                let (header, batch) = batch.unwrap();
                offset = header.next_offset();
                for record in Unpacked::new(header, batch).unwrap().records() {
                    let Placed { offset, timestamp, record, .. } = record.unwrap();
                    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                    let row =
                        (partition.index, offset.get(), timestamp.0, owned(record.key), owned(record.value));
                    records.push(row);
                }
            }
        }
    }
    engine.stop().unwrap();
    records
}

/// What is said of a directory, a line each, and the offsets that are missing.
fn findings(path: &Path) -> (Vec<String>, Vec<std::ops::Range<Offset>>, Verified) {
    let (mut lines, mut missing) = (Vec::new(), Vec::new());
    let mut report = |finding: &Finding| {
        lines.push(finding.to_string());
        if matches!(finding.what, What::Missing) {
            missing.push(finding.offsets.clone().expect("what is missing has offsets"));
        }
    };
    let verified = verify(&DataDir::open(path).unwrap(), &mut report, &mut |_| {});
    assert_eq!(lines.len() as u64, verified.damage + verified.notes);
    (lines, missing, verified)
}

/// The data files of a partition, in order.
fn segments(path: &Path, partition: u32) -> Vec<PathBuf> {
    let dir = DataDir::open(path).unwrap();
    let found = dir.partitions.iter().find(|found| found.index == partition).unwrap();
    found.segments.iter().map(|segment| segment.path.clone()).collect()
}

fn flip(path: &Path, position: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[position] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

fn salvaged(source: &Path) -> (tempfile::TempDir, Vec<Salvaged>, SalvageReport) {
    let target = tempfile::tempdir().unwrap();
    let dir = DataDir::open(source).unwrap();
    let mut rows = Vec::new();
    let report = salvage(&dir, target.path(), &|_| true, &mut |row| rows.push(row.clone()), &mut |_| {});
    (target, rows, report.unwrap())
}

fn tree(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(tree(&path)),
            false => files.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    files.sort();
    files
}

#[test]
fn what_was_stopped_is_clean_and_salvaged_record_by_record() {
    let source = stopped();
    let (found, _, verified) = findings(source.path());
    assert_eq!(found.len(), 0, "{found:?}");
    assert_eq!((verified.partitions, verified.batches, verified.records), (2, 240, 480));
    assert!(verified.segments > 6, "{verified:?}");
    let before = tree(source.path());
    let (target, rows, report) = salvaged(source.path());
    assert_eq!(tree(source.path()), before, "the source is only read");
    assert_eq!((report.topics, report.topics_guessed, report.unclaimed_journaled), (1, false, 0));
    for row in &rows {
        assert_eq!(
            (row.log_end.get(), row.records, &row.missing),
            (2 * BATCHES, 2 * BATCHES as u64, &vec![])
        );
    }
    let (found, ..) = findings(target.path());
    assert_eq!(found.len(), 0, "{found:?}");
    assert_eq!(served(target.path()), served(source.path()));
}

#[test]
fn d5_damage_in_the_middle_is_named_and_everything_else_is_salvaged() {
    let source = stopped();
    let all = served(source.path());
    let second = &segments(source.path(), 0)[1];
    // Two batches of one segment, and the whole of another.
    let batches: Vec<FoundBatch> = SegmentWalk::new(Source::open(second).unwrap(), base_of(second), None)
        .map(|item| match item {
            SegmentItem::Batch(batch) => batch,
            SegmentItem::Damage(damage) => panic!("{damage:?}"),
        })
        .collect();
    let (one, other) = (&batches[1], batches.last().unwrap());
    flip(second, one.position.0 as usize + 70);
    flip(second, other.position.0 as usize + 17);
    let third = segments(source.path(), 1)[1].clone();
    let lost = base_of(&third)..base_of(&segments(source.path(), 1)[2]);
    fs::remove_file(&third).unwrap();
    // Not every segment has one.
    let _ = fs::remove_file(third.with_extension("index"));

    let gone = [
        one.header.base_offset()..one.header.next_offset(),
        other.header.base_offset()..other.header.next_offset(),
    ];
    let (found, missing, verified) = findings(source.path());
    for batch in [one, other] {
        let place = format!("{}, position {}", second.display(), batch.position);
        assert!(found.iter().any(|line| line.contains(&place)), "{place}: {found:?}");
    }
    assert_eq!(missing, [gone[0].clone(), gone[1].clone(), lost.clone()]);
    assert_eq!(verified.damage, 5);

    let (target, rows, _) = salvaged(source.path());
    assert_eq!(rows[0].missing, gone);
    assert_eq!(rows[1].missing, std::slice::from_ref(&lost));
    let (found, ..) = findings(target.path());
    assert_eq!(found.len(), 0, "{found:?}");
    let rest: Vec<_> = all
        .into_iter()
        .filter(|(partition, offset, ..)| {
            let offset = Offset::new(*offset);
            match partition {
                0 => !gone.iter().any(|gone| gone.contains(&offset)),
                _ => !lost.contains(&offset),
            }
        })
        .collect();
    assert_eq!(served(target.path()), rest);
}

fn base_of(path: &Path) -> Offset {
    let name = path.file_name().unwrap().to_str().unwrap();
    crate::format::names::parse_segment(name).unwrap().0
}

/// Every record that a walk over the directory finds.
fn walked(path: &Path) -> Vec<Row> {
    let dir = DataDir::open(path).unwrap();
    let mut records = Vec::new();
    for partition in &dir.partitions {
        let point = partition.id.and_then(|id| dir.points.get(&id));
        for item in PartitionWalk::new(partition, point, None) {
            let Item::Batch { batch, .. } = item else { continue };
            for record in Unpacked::new(&batch.header, &batch.bytes).unwrap().records() {
                let Placed { offset, timestamp, record, .. } = record.unwrap();
                let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                let row =
                    (partition.index, offset.get(), timestamp.0, owned(record.key), owned(record.value));
                records.push(row);
            }
        }
    }
    records
}

#[test]
fn d5_whichever_bit_flips_at_most_its_batch_is_missing_and_no_record_is_invented() {
    let source = stopped();
    let all = walked(source.path());
    assert_eq!(all.len() as i64, i64::from(PARTITIONS) * 2 * BATCHES);
    let known: std::collections::HashSet<_> = all.iter().collect();
    // The lock and what journals were never used for are no data.
    let files: Vec<_> = tree(source.path()).into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    let mut random = fastrand::Rng::with_seed(6);
    for number in 0..60 {
        let (path, sound) = &files[number % files.len()];
        let (position, bit) = (random.usize(..sound.len()), random.u8(..8));
        let mut bytes = sound.clone();
        bytes[position] ^= 1 << bit;
        fs::write(path, bytes).unwrap();
        let place = format!("{}, byte {position}, bit {bit}", path.display());
        let (lines, ..) = findings(source.path());
        let (target, rows, _) = salvaged(source.path());
        let found = walked(target.path());
        assert!(found.iter().all(|record| known.contains(record)), "{place}: {lines:?}");
        assert!(found.len() + 2 >= all.len(), "{place}: {} of {}", found.len(), all.len());
        let missing: i64 =
            rows.iter().flat_map(|row| &row.missing).map(|gone| gone.end.get() - gone.start.get()).sum();
        assert_eq!(found.len() as i64 + missing, all.len() as i64, "{place}: {lines:?}");
        assert!(missing == 0 || !lines.is_empty(), "{place}");
        fs::write(path, sound).unwrap();
    }
}

#[test]
fn damaged_indexes_torn_tails_and_leftovers_are_repaired_and_kept_beside() {
    let source = stopped();
    let all = served(source.path());
    let second = segments(source.path(), 0).pop().unwrap();
    let index = second.with_extension("index");
    let sound = fs::read(&index).expect("a stop writes the last one");
    flip(&index, 12);
    let last = segments(source.path(), 1).pop().unwrap();
    let length = fs::metadata(&last).unwrap().len();
    let mut torn = fs::read(&last).unwrap();
    torn.extend_from_slice(&torn.clone()[..100]);
    fs::write(&last, &torn).unwrap();
    let leftover = second.with_extension("cleaned");
    fs::write(&leftover, b"half a segment").unwrap();
    let ids = source.path().join("producer-ids");
    flip(&ids, 20);

    let dir = DataDir::open(source.path()).unwrap();
    let (repairs, stays) = plan_repair(&dir, false, &mut |_| {});
    assert_eq!((repairs.len(), stays), (4, 0), "{repairs:?}");
    let backup = tempfile::tempdir().unwrap();
    for (number, repair) in repairs.iter().enumerate() {
        let before = fs::read(repair.path()).unwrap();
        let copy = backup.path().join(number.to_string());
        repair.apply(Some(&copy)).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), before, "{repair:?}");
        assert!(repair.apply(Some(&copy)).is_err(), "a copy is never overwritten");
    }
    drop(dir);
    let (found, ..) = findings(source.path());
    assert_eq!(found.len(), 0, "{found:?}");
    assert_eq!(fs::metadata(&last).unwrap().len(), length);
    assert!(!leftover.exists());
    let entries = |bytes: &[u8]| crate::format::index::decode_index(bytes).unwrap().entries;
    let (made, before) = (entries(&fs::read(&index).unwrap()), entries(&sound));
    assert_eq!(made, before);
    assert_eq!(served(source.path()), all);
}

#[test]
fn d5_what_no_checksum_covers_is_told_put_right_and_salvaged_as_it_was() {
    let source = stopped();
    let all = served(source.path());
    let path = segments(source.path(), 0)[1].clone();
    let sound = fs::read(&path).unwrap();
    let walk = SegmentWalk::new(Source::open(&path).unwrap(), base_of(&path), None);
    let places: Vec<usize> = walk
        .map(|item| match item {
            SegmentItem::Batch(batch) => batch.position.0 as usize,
            SegmentItem::Damage(damage) => panic!("{damage:?}"),
        })
        .collect();
    // Each byte of a batch in the middle, and of the last one, which has no neighbour in its segment.
    for place in [places[2], *places.last().unwrap()] {
        for byte in 0..crate::format::batch::BATCH_PREFIX_BYTES {
            let mut rotten = sound.clone();
            rotten[place + byte] ^= if byte == 12 { 0x80 } else { 1 };
            fs::write(&path, &rotten).unwrap();
            let (found, missing, verified) = findings(source.path());
            assert_eq!((missing.len(), verified.damage), (0, 1), "byte {byte}: {found:?}");
            assert!(found[0].contains(&format!("position {place}")), "byte {byte}: {found:?}");

            let (target, rows, _) = salvaged(source.path());
            assert_eq!((rows[0].restored, rows[0].damaged_bytes), (1, 0), "byte {byte}");
            assert_eq!(findings(target.path()).0.len(), 0, "byte {byte}");
            assert_eq!(walked(target.path()), all, "byte {byte}");
            let epochs = |dir: DataDir| dir.points.into_values().map(|row| row.epochs).collect::<Vec<_>>();
            assert_eq!(epochs(DataDir::open(target.path()).unwrap()).concat().len(), 2, "one a partition");

            let dir = DataDir::open(source.path()).unwrap();
            let (repairs, stays) = plan_repair(&dir, false, &mut |_| {});
            assert_eq!((repairs.len(), stays), (1, 0), "byte {byte}: {repairs:?}");
            repairs[0].apply(None).unwrap();
            assert_eq!(fs::read(&path).unwrap(), sound, "byte {byte}");
        }
    }
    assert_eq!(served(source.path()), all);
}

#[test]
fn d5_several_batches_of_a_segment_are_put_right_with_its_torn_tail() {
    let source = stopped();
    let path = segments(source.path(), 1).pop().unwrap();
    let sound = fs::read(&path).unwrap();
    let mut rotten = sound.clone();
    rotten.extend_from_slice(&sound[..100]);
    let total = SegmentWalk::new(Source::open(&path).unwrap(), base_of(&path), None).next();
    let Some(SegmentItem::Batch(first)) = total else { panic!("it begins with a batch") };
    rotten[13] ^= 4;
    rotten[first.bytes.len() + 7] ^= 4;
    fs::write(&path, &rotten).unwrap();
    let dir = DataDir::open(source.path()).unwrap();
    let (repairs, stays) = plan_repair(&dir, false, &mut |_| {});
    assert_eq!((repairs.len(), stays), (2, 0), "{repairs:?}");
    repairs.iter().for_each(|repair| repair.apply(None).unwrap());
    assert_eq!(fs::read(&path).unwrap(), sound);
}

/// What is said of a directory without one of its files, and what repair does about it.
#[test]
fn d6_a_small_file_that_is_missing_is_told_and_made_anew_where_it_can_be() {
    let source = stopped();
    let all = served(source.path());
    for (name, is_damage, is_made) in [
        ("meta", true, true),
        ("producer-ids", false, true),
        ("shards/0/checkpoint", false, true),
        ("shards/0/checkpoint.copy", false, true),
        ("topics", true, false),
    ] {
        let path = source.path().join(name);
        let sound = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let (found, _, verified) = findings(source.path());
        assert_eq!((verified.damage, verified.notes), (is_damage.into(), (!is_damage).into()), "{found:?}");
        assert!(found[0].contains(path.to_str().unwrap()) && found[0].contains("missing"), "{found:?}");
        let dir = DataDir::open(source.path()).unwrap();
        let (repairs, stays) = plan_repair(&dir, false, &mut |_| {});
        assert_eq!((repairs.len(), stays), (is_made.into(), (!is_made).into()), "{name}: {repairs:?}");
        repairs.iter().for_each(|repair| repair.apply(None).unwrap());
        drop(dir);
        if !is_made {
            fs::write(&path, &sound).unwrap();
        }
        if name.starts_with("shards") {
            assert_eq!(fs::read(&path).unwrap(), sound, "{name}");
        }
        assert_eq!(findings(source.path()).0.len(), 0, "{name}");
        assert_eq!(served(source.path()), all, "{name}");
    }
}

#[test]
fn d6_a_damaged_checkpoint_and_a_damaged_copy_are_told_and_taken_from_each_other() {
    let source = stopped();
    for (name, is_damage) in [("checkpoint", true), ("checkpoint.copy", false)] {
        let path = source.path().join("shards/0").join(name);
        let sound = fs::read(&path).unwrap();
        let mut rotten = sound.clone();
        // More than the sum can tell.
        rotten[20..24].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(&path, &rotten).unwrap();
        let (found, _, verified) = findings(source.path());
        assert_eq!((verified.damage, verified.notes), (is_damage.into(), (!is_damage).into()), "{found:?}");
        let dir = DataDir::open(source.path()).unwrap();
        let (repairs, stays) = plan_repair(&dir, false, &mut |_| {});
        assert_eq!((repairs.len(), stays), (1, 0), "{name}");
        repairs[0].apply(None).unwrap();
        assert_eq!(fs::read(&path).unwrap(), sound, "{name}");
    }
}

#[test]
fn a_directory_that_a_broker_runs_on_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path());
    assert!(matches!(DataDir::open(directory.path()), Err(InspectError::InUse { .. })));
    engine.stop().unwrap();
    let dir = DataDir::open(directory.path()).unwrap();
    let config = EngineConfig { shards: 1, pin_threads: false, ..EngineConfig::new(directory.path()) };
    assert!(Engine::start(config, NoFront).is_err(), "nor does a broker start while it is looked into");
    drop(dir);
    start(directory.path()).stop().unwrap();
}
