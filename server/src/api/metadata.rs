//! Metadata: this broker, the topics, and that we lead every partition.
//!
//! A topic that is created by being asked for is in the same answer: it is durable by then. (Kafka answers
//! UNKNOWN_TOPIC_OR_PARTITION once and has the client ask again.)

use std::rc::Rc;
use std::sync::Arc;

use strandline_engine::error::TopicError;
use strandline_engine::format::names::check_topic_name;
use strandline_engine::reactor::yield_if_needed;
use strandline_engine::topics::{NewTopic, Topic};
use strandline_engine::types::{PartitionId, TopicId};
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use strandline_protocol::wire::writer::PART_BYTES;
use strandline_protocol::wire::{Encode, ErrorCode, Fields, Place, Writer};

use crate::answer::Body;
use crate::api::distinct::distinct;
use crate::api::mutations::Mutations;
use crate::api::{operations, topic_error};
use crate::broker::{Broker, TopicKey, uuid_of};
use crate::call::Call;
use crate::cluster::{ClusterView, Endpoint, Node, Placement};
use crate::groups::{OFFSETS_TOPIC, is_internal};
use crate::room::Seat;
use crate::security::acl::{Operation, Resource};

/// The first version in which a topic may be asked for by id.
const BY_ID_FROM: i16 = 12;

/// Topics that are looked at before others get the thread.
const STEP: usize = 64;

/// Bytes of memory for each topic of an answer in the making: where it is, and what is known of it.
const TOPIC_BYTES: usize = 64;

/// The topics that are asked for, each once.
pub async fn handle(call: &Call, request: MetadataRequest, seat: &mut Seat) -> impl Body + use<> {
    let (broker, version) = (&call.broker, call.header.version);
    let topics = match request.topics {
        Some(asked) if version > 0 || !asked.is_empty() => {
            let creates = request.allow_auto_topic_creation && broker.config.auto_create_topics;
            let asked = asked.into_iter().map(|topic| (topic.name, topic.topic_id)).collect();
            find_all(call, distinct(asked).await, creates).await
        }
        _ => {
            let count = broker.shard.topics().len();
            if count * TOPIC_BYTES > PART_BYTES {
                seat.reserve(count * TOPIC_BYTES).await;
            }
            all(call).await
        }
    };
    let asks = request.include_topic_authorized_operations;
    let topics = topics.into_iter().map(|topic| {
        let operations = topic.operations(call, asks);
        (topic, operations)
    });
    Metadata {
        message: MetadataResponse {
            brokers: brokers(&broker.cluster, &call.session().listener),
            cluster_id: Some(broker.cluster.id()),
            controller_id: broker.cluster.controller_id(),
            cluster_authorized_operations: operations::of_cluster(
                call,
                request.include_cluster_authorized_operations,
            ),
            ..Default::default()
        },
        topics: topics.collect(),
        cluster: broker.cluster.clone(),
    }
}

/// All topics that the client may know of.
async fn all(call: &Call) -> Vec<Described> {
    let topics = call.broker.shard.topics();
    let mut shown = Vec::with_capacity(topics.len());
    for (at, topic) in topics.iter().enumerate() {
        if call.shows(Operation::Describe, Resource::topic(&topic.name)) {
            shown.push(Described::Topic(topic.clone()));
        }
        if at % STEP == STEP - 1 {
            yield_if_needed().await;
        }
    }
    shown
}

/// The brokers that a client can reach that came in by this listener.
fn brokers(cluster: &ClusterView, listener: &str) -> Vec<MetadataResponseBroker> {
    let described = |node: &Node| {
        let Endpoint { host, port, .. } = node.endpoint(listener)?.clone();
        Some(MetadataResponseBroker {
            node_id: node.id,
            host,
            port: i32::from(port),
            rack: node.rack.clone(),
        })
    };
    cluster.brokers().iter().filter_map(described).collect()
}

