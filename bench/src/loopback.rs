//! The engine without a network: a front without sockets appends on the shards' own threads.
//!
//! The same work over the Kafka front (`produce`) costs more by what the front costs: sockets, frames,
//! answers. Appenders are closed loops with one batch each under way, so the figures are the most that the
//! engine takes, and latencies are those of a full queue.

use crate::output::outln;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use strandline_engine::config::{EngineConfig, ReactorChoice};
use strandline_engine::error::{AppendError, StartError, TopicError};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::reactor::{Queue, spawn};
use strandline_engine::topics::NewTopic;
use strandline_engine::types::{PartitionId, Timestamp};
use strandline_engine::{Engine, Front, Local, ShardStats, StopError};

/// What is appended.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoopbackArgs {
    /// Shards of the engine: the cores, when it is not given.
    #[arg(long)]
    shards: Option<usize>,
    /// What the shards run on: auto, ring, glommio or poll.
    #[arg(long, default_value_t = ReactorChoice::Auto)]
    reactor: ReactorChoice,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 16)]
    partitions: u32,
    /// Appenders of all shards together, each with one batch under way.
    #[arg(long, default_value_t = 250)]
    appenders: usize,
    /// Bytes of a record's value.
    #[arg(long, default_value_t = 1024)]
    record_bytes: usize,
    /// Records of a batch.
    #[arg(long, default_value_t = 16)]
    records_per_batch: usize,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Acknowledge out of the page cache (flush.messages = never).
    #[arg(long)]
    unsynced: bool,
    /// Where the data directory is made, and removed again.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: std::path::PathBuf,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoopbackError {
    #[error("the data directory can not be made: {0}")]
    Directory(#[from] std::io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Stop(#[from] StopError),
    #[error("the topic was not made: {0}")]
    Topic(#[from] TopicError),
    #[error("an append failed: {0}")]
    Append(#[from] AppendError),
    #[error("a shard gave no result")]
    Silent,
}

/// What one shard's appenders have measured: latencies of acknowledged batches, in microseconds.
type ShardResult = Result<Histogram<u64>, LoopbackError>;

/// The front without sockets.
#[derive(Clone)]
struct LoopbackFront {
    args: LoopbackArgs,
    results: mpsc::Sender<ShardResult>,
}

impl Front for LoopbackFront {
    async fn run(self, shard: Local) {
        let result = append_all(&self.args, &shard).await;
        // Nobody listens any more when another shard has failed.
        let _ = self.results.send(result);
        shard.stopped().await;
    }
}

async fn append_all(args: &LoopbackArgs, shard: &Local) -> ShardResult {
    let configs = args.unsynced.then(|| ("flush.messages".to_owned(), i64::MAX.to_string()));
    let new = NewTopic {
        name: "loopback".to_owned(),
        partitions: args.partitions,
        configs: configs.into_iter().collect(),
    };
    let topic = match shard.handle().create_topic(new).await {
        Err(TopicError::Exists(name)) => {
            shard.topics().by_name(&name).cloned().ok_or(TopicError::Unknown(name))?
        }
        made => made?,
    };
    let value = vec![b'v'; args.record_bytes];
    let mut batch = BatchBuilder::new(Codec::None);
    for _ in 0..args.records_per_batch {
        batch.push(Timestamp::NONE, None, Some(&value), &[]);
    }
    let batch = batch.build();
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let mine = (shard.index()..args.appenders).step_by(shard.shards());
    let appenders: Vec<_> = mine
        .map(|appender| {
            let (shard, batch, topic) = (shard.clone(), batch.clone(), topic.id);
            let partitions = args.partitions;
            spawn(Queue::Net, async move {
                let mut latencies = histogram();
                let mut index = appender as u32;
                while Instant::now() < end {
                    let began = Instant::now();
                    let partition = PartitionId::new(topic, index % partitions);
                    shard.append(partition, batch.clone()).await?.settled().await?;
                    latencies.saturating_record(began.elapsed().as_micros() as u64);
                    index = index.wrapping_add(1);
                }
                Ok::<_, AppendError>(latencies)
            })
        })
        .collect();
    let mut all = histogram();
    for appender in appenders {
        all += appender.await?;
    }
    Ok(all)
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are in order")
}

/// Runs the engine with the loopback front and prints what it took.
pub(crate) fn run(args: &LoopbackArgs) -> Result<(), LoopbackError> {
    let directory = tempfile::Builder::new().prefix("strandline-loopback-").tempdir_in(&args.dir)?;
    let mut config = EngineConfig::new(directory.path());
    config.shards = args.shards.unwrap_or(config.shards);
    config.reactor = args.reactor;
    let shards = config.shards;
    let (sender, results) = mpsc::channel();
    let engine = Engine::start(config, LoopbackFront { args: args.clone(), results: sender })?;
    let mut all = histogram();
    for _ in 0..shards {
        all += results.recv().map_err(|_| LoopbackError::Silent)??;
    }
    let stats = ShardStats::sum(&futures_executor::block_on(engine.handle().stats()));
    let reactor = engine.reactor().kind;
    engine.stop()?;
    let records = all.len() * args.records_per_batch as u64;
    let rate = records as f64 / args.seconds as f64;
    outln!(
        "loopback front, {shards} shards on {reactor}, {} partitions, {} appenders, {} records of {} B a batch, {}: {rate:.0} records/s, {:.0} MB/s; \
         append p50 {} us, p99 {} us, p99.9 {} us; {:.1} records a journal write",
        args.partitions,
        args.appenders,
        args.records_per_batch,
        args.record_bytes,
        if args.unsynced { "not synced" } else { "synced" },
        rate * args.record_bytes as f64 / 1e6,
        all.value_at_quantile(0.5),
        all.value_at_quantile(0.99),
        all.value_at_quantile(0.999),
        stats.records_per_sync(),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_append_of_the_front_is_acknowledged_and_counted() {
        let directory = tempfile::tempdir().unwrap();
        let args = LoopbackArgs {
            shards: Some(2),
            reactor: ReactorChoice::Auto,
            partitions: 3,
            appenders: 4,
            record_bytes: 100,
            records_per_batch: 2,
            seconds: 1,
            unsynced: false,
            dir: directory.path().to_owned(),
        };
        run(&args).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the data directory is removed");
    }
}
