//! DescribeShareGroupOffsets, AlterShareGroupOffsets, DeleteShareGroupOffsets: how far share groups (KIP-932)
//! have come, and where one begins that nobody is in.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use strandline_engine::OffsetQuery;
use strandline_engine::types::{PartitionId, TopicId};
use strandline_protocol::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsRequestTopic, AlterShareGroupOffsetsResponse,
    AlterShareGroupOffsetsResponsePartition, AlterShareGroupOffsetsResponseTopic,
    DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse, DeleteShareGroupOffsetsResponseTopic,
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequestGroup,
    DescribeShareGroupOffsetsRequestTopic, DescribeShareGroupOffsetsResponse,
    DescribeShareGroupOffsetsResponseGroup, DescribeShareGroupOffsetsResponsePartition,
    DescribeShareGroupOffsetsResponseTopic,
};
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, TopicKey, uuid_of};
use crate::call::Call;
use crate::groups::Within;
use crate::groups::share::Topics;
use crate::room::{Gathered, Seat};
use crate::security::acl::{Operation, Resource};
use crate::share::{Replaces, ShareKey, StateVersion, Summary};

/// Partitions that are asked at a time.
const AT_ONCE: usize = 64;

/// What a partition takes of the memory, as an answer.
const PARTITION_BYTES: usize = 128;

// ---- describing -------------------------------------------------------------------------------------------

/// How far each group has come, in the order asked.
pub async fn describe(
    call: &Call,
    request: DescribeShareGroupOffsetsRequest,
    seat: &mut Seat,
) -> DescribeShareGroupOffsetsResponse {
    let mut gathered = Gathered::new(seat);
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        groups.push(describe_group(call, group, &mut gathered).await);
    }
    DescribeShareGroupOffsetsResponse { groups, ..Default::default() }
}

async fn describe_group(
    call: &Call,
    asked: DescribeShareGroupOffsetsRequestGroup,
    gathered: &mut Gathered<'_>,
) -> DescribeShareGroupOffsetsResponseGroup {
    let broker = &*call.broker;
    let group_id = asked.group_id;
    if let Err(error) = call.may(Operation::Describe, Resource::group(&group_id)) {
        return DescribeShareGroupOffsetsResponseGroup {
            group_id,
            error_code: error.code(),
            error_message: Some(error.to_string()),
            ..Default::default()
        };
    }
    let found = loop {
        match broker.groups.share_states(&broker.shard, group_id.clone(), gathered.left()).await {
            Ok(Within::Beyond(bytes)) => gathered.make_room(bytes).await,
            Ok(Within::All(found, bytes)) => {
                gathered.add(bytes);
                break Ok(found);
            }
            Err(code) => break Err((code, code.to_string())),
        }
    };
    let found = found.and_then(|found| {
        let message = format!("Group {group_id} is not a share group.");
        found.ok_or((ErrorCode::GroupIdNotFound, message))
    });
    let states = match found {
        Ok(states) => states,
        Err((code, message)) => {
            return DescribeShareGroupOffsetsResponseGroup {
                group_id,
                error_code: code.code(),
                error_message: Some(message),
                ..Default::default()
            };
        }
    };
    let mut topics = Vec::new();
    match asked.topics {
        None => {
            for (id, (name, partitions)) in states {
                if !call.shows(Operation::Describe, Resource::topic(&name)) {
                    continue;
                }
                let partitions: Vec<_> = partitions.into_iter().collect();
                topics.push(describe_topic(broker, &group_id, Ok(id), name, partitions).await);
            }
        }
        Some(asked) => {
            for DescribeShareGroupOffsetsRequestTopic { topic_name, partitions } in asked {
                gathered.make_room(PARTITION_BYTES * partitions.len()).await;
                gathered.add(PARTITION_BYTES * partitions.len());
                let id = call.topic(Operation::Describe, TopicKey::Name(&topic_name)).map(|topic| topic.id);
                topics.push(describe_topic(broker, &group_id, id, topic_name, partitions).await);
            }
        }
    }
    DescribeShareGroupOffsetsResponseGroup { group_id, topics, ..Default::default() }
}

