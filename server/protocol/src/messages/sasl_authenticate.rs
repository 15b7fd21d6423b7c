//! SaslAuthenticate (36): the tokens of a mechanism, one each way.

use crate::message;
use crate::messages::Request;
use bytes::Bytes;

impl Request for SaslAuthenticateRequest {
    type Response = SaslAuthenticateResponse;
}

message! {
    /// A token of the client.
    pub struct SaslAuthenticateRequest(SaslAuthenticate, 0..=2) {
        (0..) auth_bytes: Bytes;
    }

    /// A token of the broker, or why there is none.
    pub struct SaslAuthenticateResponse(SaslAuthenticate, 0..=2) {
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) auth_bytes: Bytes;
        /// How long the client is known by this; 0 for as long as it is connected (KIP-368).
        (1..) session_lifetime_ms: i64;
    }
}
