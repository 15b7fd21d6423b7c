//! OffsetCommit: answered when the offsets are durable (D9).

use std::time::{SystemTime, UNIX_EPOCH};

use strandline_protocol::messages::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::allowed_topics;
use crate::call::Call;
use crate::groups::records::OffsetValue;
use crate::groups::{ByPartition, Commit, Identity};
use crate::security::acl::{Operation, Resource};

/// The first version that knows of groups that are not there.
const NOT_FOUND_FROM: i16 = 9;

/// What became of each offset.
pub async fn handle(call: &Call, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let (broker, version) = (&call.broker, call.header.version);
    let identity = Identity {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id_or_member_epoch,
    };
    let unknown = match version {
        NOT_FOUND_FROM.. => ErrorCode::GroupIdNotFound,
        _ => ErrorCode::IllegalGeneration,
    };
    let offsets = offsets(request.topics, request.retention_time_ms);
    let may = call.may(Operation::Read, Resource::group(&request.group_id));
    let (offsets, denied) = match may {
        Ok(()) => allowed_topics(call, Operation::Read, offsets),
        Err(error) => {
            let denied = offsets.into_iter().map(|(topic, partitions)| (topic, partitions, error));
            (Vec::new(), denied.collect())
        }
    };
    let asked: ByPartition<()> = offsets
        .iter()
        .map(|(topic, partitions)| (topic.clone(), partitions.iter().map(|(at, _)| (*at, ())).collect()))
        .collect();
    let group = request.group_id;
    let commit = Commit { identity, unknown, offsets, transaction: None };
    let committed = match may.is_err() || (asked.is_empty() && !denied.is_empty()) {
        true => Ok(ByPartition::new()),
        false => broker.groups.commit(&broker.shard, group, commit).await,
    };
    let mut codes = match committed {
        Ok(codes) => codes,
        Err(error) => {
            let all = asked.into_iter().map(|(topic, partitions)| {
                (topic, partitions.into_iter().map(|(at, ())| (at, error)).collect())
            });
            all.collect()
        }
    };
    codes.extend(denied.into_iter().map(|(topic, partitions, error)| {
        (topic, partitions.into_iter().map(|(partition, _)| (partition, error)).collect())
    }));
    let topics = codes.into_iter().map(|(name, partitions)| OffsetCommitResponseTopic {
        name,
        partitions: partitions
            .into_iter()
            .map(|(partition_index, code)| OffsetCommitResponsePartition {
                partition_index,
                error_code: code.code(),
            })
            .collect(),
    });
    OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

fn offsets(topics: Vec<OffsetCommitRequestTopic>, retention_ms: i64) -> ByPartition<OffsetValue> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let commit_timestamp = since.map_or(0, |since| since.as_millis() as i64);
    let expire_timestamp = match retention_ms {
        -1 => -1,
        retention => commit_timestamp.saturating_add(retention).max(0),
    };
    let topics = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|asked| {
            let value = OffsetValue {
                offset: asked.committed_offset,
                leader_epoch: asked.committed_leader_epoch,
                metadata: asked.committed_metadata.unwrap_or_default(),
                commit_timestamp,
                expire_timestamp,
                ..Default::default()
            };
            (asked.partition_index, value)
        });
        (topic.name, partitions.collect())
    });
    topics.collect()
}
