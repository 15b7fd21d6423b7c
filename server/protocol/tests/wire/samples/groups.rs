//! Samples of groups, their members and their offsets.

use strandline_protocol::Uuid;
use strandline_protocol::messages::*;

use super::{Seed, only};

pub(crate) fn find_coordinator_request(version: i16, s: &mut Seed) -> FindCoordinatorRequest {
    FindCoordinatorRequest {
        key: only(version <= 3, s.string()),
        key_type: only(version >= 1, s.i8()),
        coordinator_keys: only(version >= 4, s.several(Seed::string)),
    }
}

pub(crate) fn find_coordinator_response(version: i16, s: &mut Seed) -> FindCoordinatorResponse {
    let one = version <= 3;
    let coordinators = s.several(|s| Coordinator {
        key: s.string(),
        node_id: s.i32(),
        host: s.string(),
        port: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
    });
    FindCoordinatorResponse {
        throttle_time_ms: s.i32(),
        error_code: only(one, s.i16()),
        error_message: only(one, s.some()),
        node_id: only(one, s.i32()),
        host: only(one, s.string()),
        port: only(one, s.i32()),
        coordinators: only(!one, coordinators),
    }
}

pub(crate) fn join_group_request(version: i16, s: &mut Seed) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: s.string(),
        session_timeout_ms: s.i32(),
        rebalance_timeout_ms: s.i32(),
        member_id: s.string(),
        group_instance_id: only(version >= 5, s.some()),
        protocol_type: s.string(),
        protocols: s.several(|s| JoinGroupRequestProtocol { name: s.string(), metadata: s.opaque() }),
        reason: s.some(),
    }
}

pub(crate) fn join_group_response(version: i16, s: &mut Seed) -> JoinGroupResponse {
    JoinGroupResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        generation_id: s.i32(),
        protocol_type: s.some(),
        protocol_name: s.some(),
        leader: s.string(),
        skip_assignment: version >= 9,
        member_id: s.string(),
        members: s.several(|s| JoinGroupResponseMember {
            member_id: s.string(),
            group_instance_id: s.some(),
            metadata: s.opaque(),
        }),
    }
}

pub(crate) fn sync_group_request(version: i16, s: &mut Seed) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: s.string(),
        generation_id: s.i32(),
        member_id: s.string(),
        group_instance_id: only(version >= 3, s.some()),
        protocol_type: s.some(),
        protocol_name: s.some(),
        assignments: s
            .several(|s| SyncGroupRequestAssignment { member_id: s.string(), assignment: s.opaque() }),
    }
}

pub(crate) fn sync_group_response(_version: i16, s: &mut Seed) -> SyncGroupResponse {
    SyncGroupResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        protocol_type: s.some(),
        protocol_name: s.some(),
        assignment: s.opaque(),
    }
}

pub(crate) fn consumer_group_heartbeat_request(version: i16, s: &mut Seed) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: s.string(),
        member_id: s.string(),
        member_epoch: s.i32(),
        instance_id: s.some(),
        rack_id: s.some(),
        rebalance_timeout_ms: s.i32(),
        subscribed_topic_names: Some(vec![s.string(), s.string()]),
        subscribed_topic_regex: only(version >= 1, s.some()),
        server_assignor: s.some(),
        topic_partitions: Some(vec![consumer_group_heartbeat_partitions(s)]),
    }
}

fn consumer_group_heartbeat_partitions(s: &mut Seed) -> ConsumerGroupHeartbeatTopicPartitions {
    ConsumerGroupHeartbeatTopicPartitions {
        topic_id: Uuid::from_u64_pair(s.next(), s.next()),
        partitions: vec![s.i32(), s.i32()],
    }
}

pub(crate) fn consumer_group_heartbeat_response(
    _version: i16,
    s: &mut Seed,
) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        error_message: s.some(),
        member_id: s.some(),
        member_epoch: s.i32(),
        heartbeat_interval_ms: s.i32(),
        assignment: Some(ConsumerGroupHeartbeatAssignment {
            topic_partitions: vec![consumer_group_heartbeat_partitions(s)],
        }),
    }
}

pub(crate) fn consumer_group_describe_request(_version: i16, s: &mut Seed) -> ConsumerGroupDescribeRequest {
    ConsumerGroupDescribeRequest { group_ids: vec![s.string()], include_authorized_operations: true }
}

