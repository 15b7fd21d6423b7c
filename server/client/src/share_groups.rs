//! How far share groups (KIP-932) are.

use std::collections::BTreeMap;

use super::groups::{GroupError, GroupOffsets, not_mentioned};
use crate::{Client, Code};
use strandline_protocol::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsRequestPartition,
    AlterShareGroupOffsetsRequestTopic, DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
};
use strandline_protocol::wire::ApiKey;

/// How far a share group is in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareProgress {
    /// The first record that is not done with.
    pub start: i64,
    /// Records from there on that are not; `None` when the broker does not say.
    pub lag: Option<i64>,
}

/// How far a share group is, by topic and partition: those that somebody has fetched from.
pub type ShareOffsets = BTreeMap<String, BTreeMap<i32, ShareProgress>>;

impl Client {
    /// How far a share group is.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn share_group_offsets(&mut self, name: &str) -> Result<ShareOffsets, GroupError> {
        self.retrying(|client| {
            let (_, mut coordinator) = client.dial_coordinator(name)?;
            let group = DescribeShareGroupOffsetsRequestGroup { group_id: name.to_owned(), topics: None };
            let response = coordinator.call(&DescribeShareGroupOffsetsRequest { groups: vec![group] })?;
            let api = ApiKey::DescribeShareGroupOffsets;
            let found = response.groups.into_iter().find(|group| group.group_id == name);
            let found = found.ok_or_else(|| not_mentioned(name, api))?;
            refused(name, api, found.error_code, found.error_message)?;
            let mut offsets = ShareOffsets::new();
            for topic in found.topics {
                for partition in topic.partitions {
                    let at = (topic.topic_name.as_str(), partition.partition_index);
                    partition_refused(name, api, at, partition.error_code)?;
                    if partition.start_offset >= 0 {
                        let lag = Some(partition.lag).filter(|lag| *lag >= 0);
                        let progress = ShareProgress { start: partition.start_offset, lag };
                        let topic = offsets.entry(topic.topic_name.clone()).or_default();
                        topic.insert(partition.partition_index, progress);
                    }
                }
            }
            Ok(offsets)
        })
    }

    /// Has a share group that nobody is in begin elsewhere.
    ///
    /// # Errors
    /// [`GroupError`]; some partitions may have been set.
    pub fn set_share_group_offsets(&mut self, name: &str, offsets: &GroupOffsets) -> Result<(), GroupError> {
        let topics = offsets.iter().map(|(topic, partitions)| AlterShareGroupOffsetsRequestTopic {
            topic_name: topic.clone(),
            partitions: partitions
                .iter()
                .map(|(&partition_index, &start_offset)| AlterShareGroupOffsetsRequestPartition {
                    partition_index,
                    start_offset,
                })
                .collect(),
        });
        let request = AlterShareGroupOffsetsRequest { group_id: name.to_owned(), topics: topics.collect() };
        self.retrying(|client| {
            let (_, mut coordinator) = client.dial_coordinator(name)?;
            let response = coordinator.call(&request)?;
            let api = ApiKey::AlterShareGroupOffsets;
            refused(name, api, response.error_code, response.error_message)?;
            for topic in response.responses {
                for partition in topic.partitions {
                    let at = (topic.topic_name.as_str(), partition.partition_index);
                    partition_refused(name, api, at, partition.error_code)?;
                }
            }
            Ok(())
        })
    }
}

fn refused(group: &str, api: ApiKey, code: i16, message: Option<String>) -> Result<(), GroupError> {
    Code::check(code).map_err(|code| GroupError::Refused { group: group.to_owned(), api, code, message })
}

fn partition_refused(group: &str, api: ApiKey, at: (&str, i32), code: i16) -> Result<(), GroupError> {
    let (topic, partition) = (at.0.to_owned(), at.1);
    let refused = |code| GroupError::Partition { group: group.to_owned(), api, topic, partition, code };
    Code::check(code).map_err(refused)
}
