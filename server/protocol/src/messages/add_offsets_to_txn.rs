//! AddOffsetsToTxn (25): a transaction is to commit offsets of a group.

use crate::message;
use crate::messages::Request;

impl Request for AddOffsetsToTxnRequest {
    type Response = AddOffsetsToTxnResponse;
}

message! {
    /// Adds the partition that a group's offsets are kept in.
    pub struct AddOffsetsToTxnRequest(AddOffsetsToTxn, 0..=4) {
        (0..) transactional_id: String;
        (0..) producer_id: i64;
        (0..) producer_epoch: i16;
        (0..) group_id: String;
    }

    /// What became of it.
    pub struct AddOffsetsToTxnResponse(AddOffsetsToTxn, 0..=4) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
    }
}
