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
