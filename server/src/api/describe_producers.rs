//! DescribeProducers: the idempotent producers that partitions remember.

use futures_util::future::join_all;
use strandline_engine::ActiveProducer as Remembered;
use strandline_engine::reactor::yield_if_needed;
use strandline_protocol::messages::{
    ActiveProducer, DescribeProducersPartitionResult, DescribeProducersRequest, DescribeProducersResponse,
    DescribeProducersTopicResult,
};
use strandline_protocol::wire::ErrorCode;

use crate::api::distinct::distinct_by_name;
use crate::api::read_error;
use crate::api::together::AT_A_TIME;
use crate::broker::TopicKey;
use crate::call::Call;
use crate::room::{Gathered, Seat};
use crate::security::acl::Operation;
use strandline_engine::types::{Offset, Sequence};

/// Each partition once, however often it is named.
pub async fn handle(
    call: &Call,
    request: DescribeProducersRequest,
    seat: &mut Seat,
) -> DescribeProducersResponse {
    let mut gathered = Gathered::new(seat);
    let named = request.topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect();
    let asked = distinct_by_name(named, |index: &i32| *index).await;
    let all: Vec<_> = asked
        .iter()
        .flat_map(|(name, indexes)| indexes.iter().map(move |index| (name.as_str(), *index)))
        .collect();
    let mut answers = Vec::with_capacity(all.len());
    // What comes has no room yet, so that few are asked at once where partitions have had much to tell.
    let mut at_a_time = 1;
    while answers.len() < all.len() {
        let left = &all[answers.len()..];
        let some = &left[..at_a_time.min(left.len())];
        let found = join_all(some.iter().map(|(name, index)| producers(call, name, *index))).await;
        let counts = found.iter().map(|found| found.as_ref().map_or(0, Vec::len));
        let bytes = counts.sum::<usize>() * size_of::<ActiveProducer>();
        let is_much = bytes > gathered.left();
        if is_much {
            gathered.make_room(bytes).await;
        }
        gathered.add(bytes);
        at_a_time = if is_much { 1 } else { AT_A_TIME.min(2 * at_a_time) };
        for ((_, partition_index), found) in some.iter().zip(found) {
            let answer =
                DescribeProducersPartitionResult { partition_index: *partition_index, ..Default::default() };
            answers.push(match found {
                Ok(found) => {
                    let active_producers = found.into_iter().map(described).collect();
                    DescribeProducersPartitionResult { active_producers, ..answer }
                }
                Err(error) => DescribeProducersPartitionResult { error_code: error.code(), ..answer },
            });
            yield_if_needed().await;
        }
    }
    let mut answers = answers.into_iter();
    let mut topics = Vec::with_capacity(asked.len());
    for (name, indexes) in asked {
        let partitions = answers.by_ref().take(indexes.len()).collect();
        topics.push(DescribeProducersTopicResult { name, partitions });
        yield_if_needed().await;
    }
    DescribeProducersResponse { topics, ..Default::default() }
}

async fn producers(call: &Call, topic: &str, index: i32) -> Result<Vec<Remembered>, ErrorCode> {
    let broker = &call.broker;
    let topic = call.topic(Operation::Read, TopicKey::Name(topic))?;
    let partition = broker.partition(&topic, index)?;
    broker.engine.producers(partition).await.map_err(|error| read_error(&error))
}

fn described(producer: Remembered) -> ActiveProducer {
    ActiveProducer {
        producer_id: producer.id.0,
        producer_epoch: producer.epoch.0.into(),
        last_sequence: producer.last_sequence.unwrap_or(Sequence::NONE).0,
        last_timestamp: producer.last_timestamp.0,
        coordinator_epoch: producer.coordinator_epoch.unwrap_or(-1),
        current_txn_start_offset: producer.transaction_start.map_or(-1, Offset::get),
    }
}
