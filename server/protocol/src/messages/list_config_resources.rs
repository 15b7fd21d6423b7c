//! ListConfigResources (74): what has settings. In version 0: the subscriptions of client metrics.

use crate::message;
use crate::messages::Request;

impl Request for ListConfigResourcesRequest {
    type Response = ListConfigResourcesResponse;
}

message! {
    /// Asks for resources.
    pub struct ListConfigResourcesRequest(ListConfigResources, 0..=1) {
        /// Empty for all.
        (1..) resource_types: Vec<i8>, else refuse;
    }

    /// The resources.
    pub struct ListConfigResourcesResponse(ListConfigResources, 0..=1) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) config_resources: Vec<ConfigResource>;
    }

    /// A resource.
    pub struct ConfigResource {
        (0..) resource_name: String;
        (1..) resource_type: i8 = 16;
    }
}
