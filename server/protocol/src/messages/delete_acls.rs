//! DeleteAcls (31): rules of who may do what that have to go.

use crate::message;
use crate::messages::{AclCreation, Request};

impl Request for DeleteAclsRequest {
    type Response = DeleteAclsResponse;
}

/// The rule that was deleted, as it would be created again.
impl From<DeleteAclsMatchingAcl> for AclCreation {
    fn from(rule: DeleteAclsMatchingAcl) -> AclCreation {
        AclCreation {
            resource_type: rule.resource_type,
            resource_name: rule.resource_name,
            resource_pattern_type: rule.pattern_type,
            principal: rule.principal,
            host: rule.host,
            operation: rule.operation,
            permission_type: rule.permission_type,
        }
    }
}

message! {
    /// Deletes rules.
    pub struct DeleteAclsRequest(DeleteAcls, 1..=3) {
        (1..) filters: Vec<DeleteAclsFilter>;
    }

    /// Which rules.
    pub struct DeleteAclsFilter {
        (1..) resource_type_filter: i8;
        (1..) resource_name_filter: Option<String>;
        (1..) pattern_type_filter: i8 = 3;
        (1..) principal_filter: Option<String>;
        (1..) host_filter: Option<String>;
        (1..) operation: i8;
        (1..) permission_type: i8;
    }

    /// What became of each filter.
    pub struct DeleteAclsResponse(DeleteAcls, 1..=3) {
        (1..) throttle_time_ms: i32;
        (1..) filter_results: Vec<DeleteAclsFilterResult>;
    }

    /// What became of a filter.
    pub struct DeleteAclsFilterResult {
        (1..) error_code: i16;
        (1..) error_message: Option<String>;
        (1..) matching_acls: Vec<DeleteAclsMatchingAcl>;
    }

    /// A rule that matched.
    pub struct DeleteAclsMatchingAcl {
        (1..) error_code: i16;
        (1..) error_message: Option<String>;
        (1..) resource_type: i8;
        (1..) resource_name: String;
        (1..) pattern_type: i8 = 3;
        (1..) principal: String;
        (1..) host: String;
        (1..) operation: i8;
        (1..) permission_type: i8;
    }
}
