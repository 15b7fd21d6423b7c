//! FindCoordinator: this broker coordinates every group. The topic that groups are kept in is made by the first request for one.

use crate::api::NO_TRANSACTIONS;
use crate::api::distinct::distinct;
use crate::broker::Broker;
use crate::messages::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use crate::wire::ErrorCode;

/// `key_type` of a group, of a transaction, and of a share group.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// The first version that asks for several keys.
const MANY_FROM: i16 = 4;

/// Who coordinates each key.
pub async fn handle(
    broker: &Broker,
    version: i16,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let found = check(broker, request.key_type).await;
    let coordinator = |key: String| match found {
        Ok(()) => Coordinator {
            key,
            node_id: broker.shard.handle().meta().node_id,
            host: broker.advertised.host.clone(),
            port: i32::from(broker.advertised.port),
            ..Default::default()
        },
        Err((error, message)) => Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code: error.code(),
            error_message: Some(message.to_owned()),
            ..Default::default()
        },
    };
    if version >= MANY_FROM {
        let coordinators = distinct(request.coordinator_keys).await.into_iter().map(coordinator).collect();
        return FindCoordinatorResponse { coordinators, ..Default::default() };
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } = coordinator(request.key);
    FindCoordinatorResponse { error_code, error_message, node_id, host, port, ..Default::default() }
}

/// The code and the reason for who asks in vain. The codes are those that end every client at once: what a client does not expect here it
/// takes for a coordinator that is yet to come, and asks again until its own time is over.
async fn check(broker: &Broker, key_type: i8) -> Result<(), (ErrorCode, &'static str)> {
    match key_type {
        GROUP => match broker.groups.topic(&broker.shard).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "the topic that groups are kept in was not made");
                Err((ErrorCode::CoordinatorNotAvailable, "the topic that groups are kept in was not made"))
            }
        },
        TRANSACTION => Err((NO_TRANSACTIONS, "this broker has no transactions")),
        SHARE => Err((ErrorCode::InvalidRequest, "this broker has no share groups")),
        _ => Err((ErrorCode::InvalidRequest, "there is no such type of coordinator")),
    }
}
