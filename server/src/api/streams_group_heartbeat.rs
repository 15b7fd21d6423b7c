//! StreamsGroupHeartbeat: a member of a streams group (KIP-1071) joins, goes on, or leaves. Answered when
//! what it is told is durable (D9).
//!
//! Topics of the application's own that are not there are created for it, when the member may create them,
//! and the group looks again: so it has them with its first answer. In Kafka it has them with its second.

use std::collections::BTreeSet;

use strandline_engine::format::names::check_topic_name;
use strandline_protocol::messages::{
    CreatableTopic, CreatableTopicConfig, StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse,
    StreamsGroupStatus, StreamsGroupTaskIds, StreamsGroupTopology,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::create_topics;
use crate::call::Call;
use crate::groups::streams::{
    Endpoints, InternalTopic, Roles, Status, StatusCode, StreamsBeat, StreamsHeartbeat, StreamsSettings,
    Tasks,
};
use crate::groups::{Within, is_internal};
use crate::refusal::Refusal;
use crate::room::{Gathered, Seat};
use crate::security::acl::{Operation, Resource};

/// How often a member is to say how far its state is, in milliseconds. What Kafka's brokers tell.
const TASK_OFFSET_INTERVAL_MS: i32 = 60_000;

/// What an answer has at most of who can be asked for which state: it is put together at once, for every
/// member that asks. A thousand members with a hundred topics each are below it.
const ENDPOINTS_BYTES_MAX: usize = 16 << 20;

/// Names of topics that are told one by one.
const NAMES_MAX: usize = 20;

/// What the member shall do.
pub async fn handle(
    call: &Call,
    request: StreamsGroupHeartbeatRequest,
    seat: &mut Seat,
) -> StreamsGroupHeartbeatResponse {
    let (group, member_id) = (request.group_id.clone(), request.member_id.clone());
    let known_epoch = request.endpoint_information_epoch;
    if let Err(refusal) = check(call, &request) {
        return refused(member_id, refusal);
    }
    let broker = &call.broker;
    let in_force = broker.engine.settings();
    let settings = StreamsSettings::of(&broker.config, &in_force.dynamic, &group);
    let said = StreamsHeartbeat { settings: Some(settings), ..said(call, request) };
    let is_leaving = said.is_leaving();
    let beat = match beat(call, &group, said).await {
        Ok(beat) => beat,
        Err(refusal) => return refused(member_id, refusal),
    };
    let endpoints = match is_leaving || beat.endpoints_epoch == known_epoch {
        true => None,
        false => endpoints(call, group, seat).await,
    };
    answer(member_id, beat, endpoints)
}

/// What can be refused before the group is asked.
fn check(call: &Call, request: &StreamsGroupHeartbeatRequest) -> Result<(), Refusal> {
    call.may(Operation::Read, Resource::group(&request.group_id))?;
    let named: BTreeSet<&str> = request.topology.iter().flat_map(topics).collect();
    let listed = |names: &[&str]| names[..names.len().min(NAMES_MAX)].join(",");
    let internal: Vec<_> = named.iter().copied().filter(|name| is_internal(name)).collect();
    if !internal.is_empty() {
        let names = listed(&internal);
        let message =
            format!("Use of Kafka internal topics {names} in a Kafka Streams topology is prohibited.");
        return Err(Refusal::new(ErrorCode::StreamsInvalidTopology, message));
    }
    let wrong: Vec<_> = named.iter().copied().filter(|name| check_topic_name(name).is_err()).collect();
    if !wrong.is_empty() {
        let message = format!("Topic names {} are not valid topic names.", listed(&wrong));
        return Err(Refusal::new(ErrorCode::StreamsInvalidTopology, message));
    }
    let denied = named.iter().map(|name| call.may(Operation::Describe, Resource::topic(name)));
    if let Some(error) = denied.into_iter().find_map(Result::err) {
        return Err(error.into());
    }
    match request.group_id.is_empty() {
        true => Err(Refusal::new(ErrorCode::InvalidRequest, "GroupId can't be empty.")),
        false => Ok(()),
    }
}

/// Every topic that a topology names.
fn topics(topology: &StreamsGroupTopology) -> impl Iterator<Item = &str> {
    topology.subtopologies.iter().flat_map(|part| {
        let names = part.source_topics.iter().chain(&part.repartition_sink_topics);
        let infos = part.repartition_source_topics.iter().chain(&part.state_changelog_topics);
        names.map(String::as_str).chain(infos.map(|topic| topic.name.as_str()))
    })
}

fn said(call: &Call, request: StreamsGroupHeartbeatRequest) -> StreamsHeartbeat {
    let tasks = |ids: &Option<Vec<StreamsGroupTaskIds>>| ids.as_deref().map(Tasks::from_ids);
    // Tasks that warm up are given to nobody.
    let owned = tasks(&request.active_tasks).zip(tasks(&request.standby_tasks));
    StreamsHeartbeat {
        member_id: request.member_id,
        epoch: request.member_epoch,
        instance_id: request.instance_id,
        rack_id: request.rack_id,
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|timeout| *timeout != -1),
        topology: request.topology,
        owned: owned.map(|(active, standby)| Roles { active, standby }),
        process_id: request.process_id,
        endpoint: request.user_endpoint,
        tags: request.client_tags,
        offsets: request.task_offsets,
        end_offsets: request.task_end_offsets,
        wants_shutdown: request.shutdown_application,
        client_id: call.session().client_id.clone().unwrap_or_default(),
        client_host: format!("/{}", call.session().peer.ip()),
        settings: None,
    }
}

