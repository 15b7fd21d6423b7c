//! CreateDelegationToken (38): a password for others to act for a user.

use crate::message;
use crate::messages::Request;
use bytes::Bytes;

impl Request for CreateDelegationTokenRequest {
    type Response = CreateDelegationTokenResponse;
}

message! {
    /// Makes a token.
    pub struct CreateDelegationTokenRequest(CreateDelegationToken, 1..=3) {
        /// `None` is the user who asks.
        (3..) owner_principal_type: Option<String>, else refuse;
        (3..) owner_principal_name: Option<String>, else refuse;
        (1..) renewers: Vec<CreatableRenewers>;
        (1..) max_lifetime_ms: i64;
    }

    /// Who may renew it.
    pub struct CreatableRenewers {
        (1..) principal_type: String;
        (1..) principal_name: String;
    }

    /// The token.
    pub struct CreateDelegationTokenResponse(CreateDelegationToken, 1..=3) {
        (1..) error_code: i16;
        (1..) principal_type: String;
        (1..) principal_name: String;
        (3..) token_requester_principal_type: String;
        (3..) token_requester_principal_name: String;
        (1..) issue_timestamp_ms: i64;
        (1..) expiry_timestamp_ms: i64;
        (1..) max_timestamp_ms: i64;
        (1..) token_id: String;
        (1..) hmac: Bytes;
        (1..) throttle_time_ms: i32;
    }
}
