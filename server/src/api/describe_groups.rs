//! DescribeGroups: groups of the classic protocol. A group that there is not is Dead, and from version 6 on
//! an error as well. A group that is named twice is described once.

use strandline_protocol::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct;
use crate::api::operations;
use crate::broker::Broker;
use crate::call::Call;
use crate::groups::{Description, MemberDescription, State, Within};
use crate::room::{Gathered, Seat};
use crate::security::acl::{Operation, Resource};

/// The first version that knows of groups that are not there.
const NOT_FOUND_FROM: i16 = 6;

/// Each group, in the order asked.
pub async fn handle(call: &Call, request: DescribeGroupsRequest, seat: &mut Seat) -> DescribeGroupsResponse {
    let mut gathered = Gathered::new(seat);
    let mut groups = Vec::new();
    let asks = request.include_authorized_operations;
    for group in distinct(request.groups).await {
        if let Err(error) = call.may(Operation::Describe, Resource::group(&group)) {
            groups.push(DescribedGroup { error_code: error.code(), group_id: group, ..Default::default() });
            continue;
        }
        let authorized_operations = operations::of_group(call, asks, &group);
        let described = describe(&call.broker, call.header.version, group, &mut gathered).await;
        groups.push(match described.error_code {
            0 => DescribedGroup { authorized_operations, ..described },
            _ => described,
        });
    }
    DescribeGroupsResponse { groups, ..Default::default() }
}

async fn describe(
    broker: &Broker,
    version: i16,
    group_id: String,
    gathered: &mut Gathered<'_>,
) -> DescribedGroup {
    let found = loop {
        match broker.groups.describe(&broker.shard, group_id.clone(), gathered.left()).await {
            Ok(Within::Beyond(bytes)) => gathered.make_room(bytes).await,
            Ok(Within::All(found, bytes)) => {
                gathered.add(bytes);
                break Ok(found);
            }
            Err(error) => break Err(error),
        }
    };
    match found {
        Ok(Some(Description { state, protocol_type, protocol, members })) => DescribedGroup {
            group_id,
            group_state: state.to_string(),
            protocol_type,
            protocol_data: protocol,
            members: members.into_iter().map(member).collect(),
            ..Default::default()
        },
        Ok(None) => {
            let is_told = version >= NOT_FOUND_FROM;
            DescribedGroup {
                error_code: if is_told { ErrorCode::GroupIdNotFound.code() } else { 0 },
                error_message: is_told.then(|| format!("there is no classic group '{group_id}'")),
                group_state: State::Dead.to_string(),
                group_id,
                ..Default::default()
            }
        }
        Err(error) => DescribedGroup { error_code: error.code(), group_id, ..Default::default() },
    }
}

fn member(member: MemberDescription) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    }
}
