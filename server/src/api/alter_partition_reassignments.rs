//! AlterPartitionReassignments: a partition of a single node can be moved to where it is, and nowhere else.

use std::collections::HashSet;

use strandline_engine::reactor::yield_if_needed;

use crate::api::distinct::distinct_by_name;
use crate::broker::Broker;
use crate::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use crate::wire::ErrorCode;

/// What became of each move. A partition that is named several times gets what is asked for it last, as in Kafka.
pub async fn handle(
    broker: &Broker,
    _: i16,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let node_id = broker.shard.handle().meta().node_id;
    let topics = broker.shard.topics();
    let named = request.topics.into_iter().map(|topic| (topic.name, topic.partitions)).collect();
    let asked = distinct_by_name(named, |asked: &ReassignablePartition| asked.partition_index).await;
    let mut responses = Vec::with_capacity(asked.len());
    for (name, partitions) in asked {
        let count = topics.by_name(&name).map_or(0, |topic| topic.partitions);
        let moved = |ReassignablePartition { partition_index, replicas }| {
            let is_there = u32::try_from(partition_index).is_ok_and(|index| index < count);
            let outcome = match is_there {
                true => check(node_id, replicas.as_deref()),
                false => {
                    // Without the name, which would come back for each partition (D11).
                    let message = "there is no such partition".to_owned();
                    Err((ErrorCode::UnknownTopicOrPartition, Some(message)))
                }
            };
            let (error, error_message) = outcome.err().unwrap_or((ErrorCode::None, None));
            ReassignablePartitionResponse { partition_index, error_code: error.code(), error_message }
        };
        let mut results = Vec::with_capacity(partitions.len());
        for asked in partitions {
            results.push(moved(asked));
            yield_if_needed().await;
        }
        responses.push(ReassignableTopicResponse { name, partitions: results });
        yield_if_needed().await;
    }
    AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        responses,
        ..Default::default()
    }
}

fn check(node_id: i32, replicas: Option<&[i32]>) -> Result<(), (ErrorCode, Option<String>)> {
    let invalid = |message: String| Err((ErrorCode::InvalidReplicaAssignment, Some(message)));
    let Some(replicas) = replicas else { return Err((ErrorCode::NoReassignmentInProgress, None)) };
    if replicas.is_empty() {
        return invalid("a partition needs a broker to be on".to_owned());
    }
    let mut seen = HashSet::new();
    for id in replicas {
        if *id != node_id {
            return invalid(format!("there is no broker {id}: {node_id} is the only one"));
        }
        if !seen.insert(id) {
            return invalid(format!("broker {id} is named twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_moves_only_to_where_it_is() {
        let code = |replicas: Option<&[i32]>| check(7, replicas).map_err(|(code, _)| code);
        assert_eq!(code(Some(&[7])), Ok(()));
        for refused in [&[][..], &[8], &[7, 8], &[7, 7], &[-1]] {
            assert_eq!(code(Some(refused)), Err(ErrorCode::InvalidReplicaAssignment), "{refused:?}");
        }
        assert_eq!(code(None), Err(ErrorCode::NoReassignmentInProgress));
    }
}