pub(crate) fn consumer_group_describe_response(_version: i16, s: &mut Seed) -> ConsumerGroupDescribeResponse {
    fn assignment(s: &mut Seed) -> ConsumerGroupDescribedAssignment {
        let topic_id = Uuid::from_u64_pair(s.next(), s.next());
        let (topic_name, partitions) = (s.string(), vec![s.i32()]);
        let topic = ConsumerGroupDescribedTopicPartitions { topic_id, topic_name, partitions };
        ConsumerGroupDescribedAssignment { topic_partitions: vec![topic] }
    }
    let member = ConsumerGroupDescribedMember {
        member_id: s.string(),
        instance_id: s.some(),
        rack_id: s.some(),
        member_epoch: s.i32(),
        client_id: s.string(),
        client_host: s.string(),
        subscribed_topic_names: vec![s.string()],
        subscribed_topic_regex: s.some(),
        assignment: assignment(s),
        target_assignment: assignment(s),
        member_type: s.i8(),
    };
    let group = ConsumerGroupDescribedGroup {
        error_code: s.i16(),
        error_message: s.some(),
        group_id: s.string(),
        group_state: s.string(),
        group_epoch: s.i32(),
        assignment_epoch: s.i32(),
        assignor_name: s.string(),
        members: vec![member],
        authorized_operations: s.i32(),
    };
    ConsumerGroupDescribeResponse { throttle_time_ms: s.i32(), groups: vec![group] }
}

pub(crate) fn heartbeat_request(version: i16, s: &mut Seed) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: s.string(),
        generation_id: s.i32(),
        member_id: s.string(),
        group_instance_id: only(version >= 3, s.some()),
    }
}

pub(crate) fn heartbeat_response(_version: i16, s: &mut Seed) -> HeartbeatResponse {
    HeartbeatResponse { throttle_time_ms: s.i32(), error_code: s.i16() }
}

pub(crate) fn leave_group_request(version: i16, s: &mut Seed) -> LeaveGroupRequest {
    let members = s.several(|s| MemberIdentity {
        member_id: s.string(),
        group_instance_id: s.some(),
        reason: s.some(),
    });
    LeaveGroupRequest {
        group_id: s.string(),
        member_id: only(version <= 2, s.string()),
        members: only(version >= 3, members),
    }
}

pub(crate) fn leave_group_response(version: i16, s: &mut Seed) -> LeaveGroupResponse {
    let members = s.several(|s| MemberResponse {
        member_id: s.string(),
        group_instance_id: s.some(),
        error_code: s.i16(),
    });
    LeaveGroupResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        members: only(version >= 3, members),
    }
}

pub(crate) fn offset_commit_request(version: i16, s: &mut Seed) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: s.string(),
        generation_id_or_member_epoch: s.i32(),
        member_id: s.string(),
        group_instance_id: only(version >= 7, s.some()),
        retention_time_ms: s.i64(),
        topics: s.several(|s| OffsetCommitRequestTopic {
            name: s.string(),
            partitions: s.several(|s| OffsetCommitRequestPartition {
                partition_index: s.i32(),
                committed_offset: s.i64(),
                committed_leader_epoch: s.i32(),
                committed_metadata: s.some(),
            }),
        }),
    }
}

pub(crate) fn offset_commit_response(_version: i16, s: &mut Seed) -> OffsetCommitResponse {
    OffsetCommitResponse {
        throttle_time_ms: s.i32(),
        topics: s.several(|s| OffsetCommitResponseTopic {
            name: s.string(),
            partitions: s
                .several(|s| OffsetCommitResponsePartition { partition_index: s.i32(), error_code: s.i16() }),
        }),
    }
}

pub(crate) fn offset_fetch_request(version: i16, s: &mut Seed) -> OffsetFetchRequest {
    let one = version <= 7;
    let topics = s.several(|s| OffsetFetchRequestTopic { name: s.string(), partition_indexes: s.ids() });
    let groups = s.several(|s| OffsetFetchRequestGroup {
        group_id: s.string(),
        member_id: s.some(),
        member_epoch: s.i32(),
        topics: Some(
            s.several(|s| OffsetFetchRequestTopics { name: s.string(), partition_indexes: s.ids() }),
        ),
    });
    OffsetFetchRequest {
        group_id: only(one, s.string()),
        topics: Some(only(one, topics)),
        groups: only(!one, groups),
        require_stable: version >= 7,
    }
}