/// Asks the group, and once more when topics that it lacks could be created.
async fn beat(call: &Call, group: &str, said: StreamsHeartbeat) -> Result<StreamsBeat, Refusal> {
    let broker = &call.broker;
    let mut first = broker.groups.streams_heartbeat(&broker.shard, group.to_owned(), said.clone()).await?;
    if first.missing.is_empty() {
        return Ok(first);
    }
    if let Err(why) = create(call, std::mem::take(&mut first.missing)).await {
        let is_about = |status: &&mut Status| status.code == StatusCode::MissingInternalTopics;
        if let Some(status) = first.status.iter_mut().find(is_about) {
            status.detail = format!("{}; {why}", status.detail);
        }
        return Ok(first);
    }
    let again =
        StreamsHeartbeat { epoch: first.epoch, owned: None, topology: None, wants_shutdown: false, ..said };
    match broker.groups.streams_heartbeat(&broker.shard, group.to_owned(), again).await {
        Ok(second) => {
            let assignment = second.assignment.or(first.assignment);
            Ok(StreamsBeat { assignment, ..second })
        }
        Err(_) => Ok(first),
    }
}

/// Creates the topics, all of which the client must be allowed to create.
///
/// # Errors
/// Why some are not there, for people.
async fn create(call: &Call, missing: Vec<InternalTopic>) -> Result<(), String> {
    if !call.shows(Operation::Create, Resource::CLUSTER) {
        let is_denied =
            |topic: &&InternalTopic| call.may(Operation::Create, Resource::topic(&topic.name)).is_err();
        let denied: Vec<_> = missing.iter().filter(is_denied).map(|topic| topic.name.as_str()).collect();
        if !denied.is_empty() {
            let names = denied[..denied.len().min(NAMES_MAX)].join(", ");
            return Err(format!("Unauthorized to CREATE on topics {names}."));
        }
    }
    let asked = missing.into_iter().map(|topic| CreatableTopic {
        name: topic.name,
        num_partitions: topic.partitions as i32,
        replication_factor: if topic.replication_factor == 0 { -1 } else { topic.replication_factor },
        configs: topic.configs.into_iter().map(config).collect(),
        ..Default::default()
    });
    let refused: Vec<_> = create_topics::create(&call.broker, asked.collect()).await;
    // Another member may have had it created.
    let refused = refused.into_iter().filter(|(_, refusal)| refusal.code != ErrorCode::TopicAlreadyExists);
    let refused: Vec<_> = refused
        .take(NAMES_MAX)
        .map(|(name, refusal)| format!("{name} ({})", refusal.message.unwrap_or_default()))
        .collect();
    match refused.is_empty() {
        true => Ok(()),
        false => Err(format!("Creation failed: {}.", refused.join(", "))),
    }
}

fn config((name, value): (String, String)) -> CreatableTopicConfig {
    CreatableTopicConfig { name, value: Some(value) }
}

/// Who can be asked for which state: what may be long is asked for when there is memory for it.
async fn endpoints(call: &Call, group: String, seat: &mut Seat) -> Option<Endpoints> {
    let (broker, mut gathered) = (&call.broker, Gathered::new(seat));
    loop {
        match broker
            .groups
            .streams_endpoints(&broker.shard, group.clone(), gathered.left().min(ENDPOINTS_BYTES_MAX))
            .await
        {
            Ok(Within::Beyond(bytes)) if bytes > ENDPOINTS_BYTES_MAX => {
                tracing::debug!(group, bytes, "where the state of all members is takes too much to be told");
                return None;
            }
            Ok(Within::Beyond(bytes)) => gathered.make_room(bytes).await,
            Ok(Within::All(found, bytes)) => {
                gathered.add(bytes);
                return found;
            }
            // The next answer has it.
            Err(_) => return None,
        }
    }
}

fn refused(member_id: String, Refusal { code, message }: Refusal) -> StreamsGroupHeartbeatResponse {
    StreamsGroupHeartbeatResponse {
        error_code: code.code(),
        error_message: message,
        member_id,
        ..Default::default()
    }
}

fn answer(
    member_id: String,
    beat: StreamsBeat,
    endpoints: Option<Endpoints>,
) -> StreamsGroupHeartbeatResponse {
    let status = beat
        .status
        .into_iter()
        .map(|status| StreamsGroupStatus { status_code: status.code as i8, status_detail: status.detail });
    let (active, standby) = match &beat.assignment {
        Some(roles) => (Some(roles.active.to_ids()), Some(roles.standby.to_ids())),
        None => (None, None),
    };
    StreamsGroupHeartbeatResponse {
        member_id,
        member_epoch: beat.epoch,
        heartbeat_interval_ms: beat.interval_ms,
        task_offset_interval_ms: TASK_OFFSET_INTERVAL_MS,
        status: Some(status.collect()),
        warmup_tasks: active.as_ref().map(|_| Vec::new()),
        active_tasks: active,
        standby_tasks: standby,
        endpoint_information_epoch: endpoints.as_ref().map_or(beat.endpoints_epoch, |told| told.epoch),
        partitions_by_user_endpoint: endpoints.map(|told| told.members),
        ..Default::default()
    }
}
