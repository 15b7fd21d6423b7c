//! IncrementalAlterConfigs (44): changes single settings of topics and brokers (KIP-339).
//!
//! Two structs have the names of AlterConfigs in Kafka's schema and other fields; here they begin with
//! Incremental. The response's are the same.

use crate::message;
use crate::messages::{AlterConfigsResourceResponse, Request};

impl Request for IncrementalAlterConfigsRequest {
    type Response = IncrementalAlterConfigsResponse;
}

message! {
    /// Changes settings.
    pub struct IncrementalAlterConfigsRequest(IncrementalAlterConfigs, 0..=1) {
        (0..) resources: Vec<IncrementalAlterConfigsResource>;
        /// Checks, but changes nothing.
        (0..) validate_only: bool;
    }

    /// The changes of one resource.
    pub struct IncrementalAlterConfigsResource {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        (0..) resource_type: i8;
        (0..) resource_name: String;
        (0..) configs: Vec<IncrementalAlterableConfig>;
    }

    /// A change.
    pub struct IncrementalAlterableConfig {
        (0..) name: String;
        /// 0 set, 1 delete, 2 append, 3 subtract; the last two are for lists.
        (0..) config_operation: i8;
        /// `None` to delete.
        (0..) value: Option<String>;
    }

    /// What became of each resource.
    pub struct IncrementalAlterConfigsResponse(IncrementalAlterConfigs, 0..=1) {
        (0..) throttle_time_ms: i32;
        (0..) responses: Vec<AlterConfigsResourceResponse>;
    }
}
