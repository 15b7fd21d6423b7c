//! Appends a record and reads it back: `cargo run -p strandline-engine --example append_read`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::SystemTime;

use futures_executor::block_on;
use strandline_engine::config::EngineConfig;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::format::record::Records;
use strandline_engine::topics::NewTopic;
use strandline_engine::types::{Offset, PartitionId, Timestamp};
use strandline_engine::{Engine, NoFront, ReadRequest};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join("strandline-example");
    let engine = Engine::start(EngineConfig::new(&directory), NoFront)?;
    let log = engine.handle().clone();
    block_on(async {
        let topic = match log.topics().by_name("greetings") {
            Some(topic) => topic.clone(),
            None => {
                let new = NewTopic { name: "greetings".into(), partitions: 1, configs: Vec::new() };
                log.create_topic(new).await?
            }
        };
        let partition = PartitionId::new(topic.id, 0);

        let mut batch = BatchBuilder::new(Codec::None);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
        batch.push(Timestamp(now as i64), Some(b"who"), Some(b"hello, world"), &[]);
        let appended = log.append(partition, batch.build()).await?.settled().await?;
        println!("durable at offset {}", appended.base_offset);

        let request = ReadRequest::new(partition, Offset::ZERO, 1 << 20);
        let found = log.read(&[request]).await.remove(0)?;
        let bytes = found.batches.expect("there is at least one record").read()?;
        for batch in Batches::new(&bytes) {
            let (header, batch) = batch?;
            for record in Records::new(&batch[BATCH_HEADER_BYTES..], header.record_count() as u32) {
                let record = record?;
                let offset = header.base_offset().plus(i64::from(record.offset_delta));
                println!("{offset}: {}", String::from_utf8_lossy(record.value.unwrap_or_default()));
            }
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    engine.stop()?;
    Ok(())
}
