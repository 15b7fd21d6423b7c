//! DescribeQuorum: one voter, this broker. It keeps the metadata of the cluster in files of its own, so that
//! there is no log with offsets: all of it counts as known to everybody.

use std::time::{SystemTime, UNIX_EPOCH};

use strandline_engine::reactor::yield_if_needed;
use strandline_engine::types::LeaderEpoch;
use strandline_protocol::messages::{
    DescribeQuorumPartition, DescribeQuorumPartitionResult, DescribeQuorumRequest, DescribeQuorumResponse,
    DescribeQuorumTopicResult, QuorumListener, QuorumNode, QuorumReplica,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct_by_name;
use crate::call::Call;
use crate::cluster::Endpoint;
use crate::security::acl::{Operation, Resource};

/// The one log of metadata that Kafka has.
const METADATA_TOPIC: &str = "__cluster_metadata";
const METADATA_PARTITION: i32 = 0;

/// The quorum of one.
pub async fn handle(call: &Call, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let broker = &call.broker;
    if let Err(error) = call.may(Operation::Describe, Resource::CLUSTER) {
        return DescribeQuorumResponse { error_code: error.code(), ..Default::default() };
    }
    let me = broker.cluster.me();
    let named = request.topics.into_iter().map(|topic| (topic.topic_name, topic.partitions)).collect();
    let asked = distinct_by_name(named, |asked: &DescribeQuorumPartition| asked.partition_index).await;
    let mut topics = Vec::with_capacity(asked.len());
    for (topic_name, asked) in asked {
        let described = |partition_index| match (topic_name.as_str(), partition_index) {
            (METADATA_TOPIC, METADATA_PARTITION) => quorum(me.id),
            _ => DescribeQuorumPartitionResult {
                partition_index,
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
                ..Default::default()
            },
        };
        let mut partitions = Vec::with_capacity(asked.len());
        for asked in asked {
            partitions.push(described(asked.partition_index));
            yield_if_needed().await;
        }
        topics.push(DescribeQuorumTopicResult { topic_name, partitions });
        yield_if_needed().await;
    }
    let listener = |endpoint: &Endpoint| {
        let Endpoint { listener, host, port } = endpoint.clone();
        QuorumListener { name: listener.to_string(), host, port }
    };
    DescribeQuorumResponse {
        topics,
        nodes: vec![QuorumNode { node_id: me.id, listeners: me.endpoints.iter().map(listener).collect() }],
        ..Default::default()
    }
}

fn quorum(node_id: i32) -> DescribeQuorumPartitionResult {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(-1, |since| since.as_millis() as i64);
    let voter = QuorumReplica {
        replica_id: node_id,
        last_fetch_timestamp: now,
        last_caught_up_timestamp: now,
        ..Default::default()
    };
    DescribeQuorumPartitionResult {
        partition_index: METADATA_PARTITION,
        leader_id: node_id,
        leader_epoch: LeaderEpoch::FIRST.0,
        current_voters: vec![voter],
        ..Default::default()
    }
}