async fn describe_topic(
    broker: &Broker,
    group: &str,
    id: Result<TopicId, ErrorCode>,
    topic_name: String,
    partitions: Vec<i32>,
) -> DescribeShareGroupOffsetsResponseTopic {
    let mut described = Vec::with_capacity(partitions.len());
    for some in partitions.chunks(AT_ONCE) {
        let asking =
            some.iter().map(async |partition| describe_partition(broker, group, id, *partition).await);
        described.extend(join_all(asking).await);
    }
    DescribeShareGroupOffsetsResponseTopic {
        topic_name,
        topic_id: id.map(uuid_of).unwrap_or_default(),
        partitions: described,
    }
}

async fn describe_partition(
    broker: &Broker,
    group: &str,
    topic: Result<TopicId, ErrorCode>,
    partition: i32,
) -> DescribeShareGroupOffsetsResponsePartition {
    let refused = |code: ErrorCode| DescribeShareGroupOffsetsResponsePartition {
        partition_index: partition,
        start_offset: -1,
        error_code: code.code(),
        error_message: Some(code.to_string()),
        ..Default::default()
    };
    let key = match topic.map(|topic| ShareKey { group: group.to_owned(), topic, partition }) {
        Ok(key) => key,
        Err(error) => return refused(error),
    };
    let id = key.topic;
    let summary = match broker.shares.shares.states.summary(&broker.shard, key).await {
        Ok(summary) => summary,
        // Nobody has made the topic of the states yet.
        Err(ErrorCode::NotCoordinator) => None,
        Err(code) => return refused(code),
    };
    let Some(Summary { start, leader_epoch, done, .. }) = summary else {
        return DescribeShareGroupOffsetsResponsePartition {
            partition_index: partition,
            start_offset: -1,
            ..Default::default()
        };
    };
    let lag = match start >= 0 && done >= 0 {
        true => end_of(broker, id, partition).await.map(|end| (end - start - i64::from(done)).max(0)),
        false => None,
    };
    DescribeShareGroupOffsetsResponsePartition {
        partition_index: partition,
        start_offset: start,
        leader_epoch,
        lag: lag.unwrap_or(-1),
        ..Default::default()
    }
}

async fn end_of(broker: &Broker, topic: TopicId, partition: i32) -> Option<i64> {
    let id = PartitionId::new(topic, u32::try_from(partition).ok()?);
    let found = broker.shard.find_offset(id, OffsetQuery::Latest, None).await;
    found.ok().flatten().map(|found| found.offset.get())
}

// ---- altering ---------------------------------------------------------------------------------------------

/// Has a group that nobody is in begin elsewhere.
pub async fn alter(call: &Call, request: AlterShareGroupOffsetsRequest) -> AlterShareGroupOffsetsResponse {
    let broker = &*call.broker;
    let group = request.group_id;
    // As with offsets of consumers, a group that is told where it begins is there from then on.
    let epoch = match check(call, Operation::Read, &group, true).await {
        Ok(epoch) => epoch,
        Err((code, message)) => {
            return AlterShareGroupOffsetsResponse {
                error_code: code.code(),
                error_message: Some(message),
                ..Default::default()
            };
        }
    };
    let mut responses = Vec::with_capacity(request.topics.len());
    let mut made = Topics::new();
    for topic in request.topics {
        responses.push(alter_topic(call, &group, epoch, topic, &mut made).await);
    }
    if !made.is_empty()
        && let Err(code) = broker.groups.share_initialized(&broker.shard, group, made).await
    {
        return AlterShareGroupOffsetsResponse {
            error_code: code.code(),
            error_message: Some(code.to_string()),
            ..Default::default()
        };
    }
    AlterShareGroupOffsetsResponse { responses, ..Default::default() }
}

