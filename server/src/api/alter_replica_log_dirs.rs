//! AlterReplicaLogDirs: the data directory is the only one, so that a partition can be moved to where it is, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::describe_log_dirs::log_dir;
use crate::dispatch::Broker;
use crate::messages::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use crate::wire::ErrorCode;

/// What became of each move.
pub async fn handle(
    broker: &Broker,
    _: i16,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    let here = log_dir(broker);
    let topics = broker.shard.topics();
    // The last directory that is asked for a partition counts.
    let mut asked: BTreeMap<String, BTreeMap<i32, bool>> = BTreeMap::new();
    for directory in request.dirs {
        let is_here = directory.path == here;
        for topic in directory.topics {
            let partitions: BTreeSet<i32> = topic.partitions.into_iter().collect();
            asked.entry(topic.name).or_default().extend(partitions.into_iter().map(|index| (index, is_here)));
        }
    }
    let results = asked.into_iter().map(|(topic_name, partitions)| {
        let count = topics.by_name(&topic_name).map_or(0, |topic| topic.partitions);
        let moved = |(partition_index, is_here): (i32, bool)| {
            let is_there = u32::try_from(partition_index).is_ok_and(|index| index < count);
            let error = match (is_here, is_there) {
                (false, _) => ErrorCode::LogDirNotFound,
                (true, false) => ErrorCode::ReplicaNotAvailable,
                (true, true) => ErrorCode::None,
            };
            AlterReplicaLogDirPartitionResult { partition_index, error_code: error.code() }
        };
        let partitions = partitions.into_iter().map(moved).collect();
        AlterReplicaLogDirTopicResult { topic_name, partitions }
    });
    AlterReplicaLogDirsResponse { results: results.collect(), ..Default::default() }
}
