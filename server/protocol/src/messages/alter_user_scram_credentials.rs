//! AlterUserScramCredentials (51): passwords of users, set and taken away.

use crate::message;
use crate::messages::Request;
use bytes::Bytes;

impl Request for AlterUserScramCredentialsRequest {
    type Response = AlterUserScramCredentialsResponse;
}

message! {
    /// Changes passwords.
    pub struct AlterUserScramCredentialsRequest(AlterUserScramCredentials, 0..=0) {
        (0..) deletions: Vec<ScramCredentialDeletion>;
        (0..) upsertions: Vec<ScramCredentialUpsertion>;
    }

    /// A password that goes.
    pub struct ScramCredentialDeletion {
        (0..) name: String;
        (0..) mechanism: i8;
    }

    /// A password that comes.
    pub struct ScramCredentialUpsertion {
        (0..) name: String;
        (0..) mechanism: i8;
        (0..) iterations: i32;
        (0..) salt: Bytes;
        (0..) salted_password: Bytes;
    }

    /// What became of each user.
    pub struct AlterUserScramCredentialsResponse(AlterUserScramCredentials, 0..=0) {
        (0..) throttle_time_ms: i32;
        (0..) results: Vec<AlterUserScramCredentialsResult>;
    }

    /// What became of a user.
    pub struct AlterUserScramCredentialsResult {
        (0..) user: String;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
    }
}
