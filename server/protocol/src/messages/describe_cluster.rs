//! DescribeCluster (60).

use crate::message;
use crate::messages::Request;

impl Request for DescribeClusterRequest {
    type Response = DescribeClusterResponse;
}

message! {
    /// Asks for the brokers.
    pub struct DescribeClusterRequest(DescribeCluster, 0..=2) {
        (0..) include_cluster_authorized_operations: bool;
        /// 1 brokers, 2 controllers.
        (1..) endpoint_type: i8 = 1, else refuse;
        (2..) include_fenced_brokers: bool, else refuse;
    }

    /// The brokers.
    pub struct DescribeClusterResponse(DescribeCluster, 0..=2) {
        (0..) throttle_time_ms: i32;
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        /// 1 brokers, 2 controllers.
        (1..) endpoint_type: i8 = 1;
        (0..) cluster_id: String;
        (0..) controller_id: i32 = -1;
        (0..) brokers: Vec<DescribeClusterBroker>;
        /// `i32::MIN` when not asked for.
        (0..) cluster_authorized_operations: i32 = i32::MIN;
    }

    /// A broker.
    pub struct DescribeClusterBroker {
        (0..) broker_id: i32;
        (0..) host: String;
        (0..) port: i32;
        (0..) rack: Option<String>;
        (2..) is_fenced: bool;
    }
}
