//! A table: a compacted topic in which every key was written many times over. It is cleaned while others
//! work, and then every key must have its newest value.
//!
//! The broker is started so that it does not clean ([`ARGUMENTS`]); [`Table::clean`] tells it to, while it
//! runs.

use crate::broker::Target;
use crate::client::{Client, ClientError, Topic, refuse};
use crate::clock::{SECOND, now, wall_ms};
use crate::measure::{self, MeasureError};
use crate::progress::Progress;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::format::record::Records;
use strandline_engine::types::Timestamp;
use strandline_protocol::messages::{
    FetchPartition, FetchRequest, FetchTopic, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource, IncrementalAlterableConfig, PartitionProduceData, ProduceRequest,
    TopicProduceData,
};

/// What a broker is started with: retention looks every second, and nothing is cleaned until it is told to.
pub(crate) const ARGUMENTS: [&str; 4] =
    ["-o", "log.retention.check.interval.ms=1000", "-o", "log.cleaner.backoff.ms=3600000"];
/// The setting that is changed while it runs.
const BACKOFF: &str = "log.cleaner.backoff.ms";
/// The load's topics beside a table, in both halves: segments of the least size, so that there is something
/// to delete within seconds.
pub(crate) const SEGMENTS: (&str, &str) = ("segment.bytes", "1048576");
/// The same topics while retention deletes from them: four segments stay.
pub(crate) const RETENTION: (&str, &str) = ("retention.bytes", "4194304");
/// Partitions of the table.
const PARTITIONS: u32 = 4;
/// Bytes of a segment of the table.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Most records of a batch.
const BATCH_RECORDS: usize = 1000;
/// How long nothing changes when cleaning has ended.
const QUIET: u64 = 3 * SECOND;
/// How long it may take.
const CLEANING_MAX: u64 = 600 * SECOND;

/// How large a table is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableSize {
    /// Keys.
    pub(crate) keys: u64,
    /// Updates of them, all together.
    pub(crate) updates: u64,
    /// Bytes of a value, 8 or more.
    pub(crate) value_bytes: u32,
}

/// Why a table is not right, or could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error("the table is wrong: {wrong} of {keys} keys do not have their newest value")]
    Wrong { wrong: usize, keys: usize },
}

/// A table that was written.
#[derive(Debug)]
pub(crate) struct Table {
    topic: Topic,
    pub(crate) name: String,
    /// The number of the last update of each key; 0 for none.
    newest: Vec<u64>,
    data: PathBuf,
}

/// What cleaning did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cleaning {
    /// From the word to the last change.
    pub(crate) seconds: f64,
    /// Bytes of the log before and after.
    pub(crate) bytes_before: u64,
    pub(crate) bytes_after: u64,
    /// Records that are left, with those of the segments that are still open.
    pub(crate) records_left: u64,
}

impl Cleaning {
    /// Bytes of the log that were cleaned in a second, in 10^6.
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.bytes_before as f64 / 1e6 / self.seconds
    }
}

/// The key of an update: any of them, and the same ones in every run.
fn key_of(update: u64, keys: u64) -> u64 {
    // splitmix64.
    let mut mixed = update.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % keys
}

