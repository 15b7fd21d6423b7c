//! FindCoordinator: this broker coordinates every group. The topic that groups are kept in is made by the first request for one.

use crate::dispatch::Broker;
use crate::messages::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use crate::wire::ErrorCode;

/// `key_type` of a group, and of a transaction. (2 is a share group.)
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// The first version that asks for several keys.
const MANY_FROM: i16 = 4;

/// Who coordinates each key.
pub async fn handle(
    broker: &Broker,
    version: i16,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let error = check(broker, request.key_type).await;
    let coordinator = |key: String| match error {
        ErrorCode::None => Coordinator {
            key,
            node_id: broker.shard.handle().meta().node_id,
            host: broker.advertised.host.clone(),
            port: i32::from(broker.advertised.port),
            ..Default::default()
        },
        error => Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code: error.code(),
            error_message: Some(error.to_string()),
            ..Default::default()
        },
    };
    if version >= MANY_FROM {
        let coordinators = request.coordinator_keys.into_iter().map(coordinator).collect();
        return FindCoordinatorResponse { coordinators, ..Default::default() };
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } = coordinator(request.key);
    FindCoordinatorResponse { error_code, error_message, node_id, host, port, ..Default::default() }
}

async fn check(broker: &Broker, key_type: i8) -> ErrorCode {
    match key_type {
        GROUP => match broker.groups.topic(&broker.shard).await {
            Ok(_) => ErrorCode::None,
            Err(error) => {
                tracing::warn!(%error, "the topic that groups are kept in was not made");
                ErrorCode::CoordinatorNotAvailable
            }
        },
        // As InitProducerId says: there are no transactions. A retriable code would keep the client asking.
        TRANSACTION => ErrorCode::UnsupportedVersion,
        _ => ErrorCode::InvalidRequest,
    }
}
