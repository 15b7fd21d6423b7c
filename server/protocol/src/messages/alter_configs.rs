//! AlterConfigs (33): replaces all settings of topics and brokers. Deprecated by IncrementalAlterConfigs.

use crate::message;
use crate::messages::Request;

impl Request for AlterConfigsRequest {
    type Response = AlterConfigsResponse;
}

message! {
    /// Replaces settings.
    pub struct AlterConfigsRequest(AlterConfigs, 0..=2) {
        (0..) resources: Vec<AlterConfigsResource>;
        /// Checks, but changes nothing.
        (0..) validate_only: bool;
    }

    /// The settings of one resource: all that it has, the others go back to their defaults.
    pub struct AlterConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        (0..) resource_type: i8;
        (0..) resource_name: String;
        (0..) configs: Vec<AlterableConfig>;
    }

    /// A setting.
    pub struct AlterableConfig {
        (0..) name: String;
        (0..) value: Option<String>;
    }

    /// What became of each resource.
    pub struct AlterConfigsResponse(AlterConfigs, 0..=2) {
        (0..) throttle_time_ms: i32;
        (0..) responses: Vec<AlterConfigsResourceResponse>;
    }

    /// A resource that was changed, or why not.
    pub struct AlterConfigsResourceResponse {
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) resource_type: i8;
        (0..) resource_name: String;
    }
}
