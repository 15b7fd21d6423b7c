//! One scenario with rskafka: `rskafka-client SCENARIO BOOTSTRAP WORKDIR` exits 0 when the broker did what the scenario
//! says, 77 when rskafka cannot ask for it. rskafka knows partitions, not groups; its producer always waits for all.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use futures::future::try_join_all;

use rskafka::BackoffConfig;
use rskafka::chrono::{DateTime, TimeDelta, Utc};
use rskafka::client::consumer::{StartOffset, StreamConsumer, StreamConsumerBuilder};
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::producer::BatchProducerBuilder;
use rskafka::client::producer::aggregator::RecordAggregator;
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::{Record, RecordAndOffset};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const PATIENCE_MS: i32 = 20_000;
const SKIP: u8 = 77;

type Failure = Box<dyn std::error::Error>;
type Outcome = Result<(), Failure>;

/// Why rskafka is not asked this; `None` where it is.
fn impossible(scenario: &str) -> Option<&'static str> {
    Some(match scenario {
        "describe-cluster" | "describe-configs" => "rskafka has no such admin request",
        "tombstones" => "rskafka creates no topics with settings",
        "unknown-topic" => "rskafka's metadata requests always allow creation",
        "idempotent" => "rskafka has no idempotent producer",
        "produce-fire-and-forget" => "rskafka has no other acks than all",
        "max-timestamp" => "rskafka does not ask for the largest timestamp",
        "read-committed" => "rskafka has no isolation level",
        name if name.contains("transaction") => "rskafka has no transactions",
        "pause-resume" => "an rskafka consumer has one partition",
        "consume-regex" | "consume-regex-late" | "auto-commit" | "manual-commit" | "two-groups"
        | "broker-restart" => "rskafka has no groups",
        name if name.contains("group") => "rskafka has no groups",
        _ => return None,
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, scenario, bootstrap, workdir] = &arguments[..] else {
        println!("usage: rskafka-client SCENARIO BOOTSTRAP WORKDIR");
        return ExitCode::from(2);
    };
    if let Some(reason) = impossible(scenario) {
        println!("{reason}");
        return ExitCode::from(SKIP);
    }
    match run(scenario, bootstrap, workdir).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("not written for this client");
            ExitCode::from(SKIP)
        }
        Err(e) => {
            println!("{e}");
            ExitCode::FAILURE
        }
    }
}

