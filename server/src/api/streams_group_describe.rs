//! StreamsGroupDescribe: what streams groups (KIP-1071) do. A group that is named twice is described once.

use std::collections::HashSet;

use strandline_protocol::messages::{
    StreamsGroupDescribeRequest, StreamsGroupDescribeResponse, StreamsGroupDescribedGroup,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct;
use crate::api::operations;
use crate::broker::Broker;
use crate::call::Call;
use crate::groups::Within;
use crate::groups::streams::{StreamsDescription, assignor};
use crate::room::{Gathered, Seat};
use crate::security::acl::{Operation, Resource};

/// The broker keeps no description of the topology's nodes.
const NOT_STORED: i8 = 1;

/// Each group, in the order asked.
pub async fn handle(
    call: &Call,
    request: StreamsGroupDescribeRequest,
    seat: &mut Seat,
) -> StreamsGroupDescribeResponse {
    let mut gathered = Gathered::new(seat);
    let mut groups = Vec::new();
    let asks = request.include_authorized_operations;
    let topology_description_status = if request.include_topology_description { NOT_STORED } else { 0 };
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
                    "The described group uses topics that the client is not authorized to describe.";
                let error = ErrorCode::TopicAuthorizationFailed;
                refused(described.group_id, error, message.to_owned())
            }
            0 => {
                StreamsGroupDescribedGroup { authorized_operations, topology_description_status, ..described }
            }
            _ => described,
        });
    }
    StreamsGroupDescribeResponse { groups, ..Default::default() }
}

fn refused(group_id: String, code: ErrorCode, message: String) -> StreamsGroupDescribedGroup {
    StreamsGroupDescribedGroup {
        error_code: code.code(),
        error_message: Some(message),
        group_id,
        ..Default::default()
    }
}

/// Whether the client may know of every topic of the application.
fn shows_all_topics(call: &Call, group: &StreamsGroupDescribedGroup) -> bool {
    let parts = group.topology.iter().flat_map(|topology| topology.subtopologies.iter().flatten());
    let names: HashSet<&str> = parts
        .flat_map(|part| {
            let names = part.source_topics.iter().chain(&part.repartition_sink_topics);
            let infos = part.repartition_source_topics.iter().chain(&part.state_changelog_topics);
            names.map(String::as_str).chain(infos.map(|topic| topic.name.as_str()))
        })
        .collect();
    names.into_iter().all(|name| call.shows(Operation::Describe, Resource::topic(name)))
}

async fn describe(
    broker: &Broker,
    group_id: String,
    gathered: &mut Gathered<'_>,
) -> StreamsGroupDescribedGroup {
    let found = loop {
        match broker.groups.describe_streams(&broker.shard, group_id.clone(), gathered.left()).await {
            Ok(Within::Beyond(bytes)) => gathered.make_room(bytes).await,
            Ok(Within::All(found, bytes)) => {
                gathered.add(bytes);
                break found;
            }
            Err(error) => return refused(group_id, error, error.to_string()),
        }
    };
    match found {
        Some(found) => described(group_id, found),
        None => {
            let message = format!("Group {group_id} is not a streams group.");
            refused(group_id, ErrorCode::GroupIdNotFound, message)
        }
    }
}

fn described(group_id: String, found: StreamsDescription) -> StreamsGroupDescribedGroup {
    StreamsGroupDescribedGroup {
        group_id,
        group_state: found.state.to_string(),
        group_epoch: found.epoch,
        assignment_epoch: found.target_epoch,
        topology: found.topology,
        members: found.members,
        assignor_name: Some(assignor::STICKY.to_owned()),
        ..Default::default()
    }
}
