//! OffsetDelete: offsets of topics that nobody in the group consumes.

use strandline_protocol::messages::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use crate::api::allowed_topics;
use crate::api::distinct::distinct_by_name;
use crate::call::Call;
use crate::security::acl::{Operation, Resource};

/// What became of each offset.
pub async fn handle(call: &Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let broker = &call.broker;
    let group = request.group_id;
    if let Err(error) = call.may(Operation::Delete, Resource::group(&group)) {
        return OffsetDeleteResponse { error_code: error.code(), ..Default::default() };
    }
    let asked = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| partition.partition_index);
        (topic.name, partitions.collect())
    });
    let asked = distinct_by_name(asked.collect(), |partition: &i32| *partition).await;
    let (asked, denied) = allowed_topics(call, Operation::Read, asked);
    let mut codes = match broker.groups.delete_offsets(&broker.shard, group, asked).await {
        Ok(codes) => codes,
        Err(error) => return OffsetDeleteResponse { error_code: error.code(), ..Default::default() },
    };
    codes.extend(denied.into_iter().map(|(topic, partitions, error)| {
        (topic, partitions.into_iter().map(|partition| (partition, error)).collect())
    }));
    let topics = codes.into_iter().map(|(name, partitions)| OffsetDeleteResponseTopic {
        name,
        partitions: partitions
            .into_iter()
            .map(|(partition_index, code)| OffsetDeleteResponsePartition {
                partition_index,
                error_code: code.code(),
            })
            .collect(),
    });
    OffsetDeleteResponse { topics: topics.collect(), ..Default::default() }
}
