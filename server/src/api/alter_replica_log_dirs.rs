//! AlterReplicaLogDirs: the data directory is the only one, so that a partition can be moved to where it is,
//! and nowhere else.

use strandline_engine::reactor::yield_if_needed;
use strandline_protocol::messages::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::describe_log_dirs::log_dir;
use crate::api::distinct::distinct_by_name;
use crate::call::Call;
use crate::security::acl::{Operation, Resource};

/// What became of each move.
pub async fn handle(call: &Call, request: AlterReplicaLogDirsRequest) -> AlterReplicaLogDirsResponse {
    let broker = &*call.broker;
    let denied = call.may(Operation::Alter, Resource::CLUSTER).err();
    let here = log_dir(broker);
    let topics = broker.shard.topics();
    let mut named = Vec::new();
    for directory in request.dirs {
        let is_here = directory.path == here;
        for topic in directory.topics {
            let partitions: Vec<_> = topic.partitions.into_iter().map(|index| (index, is_here)).collect();
            named.push((topic.name, partitions));
            yield_if_needed().await;
        }
    }
    // The last directory that is asked for a partition counts.
    let asked = distinct_by_name(named, |(index, _): &(i32, bool)| *index).await;
    let mut results = Vec::with_capacity(asked.len());
    for (topic_name, asked) in asked {
        let topic = topics.by_name(&topic_name);
        let moved = |(partition_index, is_here): (i32, bool)| {
            let is_there = topic.and_then(|topic| topic.partition(partition_index)).is_some();
            let error = match (is_here, is_there) {
                _ if denied.is_some() => ErrorCode::ClusterAuthorizationFailed,
                (false, _) => ErrorCode::LogDirNotFound,
                (true, false) => ErrorCode::ReplicaNotAvailable,
                (true, true) => ErrorCode::None,
            };
            AlterReplicaLogDirPartitionResult { partition_index, error_code: error.code() }
        };
        let mut partitions = Vec::with_capacity(asked.len());
        for asked in asked {
            partitions.push(moved(asked));
            yield_if_needed().await;
        }
        results.push(AlterReplicaLogDirTopicResult { topic_name, partitions });
        yield_if_needed().await;
    }
    AlterReplicaLogDirsResponse { results, ..Default::default() }
}
