//! One process after the other, none of them killed.

use std::path::Path;

use futures_executor::block_on;
use strandline_engine::config::DynamicSettings;
use strandline_engine::error::StartError;
use strandline_engine::types::{Offset, Timestamp};
use strandline_engine::{Engine, Front, Local, NoFront, OffsetQuery, StopError};

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

/// The file that a start refuses.
fn refused_file(directory: &Path) -> String {
    match Engine::start(config(directory, 1), NoFront).err() {
        Some(StartError::Format { path, .. }) => path.file_name().unwrap().to_string_lossy().into_owned(),
        other => panic!("not refused for a file: {other:?}"),
    }
}

/// What no topic claims is removed at a start: a lost table would take every record with it.
#[test]
fn d9_a_lost_topic_table_is_refused_and_costs_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let partition = create_topic(engine.handle(), "orders", 1, &[])[0];
    append(engine.handle(), partition, "kept");
    engine.stop().unwrap();
    let (table, elsewhere) = (directory.path().join("topics"), directory.path().join("elsewhere"));
    std::fs::rename(&table, &elsewhere).unwrap();
    for _ in 0..2 {
        assert_eq!(refused_file(directory.path()), "topics");
    }
    std::fs::rename(&elsewhere, &table).unwrap();
    let engine = start(directory.path(), 1);
    assert_eq!(read_all(engine.handle(), partition), ["kept"]);
    engine.stop().unwrap();
}

/// A directory without it would go on as another one, of another node and cluster.
#[test]
fn d9_a_lost_meta_is_refused_as_soon_as_anything_was_made_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let lose = |start: &dyn Fn()| {
        start();
        std::fs::remove_file(directory.path().join("meta")).unwrap();
    };
    lose(&|| start(directory.path(), 1).stop().unwrap());
    for _ in 0..2 {
        assert_eq!(refused_file(directory.path()), "meta");
    }
    assert!(!directory.path().join("meta").exists(), "nothing was made anew");
    // A first start that was cut short leaves no more than this.
    let first = tempfile::tempdir().unwrap();
    std::fs::write(first.path().join("lock"), b"").unwrap();
    std::fs::write(first.path().join("meta.tmp"), b"half").unwrap();
    start(first.path(), 1).stop().unwrap();
    // Somebody else's files say nothing.
    let shared = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(shared.path().join("backup-2026/lost+found")).unwrap();
    start(shared.path(), 1).stop().unwrap();
}

/// Directories of partitions can be lost together with the table: then the checkpoints say that there was
/// one.
#[test]
fn d9_a_topic_table_that_is_lost_with_its_directories_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let partition = create_topic(engine.handle(), "orders", 1, &[])[0];
    append(engine.handle(), partition, "kept");
    engine.stop().unwrap();
    std::fs::remove_file(directory.path().join("topics")).unwrap();
    std::fs::remove_dir_all(directory.path().join("orders-0")).unwrap();
    assert_eq!(refused_file(directory.path()), "topics");
}

#[test]
fn d6_a_damaged_small_file_is_named_and_costs_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let partition = create_topic(engine.handle(), "orders", 1, &[])[0];
    append(engine.handle(), partition, "kept");
    block_on(engine.handle().allocate_producer_id()).unwrap();
    let set = DynamicSettings {
        this_broker: vec![("log.retention.ms".to_owned(), "100000000".to_owned())],
        ..DynamicSettings::default()
    };
    block_on(engine.handle().alter_settings(move |_| Ok(set))).unwrap();
    engine.stop().unwrap();
    for name in ["meta", "topics", "settings", "producer-ids"] {
        let path = directory.path().join(name);
        let bytes = std::fs::read(&path).unwrap();
        let mut damaged = bytes.clone();
        *damaged.last_mut().unwrap() ^= 1;
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(refused_file(directory.path()), name);
        std::fs::write(&path, bytes).unwrap();
    }
    let engine = start(directory.path(), 1);
    assert_eq!(read_all(engine.handle(), partition), ["kept"]);
    assert_eq!(engine.handle().settings().dynamic.get("log.retention.ms"), Some("100000000"));
    engine.stop().unwrap();
}

/// The producer says 0; that must not be what a search by time goes by.
#[test]
fn a_topic_of_arrival_times_is_searched_by_these() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let arrival = [("message.timestamp.type", "LogAppendTime")];
    let partition = create_topic(engine.handle(), "arrivals", 1, &arrival)[0];
    append(engine.handle(), partition, "first");
    append(engine.handle(), partition, "second");
    let find = |query| block_on(engine.handle().find_offset(partition, query, None)).unwrap();
    let first = find(OffsetQuery::AtTimestamp(Timestamp(1))).expect("both are later");
    assert_eq!(first.offset, Offset::ZERO);
    assert!(first.timestamp > Timestamp(1_600_000_000_000), "it arrived now, not at {}", first.timestamp);
    assert_eq!(find(OffsetQuery::AtTimestamp(first.timestamp)).map(|found| found.offset), Some(Offset::ZERO));
    assert_eq!(find(OffsetQuery::AtTimestamp(first.timestamp.plus(3_600_000))), None);
    engine.stop().unwrap();
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
    let stats = block_on(engine.handle().stats());
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
fn an_empty_engine_writes_little() {
    let directory = tempfile::tempdir().unwrap();
    start(directory.path(), 2).stop().unwrap();
    let shards = std::fs::read_dir(directory.path().join("shards")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 8 << 20, "an empty engine of 2 shards has written {bytes} bytes");
}

/// Its instance on shard 1 panics when it is told to.
#[derive(Clone)]
struct Panics(async_channel::Receiver<()>);

impl Front for Panics {
    async fn run(self, shard: Local) {
        if shard.index() == 1 && self.0.recv().await.is_ok() {
            panic!("no way");
        }
        shard.stopped().await;
    }
}

/// The others would go on as if nothing had happened, and wait for ever for what the one that has gone was
/// asked.
#[test]
fn a_shard_that_panics_is_told_of_and_the_others_stop_and_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (panic, panics) = async_channel::bounded(1);
    let engine = Engine::start(config(directory.path(), 3), Panics(panics)).expect("the engine starts");
    let partitions = create_topic(engine.handle(), "orders", 6, &[]);
    for partition in &partitions {
        append(engine.handle(), *partition, "kept");
    }
    let watch = engine.watch();
    panic.send_blocking(()).unwrap();
    assert_eq!(watch.wait(), Some(1));
    assert!(block_on(engine.handle().stats()).len() < 3, "it does not answer, and nobody waits for it");
    match engine.stop() {
        Err(StopError::Ended { shard: 1, source }) => {
            assert!(source.to_string().contains("no way"), "{source}")
        }
        other => panic!("the reason is not told: {other:?}"),
    }
    assert_eq!(watch.wait(), None, "nobody is left to end");
    let engine = start(directory.path(), 2);
    for partition in &partitions {
        assert_eq!(read_all(engine.handle(), *partition), ["kept"]);
    }
    engine.stop().unwrap();
}

#[test]
fn an_engine_that_is_stopped_is_no_engine_that_ends() {
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 2);
    let watch = engine.watch();
    engine.stop().unwrap();
    assert_eq!(watch.wait(), None);
}

#[test]
fn an_engine_starts_on_a_thread_that_runs_an_executor() {
    let directory = tempfile::tempdir().unwrap();
    block_on(async { start(directory.path(), 1).stop().unwrap() });
}
