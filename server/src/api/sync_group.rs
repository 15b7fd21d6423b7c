//! SyncGroup: waits until the leader's assignment is durable.

use strandline_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use strandline_protocol::wire::ErrorCode;

use crate::call::Call;
use crate::groups::{Identity, Sync};
use crate::security::acl::{Operation, Resource};

/// The first version that must name the protocol.
const PROTOCOL_FROM: i16 = 5;

/// What the leader has given to the member.
pub async fn handle(call: &Call, request: SyncGroupRequest) -> SyncGroupResponse {
    let refused = |error: ErrorCode| SyncGroupResponse { error_code: error.code(), ..Default::default() };
    let is_named = request.protocol_type.is_some() && request.protocol_name.is_some();
    if call.header.version >= PROTOCOL_FROM && !is_named {
        return refused(ErrorCode::InconsistentGroupProtocol);
    }
    if let Err(error) = call.may(Operation::Read, Resource::group(&request.group_id)) {
        return refused(error);
    }
    if request.group_id.is_empty() {
        return refused(ErrorCode::InvalidGroupId);
    }
    let group = request.group_id;
    let assignments = request.assignments.into_iter().map(|given| (given.member_id, given.assignment));
    let sync = Sync {
        identity: Identity {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
            generation: request.generation_id,
        },
        protocol_type: request.protocol_type,
        protocol: request.protocol_name,
        assignments: assignments.collect(),
    };
    let broker = &call.broker;
    let synced = broker.groups.sync(&broker.shard, group, sync);
    match call.ending.or(synced).await {
        Some(Ok(synced)) => SyncGroupResponse {
            error_code: synced.error.code(),
            protocol_type: synced.protocol_type,
            protocol_name: synced.protocol,
            assignment: synced.assignment,
            ..Default::default()
        },
        // While it loads, Kafka has members join again.
        Some(Err(ErrorCode::CoordinatorLoadInProgress)) => refused(ErrorCode::RebalanceInProgress),
        Some(Err(error)) => refused(error),
        None => refused(ErrorCode::CoordinatorNotAvailable),
    }
}
