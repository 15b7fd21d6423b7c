//! DescribeCluster: this one broker.

use strandline_engine::types::base64_url;

use crate::api::operations;
use crate::broker::Broker;
use crate::messages::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};
use crate::wire::ErrorCode;

/// The endpoint types that a request may ask for.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// The cluster of one.
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
    let meta = broker.shard.handle().meta();
    DescribeClusterResponse {
        cluster_id: base64_url(&meta.cluster_id),
        controller_id: meta.node_id,
        brokers: vec![DescribeClusterBroker {
            broker_id: meta.node_id,
            host: broker.advertised.host.clone(),
            port: i32::from(broker.advertised.port),
            rack: broker.config.rack.clone(),
            is_fenced: false,
        }],
        cluster_authorized_operations: operations::if_asked(
            request.include_cluster_authorized_operations,
            operations::CLUSTER,
        ),
        ..Default::default()
    }
}
