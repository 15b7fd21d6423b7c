//! The APIs of streams groups, asked with everything that a request can name.

use strandline_protocol::messages::*;
use strandline_protocol::wire::ApiKey;

use super::{Sizes, World, times, wide};

pub(super) fn is_its(key: ApiKey) -> bool {
    matches!(key, ApiKey::StreamsGroupHeartbeat | ApiKey::StreamsGroupDescribe)
}

/// As `ask` of all APIs.
pub(super) fn ask(world: &mut World, key: ApiKey, version: i16, copies: usize) -> Sizes {
    let group = || "held".to_owned();
    match key {
        ApiKey::StreamsGroupHeartbeat => {
            let subtopology = StreamsGroupSubtopology {
                subtopology_id: "0".to_owned(),
                source_topics: times(copies, wide()),
                ..Default::default()
            };
            let topology =
                StreamsGroupTopology { epoch: 0, subtopologies: times(copies.min(2), subtopology) };
            let request = StreamsGroupHeartbeatRequest {
                group_id: group(),
                member_id: "nobody".to_owned(),
                rebalance_timeout_ms: 1000,
                topology: Some(topology),
                ..Default::default()
            };
            world.sizes(version, &request)
        }
        ApiKey::StreamsGroupDescribe => {
            let request =
                StreamsGroupDescribeRequest { group_ids: times(copies, group()), ..Default::default() };
            world.sizes(version, &request)
        }
        _ => unreachable!("an API of streams groups"),
    }
}
