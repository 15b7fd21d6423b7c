//! What a client may do with a resource, as bits, for a client that asks (KIP-430). Without an authorizer it
//! may do everything that there is to do.

use crate::call::Call;
use crate::security::acl::{Operation, Resource};

const fn bits(operations: &[Operation]) -> i32 {
    let (mut bits, mut at) = (0, 0);
    while at < operations.len() {
        bits |= operations[at].bit();
        at += 1;
    }
    bits as i32
}

/// With a topic.
const TOPIC: i32 = bits(&[
    Operation::Read,
    Operation::Write,
    Operation::Create,
    Operation::Delete,
    Operation::Alter,
    Operation::Describe,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
]);

/// With the cluster.
const CLUSTER: i32 = bits(&[
    Operation::Create,
    Operation::Alter,
    Operation::Describe,
    Operation::ClusterAction,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
    Operation::IdempotentWrite,
]);

/// With a group.
const GROUP: i32 = bits(&[
    Operation::Read,
    Operation::Delete,
    Operation::Describe,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
]);

/// What stands in an answer to a client that has not asked.
pub(super) const NOT_ASKED: i32 = i32::MIN;

/// What the client may do with a topic, if it asks.
pub(super) fn of_topic(call: &Call, asks: bool, topic: &str) -> i32 {
    if asks { call.operations(TOPIC, Resource::topic(topic)) } else { NOT_ASKED }
}

/// What it may do with a group.
pub(super) fn of_group(call: &Call, asks: bool, group: &str) -> i32 {
    if asks { call.operations(GROUP, Resource::group(group)) } else { NOT_ASKED }
}

/// What it may do with the cluster: nothing that is told when it may not describe it.
pub(super) fn of_cluster(call: &Call, asks: bool) -> i32 {
    match asks {
        false => NOT_ASKED,
        true if call.may(Operation::Describe, Resource::CLUSTER).is_err() => 0,
        true => call.operations(CLUSTER, Resource::CLUSTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operations_are_those_of_kafka_without_an_authorizer() {
        assert_eq!((TOPIC, CLUSTER, GROUP), (3576, 8096, 3400));
    }
}
