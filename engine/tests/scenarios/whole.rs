//! One process after the other, none of them killed.

use std::time::{Duration, Instant};

use strandline_engine::error::StartError;
use strandline_engine::{Engine, NoFront};

use crate::support::{append, config, create_topic, read_all, start};

#[test]
fn d1_another_number_of_shards_finds_everything() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected: Vec<Vec<String>> = vec![Vec::new(); 6];
    let mut partitions = Vec::new();
    for shards in [1, 3, 2] {
        let engine = start(directory.path(), shards);
        if partitions.is_empty() {
            partitions = create_topic(engine.handle(), "orders", 6, &[]);
        }
        for (partition, expected) in partitions.iter().zip(&mut expected) {
            assert_eq!(read_all(engine.handle(), *partition), *expected, "{shards} shards");
            for _ in 0..5 {
                let value = format!("{partition} {}", expected.len());
                assert_eq!(append(engine.handle(), *partition, &value), expected.len() as i64);
                expected.push(value);
            }
        }
        engine.stop().unwrap();
    }
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let second = Engine::start(config(directory.path(), 1), NoFront);
    assert!(matches!(second.err(), Some(StartError::InUse { .. })));
    engine.stop().unwrap();
    start(directory.path(), 1).stop().unwrap();
}

#[test]
fn a_relaxed_topic_survives_a_stop_and_skips_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let partition = create_topic(engine.handle(), "metrics", 1, &[("flush.messages", "1000")])[0];
    let values: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    values.iter().for_each(|value| {
        append(engine.handle(), partition, value);
    });
    let stats = futures_executor::block_on(engine.handle().stats());
    assert_eq!(stats.iter().map(|shard| shard.journal_commits).sum::<u64>(), 0);
    engine.stop().unwrap();
    let engine = start(directory.path(), 2);
    assert_eq!(read_all(engine.handle(), partition), values);
    engine.stop().unwrap();
}

#[test]
fn two_thousand_partitions_need_few_descriptors() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || {
        let mut settings = config(directory.path(), 2);
        settings.open_files_max = 32;
        settings
    };
    let engine = Engine::start(settings(), NoFront).unwrap();
    let partitions = create_topic(engine.handle(), "many", 2000, &[]);
    partitions.iter().for_each(|partition| assert_eq!(append(engine.handle(), *partition, "first"), 0));
    // Segments that wait for their sync stay open; a stop syncs them.
    engine.stop().unwrap();
    let engine = Engine::start(settings(), NoFront).unwrap();
    for partition in &partitions {
        assert_eq!(read_all(engine.handle(), *partition), ["first"]);
    }
    let prefix = directory.path().join("many-").into_os_string().into_string().unwrap();
    let links = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let open = links.filter(|path| path.to_string_lossy().starts_with(&prefix)).count();
    assert!(open <= 2 * 32, "{open} segments are open, 32 in each of 2 shards are allowed");
    engine.stop().unwrap();
}

#[test]
fn an_empty_engine_starts_at_once_and_writes_little() {
    let directory = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let engine = start(directory.path(), 2);
    // Far above what it takes, 20 ms: machines that run tests are slow and shared.
    assert!(began.elapsed() < Duration::from_secs(5), "the start took {:?}", began.elapsed());
    engine.stop().unwrap();
    let shards = std::fs::read_dir(directory.path().join("shards")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 8 << 20, "an empty engine of 2 shards has written {bytes} bytes");
}
