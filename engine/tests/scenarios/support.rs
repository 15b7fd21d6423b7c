//! What the scenarios share.

use std::path::Path;
use std::time::SystemTime;

use futures_executor::block_on;
use strandline_engine::config::EngineConfig;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::format::record::Records;
use strandline_engine::topics::NewTopic;
use strandline_engine::types::{Offset, PartitionId, Timestamp};
use strandline_engine::{Engine, Handle, NoFront, ReadRequest};

pub(crate) fn config(directory: &Path, shards: usize) -> EngineConfig {
    EngineConfig { shards, pin_threads: false, ..EngineConfig::new(directory) }
}

pub(crate) fn start(directory: &Path, shards: usize) -> Engine {
    Engine::start(config(directory, shards), NoFront).expect("the engine starts")
}

pub(crate) fn create_topic(
    log: &Handle,
    name: &str,
    partitions: u32,
    configs: &[(&str, &str)],
) -> Vec<PartitionId> {
    let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let new = NewTopic { name: name.to_owned(), partitions, configs };
    block_on(log.create_topic(new)).expect("the topic is made").partition_ids().collect()
}

/// Appends one record of now and gives its offset once it is acknowledged. One of 1970 would be deleted by
/// the default retention as soon as that looks, in the middle of a test on a busy machine.
pub(crate) fn append(log: &Handle, partition: PartitionId, value: &str) -> i64 {
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(now(), None, Some(value.as_bytes()), &[]);
    let appended = block_on(async { log.append(partition, batch.build()).await?.settled().await });
    appended.expect("the append is acknowledged").base_offset.get()
}

/// The time of day.
pub(crate) fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_millis();
    Timestamp(now as i64)
}

/// The values of all records, in the order of their offsets, which are 0, 1, 2, ...
pub(crate) fn read_all(log: &Handle, partition: PartitionId) -> Vec<String> {
    let mut values = Vec::new();
    loop {
        let offset = Offset::new(values.len() as i64);
        let request = ReadRequest::new(partition, offset, 1 << 20);
        let found = block_on(log.read(&[request])).remove(0).expect("the log can be read");
        let Some(range) = found.batches else { return values };
        for batch in Batches::new(&range.read().expect("the file can be read")) {
            let (header, batch) = batch.expect("whole batches");
            for record in Records::new(&batch[BATCH_HEADER_BYTES..], header.record_count() as u32) {
                let record = record.expect("whole records");
                assert_eq!(header.base_offset().get() + i64::from(record.offset_delta), values.len() as i64);
                values.push(String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
            }
        }
    }
}
