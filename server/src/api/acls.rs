//! DescribeAcls, CreateAcls, DeleteAcls: there are no rules of who may do what, and none can be made. Kafka
//! without an authorizer answers the same code.

use strandline_protocol::messages::{
    AclCreationResult, CreateAclsRequest, CreateAclsResponse, DeleteAclsFilterResult, DeleteAclsRequest,
    DeleteAclsResponse, DescribeAclsRequest, DescribeAclsResponse,
};
use strandline_protocol::wire::ErrorCode;

use crate::broker::Broker;

const ERROR_CODE: i16 = ErrorCode::SecurityDisabled.code();

/// Why, for the client.
fn message() -> Option<String> {
    Some("this broker has no authorizer: everybody may do everything".to_owned())
}

/// Refused.
pub async fn describe(_: &Broker, _: i16, _: DescribeAclsRequest) -> DescribeAclsResponse {
    DescribeAclsResponse { error_code: ERROR_CODE, error_message: message(), ..Default::default() }
}

/// Refused, rule by rule.
pub async fn create(_: &Broker, _: i16, request: CreateAclsRequest) -> CreateAclsResponse {
    let refused = |_| AclCreationResult { error_code: ERROR_CODE, error_message: message() };
    CreateAclsResponse { results: request.creations.iter().map(refused).collect(), ..Default::default() }
}

/// Refused, filter by filter.
pub async fn delete(_: &Broker, _: i16, request: DeleteAclsRequest) -> DeleteAclsResponse {
    let refused =
        |_| DeleteAclsFilterResult { error_code: ERROR_CODE, error_message: message(), ..Default::default() };
    DeleteAclsResponse { filter_results: request.filters.iter().map(refused).collect(), ..Default::default() }
}
