//! DescribeAcls (29): the rules of who may do what.

use crate::message;
use crate::messages::Request;

impl Request for DescribeAclsRequest {
    type Response = DescribeAclsResponse;
}

message! {
    /// Asks for rules.
    pub struct DescribeAclsRequest(DescribeAcls, 1..=3) {
        (1..) resource_type_filter: i8;
        (1..) resource_name_filter: Option<String>;
        (1..) pattern_type_filter: i8 = 3;
        (1..) principal_filter: Option<String>;
        (1..) host_filter: Option<String>;
        (1..) operation: i8;
        (1..) permission_type: i8;
    }

    /// The rules.
    pub struct DescribeAclsResponse(DescribeAcls, 1..=3) {
        (1..) throttle_time_ms: i32;
        (1..) error_code: i16;
        (1..) error_message: Option<String>;
        (1..) resources: Vec<DescribeAclsResource>;
    }

    /// The rules for a resource.
    pub struct DescribeAclsResource {
        (1..) resource_type: i8;
        (1..) resource_name: String;
        (1..) pattern_type: i8 = 3;
        (1..) acls: Vec<AclDescription>;
    }

    /// A rule.
    pub struct AclDescription {
        (1..) principal: String;
        (1..) host: String;
        (1..) operation: i8;
        (1..) permission_type: i8;
    }
}
