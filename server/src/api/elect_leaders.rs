//! ElectLeaders: the one replica of each partition is its preferred one, and leads.

use std::collections::{BTreeMap, BTreeSet};

use crate::dispatch::Broker;
use crate::messages::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionElectionResult, ReplicaElectionResult,
};
use crate::wire::ErrorCode;

/// `election_type` has these.
const ELECTION_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

/// No election is needed. As in Kafka, a request for all partitions is answered with those alone that have elected.
pub async fn handle(broker: &Broker, _: i16, request: ElectLeadersRequest) -> ElectLeadersResponse {
    if !ELECTION_TYPES.contains(&request.election_type) {
        return ElectLeadersResponse { error_code: ErrorCode::InvalidRequest.code(), ..Default::default() };
    }
    let mut asked: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for topic in request.topic_partitions.unwrap_or_default() {
        asked.entry(topic.topic).or_default().extend(topic.partitions);
    }
    let topics = broker.shard.topics();
    let results = asked.into_iter().map(|(name, partitions)| {
        let count = topics.by_name(&name).map_or(0, |topic| topic.partitions);
        let elected = |partition_id| {
            let is_there = u32::try_from(partition_id).is_ok_and(|index| index < count);
            let (error, error_message) = match is_there {
                true => (ErrorCode::ElectionNotNeeded, None),
                false => {
                    // Without the name, which would come back for each partition (D11).
                    let message = "there is no such partition".to_owned();
                    (ErrorCode::UnknownTopicOrPartition, Some(message))
                }
            };
            PartitionElectionResult { partition_id, error_code: error.code(), error_message }
        };
        let partition_result = partitions.into_iter().map(elected).collect();
        ReplicaElectionResult { topic: name, partition_result }
    });
    ElectLeadersResponse { replica_election_results: results.collect(), ..Default::default() }
}
