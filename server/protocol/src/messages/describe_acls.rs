//! DescribeAcls (29): the rules of who may do what.

use crate::message;
use crate::messages::{AclCreation, DeleteAclsFilter, Request};

impl Request for DescribeAclsRequest {
    type Response = DescribeAclsResponse;
}

/// What a filter would delete.
impl From<DeleteAclsFilter> for DescribeAclsRequest {
    fn from(filter: DeleteAclsFilter) -> DescribeAclsRequest {
        DescribeAclsRequest {
            resource_type_filter: filter.resource_type_filter,
            resource_name_filter: filter.resource_name_filter,
            pattern_type_filter: filter.pattern_type_filter,
            principal_filter: filter.principal_filter,
            host_filter: filter.host_filter,
            operation: filter.operation,
            permission_type: filter.permission_type,
        }
    }
}

impl DescribeAclsResponse {
    /// The rules, each with its resource, as they would be created.
    pub fn rules(self) -> impl Iterator<Item = AclCreation> {
        self.resources.into_iter().flat_map(|resource| {
            resource.acls.into_iter().map(move |acl| AclCreation {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                resource_pattern_type: resource.pattern_type,
                principal: acl.principal,
                host: acl.host,
                operation: acl.operation,
                permission_type: acl.permission_type,
            })
        })
    }
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
