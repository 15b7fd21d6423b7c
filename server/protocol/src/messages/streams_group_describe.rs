//! StreamsGroupDescribe (89): what streams groups (KIP-1071) do.

use crate::message;
use crate::messages::{
    Request, StreamsGroupEndpoint, StreamsGroupKeyValue, StreamsGroupTaskIds, StreamsGroupTaskOffset,
    StreamsGroupTopicInfo,
};

impl Request for StreamsGroupDescribeRequest {
    type Response = StreamsGroupDescribeResponse;
}

message! {
    /// Asks for groups.
    pub struct StreamsGroupDescribeRequest(StreamsGroupDescribe, 0..=1) {
        (0..) group_ids: Vec<String>;
        (0..) include_authorized_operations: bool;
        /// Whether the nodes of the topologies are asked for (KIP-1331).
        (1..) include_topology_description: bool;
    }

    /// The groups.
    pub struct StreamsGroupDescribeResponse(StreamsGroupDescribe, 0..=1) {
        (0..) throttle_time_ms: i32;
        (0..) groups: Vec<StreamsGroupDescribedGroup>;
    }

    /// A group.
    pub struct StreamsGroupDescribedGroup {
        (0..) error_code: i16;
        (0..) error_message: Option<String>;
        (0..) group_id: String;
        (0..) group_state: String;
        (0..) group_epoch: i32;
        /// The group epoch that the target assignment was computed for.
        (0..) assignment_epoch: i32;
        (0..) topology: Option<StreamsGroupDescribedTopology>;
        (0..) members: Vec<StreamsGroupDescribedMember>;
        (0..) authorized_operations: i32 = i32::MIN;
        (1..) topology_description: Option<StreamsGroupTopologyDescription>;
        /// 0 not asked for, 1 the broker has none, 2 it could not be had, 3 it is there.
        (1..) topology_description_status: i8;
        (1..) assignor_name: Option<String>;
    }

    /// What the application reads, writes and keeps.
    pub struct StreamsGroupDescribedTopology {
        (0..) epoch: i32;
        (0..) subtopologies: Option<Vec<StreamsGroupDescribedSubtopology>>;
    }

    /// A part of it.
    pub struct StreamsGroupDescribedSubtopology {
        (0..) subtopology_id: String;
        (0..) source_topics: Vec<String>;
        (0..) repartition_sink_topics: Vec<String>;
        (0..) state_changelog_topics: Vec<StreamsGroupTopicInfo>;
        (0..) repartition_source_topics: Vec<StreamsGroupTopicInfo>;
    }

    /// A member.
    pub struct StreamsGroupDescribedMember {
        (0..) member_id: String;
        (0..) member_epoch: i32;
        (0..) instance_id: Option<String>;
        (0..) rack_id: Option<String>;
        (0..) client_id: String;
        (0..) client_host: String;
        /// Of the topology that the member runs.
        (0..) topology_epoch: i32;
        (0..) process_id: String;
        (0..) user_endpoint: Option<StreamsGroupEndpoint>;
        (0..) client_tags: Vec<StreamsGroupKeyValue>;
        (0..) task_offsets: Vec<StreamsGroupTaskOffset>;
        (0..) task_end_offsets: Vec<StreamsGroupTaskOffset>;
        /// What it has.
        (0..) assignment: StreamsGroupDescribedAssignment;
        /// What it shall have.
        (0..) target_assignment: StreamsGroupDescribedAssignment;
        /// Whether it speaks the classic protocol.
        (0..) is_classic: bool;
    }

    /// Tasks.
    pub struct StreamsGroupDescribedAssignment {
        (0..) active_tasks: Vec<StreamsGroupTaskIds>;
        (0..) standby_tasks: Vec<StreamsGroupTaskIds>;
        (0..) warmup_tasks: Vec<StreamsGroupTaskIds>;
    }

    /// The nodes of a topology.
    pub struct StreamsGroupTopologyDescription {
        (1..) subtopologies: Vec<StreamsGroupDescriptionSubtopology>;
        (1..) global_stores: Vec<StreamsGroupDescriptionGlobalStore>;
    }

    /// Those of a part.
    pub struct StreamsGroupDescriptionSubtopology {
        (1..) subtopology_id: String;
        (1..) nodes: Vec<StreamsGroupDescriptionNode>;
    }

    /// A node.
    pub struct StreamsGroupDescriptionNode {
        (1..) name: String;
        /// 1 a source, 2 a processor, 3 a sink.
        (1..) node_type: i8;
        (1..) source_topics: Vec<String>;
        (1..) sink_topic: Option<String>;
        (1..) stores: Vec<String>;
        (1..) successors: Vec<String>;
    }

    /// A store that every instance has whole.
    pub struct StreamsGroupDescriptionGlobalStore {
        (1..) source: StreamsGroupDescriptionNode;
        (1..) processor: StreamsGroupDescriptionNode;
    }
}
