//! Members of consumer groups that describe topics, and what they may describe.

use super::*;

const GROUP: &str = "g";

/// Says what a member has; the number of topics that it has from then on, once it is told.
fn beat(
    client: &mut Client,
    epoch: &mut i32,
    topics: &mut Vec<ConsumerGroupHeartbeatTopicPartitions>,
) -> usize {
    let request = ConsumerGroupHeartbeatRequest {
        group_id: GROUP.to_owned(),
        member_id: "m".to_owned(),
        member_epoch: *epoch,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(Vec::new()),
        subscribed_topic_regex: Some(".*".to_owned()),
        topic_partitions: Some(topics.clone()),
        ..Default::default()
    };
    let answer = client.call(1, &request);
    assert_eq!(code(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
    *epoch = answer.member_epoch;
    if let Some(assignment) = answer.assignment {
        *topics = assignment
            .topic_partitions
            .into_iter()
            .map(|topic| ConsumerGroupHeartbeatTopicPartitions {
                topic_id: topic.topic_id,
                partitions: topic.partitions,
            })
            .collect();
    }
    topics.len()
}

#[test]
fn a_member_that_describes_topics_is_given_those_that_it_may_describe() {
    let dir = data_dir();
    let more = ["group.consumer.assignment.interval.ms=0"];
    let broker = start(dir.path(), &more);
    let mut admin = user(&broker, "admin");
    for topic in ["mine", "other", "secret"] {
        admin.create(topic, 1, &[]);
    }
    let read = |name| rule(ResourceType::Topic, name, Operation::Read);
    created(&mut admin, &[rule(ResourceType::Group, GROUP, Operation::Read), read("mine")]);
    let mut bob = user(&broker, "bob");
    let find = FindCoordinatorRequest { coordinator_keys: vec![GROUP.to_owned()], ..Default::default() };
    assert_eq!(bob.call(6, &find).coordinators[0].error_code, 0);
    let (mut epoch, mut topics) = (0, Vec::new());
    let mut until = |bob: &mut Client, count: usize| {
        crate::effects::until("the member has what it may", || beat(bob, &mut epoch, &mut topics) == count);
        // And it stays so.
        assert!((0..3).all(|_| beat(bob, &mut epoch, &mut topics) == count));
    };
    until(&mut bob, 1);
    created(&mut admin, &[read("other")]);
    until(&mut bob, 2);
    created(&mut admin, &[denied(rule(ResourceType::Topic, "mine", Operation::Describe))]);
    until(&mut bob, 1);
}
