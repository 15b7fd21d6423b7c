//! UnregisterBroker (64): a broker that will not come back.

use crate::message;
use crate::messages::Request;

impl Request for UnregisterBrokerRequest {
    type Response = UnregisterBrokerResponse;
}

message! {
    /// Forgets a broker.
    pub struct UnregisterBrokerRequest(UnregisterBroker, 0..=0) {
        (0..) broker_id: i32;
    }

    /// What became of it.
    pub struct UnregisterBrokerResponse(UnregisterBroker, 0..=0) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
    }
}
