//! OffsetForLeaderEpoch: where a leader epoch ends in a log. A consumer that asks learns whether the records
//! that it has read are still the ones in the log (KIP-320).

use strandline_engine::reactor::yield_if_needed;
use strandline_engine::types::EpochEnd;
use strandline_protocol::messages::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderPartitionResult, OffsetForLeaderTopicResult,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct_by_name;
use crate::api::together::together;
use crate::api::{known_epoch, read_error};
use crate::broker::TopicKey;
use crate::call::Call;
use crate::security::acl::{Operation, Resource};

/// The end of the epoch in each partition. A partition that is named several times is answered once, for what
/// is asked last.
pub async fn handle(call: &Call, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
    let named = request.topics.into_iter().map(|topic| (topic.topic, topic.partitions)).collect();
    let asked = distinct_by_name(named, |asked: &OffsetForLeaderPartition| asked.partition).await;
    let all: Vec<_> = asked
        .iter()
        .flat_map(|(topic, partitions)| partitions.iter().map(move |wanted| (topic.as_str(), wanted)))
        .collect();
    let mut answers =
        together(&all, async |(topic, wanted)| answer(call, topic, wanted).await).await.into_iter();
    let mut topics = Vec::with_capacity(asked.len());
    for (topic, partitions) in asked {
        let partitions = answers.by_ref().take(partitions.len()).collect();
        topics.push(OffsetForLeaderTopicResult { topic, partitions });
        yield_if_needed().await;
    }
    OffsetForLeaderEpochResponse { topics, ..Default::default() }
}

async fn answer(
    call: &Call,
    topic: &str,
    wanted: &OffsetForLeaderPartition,
) -> OffsetForLeaderPartitionResult {
    let answer = OffsetForLeaderPartitionResult { partition: wanted.partition, ..Default::default() };
    match end(call, topic, wanted).await {
        Ok(Some(EpochEnd { epoch, end })) => {
            OffsetForLeaderPartitionResult { leader_epoch: epoch.0, end_offset: end.get(), ..answer }
        }
        Ok(None) => answer,
        Err(error) => OffsetForLeaderPartitionResult { error_code: error.code(), ..answer },
    }
}

/// The epoch that is asked for, and its end; `None` when the log never had it.
async fn end(
    call: &Call,
    topic: &str,
    wanted: &OffsetForLeaderPartition,
) -> Result<Option<EpochEnd>, ErrorCode> {
    let broker = &call.broker;
    // What brokers may, they may with every topic.
    if !call.shows(Operation::ClusterAction, Resource::CLUSTER) {
        call.may(Operation::Describe, Resource::topic(topic))?;
    }
    let topic = broker.topic(TopicKey::Name(topic))?;
    let partition = broker.partition(&topic, wanted.partition)?;
    let leader_epoch = known_epoch(wanted.current_leader_epoch);
    let Some(epoch) = known_epoch(wanted.leader_epoch) else { return Ok(None) };
    let found = broker.shard.end_of_epoch(partition, epoch, leader_epoch).await;
    found.map_err(|error| read_error(&error))
}
