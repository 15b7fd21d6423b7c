//! Metadata: this broker, the topics, and that we lead every partition.
//!
//! A topic that is created by being asked for is in the same answer: it is durable by then. (Kafka answers UNKNOWN_TOPIC_OR_PARTITION
//! once and has the client ask again.)

use std::sync::Arc;

use strandline_engine::error::TopicError;
use strandline_engine::format::names::check_topic_name;
use strandline_engine::topics::{NewTopic, Topic};
use strandline_engine::types::{LeaderEpoch, TopicId, base64_url};

use crate::api::{operations, topic_error};
use crate::dispatch::Broker;
use crate::groups::{OFFSETS_TOPIC, is_internal};
use crate::messages::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use crate::wire::ErrorCode;

/// The first version in which a topic may be asked for by id.
const BY_ID_FROM: i16 = 12;

/// The topics that are asked for.
pub async fn handle(broker: &Broker, version: i16, request: MetadataRequest) -> MetadataResponse {
    let meta = broker.shard.handle().meta();
    let creates = request.allow_auto_topic_creation && broker.config.auto_create_topics;
    let asks_topics = request.include_topic_authorized_operations;
    let mut topics: Vec<MetadataResponseTopic> = match request.topics {
        Some(asked) if version > 0 || !asked.is_empty() => {
            let mut topics = Vec::with_capacity(asked.len());
            for topic in asked {
                topics.push(find(broker, version, topic, creates).await);
            }
            topics
        }
        _ => broker.shard.topics().iter().map(|topic| describe(topic, meta.node_id)).collect(),
    };
    // An id that nobody knows is no topic; a name that nobody knows may become one.
    for topic in topics.iter_mut().filter(|topic| topic.name.is_some()) {
        topic.topic_authorized_operations = operations::if_asked(asks_topics, operations::TOPIC);
    }
    MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: meta.node_id,
            host: broker.advertised.host.clone(),
            port: i32::from(broker.advertised.port),
            rack: broker.config.rack.clone(),
        }],
        cluster_id: Some(base64_url(&meta.cluster_id)),
        controller_id: meta.node_id,
        topics,
        cluster_authorized_operations: operations::if_asked(
            request.include_cluster_authorized_operations,
            operations::CLUSTER,
        ),
        ..Default::default()
    }
}

async fn find(
    broker: &Broker,
    version: i16,
    asked: MetadataRequestTopic,
    creates: bool,
) -> MetadataResponseTopic {
    let node_id = broker.shard.handle().meta().node_id;
    let refused = |error: ErrorCode, name: Option<String>, topic_id| MetadataResponseTopic {
        error_code: error.code(),
        name,
        topic_id,
        ..Default::default()
    };
    let name = match (asked.name, asked.topic_id) {
        (Some(name), TopicId::ZERO) => name,
        (name, _) if version < BY_ID_FROM => {
            let name = Some(name.unwrap_or_default());
            return refused(ErrorCode::InvalidRequest, name, TopicId::ZERO);
        }
        (_, id) => {
            return match broker.shard.topics().by_id(id) {
                Some(topic) => describe(topic, node_id),
                None => refused(ErrorCode::UnknownTopicId, None, id),
            };
        }
    };
    if let Some(topic) = broker.shard.topics().by_name(&name) {
        return describe(topic, node_id);
    }
    if check_topic_name(&name).is_err() {
        return refused(ErrorCode::InvalidTopic, Some(name), TopicId::ZERO);
    }
    if !creates || (is_internal(&name) && name != OFFSETS_TOPIC) {
        return refused(ErrorCode::UnknownTopicOrPartition, Some(name), TopicId::ZERO);
    }
    match create(broker, &name).await {
        Ok(topic) => describe(&topic, node_id),
        Err(error) => {
            tracing::warn!(topic = name, %error, "topic not created");
            refused(topic_error(&error), Some(name), TopicId::ZERO)
        }
    }
}

async fn create(broker: &Broker, name: &str) -> Result<Arc<Topic>, TopicError> {
    if name == OFFSETS_TOPIC {
        return broker.groups.topic(&broker.shard).await;
    }
    let partitions = broker.config.num_partitions;
    let new = NewTopic { name: name.to_owned(), partitions, configs: Vec::new() };
    match broker.shard.create_topic(new).await {
        // Somebody else asked for it at the same time.
        Err(TopicError::Exists(name)) => {
            let topics = broker.shard.topics();
            topics.by_name(&name).cloned().ok_or(TopicError::Exists(name))
        }
        result => result,
    }
}

fn describe(topic: &Topic, node_id: i32) -> MetadataResponseTopic {
    let partitions = (0..topic.partitions).map(|index| MetadataResponsePartition {
        partition_index: index as i32,
        leader_id: node_id,
        leader_epoch: LeaderEpoch::FIRST.0,
        replica_nodes: vec![node_id],
        isr_nodes: vec![node_id],
        ..Default::default()
    });
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        ..Default::default()
    }
}
