//! DescribeDelegationToken (41): the tokens that there are.

use crate::message;
use crate::messages::Request;
use bytes::Bytes;

impl Request for DescribeDelegationTokenRequest {
    type Response = DescribeDelegationTokenResponse;
}

message! {
    /// Asks for tokens.
    pub struct DescribeDelegationTokenRequest(DescribeDelegationToken, 1..=3) {
        /// `None` is all.
        (1..) owners: Option<Vec<DescribeDelegationTokenOwner>>;
    }

    /// A user.
    pub struct DescribeDelegationTokenOwner {
        (1..) principal_type: String;
        (1..) principal_name: String;
    }

    /// The tokens.
    pub struct DescribeDelegationTokenResponse(DescribeDelegationToken, 1..=3) {
        (1..) error_code: i16;
        (1..) tokens: Vec<DescribedDelegationToken>;
        (1..) throttle_time_ms: i32;
    }

    /// A token.
    pub struct DescribedDelegationToken {
        (1..) principal_type: String;
        (1..) principal_name: String;
        (3..) token_requester_principal_type: String;
        (3..) token_requester_principal_name: String;
        (1..) issue_timestamp: i64;
        (1..) expiry_timestamp: i64;
        (1..) max_timestamp: i64;
        (1..) token_id: String;
        (1..) hmac: Bytes;
        (1..) renewers: Vec<DescribedDelegationTokenRenewer>;
    }

    /// Who may renew it.
    pub struct DescribedDelegationTokenRenewer {
        (1..) principal_type: String;
        (1..) principal_name: String;
    }
}
