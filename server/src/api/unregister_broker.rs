//! UnregisterBroker: there is no other broker that could be forgotten.

use strandline_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use strandline_protocol::wire::ErrorCode;

use crate::call::Call;
use crate::refusal::{Refusal, told};
use crate::security::acl::{Operation, Resource};

/// Refused.
pub async fn handle(call: &Call, request: UnregisterBrokerRequest) -> UnregisterBrokerResponse {
    let broker = &call.broker;
    if let Err(error) = call.may(Operation::Alter, Resource::CLUSTER) {
        return UnregisterBrokerResponse { error_code: error.code(), ..Default::default() };
    }
    let (id, me) = (request.broker_id, broker.cluster.me().id);
    let refusal = match id == me {
        true => {
            let message = format!("broker {id} is this one, and the only one of its cluster");
            Refusal::new(ErrorCode::InvalidRequest, message)
        }
        false => {
            let message = format!("there is no broker {id}: {me} is the only one");
            Refusal::new(ErrorCode::BrokerIdNotRegistered, message)
        }
    };
    let (error_code, error_message) = told(Some(refusal));
    UnregisterBrokerResponse { error_code, error_message, ..Default::default() }
}
