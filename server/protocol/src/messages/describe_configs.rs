//! DescribeConfigs (32): the settings of topics and brokers, and where each comes from.

use crate::message;
use crate::messages::Request;

impl Request for DescribeConfigsRequest {
    type Response = DescribeConfigsResponse;
}

message! {
    /// Asks for settings.
    pub struct DescribeConfigsRequest(DescribeConfigs, 1..=4) {
        (1..) resources: Vec<DescribeConfigsResource>;
        (1..) include_synonyms: bool;
        (3..) include_documentation: bool, else refuse;
    }

    /// The settings of one resource.
    pub struct DescribeConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        (1..) resource_type: i8;
        (1..) resource_name: String;
        /// `None` is all.
        (1..) configuration_keys: Option<Vec<String>>;
    }

    /// The settings.
    pub struct DescribeConfigsResponse(DescribeConfigs, 1..=4) {
        (1..) throttle_time_ms: i32;
        (1..) results: Vec<DescribeConfigsResult>;
    }

    /// The settings of one resource.
    pub struct DescribeConfigsResult {
        (1..) error_code: i16;
        (1..) error_message: Option<String>;
        (1..) resource_type: i8;
        (1..) resource_name: String;
        (1..) configs: Vec<DescribeConfigsResourceResult>;
    }

    /// A setting.
    pub struct DescribeConfigsResourceResult {
        (1..) name: String;
        /// `None` when sensitive.
        (1..) value: Option<String>;
        (1..) read_only: bool;
        /// 1 topic, 2 broker (dynamic), 3 cluster default (dynamic), 4 broker (file), 5 default, 6 logger,
        /// 7 client metrics, 8 group.
        (1..) config_source: i8 = -1;
        (1..) is_sensitive: bool;
        (1..) synonyms: Vec<DescribeConfigsSynonym>;
        /// 1 bool, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password.
        (3..) config_type: i8;
        (3..) documentation: Option<String>;
    }

    /// A place where a setting's value may come from, in order of precedence.
    pub struct DescribeConfigsSynonym {
        (1..) name: String;
        (1..) value: Option<String>;
        (1..) source: i8;
    }
}
