//! ApiVersions: the dispatch table, as clients read it.

use bytes::Bytes;

use crate::api::features;
use crate::dispatch::{APIS, Broker};
use crate::messages::{ApiKey, ApiVersion, ApiVersionsRequest, ApiVersionsResponse, encode_response};
use crate::wire::{EncodeError, ErrorCode};

/// Answers with every row of the table.
pub async fn handle(_: &Broker, version: i16, request: ApiVersionsRequest) -> ApiVersionsResponse {
    let named = |name: &str| is_software_name(name);
    if version >= 3 && !(named(&request.client_software_name) && named(&request.client_software_version)) {
        return ApiVersionsResponse { error_code: ErrorCode::InvalidRequest.code(), ..Default::default() };
    }
    ApiVersionsResponse {
        api_keys: APIS.iter().map(row).collect(),
        supported_features: features::supported(version),
        finalized_features_epoch: features::FINALIZED_EPOCH,
        ..Default::default()
    }
}

/// The answer to a version that we do not know: one that every client can read, with what we do know of this request alone.
///
/// # Errors
/// Never, unless version 0 were not to be written any more.
pub fn unsupported(correlation_id: i32) -> Result<Bytes, EncodeError> {
    let api_keys = APIS.iter().filter(|api| api.key == ApiKey::ApiVersions).map(row).collect();
    let error_code = ErrorCode::UnsupportedVersion.code();
    encode_response(0, correlation_id, &ApiVersionsResponse { error_code, api_keys, ..Default::default() })
}

fn row(api: &crate::dispatch::Api) -> ApiVersion {
    ApiVersion {
        api_key: api.key.code(),
        min_version: *api.versions.start(),
        max_version: *api.versions.end(),
    }
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
