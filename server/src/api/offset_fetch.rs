//! OffsetFetch: what groups have committed. An offset that there is not is -1, and no error.
//!
//! There are no transactions, so that what is durable is stable too (`require_stable`).

use futures_util::future::join_all;

use crate::dispatch::Broker;
use crate::groups::ByPartition;
use crate::groups::records::OffsetValue;
use crate::messages::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use crate::wire::ErrorCode;

/// The first version that asks for several groups.
const MANY_FROM: i16 = 8;

/// Partitions by topic; `None` for all there are.
type Asked = Option<Vec<(String, Vec<i32>)>>;

/// The offsets of each group.
pub async fn handle(broker: &Broker, version: i16, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if version >= MANY_FROM {
        let groups = join_all(request.groups.into_iter().map(|group| of_group(broker, group))).await;
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let asked: Asked = request
        .topics
        .map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
    let (found, error) = match find(broker, request.group_id, asked.clone()).await {
        Ok(found) => (found, ErrorCode::None),
        // Version 1 has no other place to say it.
        Err(error) => (nothing(asked), error),
    };
    let topics = found.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(partition_index, value)| {
            let value = value.unwrap_or_else(none);
            OffsetFetchResponsePartition {
                partition_index,
                committed_offset: value.offset,
                committed_leader_epoch: value.leader_epoch,
                metadata: Some(value.metadata),
                error_code: error.code(),
            }
        });
        OffsetFetchResponseTopic { name, partitions: partitions.collect() }
    });
    OffsetFetchResponse { topics: topics.collect(), error_code: error.code(), ..Default::default() }
}

async fn of_group(broker: &Broker, request: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let group_id = request.group_id;
    let asked: Asked = request
        .topics
        .map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
    let found = match find(broker, group_id.clone(), asked).await {
        Ok(found) => found,
        Err(error) => {
            let error_code = error.code();
            return OffsetFetchResponseGroup { group_id, topics: Vec::new(), error_code };
        }
    };
    let topics = found.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(partition_index, value)| {
            let value = value.unwrap_or_else(none);
            OffsetFetchResponsePartitions {
                partition_index,
                committed_offset: value.offset,
                committed_leader_epoch: value.leader_epoch,
                metadata: Some(value.metadata),
                error_code: 0,
            }
        });
        OffsetFetchResponseTopics { name, partitions: partitions.collect() }
    });
    OffsetFetchResponseGroup { group_id, topics: topics.collect(), error_code: 0 }
}

async fn find(
    broker: &Broker,
    group: String,
    asked: Asked,
) -> Result<ByPartition<Option<OffsetValue>>, ErrorCode> {
    let ask = broker.groups.ask(&broker.shard, group, move |groups, partition, group, reply| {
        groups.fetch(partition, &group, asked, reply);
    });
    // Java consumers before 3.9 take 15 for fatal here, and look for their coordinator again after 16.
    ask.await.map_err(|error| match error {
        ErrorCode::CoordinatorNotAvailable => ErrorCode::NotCoordinator,
        error => error,
    })
}

fn none() -> OffsetValue {
    OffsetValue { offset: -1, ..Default::default() }
}

fn nothing(asked: Asked) -> ByPartition<Option<OffsetValue>> {
    let topics = asked.unwrap_or_default().into_iter();
    topics.map(|(topic, partitions)| (topic, partitions.into_iter().map(|at| (at, None)).collect())).collect()
}
