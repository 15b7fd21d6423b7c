//! DescribeLogDirs: the one data directory, what each partition takes of it, and how much room its volume has.

use std::collections::BTreeMap;

use strandline_engine::reactor::yield_if_needed;
use strandline_engine::types::PartitionId;

use crate::dispatch::Broker;
use crate::messages::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};
use crate::room::Seat;
use crate::wire::writer::PART_BYTES;

/// About what a partition takes of the memory until the answer has left.
const PARTITION_BYTES: usize = 256;

/// Sizes of the partitions that are asked for and there; others are left out, as in Kafka.
pub async fn handle(
    broker: &Broker,
    _: i16,
    request: DescribeLogDirsRequest,
    seat: &mut Seat,
) -> DescribeLogDirsResponse {
    let count: usize = match &request.topics {
        None => broker.shard.topics().iter().map(|topic| topic.partitions as usize).sum(),
        Some(named) => named.iter().map(|topic| topic.partitions.len()).sum(),
    };
    if count * PARTITION_BYTES > PART_BYTES {
        seat.reserve(count * PARTITION_BYTES).await;
    }
    let topics = broker.shard.topics();
    let mut asked: BTreeMap<(String, u32), PartitionId> = BTreeMap::new();
    match request.topics {
        None => {
            for topic in topics.iter() {
                for id in topic.partition_ids() {
                    asked.insert((topic.name.clone(), id.index), id);
                    yield_if_needed().await;
                }
            }
        }
        Some(named) => {
            for named in named {
                let Some(topic) = topics.by_name(&named.topic) else { continue };
                let indexes = named.partitions.iter().filter_map(|index| u32::try_from(*index).ok());
                for index in indexes.filter(|index| *index < topic.partitions) {
                    asked.insert((topic.name.clone(), index), PartitionId::new(topic.id, index));
                    yield_if_needed().await;
                }
            }
        }
    }
    let ids: Vec<_> = asked.values().copied().collect();
    let sizes = broker.shard.handle().sizes(&ids).await;
    let mut described: Vec<DescribeLogDirsTopic> = Vec::new();
    for ((name, index), size) in asked.into_keys().zip(sizes) {
        // A topic that was deleted meanwhile is left out.
        let Ok(size) = size else { continue };
        if described.last().is_none_or(|last| last.name != name) {
            described.push(DescribeLogDirsTopic { name, partitions: Vec::new() });
        }
        yield_if_needed().await;
        let partition_size = i64::try_from(size).unwrap_or(i64::MAX);
        described.last_mut().expect("pushed above").partitions.push(DescribeLogDirsPartition {
            partition_index: index as i32,
            partition_size,
            ..Default::default()
        });
    }
    let (total_bytes, usable_bytes) = room(&broker.config.data_dir).unwrap_or((-1, -1));
    let result = DescribeLogDirsResult {
        log_dir: log_dir(broker),
        topics: described,
        total_bytes,
        usable_bytes,
        ..Default::default()
    };
    DescribeLogDirsResponse { results: vec![result], ..Default::default() }
}

/// The data directory, as it is told to clients.
pub(crate) fn log_dir(broker: &Broker) -> String {
    let directory = &broker.config.data_dir;
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
    absolute.to_string_lossy().into_owned()
}

/// All bytes of the directory's volume, and those that are free for us.
fn room(directory: &std::path::Path) -> Option<(i64, i64)> {
    let volume = rustix::fs::statvfs(directory).ok()?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(volume.f_frsize)).unwrap_or(i64::MAX);
    Some((bytes(volume.f_blocks), bytes(volume.f_bavail)))
}
