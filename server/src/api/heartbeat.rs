//! Heartbeat.

use strandline_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use strandline_protocol::wire::ErrorCode;

use crate::call::Call;
use crate::groups::Identity;
use crate::security::acl::{Operation, Resource};

/// Whether the member goes on, or joins again.
pub async fn handle(call: &Call, request: HeartbeatRequest) -> HeartbeatResponse {
    let broker = &call.broker;
    let group = request.group_id;
    let identity = Identity {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
    };
    let alive = match call.may(Operation::Read, Resource::group(&group)) {
        Err(error) => Err(error),
        Ok(()) if group.is_empty() => Err(ErrorCode::InvalidGroupId),
        Ok(()) => broker.groups.heartbeat(&broker.shard, group, identity).await,
    };
    HeartbeatResponse { error_code: alive.err().unwrap_or(ErrorCode::None).code(), ..Default::default() }
}
