//! Heartbeat.

use strandline_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use strandline_protocol::wire::ErrorCode;

use crate::broker::Broker;
use crate::groups::Identity;

/// Whether the member goes on, or joins again.
pub async fn handle(broker: &Broker, _: i16, request: HeartbeatRequest) -> HeartbeatResponse {
    let group = request.group_id;
    let identity = Identity {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
    };
    let alive = match group.is_empty() {
        true => Err(ErrorCode::InvalidGroupId),
        false => broker.groups.heartbeat(&broker.shard, group, identity).await,
    };
    HeartbeatResponse { error_code: alive.err().unwrap_or(ErrorCode::None).code(), ..Default::default() }
}
