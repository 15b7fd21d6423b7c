//! DescribeLogDirs: the one data directory, what each partition takes of it, and how much room its volume
//! has.

use std::sync::Arc;

use strandline_engine::reactor::yield_if_needed;
use strandline_engine::topics::Topic;
use strandline_engine::types::PartitionId;
use strandline_protocol::messages::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};
use strandline_protocol::wire::writer::PART_BYTES;

use crate::api::distinct::distinct_by_name;
use crate::broker::Broker;
use crate::call::Call;
use crate::room::Seat;
use crate::security::acl::{Operation, Resource};

/// About what a partition takes of the memory until the answer has left.
const PARTITION_BYTES: usize = 256;

/// Sizes of the partitions that are asked for and there; others are left out, as in Kafka.
pub async fn handle(
    call: &Call,
    request: DescribeLogDirsRequest,
    seat: &mut Seat,
) -> DescribeLogDirsResponse {
    let broker = &*call.broker;
    if let Err(error) = call.may(Operation::Describe, Resource::CLUSTER) {
        return DescribeLogDirsResponse { error_code: error.code(), ..Default::default() };
    }
    let count: usize = match &request.topics {
        None => broker.shard.topics().iter().map(|topic| topic.partitions as usize).sum(),
        Some(named) => named.iter().map(|topic| topic.partitions.len()).sum(),
    };
    if count * PARTITION_BYTES > PART_BYTES {
        seat.reserve(count * PARTITION_BYTES).await;
    }
    let topics = broker.shard.topics();
    let mut asked: Vec<(Arc<Topic>, Vec<PartitionId>)> = Vec::new();
    match request.topics {
        None => {
            for topic in topics.iter() {
                asked.push((topic.clone(), topic.partition_ids().collect()));
                yield_if_needed().await;
            }
        }
        Some(named) => {
            let named = named.into_iter().map(|topic| (topic.topic, topic.partitions)).collect();
            for (name, indexes) in distinct_by_name(named, |index: &i32| *index).await {
                yield_if_needed().await;
                let Some(topic) = topics.by_name(&name) else { continue };
                let there = indexes.into_iter().filter_map(|index| topic.partition(index));
                asked.push((topic.clone(), there.collect()));
            }
        }
    }
    let ids: Vec<_> = asked.iter().flat_map(|(_, ids)| ids).copied().collect();
    let mut sizes = broker.engine.sizes(&ids).await.into_iter();
    let mut described: Vec<DescribeLogDirsTopic> = Vec::with_capacity(asked.len());
    for (topic, ids) in asked {
        let mut partitions = Vec::with_capacity(ids.len());
        for (id, size) in ids.into_iter().zip(&mut sizes) {
            yield_if_needed().await;
            // A topic that was deleted meanwhile is left out.
            let Ok(size) = size else { continue };
            partitions.push(DescribeLogDirsPartition {
                partition_index: id.index as i32,
                partition_size: i64::try_from(size).unwrap_or(i64::MAX),
                ..Default::default()
            });
        }
        if !partitions.is_empty() {
            described.push(DescribeLogDirsTopic { name: topic.name.clone(), partitions });
        }
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
