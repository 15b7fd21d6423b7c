//! ListOffsets: the offset of a partition's start, end, or of a moment.

use std::collections::HashMap;

use strandline_engine::reactor::yield_if_needed;
use strandline_engine::{Isolation, OffsetAndTimestamp, OffsetQuery};
use strandline_protocol::messages::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::together::together;
use crate::api::{isolation, known_epoch, read_error};
use crate::broker::TopicKey;
use crate::call::Call;
use crate::security::acl::Operation;
use strandline_engine::types::Timestamp;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Offset(OffsetQuery),
    /// The end of what a remote tier holds, or the first offset that is yet to go there: there is none.
    Tiered,
}

/// Answers topic by topic, whose partitions are asked together.
pub async fn handle(call: &Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let version = call.header.version;
    let mut asked_times = HashMap::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            *asked_times.entry((topic.name.as_str(), partition.partition_index)).or_insert(0) += 1;
        }
        yield_if_needed().await;
    }
    let isolation = isolation(request.isolation_level);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = together(&topic.partitions, async |asked| {
            let is_duplicate = asked_times[&(topic.name.as_str(), asked.partition_index)] > 1;
            let found = match is_duplicate {
                true => Err(ErrorCode::InvalidRequest),
                false => find(call, version, isolation, &topic.name, asked).await,
            };
            let answer =
                ListOffsetsPartitionResponse { partition_index: asked.partition_index, ..Default::default() };
            match found {
                Ok(Some(found)) => {
                    let (offset, timestamp) = (found.offset.get(), found.timestamp.0);
                    let leader_epoch = found.leader_epoch.map_or(-1, |epoch| epoch.0);
                    ListOffsetsPartitionResponse { offset, timestamp, leader_epoch, ..answer }
                }
                Ok(None) => answer,
                Err(error) => ListOffsetsPartitionResponse { error_code: error.code(), ..answer },
            }
        })
        .await;
        yield_if_needed().await;
        topics.push(ListOffsetsTopicResponse { name: topic.name.clone(), partitions });
    }
    ListOffsetsResponse { topics, ..Default::default() }
}

async fn find(
    call: &Call,
    version: i16,
    isolation: Isolation,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<Option<OffsetAndTimestamp>, ErrorCode> {
    let broker = &call.broker;
    let topic = call.topic(Operation::Describe, TopicKey::Name(topic))?;
    let partition = broker.partition(&topic, asked.partition_index)?;
    let (query, is_tiered) = match parse(asked.timestamp, version)? {
        Asked::Offset(OffsetQuery::Latest) if isolation == Isolation::ReadCommitted => {
            (OffsetQuery::LatestStable, false)
        }
        Asked::Offset(query) => (query, false),
        // The leader epoch is still held against ours.
        Asked::Tiered => (OffsetQuery::Earliest, true),
    };
    let leader_epoch = known_epoch(asked.current_leader_epoch);
    let found = broker.shard.find_offset(partition, query, leader_epoch).await;
    let found = found.map_err(|error| read_error(&error))?.filter(|_| !is_tiered);
    let is_of_time = matches!(query, OffsetQuery::AtTimestamp(_) | OffsetQuery::MaxTimestamp);
    if found.is_none() || !is_of_time || isolation == Isolation::ReadUncommitted {
        return Ok(found);
    }
    // As in Kafka, what a consumer of committed records may not read yet is as good as not there.
    let stable = broker.shard.find_offset(partition, OffsetQuery::LatestStable, leader_epoch).await;
    let stable = stable.map_err(|error| read_error(&error))?;
    Ok(found.filter(|found| stable.is_some_and(|end| found.offset < end.offset)))
}

/// The special values of `timestamp`, each of which is younger than the request itself.
fn parse(timestamp: i64, version: i16) -> Result<Asked, ErrorCode> {
    let (asked, since) = match timestamp {
        0.. => (Asked::Offset(OffsetQuery::AtTimestamp(Timestamp(timestamp))), 1),
        -1 => (Asked::Offset(OffsetQuery::Latest), 1),
        -2 => (Asked::Offset(OffsetQuery::Earliest), 1),
        -3 => (Asked::Offset(OffsetQuery::MaxTimestamp), 7),
        -4 => (Asked::Offset(OffsetQuery::Earliest), 8),
        -5 => (Asked::Tiered, 9),
        -6 => (Asked::Tiered, 11),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    if version >= since { Ok(asked) } else { Err(ErrorCode::UnsupportedVersion) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_special_time_has_its_first_version() {
        for (timestamp, since) in [(0, 1), (77, 1), (-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9), (-6, 11)] {
            for version in 1..=11 {
                assert_eq!(
                    parse(timestamp, version).is_ok(),
                    version >= since,
                    "{timestamp} in version {version}"
                );
            }
        }
        assert_eq!(parse(-7, 11), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(parse(i64::MIN, 11), Err(ErrorCode::UnsupportedVersion));
    }
}
