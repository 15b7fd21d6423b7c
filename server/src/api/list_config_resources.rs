//! ListConfigResources: topics and this broker. Kafka's other resources (the levels of its loggers, what clients report, groups) have no
//! settings here.

use std::collections::BTreeSet;

use crate::dispatch::Broker;
use crate::messages::{ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse};
use crate::wire::ErrorCode;

/// Resource types, in Kafka's numbers.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// The first version that asks by type; before, client metrics are meant.
const BY_TYPE_FROM: i16 = 1;

/// The resources of each type that is asked for.
pub async fn handle(
    broker: &Broker,
    version: i16,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let mut types: BTreeSet<i8> = request.resource_types.into_iter().collect();
    if version < BY_TYPE_FROM {
        types = BTreeSet::from([CLIENT_METRICS]);
    } else if types.is_empty() {
        types = BTreeSet::from([TOPIC, BROKER]);
    }
    let mut config_resources = Vec::new();
    for resource_type in types {
        match resource_type {
            TOPIC => config_resources.extend(
                broker
                    .shard
                    .topics()
                    .iter()
                    .map(|topic| ConfigResource { resource_name: topic.name.clone(), resource_type }),
            ),
            BROKER => config_resources.push(ConfigResource {
                resource_name: broker.shard.handle().meta().node_id.to_string(),
                resource_type,
            }),
            BROKER_LOGGER | CLIENT_METRICS | GROUP => {}
            _ => {
                let error_code = ErrorCode::UnsupportedVersion.code();
                return ListConfigResourcesResponse { error_code, ..Default::default() };
            }
        }
    }
    ListConfigResourcesResponse { config_resources, ..Default::default() }
}
