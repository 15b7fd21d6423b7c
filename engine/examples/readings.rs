//! The ten lines of the README, as a whole program: `cargo run -p strandline-engine --example readings`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::SystemTime;

use futures_executor::block_on;
use strandline_engine::config::EngineConfig;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::topics::NewTopic;
use strandline_engine::types::{PartitionId, Timestamp};
use strandline_engine::{Engine, NoFront, ReadRequest};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join(format!("strandline-readings-{}", std::process::id()));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let now = Timestamp(now as i64);
    block_on(async {
        let engine = Engine::start(EngineConfig::new(&directory), NoFront)?;
        let log = engine.handle().clone();
        let new = NewTopic { name: "readings".into(), partitions: 4, configs: Vec::new() };
        let partition = PartitionId::new(log.create_topic(new).await?.id, 0);

        let mut batch = BatchBuilder::new(Codec::None);
        batch.push(now, Some(b"sensor-7"), Some(b"21.5"), &[]);
        let appended = log.append(partition, batch.build()).await?.settled().await?;

        let request = ReadRequest::new(partition, appended.base_offset, 1 << 20);
        let found = log.read(&[request]).await.remove(0)?;
        let bytes = found.batches.expect("what was appended can be read").read()?;
        println!("{} bytes from offset {} on", bytes.len(), appended.base_offset);
        engine.stop()?;
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}
