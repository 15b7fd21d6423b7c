//! OffsetFetch: what groups have committed. An offset that there is not is -1, and no error. Groups, topics
//! and partitions that are named twice are answered once.
//!
//! A member of a consumer group (KIP-848) names its epoch from version 9 on, and is told when that is not its
//! own any more.
//!
//! With `require_stable` (version 7 on) a partition of which an open transaction has an offset is answered
//! with UNSTABLE_OFFSET_COMMIT, and the client comes again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use strandline_protocol::messages::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::allowed_topics;
use crate::api::distinct::distinct_by_name;
use crate::broker::Broker;
use crate::call::Call;
use crate::groups::records::OffsetValue;
use crate::groups::{ByPartition, Fetch, Within};
use crate::room::{Gathered, Seat};
use crate::security::acl::{Operation, Resource};

/// The first version that asks for several groups.
const MANY_FROM: i16 = 8;

/// Partitions by topic; `None` for all there are.
type Asked = Option<Vec<(String, Vec<i32>)>>;

/// What there is of each partition, or why it is not told.
type Found = ByPartition<Result<Option<OffsetValue>, ErrorCode>>;

/// The offsets of each group.
pub async fn handle(call: &Call, request: OffsetFetchRequest, seat: &mut Seat) -> OffsetFetchResponse {
    let (broker, version) = (&call.broker, call.header.version);
    let mut gathered = Gathered::new(seat);
    let is_stable = request.require_stable;
    if version >= MANY_FROM {
        let mut groups = Vec::new();
        for (group_id, member, asked) in once(request.groups) {
            let checked = match call.may(Operation::Describe, Resource::group(&group_id)) {
                Ok(()) => check_member(broker, &group_id, member).await,
                Err(error) => Err(error),
            };
            groups.push(match checked {
                Ok(()) => of_group(call, group_id, asked, is_stable, &mut gathered).await,
                Err(error) => refused(group_id, error),
            });
        }
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let asked: Asked = request
        .topics
        .map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
    let asked = distinct_asked(asked).await;
    let found = match call.may(Operation::Describe, Resource::group(&request.group_id)) {
        Ok(()) => find(call, request.group_id, asked.clone(), is_stable, &mut gathered).await,
        Err(error) => Err(error),
    };
    let (found, error) = match found {
        Ok(found) => (found, ErrorCode::None),
        // Version 1 has no other place to say it.
        Err(error) => (nothing(asked, error), error),
    };
    let topics = found.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(partition_index, found)| {
            let (value, error) = told(found);
            OffsetFetchResponsePartition {
                partition_index,
                committed_offset: value.offset,
                committed_leader_epoch: value.leader_epoch,
                metadata: Some(value.metadata),
                error_code: error.code(),
            }
        });
        OffsetFetchResponseTopic { name, partitions: partitions.collect() }
    });
    OffsetFetchResponse { topics: topics.collect(), error_code: error.code(), ..Default::default() }
}

/// A member of a consumer group, and its epoch; `None` of who does not say that it is one.
type Speaker = Option<(String, i32)>;

async fn check_member(broker: &Broker, group_id: &str, member: Speaker) -> Result<(), ErrorCode> {
    match member {
        Some((id, epoch)) => broker.groups.check_epoch(&broker.shard, group_id.to_owned(), id, epoch).await,
        None => Ok(()),
    }
}

/// Each group once, with who asks first, and all that is asked of it.
fn once(groups: Vec<OffsetFetchRequestGroup>) -> Vec<(String, Speaker, Asked)> {
    let mut merged: Vec<(String, Speaker, Asked)> = Vec::with_capacity(groups.len());
    let mut places = HashMap::with_capacity(groups.len());
    for group in groups {
        let asked: Asked = group
            .topics
            .map(|topics| topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect());
        match places.entry(group.group_id.clone()) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                let member = group.member_id.map(|id| (id, group.member_epoch));
                merged.push((group.group_id, member.filter(|(_, epoch)| *epoch >= 0), asked));
            }
            Entry::Occupied(place) => {
                let before = &mut merged[*place.get()].2;
                match (before.as_mut(), asked) {
                    (Some(before), Some(more)) => before.extend(more),
                    (_, None) | (None, _) => *before = None,
                }
            }
        }
    }
    merged
}

