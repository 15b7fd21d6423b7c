//! ElectLeaders: the one replica of each partition is its preferred one, and leads.

use strandline_engine::reactor::yield_if_needed;
use strandline_protocol::messages::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionElectionResult, ReplicaElectionResult,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct_by_name;
use crate::call::Call;
use crate::refusal::{Refusal, told};
use crate::security::acl::{Operation, Resource};

/// `election_type` has these.
const ELECTION_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

/// No election is needed. As in Kafka, a request for all partitions is answered with those alone that have
/// elected.
pub async fn handle(call: &Call, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let broker = &call.broker;
    if let Err(error) = call.may(Operation::Alter, Resource::CLUSTER) {
        return ElectLeadersResponse { error_code: error.code(), ..Default::default() };
    }
    if !ELECTION_TYPES.contains(&request.election_type) {
        return ElectLeadersResponse { error_code: ErrorCode::InvalidRequest.code(), ..Default::default() };
    }
    let named = request.topic_partitions.unwrap_or_default();
    let named = named.into_iter().map(|topic| (topic.topic, topic.partitions)).collect();
    let asked = distinct_by_name(named, |partition: &i32| *partition).await;
    let topics = broker.shard.topics();
    let mut replica_election_results = Vec::with_capacity(asked.len());
    for (name, partitions) in asked {
        let topic = topics.by_name(&name);
        let elected = |partition_id| {
            let refusal = match topic.and_then(|topic| topic.partition(partition_id)) {
                Some(_) => Refusal { code: ErrorCode::ElectionNotNeeded, message: None },
                None => Refusal::no_partition(),
            };
            let (error_code, error_message) = told(Some(refusal));
            PartitionElectionResult { partition_id, error_code, error_message }
        };
        let mut partition_result = Vec::with_capacity(partitions.len());
        for partition in partitions {
            partition_result.push(elected(partition));
            yield_if_needed().await;
        }
        replica_election_results.push(ReplicaElectionResult { topic: name, partition_result });
        yield_if_needed().await;
    }
    ElectLeadersResponse { replica_election_results, ..Default::default() }
}
