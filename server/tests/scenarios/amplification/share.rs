//! The APIs of share groups, asked with everything that a request can name.

use strandline_protocol::messages::*;
use strandline_protocol::wire::ApiKey;

use super::{Sizes, World, times, wide};

pub(super) fn is_of_share_groups(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::ShareGroupHeartbeat
            | ApiKey::ShareGroupDescribe
            | ApiKey::ShareFetch
            | ApiKey::ShareAcknowledge
            | ApiKey::DescribeShareGroupOffsets
            | ApiKey::AlterShareGroupOffsets
            | ApiKey::DeleteShareGroupOffsets
    )
}

/// As `ask`, of the APIs of share groups.
pub(super) fn ask_of_share_groups(world: &mut World, key: ApiKey, version: i16, copies: usize) -> Sizes {
    let group = || "held".to_owned();
    let batch = ShareAcknowledgementBatch { first_offset: 0, last_offset: 0, acknowledge_types: vec![1] };
    match key {
        ApiKey::ShareGroupHeartbeat => {
            let request = ShareGroupHeartbeatRequest {
                group_id: group(),
                member_id: "nobody".to_owned(),
                subscribed_topic_names: Some(times(copies, wide())),
                ..Default::default()
            };
            world.sizes(version, &request)
        }
        ApiKey::ShareGroupDescribe => {
            let request =
                ShareGroupDescribeRequest { group_ids: times(copies, group()), ..Default::default() };
            world.sizes(version, &request)
        }
        ApiKey::ShareFetch => {
            let partition = ShareFetchPartition { partition_index: 0, acknowledgement_batches: Vec::new() };
            let topic = ShareFetchTopic { topic_id: world.topic, partitions: times(copies, partition) };
            let request = ShareFetchRequest {
                group_id: Some(group()),
                member_id: Some("nobody".to_owned()),
                max_records: 10,
                topics: vec![topic],
                ..Default::default()
            };
            world.sizes(version, &request)
        }
        ApiKey::ShareAcknowledge => {
            let partition = ShareAcknowledgePartition {
                partition_index: 0,
                acknowledgement_batches: times(copies, batch),
            };
            let topic = ShareAcknowledgeTopic { partitions: vec![partition], ..Default::default() };
            let request = ShareAcknowledgeRequest {
                group_id: Some(group()),
                member_id: Some("nobody".to_owned()),
                share_session_epoch: 1,
                topics: vec![topic],
                ..Default::default()
            };
            world.sizes(version, &request)
        }
        ApiKey::DescribeShareGroupOffsets => {
            let topic =
                DescribeShareGroupOffsetsRequestTopic { topic_name: wide(), partitions: times(copies, 0) };
            let asked =
                DescribeShareGroupOffsetsRequestGroup { group_id: group(), topics: Some(vec![topic]) };
            world.sizes(version, &DescribeShareGroupOffsetsRequest { groups: vec![asked] })
        }
        ApiKey::AlterShareGroupOffsets => {
            let partition = AlterShareGroupOffsetsRequestPartition { partition_index: 0, start_offset: 0 };
            let topic = AlterShareGroupOffsetsRequestTopic {
                topic_name: wide(),
                partitions: times(copies, partition),
            };
            let request = AlterShareGroupOffsetsRequest { group_id: group(), topics: vec![topic] };
            world.sizes(version, &request)
        }
        ApiKey::DeleteShareGroupOffsets => {
            let topics = times(copies, DeleteShareGroupOffsetsRequestTopic { topic_name: wide() });
            world.sizes(version, &DeleteShareGroupOffsetsRequest { group_id: group(), topics })
        }
        _ => unreachable!("an API of share groups"),
    }
}
