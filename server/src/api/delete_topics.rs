//! DeleteTopics, by name or by id.

use std::collections::HashMap;

use strandline_engine::topics::Topic;
use strandline_engine::types::TopicId;

use crate::api::refusal::{Refusal, told};
use crate::broker::{Broker, TopicKey};
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
        responses.push(match count {
            1 => answer(broker, version, topic).await,
            _ => {
                let message = format!("the topic is named {count} times in one request");
                let DeleteTopicState { name, topic_id } = topic;
                refused(name, topic_id, Refusal::new(ErrorCode::InvalidRequest, message))
            }
        });
    }
    DeleteTopicsResponse { responses, ..Default::default() }
}

fn refused(name: Option<String>, topic_id: TopicId, refusal: Refusal) -> DeletableTopicResult {
    let (error_code, error_message) = told(Some(refusal));
    DeletableTopicResult { name, topic_id, error_code, error_message }
}

async fn answer(broker: &Broker, version: i16, asked: DeleteTopicState) -> DeletableTopicResult {
    let DeleteTopicState { name, topic_id } = asked;
    let found = match &name {
        Some(_) if topic_id != TopicId::ZERO => {
            let message = "a topic is named or given by its id, not both";
            return refused(name, topic_id, Refusal::new(ErrorCode::InvalidRequest, message));
        }
        Some(name) => broker.topic(TopicKey::Name(name)),
        None => broker.topic(TopicKey::Id(topic_id)),
    };
    let topic = match found {
        Ok(topic) => topic,
        Err(code) => return refused(name, topic_id, Refusal::new(code, code.to_string())),
    };
    let name = Some(topic.name.clone());
    match delete(broker, version, &topic).await {
        Ok(()) => DeletableTopicResult { name, topic_id: topic.id, ..Default::default() },
        Err(refusal) => refused(name, topic.id, refusal),
    }
}

async fn delete(broker: &Broker, version: i16, topic: &Topic) -> Result<(), Refusal> {
    if !broker.config.delete_topics {
        // Clients that do not know the code yet get one that they do.
        let code = if version >= 3 { ErrorCode::TopicDeletionDisabled } else { ErrorCode::InvalidRequest };
        return Err(Refusal::new(code, ErrorCode::TopicDeletionDisabled.to_string()));
    }
    if is_internal(&topic.name) {
        let message = format!("topic '{}' is the broker's own: groups are kept there", topic.name);
        return Err(Refusal::new(ErrorCode::InvalidTopic, message));
    }
    broker.engine.delete_topic(topic.id).await?;
    broker.groups.forget_deleted_topics().await;
    Ok(())
}