impl Table {
    /// Writes it, and waits until all of it is acknowledged.
    pub(crate) fn fill(target: &Target, size: TableSize, progress: &Progress) -> Result<Table, MeasureError> {
        let configs = [
            ("cleanup.policy", "compact"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("segment.bytes", &SEGMENT_BYTES.to_string()),
        ];
        let name = measure::topic_name();
        let mut compacted = target.clone();
        compacted.topic_configs.extend(configs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let topic = measure::create_topic(&compacted, &name, PARTITIONS)?;
        let data = target.data.clone().ok_or(MeasureError::ColdNeedsData)?;
        let mut table = Table { topic, name, newest: vec![0; size.keys as usize], data };
        let _phase = progress.phase("fill the table", 0);
        let mut client = Client::connect(&target.bootstrap)?;
        let mut batches: Vec<BatchBuilder> =
            (0..PARTITIONS).map(|_| BatchBuilder::new(Codec::None)).collect();
        let mut value = vec![b'v'; size.value_bytes.max(8) as usize];
        for update in 1..=size.updates {
            let key = key_of(update, size.keys);
            table.newest[key as usize] = update;
            value[..8].copy_from_slice(&update.to_le_bytes());
            let batch = &mut batches[(key % u64::from(PARTITIONS)) as usize];
            batch.push(Timestamp(wall_ms()), Some(&key.to_le_bytes()), Some(&value), &[]);
            if batch.len() == BATCH_RECORDS || update == size.updates {
                let full =
                    batches.iter_mut().map(|batch| std::mem::replace(batch, BatchBuilder::new(Codec::None)));
                table.send(&mut client, full)?;
            }
        }
        Ok(table)
    }

    /// Sends a batch to each partition that has one.
    fn send(
        &self,
        client: &mut Client,
        batches: impl Iterator<Item = BatchBuilder>,
    ) -> Result<(), MeasureError> {
        let partition_data: Vec<_> = (batches.enumerate())
            .filter(|(_, batch)| !batch.is_empty())
            .map(|(index, batch)| PartitionProduceData { index: index as i32, records: Some(batch.build()) })
            .collect();
        if partition_data.is_empty() {
            return Ok(());
        }
        let topic_data =
            vec![TopicProduceData { name: self.name.clone(), topic_id: self.topic.id, partition_data }];
        let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data, ..Default::default() };
        for partition in client.call(&request)?.responses.iter().flat_map(|topic| &topic.partition_responses)
        {
            refuse("Produce", partition.error_code, partition.error_message.clone())?;
        }
        Ok(())
    }

    /// Has the table cleaned after `wait`, and returns when that has ended.
    pub(crate) fn clean(&self, target: &Target, wait: Duration) -> Result<Cleaning, MeasureError> {
        let mut client = Client::connect(&target.bootstrap)?;
        thread::sleep(wait);
        let bytes_before = self.bytes()?;
        let began = now();
        set(&mut client, BACKOFF, Some("100"))?;
        let (mut bytes_after, mut changed) = (bytes_before, began);
        while now() - began < CLEANING_MAX && (bytes_after == bytes_before || now() - changed < QUIET) {
            thread::sleep(Duration::from_millis(20));
            let bytes = self.bytes()?;
            if bytes != bytes_after {
                (bytes_after, changed) = (bytes, now());
            }
        }
        set(&mut client, BACKOFF, None)?;
        let seconds = (changed - began) as f64 / SECOND as f64;
        Ok(Cleaning { seconds, bytes_before, bytes_after, records_left: 0 })
    }

    /// Bytes of the log's segments.
    fn bytes(&self) -> io::Result<u64> {
        let mut sum = 0;
        for partition in 0..PARTITIONS {
            for entry in std::fs::read_dir(self.data.join(format!("{}-{partition}", self.name)))? {
                let entry = entry?;
                if Path::new(&entry.file_name()).extension().is_some_and(|extension| extension == "log") {
                    // It may have been replaced since it was listed.
                    sum += entry.metadata().map_or(0, |metadata| metadata.len());
                }
            }
        }
        Ok(sum)
    }

    /// Reads all of it: the newest value of every key must be its last update. Gives the number of records.
    pub(crate) fn check(&self) -> Result<u64, TableError> {
        let mut found = vec![0; self.newest.len()];
        let mut records = 0;
        for (partition, leader) in self.topic.leaders.iter().enumerate() {
            let mut client = Client::connect(leader)?;
            let mut offset = 0;
            while let Some(next) = self.read(&mut client, partition, offset, &mut found, &mut records)? {
                offset = next;
            }
        }
        let wrong = self.newest.iter().zip(&found).filter(|(newest, found)| newest != found).count();
        if wrong > 0 {
            return Err(TableError::Wrong { wrong, keys: self.newest.len() });
        }
        Ok(records)
    }

    /// Reads some records from `offset` on; gives the offset behind them, `None` at the end.
    fn read(
        &self,
        client: &mut Client,
        partition: usize,
        offset: i64,
        found: &mut [u64],
        records: &mut u64,
    ) -> Result<Option<i64>, MeasureError> {
        let wanted = FetchPartition {
            partition: partition as i32,
            fetch_offset: offset,
            partition_max_bytes: 8 << 20,
            ..Default::default()
        };
        let topic =
            FetchTopic { topic: self.name.clone(), topic_id: self.topic.id, partitions: vec![wanted] };
        client.fetch(&FetchRequest { max_bytes: 8 << 20, topics: vec![topic], ..Default::default() })?;
        let mut response = client.fetched()?;
        refuse("Fetch", response.error_code, None)?;
        let data = response.responses.remove(0).partitions.remove(0);
        refuse("Fetch", data.error_code, None)?;
        let mut next = None;
        for batch in Batches::new(&data.records) {
            let broken =
                |problem: String| MeasureError::Io(io::Error::new(io::ErrorKind::InvalidData, problem));
            let (header, batch) = batch.map_err(|error| broken(error.to_string()))?;
            for record in Records::new(&batch[BATCH_HEADER_BYTES..], header.record_count() as u32) {
                let record = record.map_err(|error| broken(error.to_string()))?;
                let key = u64::from_le_bytes(record.key.unwrap_or_default().try_into().unwrap_or_default());
                let value = record.value.unwrap_or_default();
                let update =
                    value.get(..8).map_or(0, |first| u64::from_le_bytes(first.try_into().expect("8 bytes")));
                if let Some(newest) = found.get_mut(key as usize) {
                    *newest = update;
                }
                *records += 1;
            }
            next = Some(header.last_offset().get() + 1);
        }
        Ok(next)
    }
}

/// Sets a setting of all brokers, or takes it back.
fn set(client: &mut Client, name: &str, value: Option<&str>) -> Result<(), MeasureError> {
    let config = IncrementalAlterableConfig {
        name: name.to_owned(),
        config_operation: if value.is_some() { 0 } else { 1 },
        value: value.map(str::to_owned),
    };
    let resource = IncrementalAlterConfigsResource {
        resource_type: 4,
        resource_name: String::new(),
        configs: vec![config],
    };
    let answer =
        client.call(&IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false })?;
    for response in answer.responses {
        refuse("IncrementalAlterConfigs", response.error_code, response.error_message)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_reach_every_key_about_as_often() {
        let mut counts = [0u32; 100];
        (1..=10_000).for_each(|update| counts[key_of(update, 100) as usize] += 1);
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
    }
}
