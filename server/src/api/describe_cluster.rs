//! DescribeCluster: the brokers there are.

use strandline_protocol::messages::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};
use strandline_protocol::wire::ErrorCode;

use crate::api::operations;
use crate::call::Call;
use crate::cluster::{Endpoint, Node};

/// The endpoint types that a request may ask for.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// All of them.
pub async fn handle(call: &Call, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let cluster = &call.broker.cluster;
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
    // Those that a client can reach that came in by this listener.
    let described = |node: &Node| {
        let Endpoint { host, port, .. } = node.endpoint(&call.session().listener)?.clone();
        let (broker_id, rack) = (node.id, node.rack.clone());
        Some(DescribeClusterBroker { broker_id, host, port: i32::from(port), rack, is_fenced: false })
    };
    DescribeClusterResponse {
        cluster_id: cluster.id(),
        controller_id: cluster.controller_id(),
        brokers: cluster.brokers().iter().filter_map(described).collect(),
        cluster_authorized_operations: operations::of_cluster(
            call,
            request.include_cluster_authorized_operations,
        ),
        ..Default::default()
    }
}
