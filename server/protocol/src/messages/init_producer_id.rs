//! InitProducerId (22): the identity under which a producer's batches are told from their repetitions.

use crate::message;
use crate::messages::Request;

impl Request for InitProducerIdRequest {
    type Response = InitProducerIdResponse;
}

message! {
    /// Asks for a producer id, or for the next epoch of one.
    pub struct InitProducerIdRequest(InitProducerId, 0..=5) {
        /// `None` without transactions.
        (0..) transactional_id: Option<String>;
        (0..) transaction_timeout_ms: i32;
        /// The id and epoch that the producer has, -1 for none.
        (3..) producer_id: i64 = -1, else refuse;
        (3..) producer_epoch: i16 = -1, else refuse;
    }

    /// The producer id and epoch.
    pub struct InitProducerIdResponse(InitProducerId, 0..=5) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) producer_id: i64 = -1;
        (0..) producer_epoch: i16;
    }
}
