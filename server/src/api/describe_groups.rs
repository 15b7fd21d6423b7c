//! DescribeGroups. A group that there is not is Dead, and from version 6 on an error as well.

use futures_util::future::join_all;

use crate::api::operations;
use crate::dispatch::Broker;
use crate::groups::{Description, MemberDescription, State};
use crate::messages::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember};
use crate::wire::ErrorCode;

/// The first version that knows of groups that are not there.
const NOT_FOUND_FROM: i16 = 6;

/// Each group.
pub async fn handle(broker: &Broker, version: i16, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let operations = operations::if_asked(request.include_authorized_operations, operations::GROUP);
    let groups = request.groups.into_iter().map(async |group| {
        let described = describe(broker, version, group).await;
        match described.error_code {
            0 => DescribedGroup { authorized_operations: operations, ..described },
            _ => described,
        }
    });
    DescribeGroupsResponse { groups: join_all(groups).await, ..Default::default() }
}

async fn describe(broker: &Broker, version: i16, group_id: String) -> DescribedGroup {
    let found = broker.groups.ask(&broker.shard, group_id.clone(), |groups, partition, group, reply| {
        groups.describe(partition, &group, reply);
    });
    match found.await {
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
                error_message: is_told.then(|| format!("there is no group '{group_id}'")),
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
