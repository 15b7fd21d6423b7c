//! The engine under another runtime: tokio's tasks append and read through clones of one handle, and none of
//! them holds the thread of another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ::tokio::task::JoinSet;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::types::{Offset, PartitionId};
use strandline_engine::{Handle, ReadRequest};

use crate::support::{create_topic, now, read_all, start};

const PATIENCE: Duration = Duration::from_secs(60);

async fn append(log: &Handle, partition: PartitionId, value: &str) -> i64 {
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(now(), None, Some(value.as_bytes()), &[]);
    let appended = log.append(partition, batch.build()).await.unwrap().settled().await.unwrap();
    appended.base_offset.get()
}

/// Whether the partition has `offset` and a record there, after waiting for it.
async fn arrives(log: &Handle, partition: PartitionId, offset: i64) -> bool {
    log.wait(partition, Offset::new(offset)).await;
    let found = log.read(&[ReadRequest::new(partition, Offset::new(offset), 1 << 20)]).await.remove(0);
    found.is_ok_and(|found| found.batches.is_some())
}

#[test]
fn tasks_on_many_threads_append_and_follow_and_every_record_is_there_once() {
    const PARTITIONS: u32 = 4;
    const TASKS: usize = 8;
    const RECORDS: usize = 40;
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 2);
    let partitions = create_topic(engine.handle(), "tasks", PARTITIONS, &[]);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    let log = engine.handle().clone();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for (partition, task) in partitions.iter().flat_map(|id| (0..TASKS).map(move |task| (*id, task))) {
            let log = log.clone();
            tasks.spawn(async move {
                let mut last = -1;
                for record in 0..RECORDS {
                    let offset = append(&log, partition, &format!("{task}-{record}")).await;
                    assert!(offset > last, "a task's records stand in its order");
                    last = offset;
                }
            });
        }
        for partition in partitions.clone() {
            let log = log.clone();
            tasks.spawn(async move {
                for offset in 0..(TASKS * RECORDS) as i64 {
                    assert!(arrives(&log, partition, offset).await, "{offset}");
                }
            });
        }
        let all = async {
            while let Some(ended) = tasks.join_next().await.transpose().unwrap() {
                ended
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("all tasks end");
    });
    for partition in partitions {
        let mut values = read_all(engine.handle(), partition);
        values.sort();
        let mut expected: Vec<String> =
            (0..TASKS).flat_map(|task| (0..RECORDS).map(move |record| format!("{task}-{record}"))).collect();
        expected.sort();
        assert_eq!(values, expected);
    }
    engine.stop().unwrap();
}

/// On a runtime with one thread, an append or a wait that held it would let nothing else run.
#[test]
fn a_task_that_waits_for_the_engine_lets_others_run_on_its_thread() {
    const RECORDS: u64 = 200;
    let directory = tempfile::tempdir().unwrap();
    let engine = start(directory.path(), 1);
    let [one, other] = create_topic(engine.handle(), "turns", 2, &[])[..] else { panic!("two partitions") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let log = engine.handle().clone();
    let (turns, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    runtime.block_on(async {
        let (counted, over) = (turns.clone(), is_over.clone());
        let beside = tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        // Nothing comes there until the appends are over: a wait that held the thread would never end.
        let follower = {
            let log = log.clone();
            tokio::spawn(async move { arrives(&log, other, 0).await })
        };
        let work = async {
            for record in 0..RECORDS {
                append(&log, one, &record.to_string()).await;
            }
            append(&log, other, "last").await;
            assert!(follower.await.unwrap());
        };
        tokio::time::timeout(PATIENCE, work).await.expect("the appends end");
        is_over.store(true, Ordering::Relaxed);
        beside.await.unwrap();
    });
    // A write takes longer than a turn of a task; some may be answered before the task looks.
    let turns = turns.load(Ordering::Relaxed);
    assert!(turns >= RECORDS / 2, "{turns} turns of another task during {RECORDS} durable appends");
    engine.stop().unwrap();
}
