//! OffsetFetch: what groups have committed. An offset that there is not is -1, and no error. Groups, topics
//! and partitions that are named twice are answered once.
//!
//! There are no transactions, so that what is durable is stable too (`require_stable`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use strandline_protocol::messages::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct_by_name;
use crate::broker::Broker;
use crate::groups::records::OffsetValue;
use crate::groups::{ByPartition, Within};
use crate::room::{Gathered, Seat};

/// The first version that asks for several groups.
const MANY_FROM: i16 = 8;

/// Partitions by topic; `None` for all there are.
type Asked = Option<Vec<(String, Vec<i32>)>>;

/// The offsets of each group.
pub async fn handle(
    broker: &Broker,
    version: i16,
    request: OffsetFetchRequest,
    seat: &mut Seat,
) -> OffsetFetchResponse {
    let mut gathered = Gathered::new(seat);
    if version >= MANY_FROM {
        let mut groups = Vec::new();
        for (group_id, asked) in once(request.groups) {
            groups.push(of_group(broker, group_id, asked, &mut gathered).await);
        }
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let asked: Asked = request
        .topics
        .map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
    let asked = distinct_asked(asked).await;
    let (found, error) = match find(broker, request.group_id, asked.clone(), &mut gathered).await {
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

/// Each group once, with all that is asked of it.
fn once(groups: Vec<OffsetFetchRequestGroup>) -> Vec<(String, Asked)> {
    let mut merged: Vec<(String, Asked)> = Vec::with_capacity(groups.len());
    let mut places = HashMap::with_capacity(groups.len());
    for group in groups {
        let asked: Asked = group
            .topics
            .map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
        match places.entry(group.group_id.clone()) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push((group.group_id, asked));
            }
            Entry::Occupied(place) => {
                let before = &mut merged[*place.get()].1;
                match (before.as_mut(), asked) {
                    (Some(before), Some(more)) => before.extend(more),
                    (_, None) | (None, _) => *before = None,
                }
            }
        }
    }
    merged
}

/// Each partition once. Its metadata, which the answer holds, can be a thousand times its number in the
/// request.
async fn distinct_asked(asked: Asked) -> Asked {
    match asked {
        Some(topics) => Some(distinct_by_name(topics, |partition| *partition).await),
        None => None,
    }
}

async fn of_group(
    broker: &Broker,
    group_id: String,
    asked: Asked,
    gathered: &mut Gathered<'_>,
) -> OffsetFetchResponseGroup {
    let asked = distinct_asked(asked).await;
    let found = match find(broker, group_id.clone(), asked, gathered).await {
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
    gathered: &mut Gathered<'_>,
) -> Result<ByPartition<Option<OffsetValue>>, ErrorCode> {
    loop {
        match broker.groups.fetch(&broker.shard, group.clone(), asked.clone(), gathered.left()).await {
            Ok(Within::Beyond(bytes)) => gathered.make_room(bytes).await,
            Ok(Within::All(found, bytes)) => {
                gathered.add(bytes);
                return Ok(found);
            }
            // Java consumers before 3.9 take 15 for fatal here, and look for their coordinator again after
            // 16.
            Err(ErrorCode::CoordinatorNotAvailable) => return Err(ErrorCode::NotCoordinator),
            Err(error) => return Err(error),
        }
    }
}

fn none() -> OffsetValue {
    OffsetValue { offset: -1, ..Default::default() }
}

fn nothing(asked: Asked) -> ByPartition<Option<OffsetValue>> {
    let topics = asked.unwrap_or_default().into_iter();
    topics.map(|(topic, partitions)| (topic, partitions.into_iter().map(|at| (at, None)).collect())).collect()
}
