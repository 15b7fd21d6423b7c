//! SaslHandshake (17): a client names the mechanism by which it will say who it is.
//!
//! After version 0 the tokens of the mechanism follow as bare frames, without any header, in both directions;
//! after version 1 they travel in [`super::SaslAuthenticateRequest`].

use crate::message;
use crate::messages::Request;

impl Request for SaslHandshakeRequest {
    type Response = SaslHandshakeResponse;
}

message! {
    /// Names a mechanism.
    pub struct SaslHandshakeRequest(SaslHandshake, 0..=1) {
        (0..) mechanism: String;
    }

    /// Whether the mechanism can be used, and which ones can.
    pub struct SaslHandshakeResponse(SaslHandshake, 0..=1) {
        (0..) error_code: i16;
        (0..) mechanisms: Vec<String>;
    }
}
