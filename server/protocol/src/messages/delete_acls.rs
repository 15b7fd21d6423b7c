//! DeleteAcls (31): rules of who may do what that have to go.

use crate::message;
use crate::messages::Request;

impl Request for DeleteAclsRequest {
    type Response = DeleteAclsResponse;
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
