//! The four requests about delegation tokens: a token is made for a user who has proved who he is, and nobody
//! can do that here. Kafka answers the same code on a listener without authentication.

use strandline_protocol::messages::{
    CreateDelegationTokenRequest, CreateDelegationTokenResponse, DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse, ExpireDelegationTokenRequest, ExpireDelegationTokenResponse,
    RenewDelegationTokenRequest, RenewDelegationTokenResponse,
};
use strandline_protocol::wire::ErrorCode;

use crate::broker::Broker;

const ERROR_CODE: i16 = ErrorCode::DelegationTokenRequestNotAllowed.code();

/// Refused.
pub async fn create(_: &Broker, _: i16, _: CreateDelegationTokenRequest) -> CreateDelegationTokenResponse {
    CreateDelegationTokenResponse {
        error_code: ERROR_CODE,
        issue_timestamp_ms: -1,
        expiry_timestamp_ms: -1,
        max_timestamp_ms: -1,
        ..Default::default()
    }
}

/// Refused.
pub async fn renew(_: &Broker, _: i16, _: RenewDelegationTokenRequest) -> RenewDelegationTokenResponse {
    RenewDelegationTokenResponse { error_code: ERROR_CODE, expiry_timestamp_ms: -1, ..Default::default() }
}

/// Refused.
pub async fn expire(_: &Broker, _: i16, _: ExpireDelegationTokenRequest) -> ExpireDelegationTokenResponse {
    ExpireDelegationTokenResponse { error_code: ERROR_CODE, expiry_timestamp_ms: -1, ..Default::default() }
}

/// Refused.
pub async fn describe(
    _: &Broker,
    _: i16,
    _: DescribeDelegationTokenRequest,
) -> DescribeDelegationTokenResponse {
    DescribeDelegationTokenResponse { error_code: ERROR_CODE, ..Default::default() }
}
