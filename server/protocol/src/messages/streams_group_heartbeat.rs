//! StreamsGroupHeartbeat (88): the one request of a member of a streams group (KIP-1071): it joins with the
//! topology of its application, says that it is alive and which tasks it has, and leaves.
//!
//! What has not changed since the member's last request is null, or -1.

use crate::message;
use crate::messages::Request;

impl Request for StreamsGroupHeartbeatRequest {
    type Response = StreamsGroupHeartbeatResponse;
}

message! {
    /// What a member wants and has.
    pub struct StreamsGroupHeartbeatRequest(StreamsGroupHeartbeat, 0..=1) {
        (0..) group_id: String;
        /// The member's own choice.
        (0..) member_id: String;
        /// 0 joins, -1 leaves, -2 leaves for a while, as a static member may.
        (0..) member_epoch: i32;
        /// What the member knows of the endpoints of others.
        (0..) endpoint_information_epoch: i32;
        /// Of a static member (KIP-345).
        (0..) instance_id: Option<String>;
        (0..) rack_id: Option<String>;
        /// How long the member may take to give tasks up, in milliseconds.
        (0..) rebalance_timeout_ms: i32 = -1;
        /// Of a member that joins.
        (0..) topology: Option<StreamsGroupTopology>;
        /// The tasks that the member has, in each role.
        (0..) active_tasks: Option<Vec<StreamsGroupTaskIds>>;
        (0..) standby_tasks: Option<Vec<StreamsGroupTaskIds>>;
        (0..) warmup_tasks: Option<Vec<StreamsGroupTaskIds>>;
        /// The process that the member is in, which may have several.
        (0..) process_id: Option<String>;
        /// Where the member can be asked for what its state stores hold.
        (0..) user_endpoint: Option<StreamsGroupEndpoint>;
        (0..) client_tags: Option<Vec<StreamsGroupKeyValue>>;
        /// How far the member's local state is, by task, in offsets of its changelogs together.
        (0..) task_offsets: Option<Vec<StreamsGroupTaskOffset>>;
        (0..) task_end_offsets: Option<Vec<StreamsGroupTaskOffset>>;
        /// Whether all members shall stop.
        (0..) shutdown_application: bool;
    }

    /// What an application reads, writes and keeps. The group's records have it in the same form.
    pub struct StreamsGroupTopology {
        (0..) epoch: i32;
        (0..) subtopologies: Vec<StreamsGroupSubtopology>;
    }

    /// A part of it: a task is this part for one partition of its sources.
    pub struct StreamsGroupSubtopology {
        (0..) subtopology_id: String;
        (0..) source_topics: Vec<String>;
        (0..) source_topic_regex: Vec<String>;
        /// The topics that keep the state, with 0 partitions: as many as there are tasks.
        (0..) state_changelog_topics: Vec<StreamsGroupTopicInfo>;
        (0..) repartition_sink_topics: Vec<String>;
        /// Sources that the application writes itself.
        (0..) repartition_source_topics: Vec<StreamsGroupTopicInfo>;
        /// Sources that must have the same number of partitions.
        (0..) copartition_groups: Vec<StreamsGroupCopartitionGroup>;
    }

    /// A topic that is created for the application.
    pub struct StreamsGroupTopicInfo {
        (0..) name: String;
        /// 0 when it follows from other topics.
        (0..) partitions: i32;
        /// 0 for the broker's default.
        (0..) replication_factor: i16;
        (0..) topic_configs: Vec<StreamsGroupKeyValue>;
    }

    /// Sources, by their places in the lists of the subtopology.
    pub struct StreamsGroupCopartitionGroup {
        (0..) source_topics: Vec<i16>;
        (0..) source_topic_regex: Vec<i16>;
        (0..) repartition_source_topics: Vec<i16>;
    }

    /// A setting, or a tag.
    pub struct StreamsGroupKeyValue {
        (0..) key: String;
        (0..) value: String;
    }

    /// Where somebody can be reached.
    pub struct StreamsGroupEndpoint {
        (0..) host: String;
        (0..) port: u16;
    }

    /// How far a task is.
    pub struct StreamsGroupTaskOffset {
        (0..) subtopology_id: String;
        (0..) partition: i32;
        (0..) offset: i64;
    }

    /// Tasks of a subtopology.
    pub struct StreamsGroupTaskIds {
        (0..) subtopology_id: String;
        (0..) partitions: Vec<i32>;
    }

    /// What the member shall do.
    pub struct StreamsGroupHeartbeatResponse(StreamsGroupHeartbeat, 0..=1) {
        (0..)   throttle_time_ms: i32;
        (0..)   error_code: i16;
        (0..)   error_message: Option<String>;
        (0..)   member_id: String;
        (0..)   member_epoch: i32;
        (0..)   heartbeat_interval_ms: i32;
        (0..=0) acceptable_recovery_lag_legacy: i32;
        (0..)   task_offset_interval_ms: i32;
        /// How far behind a task may be that is taken for caught up; -1 when the broker does not say.
        (1..)   acceptable_recovery_lag: i64 = -1;
        /// What is wrong with the group, or up.
        (0..)   status: Option<Vec<StreamsGroupStatus>>;
        /// The member's tasks; all null when they have not changed.
        (0..)   active_tasks: Option<Vec<StreamsGroupTaskIds>>;
        (0..)   standby_tasks: Option<Vec<StreamsGroupTaskIds>>;
        (0..)   warmup_tasks: Option<Vec<StreamsGroupTaskIds>>;
        /// Whether the broker would keep a description of the topology (KIP-1331).
        (1..)   topology_description_required: bool;
        (0..)   endpoint_information_epoch: i32;
        /// Null when the member knows them.
        (0..)   partitions_by_user_endpoint: Option<Vec<StreamsGroupEndpointPartitions>>;
    }

    /// Something that members are told of the group.
    pub struct StreamsGroupStatus {
        /// 0 the member's topology is stale, 1 sources are missing, 2 topics have wrong numbers of
        /// partitions, 3 topics of the application are missing, 4 somebody wants all to stop, 5 tasks are
        /// shared out later, 6 tags are missing.
        (0..) status_code: i8;
        (0..) status_detail: String;
    }

    /// What a member reads, by its endpoint.
    pub struct StreamsGroupEndpointPartitions {
        (0..) user_endpoint: StreamsGroupEndpoint;
        (0..) active_partitions: Vec<StreamsGroupTopicPartitions>;
        (0..) standby_partitions: Vec<StreamsGroupTopicPartitions>;
    }

    /// A topic's partitions.
    pub struct StreamsGroupTopicPartitions {
        (0..) topic: String;
        (0..) partitions: Vec<i32>;
    }
}
