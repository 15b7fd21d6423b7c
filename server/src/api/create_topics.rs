//! CreateTopics.

use std::collections::HashMap;

use strandline_engine::error::TopicError;
use strandline_engine::topics::NewTopic;
use strandline_engine::types::TopicId;

use crate::api::configs::topic_settings;
use crate::api::topic_error;
use crate::dispatch::Broker;
use crate::groups::is_internal;
use crate::messages::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use crate::wire::ErrorCode;

/// "The broker's default", in both counts.
const DEFAULT: i32 = -1;

/// Why a topic is not created, for the client.
type Refusal = (ErrorCode, String);

/// Creates the topics one after the other; each is durable when the answer leaves.
pub async fn handle(broker: &Broker, _: i16, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut named = HashMap::new();
    for topic in &request.topics {
        *named.entry(topic.name.clone()).or_insert(0) += 1;
    }
    let mut topics = Vec::with_capacity(named.len());
    for topic in request.topics {
        let name = topic.name.clone();
        // A name that comes twice is answered once.
        let Some(count) = named.remove(&name) else { continue };
        let created = match count {
            1 => create(broker, topic, request.validate_only).await,
            _ => Err((
                ErrorCode::InvalidRequest,
                format!("topic '{name}' is named {count} times in one request"),
            )),
        };
        topics.push(match created {
            Ok(result) => result,
            Err((error, message)) => CreatableTopicResult {
                name,
                error_code: error.code(),
                error_message: Some(message),
                ..Default::default()
            },
        });
    }
    CreateTopicsResponse { topics, ..Default::default() }
}

async fn create(
    broker: &Broker,
    asked: CreatableTopic,
    validate_only: bool,
) -> Result<CreatableTopicResult, Refusal> {
    if is_internal(&asked.name) {
        let message = format!("topic '{}' is the broker's own, which makes it when it needs it", asked.name);
        return Err((ErrorCode::InvalidTopic, message));
    }
    let node_id = broker.shard.handle().meta().node_id;
    let partitions = partitions(&asked, node_id, broker.config.num_partitions)?;
    let mut configs = Vec::with_capacity(asked.configs.len());
    for config in asked.configs {
        let Some(value) = config.value else {
            return Err((ErrorCode::InvalidConfig, format!("{} has no value", config.name)));
        };
        configs.push((config.name, value));
    }
    let described = topic_settings(&configs, &broker.shard.handle().settings().topic_defaults);
    let new = NewTopic { name: asked.name.clone(), partitions, configs };
    let refused = |error: TopicError| (topic_error(&error), error.to_string());
    let topic_id = match validate_only {
        true => {
            let handle = broker.shard.handle();
            handle.topics().check_new(&new, &handle.settings().topic_defaults).map_err(refused)?;
            TopicId::ZERO
        }
        false => broker.shard.create_topic(new).await.map_err(refused)?.id,
    };
    let described = described.into_iter().map(|setting| CreatableTopicConfigs {
        name: setting.entry.name.to_owned(),
        value: Some(setting.value),
        config_source: setting.source,
        ..Default::default()
    });
    Ok(CreatableTopicResult {
        name: asked.name,
        topic_id,
        num_partitions: partitions as i32,
        replication_factor: 1,
        configs: Some(described.collect()),
        ..Default::default()
    })
}

/// The number of partitions that is asked for, by count or by assignment.
fn partitions(asked: &CreatableTopic, node_id: i32, default: u32) -> Result<u32, Refusal> {
    let counts = (asked.num_partitions, i32::from(asked.replication_factor));
    if asked.assignments.is_empty() {
        if counts.1 != DEFAULT && counts.1 != 1 {
            let message = format!("a single node keeps one replica, not {}", counts.1);
            return Err((ErrorCode::InvalidReplicationFactor, message));
        }
        return match counts.0 {
            DEFAULT => Ok(default),
            1.. => Ok(counts.0 as u32),
            _ => Err((
                ErrorCode::InvalidPartitions,
                format!("a topic has 1 or more partitions, not {}", counts.0),
            )),
        };
    }
    if counts != (DEFAULT, DEFAULT) {
        let message = "with an assignment, both counts are -1".to_owned();
        return Err((ErrorCode::InvalidRequest, message));
    }
    let mut indexes: Vec<_> = asked.assignments.iter().map(|place| place.partition_index).collect();
    indexes.sort_unstable();
    if !indexes.iter().copied().eq(0..indexes.len() as i32) {
        let message = "the partitions of an assignment are 0, 1, 2, ... without a gap".to_owned();
        return Err((ErrorCode::InvalidReplicaAssignment, message));
    }
    match asked.assignments.iter().find(|place| place.broker_ids != [node_id]) {
        None => Ok(indexes.len() as u32),
        Some(place) => {
            let message = format!("partition {} can be on broker {node_id} alone", place.partition_index);
            Err((ErrorCode::InvalidReplicaAssignment, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::CreatableReplicaAssignment;

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
        partitions(&topic, 1, 6).map_err(|(error, _)| error)
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
