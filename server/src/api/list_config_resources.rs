//! ListConfigResources: topics, this broker, and the groups that have settings of their own. Kafka's other
//! resources (the levels of its loggers, what clients report) have no settings here.

use std::collections::BTreeSet;

use strandline_protocol::messages::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use strandline_protocol::wire::ErrorCode;
use strandline_protocol::wire::writer::PART_BYTES;

use crate::call::Call;
use crate::config::groups_with_settings;
use crate::room::Seat;
use crate::security::acl::{Operation, Resource};

/// Resource types, in Kafka's numbers.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// About what a resource takes of the memory until the answer has left.
const RESOURCE_BYTES: usize = 64;

/// The first version that asks by type; before, client metrics are meant.
const BY_TYPE_FROM: i16 = 1;

/// The resources of each type that is asked for.
pub async fn handle(
    call: &Call,
    request: ListConfigResourcesRequest,
    seat: &mut Seat,
) -> ListConfigResourcesResponse {
    let (broker, version) = (&call.broker, call.header.version);
    if let Err(error) = call.may(Operation::DescribeConfigs, Resource::CLUSTER) {
        return ListConfigResourcesResponse { error_code: error.code(), ..Default::default() };
    }
    let in_force = broker.engine.settings();
    let groups = groups_with_settings(&in_force.dynamic);
    let count = broker.shard.topics().len() + groups.len();
    if count * RESOURCE_BYTES > PART_BYTES {
        seat.reserve(count * RESOURCE_BYTES).await;
    }
    let mut types: BTreeSet<i8> = request.resource_types.into_iter().collect();
    if version < BY_TYPE_FROM {
        types = BTreeSet::from([CLIENT_METRICS]);
    } else if types.is_empty() {
        types = BTreeSet::from([TOPIC, BROKER, GROUP]);
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
            BROKER => config_resources
                .push(ConfigResource { resource_name: broker.cluster.me().id.to_string(), resource_type }),
            GROUP => config_resources.extend(
                groups
                    .iter()
                    .map(|group| ConfigResource { resource_name: (*group).to_owned(), resource_type }),
            ),
            BROKER_LOGGER | CLIENT_METRICS => {}
            _ => {
                let error_code = ErrorCode::UnsupportedVersion.code();
                return ListConfigResourcesResponse { error_code, ..Default::default() };
            }
        }
    }
    ListConfigResourcesResponse { config_resources, ..Default::default() }
}