/// What is said of a topic.
enum Described {
    Topic(Arc<Topic>),
    Refused(ErrorCode, Option<String>, Uuid),
    /// To be made; only while the answer is gathered.
    New(String),
}

async fn find_all(call: &Call, asked: Vec<(Option<String>, Uuid)>, creates: bool) -> Vec<Described> {
    let broker = &call.broker;
    let mut described = Vec::with_capacity(asked.len());
    let mut new = Vec::new();
    for (at, (name, id)) in asked.into_iter().enumerate() {
        let found = find(call, name, id, creates);
        if let Described::New(name) = &found {
            new.push(name.clone());
        }
        described.push(found);
        if at % STEP == STEP - 1 {
            yield_if_needed().await;
        }
    }
    if new.is_empty() {
        return described;
    }
    let mut made = create(broker, new).await.into_iter();
    for described in &mut described {
        let Described::New(name) = described else { continue };
        *described = match made.next().unwrap_or(Err(TopicError::Stopping)) {
            Ok(topic) => Described::Topic(topic),
            Err(error) => {
                tracing::warn!(topic = name, %error, "topic not created");
                Described::Refused(topic_error(&error), Some(std::mem::take(name)), Uuid::nil())
            }
        };
    }
    described
}

fn find(call: &Call, name: Option<String>, id: Uuid, creates: bool) -> Described {
    let version = call.header.version;
    let name = match (name, id) {
        (Some(name), id) if id.is_nil() => name,
        (name, _) if version < BY_ID_FROM => {
            return Described::Refused(
                ErrorCode::InvalidRequest,
                Some(name.unwrap_or_default()),
                Uuid::nil(),
            );
        }
        (_, id) => {
            return match call.topic(Operation::Describe, TopicKey::Id(id)) {
                Ok(topic) => Described::Topic(topic),
                Err(code) => Described::Refused(code, None, id),
            };
        }
    };
    match call.topic(Operation::Describe, TopicKey::Name(&name)) {
        Ok(topic) => return Described::Topic(topic),
        Err(ErrorCode::TopicAuthorizationFailed) => {
            return Described::Refused(ErrorCode::TopicAuthorizationFailed, Some(name), Uuid::nil());
        }
        Err(_) => {}
    }
    if check_topic_name(&name).is_err() {
        return Described::Refused(ErrorCode::InvalidTopic, Some(name), Uuid::nil());
    }
    let unknown = |name| Described::Refused(ErrorCode::UnknownTopicOrPartition, Some(name), Uuid::nil());
    if !creates || (is_internal(&name) && name != OFFSETS_TOPIC) {
        return unknown(name);
    }
    if !call.shows(Operation::Create, Resource::CLUSTER)
        && let Err(error) = call.may(Operation::Create, Resource::topic(&name))
    {
        return Described::Refused(error, Some(name), Uuid::nil());
    }
    // Its client asks again, until it has the topic or may have no more.
    if name != OFFSETS_TOPIC && Mutations::of(call, 0).count(call.broker.config.num_partitions).is_err() {
        return unknown(name);
    }
    Described::New(name)
}

/// Makes the topics, all together; the answers stand in the order of the names.
async fn create(broker: &Broker, names: Vec<String>) -> Vec<Result<Arc<Topic>, TopicError>> {
    let partitions = broker.config.num_partitions;
    let of_clients = names.iter().filter(|name| *name != OFFSETS_TOPIC);
    let new = of_clients.map(|name| NewTopic { name: name.clone(), partitions, configs: Vec::new() });
    let mut made = broker.engine.create_topics(new.collect()).await.into_iter();
    let mut topics = Vec::with_capacity(names.len());
    for name in names {
        let topic = match name == OFFSETS_TOPIC {
            true => broker.groups.topic(&broker.shard).await,
            false => made.next().unwrap_or(Err(TopicError::Stopping)),
        };
        topics.push(match topic {
            // Somebody else asked for it at the same time.
            Err(TopicError::Exists(name)) => {
                let topics = broker.shard.topics();
                topics.by_name(&name).cloned().ok_or(TopicError::Exists(name))
            }
            result => result,
        });
    }
    topics
}

