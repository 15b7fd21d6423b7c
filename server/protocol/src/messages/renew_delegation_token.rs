//! RenewDelegationToken (39): a token that is to live on.

use crate::message;
use crate::messages::Request;
use bytes::Bytes;

impl Request for RenewDelegationTokenRequest {
    type Response = RenewDelegationTokenResponse;
}

message! {
    /// Renews a token.
    pub struct RenewDelegationTokenRequest(RenewDelegationToken, 1..=2) {
        (1..) hmac: Bytes;
        (1..) renew_period_ms: i64;
    }

    /// What became of it.
    pub struct RenewDelegationTokenResponse(RenewDelegationToken, 1..=2) {
        (1..) error_code: i16;
        (1..) expiry_timestamp_ms: i64;
        (1..) throttle_time_ms: i32;
    }
}
