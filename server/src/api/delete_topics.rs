//! DeleteTopics, by name or by id.

use std::collections::HashMap;

use strandline_engine::types::TopicId;

use crate::api::topic_error;
use crate::broker::Broker;
use crate::groups::is_internal;
use crate::messages::{DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use crate::wire::ErrorCode;

/// Deletes the topics one after the other; each is gone for good when the answer leaves.
pub async fn handle(broker: &Broker, version: i16, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let asked: Vec<_> = match version {
        ..6 => request
            .topic_names
            .into_iter()
            .map(|name| DeleteTopicState { name: Some(name), topic_id: TopicId::ZERO })
            .collect(),
        _ => request.topics,
    };
    let mut named = HashMap::new();
    for topic in &asked {
        *named.entry((topic.name.clone(), topic.topic_id)).or_insert(0) += 1;
    }
    let mut responses = Vec::with_capacity(named.len());
    for topic in asked {
        // A topic that comes twice is answered once, and stays.
        let Some(count) = named.remove(&(topic.name.clone(), topic.topic_id)) else { continue };
        let (error, error_message, name, topic_id) = match count {
            1 => delete(broker, version, topic).await,
            _ => {
                let message = format!("the topic is named {count} times in one request");
                (ErrorCode::InvalidRequest, Some(message), topic.name, topic.topic_id)
            }
        };
        responses.push(DeletableTopicResult { name, topic_id, error_code: error.code(), error_message });
    }
    DeleteTopicsResponse { responses, ..Default::default() }
}

async fn delete(
    broker: &Broker,
    version: i16,
    asked: DeleteTopicState,
) -> (ErrorCode, Option<String>, Option<String>, TopicId) {
    let DeleteTopicState { name, topic_id } = asked;
    let topics = broker.shard.topics();
    let found = match &name {
        Some(_) if topic_id != TopicId::ZERO => {
            let message = "a topic is named or given by its id, not both".to_owned();
            return (ErrorCode::InvalidRequest, Some(message), name, topic_id);
        }
        Some(name) => topics.by_name(name).ok_or(ErrorCode::UnknownTopicOrPartition),
        None => topics.by_id(topic_id).ok_or(ErrorCode::UnknownTopicId),
    };
    let topic = match found {
        Ok(topic) => topic,
        Err(error) => return (error, Some(error.to_string()), name, topic_id),
    };
    let name = Some(topic.name.clone());
    if !broker.config.delete_topics {
        // Clients that do not know the code yet get one that they do.
        let error = if version >= 3 { ErrorCode::TopicDeletionDisabled } else { ErrorCode::InvalidRequest };
        return (error, Some(ErrorCode::TopicDeletionDisabled.to_string()), name, topic.id);
    }
    if is_internal(&topic.name) {
        let message = format!("topic '{}' is the broker's own: groups are kept there", topic.name);
        return (ErrorCode::InvalidTopic, Some(message), name, topic.id);
    }
    match broker.shard.delete_topic(topic.id).await {
        Ok(()) => {
            broker.groups.forget_deleted_topics().await;
            (ErrorCode::None, None, name, topic.id)
        }
        Err(error) => (topic_error(&error), Some(error.to_string()), name, topic.id),
    }
}
