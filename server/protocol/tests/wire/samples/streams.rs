//! Samples of streams groups: one of each, with every field. The oracle's place is taken by the bytes that
//! Kafka writes of them.

use strandline_protocol::messages::*;

use super::Seed;

fn text(text: &str) -> String {
    text.to_owned()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().copied().map(text).collect()
}

fn pair(key: &str, value: &str) -> StreamsGroupKeyValue {
    StreamsGroupKeyValue { key: text(key), value: text(value) }
}

fn tasks(subtopology: &str, partition: i32) -> Vec<StreamsGroupTaskIds> {
    vec![StreamsGroupTaskIds { subtopology_id: text(subtopology), partitions: vec![partition] }]
}

fn endpoint(port: u16) -> StreamsGroupEndpoint {
    StreamsGroupEndpoint { host: text("e"), port }
}

pub(crate) fn streams_group_heartbeat_request(_version: i16, _s: &mut Seed) -> StreamsGroupHeartbeatRequest {
    let changelog = StreamsGroupTopicInfo {
        name: text("l"),
        partitions: 0,
        replication_factor: 1,
        topic_configs: vec![pair("c", "d")],
    };
    let repartition = StreamsGroupTopicInfo { name: text("r"), partitions: 3, ..Default::default() };
    let subtopology = StreamsGroupSubtopology {
        subtopology_id: text("0"),
        source_topics: texts(&["s"]),
        source_topic_regex: texts(&["x.*"]),
        state_changelog_topics: vec![changelog],
        repartition_sink_topics: texts(&["k"]),
        repartition_source_topics: vec![repartition],
        copartition_groups: vec![StreamsGroupCopartitionGroup {
            source_topics: vec![0],
            source_topic_regex: vec![2],
            repartition_source_topics: vec![1],
        }],
    };
    StreamsGroupHeartbeatRequest {
        group_id: text("g"),
        member_id: text("m"),
        member_epoch: 0,
        endpoint_information_epoch: -1,
        instance_id: Some(text("i")),
        rack_id: Some(text("a")),
        rebalance_timeout_ms: 300_000,
        topology: Some(StreamsGroupTopology { epoch: 2, subtopologies: vec![subtopology] }),
        active_tasks: Some(tasks("0", 5)),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: None,
        process_id: Some(text("p")),
        user_endpoint: Some(endpoint(40_000)),
        client_tags: Some(vec![pair("k", "v")]),
        task_offsets: Some(vec![StreamsGroupTaskOffset {
            subtopology_id: text("0"),
            partition: 5,
            offset: 9,
        }]),
        task_end_offsets: None,
        shutdown_application: true,
    }
}

pub(crate) fn streams_group_heartbeat_response(version: i16, _s: &mut Seed) -> StreamsGroupHeartbeatResponse {
    let is_first = version == 0;
    StreamsGroupHeartbeatResponse {
        throttle_time_ms: 1,
        member_id: text("m"),
        member_epoch: 4,
        heartbeat_interval_ms: 5000,
        acceptable_recovery_lag_legacy: if is_first { 6 } else { 0 },
        task_offset_interval_ms: 60_000,
        acceptable_recovery_lag: if is_first { -1 } else { 8 },
        status: Some(vec![StreamsGroupStatus { status_code: 3, status_detail: text("d") }]),
        active_tasks: Some(tasks("0", 5)),
        standby_tasks: Some(Vec::new()),
        topology_description_required: !is_first,
        endpoint_information_epoch: 7,
        partitions_by_user_endpoint: Some(vec![StreamsGroupEndpointPartitions {
            user_endpoint: endpoint(40_000),
            active_partitions: vec![StreamsGroupTopicPartitions { topic: text("s"), partitions: vec![5] }],
            standby_partitions: Vec::new(),
        }]),
        ..Default::default()
    }
}

pub(crate) fn streams_group_describe_request(version: i16, _s: &mut Seed) -> StreamsGroupDescribeRequest {
    StreamsGroupDescribeRequest {
        group_ids: texts(&["g"]),
        include_authorized_operations: true,
        include_topology_description: version > 0,
    }
}

fn node(name: &str) -> StreamsGroupDescriptionNode {
    StreamsGroupDescriptionNode { name: text(name), ..Default::default() }
}

fn description() -> StreamsGroupTopologyDescription {
    let sink = StreamsGroupDescriptionNode {
        name: text("n"),
        node_type: 3,
        source_topics: texts(&["s"]),
        sink_topic: Some(text("k")),
        stores: texts(&["t"]),
        successors: texts(&["u"]),
    };
    StreamsGroupTopologyDescription {
        subtopologies: vec![StreamsGroupDescriptionSubtopology {
            subtopology_id: text("0"),
            nodes: vec![sink],
        }],
        global_stores: vec![StreamsGroupDescriptionGlobalStore { source: node("a"), processor: node("b") }],
    }
}

pub(crate) fn streams_group_describe_response(version: i16, _s: &mut Seed) -> StreamsGroupDescribeResponse {
    let subtopology = StreamsGroupDescribedSubtopology {
        subtopology_id: text("0"),
        source_topics: texts(&["s"]),
        repartition_sink_topics: texts(&["k"]),
        state_changelog_topics: vec![StreamsGroupTopicInfo {
            name: text("l"),
            partitions: 3,
            ..Default::default()
        }],
        repartition_source_topics: vec![StreamsGroupTopicInfo { name: text("r"), ..Default::default() }],
    };
    let member = StreamsGroupDescribedMember {
        member_id: text("m"),
        member_epoch: 3,
        instance_id: None,
        rack_id: Some(text("a")),
        client_id: text("c"),
        client_host: text("/h"),
        topology_epoch: 1,
        process_id: text("p"),
        user_endpoint: Some(endpoint(80)),
        client_tags: vec![pair("k", "v")],
        task_offsets: vec![StreamsGroupTaskOffset { subtopology_id: text("0"), partition: 1, offset: 2 }],
        task_end_offsets: Vec::new(),
        assignment: StreamsGroupDescribedAssignment { active_tasks: tasks("0", 5), ..Default::default() },
        target_assignment: StreamsGroupDescribedAssignment {
            warmup_tasks: tasks("1", 6),
            ..Default::default()
        },
        is_classic: true,
    };
    let has_more = version > 0;
    let group = StreamsGroupDescribedGroup {
        group_id: text("g"),
        group_state: text("Stable"),
        group_epoch: 3,
        assignment_epoch: 2,
        topology: Some(StreamsGroupDescribedTopology { epoch: 1, subtopologies: Some(vec![subtopology]) }),
        members: vec![member],
        topology_description: has_more.then(description),
        topology_description_status: if has_more { 3 } else { 0 },
        assignor_name: has_more.then(|| text("sticky")),
        ..Default::default()
    };
    StreamsGroupDescribeResponse { groups: vec![group], ..Default::default() }
}