/// Whether a group may be told where it begins; its epoch.
async fn check(
    call: &Call,
    operation: Operation,
    group: &str,
    makes: bool,
) -> Result<i32, (ErrorCode, String)> {
    let broker = &call.broker;
    call.may(operation, Resource::group(group)).map_err(|code| (code, code.to_string()))?;
    if let Err(error) = broker.shares.shares.states.topic(&broker.shard).await {
        tracing::warn!(%error, "the topic that share groups are kept in was not made");
        let message = "the topic that share groups are kept in was not made";
        return Err((ErrorCode::CoordinatorNotAvailable, message.to_owned()));
    }
    let checked = broker.groups.share_check_offsets(&broker.shard, group.to_owned(), makes).await;
    checked.map_err(|code| match code {
        ErrorCode::GroupIdNotFound => (code, format!("Group {group} is not a share group.")),
        code => (code, code.to_string()),
    })
}

async fn alter_topic(
    call: &Call,
    group: &str,
    epoch: i32,
    asked: AlterShareGroupOffsetsRequestTopic,
    made: &mut Topics,
) -> AlterShareGroupOffsetsResponseTopic {
    let AlterShareGroupOffsetsRequestTopic { topic_name, partitions } = asked;
    let broker = &*call.broker;
    let topic = call.topic(Operation::Read, TopicKey::Name(&topic_name));
    // Of a partition that comes twice the last counts.
    let starts: BTreeMap<i32, i64> =
        partitions.into_iter().map(|partition| (partition.partition_index, partition.start_offset)).collect();
    let starts: Vec<_> = starts.into_iter().collect();
    let mut answers = Vec::with_capacity(starts.len());
    for some in starts.chunks(AT_ONCE) {
        let altering = some.iter().map(async |(partition, start)| {
            let altered = async {
                let topic = topic.as_ref().map_err(|code| *code)?;
                let id = broker.partition(topic, *partition)?;
                if *start < 0 {
                    return Err(ErrorCode::InvalidRequest);
                }
                let key = ShareKey { group: group.to_owned(), topic: topic.id, partition: *partition };
                begin_elsewhere(broker, key, id, epoch, *start).await
            };
            (*partition, altered.await)
        });
        answers.extend(join_all(altering).await);
    }
    if let Ok(topic) = &topic {
        for (partition, _) in answers.iter().filter(|(_, result)| result.is_ok()) {
            let entry = made.entry(topic.id).or_insert_with(|| (topic.name.clone(), Default::default()));
            entry.1.insert(*partition);
        }
    }
    let partitions = answers.into_iter().map(|(partition_index, result)| {
        let code = result.err().unwrap_or(ErrorCode::None);
        AlterShareGroupOffsetsResponsePartition {
            partition_index,
            error_code: code.code(),
            error_message: (code != ErrorCode::None).then(|| code.to_string()),
        }
    });
    AlterShareGroupOffsetsResponseTopic {
        topic_id: topic.as_ref().map(|topic| uuid_of(topic.id)).unwrap_or_default(),
        topic_name,
        partitions: partitions.collect(),
    }
}

async fn begin_elsewhere(
    broker: &Broker,
    key: ShareKey,
    partition: PartitionId,
    epoch: i32,
    start: i64,
) -> Result<(), ErrorCode> {
    let shares = &broker.shares.shares;
    shares.states.initialize(&broker.shard, key.clone(), (epoch, start), Replaces::Any).await?;
    shares.leaders.forget(key, partition).await;
    Ok(())
}

// ---- deleting ---------------------------------------------------------------------------------------------

/// What Kafka says of a topic that the group has not come to.
const NO_OFFSETS: &str = "There is no offset information to delete.";

