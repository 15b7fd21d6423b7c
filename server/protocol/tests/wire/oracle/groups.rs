//! The messages of the members of groups, against the oracle.

use kafka_protocol::messages as theirs;

use super::{check_request, check_response};
use crate::samples;

#[test]
fn heartbeats_and_consumer_groups_agree_with_the_oracle() {
    use samples::*;
    check_request::<_, theirs::ConsumerGroupHeartbeatRequest>(consumer_group_heartbeat_request);
    check_response::<_, theirs::ConsumerGroupHeartbeatResponse>(consumer_group_heartbeat_response, Some(1));
    check_request::<_, theirs::ConsumerGroupDescribeRequest>(consumer_group_describe_request);
    check_response::<_, theirs::ConsumerGroupDescribeResponse>(consumer_group_describe_response, Some(1));
    check_request::<_, theirs::HeartbeatRequest>(samples::heartbeat_request);
    check_response::<_, theirs::HeartbeatResponse>(samples::heartbeat_response, Some(4));
}

#[test]
fn list_groups_agrees_with_the_oracle() {
    check_request::<_, theirs::ListGroupsRequest>(samples::list_groups_request);
    check_response::<_, theirs::ListGroupsResponse>(samples::list_groups_response, Some(5));
}

#[test]
fn describe_groups_agrees_with_the_oracle() {
    check_request::<_, theirs::DescribeGroupsRequest>(samples::describe_groups_request);
    check_response::<_, theirs::DescribeGroupsResponse>(samples::describe_groups_response, Some(6));
}

#[test]
fn delete_groups_agrees_with_the_oracle() {
    check_request::<_, theirs::DeleteGroupsRequest>(samples::delete_groups_request);
    check_response::<_, theirs::DeleteGroupsResponse>(samples::delete_groups_response, Some(2));
}

#[test]
fn offset_delete_agrees_with_the_oracle() {
    check_request::<_, theirs::OffsetDeleteRequest>(samples::offset_delete_request);
    check_response::<_, theirs::OffsetDeleteResponse>(samples::offset_delete_response, Some(0));
}
