//! LeaveGroup: of a member itself, or of members that an administrator removes (version 3 on).

use strandline_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse};
use strandline_protocol::wire::ErrorCode;

use crate::call::Call;
use crate::groups::Identity;
use crate::security::acl::{Operation, Resource};

/// The first version that names several members.
const MANY_FROM: i16 = 3;

/// What became of each member.
pub async fn handle(call: &Call, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let (broker, version) = (&call.broker, call.header.version);
    let refused = |error: ErrorCode| LeaveGroupResponse { error_code: error.code(), ..Default::default() };
    if let Err(error) = call.may(Operation::Read, Resource::group(&request.group_id)) {
        return refused(error);
    }
    if request.group_id.is_empty() {
        return refused(ErrorCode::InvalidGroupId);
    }
    let members = match version {
        MANY_FROM.. => request.members,
        _ => vec![MemberIdentity { member_id: request.member_id, ..Default::default() }],
    };
    let leaving: Vec<_> = members
        .iter()
        .map(|member| Identity {
            member_id: member.member_id.clone(),
            instance_id: member.group_instance_id.clone(),
            generation: -1,
        })
        .collect();
    let group = request.group_id;
    let left = match broker.groups.leave(&broker.shard, group, leaving).await {
        Ok(left) => left,
        Err(error) => return refused(error),
    };
    let codes = left.into_iter().map(|left| left.err().unwrap_or(ErrorCode::None));
    if version < MANY_FROM {
        return refused(codes.into_iter().next().unwrap_or(ErrorCode::None));
    }
    let members = members.into_iter().zip(codes).map(|(member, code)| MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: code.code(),
    });
    LeaveGroupResponse { members: members.collect(), ..Default::default() }
}
