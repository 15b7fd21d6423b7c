//! DescribeTopicPartitions: topics and their partitions, a page at a time (KIP-966).

use std::collections::BTreeSet;

use strandline_engine::types::PartitionId;
use strandline_protocol::messages::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::operations;
use crate::broker::uuid_of;
use crate::call::Call;
use crate::cluster::Placement;
use crate::security::acl::{Operation, Resource};

/// Most partitions of a page, whatever is asked for (Kafka's `max.request.partition.size.limit`).
const PAGE_PARTITIONS_MAX: i32 = 2000;

/// One page.
pub async fn handle(call: &Call, request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let (table, cluster) = (call.broker.shard.topics(), &call.broker.cluster);
    let mut names: BTreeSet<String> = request.topics.into_iter().map(|topic| topic.name).collect();
    let asks_for_all = names.is_empty();
    if asks_for_all {
        names.extend(table.iter().map(|topic| topic.name.clone()));
    }
    let cursor = request.cursor.unwrap_or_default();
    let mut left = request.response_partition_limit.clamp(1, PAGE_PARTITIONS_MAX) as u32;
    let mut topics = Vec::new();
    for name in names.into_iter().filter(|name| *name >= cursor.topic_name) {
        let topic = Resource::topic(&name);
        if asks_for_all && !call.shows(Operation::Describe, topic) {
            continue;
        }
        if let Err(error) = call.may(Operation::Describe, topic) {
            topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: error.code(),
                name: Some(name),
                topic_authorized_operations: operations::NOT_ASKED,
                ..Default::default()
            });
            continue;
        }
        let topic_authorized_operations = operations::of_topic(call, true, &name);
        let Some(topic) = table.by_name(&name) else {
            topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
                name: Some(name),
                topic_authorized_operations,
                ..Default::default()
            });
            continue;
        };
        let first = match name == cursor.topic_name {
            true => u32::try_from(cursor.partition_index).unwrap_or(0),
            false => 0,
        };
        let next = |partition_index: u32| {
            Some(Cursor { topic_name: name.clone(), partition_index: partition_index as i32 })
        };
        if left == 0 {
            return DescribeTopicPartitionsResponse {
                topics,
                next_cursor: next(first),
                ..Default::default()
            };
        }
        let end = topic.partitions.min(first.saturating_add(left));
        let partitions = (first..end).map(|index| {
            let Placement { leader, epoch, replicas, in_sync } =
                cluster.placement(PartitionId::new(topic.id, index));
            DescribeTopicPartitionsResponsePartition {
                partition_index: index as i32,
                leader_id: leader,
                leader_epoch: epoch.0,
                replica_nodes: replicas,
                isr_nodes: in_sync,
                eligible_leader_replicas: Some(Vec::new()),
                last_known_elr: Some(Vec::new()),
                ..Default::default()
            }
        });
        topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.clone()),
            topic_id: uuid_of(topic.id),
            partitions: partitions.collect(),
            topic_authorized_operations,
            ..Default::default()
        });
        left -= end.saturating_sub(first);
        if end < topic.partitions {
            return DescribeTopicPartitionsResponse { topics, next_cursor: next(end), ..Default::default() };
        }
    }
    DescribeTopicPartitionsResponse { topics, ..Default::default() }
}
