//! CreateAcls (30): new rules of who may do what.

use crate::message;
use crate::messages::Request;

impl Request for CreateAclsRequest {
    type Response = CreateAclsResponse;
}

message! {
    /// Adds rules.
    pub struct CreateAclsRequest(CreateAcls, 1..=3) {
        (1..) creations: Vec<AclCreation>;
    }

    /// A rule.
    pub struct AclCreation {
        (1..) resource_type: i8;
        (1..) resource_name: String;
        (1..) resource_pattern_type: i8 = 3;
        (1..) principal: String;
        (1..) host: String;
        (1..) operation: i8;
        (1..) permission_type: i8;
    }

    /// What became of each rule.
    pub struct CreateAclsResponse(CreateAcls, 1..=3) {
        (1..) throttle_time_ms: i32;
        (1..) results: Vec<AclCreationResult>;
    }

    /// What became of a rule.
    pub struct AclCreationResult {
        (1..) error_code: i16;
        (1..) error_message: Option<String>;
    }
}
