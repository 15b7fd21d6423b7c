//! DeleteTopics, by name or by id.

use std::collections::HashMap;
use std::sync::Arc;

use strandline_engine::error::TopicError;
use strandline_engine::reactor::yield_if_needed;
use strandline_engine::topics::Topic;
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::mutations::Mutations;
use crate::broker::{TopicKey, uuid_of};
use crate::call::Call;
use crate::groups::is_internal;
use crate::refusal::{Refusal, told};
use crate::security::acl::{Operation, Resource};

/// The first version whose client knows that it may be held to a quota.
const STRICT_FROM: i16 = 5;

/// Deletes the topics together, with one write of the topic table; they are gone for good when the answer
/// leaves.
pub async fn handle(call: &Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let (broker, version) = (&call.broker, call.header.version);
    let asked: Vec<_> = match version {
        ..6 => request
            .topic_names
            .into_iter()
            .map(|name| DeleteTopicState { name: Some(name), topic_id: Uuid::nil() })
            .collect(),
        _ => request.topics,
    };
    let mut mutations = Mutations::of(call, STRICT_FROM);
    let mut named = HashMap::new();
    for topic in &asked {
        *named.entry((topic.name.clone(), topic.topic_id)).or_insert(0) += 1;
    }
    let mut checked = Vec::with_capacity(named.len());
    for topic in asked {
        // A topic that comes twice is answered once, and stays.
        let Some(count) = named.remove(&(topic.name.clone(), topic.topic_id)) else { continue };
        checked.push(match count {
            1 => check(call, topic, &mut mutations),
            _ => {
                let message = format!("the topic is named {count} times in one request");
                let DeleteTopicState { name, topic_id } = topic;
                Err(refused(name, topic_id, Refusal::new(ErrorCode::InvalidRequest, message)))
            }
        });
        yield_if_needed().await;
    }
    let ids: Vec<_> = checked.iter().flatten().map(|topic| topic.id).collect();
    let mut deleted = match ids.is_empty() {
        true => Vec::new(),
        false => broker.engine.delete_topics(ids).await,
    }
    .into_iter();
    let mut responses = Vec::with_capacity(checked.len());
    for topic in checked {
        responses.push(match topic.map(|topic| (topic, deleted.next())) {
            Ok((topic, Some(Ok(())))) => {
                let (name, topic_id) = (Some(topic.name.clone()), uuid_of(topic.id));
                DeletableTopicResult { name, topic_id, ..Default::default() }
            }
            Ok((topic, answer)) => {
                let error = answer.and_then(Result::err).unwrap_or(TopicError::Stopping);
                refused(Some(topic.name.clone()), uuid_of(topic.id), error.into())
            }
            Err(refused) => refused,
        });
        yield_if_needed().await;
    }
    if responses.iter().any(|answer| answer.error_code == ErrorCode::None.code()) {
        broker.groups.forget_deleted_topics().await;
        broker.shares.shares.states.forget_deleted_topics().await;
    }
    DeleteTopicsResponse { throttle_time_ms: mutations.throttle(), responses }
}

fn refused(name: Option<String>, topic_id: Uuid, refusal: Refusal) -> DeletableTopicResult {
    let (error_code, error_message) = told(Some(refusal));
    DeletableTopicResult { name, topic_id, error_code, error_message }
}

/// The topic that is to go, when it may.
fn check(
    call: &Call,
    asked: DeleteTopicState,
    mutations: &mut Mutations<'_>,
) -> Result<Arc<Topic>, DeletableTopicResult> {
    let (broker, version) = (&call.broker, call.header.version);
    let DeleteTopicState { name, topic_id } = asked;
    let found = match &name {
        Some(_) if !topic_id.is_nil() => {
            let message = "a topic is named or given by its id, not both";
            return Err(refused(name, topic_id, Refusal::new(ErrorCode::InvalidRequest, message)));
        }
        Some(name) => call.topic(Operation::Delete, TopicKey::Name(name)),
        None => broker.topic(TopicKey::Id(topic_id)),
    };
    if let (None, Ok(topic)) = (&name, &found) {
        // The name of a topic is for those who may know of it.
        let named = Resource::topic(&topic.name);
        let name = call.shows(Operation::Describe, named).then(|| topic.name.clone());
        call.may(Operation::Delete, named).map_err(|error| refused(name, topic_id, error.into()))?;
    }
    let topic = found.map_err(|code| refused(name, topic_id, Refusal::new(code, code.to_string())))?;
    let refusal = if !broker.config.delete_topics {
        // Clients that do not know the code yet get one that they do.
        let code = if version >= 3 { ErrorCode::TopicDeletionDisabled } else { ErrorCode::InvalidRequest };
        Refusal::new(code, ErrorCode::TopicDeletionDisabled.to_string())
    } else if is_internal(&topic.name) {
        let message = format!("topic '{}' is the broker's own: groups are kept there", topic.name);
        Refusal::new(ErrorCode::InvalidTopic, message)
    } else if let Err(refusal) = mutations.count(topic.partitions) {
        refusal
    } else {
        return Ok(topic);
    };
    Err(refused(Some(topic.name.clone()), uuid_of(topic.id), refusal))
}
