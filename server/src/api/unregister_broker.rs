//! UnregisterBroker: there is no other broker that could be forgotten.

use crate::broker::Broker;
use crate::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use crate::wire::ErrorCode;

/// Refused.
pub async fn handle(broker: &Broker, _: i16, request: UnregisterBrokerRequest) -> UnregisterBrokerResponse {
    let node_id = broker.shard.handle().meta().node_id;
    let (error, message) = match request.broker_id {
        id if id == node_id => {
            (ErrorCode::InvalidRequest, format!("broker {id} is this one, and the only one of its cluster"))
        }
        id => {
            (ErrorCode::BrokerIdNotRegistered, format!("there is no broker {id}: {node_id} is the only one"))
        }
    };
    UnregisterBrokerResponse { error_code: error.code(), error_message: Some(message), ..Default::default() }
}
