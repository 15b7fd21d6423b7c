//! ShareGroupHeartbeat: a member of a share group (KIP-932) joins, goes on, or leaves. Answered when what it
//! is told is durable (D9).
//!
//! Partitions that the group has not fetched from yet get their state first, so that a member has them with
//! its first answer; in Kafka it has them with its second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use strandline_engine::reactor;
use strandline_engine::types::TopicId;
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    ShareGroupHeartbeatAssignment, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse,
    ShareGroupHeartbeatTopicPartitions,
};
use strandline_protocol::wire::ErrorCode;

use crate::broker::Broker;
use crate::call::Call;
use crate::groups::consumer::Assignment;
use crate::groups::share::{ShareBeat, ShareGroupSettings, ShareHeartbeat, Topics};
use crate::refusal::Refusal;
use crate::security::acl::{Operation, Resource};
use crate::share::{Replaces, ShareKey, StateVersion};

/// How often a group is asked for partitions without a state: once, and once more for those whose state a
/// group of the same name has left.
const LOOKS: usize = 2;

/// States that are made at a time.
const STATES_AT_ONCE: usize = 64;

/// How long a heartbeat waits for coordinators of states that have just begun, and how often it asks again.
/// After that its partitions come with the next one.
const LOADING: Duration = Duration::from_secs(1);
const LOADING_PAUSE: Duration = Duration::from_millis(20);

/// What the member shall do.
pub async fn handle(call: &Call, request: ShareGroupHeartbeatRequest) -> ShareGroupHeartbeatResponse {
    let ShareGroupHeartbeatRequest { group_id: group, member_id, .. } = request;
    let denied = call.may(Operation::Read, Resource::group(&group)).err().or_else(|| {
        let topics = request.subscribed_topic_names.iter().flatten();
        topics.map(|topic| call.may(Operation::Describe, Resource::topic(topic))).find_map(Result::err)
    });
    if let Some(error) = denied {
        return answer(member_id, Err(Refusal::new(error, error.to_string())));
    }
    if group.is_empty() {
        let message = "GroupId can't be empty.";
        return answer(member_id, Err(Refusal::new(ErrorCode::InvalidRequest, message)));
    }
    let in_force = call.broker.shard.settings();
    let settings = ShareGroupSettings::of(&call.broker.config, &in_force.dynamic, &group);
    let said = ShareHeartbeat {
        member_id: member_id.clone(),
        epoch: request.member_epoch,
        rack_id: request.rack_id,
        topics: request.subscribed_topic_names,
        client_id: call.session().client_id.clone().unwrap_or_default(),
        client_host: format!("/{}", call.session().peer.ip()),
        settings: Some(settings),
    };
    answer(member_id, beat(&call.broker, group, said).await)
}

async fn beat(broker: &Broker, group: String, said: ShareHeartbeat) -> Result<ShareBeat, Refusal> {
    let mut beat = broker.groups.share_heartbeat(&broker.shard, group.clone(), said.clone()).await?;
    let mut left = Left::new();
    // What is not made now is made with the next beat.
    for _ in 0..LOOKS {
        if beat.stateless.is_empty() {
            break;
        }
        let stateless = std::mem::take(&mut beat.stateless);
        let (made, used) = make_states(broker, &group, stateless, beat.group_epoch, &left).await;
        let is_noted = match made.is_empty() {
            true => !used.is_empty(),
            false => broker.groups.share_initialized(&broker.shard, group.clone(), made).await.is_ok(),
        };
        if !is_noted {
            break;
        }
        let again = ShareHeartbeat { epoch: beat.epoch, topics: None, ..said.clone() };
        match broker.groups.share_heartbeat(&broker.shard, group.clone(), again).await {
            Ok(next) => beat = ShareBeat { assignment: next.assignment.or(beat.assignment), ..next },
            Err(_) => break,
        }
        if used.is_empty() {
            break;
        }
        left = used;
    }
    Ok(beat)
}

/// States that are used. Of one that the group does not know, asked after this was seen, a group of the same
/// name has made use: members use what their group knows.
type Left = BTreeMap<(TopicId, i32), StateVersion>;

/// Gives partitions a state; those that have one now, and those whose state is used.
async fn make_states(
    broker: &Broker,
    group: &str,
    topics: Topics,
    epoch: i32,
    left: &Left,
) -> (Topics, Left) {
    let (mut made, mut used) = (Topics::new(), Left::new());
    if let Err(error) = broker.shares.shares.states.topic(&broker.shard).await {
        tracing::warn!(%error, "the topic that share groups are kept in was not made");
        return (made, used);
    }
    let deadline = Instant::now() + LOADING;
    for (topic, (name, partitions)) in topics {
        let all: Vec<_> = partitions.into_iter().collect();
        for partitions in all.chunks(STATES_AT_ONCE) {
            let making = partitions.iter().map(async |partition| {
                let key = ShareKey { group: group.to_owned(), topic, partition: *partition };
                let replaces = left.get(&(topic, *partition)).copied();
                let replaces = replaces.map_or(Replaces::Unused, Replaces::Version);
                (*partition, make_state(broker, key, epoch, replaces, deadline).await)
            });
            for (partition, result) in join_all(making).await {
                match result {
                    Ok(None) => {
                        let entry = made.entry(topic).or_insert_with(|| (name.clone(), Default::default()));
                        entry.1.insert(partition);
                    }
                    Ok(Some(version)) => drop(used.insert((topic, partition), version)),
                    Err(code) => {
                        tracing::debug!(group, topic = name, partition, %code, "no state of a share partition");
                    }
                }
            }
        }
    }
    (made, used)
}

/// Gives a partition a state; the one that stays, where one is used.
async fn make_state(
    broker: &Broker,
    key: ShareKey,
    epoch: i32,
    replaces: Replaces,
    deadline: Instant,
) -> Result<Option<StateVersion>, ErrorCode> {
    let states = &broker.shares.shares.states;
    loop {
        let made = states.initialize(&broker.shard, key.clone(), (epoch, UNINITIALIZED), replaces).await;
        match made {
            Err(ErrorCode::CoordinatorLoadInProgress) if Instant::now() < deadline => {
                reactor::sleep(LOADING_PAUSE).await;
            }
            Err(ErrorCode::FencedStateEpoch) if replaces == Replaces::Unused => {
                // It may be gone by now, and is asked for again.
                if let Some(used) = states.summary(&broker.shard, key.clone()).await? {
                    return Ok(Some(used.version));
                }
            }
            made => return made.map(|()| None),
        }
    }
}

/// The start of a share partition that nobody has fetched from yet.
const UNINITIALIZED: i64 = -1;

fn answer(member_id: String, beaten: Result<ShareBeat, Refusal>) -> ShareGroupHeartbeatResponse {
    match beaten {
        Ok(ShareBeat { epoch, interval_ms, assignment, .. }) => ShareGroupHeartbeatResponse {
            member_id: Some(member_id),
            member_epoch: epoch,
            heartbeat_interval_ms: interval_ms,
            assignment: assignment.as_ref().map(assigned),
            ..Default::default()
        },
        Err(Refusal { code, message }) => ShareGroupHeartbeatResponse {
            error_code: code.code(),
            error_message: message,
            ..Default::default()
        },
    }
}

fn assigned(assignment: &Assignment) -> ShareGroupHeartbeatAssignment {
    let topics = assignment.topics().map(|(topic, partitions)| ShareGroupHeartbeatTopicPartitions {
        topic_id: Uuid::from_bytes(topic.to_bytes()),
        partitions: partitions.iter().copied().collect(),
    });
    ShareGroupHeartbeatAssignment { topic_partitions: topics.collect() }
}
