//! CreateTopics.

use std::collections::HashMap;

use strandline_engine::config::TopicDefaults;
use strandline_engine::error::TopicError;
use strandline_engine::reactor::yield_if_needed;
use strandline_engine::topics::NewTopic;
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use strandline_protocol::wire::ErrorCode;

use crate::answer::{Body, Made};
use crate::api::configs::topic_settings;
use crate::api::mutations::Mutations;
use crate::broker::{Broker, uuid_of};
use crate::call::Call;
use crate::groups::is_internal;
use crate::refusal::{Refusal, told};
use crate::security::acl::{Operation, Resource};

/// The first version whose client knows that it may be held to a quota.
const STRICT_FROM: i16 = 6;

/// "The broker's default", in both counts.
const DEFAULT: i32 = -1;

/// Creates the topics, with one write of the topic table for all; each is durable when the answer leaves.
pub async fn handle(call: &Call, request: CreateTopicsRequest) -> impl Body + use<> {
    let broker = &*call.broker;
    let is_anywhere = call.shows(Operation::Create, Resource::CLUSTER);
    let mut mutations = Mutations::of(call, STRICT_FROM);
    let mut named = HashMap::new();
    for topic in &request.topics {
        *named.entry(topic.name.clone()).or_insert(0) += 1;
    }
    let mut checked = Vec::with_capacity(named.len());
    for topic in request.topics {
        let name = topic.name.clone();
        // A name that comes twice is answered once.
        let Some(count) = named.remove(&name) else { continue };
        let may = match is_anywhere {
            true => Ok(()),
            false => call.may(Operation::Create, Resource::topic(&name)),
        };
        let new = match count {
            _ if let Err(error) = may => Err(error.into()),
            1 => check(broker, topic).and_then(|new| counted(broker, &mut mutations, new)),
            _ => Err(Refusal::new(
                ErrorCode::InvalidRequest,
                format!("topic '{name}' is named {count} times in one request"),
            )),
        };
        checked.push((name, new));
        yield_if_needed().await;
    }
    let wanted = checked.iter().filter_map(|(_, new)| new.as_ref().ok().cloned()).collect();
    let mut made = make(broker, wanted, request.validate_only).await.into_iter();
    let mut topics = Vec::with_capacity(checked.len());
    for (name, new) in checked {
        let created = match new {
            Ok(new) => {
                let id = made.next().unwrap_or(Err(TopicError::Stopping));
                let may = call.may(Operation::DescribeConfigs, Resource::topic(&name));
                id.map(|id| (new, id, may)).map_err(Refusal::from)
            }
            Err(refusal) => Err(refusal),
        };
        topics.push((name, created));
        yield_if_needed().await;
    }
    let errors = topics.iter().filter_map(|(_, created)| created.as_ref().err());
    let errors = errors.map(|refusal| refusal.code.code()).collect();
    let (count, holds) = (topics.len(), topics.len() * TOPIC_BYTES);
    let settings = broker.engine.settings();
    // The settings of a topic are a hundred times what was asked: they are made when they are written.
    let make = move |at: usize| {
        let (name, created) = &topics[at];
        match created {
            Ok((new, topic_id, Ok(()))) => describe(new, *topic_id, &settings.topic_defaults),
            // What it is set to is for those who may know.
            Ok((_, topic_id, Err(error))) => CreatableTopicResult {
                name: name.clone(),
                topic_id: *topic_id,
                topic_config_error_code: error.code(),
                configs: None,
                ..Default::default()
            },
            Err(refusal) => {
                let (error_code, error_message) = told(Some(refusal.clone()));
                CreatableTopicResult { name: name.clone(), error_code, error_message, ..Default::default() }
            }
        }
    };
    let message = CreateTopicsResponse { throttle_time_ms: mutations.throttle(), ..Default::default() };
    Made { message, array: "topics", count, make, errors, holds }
}

/// Creates topics for a client that has been found to be allowed to; those that were not, and why.
pub(crate) async fn create(broker: &Broker, asked: Vec<CreatableTopic>) -> Vec<(String, Refusal)> {
    let (mut wanted, mut refused) = (Vec::with_capacity(asked.len()), Vec::new());
    for topic in asked {
        let name = topic.name.clone();
        match check(broker, topic) {
            Ok(new) => wanted.push(new),
            Err(refusal) => refused.push((name, refusal)),
        }
        yield_if_needed().await;
    }
    let names: Vec<_> = wanted.iter().map(|new| new.name.clone()).collect();
    let made = make(broker, wanted, false).await;
    refused.extend(names.into_iter().zip(made).filter_map(|(name, made)| Some((name, made.err()?.into()))));
    refused
}

/// About what a topic takes of the memory until the answer has left.
const TOPIC_BYTES: usize = 256;

/// Creates the topics, or only looks whether they can be; gives their ids in the order of `new`.
async fn make(broker: &Broker, new: Vec<NewTopic>, validate_only: bool) -> Vec<Result<Uuid, TopicError>> {
    if !validate_only {
        let made = broker.engine.create_topics(new).await;
        return made.into_iter().map(|made| made.map(|topic| uuid_of(topic.id))).collect();
    }
    let (topics, settings) = (broker.shard.topics(), broker.engine.settings());
    let mut checked = Vec::with_capacity(new.len());
    for new in new {
        checked.push(topics.check_new(&new, &settings.topic_defaults).map(|_| Uuid::nil()));
        yield_if_needed().await;
    }
    checked
}

