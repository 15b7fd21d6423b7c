//! CreatePartitions: topics grow. Durable when the answer leaves.

use std::collections::HashMap;

use strandline_engine::error::TopicError;
use strandline_engine::reactor::yield_if_needed;
use strandline_engine::types::TopicId;
use strandline_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::mutations::Mutations;
use crate::call::Call;
use crate::groups::is_internal;
use crate::refusal::{Refusal, told};
use crate::security::acl::{Operation, Resource};

/// The first version whose client knows that it may be held to a quota.
const STRICT_FROM: i16 = 3;

/// Lets the topics grow together, with one write of the topic table.
pub async fn handle(call: &Call, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let broker = &call.broker;
    let mut mutations = Mutations::of(call, STRICT_FROM);
    let mut named = HashMap::new();
    for topic in &request.topics {
        *named.entry(topic.name.clone()).or_insert(0) += 1;
    }
    let mut checked = Vec::with_capacity(named.len());
    for topic in request.topics {
        // A name that comes twice is answered once.
        let Some(count) = named.remove(&topic.name) else { continue };
        let wanted = match count {
            1 => check(call, &topic, &mut mutations),
            _ => Err(Refusal::new(
                ErrorCode::InvalidRequest,
                format!("topic '{}' is named {count} times in one request", topic.name),
            )),
        };
        checked.push((topic.name, wanted));
        yield_if_needed().await;
    }
    let growing: Vec<_> = checked.iter().filter_map(|(_, wanted)| wanted.as_ref().ok().copied()).collect();
    let grown = match request.validate_only || growing.is_empty() {
        true => growing.iter().map(|_| None).collect(),
        false => {
            broker.engine.create_partitions(growing).await.into_iter().map(Result::err).collect::<Vec<_>>()
        }
    };
    let mut grown = grown.into_iter();
    let results = checked.into_iter().map(|(name, wanted)| {
        let refusal = match wanted {
            Ok(_) => grown.next().unwrap_or(Some(TopicError::Stopping)).map(Refusal::from),
            Err(refusal) => Some(refusal),
        };
        let (error_code, error_message) = told(refusal);
        CreatePartitionsTopicResult { name, error_code, error_message }
    });
    CreatePartitionsResponse { throttle_time_ms: mutations.throttle(), results: results.collect() }
}

/// The topic that is to grow, and up to what.
fn check(
    call: &Call,
    asked: &CreatePartitionsTopic,
    mutations: &mut Mutations<'_>,
) -> Result<(TopicId, u32), Refusal> {
    call.may(Operation::Alter, Resource::topic(&asked.name))?;
    let broker = &call.broker;
    let topics = broker.shard.topics();
    let topic = topics.by_name(&asked.name);
    let topic = topic.ok_or_else(|| TopicError::Unknown(asked.name.clone()))?;
    if is_internal(&asked.name) {
        let message = format!("what '{}' keeps is found by its number of partitions", asked.name);
        return Err(Refusal::new(ErrorCode::InvalidTopic, message));
    }
    let count = u32::try_from(asked.count).unwrap_or(0);
    topics.check_growth(topic.id, count)?;
    check_assignments(asked, count - topic.partitions, broker.cluster.me().id)?;
    mutations.count(count - topic.partitions)?;
    Ok((topic.id, count))
}

/// Where the new partitions are to be: nowhere else than here.
fn check_assignments(asked: &CreatePartitionsTopic, more: u32, me: i32) -> Result<(), Refusal> {
    let Some(assignments) = &asked.assignments else { return Ok(()) };
    if assignments.len() != more as usize {
        let message = format!("{} partitions are assigned, {more} are new", assignments.len());
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    match assignments.iter().all(|assignment| assignment.broker_ids == [me]) {
        true => Ok(()),
        false => {
            let message = format!("a partition can be on broker {me} alone");
            Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_protocol::messages::CreatePartitionsAssignment;

    #[test]
    fn an_assignment_names_this_broker_for_each_new_partition() {
        let checked = |assigned: Option<&[&[i32]]>| {
            let assignments = assigned.map(|assigned| {
                let assignment = |ids: &&[i32]| CreatePartitionsAssignment { broker_ids: ids.to_vec() };
                assigned.iter().map(assignment).collect()
            });
            let asked = CreatePartitionsTopic { assignments, ..Default::default() };
            check_assignments(&asked, 2, 1).map_err(|refusal| refusal.code)
        };
        assert_eq!(checked(None), Ok(()));
        assert_eq!(checked(Some(&[&[1], &[1]])), Ok(()));
        for wrong in [&[&[1][..]][..], &[&[1], &[2]], &[&[1], &[1, 1]], &[&[1], &[]], &[]] {
            assert_eq!(checked(Some(wrong)), Err(ErrorCode::InvalidReplicaAssignment), "{wrong:?}");
        }
    }
}
