//! FindCoordinator: this broker coordinates every group, every transaction and every share partition. The
//! topic that they are kept in is made by the first request for one.

use std::sync::Arc;

use strandline_engine::error::TopicError;
use strandline_engine::topics::Topic;
use strandline_protocol::messages::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct;
use crate::call::Call;
use crate::cluster::Endpoint;
use crate::refusal::{Refusal, told};
use crate::security::acl::{Operation, Resource};

/// `key_type` of a group, of a transaction, and of a share group.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// The first version that asks for several keys.
const MANY_FROM: i16 = 4;

/// Who coordinates each key.
pub async fn handle(call: &Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let keys = match call.header.version {
        MANY_FROM.. => distinct(request.coordinator_keys).await,
        _ => vec![request.key],
    };
    let may = |key: &str| match request.key_type {
        GROUP => call.may(Operation::Describe, Resource::group(key)),
        TRANSACTION => call.may(Operation::Describe, Resource::transactional_id(key)),
        SHARE => call.may(Operation::ClusterAction, Resource::CLUSTER),
        _ => Ok(()),
    };
    let may: Vec<_> = keys.iter().map(|key| may(key)).collect();
    // Nothing is made for a client that may not know of it.
    let found = match may.iter().any(Result::is_ok) {
        true => find(call, request.key_type).await,
        false => Err(Refusal { code: ErrorCode::None, message: None }),
    };
    let coordinator =
        |(key, may): (String, Result<(), ErrorCode>)| match may.map_err(Refusal::from).and(found.clone()) {
            Ok((node_id, Endpoint { host, port, .. })) => {
                Coordinator { key, node_id, host, port: i32::from(port), ..Default::default() }
            }
            Err(refusal) => {
                let (error_code, error_message) = told(Some(refusal));
                Coordinator { key, node_id: -1, port: -1, error_code, error_message, ..Default::default() }
            }
        };
    let mut coordinators = keys.into_iter().zip(may).map(coordinator);
    if call.header.version >= MANY_FROM {
        return FindCoordinatorResponse { coordinators: coordinators.collect(), ..Default::default() };
    }
    let found = coordinators.next().expect("one key is asked for");
    let Coordinator { node_id, host, port, error_code, error_message, .. } = found;
    FindCoordinatorResponse { error_code, error_message, node_id, host, port, ..Default::default() }
}

/// The broker that coordinates, and where the client reaches it by the listener that it came in by. The codes
/// of refusals are those that end every client at once: what a client does not expect here it takes for a
/// coordinator that is yet to come, and asks again until its own time is over.
async fn find(call: &Call, key_type: i8) -> Result<(i32, Endpoint), Refusal> {
    let broker = &call.broker;
    match key_type {
        GROUP => here(call, broker.groups.topic(&broker.shard).await, "groups are"),
        TRANSACTION => here(call, broker.transactions.topic(&broker.shard).await, "transactions are"),
        SHARE => {
            let topic = broker.shares.shares.states.topic(&broker.shard).await;
            here(call, topic, "share groups are")
        }
        _ => Err(Refusal::new(ErrorCode::InvalidRequest, "there is no such type of coordinator")),
    }
}

/// This broker, once there is the topic that it keeps them in.
fn here(call: &Call, topic: Result<Arc<Topic>, TopicError>, what: &str) -> Result<(i32, Endpoint), Refusal> {
    let refused = |message: String| Refusal::new(ErrorCode::CoordinatorNotAvailable, message);
    if let Err(error) = topic {
        tracing::warn!(%error, "the topic that {what} kept in was not made");
        return Err(refused(format!("the topic that {what} kept in was not made")));
    }
    let me = call.broker.cluster.me();
    let endpoint = me.endpoint(&call.session().listener);
    let endpoint = endpoint.ok_or_else(|| refused("the coordinator has no such listener".to_owned()))?;
    Ok((me.id, endpoint.clone()))
}