async fn run(scenario: &str, bootstrap: &str, workdir: &str) -> Result<bool, Failure> {
    let backoff =
        BackoffConfig { max_backoff: Duration::from_secs(1), deadline: Some(PATIENCE), ..Default::default() };
    let kafka = Kafka(ClientBuilder::new(vec![bootstrap.to_owned()]).backoff_config(backoff).build().await?);
    match scenario {
        "metadata" => kafka.metadata().await?,
        "create-topic" => kafka.create_topic().await?,
        "delete-topic" => kafka.delete_topic().await?,
        "recreate-topic" => kafka.recreate_topic().await?,
        "auto-create" => kafka.auto_create().await?,
        "roundtrip-none" => kafka.roundtrip(Compression::NoCompression).await?,
        "roundtrip-gzip" => kafka.roundtrip(Compression::Gzip).await?,
        "roundtrip-snappy" => kafka.roundtrip(Compression::Snappy).await?,
        "roundtrip-lz4" => kafka.roundtrip(Compression::Lz4).await?,
        "roundtrip-zstd" => kafka.roundtrip(Compression::Zstd).await?,
        "produce-sync" => kafka.produce_sync().await?,
        "produce-callback" => kafka.produce_callback().await?,
        "large-record" => kafka.large_record().await?,
        "oversized-record" => kafka.oversized_record().await?,
        "seek" => kafka.seek().await?,
        "offset-out-of-range" => kafka.offset_out_of_range().await?,
        "offsets-for-times" => kafka.offsets_for_times().await?,
        "consume-timestamp" => kafka.consume_timestamp().await?,
        "tail" => kafka.tail().await?,
        "own-offset-store" => kafka.own_offset_store(workdir).await?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn check(held: bool, otherwise: impl std::fmt::Display) -> Outcome {
    if held { Ok(()) } else { Err(otherwise.to_string().into()) }
}

fn equal<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Outcome {
    check(found == expected, format_args!("{found:?} instead of {expected:?}"))
}

fn refused<T: std::fmt::Debug>(expected: ProtocolError, found: Result<T, Error>) -> Outcome {
    match found {
        Err(Error::ServerError { protocol_error, .. }) => equal(protocol_error, expected),
        other => Err(format!("{other:?} instead of {expected:?}").into()),
    }
}

fn fresh(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{name}-{:x}-{:x}", std::process::id(), now.as_nanos())
}

fn record(key: Option<&[u8]>, value: Option<&[u8]>, timestamp: DateTime<Utc>) -> Record {
    Record { key: key.map(Into::into), value: value.map(Into::into), headers: BTreeMap::new(), timestamp }
}

/// The numbers as values, a second apart, beginning an hour ago.
fn numbered(numbers: std::ops::Range<i64>) -> Vec<Record> {
    let base = hour_ago();
    numbers.map(|i| record(None, Some(i.to_string().as_bytes()), base + TimeDelta::seconds(i))).collect()
}

/// To the millisecond, like the records.
fn hour_ago() -> DateTime<Utc> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    DateTime::from_timestamp_millis(now.as_millis() as i64 - 3_600_000).unwrap_or_default()
}

fn offsets(records: &[RecordAndOffset]) -> Vec<i64> {
    records.iter().map(|r| r.offset).collect()
}

fn stream(partition: &Arc<PartitionClient>, start: StartOffset) -> StreamConsumer {
    StreamConsumerBuilder::new(Arc::clone(partition), start).build()
}

/// `count` records, and proof that no more of them follow.
async fn drain(mut stream: StreamConsumer, count: usize) -> Result<Vec<RecordAndOffset>, Failure> {
    let mut records = Vec::new();
    while records.len() < count {
        let (record, _) = timeout(PATIENCE, stream.next()).await?.ok_or("the stream ended")??;
        records.push(record);
    }
    if let Ok(Some(more)) = timeout(Duration::from_millis(700), stream.next()).await {
        return Err(format!("{more:?} after {count} records").into());
    }
    Ok(records)
}

struct Kafka(Client);

impl Kafka {
    async fn create(&self, name: &str, partitions: i32) -> Result<String, Failure> {
        let topic = fresh(name);
        self.0.controller_client()?.create_topic(&topic, partitions, 1, PATIENCE_MS).await?;
        Ok(topic)
    }

    async fn partition(&self, topic: &str, partition: i32) -> Result<Arc<PartitionClient>, Failure> {
        Ok(Arc::new(self.0.partition_client(topic, partition, UnknownTopicHandling::Retry).await?))
    }

    async fn filled(&self, name: &str, count: i64) -> Result<Arc<PartitionClient>, Failure> {
        let partition = self.partition(&self.create(name, 1).await?, 0).await?;
        partition.produce(numbered(0..count), Compression::NoCompression).await?;
        Ok(partition)
    }

    /// Its partitions, if it is listed.
    async fn listed(&self, topic: &str) -> Result<Option<Vec<i32>>, Failure> {
        let topics = self.0.list_topics().await?;
        Ok(topics.into_iter().find(|t| t.name == topic).map(|t| t.partitions.into_iter().collect()))
    }

    async fn until_listed(&self, topic: &str, expected: Option<Vec<i32>>) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.listed(topic).await?;
            if found == expected {
                return Ok(());
            }
            check(Instant::now() < deadline, format_args!("{topic}: {found:?} instead of {expected:?}"))?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn metadata(&self) -> Outcome {
        let topic = self.create("metadata", 3).await?;
        self.until_listed(&topic, Some(vec![0, 1, 2])).await?;
        // Each is asked at its leader.
        for p in 0..3 {
            equal(self.partition(&topic, p).await?.get_offset(OffsetAt::Latest).await?, 0)?;
        }
        Ok(())
    }

    async fn create_topic(&self) -> Outcome {
        let topic = self.create("create", 8).await?;
        self.until_listed(&topic, Some((0..8).collect())).await?;
        let controller = self.0.controller_client()?;
        refused(ProtocolError::TopicAlreadyExists, controller.create_topic(&topic, 8, 1, PATIENCE_MS).await)?;
        refused(
            ProtocolError::InvalidTopicException,
            controller.create_topic("no spaces", 1, 1, PATIENCE_MS).await,
        )?;
        refused(
            ProtocolError::InvalidReplicationFactor,
            controller.create_topic(fresh("replicas"), 1, 7, PATIENCE_MS).await,
        )
    }

    async fn delete_topic(&self) -> Outcome {
        let (topic, controller) = (self.create("delete", 1).await?, self.0.controller_client()?);
        controller.delete_topic(&topic, PATIENCE_MS).await?;
        self.until_listed(&topic, None).await?;
        refused(ProtocolError::UnknownTopicOrPartition, controller.delete_topic(&topic, PATIENCE_MS).await)
    }

    async fn recreate_topic(&self) -> Outcome {
        let known = self.filled("recreate", 100).await?;
        let (topic, controller) = (known.topic(), self.0.controller_client()?);
        controller.delete_topic(topic, PATIENCE_MS).await?;
        self.until_listed(topic, None).await?;
        controller.create_topic(topic, 1, 1, PATIENCE_MS).await?;
        equal(self.partition(topic, 0).await?.get_offset(OffsetAt::Latest).await?, 0)?;
        equal(known.produce(numbered(7..8), Compression::NoCompression).await?, vec![0])?;
        equal(
            drain(stream(&known, StartOffset::Earliest), 1).await?[0].record.value.as_deref(),
            Some(&b"7"[..]),
        )
    }

    async fn auto_create(&self) -> Outcome {
        let partition = self.partition(&fresh("auto"), 0).await?;
        equal(partition.produce(numbered(0..1), Compression::NoCompression).await?, vec![0])?;
        drain(stream(&partition, StartOffset::Earliest), 1).await.map(drop)
    }

    async fn roundtrip(&self, compression: Compression) -> Outcome {
        let topic = self.create("roundtrip", 3).await?;
        let (base, text) = (hour_ago(), "the mark that high water leaves on a shore ".repeat(20));
        for p in 0..3 {
            let partition = self.partition(&topic, p).await?;
            let mut records = Vec::new();
            for i in 0..60 {
                let value = format!("{p} {i} {text}");
                let mut record =
                    record(Some(b"key"), Some(value.as_bytes()), base + TimeDelta::milliseconds(i));
                if i % 2 == 1 {
                    record.headers =
                        BTreeMap::from([("seq".into(), value.into_bytes()), ("empty".into(), vec![])]);
                }
                records.push(record);
            }
            records.push(record(Some(b"key"), None, base + TimeDelta::milliseconds(100)));
            records.push(record(None, Some(b"no key"), base + TimeDelta::milliseconds(101)));
            records.push(record(Some(b""), Some(b""), base + TimeDelta::milliseconds(102)));
            for batch in records.chunks(21) {
                partition.produce(batch.to_vec(), compression).await?;
            }
            let found = drain(stream(&partition, StartOffset::Earliest), records.len()).await?;
            equal(offsets(&found), (0..records.len() as i64).collect())?;
            equal(found.into_iter().map(|r| r.record).collect(), records)?;
        }
        Ok(())
    }

    async fn produce_sync(&self) -> Outcome {
        let partition = self.partition(&self.create("sync", 1).await?, 0).await?;
        for i in 0..200 {
            equal(partition.produce(numbered(i..i + 1), Compression::NoCompression).await?, vec![i])?;
        }
        equal(offsets(&drain(stream(&partition, StartOffset::Earliest), 200).await?), (0..200).collect())
    }

    /// rskafka's callback is a future, one for each record.
    async fn produce_callback(&self) -> Outcome {
        let partition = self.partition(&self.create("callback", 1).await?, 0).await?;
        let producer = BatchProducerBuilder::new(Arc::clone(&partition))
            .with_linger(Duration::from_millis(5))
            .build(RecordAggregator::new(4000));
        let named =
            try_join_all(numbered(0..2000).into_iter().map(|record| producer.produce(record))).await?;
        let found = drain(stream(&partition, StartOffset::Earliest), 2000).await?;
        for (number, offset) in named.into_iter().enumerate() {
            equal(found[offset as usize].record.value.as_deref(), Some(number.to_string().as_bytes()))?;
        }
        Ok(())
    }

    async fn large_record(&self) -> Outcome {
        let partition = self.partition(&self.create("large", 1).await?, 0).await?;
        let value: Vec<u8> =
            (0..900 * 1024u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let records = vec![record(None, Some(&value), hour_ago()), record(None, Some(b"small"), hour_ago())];
        for record in &records {
            partition.produce(vec![record.clone()], Compression::NoCompression).await?;
        }
        let found = drain(stream(&partition, StartOffset::Earliest), 2).await?;
        check(found.into_iter().map(|r| r.record).collect::<Vec<_>>() == records, "they came back different")
    }

    async fn oversized_record(&self) -> Outcome {
        let partition = self.partition(&self.create("oversized", 1).await?, 0).await?;
        let oversized = record(None, Some(&vec![7; 3 << 20]), hour_ago());
        refused(
            ProtocolError::MessageTooLarge,
            partition.produce(vec![oversized], Compression::NoCompression).await,
        )?;
        equal(partition.produce(numbered(0..1), Compression::NoCompression).await?, vec![0])?;
        drain(stream(&partition, StartOffset::Earliest), 1).await.map(drop)
    }

    async fn seek(&self) -> Outcome {
        let partition = self.filled("seek", 100).await?;
        equal(partition.get_offset(OffsetAt::Earliest).await?, 0)?;
        equal(partition.get_offset(OffsetAt::Latest).await?, 100)?;
        equal(offsets(&drain(stream(&partition, StartOffset::Earliest), 100).await?), (0..100).collect())?;
        equal(offsets(&drain(stream(&partition, StartOffset::At(42)), 58).await?), (42..100).collect())?;
        let mut end = stream(&partition, StartOffset::Latest);
        check(
            timeout(Duration::from_millis(1500), end.next()).await.is_err(),
            "something came before the end moved",
        )?;
        partition.produce(numbered(100..101), Compression::NoCompression).await?;
        equal(offsets(&drain(end, 1).await?), vec![100])
    }

    async fn offset_out_of_range(&self) -> Outcome {
        let partition = self.filled("range", 10).await?;
        refused(ProtocolError::OffsetOutOfRange, partition.fetch_records(5000, 1..1000, 100).await)
    }

    async fn offsets_for_times(&self) -> Outcome {
        let partition = self.partition(&self.create("times", 1).await?, 0).await?;
        let records = numbered(0..100);
        let base = records[0].timestamp;
        partition.produce(records, Compression::NoCompression).await?;
        for (asked, expected) in [(-5, 0), (0, 0), (4200, 5), (99_000, 99), (99_001, -1)] {
            let asked = OffsetAt::Timestamp(base + TimeDelta::milliseconds(asked));
            equal(partition.get_offset(asked).await?, expected)?;
        }
        Ok(())
    }

    async fn consume_timestamp(&self) -> Outcome {
        let partition = self.partition(&self.create("from-time", 1).await?, 0).await?;
        let records = numbered(0..100);
        let asked = records[76].timestamp + TimeDelta::milliseconds(500);
        partition.produce(records, Compression::NoCompression).await?;
        let start = partition.get_offset(OffsetAt::Timestamp(asked)).await?;
        equal(offsets(&drain(stream(&partition, StartOffset::At(start)), 23).await?), (77..100).collect())
    }

    async fn tail(&self) -> Outcome {
        let partition = self.filled("tail", 1).await?;
        // One connection answers in order: a request behind a long fetch would wait for it.
        let sender = self.0.partition_client(partition.topic(), 0, UnknownTopicHandling::Retry).await?;
        for i in 1..4 {
            let long = tokio::spawn({
                let partition = Arc::clone(&partition);
                async move {
                    partition
                        .fetch_records(i, 1..1_000_000, 15_000)
                        .await
                        .map(|(records, _)| (records, Instant::now()))
                }
            });
            tokio::time::sleep(Duration::from_secs(1)).await;
            sender.produce(numbered(i..i + 1), Compression::NoCompression).await?;
            let sent = Instant::now();
            let (records, arrived) = timeout(PATIENCE, long).await???;
            equal(offsets(&records), vec![i])?;
            let late = arrived.saturating_duration_since(sent);
            println!("arrived {:.1} ms after its acknowledgement", late.as_secs_f64() * 1e3);
            check(late < Duration::from_secs(1), "late")?;
        }
        Ok(())
    }

    async fn own_offset_store(&self, workdir: &str) -> Outcome {
        let (partition, store) =
            (self.filled("own-store", 100).await?, std::path::Path::new(workdir).join("offset"));
        let first: Vec<_> = stream(&partition, StartOffset::Earliest).take(40).collect().await;
        let mut found = Vec::new();
        for item in first {
            found.push(item?.0);
        }
        std::fs::write(&store, (found[39].offset + 1).to_string())?;
        let start = std::fs::read_to_string(&store)?.parse()?;
        found.extend(drain(stream(&partition, StartOffset::At(start)), 60).await?);
        equal(offsets(&found), (0..100).collect())
    }
}
