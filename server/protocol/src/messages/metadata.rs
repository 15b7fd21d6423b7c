//! Metadata (3): the brokers, the topics and who leads their partitions.

use crate::message;
use crate::messages::Request;
use uuid::Uuid;

impl Request for MetadataRequest {
    type Response = MetadataResponse;
}

message! {
    /// Asks for topics.
    pub struct MetadataRequest(Metadata, 0..=13) {
        /// `None` is all topics, empty is none; but in version 0 empty is all topics.
        (0..)    topics: Option<Vec<MetadataRequestTopic>> = Some(Vec::new()), nullable 1;
        (4..)    allow_auto_topic_creation: bool = true, else refuse;
        (8..=10) include_cluster_authorized_operations: bool, else refuse;
        (8..)    include_topic_authorized_operations: bool, else refuse;
    }

    /// A topic by name, or from version 12 on by id.
    pub struct MetadataRequestTopic {
        (10..) topic_id: Uuid;
        (0..)  name: Option<String>, nullable 10;
    }

    /// Brokers and topics.
    pub struct MetadataResponse(Metadata, 0..=13) {
        (3..)    throttle_time_ms: i32;
        (0..)    brokers: Vec<MetadataResponseBroker>;
        (2..)    cluster_id: Option<String>;
        (1..)    controller_id: i32 = -1;
        (0..)    topics: Vec<MetadataResponseTopic>;
        /// `i32::MIN` when not asked for.
        (8..=10) cluster_authorized_operations: i32 = i32::MIN;
        (13..)   error_code: i16;
    }

    /// A live broker, as reachable on the listener that the request came in on.
    pub struct MetadataResponseBroker {
        (0..) node_id: i32;
        (0..) host: String;
        (0..) port: i32;
        (1..) rack: Option<String>;
    }

    /// A topic.
    pub struct MetadataResponseTopic {
        (0..)  error_code: i16;
        /// `None` for a topic that was asked for by an unknown id.
        (0..)  name: Option<String>, nullable 12;
        (10..) topic_id: Uuid;
        (1..)  is_internal: bool;
        (0..)  partitions: Vec<MetadataResponsePartition>;
        /// `i32::MIN` when not asked for.
        (8..)  topic_authorized_operations: i32 = i32::MIN;
    }

    /// A partition.
    pub struct MetadataResponsePartition {
        (0..) error_code: i16;
        (0..) partition_index: i32;
        /// -1 without a leader.
        (0..) leader_id: i32;
        (7..) leader_epoch: i32 = -1;
        (0..) replica_nodes: Vec<i32>;
        (0..) isr_nodes: Vec<i32>;
        (5..) offline_replicas: Vec<i32>;
    }
}