pub(crate) fn offset_fetch_response(version: i16, s: &mut Seed) -> OffsetFetchResponse {
    let one = version <= 7;
    let topics = s.several(|s| OffsetFetchResponseTopic {
        name: s.string(),
        partitions: s.several(|s| OffsetFetchResponsePartition {
            partition_index: s.i32(),
            committed_offset: s.i64(),
            committed_leader_epoch: s.i32(),
            metadata: s.some(),
            error_code: s.i16(),
        }),
    });
    let groups = s.several(|s| OffsetFetchResponseGroup {
        group_id: s.string(),
        topics: s.several(|s| OffsetFetchResponseTopics {
            name: s.string(),
            partitions: s.several(|s| OffsetFetchResponsePartitions {
                partition_index: s.i32(),
                committed_offset: s.i64(),
                committed_leader_epoch: s.i32(),
                metadata: s.some(),
                error_code: s.i16(),
            }),
        }),
        error_code: s.i16(),
    });
    OffsetFetchResponse {
        throttle_time_ms: s.i32(),
        topics: only(one, topics),
        error_code: only(one, s.i16()),
        groups: only(!one, groups),
    }
}

pub(crate) fn list_groups_request(version: i16, s: &mut Seed) -> ListGroupsRequest {
    ListGroupsRequest {
        states_filter: only(version >= 4, s.several(Seed::string)),
        types_filter: only(version >= 5, s.several(Seed::string)),
    }
}

pub(crate) fn list_groups_response(_version: i16, s: &mut Seed) -> ListGroupsResponse {
    ListGroupsResponse {
        throttle_time_ms: s.i32(),
        error_code: s.i16(),
        groups: s.several(|s| ListedGroup {
            group_id: s.string(),
            protocol_type: s.string(),
            group_state: s.string(),
            group_type: s.string(),
        }),
    }
}

pub(crate) fn describe_groups_request(version: i16, s: &mut Seed) -> DescribeGroupsRequest {
    DescribeGroupsRequest { groups: s.several(Seed::string), include_authorized_operations: version >= 3 }
}

pub(crate) fn describe_groups_response(_version: i16, s: &mut Seed) -> DescribeGroupsResponse {
    DescribeGroupsResponse {
        throttle_time_ms: s.i32(),
        groups: s.several(|s| DescribedGroup {
            error_code: s.i16(),
            error_message: s.some(),
            group_id: s.string(),
            group_state: s.string(),
            protocol_type: s.string(),
            protocol_data: s.string(),
            members: s.several(|s| DescribedGroupMember {
                member_id: s.string(),
                group_instance_id: s.some(),
                client_id: s.string(),
                client_host: s.string(),
                member_metadata: s.opaque(),
                member_assignment: s.opaque(),
            }),
            authorized_operations: s.i32(),
        }),
    }
}

pub(crate) fn delete_groups_request(_version: i16, s: &mut Seed) -> DeleteGroupsRequest {
    DeleteGroupsRequest { groups_names: s.several(Seed::string) }
}

pub(crate) fn delete_groups_response(_version: i16, s: &mut Seed) -> DeleteGroupsResponse {
    DeleteGroupsResponse {
        throttle_time_ms: s.i32(),
        results: s.several(|s| DeletableGroupResult { group_id: s.string(), error_code: s.i16() }),
    }
}

pub(crate) fn offset_delete_request(_version: i16, s: &mut Seed) -> OffsetDeleteRequest {
    OffsetDeleteRequest {
        group_id: s.string(),
        topics: s.several(|s| OffsetDeleteRequestTopic {
            name: s.string(),
            partitions: s.several(|s| OffsetDeleteRequestPartition { partition_index: s.i32() }),
        }),
    }
}

pub(crate) fn offset_delete_response(_version: i16, s: &mut Seed) -> OffsetDeleteResponse {
    OffsetDeleteResponse {
        error_code: s.i16(),
        throttle_time_ms: s.i32(),
        topics: s.several(|s| OffsetDeleteResponseTopic {
            name: s.string(),
            partitions: s
                .several(|s| OffsetDeleteResponsePartition { partition_index: s.i32(), error_code: s.i16() }),
        }),
    }
}