/// Each partition once. Its metadata, which the answer holds, can be a thousand times its number in the
/// request.
async fn distinct_asked(asked: Asked) -> Asked {
    match asked {
        Some(topics) => Some(distinct_by_name(topics, |partition| *partition).await),
        None => None,
    }
}

fn refused(group_id: String, error: ErrorCode) -> OffsetFetchResponseGroup {
    OffsetFetchResponseGroup { group_id, topics: Vec::new(), error_code: error.code() }
}

async fn of_group(
    call: &Call,
    group_id: String,
    asked: Asked,
    require_stable: bool,
    gathered: &mut Gathered<'_>,
) -> OffsetFetchResponseGroup {
    let asked = distinct_asked(asked).await;
    let found = match find(call, group_id.clone(), asked, require_stable, gathered).await {
        Ok(found) => found,
        Err(error) => return refused(group_id, error),
    };
    let topics = found.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(partition_index, found)| {
            let (value, error) = told(found);
            OffsetFetchResponsePartitions {
                partition_index,
                committed_offset: value.offset,
                committed_leader_epoch: value.leader_epoch,
                metadata: Some(value.metadata),
                error_code: error.code(),
            }
        });
        OffsetFetchResponseTopics { name, partitions: partitions.collect() }
    });
    OffsetFetchResponseGroup { group_id, topics: topics.collect(), error_code: 0 }
}

/// The offsets of the topics that the client may know of: when it asks for all, of those alone.
async fn find(
    call: &Call,
    group: String,
    asked: Asked,
    require_stable: bool,
    gathered: &mut Gathered<'_>,
) -> Result<Found, ErrorCode> {
    let (asked, denied) = match asked {
        Some(named) => {
            let (allowed, denied) = allowed_topics(call, Operation::Describe, named);
            (Some(allowed), denied)
        }
        None => (None, Vec::new()),
    };
    let is_all = asked.is_none();
    let mut found = find_allowed(&call.broker, group, asked, require_stable, gathered).await?;
    if is_all {
        found.retain(|(topic, _)| call.shows(Operation::Describe, Resource::topic(topic)));
    }
    found.extend(denied.into_iter().map(|(topic, partitions, error)| {
        (topic, partitions.into_iter().map(|at| (at, Err(error))).collect())
    }));
    Ok(found)
}

async fn find_allowed(
    broker: &Broker,
    group: String,
    asked: Asked,
    require_stable: bool,
    gathered: &mut Gathered<'_>,
) -> Result<Found, ErrorCode> {
    loop {
        let fetch = Fetch { asked: asked.clone(), require_stable, bytes_max: gathered.left() };
        match broker.groups.fetch(&broker.shard, group.clone(), fetch).await {
            Ok(Within::Beyond(bytes)) => gathered.make_room(bytes).await,
            Ok(Within::All(found, bytes)) => {
                gathered.add(bytes);
                return Ok(found);
            }
            // Java consumers before 3.9 take 15 for fatal here, and look for their coordinator again after
            // 16.
            Err(ErrorCode::CoordinatorNotAvailable) => return Err(ErrorCode::NotCoordinator),
            Err(error) => return Err(error),
        }
    }
}

/// An offset as it is answered: -1 where there is none, or it is not told.
fn told(found: Result<Option<OffsetValue>, ErrorCode>) -> (OffsetValue, ErrorCode) {
    let none = || OffsetValue { offset: -1, ..Default::default() };
    match found {
        Ok(value) => (value.unwrap_or_else(none), ErrorCode::None),
        Err(error) => (none(), error),
    }
}

fn nothing(asked: Asked, error: ErrorCode) -> Found {
    let topics = asked.unwrap_or_default().into_iter();
    let refused = |partitions: Vec<i32>| partitions.into_iter().map(|at| (at, Err(error))).collect();
    topics.map(|(topic, partitions)| (topic, refused(partitions))).collect()
}