/// Has a group that nobody is in forget topics.
pub async fn delete(call: &Call, request: DeleteShareGroupOffsetsRequest) -> DeleteShareGroupOffsetsResponse {
    let broker = &*call.broker;
    let group = request.group_id;
    if let Err((code, message)) = check(call, Operation::Delete, &group, false).await {
        return DeleteShareGroupOffsetsResponse {
            error_code: code.code(),
            error_message: Some(message),
            ..Default::default()
        };
    }
    let named = request.topics.into_iter().map(|topic| {
        let found = call.topic(Operation::Read, TopicKey::Name(&topic.topic_name)).map(|topic| topic.id);
        (topic.topic_name, found)
    });
    let named: BTreeMap<String, Result<TopicId, ErrorCode>> = named.collect();
    let ids: Vec<TopicId> = named.values().filter_map(|found| found.as_ref().ok().copied()).collect();
    let versions = match broker.groups.share_states(&broker.shard, group.clone(), usize::MAX).await {
        Ok(Within::All(Some(mut states), _)) => {
            states.retain(|id, _| ids.contains(id));
            versions(broker, &group, &states).await
        }
        _ => Versions::new(),
    };
    // The group knows no states any more before these go: what is left of them is in nobody's way.
    let gone = match broker.groups.share_forget(&broker.shard, group.clone(), ids).await {
        Ok(gone) => gone,
        Err(code) => {
            return DeleteShareGroupOffsetsResponse {
                error_code: code.code(),
                error_message: Some(code.to_string()),
                ..Default::default()
            };
        }
    };
    let had: BTreeSet<TopicId> = gone.keys().copied().collect();
    delete_states(broker, &group, gone, &versions).await;
    let responses = named.into_iter().map(|(topic_name, found)| {
        let result = match found {
            Ok(id) if had.contains(&id) => Ok(id),
            Ok(_) => Err((ErrorCode::UnknownTopicOrPartition, NO_OFFSETS.to_owned())),
            Err(code) => Err((code, code.to_string())),
        };
        let (topic_id, refused) = match result {
            Ok(id) => (uuid_of(id), None),
            Err(refused) => (Default::default(), Some(refused)),
        };
        DeleteShareGroupOffsetsResponseTopic {
            topic_name,
            topic_id,
            error_code: refused.as_ref().map_or(0, |(code, _)| code.code()),
            error_message: refused.map(|(_, message)| message),
        }
    });
    DeleteShareGroupOffsetsResponse { responses: responses.collect(), ..Default::default() }
}

/// Which states there are of share partitions, before a group forgets them.
type Versions = BTreeMap<(TopicId, i32), StateVersion>;

pub(super) async fn versions(broker: &Broker, group: &str, topics: &Topics) -> Versions {
    let mut versions = Versions::new();
    for (topic, (_, partitions)) in topics {
        let partitions: Vec<_> = partitions.iter().copied().collect();
        for some in partitions.chunks(AT_ONCE) {
            let asking = some.iter().map(async |partition| {
                let key = ShareKey { group: group.to_owned(), topic: *topic, partition: *partition };
                let summary = broker.shares.shares.states.summary(&broker.shard, key).await;
                Some(((*topic, *partition), summary.ok()??.version))
            });
            versions.extend(join_all(asking).await.into_iter().flatten());
        }
    }
    versions
}

/// Deletes states that no group has any more. One that stays is replaced when a group of that name comes to
/// the partition again; one that such a group has made since `versions` were seen is not deleted.
pub(super) async fn delete_states(broker: &Broker, group: &str, gone: Topics, versions: &Versions) {
    let shares = &broker.shares.shares;
    for (topic, (_, partitions)) in gone {
        let partitions: Vec<_> = partitions.into_iter().collect();
        for some in partitions.chunks(AT_ONCE) {
            let deleting = some.iter().map(async |partition| {
                let key = ShareKey { group: group.to_owned(), topic, partition: *partition };
                if let Some(version) = versions.get(&(topic, *partition))
                    && let Err(code) = shares.states.delete(&broker.shard, key.clone(), *version).await
                {
                    tracing::debug!(group, partition, %code, "the state of a share partition was not deleted");
                }
                if let Ok(index) = u32::try_from(*partition) {
                    shares.leaders.forget(key, PartitionId::new(topic, index)).await;
                }
            });
            join_all(deleting).await;
        }
    }
}