/// What the engine is asked to make.
fn check(broker: &Broker, asked: CreatableTopic) -> Result<NewTopic, Refusal> {
    if is_internal(&asked.name) {
        let message = format!("topic '{}' is the broker's own, which makes it when it needs it", asked.name);
        return Err(Refusal::new(ErrorCode::InvalidTopic, message));
    }
    let partitions = partitions(&asked, broker.cluster.me().id, broker.config.num_partitions)?;
    let mut configs = Vec::with_capacity(asked.configs.len());
    for config in asked.configs {
        let Some(value) = config.value else {
            return Err(Refusal::new(ErrorCode::InvalidConfig, format!("{} has no value", config.name)));
        };
        configs.push((config.name, value));
    }
    Ok(NewTopic { name: asked.name, partitions, configs })
}

/// The same topic, counted as a change of its client's. One that cannot be made is none.
fn counted(broker: &Broker, mutations: &mut Mutations<'_>, new: NewTopic) -> Result<NewTopic, Refusal> {
    if mutations.are_limited() {
        broker.shard.topics().check_new(&new, &broker.engine.settings().topic_defaults)?;
        mutations.count(new.partitions)?;
    }
    Ok(new)
}

fn describe(new: &NewTopic, topic_id: Uuid, defaults: &TopicDefaults) -> CreatableTopicResult {
    let described = topic_settings(&new.configs, defaults);
    let described = described.into_iter().map(|setting| CreatableTopicConfigs {
        name: setting.entry.name.to_owned(),
        value: Some(setting.value),
        config_source: setting.source,
        ..Default::default()
    });
    CreatableTopicResult {
        name: new.name.clone(),
        topic_id,
        num_partitions: new.partitions as i32,
        replication_factor: 1,
        configs: Some(described.collect()),
        ..Default::default()
    }
}

/// The number of partitions that is asked for, by count or by assignment.
fn partitions(asked: &CreatableTopic, me: i32, default: u32) -> Result<u32, Refusal> {
    let counts = (asked.num_partitions, i32::from(asked.replication_factor));
    if asked.assignments.is_empty() {
        if counts.1 != DEFAULT && counts.1 != 1 {
            let message = format!("a single node keeps one replica, not {}", counts.1);
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
        }
        return match counts.0 {
            DEFAULT => Ok(default),
            1.. => Ok(counts.0 as u32),
            _ => Err(Refusal::new(
                ErrorCode::InvalidPartitions,
                format!("a topic has 1 or more partitions, not {}", counts.0),
            )),
        };
    }
    if counts != (DEFAULT, DEFAULT) {
        return Err(Refusal::new(ErrorCode::InvalidRequest, "with an assignment, both counts are -1"));
    }
    let mut indexes: Vec<_> = asked.assignments.iter().map(|place| place.partition_index).collect();
    indexes.sort_unstable();
    if !indexes.iter().copied().eq(0..indexes.len() as i32) {
        let message = "the partitions of an assignment are 0, 1, 2, ... without a gap";
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    match asked.assignments.iter().find(|place| place.broker_ids != [me]) {
        None => Ok(indexes.len() as u32),
        Some(place) => {
            let message = format!("partition {} can be on broker {me} alone", place.partition_index);
            Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strandline_protocol::messages::CreatableReplicaAssignment;

    fn asked(counts: (i32, i16), assignments: &[(i32, &[i32])]) -> Result<u32, ErrorCode> {
        let assignments = assignments.iter().map(|(partition_index, brokers)| CreatableReplicaAssignment {
            partition_index: *partition_index,
            broker_ids: brokers.to_vec(),
        });
        let topic = CreatableTopic {
            num_partitions: counts.0,
            replication_factor: counts.1,
            assignments: assignments.collect(),
            ..Default::default()
        };
        partitions(&topic, 1, 6).map_err(|refusal| refusal.code)
    }

    #[test]
    fn counts_have_defaults_and_one_replica() {
        assert_eq!(asked((-1, -1), &[]), Ok(6));
        assert_eq!(asked((3, 1), &[]), Ok(3));
        assert_eq!(asked((0, 1), &[]), Err(ErrorCode::InvalidPartitions));
        assert_eq!(asked((-2, 1), &[]), Err(ErrorCode::InvalidPartitions));
        assert_eq!(asked((1, 3), &[]), Err(ErrorCode::InvalidReplicationFactor));
        assert_eq!(asked((1, 0), &[]), Err(ErrorCode::InvalidReplicationFactor));
    }

    #[test]
    fn an_assignment_excludes_counts_and_has_no_gap() {
        assert_eq!(asked((-1, -1), &[(1, &[1]), (0, &[1])]), Ok(2));
        assert_eq!(asked((2, -1), &[(0, &[1])]), Err(ErrorCode::InvalidRequest));
        assert_eq!(asked((-1, -1), &[(0, &[1]), (2, &[1])]), Err(ErrorCode::InvalidReplicaAssignment));
        assert_eq!(asked((-1, -1), &[(0, &[1]), (0, &[1])]), Err(ErrorCode::InvalidReplicaAssignment));
        assert_eq!(asked((-1, -1), &[(0, &[2])]), Err(ErrorCode::InvalidReplicaAssignment));
        assert_eq!(asked((-1, -1), &[(0, &[])]), Err(ErrorCode::InvalidReplicaAssignment));
    }
}
