//! ApiVersions: the dispatch table, as clients read it. Dispatch, which has the table, gives its rows.

use bytes::Bytes;
use strandline_engine::config::DynamicSettings;
use strandline_protocol::messages::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse, encode_response};
use strandline_protocol::wire::{EncodeError, ErrorCode};

use crate::api::features;
use crate::session::Software;

/// The first version in which a client names its program.
pub const NAMED_FROM: i16 = 3;

/// Answers with every row of the table.
pub fn answer(
    rows: impl Iterator<Item = ApiVersion>,
    dynamic: &DynamicSettings,
    version: i16,
    request: &ApiVersionsRequest,
) -> ApiVersionsResponse {
    if version >= NAMED_FROM && software(request).is_none() {
        return ApiVersionsResponse { error_code: ErrorCode::InvalidRequest.code(), ..Default::default() };
    }
    let (finalized_features_epoch, finalized_features) = features::finalized(dynamic);
    ApiVersionsResponse {
        api_keys: rows.collect(),
        supported_features: features::supported(version),
        finalized_features_epoch,
        finalized_features,
        ..Default::default()
    }
}

/// The program that a client says it is, when the name and the version are such.
pub fn software(request: &ApiVersionsRequest) -> Option<Software> {
    let (name, version) = (&request.client_software_name, &request.client_software_version);
    let are_named = is_software_name(name) && is_software_name(version);
    are_named.then(|| Software { name: name.clone(), version: version.clone() })
}

/// The answer to a version that we do not know: one that every client can read, with `own`, the row of this
/// request alone.
///
/// # Errors
/// Never, unless version 0 were not to be written any more.
pub fn unsupported(own: ApiVersion, correlation_id: i32) -> Result<Bytes, EncodeError> {
    let (error_code, api_keys) = (ErrorCode::UnsupportedVersion.code(), vec![own]);
    encode_response(0, correlation_id, &ApiVersionsResponse { error_code, api_keys, ..Default::default() })
}

/// The answer to a client that asks in the middle of an exchange, and takes it for over.
///
/// # Errors
/// Never: an error code has room in each version.
pub fn out_of_turn(version: i16, correlation_id: i32) -> Result<Bytes, EncodeError> {
    let error_code = ErrorCode::IllegalSaslState.code();
    encode_response(version, correlation_id, &ApiVersionsResponse { error_code, ..Default::default() })
}

/// Letters and digits, with dots and dashes between them (KIP-511).
fn is_software_name(name: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    edge(name.bytes().next())
        && edge(name.bytes().last())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_software_name_has_dots_and_dashes_only_inside() {
        for good in ["a", "librdkafka", "2.11.0-RC1", "apache-kafka-java"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a.", "a b", "kafka_python"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }
}
