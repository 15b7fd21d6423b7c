//! The engine in a program on tokio: tasks on all of its threads append, others follow what they append.
//! `cargo run -p strandline-engine --example tokio`.
//!
//! A `Handle` is a clone away, and its calls are awaited like any other: the shards have threads of their
//! own, and wake the task that asked. One thing reads a file: the `read` of a range. What a follower reads is
//! in memory most of the time; where it may not be, the read belongs to tokio's threads for what blocks.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::SystemTime;

use strandline_engine::config::EngineConfig;
use strandline_engine::format::batch::Batches;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::topics::NewTopic;
use strandline_engine::types::{Offset, PartitionId, Timestamp};
use strandline_engine::{Engine, Handle, NoFront, ReadRequest};

const SENSORS: u32 = 8;
const READINGS: i64 = 100;

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() -> Result<(), Failed> {
    let directory = std::env::temp_dir().join(format!("strandline-tokio-{}", std::process::id()));
    let config = EngineConfig::new(&directory);
    // A start reads journals and a stop syncs: both take their time, and would hold one of tokio's threads.
    let engine = tokio::task::spawn_blocking(move || Engine::start(config, NoFront)).await??;
    let log = engine.handle().clone();
    let new = NewTopic { name: "readings".into(), partitions: SENSORS, configs: Vec::new() };
    let topic = log.create_topic(new).await?;

    let mut tasks = tokio::task::JoinSet::new();
    for partition in topic.partition_ids() {
        tasks.spawn(write(log.clone(), partition));
        tasks.spawn(follow(log.clone(), partition));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    println!("{SENSORS} sensors, {READINGS} durable readings of each, and all of them read");
    tokio::task::spawn_blocking(move || engine.stop()).await??;
    tokio::fs::remove_dir_all(directory).await?;
    Ok(())
}

/// Appends one reading after the other, each once the one before is on the disk.
async fn write(log: Handle, partition: PartitionId) -> Result<(), Failed> {
    for reading in 0..READINGS {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
        let mut batch = BatchBuilder::new(Codec::None);
        batch.push(Timestamp(now as i64), None, Some(reading.to_string().as_bytes()), &[]);
        log.append(partition, batch.build()).await?.settled().await?;
    }
    Ok(())
}

/// Reads what is there, and waits for more, until all readings have come.
async fn follow(log: Handle, partition: PartitionId) -> Result<(), Failed> {
    let mut next = Offset::ZERO;
    while next.get() < READINGS {
        log.wait(partition, next).await;
        let found = log.read(&[ReadRequest::new(partition, next, 1 << 20)]).await.remove(0)?;
        let Some(batches) = found.batches else { continue };
        let bytes = tokio::task::spawn_blocking(move || batches.read()).await??;
        for batch in Batches::new(&bytes) {
            next = next.plus(i64::from(batch?.0.record_count()));
        }
    }
    Ok(())
}
