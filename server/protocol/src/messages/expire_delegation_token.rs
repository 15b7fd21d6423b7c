//! ExpireDelegationToken (40): a token that is to end.

use crate::message;
use crate::messages::Request;
use bytes::Bytes;

impl Request for ExpireDelegationTokenRequest {
    type Response = ExpireDelegationTokenResponse;
}

message! {
    /// Ends a token.
    pub struct ExpireDelegationTokenRequest(ExpireDelegationToken, 1..=2) {
        (1..) hmac: Bytes;
        (1..) expiry_time_period_ms: i64;
    }

    /// What became of it.
    pub struct ExpireDelegationTokenResponse(ExpireDelegationToken, 1..=2) {
        (1..) error_code: i16;
        (1..) expiry_timestamp_ms: i64;
        (1..) throttle_time_ms: i32;
    }
}
