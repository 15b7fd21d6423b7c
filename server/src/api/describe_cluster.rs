//! DescribeCluster: the brokers there are.

use strandline_protocol::messages::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};
use strandline_protocol::wire::ErrorCode;

use crate::api::operations;
use crate::broker::Broker;
use crate::cluster::Node;

/// The endpoint types that a request may ask for.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// All of them.
pub async fn handle(broker: &Broker, _: i16, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let error = match request.endpoint_type {
        BROKERS => ErrorCode::None,
        CONTROLLERS => ErrorCode::MismatchedEndpointType,
        _ => ErrorCode::UnsupportedEndpointType,
    };
    if error != ErrorCode::None {
        return DescribeClusterResponse {
            error_code: error.code(),
            error_message: Some(error.to_string()),
            endpoint_type: request.endpoint_type,
            ..Default::default()
        };
    }
    let described = |node: &Node| {
        let Node { id, host, port, rack } = node.clone();
        DescribeClusterBroker { broker_id: id, host, port: i32::from(port), rack, is_fenced: false }
    };
    DescribeClusterResponse {
        cluster_id: broker.cluster.id(),
        controller_id: broker.cluster.controller_id(),
        brokers: broker.cluster.brokers().iter().map(described).collect(),
        cluster_authorized_operations: operations::if_asked(
            request.include_cluster_authorized_operations,
            operations::CLUSTER,
        ),
        ..Default::default()
    }
}
