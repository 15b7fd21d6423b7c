//! ApiVersions (18): which requests a broker understands, asked first on every connection.
//!
//! The response always has header version 0. A version that the broker does not know is answered with
//! UNSUPPORTED_VERSION and a body of version 0 that has one entry, key 18 with the range that it does know.

use crate::message;
use crate::messages::Request;

impl Request for ApiVersionsRequest {
    type Response = ApiVersionsResponse;
}

message! {
    /// Asks for the versions.
    pub struct ApiVersionsRequest(ApiVersions, 0..=4) {
        (3..) client_software_name: String;
        (3..) client_software_version: String;
    }

    /// The versions of every request.
    pub struct ApiVersionsResponse(ApiVersions, 0..=4) {
        (0..) error_code: i16;
        (0..) api_keys: Vec<ApiVersion>;
        (1..) throttle_time_ms: i32;
        /// Below version 4 without those whose minimum is 0 (KAFKA-17492).
        (3..) supported_features: Vec<SupportedFeatureKey>, tag 0;
        /// -1: the finalized features are not known, and clients ignore them.
        (3..) finalized_features_epoch: i64 = -1, tag 1;
        (3..) finalized_features: Vec<FinalizedFeatureKey>, tag 2;
        (3..) zk_migration_ready: bool, tag 3;
    }

    /// The versions of one request.
    pub struct ApiVersion {
        (0..) api_key: i16;
        (0..) min_version: i16;
        (0..) max_version: i16;
    }

    /// The levels of a feature that the broker could work at.
    pub struct SupportedFeatureKey {
        (0..) name: String;
        (0..) min_version: i16;
        (0..) max_version: i16;
    }

    /// The levels of a feature that the cluster works at.
    pub struct FinalizedFeatureKey {
        (0..) name: String;
        (0..) max_version_level: i16;
        (0..) min_version_level: i16;
    }
}
