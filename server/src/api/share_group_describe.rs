//! ShareGroupDescribe: what share groups (KIP-932) do. A group that is named twice is described once.

use std::collections::HashSet;

use strandline_engine::topics::TopicTable;
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    ShareGroupDescribeRequest, ShareGroupDescribeResponse, ShareGroupDescribedAssignment,
    ShareGroupDescribedGroup, ShareGroupDescribedMember, ShareGroupDescribedTopicPartitions,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct;
use crate::api::operations;
use crate::broker::Broker;
use crate::call::Call;
use crate::groups::Within;
use crate::groups::consumer::Assignment;
use crate::groups::share::{ShareDescription, assignor};
use crate::room::{Gathered, Seat};
use crate::security::acl::{Operation, Resource};

/// Each group, in the order asked.
pub async fn handle(
    call: &Call,
    request: ShareGroupDescribeRequest,
    seat: &mut Seat,
) -> ShareGroupDescribeResponse {
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
            0 => ShareGroupDescribedGroup { authorized_operations, ..described },
            _ => described,
        });
    }
    ShareGroupDescribeResponse { groups, ..Default::default() }
}

fn refused(group_id: String, code: ErrorCode, message: String) -> ShareGroupDescribedGroup {
    ShareGroupDescribedGroup {
        error_code: code.code(),
        error_message: Some(message),
        group_id,
        ..Default::default()
    }
}

/// Whether the client may know of every topic that the group reads.
fn shows_all_topics(call: &Call, group: &ShareGroupDescribedGroup) -> bool {
    let assigned = group.members.iter().flat_map(|member| &member.assignment.topic_partitions);
    let subscribed = group.members.iter().flat_map(|member| &member.subscribed_topic_names);
    let names: HashSet<&str> =
        subscribed.map(String::as_str).chain(assigned.map(|topic| topic.topic_name.as_str())).collect();
    names.into_iter().all(|name| call.shows(Operation::Describe, Resource::topic(name)))
}

async fn describe(
    broker: &Broker,
    group_id: String,
    gathered: &mut Gathered<'_>,
) -> ShareGroupDescribedGroup {
    let found = loop {
        match broker.groups.describe_share(&broker.shard, group_id.clone(), gathered.left()).await {
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
            let message = format!("Group {group_id} is not a share group.");
            refused(group_id, ErrorCode::GroupIdNotFound, message)
        }
    }
}

fn described(topics: &TopicTable, group_id: String, found: ShareDescription) -> ShareGroupDescribedGroup {
    let members = found.members.into_iter().map(|(member_id, member)| ShareGroupDescribedMember {
        member_id,
        rack_id: member.about.rack_id,
        member_epoch: member.epoch,
        client_id: member.about.client_id,
        client_host: member.about.client_host,
        subscribed_topic_names: member.about.topics.into_iter().collect(),
        assignment: assignment(topics, &member.assigned),
    });
    ShareGroupDescribedGroup {
        group_id,
        group_state: found.state.to_string(),
        group_epoch: found.epoch,
        assignment_epoch: found.target_epoch,
        assignor_name: assignor::NAME.to_owned(),
        members: members.collect(),
        ..Default::default()
    }
}

/// As it is told: of topics that are gone nothing, since they have no name.
fn assignment(topics: &TopicTable, assignment: &Assignment) -> ShareGroupDescribedAssignment {
    let known = assignment.topics().filter_map(|(id, partitions)| Some((topics.by_id(id)?, partitions)));
    let topic_partitions = known.map(|(topic, partitions)| ShareGroupDescribedTopicPartitions {
        topic_id: Uuid::from_bytes(topic.id.to_bytes()),
        topic_name: topic.name.clone(),
        partitions: partitions.iter().copied().collect(),
    });
    ShareGroupDescribedAssignment { topic_partitions: topic_partitions.collect() }
}
