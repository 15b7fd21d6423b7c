//! Groups that do nothing: each has a member and an offset.

use super::{CONNECTIONS, PAUSE, is_passing};
use crate::broker::Target;
use crate::client::{Client, ClientError, Topic, refuse};
use crate::measure::{self, MeasureError};
use crate::process::Usage;
use std::thread;
use std::time::Duration;
use strandline_protocol::messages::{
    ConsumerGroupHeartbeatRequest, OffsetCommitRequest, OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
};

/// Partitions of the topic that they share.
const PARTITIONS: u32 = 16;

/// By how many bytes the broker's own memory grows with so many groups; `None` where its process is not
/// known.
pub(super) fn run(target: &Target, groups: u32) -> Result<Option<f64>, MeasureError> {
    let topic = measure::create_topic(target, &measure::topic_name(), PARTITIONS)?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(&target.bootstrap)?);
    }
    clients[0].await_group(&topic.name)?;
    let before = target.pid.map(Usage::of).transpose()?;
    thread::scope(|scope| {
        let topic = &topic;
        let threads: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(place, client)| {
                scope.spawn(move || {
                    let mut mine = (0..groups).skip(place).step_by(CONNECTIONS);
                    mine.try_for_each(|number| make(client, topic, number))
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })?;
    let after = target.pid.map(Usage::of).transpose()?;
    let grown =
        |(after, before): (Usage, Usage)| after.anonymous_bytes as f64 - before.anonymous_bytes as f64;
    Ok(after.zip(before).map(grown))
}

fn make(client: &mut Client, topic: &Topic, number: u32) -> Result<(), ClientError> {
    let group = format!("{}-idle-{number}", topic.name);
    let member = format!("{group}-member");
    let epoch = loop {
        let answer = client.call(&ConsumerGroupHeartbeatRequest {
            group_id: group.clone(),
            member_id: member.clone(),
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec![topic.name.clone()]),
            topic_partitions: Some(Vec::new()),
            ..ConsumerGroupHeartbeatRequest::default()
        })?;
        if !is_passing(answer.error_code) {
            refuse("ConsumerGroupHeartbeat", answer.error_code, answer.error_message)?;
            break answer.member_epoch;
        }
        thread::sleep(Duration::from_nanos(PAUSE));
    };
    let partition = OffsetCommitRequestPartition {
        partition_index: (number % PARTITIONS) as i32,
        committed_metadata: Some(String::new()),
        ..OffsetCommitRequestPartition::default()
    };
    let topics = vec![OffsetCommitRequestTopic { name: topic.name.clone(), partitions: vec![partition] }];
    let answer = client.call(&OffsetCommitRequest {
        group_id: group,
        generation_id_or_member_epoch: epoch,
        member_id: member,
        topics,
        ..OffsetCommitRequest::default()
    })?;
    let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.try_for_each(|partition| refuse("OffsetCommit", partition.error_code, None))
}