/// The answer. What is said of a partition, which is much more than it takes to know, is made when it is
/// written.
struct Metadata {
    /// Without topics.
    message: MetadataResponse,
    /// Each with what the client may do with it.
    topics: Vec<(Described, i32)>,
    cluster: Rc<ClusterView>,
}

impl Metadata {
    fn partition(&self, partition: PartitionId) -> MetadataResponsePartition {
        let Placement { leader, epoch, replicas, in_sync } = self.cluster.placement(partition);
        MetadataResponsePartition {
            partition_index: partition.index as i32,
            leader_id: leader,
            leader_epoch: epoch.0,
            replica_nodes: replicas,
            isr_nodes: in_sync,
            ..Default::default()
        }
    }
}

impl Body for Metadata {
    /// The place is a topic, and a partition of it.
    fn write_part(&self, place: &mut Place, writer: &mut Writer) -> bool {
        let all_topics = MetadataResponse::number_of("topics");
        let all_partitions = MetadataResponseTopic::number_of("partitions");
        if place.get(0) == 0 {
            self.message.write_fields(0..all_topics, writer);
            writer.length(Some(self.topics.len()));
            place.next(0);
        }
        while let Some((described, operations)) = self.topics.get(place.get(0) - 1) {
            let (mut topic, id, partitions) = described.head();
            topic.topic_authorized_operations = *operations;
            if place.get(1) == 0 {
                topic.write_fields(0..all_partitions, writer);
                writer.length(Some(partitions));
                place.next(1);
            }
            while place.get(1) <= partitions {
                self.partition(PartitionId::new(id, place.get(1) as u32 - 1)).write(writer);
                place.next(1);
                if writer.has_part() {
                    return false;
                }
            }
            topic.write_fields(all_partitions + 1..usize::MAX, writer);
            place.next(0);
            if writer.has_part() {
                return false;
            }
        }
        self.message.write_fields(all_topics + 1..usize::MAX, writer);
        true
    }

    fn errors(&self, found: &mut dyn FnMut(i16)) {
        for (described, _) in &self.topics {
            if let Described::Refused(error, ..) = described {
                found(error.code());
            }
        }
    }

    fn footprint(&self, _: usize) -> usize {
        self.topics.len() * TOPIC_BYTES
    }
}

impl Described {
    /// What the client may do with it, if it asks. An id that nobody knows is no topic; a name that nobody
    /// knows may become one.
    fn operations(&self, call: &Call, asks: bool) -> i32 {
        match self {
            Described::Topic(topic) => operations::of_topic(call, asks, &topic.name),
            Described::Refused(ErrorCode::TopicAuthorizationFailed, ..) => operations::NOT_ASKED,
            Described::Refused(_, Some(name), _) => operations::of_topic(call, asks, name),
            Described::Refused(..) | Described::New(_) => operations::NOT_ASKED,
        }
    }

    /// All but the partitions; whose they are, and how many.
    fn head(&self) -> (MetadataResponseTopic, TopicId, usize) {
        match self {
            Described::Topic(topic) => {
                let head = MetadataResponseTopic {
                    name: Some(topic.name.clone()),
                    topic_id: uuid_of(topic.id),
                    is_internal: is_internal(&topic.name),
                    ..Default::default()
                };
                (head, topic.id, topic.partitions as usize)
            }
            Described::Refused(error, name, topic_id) => {
                let head = MetadataResponseTopic {
                    error_code: error.code(),
                    name: name.clone(),
                    topic_id: *topic_id,
                    ..Default::default()
                };
                (head, TopicId::ZERO, 0)
            }
            Described::New(_) => unreachable!("a topic that is to be made has been, or was refused"),
        }
    }
}
