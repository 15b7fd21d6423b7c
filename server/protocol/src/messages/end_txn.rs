//! EndTxn (26): a transaction is committed or aborted.

use crate::message;
use crate::messages::Request;

impl Request for EndTxnRequest {
    type Response = EndTxnResponse;
}

message! {
    /// Ends a transaction.
    pub struct EndTxnRequest(EndTxn, 0..=5) {
        (0..) transactional_id: String;
        (0..) producer_id: i64;
        (0..) producer_epoch: i16;
        /// False for abort.
        (0..) committed: bool;
    }

    /// What became of it, and the producer that the client goes on with.
    pub struct EndTxnResponse(EndTxn, 0..=5) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (5..) producer_id: i64 = -1;
        (5..) producer_epoch: i16 = -1;
    }
}
