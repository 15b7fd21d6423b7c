//! UpdateFeatures (57): the levels at which a cluster works.

use crate::message;
use crate::messages::Request;

impl Request for UpdateFeaturesRequest {
    type Response = UpdateFeaturesResponse;
}

message! {
    /// Changes levels.
    pub struct UpdateFeaturesRequest(UpdateFeatures, 0..=2) {
        (0..) timeout_ms: i32 = 60_000;
        (0..) feature_updates: Vec<FeatureUpdateKey>;
        (1..) validate_only: bool, else refuse;
    }

    /// A feature, and its new level.
    pub struct FeatureUpdateKey {
        (0..)   feature: String;
        /// 0 takes the feature away.
        (0..)   max_version_level: i16;
        (0..=0) allow_downgrade: bool, else refuse;
        /// 1 up, 2 down without loss, 3 down whatever is lost.
        (1..)   upgrade_type: i8 = 1, else refuse;
    }

    /// What became of it.
    pub struct UpdateFeaturesResponse(UpdateFeatures, 0..=2) {
        (0..)   throttle_time_ms: i32;
        (0..)   error_code: i16;
        (0..)   error_message: Option<String>;
        (0..=1) results: Vec<UpdatableFeatureResult>;
    }

    /// What became of a feature.
    pub struct UpdatableFeatureResult {
        (0..) feature: String;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
    }
}
