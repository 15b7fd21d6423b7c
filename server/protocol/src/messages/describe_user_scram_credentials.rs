//! DescribeUserScramCredentials (50): the passwords that users have.

use crate::message;
use crate::messages::Request;

impl Request for DescribeUserScramCredentialsRequest {
    type Response = DescribeUserScramCredentialsResponse;
}

message! {
    /// Asks for users.
    pub struct DescribeUserScramCredentialsRequest(DescribeUserScramCredentials, 0..=0) {
        /// `None` or empty for all.
        (0..) users: Option<Vec<ScramUserName>>;
    }

    /// A user.
    pub struct ScramUserName {
        (0..) name: String;
    }

    /// The users.
    pub struct DescribeUserScramCredentialsResponse(DescribeUserScramCredentials, 0..=0) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) results: Vec<DescribeUserScramCredentialsResult>;
    }

    /// A user.
    pub struct DescribeUserScramCredentialsResult {
        (0..) user: String;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) credential_infos: Vec<CredentialInfo>;
    }

    /// A password, by its mechanism.
    pub struct CredentialInfo {
        (0..) mechanism: i8;
        (0..) iterations: i32;
    }
}
