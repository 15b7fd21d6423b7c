//! ConsumerGroupHeartbeat: a member of a consumer group (KIP-848) joins, goes on, or leaves. Answered when
//! what it is told is durable (D9).

use strandline_engine::types::{TopicId, base64_url, random_uuid};
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    ConsumerGroupHeartbeatTopicPartitions,
};
use strandline_protocol::wire::ErrorCode;

use crate::call::Call;
use crate::groups::consumer::{Assignment, Beat, ConsumerSettings, Heartbeat};
use crate::refusal::Refusal;
use crate::security::acl::{Operation, Resource};

/// The first version whose clients choose their ids themselves (KIP-1082).
const OWN_ID_FROM: i16 = 1;

/// What the member shall do.
pub async fn handle(
    call: &Call,
    mut request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let group = std::mem::take(&mut request.group_id);
    if let Err(error) = call.may(Operation::Read, Resource::group(&group)) {
        return answer(String::new(), Err(Refusal::new(error, error.to_string())));
    }
    let topics = request.subscribed_topic_names.iter().flatten();
    let denied =
        topics.map(|topic| call.may(Operation::Describe, Resource::topic(topic))).find_map(Result::err);
    if let Some(error) = denied {
        return answer(String::new(), Err(Refusal::new(error, error.to_string())));
    }
    if group.is_empty() {
        let message = "GroupId can't be empty.";
        return answer(String::new(), Err(Refusal::new(ErrorCode::InvalidRequest, message)));
    }
    let mut said = said(call, request);
    let in_force = call.broker.engine.settings();
    said.sight = call.access.sight(&call.broker);
    said.settings = Some(ConsumerSettings::of(&call.broker.config, &in_force.dynamic, &group));
    let member_id = said.member_id.clone();
    let beaten = call.broker.groups.consumer_heartbeat(&call.broker.shard, group, said).await;
    answer(member_id, beaten)
}

fn said(call: &Call, request: ConsumerGroupHeartbeatRequest) -> Heartbeat {
    let gets_id = call.header.version < OWN_ID_FROM && request.member_epoch == 0;
    Heartbeat {
        member_id: match request.member_id {
            none if none.is_empty() && gets_id => kafka_id(),
            own => own,
        },
        epoch: request.member_epoch,
        instance_id: request.instance_id,
        rack_id: request.rack_id,
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|timeout| *timeout != -1),
        topics: request.subscribed_topic_names,
        regex: request.subscribed_topic_regex,
        assignor: request.server_assignor,
        owned: request.topic_partitions.as_deref().map(owned),
        client_id: call.session().client_id.clone().unwrap_or_default(),
        client_host: format!("/{}", call.session().peer.ip()),
        settings: None,
        sight: None,
    }
}

/// A new id in the form that Kafka's have.
fn kafka_id() -> String {
    base64_url(&random_uuid())
}

fn owned(topics: &[ConsumerGroupHeartbeatTopicPartitions]) -> Assignment {
    let topics = topics.iter().map(|topic| (TopicId::from_bytes(topic.topic_id.into_bytes()), topic));
    topics.flat_map(|(id, topic)| topic.partitions.iter().map(move |at| (id, *at))).collect()
}

fn answer(member_id: String, beaten: Result<Beat, Refusal>) -> ConsumerGroupHeartbeatResponse {
    match beaten {
        Ok(Beat { epoch, interval_ms, assignment }) => ConsumerGroupHeartbeatResponse {
            member_id: Some(member_id),
            member_epoch: epoch,
            heartbeat_interval_ms: interval_ms,
            assignment: assignment.as_ref().map(assigned),
            ..Default::default()
        },
        Err(Refusal { code, message }) => ConsumerGroupHeartbeatResponse {
            error_code: code.code(),
            error_message: message,
            ..Default::default()
        },
    }
}

fn assigned(assignment: &Assignment) -> ConsumerGroupHeartbeatAssignment {
    let topics = assignment.topics().map(|(topic, partitions)| ConsumerGroupHeartbeatTopicPartitions {
        topic_id: Uuid::from_bytes(topic.to_bytes()),
        partitions: partitions.iter().copied().collect(),
    });
    ConsumerGroupHeartbeatAssignment { topic_partitions: topics.collect() }
}
