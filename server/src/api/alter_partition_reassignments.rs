//! AlterPartitionReassignments: a partition of a single node can be moved to where it is, and nowhere else.

use std::collections::HashSet;

use strandline_engine::reactor::yield_if_needed;
use strandline_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct_by_name;
use crate::call::Call;
use crate::refusal::{Refusal, told};
use crate::security::acl::{Operation, Resource};

/// What became of each move. A partition that is named several times gets what is asked for it last, as in
/// Kafka.
pub async fn handle(
    call: &Call,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    if let Err(error) = call.may(Operation::Alter, Resource::CLUSTER) {
        return AlterPartitionReassignmentsResponse { error_code: error.code(), ..Default::default() };
    }
    let broker = &call.broker;
    let me = broker.cluster.me().id;
    let topics = broker.shard.topics();
    let named = request.topics.into_iter().map(|topic| (topic.name, topic.partitions)).collect();
    let asked = distinct_by_name(named, |asked: &ReassignablePartition| asked.partition_index).await;
    let mut responses = Vec::with_capacity(asked.len());
    for (name, partitions) in asked {
        let topic = topics.by_name(&name);
        let moved = |ReassignablePartition { partition_index, replicas }| {
            let outcome = match topic.and_then(|topic| topic.partition(partition_index)) {
                Some(_) => check(me, replicas.as_deref()),
                None => Err(Refusal::no_partition()),
            };
            let (error_code, error_message) = told(outcome.err());
            ReassignablePartitionResponse { partition_index, error_code, error_message }
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

fn check(me: i32, replicas: Option<&[i32]>) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    let Some(replicas) = replicas else {
        return Err(Refusal { code: ErrorCode::NoReassignmentInProgress, message: None });
    };
    if replicas.is_empty() {
        return invalid("a partition needs a broker to be on".to_owned());
    }
    let mut seen = HashSet::new();
    for id in replicas {
        if *id != me {
            return invalid(format!("there is no broker {id}: {me} is the only one"));
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
        let code = |replicas: Option<&[i32]>| check(7, replicas).map_err(|refusal| refusal.code);
        assert_eq!(code(Some(&[7])), Ok(()));
        for refused in [&[][..], &[8], &[7, 8], &[7, 7], &[-1]] {
            assert_eq!(code(Some(refused)), Err(ErrorCode::InvalidReplicaAssignment), "{refused:?}");
        }
        assert_eq!(code(None), Err(ErrorCode::NoReassignmentInProgress));
    }
}
