//! JoinGroup: waits until the generation begins. When the connection ends before, the member's place is given
//! up by the group's own timeouts, as in Kafka.

use strandline_engine::types::random_uuid;
use strandline_protocol::messages::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse, JoinGroupResponseMember,
};
use strandline_protocol::wire::ErrorCode;

use crate::call::Call;
use crate::groups::{Join, Joined, Protocol};
use crate::security::acl::{Operation, Resource};

/// The first version whose clients come back with the id that they are given (KIP-394).
const ID_REQUIRED_FROM: i16 = 4;
/// The first version with a null protocol.
const NULL_PROTOCOL_FROM: i16 = 7;
/// The first version whose leaders may be told not to assign (KIP-814).
const SKIPS_FROM: i16 = 9;

/// A client's name is a part of its member id up to this many bytes: strings on the wire are short.
const NAME_BYTES_MAX: usize = 1000;

/// The generation, once everybody is there.
pub async fn handle(call: &Call, mut request: JoinGroupRequest) -> JoinGroupResponse {
    let version = call.header.version;
    let member_id = request.member_id.clone();
    if let Err(error) = call.may(Operation::Read, Resource::group(&request.group_id)) {
        return answer(version, Err(error), member_id);
    }
    if request.group_id.is_empty() {
        return answer(version, Err(ErrorCode::InvalidGroupId), member_id);
    }
    let group = std::mem::take(&mut request.group_id);
    let join = join(call, request);
    let broker = &call.broker;
    let joined = broker.groups.join(&broker.shard, group, join);
    // The client has gone, or the broker stops: whatever is said here is read by nobody, or sends the client
    // to look again.
    let joined = call.ending.or(joined).await.unwrap_or(Err(ErrorCode::CoordinatorNotAvailable));
    answer(version, joined, member_id)
}

fn join(call: &Call, request: JoinGroupRequest) -> Join {
    let version = call.header.version;
    let client_id = call.session().client_id.clone().unwrap_or_default();
    let name = request.group_instance_id.as_deref().unwrap_or(&client_id);
    let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
    let protocol = |JoinGroupRequestProtocol { name, metadata }| Protocol { name, metadata };
    Join {
        new_member_id: format!("{name}-{}", uuid_text(random_uuid())),
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        client_id,
        client_host: format!("/{}", call.session().peer.ip()),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: match request.rebalance_timeout_ms {
            -1 => request.session_timeout_ms,
            timeout => timeout,
        },
        protocol_type: request.protocol_type,
        protocols: request.protocols.into_iter().map(protocol).collect(),
        id_required: version >= ID_REQUIRED_FROM,
        may_skip_assignment: version >= SKIPS_FROM,
    }
}

fn answer(version: i16, joined: Result<Joined, ErrorCode>, member_id: String) -> JoinGroupResponse {
    let empty = (version < NULL_PROTOCOL_FROM).then(String::new);
    match joined {
        Ok(joined) => JoinGroupResponse {
            error_code: joined.error.code(),
            generation_id: joined.generation,
            protocol_type: joined.protocol_type,
            protocol_name: joined.protocol.or(empty),
            leader: joined.leader,
            skip_assignment: joined.skip_assignment,
            member_id: joined.member_id,
            members: joined
                .members
                .into_iter()
                .map(|member| JoinGroupResponseMember {
                    member_id: member.member_id,
                    group_instance_id: member.instance_id,
                    metadata: member.metadata,
                })
                .collect(),
            ..Default::default()
        },
        Err(error) => JoinGroupResponse {
            error_code: error.code(),
            protocol_name: empty,
            member_id,
            ..Default::default()
        },
    }
}

/// A UUID as people write it.
fn uuid_text(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_five_groups() {
        let bytes = std::array::from_fn(|at| at as u8 * 17);
        assert_eq!(uuid_text(bytes), "00112233-4455-6677-8899-aabbccddeeff");
    }
}
