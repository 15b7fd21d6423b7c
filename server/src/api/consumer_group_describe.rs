//! ConsumerGroupDescribe: what consumer groups (KIP-848) do. A group that is named twice is described once.

use std::collections::HashSet;

use strandline_engine::topics::TopicTable;
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupDescribedAssignment,
    ConsumerGroupDescribedGroup, ConsumerGroupDescribedMember, ConsumerGroupDescribedTopicPartitions,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct;
use crate::api::operations;
use crate::broker::Broker;
use crate::call::Call;
use crate::groups::Within;
use crate::groups::consumer::{Assignment, ConsumerDescription};
use crate::room::{Gathered, Seat};
use crate::security::acl::{Operation, Resource};

/// The types of members: by the protocol that they speak.
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

/// Each group, in the order asked.
pub async fn handle(
    call: &Call,
    request: ConsumerGroupDescribeRequest,
    seat: &mut Seat,
) -> ConsumerGroupDescribeResponse {
    let mut gathered = Gathered::new(seat);
    let mut groups = Vec::new();
    let asks = request.include_authorized_operations;
    for group in distinct(request.group_ids).await {
        if let Err(error) = call.may(Operation::Describe, Resource::group(&group)) {
            groups.push(refused(group, error, error.to_string()));
            continue;
        }
        let authorized_operations = operations::of_group(call, asks, &group);
        let described = describe(&call.broker, group, &mut gathered).await;
        groups.push(match described.error_code {
            0 if !shows_all_topics(call, &described) => {
                let message =
                    "The group has described topic(s) that the client is not authorized to describe.";
                let error = ErrorCode::TopicAuthorizationFailed;
                refused(described.group_id, error, message.to_owned())
            }
            0 => ConsumerGroupDescribedGroup { authorized_operations, ..described },
            _ => described,
        });
    }
    ConsumerGroupDescribeResponse { groups, ..Default::default() }
}

fn refused(group_id: String, code: ErrorCode, message: String) -> ConsumerGroupDescribedGroup {
    ConsumerGroupDescribedGroup {
        error_code: code.code(),
        error_message: Some(message),
        group_id,
        ..Default::default()
    }
}

/// Whether the client may know of every topic that the group reads: what it reads of others would tell that
/// they are there.
fn shows_all_topics(call: &Call, group: &ConsumerGroupDescribedGroup) -> bool {
    let assignments = group.members.iter().flat_map(|member| [&member.assignment, &member.target_assignment]);
    let assigned = assignments.flat_map(|assignment| &assignment.topic_partitions);
    let subscribed = group.members.iter().flat_map(|member| &member.subscribed_topic_names);
    let names: HashSet<&str> =
        subscribed.map(String::as_str).chain(assigned.map(|topic| topic.topic_name.as_str())).collect();
    names.into_iter().all(|name| call.shows(Operation::Describe, Resource::topic(name)))
}

async fn describe(
    broker: &Broker,
    group_id: String,
    gathered: &mut Gathered<'_>,
) -> ConsumerGroupDescribedGroup {
    let found = loop {
        match broker.groups.describe_consumer(&broker.shard, group_id.clone(), gathered.left()).await {
            Ok(Within::Beyond(bytes)) => gathered.make_room(bytes).await,
            Ok(Within::All(found, bytes)) => {
                gathered.add(bytes);
                break found;
            }
            Err(error) => return refused(group_id, error, error.to_string()),
        }
    };
    match found {
        Some(found) => described(&broker.shard.topics(), group_id, found),
        None => {
            let message = format!("Group {group_id} is not a consumer group.");
            refused(group_id, ErrorCode::GroupIdNotFound, message)
        }
    }
}

fn described(
    topics: &TopicTable,
    group_id: String,
    found: ConsumerDescription,
) -> ConsumerGroupDescribedGroup {
    let members =
        found.members.into_iter().map(|(member_id, about, held, target)| ConsumerGroupDescribedMember {
            member_id,
            instance_id: about.instance_id,
            rack_id: about.rack_id,
            member_epoch: held.epoch,
            client_id: about.client_id,
            client_host: about.client_host,
            subscribed_topic_names: about.topics.iter().cloned().collect(),
            subscribed_topic_regex: about.regex,
            assignment: assignment(topics, &held.assigned),
            target_assignment: assignment(topics, &target),
            member_type: if about.classic.is_some() { CLASSIC } else { CONSUMER },
        });
    ConsumerGroupDescribedGroup {
        group_id,
        group_state: found.state.to_string(),
        group_epoch: found.epoch,
        assignment_epoch: found.target_epoch,
        assignor_name: found.assignor.name().to_owned(),
        members: members.collect(),
        ..Default::default()
    }
}

/// As it is told: of topics that are gone nothing, since they have no name.
fn assignment(topics: &TopicTable, assignment: &Assignment) -> ConsumerGroupDescribedAssignment {
    let known = assignment.topics().filter_map(|(id, partitions)| Some((topics.by_id(id)?, partitions)));
    let topic_partitions = known.map(|(topic, partitions)| ConsumerGroupDescribedTopicPartitions {
        topic_id: Uuid::from_bytes(topic.id.to_bytes()),
        topic_name: topic.name.clone(),
        partitions: partitions.iter().copied().collect(),
    });
    ConsumerGroupDescribedAssignment { topic_partitions: topic_partitions.collect() }
}
